/* SPDX-License-Identifier: ISC */
/*
 * Texts into numbers, times, sizes, words and lists, by the table of options.
 *
 * Pure. libconfuse gives texts only; each type is checked here, with a message
 * that says what was read and what would be right. A wrong value leaves the
 * default in the field.
 */
#include "conf/conf_internal.h"

#include "base/list.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>

#define TEXT_SHORT 48
#define LIST_ITEM_MAX 4000

struct unit {
	const char *name;
	int64_t factor;
};
static const struct unit time_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
static const struct unit size_units[] = {{"", 1}, {"K", 1024}, {"M", 1 << 20}, {"G", 1 << 30}};
/* What people write instead. */
static const struct {
	const char *word, *unit;
} time_words[] = {{"sec", "s"}, {"secs", "s"}, {"second", "s"}, {"seconds", "s"}, {"min", "m"},
    {"mins", "m"}, {"minute", "m"}, {"minutes", "m"}, {"hour", "h"}, {"hours", "h"}, {"hr", "h"},
    {"day", "d"}, {"days", "d"}, {"msec", "ms"}, {"milliseconds", "ms"}},
  size_words[] = {{"KB", "K"}, {"KIB", "K"}, {"MB", "M"}, {"MIB", "M"}, {"GB", "G"}, {"GIB", "G"},
      {"B", ""}, {"BYTES", ""}, {"K", "K"}, {"M", "M"}, {"G", "G"}};

/* Whole decimal number, no sign, no leading zero. *rest is what follows the digits. */
static int
value_digits(struct span s, int64_t *out, struct span *rest)
{
	int64_t v = 0;
	size_t i;

	for (i = 0; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, s.p[i] - '0', &v))
			return -1;
	if (i == 0 || (i > 1 && s.p[0] == '0'))
		return -1;
	*out = v;
	*rest = (struct span){s.p + i, s.n - i};
	return 0;
}

/* The largest unit that gives a whole number: 600000 is 10m. */
static void
value_text(int64_t v, const struct unit *units, size_t n, char out[TEXT_SHORT])
{
	size_t i;

	for (i = n; i > 1 && (v == 0 || v % units[i - 1].factor != 0); i--)
		;
	(void)str_printf(
	    out, TEXT_SHORT, "%lld%s", (long long)(v / units[i - 1].factor), units[i - 1].name);
}

static int
value_unit(struct span s, const struct unit *units, size_t n, int64_t *out)
{
	struct span rest;
	int64_t v;
	size_t i;

	if (value_digits(s, &v, &rest) == -1)
		return -1;
	for (i = 0; i < n; i++)
		if (span_eq(rest, units[i].name))
			return __builtin_mul_overflow(v, units[i].factor, out) ? -1 : 0;
	if (v == 0 && rest.n == 0) { /* nothing needs no unit */
		*out = 0;
		return 0;
	}
	return -1;
}

int
conf_value_time(struct span s, int64_t *ms)
{
	return value_unit(s, time_units, ARRAY_LEN(time_units), ms);
}

/* "; write 10m" for "10 minutes", else "". */
static void
value_hint(enum conf_type type, struct span s, char out[TEXT_SHORT])
{
	struct span rest;
	int64_t v;
	size_t i;

	out[0] = '\0';
	if (value_digits(s, &v, &rest) == -1)
		return;
	rest = span_trim(rest);
	if (type == CONF_TYPE_TIME) {
		for (i = 0; i < ARRAY_LEN(time_words); i++)
			if (span_eq_nocase(rest, time_words[i].word))
				(void)str_printf(out, TEXT_SHORT, "; write %lld%s", (long long)v,
				    time_words[i].unit);
		for (i = 0; i < ARRAY_LEN(time_units); i++)
			if (span_eq_nocase(rest, time_units[i].name))
				(void)str_printf(out, TEXT_SHORT, "; write %lld%s", (long long)v,
				    time_units[i].name);
	} else if (type == CONF_TYPE_SIZE) {
		for (i = 0; i < ARRAY_LEN(size_words); i++)
			if (span_eq_nocase(rest, size_words[i].word))
				(void)str_printf(out, TEXT_SHORT, "; write %lld%s", (long long)v,
				    size_words[i].unit);
	}
}

