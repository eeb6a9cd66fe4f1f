/* SPDX-License-Identifier: ISC */
/*
 * The grammar of one configuration file, before libconfuse reads it.
 *
 * libconfuse stops at its first error and takes a missing } at the end. This walk
 * over the tokens finds them all, notes the line of every block, option and value,
 * and blanks what is unknown, so that libconfuse and all later checks go on.
 * Runs in the child that reads the configuration.
 */
#include "conf/conf_internal.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define SCAN_MAX_SYNTAX 50
#define SCAN_MAX_OPTIONS 64

struct scan {
	const char *file;
	char *text;
	const struct conf_token *t; /* the current one */
	struct conf_scan *out;
	struct conf_findings *f;
	unsigned syntax;
	/* of the current block */
	char label[CONF_LABEL];
	size_t seen[SCAN_MAX_OPTIONS]; /* index in out->opts + 1 */
};

static void __attribute__((format(printf, 3, 4)))
scan_syntax(struct scan *s, uint32_t line, const char *fmt, ...)
{
	va_list ap;

	if (s->syntax++ >= SCAN_MAX_SYNTAX)
		return;
	va_start(ap, fmt);
	conf_findings_vadd(s->f, true, (struct conf_where){s->file, line}, fmt, ap);
	va_end(ap);
}

static struct span
scan_text(const struct scan *s, const struct conf_token *t)
{
	struct span x = {s->text + t->at, t->n};

	if (t->quoted && t->n >= 2)
		x = (struct span){s->text + t->at + 1, t->n - 2};
	return x;
}

static const char *
scan_shown(const struct scan *s, const struct conf_token *t, char out[CONF_SHOWN])
{
	if (t->kind == CONF_TOKEN_END)
		return "the end of the file";
	return conf_shown(scan_text(s, t), out);
}

static void
scan_blank(struct scan *s, const struct conf_token *from, const struct conf_token *to)
{
	size_t i;

	for (i = from->at; i < to->at + to->n; i++)
		if (s->text[i] != '\n')
			s->text[i] = ' ';
}

#define GROW(s, v, n, cap)                                                                         \
	do {                                                                                       \
		if ((s)->n == (s)->cap) {                                                          \
			(s)->cap = (s)->cap == 0 ? 64 : (s)->cap * 2;                              \
			(s)->v = xreallocarray((s)->v, (s)->cap, sizeof *(s)->v);                  \
		}                                                                                  \
	} while (0)

static void
scan_add_line(struct conf_scan *o, uint32_t line)
{
	GROW(o, lines, n_lines, cap_lines);
	o->lines[o->n_lines++] = line;
}

static bool
scan_is_assign(const struct conf_token *t)
{
	return t->kind == CONF_TOKEN_ASSIGN || t->kind == CONF_TOKEN_APPEND;
}

/* After a syntax error: to the next option of this block, or its end. */
static void
scan_resync(struct scan *s)
{
	for (;; s->t++) {
		if (s->t->kind == CONF_TOKEN_END || s->t->kind == CONF_TOKEN_CLOSE)
			return;
		if (s->t->kind == CONF_TOKEN_TEXT && scan_is_assign(s->t + 1))
			return;
	}
}

/*
 * At =, += : over the value. *n: how many; *lists: written with braces. -1 after a syntax error;
 * the caller resyncs.
 */
static int
scan_value(struct scan *s, uint32_t *n, bool *braces)
{
	char shown[CONF_SHOWN];
	uint32_t line = s->t->line;

	s->t++;
	*n = 0;
	*braces = false;
	if (s->t->kind == CONF_TOKEN_TEXT) {
		scan_add_line(s->out, s->t->line);
		*n = 1;
		s->t++;
		return 0;
	}
	if (s->t->kind != CONF_TOKEN_OPEN) {
		scan_syntax(s, line, "%s: a value is missing behind =, there is %s", s->label,
		    scan_shown(s, s->t, shown));
		return -1;
	}
	*braces = true;
	line = s->t->line;
	for (s->t++; s->t->kind != CONF_TOKEN_CLOSE; ++*n) {
		if (s->t->kind != CONF_TOKEN_TEXT || scan_is_assign(s->t + 1)) {
			scan_syntax(s, line,
			    "%s: the list that begins here is not closed with } (line %u has %s)",
			    s->label, s->t->line, scan_shown(s, s->t, shown));
			return -1;
		}
		scan_add_line(s->out, s->t->line);
		s->t++;
		if (s->t->kind == CONF_TOKEN_COMMA)
			s->t++;
		else if (s->t->kind == CONF_TOKEN_TEXT && !scan_is_assign(s->t + 1)) {
			scan_syntax(s, s->t->line, "%s: a comma is missing before %s", s->label,
			    scan_shown(s, s->t, shown));
		}
	}
	s->t++;
	return 0;
}

