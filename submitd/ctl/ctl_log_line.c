/* SPDX-License-Identifier: ISC */
/*
 * Reads the lines that log.c writes, in both forms, and matches them against a
 * query (S70). Pure. Values are unquoted properly: a value from outside that holds
 * " mid=" must not pass for a key.
 */
#include "ctl/ctl_log_line.h"

#include "base/enc.h"
#include "base/str.h"

#include <jansson.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LINE 65536u

/* ---- text lines --------------------------------------------------------------------------------
 */

static bool
is_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Behind the opening quote; stops behind the closing one. NULL: it is missing. */
static const char *
unquote(const char *p, const char *end, struct buf *out)
{
	for (; p < end && *p != '"'; p++) {
		if (*p != '\\' || p + 1 >= end) {
			buf_add_byte(out, (uint8_t)*p);
			continue;
		}
		p++;
		if (*p == 'x' && p + 2 < end && hex_digit(p[1]) >= 0 && hex_digit(p[2]) >= 0) {
			buf_add_byte(
			    out, '?'); /* a control or broken byte: never shown as itself */
			p += 2;
		} else {
			buf_add_byte(out, (uint8_t)*p);
		}
	}
	return p < end ? p + 1 : NULL;
}

/* The texts are collected first, as offsets, because hold moves. */
struct offsets {
	size_t key[LOG_LINE_FIELDS], value[LOG_LINE_FIELDS];
};

static const char *
take_field(const char *p, const char *end, struct log_event_line *l, struct offsets *o)
{
	const char *key = p;
	struct buf *b = &l->hold;

	while (p < end && is_key_char(*p))
		p++;
	if (p == key || p >= end || *p != '=') {
		while (p < end && *p != ' ') /* a prefix: time, host, program */
			p++;
		if (l->n == 0 && p > key && *key >= '0' && *key <= '9' && p[-1] == 'Z') {
			o->key[0] = buf_len(b);
			buf_add(b, "time", 5);
			o->value[0] = buf_len(b);
			buf_add(b, key, (size_t)(p - key));
			buf_add_byte(b, 0);
			l->n = 1;
		}
		return p;
	}
	o->key[l->n] = buf_len(b);
	buf_add(b, key, (size_t)(p - key));
	buf_add_byte(b, 0);
	o->value[l->n] = buf_len(b);
	p++;
	if (p < end && *p == '"') {
		p = unquote(p + 1, end, b);
	} else {
		const char *v = p;

		while (p < end && *p != ' ')
			p++;
		buf_add(b, v, (size_t)(p - v));
	}
	buf_add_byte(b, 0);
	l->n++;
	return p;
}

static int
parse_text(struct span line, struct log_event_line *l)
{
	const char *p = line.p, *end = line.p + line.n;
	struct offsets o;

	while (p != NULL && p < end && l->n < LOG_LINE_FIELDS) {
		if (*p == ' ') {
			p++;
			continue;
		}
		p = take_field(p, end, l, &o);
	}
	if (p == NULL)
		return -1;
	for (size_t i = 0; i < l->n; i++) {
		const char *base = (const char *)buf_data(&l->hold);
		uint64_t n;

		l->fields[i].key = base + o.key[i];
		l->fields[i].value = base + o.value[i];
		l->fields[i].number =
		    str_to_u64(l->fields[i].value, 0, INT64_MAX, &n) == 0 &&
		    (l->fields[i].value[0] != '0' || l->fields[i].value[1] == '\0');
	}
	return 0;
}

/* ---- JSON lines --------------------------------------------------------------------------------
 */

static int
parse_json(struct span line, struct log_event_line *l)
{
	json_t *o = json_loadb(line.p, line.n, 0, NULL), *v;
	struct offsets off;
	const char *key;

	if (!json_is_object(o)) {
		json_decref(o);
		return -1;
	}
	json_object_foreach(o, key, v)
	{
		if (l->n == LOG_LINE_FIELDS)
			break;
		off.key[l->n] = buf_len(&l->hold);
		buf_add(&l->hold, key, strlen(key) + 1);
		off.value[l->n] = buf_len(&l->hold);
		if (json_is_string(v))
			buf_add_str(&l->hold, json_string_value(v));
		else if (json_is_integer(v))
			buf_addf(&l->hold, "%lld", (long long)json_integer_value(v));
		else if (json_is_boolean(v))
			buf_add_str(&l->hold, json_is_true(v) ? "true" : "false");
		buf_add_byte(&l->hold, 0);
		l->fields[l->n].number = json_is_integer(v);
		l->n++;
	}
	json_decref(o);
	for (size_t i = 0; i < l->n; i++) {
		l->fields[i].key = (const char *)buf_data(&l->hold) + off.key[i];
		l->fields[i].value = (const char *)buf_data(&l->hold) + off.value[i];
	}
	return 0;
}

int
log_line_parse(struct span line, struct log_event_line *l)
{
	buf_reset(&l->hold);
	l->n = 0;
	if (line.n != 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (line.n == 0 || line.n > MAX_LINE || memchr(line.p, '\0', line.n) != NULL)
		return -1;
	if ((line.p[0] == '{' ? parse_json(line, l) : parse_text(line, l)) == -1) {
		l->n = 0;
		return -1;
	}
	return log_line_get(l, "event") == NULL ? -1 : 0;
}

const char *
log_line_get(const struct log_event_line *l, const char *key)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->fields[i].key, key) == 0)
			return l->fields[i].value;
	return NULL;
}

void
log_line_clear(struct log_event_line *l)
{
	buf_clear(&l->hold);
	l->n = 0;
}