struct value_ctx {
	struct conf_builder *b;
	const struct conf_option_def *def;
	const char *label; /* listener "mx" */
	struct conf_where where;
};

static void
value_number(struct value_ctx *c, struct span s, int64_t *out)
{
	char shown[CONF_SHOWN], lo[TEXT_SHORT], hi[TEXT_SHORT], hint[TEXT_SHORT];
	const struct conf_option_def *d = c->def;
	struct span rest;
	int64_t v = 0;
	bool ok;

	conf_shown(s, shown);
	value_hint(d->type, s, hint);
	if (d->type == CONF_TYPE_TIME) {
		ok = value_unit(s, time_units, ARRAY_LEN(time_units), &v) == 0;
		value_text(d->min, time_units, ARRAY_LEN(time_units), lo);
		value_text(d->max, time_units, ARRAY_LEN(time_units), hi);
		if (!ok)
			conf_error(c->b, c->where, "%s: %s = \"%s\" is not a time%s%s", c->label,
			    d->name, shown,
			    hint[0] != '\0' ? hint
					    : "; write a number and one unit of ms, s, m, h, d",
			    hint[0] != '\0' ? "" : ", as in 10m");
	} else if (d->type == CONF_TYPE_SIZE) {
		ok = value_unit(s, size_units, ARRAY_LEN(size_units), &v) == 0;
		value_text(d->min, size_units, ARRAY_LEN(size_units), lo);
		value_text(d->max, size_units, ARRAY_LEN(size_units), hi);
		if (!ok)
			conf_error(c->b, c->where, "%s: %s = \"%s\" is not a size%s", c->label,
			    d->name, shown,
			    hint[0] != '\0' ? hint
					    : "; write a number and nothing, K, M or G, as in 50M");
	} else {
		ok = value_digits(s, &v, &rest) == 0 && rest.n == 0;
		(void)str_printf(lo, sizeof lo, "%lld", (long long)d->min);
		(void)str_printf(hi, sizeof hi, "%lld", (long long)d->max);
		if (!ok)
			conf_error(c->b, c->where,
			    "%s: %s = \"%s\" is not a number; write a decimal number from %s to "
			    "%s%s",
			    c->label, d->name, shown, lo, hi,
			    s.n > 1 && s.p[0] == '0' ? ", without leading zeros" : "");
	}
	if (ok && (v < d->min || v > d->max)) {
		conf_error(c->b, c->where, "%s: %s = %s is out of range; write %s to %s", c->label,
		    d->name, shown, lo, hi);
		ok = false;
	}
	if (ok)
		*out = v;
}

static void
value_bool(struct value_ctx *c, struct span s, bool *out)
{
	char shown[CONF_SHOWN];
	const char *hint = "write true or false";

	if (span_eq(s, "true")) {
		*out = true;
		return;
	}
	if (span_eq(s, "false")) {
		*out = false;
		return;
	}
	if (span_eq_nocase(s, "yes") || span_eq_nocase(s, "on") || span_eq(s, "1") ||
	    span_eq_nocase(s, "true"))
		hint = "write true";
	else if (span_eq_nocase(s, "no") || span_eq_nocase(s, "off") || span_eq(s, "0") ||
		 span_eq_nocase(s, "false"))
		hint = "write false";
	conf_error(c->b, c->where, "%s: %s = \"%s\" is not a boolean; %s", c->label, c->def->name,
	    conf_shown(s, shown), hint);
}