/* " did you mean X?", " it belongs into ...", or nothing. */
static void
scan_hint_option(int kind, struct span name, char *out, size_t size)
{
	const char *words[SCAN_MAX_OPTIONS], *near = NULL;
	size_t i;
	int k;

	out[0] = '\0';
	if (kind >= 0) {
		for (i = 0; i < conf_blocks[kind].n_opts; i++)
			words[i] = conf_blocks[kind].opts[i].name;
		near = conf_nearest(name, words, conf_blocks[kind].n_opts);
	}
	if (near != NULL) {
		(void)str_printf(out, size, "; did you mean %s?", near);
		return;
	}
	for (k = 0; k < CONF_BLOCK__MAX; k++) {
		if (conf_option_index((enum conf_kind)k, name) != -1) {
			(void)str_printf(out, size, "; an option of that name stands in %s blocks",
			    conf_blocks[k].name);
			return;
		}
	}
}

static void
scan_option(struct scan *s, enum conf_kind kind)
{
	const struct conf_token *name = s->t++;
	const struct conf_option_def *def;
	struct conf_scan_opt *o, new;
	struct conf_where where = {s->file, name->line};
	bool append = s->t->kind == CONF_TOKEN_APPEND;
	char shown[CONF_SHOWN], hint[120];
	int opt = conf_option_index(kind, scan_text(s, name));
	uint32_t i;

	new = (struct conf_scan_opt){.line = name->line, .first = (uint32_t)s->out->n_lines};
	if (scan_value(s, &new.n_values, &new.braces) == -1) {
		scan_resync(s);
		return;
	}
	if (opt == -1) {
		scan_hint_option(kind, scan_text(s, name), hint, sizeof hint);
		conf_findings_add(s->f, true, where, "%s: unknown option %s%s", s->label,
		    scan_shown(s, name, shown), hint);
		scan_blank(s, name, s->t - 1);
		return;
	}
	def = &conf_blocks[kind].opts[opt];
	new.opt = (unsigned)opt;
	o = s->seen[opt] != 0 ? &s->out->opts[s->seen[opt] - 1] : NULL;
	if (append && !conf_type_is_list(def->type)) {
		conf_findings_add(s->f, true, where,
		    "%s: %s takes one value; += is for lists, write =", s->label, def->name);
		scan_blank(s, name, s->t - 1);
	} else if (o != NULL && !append) {
		conf_findings_add(s->f, true, where,
		    "%s: %s is given twice, first in line %u; keep one of them%s", s->label,
		    def->name, o->line, conf_type_is_list(def->type) ? " or write +=" : "");
		scan_blank(s, name, s->t - 1);
	} else if (o != NULL) {
		/* the lines of all values in one run: the old ones again, then the new */
		uint32_t first = (uint32_t)s->out->n_lines;

		for (i = 0; i < o->n_values; i++)
			scan_add_line(s->out, s->out->lines[o->first + i]);
		for (i = 0; i < new.n_values; i++)
			scan_add_line(s->out, s->out->lines[new.first + i]);
		o->first = first;
		o->n_values += new.n_values;
	} else {
		GROW(s->out, opts, n_opts, cap_opts);
		s->out->opts[s->out->n_opts++] = new;
		s->seen[opt] = s->out->n_opts;
	}
}

