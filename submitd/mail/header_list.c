/* SPDX-License-Identifier: ISC */
/*
 * Addresses out of an address-list field, as RFC 5322 3.4 and 4.4 have them. Pure;
 * run by the front on From and Sender (whom does this message claim to be from?)
 * and on the fields that are completed. What is not surely understood is BAD and
 * never skipped: policy must not overlook an address that a mail reader shows.
 */
#include "mail/header_list.h"
#include "base/str.h"

#include <string.h>

enum token {
	T_END = 0,
	T_WORD = 1,
	T_QUOTED = 2,
	T_LITERAL = 3,
	T_SPECIAL = 4, /* the byte itself is the text */
	T_BAD = 5
};

struct part {
	enum token kind;
	struct span text;
};

/* local part and domain as they are collected, without blanks and comments */
struct spec {
	char text[ADDR_TEXT];
	size_t n;
	bool overflow, last_word, several, quoted;
	size_t end;
};

void
header_list_init(struct header_list *l, struct span value)
{
	l->s = value;
	l->at = 0;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Blanks and nested comments. -1: a comment has no end. */
static int
skip_cfws(struct header_list *l)
{
	unsigned depth = 0;

	for (; l->at < l->s.n; l->at++) {
		char c = l->s.p[l->at];

		if (c == '(')
			depth++;
		else if (depth > 0 && c == ')')
			depth--;
		else if (depth > 0 && c == '\\')
			l->at++;
		else if (depth == 0 && !is_blank(c))
			break;
	}
	if (l->at > l->s.n)
		l->at = l->s.n;
	return depth == 0 ? 0 : -1;
}

static bool
is_word_byte(char c)
{
	return (uint8_t)c > ' ' && c != 0x7f && strchr("()<>[]:;@\\,.\"", c) == NULL;
}

/* From an opening to its closing byte, both included. */
static struct part
enclosed(struct header_list *l, char close, enum token kind)
{
	size_t from = l->at++;

	for (; l->at < l->s.n && l->s.p[l->at] != close; l->at++)
		if (l->s.p[l->at] == '\\')
			l->at++;
	if (l->at >= l->s.n) {
		l->at = l->s.n;
		return (struct part){T_BAD, {NULL, 0}};
	}
	l->at++;
	return (struct part){kind, {l->s.p + from, l->at - from}};
}

static struct part
next_part(struct header_list *l)
{
	size_t from;

	if (skip_cfws(l) == -1)
		return (struct part){T_BAD, {NULL, 0}};
	if (l->at >= l->s.n)
		return (struct part){T_END, {NULL, 0}};
	from = l->at;
	if (l->s.p[from] == '"')
		return enclosed(l, '"', T_QUOTED);
	if (l->s.p[from] == '[')
		return enclosed(l, ']', T_LITERAL);
	while (l->at < l->s.n && is_word_byte(l->s.p[l->at]))
		l->at++;
	if (l->at > from)
		return (struct part){T_WORD, {l->s.p + from, l->at - from}};
	if (strchr("<>:;@,.", l->s.p[from]) == NULL || l->s.p[from] == '\0')
		return (struct part){T_BAD, {NULL, 0}};
	l->at++;
	return (struct part){T_SPECIAL, {l->s.p + from, 1}};
}

static bool
is_special(const struct part *p, char c)
{
	return p->kind == T_SPECIAL && p->text.p[0] == c;
}

static void
spec_add(struct spec *s, const struct part *p, size_t end)
{
	if (s->n + p->text.n > sizeof(s->text)) {
		s->overflow = true;
		return;
	}
	memcpy(s->text + s->n, p->text.p, p->text.n);
	s->n += p->text.n;
	if (p->kind == T_SPECIAL)
		s->last_word = false;
	else {
		s->several = s->several || s->last_word;
		s->last_word = true;
	}
	s->quoted = s->quoted || p->kind == T_QUOTED;
	s->end = end;
}

/* Words and dots into s; gives the part behind them. */
static struct part
collect_local(struct header_list *l, struct part p, struct spec *s)
{
	memset(s, 0, sizeof(*s));
	while (p.kind == T_WORD || p.kind == T_QUOTED || is_special(&p, '.')) {
		spec_add(s, &p, l->at);
		p = next_part(l);
	}
	return p;
}

/* Behind an @ : the domain into s; gives the part behind it. */
static struct part
collect_domain(struct header_list *l, struct part at, struct spec *s)
{
	size_t local_end = s->end;
	struct part p;

	s->several = s->several || s->n == 0;
	spec_add(s, &at, l->at);
	p = next_part(l);
	if (p.kind == T_LITERAL) {
		spec_add(s, &p, l->at);
		p = next_part(l);
	} else
		while ((p.kind == T_WORD && !s->last_word) || is_special(&p, '.')) {
			spec_add(s, &p, l->at);
			p = next_part(l);
		}
	s->end = local_end;
	return p;
}

static enum header_list_item
finish(const struct spec *s, struct addr *out, size_t *local_end)
{
	enum addr_error e;

	if (s->overflow || s->several || s->n == 0)
		return HEADER_LIST_BAD;
	e = addr_parse((struct span){s->text, s->n}, ADDR_ALLOW_UTF8 | ADDR_ALLOW_UNQUALIFIED, out);
	*local_end = s->end;
	if (e == ADDR_OK)
		return HEADER_LIST_ADDR;
	/* a quoted string alone is a name whose address is missing, not an address */
	return e == ADDR_NO_DOMAIN && !s->quoted ? HEADER_LIST_UNQUALIFIED : HEADER_LIST_BAD;
}

/* Behind "<": [route] addr-spec ">". */
static int
collect_angle(struct header_list *l, struct spec *s)
{
	struct part p = next_part(l);

	if (is_special(&p, '@')) { /* obs-route */
		while (!is_special(&p, ':')) {
			if (p.kind == T_END || p.kind == T_BAD || is_special(&p, '>'))
				return -1;
			p = next_part(l);
		}
		p = next_part(l);
	}
	p = collect_local(l, p, s);
	if (is_special(&p, '@'))
		p = collect_domain(l, p, s);
	return is_special(&p, '>') ? 0 : -1;
}

enum header_list_item
header_list_next(struct header_list *l, struct addr *out, size_t *local_end)
{
	struct spec s;
	struct part p;

	for (;;) {
		do
			p = next_part(l);
		while (is_special(&p, ',') || is_special(&p, ';'));
		if (p.kind == T_END)
			return HEADER_LIST_END;
		p = collect_local(l, p, &s);
		if (!is_special(&p, ':'))
			break;
		/* "group:" goes before its members */
	}
	if (is_special(&p, '@'))
		p = collect_domain(l, p, &s);
	/* "a@b <c@d>" is wrong but common: the name is a name */
	if (is_special(&p, '<')) {
		if (collect_angle(l, &s) == -1)
			return HEADER_LIST_BAD;
		p = next_part(l);
	}
	if (p.kind != T_END && !is_special(&p, ',') && !is_special(&p, ';'))
		return HEADER_LIST_BAD;
	return finish(&s, out, local_end);
}