static void
value_enum(struct value_ctx *c, struct span s, int *out)
{
	char shown[CONF_SHOWN];
	struct buf words = BUF_INIT;
	const char *near;
	size_t n;

	for (n = 0; c->def->words[n] != NULL; n++) {
		if (span_eq(s, c->def->words[n])) {
			*out = (int)n;
			buf_clear(&words);
			return;
		}
		if (n > 0)
			buf_add_str(&words, c->def->words[n + 1] == NULL ? " or " : ", ");
		buf_add_str(&words, c->def->words[n]);
	}
	near = conf_nearest(s, c->def->words, n);
	conf_error(c->b, c->where, "%s: %s = \"%s\" is unknown; write %s%s%s%s", c->label,
	    c->def->name, conf_shown(s, shown), buf_cstr(&words),
	    near != NULL ? " (did you mean " : "", near != NULL ? near : "",
	    near != NULL ? "?)" : "");
	buf_clear(&words);
}

static void
value_str(struct value_ctx *c, struct span s, char **out)
{
	int64_t min = c->def->min, max = c->def->max;

	if (c->def->type == CONF_TYPE_REF) {
		min = 1;
		max = 255;
	}
	if ((int64_t)s.n < min)
		conf_error(c->b, c->where,
		    "%s: %s is an empty text; write one, or leave the option out", c->label,
		    c->def->name);
	else if ((int64_t)s.n > max)
		conf_error(c->b, c->where, "%s: %s has %zu octets; at most %lld are possible",
		    c->label, c->def->name, s.n, (long long)max);
	else
		*out = conf_dup(c->b->arena, s);
}

static void
value_list(struct value_ctx *c, const struct conf_value *v, size_t n, struct conf_list *out)
{
	struct conf_where at = c->where;
	int64_t min = c->def->min, max = c->def->max;
	struct conf_list l = {.where = c->where};
	size_t i;

	if (c->def->type == CONF_TYPE_REFLIST)
		min = 0;
	if ((int64_t)n < min || (int64_t)n > max) {
		conf_error(c->b, c->where, "%s: %s has %zu values; write %lld to %lld", c->label,
		    c->def->name, n, (long long)min, (long long)max);
		return;
	}
	l.v = conf_alloc(c->b->arena, n, sizeof *l.v);
	for (i = 0; i < n; i++) {
		at.line = v[i].line;
		if (v[i].text.n == 0 || v[i].text.n > LIST_ITEM_MAX)
			conf_error(c->b, at, "%s: %s: %s", c->label, c->def->name,
			    v[i].text.n == 0 ? "an empty text stands in the list; remove it"
					     : "a text of the list is longer than 4000 octets");
		else
			l.v[l.n++] = conf_dup(c->b->arena, v[i].text);
	}
	*out = l;
}

static void
value_ints(struct value_ctx *c, const struct conf_value *v, size_t n, struct conf_ints *out)
{
	struct conf_ints l = {conf_alloc(c->b->arena, n, sizeof *l.v), n};
	size_t i;

	if (n == 0 || n > 1000) {
		conf_error(c->b, c->where, "%s: %s has %zu values; write 1 to 1000 numbers",
		    c->label, c->def->name, n);
		return;
	}
	for (i = 0; i < n; i++) {
		c->where.line = v[i].line;
		l.v[i] = c->def->min;
		value_number(c, v[i].text, &l.v[i]);
	}
	*out = l;
}

/* Octets that no value may hold, however they came in (escapes, environment). */
static bool
value_is_clean(struct value_ctx *c, const struct conf_value *v, size_t n)
{
	struct conf_where at = c->where;
	size_t i;
	bool clean = true;

	for (i = 0; i < n; i++) {
		at.line = v[i].line;
		if (!str_has_control(v[i].text) && utf8_valid(v[i].text))
			continue;
		conf_error(c->b, at, "%s: %s has a control character or is not UTF-8", c->label,
		    c->def->name);
		clean = false;
	}
	return clean;
}