/* At {: behind its }. -1 at the end of the file. */
static int
scan_skip_block(struct scan *s)
{
	unsigned depth = 0;
	uint32_t line = s->t->line;

	for (;; s->t++) {
		if (s->t->kind == CONF_TOKEN_OPEN)
			depth++;
		if (s->t->kind == CONF_TOKEN_CLOSE && --depth == 0) {
			s->t++;
			return 0;
		}
		if (s->t->kind == CONF_TOKEN_END) {
			scan_syntax(
			    s, line, "the { of this line has no }; the file may be cut short");
			return -1;
		}
	}
}

/* name { or name "title" { : the {, else NULL. */
static const struct conf_token *
scan_block_open(const struct conf_token *t)
{
	if (t->kind != CONF_TOKEN_TEXT)
		return NULL;
	if (t[1].kind == CONF_TOKEN_OPEN)
		return t + 1;
	if (t[1].kind == CONF_TOKEN_TEXT && t[2].kind == CONF_TOKEN_OPEN)
		return t + 2;
	return NULL;
}

/* Something that is no option inside of a block. -1: the block cannot be read further. */
static int
scan_odd(struct scan *s, enum conf_kind kind, const struct conf_token *block)
{
	const struct conf_token *start = s->t, *open = scan_block_open(s->t);
	char shown[CONF_SHOWN];

	if (s->t->kind == CONF_TOKEN_END) {
		scan_syntax(s, block->line,
		    "%s: the block that begins here is not closed with }; the file may be cut "
		    "short",
		    s->label);
		return -1;
	}
	if (open != NULL && conf_block_index(scan_text(s, s->t)) != -1) {
		scan_syntax(s, block->line,
		    "%s: the block that begins here is not closed with } before line %u (%s)",
		    s->label, s->t->line, scan_shown(s, s->t, shown));
		return -1;
	}
	if (open != NULL && conf_option_index(kind, scan_text(s, s->t)) == -1) {
		conf_findings_add(s->f, true, (struct conf_where){s->file, s->t->line},
		    "%s: unknown block %s", s->label, scan_shown(s, s->t, shown));
		s->t = open;
		if (scan_skip_block(s) == -1)
			return -1;
		scan_blank(s, start, s->t - 1);
		return 0;
	}
	if (s->t->kind == CONF_TOKEN_TEXT && span_eq(scan_text(s, s->t), "include"))
		scan_syntax(
		    s, s->t->line, "%s: include may stand only outside of blocks", s->label);
	else if (s->t->kind == CONF_TOKEN_TEXT)
		scan_syntax(s, s->t->line, "%s: = is missing behind %s", s->label,
		    scan_shown(s, s->t, shown));
	else
		scan_syntax(s, s->t->line, "%s: unexpected %s; write NAME = VALUE", s->label,
		    scan_shown(s, s->t, shown));
	if (open != NULL) {
		s->t = open;
		return scan_skip_block(s);
	}
	s->t++;
	scan_resync(s);
	return 0;
}