static void
format_json(const struct log_event_line *l, struct buf *out)
{
	for (size_t i = 0; i < l->n; i++) {
		buf_add_byte(out, i == 0 ? '{' : ',');
		json_add_str(out, span_of(l->fields[i].key));
		buf_add_byte(out, ':');
		if (l->fields[i].number)
			buf_add_str(out, l->fields[i].value);
		else
			json_add_str(out, span_of(l->fields[i].value));
	}
	buf_add_byte(out, '}');
}

void
log_line_format(const struct log_event_line *l, bool json, struct buf *out)
{
	static const char *const first[] = {"time", "role", "event"};
	static const char *const hidden[] = {"time", "role", "event", "level", "instance", "mid"};

	if (json) {
		format_json(l, out);
		return;
	}
	for (size_t i = 0; i < 3; i++) {
		const char *v = log_line_get(l, first[i]);

		buf_addf(out, i == 0 ? "%s" : " %-9s", v == NULL ? "-" : v);
	}
	for (size_t i = 0; i < l->n; i++) {
		bool skip = false;

		for (size_t k = 0; k < sizeof(hidden) / sizeof(hidden[0]); k++)
			skip = skip || strcmp(l->fields[i].key, hidden[k]) == 0;
		if (skip)
			continue;
		buf_addf(out, strchr(l->fields[i].value, ' ') != NULL ? " %s=\"%s\"" : " %s=%s",
		    l->fields[i].key, l->fields[i].value);
	}
}

/* ---- queries ------------------------------------------------------------------------------------
 */

static int
parse_regex(const char *s, size_t n, struct log_query *q, char *err, size_t errsize)
{
	regex_t *re = xcallocarray(1, sizeof(*re));
	char *text = xstrndup(s + 1, n - 2);
	int rc = regcomp(re, text, REG_EXTENDED | REG_NOSUB);

	free(text);
	if (rc != 0) {
		char why[128];

		(void)regerror(rc, re, why, sizeof(why));
		(void)str_printf(err, errsize, "%s is no regular expression: %s", s, why);
		free(re);
		return -1;
	}
	q->kind = LOG_QUERY_REGEX;
	q->regex = re;
	return 0;
}

static bool
take_mid(const char *s, struct log_query *q)
{
	struct uuid u;
	const char *colon = strchr(s, ':');
	size_t n = colon == NULL ? strlen(s) : (size_t)(colon - s);
	uint64_t v;

	if (uuid_parse((struct span){s, n}, &u) == -1)
		return false;
	uuid_format(&u, q->mid);
	q->kind = LOG_QUERY_MID;
	if (colon == NULL)
		return true;
	if (str_to_u64(colon + 1, 0, INT64_MAX, &v) == -1)
		return false;
	q->kind = LOG_QUERY_MID_QID;
	q->qid = colon + 1;
	return true;
}

int
log_query_parse(const char *s, struct log_query *q, char *err, size_t errsize)
{
	size_t n = strlen(s);
	uint64_t v;

	memset(q, 0, sizeof(*q));
	q->text = s;
	if (n == 0) {
		(void)str_copy(err, errsize, "the query is empty");
		return -1;
	}
	if (strncmp(s, "text:", 5) == 0) {
		q->text = s + 5;
		return 0;
	}
	if (strncmp(s, "sid:", 4) == 0) {
		q->kind = LOG_QUERY_SID;
		q->text = s + 4;
		return 0;
	}
	if (n > 2 && s[0] == '/' && s[n - 1] == '/')
		return parse_regex(s, n, q, err, errsize);
	if (take_mid(strncmp(s, "mid:", 4) == 0 ? s + 4 : s, q))
		return 0;
	q->kind = LOG_QUERY_TEXT;
	if (strncmp(s, "qid:", 4) == 0)
		s += 4;
	if (str_to_u64(s, 0, INT64_MAX, &v) == 0) {
		q->kind = LOG_QUERY_QID;
		q->qid = s;
	}
	return 0;
}

static bool
contains_nocase(struct span line, const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; n <= line.n && i <= line.n - n; i++)
		if (span_eq_nocase((struct span){line.p + i, n}, text))
			return true;
	return false;
}

static bool
field_is(const struct log_event_line *l, const char *key, const char *value)
{
	const char *v = log_line_get(l, key);

	return v != NULL && str_eq_nocase(v, value);
}

static bool
regex_match(const regex_t *re, struct span line)
{
	char text[8192];

	/* the beginning of a line that is too long is searched */
	if (line.n >= sizeof(text))
		line.n = sizeof(text) - 1;
	memcpy(text, line.p, line.n);
	text[line.n] = '\0';
	return regexec(re, text, 0, NULL, 0) == 0;
}

bool
log_query_match(const struct log_query *q, struct span line, const struct log_event_line *l)
{
	switch (q->kind) {
	case LOG_QUERY_TEXT:
		return contains_nocase(line, q->text);
	case LOG_QUERY_MID:
		return field_is(l, "mid", q->mid);
	case LOG_QUERY_QID:
		return field_is(l, "qid", q->qid);
	case LOG_QUERY_MID_QID:
		return field_is(l, "mid", q->mid) && field_is(l, "qid", q->qid);
	case LOG_QUERY_SID:
		return field_is(l, "sid", q->text);
	case LOG_QUERY_REGEX:
		return regex_match(q->regex, line);
	}
	return false;
}

void
log_query_clear(struct log_query *q)
{
	if (q->regex != NULL)
		regfree(q->regex);
	free(q->regex);
	q->regex = NULL;
}