void
conf_value_set(struct conf_builder *b, enum conf_kind kind, void *block, unsigned opt,
    const struct conf_raw_opt *raw, const struct conf_value *v)
{
	const struct conf_option_def *d = &conf_blocks[kind].opts[opt];
	struct conf_where *where = &(*conf_block_options(kind, block))[opt];
	void *field = (char *)block + d->offset;
	char label[CONF_LABEL];
	struct value_ctx c = {.b = b, .def = d, .label = label};

	*where = (struct conf_where){conf_block_where(kind, block)->file, raw->line};
	c.where = *where;
	/* the label is for errors only, but every message wants it */
	conf_label(kind, *conf_block_title(kind, block), NULL, label);
	if (!value_is_clean(&c, v, raw->n_values))
		return;
	if (!conf_type_is_list(d->type) && (raw->n_values != 1 || raw->braces)) {
		conf_error(b, c.where, "%s: %s takes one value, not a list; leave out the { }",
		    label, d->name);
		return;
	}
	switch (d->type) {
	case CONF_TYPE_BOOL:
		value_bool(&c, v[0].text, field);
		break;
	case CONF_TYPE_INT:
	case CONF_TYPE_TIME:
	case CONF_TYPE_SIZE:
		value_number(&c, v[0].text, field);
		break;
	case CONF_TYPE_ENUM:
		value_enum(&c, v[0].text, field);
		break;
	case CONF_TYPE_STR:
	case CONF_TYPE_REF:
		value_str(&c, v[0].text, field);
		break;
	case CONF_TYPE_LIST:
	case CONF_TYPE_REFLIST:
		value_list(&c, v, raw->n_values, field);
		break;
	case CONF_TYPE_INTLIST:
		value_ints(&c, v, raw->n_values, field);
		break;
	case CONF_TYPE__MAX:
		break;
	}
}

static void
default_list(struct conf_arena *a, const struct conf_option_def *d, void *field)
{
	struct span rest = span_of(d->def), word;
	struct conf_list *l = field;
	struct conf_ints *ints = field;
	size_t n = 1, i;

	for (i = 0; i < rest.n; i++)
		n += rest.p[i] == ' ';
	if (d->type == CONF_TYPE_INTLIST) {
		*ints = (struct conf_ints){conf_alloc(a, n, sizeof *ints->v), n};
		for (i = 0; i < n; i++) {
			word = span_cut(&rest, ' ');
			(void)value_digits(word, &ints->v[i], &word);
		}
		return;
	}
	*l = (struct conf_list){.v = conf_alloc(a, n, sizeof *l->v), .n = n};
	for (i = 0; i < n; i++)
		l->v[i] = conf_dup(a, span_cut(&rest, ' '));
}

void
conf_value_default(struct conf_arena *a, const struct conf_option_def *d, void *field)
{
	struct span s = span_of(d->def), rest;
	size_t i;

	if (d->def == conf_required && d->type == CONF_TYPE_ENUM)
		*(int *)field = -1; /* until it is given; no finished configuration has it */
	if (d->def == NULL || d->def == conf_required)
		return; /* zeroed: NULL, false, 0, empty */
	switch (d->type) {
	case CONF_TYPE_BOOL:
		*(bool *)field = span_eq(s, "true");
		break;
	case CONF_TYPE_INT:
		(void)value_digits(s, field, &rest);
		break;
	case CONF_TYPE_TIME:
		(void)value_unit(s, time_units, ARRAY_LEN(time_units), field);
		break;
	case CONF_TYPE_SIZE:
		(void)value_unit(s, size_units, ARRAY_LEN(size_units), field);
		break;
	case CONF_TYPE_ENUM:
		for (i = 0; d->words[i] != NULL; i++)
			if (span_eq(s, d->words[i]))
				*(int *)field = (int)i;
		break;
	case CONF_TYPE_STR:
	case CONF_TYPE_REF:
		*(char **)field = conf_dup(a, s);
		break;
	case CONF_TYPE_LIST:
	case CONF_TYPE_REFLIST:
	case CONF_TYPE_INTLIST:
		default_list(a, d, field);
		break;
	case CONF_TYPE__MAX:
		break;
	}
}