static void
scan_block(struct scan *s, const struct conf_token *open)
{
	const struct conf_token *start = s->t;
	struct conf_scan *o = s->out;
	struct conf_where where = {s->file, start->line};
	int kind = conf_block_index(scan_text(s, start));
	const char *names[CONF_BLOCK__MAX], *near;
	char shown[CONF_SHOWN], *title = NULL;
	bool bad = false;
	int k;

	s->t = open;
	if (kind == -1) {
		for (k = 0; k < CONF_BLOCK__MAX; k++)
			names[k] = conf_blocks[k].name;
		near = conf_nearest(scan_text(s, start), names, CONF_BLOCK__MAX);
		conf_findings_add(s->f, true, where, "unknown block %s%s%s%s",
		    scan_shown(s, start, shown), near != NULL ? "; did you mean " : "",
		    near != NULL ? near : "", near != NULL ? "?" : "");
		if (scan_skip_block(s) == 0)
			scan_blank(s, start, s->t - 1);
		return;
	}
	if (open != start + 1)
		title = span_dup(scan_text(s, start + 1));
	conf_label((enum conf_kind)kind, title, NULL, s->label);
	if (conf_blocks[kind].titled && (title == NULL || title[0] == '\0')) {
		scan_syntax(s, start->line, "%s needs a name: write %s \"name\" {",
		    conf_blocks[kind].name, conf_blocks[kind].name);
	} else if (!conf_blocks[kind].titled && title != NULL) {
		scan_syntax(s, start->line, "%s takes no name; write %s {", s->label,
		    conf_blocks[kind].name);
	}
	free(title);
	GROW(o, blocks, n_blocks, cap_blocks);
	o->blocks[o->n_blocks++] = (struct conf_scan_block){
	    .kind = (enum conf_kind)kind, .line = start->line, .first = (uint32_t)o->n_opts};
	memset(s->seen, 0, sizeof s->seen);
	for (s->t++; !bad && s->t->kind != CONF_TOKEN_CLOSE;) {
		if (s->t->kind == CONF_TOKEN_TEXT && scan_is_assign(s->t + 1))
			scan_option(s, (enum conf_kind)kind);
		else
			bad = scan_odd(s, (enum conf_kind)kind, start) == -1;
	}
	if (!bad)
		s->t++;
	o->blocks[o->n_blocks - 1].n_opts =
	    (uint32_t)(o->n_opts - o->blocks[o->n_blocks - 1].first);
}

/* Whatever stands outside of blocks and is no block. */
static void
scan_outside(struct scan *s)
{
	const struct conf_token *start = s->t;
	char shown[CONF_SHOWN], hint[120];
	uint32_t n;
	bool braces;

	if (s->t->kind == CONF_TOKEN_TEXT && span_eq(scan_text(s, s->t), "include")) {
		if (s->t[1].kind == CONF_TOKEN_PAREN_OPEN && s->t[2].kind == CONF_TOKEN_TEXT &&
		    s->t[3].kind == CONF_TOKEN_PAREN_CLOSE) {
			s->t += 4;
			return;
		}
		scan_syntax(s, s->t->line, "include is written include(\"file\")");
	} else if (s->t->kind == CONF_TOKEN_TEXT && scan_is_assign(s->t + 1)) {
		scan_hint_option(-1, scan_text(s, s->t), hint, sizeof hint);
		conf_findings_add(s->f, true, (struct conf_where){s->file, s->t->line},
		    "option %s stands outside of any block%s", scan_shown(s, s->t, shown), hint);
		s->t++;
		(void)str_copy(s->label, sizeof s->label, "outside of any block");
		if (scan_value(s, &n, &braces) == 0) {
			scan_blank(s, start, s->t - 1);
			return;
		}
	} else if (s->t->kind == CONF_TOKEN_CLOSE) {
		scan_syntax(s, s->t->line, "} without a block that it could close");
	} else {
		scan_syntax(s, s->t->line,
		    "unexpected %s; write BLOCK {, BLOCK \"name\" { or include(\"file\")",
		    scan_shown(s, s->t, shown));
	}
	/* to the next block; a value that was wrong may have ended at the end */
	if (s->t == start)
		s->t++;
	for (; s->t->kind != CONF_TOKEN_END; s->t++)
		if (scan_block_open(s->t) != NULL && conf_block_index(scan_text(s, s->t)) != -1)
			return;
}

int
conf_scan_text(
    const char *file, char *text, size_t n, struct conf_scan *out, struct conf_findings *f)
{
	struct scan s = {.file = file, .text = text, .out = out, .f = f};
	struct conf_tokens tokens = {0};
	const struct conf_token *open;
	int result = -1;

	if (conf_lex(file, text, n, &tokens, f) == -1)
		goto out;
	s.t = tokens.v;
	while (s.t->kind != CONF_TOKEN_END) {
		open = scan_block_open(s.t);
		if (open != NULL)
			scan_block(&s, open);
		else
			scan_outside(&s);
	}
	if (s.syntax == 0)
		result = 0;
out:
	free(tokens.v);
	return result;
}

void
conf_scan_clear(struct conf_scan *s)
{
	free(s->blocks);
	free(s->opts);
	free(s->lines);
	memset(s, 0, sizeof *s);
}
