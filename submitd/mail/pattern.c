/* SPDX-License-Identifier: ISC */
/*
 * Pattern lists of the configuration: auth_user_filter, auth_ip_filter, senders.
 * Pure, used by every role that decides. Regular expressions run without JIT, which
 * the sandbox would not let make code, and within limits: neither a pattern nor a
 * name can make a match last, it ends as unknown then, never as a no.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "mail/pattern.h"

#include "base/str.h"
#include "mail/addr.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#define NEST_MAX 50 /* parentheses in parentheses */

enum kind { KIND_BAD = 0, KIND_GLOB = 1, KIND_REGEX = 2, KIND_NET = 3 };

struct pattern {
	bool deny;
	enum kind kind;
	char *text;   /* KIND_GLOB: by addr_fold() where it is of names */
	char *ascii;  /* the same with A-labels; NULL: no other spelling */
	char *domain; /* as it was written, for texts with an @; NULL: text serves for all */
	struct net_cidr net;
	pcre2_code *code;
};
/* What is looked for; folded is what patterns without a regex see, NULL where there is none. */
struct subject {
	const char *text, *folded;
	char buf[ADDR_FOLDED];
};
struct pattern_list {
	enum pattern_subject subject;
	pcre2_match_context *limits; /* NULL without a regex */
	size_t n;
	struct pattern v[];
};

/* ---- compiling ------------------------------------------------------------------------------- */

static bool
is_regex(const char *p)
{
	size_t n = strlen(p);

	return n >= 2 && p[0] == '/' && p[n - 1] == '/';
}

static const char *
compile_regex(struct pattern *p, const char *text, char *err, size_t errsize)
{
	const uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C |
	                         PCRE2_CASELESS | PCRE2_DOLLAR_ENDONLY;
	pcre2_compile_context *c = pcre2_compile_context_create(NULL);
	size_t n = strlen(text) - 2, at = 0;
	PCRE2_UCHAR why[160];
	int code = 0;

	if (n > PATTERN_REGEX_MAX) {
		(void)str_printf(err, errsize, "longer than %d octets", PATTERN_REGEX_MAX);
		goto out;
	}
	if (c == NULL) {
		(void)str_copy(err, errsize, "out of memory");
		goto out;
	}
	pcre2_set_parens_nest_limit(c, NEST_MAX);
	p->code = pcre2_compile((PCRE2_SPTR)(text + 1), n, options, &code, &at, c);
	if (p->code == NULL) {
		if (pcre2_get_error_message(code, why, sizeof(why)) < 0)
			why[0] = '\0';
		(void)str_printf(err, errsize, "%s (at octet %zu)", (const char *)why, at + 1);
		goto out;
	}
	p->kind = KIND_REGEX;
out:
	pcre2_compile_context_free(c);
	return p->kind == KIND_BAD ? err : NULL;
}

/* Names come with their domain in A-labels; a pattern may be written either way. */
static char *
glob_ascii(const char *text)
{
	const char *at = strrchr(text, '@'), *domain = at == NULL ? text : at + 1;
	char ascii[ADDR_DOMAIN_MAX + 1];

	domain += strncmp(domain, "*.", 2) == 0 ? 2 : 0;
	if (str_is_ascii(span_of(domain)) || strpbrk(domain, "*?") != NULL ||
	    addr_domain_ascii(span_of(domain), ascii) == -1)
		return NULL;
	return xasprintf("%.*s%s", (int)(domain - text), text, ascii);
}

static char *
glob_folded(const char *text)
{
	size_t size = strlen(text) * 3 + ADDR_FOLDED;
	char *out = xmalloc(size);

	if (addr_fold(span_of(text), out, size) == -1)
		(void)str_copy(out, size, text);
	return out;
}

static const char *
compile_client(struct pattern *p, const char *text)
{
	if (net_cidr_parse(span_of(text), &p->net) == 0) {
		p->kind = KIND_NET;
		return NULL;
	}
	if (strpbrk(text, "*?") == NULL ||
	    strspn(text, "0123456789abcdefABCDEF.:*?") != strlen(text))
		return "no address, network or wildcard";
	p->text = xstrdup(text);
	p->kind = KIND_GLOB;
	return NULL;
}

/* NULL, or what is wrong. */
static const char *
compile(
    enum pattern_subject subject, struct pattern *p, const char *text, char *err, size_t errsize)
{
	p->deny = text[0] == '!';
	text += p->deny;
	if (text[0] == '\0')
		return p->deny ? "a ! with nothing behind it" : "empty";
	if (is_regex(text))
		return compile_regex(p, text, err, errsize);
	if (text[0] == '/')
		return "a regular expression ends with /";
	if (subject == PATTERN_OF_CLIENTS)
		return compile_client(p, text);
	p->text = glob_folded(text);
	/* one without @ may be a domain, and folding makes another one of some (final sigma) */
	if (strchr(text, '@') == NULL && !str_is_ascii(span_of(text)))
		p->domain = xstrdup(text);
	p->ascii = glob_ascii(p->domain != NULL ? p->domain : p->text);
	p->kind = KIND_GLOB;
	return NULL;
}

static pcre2_match_context *
make_limits(void)
{
	pcre2_match_context *m = pcre2_match_context_create(NULL);

	if (m == NULL)
		return NULL;
	pcre2_set_match_limit(m, PATTERN_MATCH_LIMIT);
	pcre2_set_depth_limit(m, PATTERN_DEPTH_LIMIT);
	pcre2_set_heap_limit(m, PATTERN_HEAP_LIMIT);
	return m;
}

struct pattern_list *
pattern_list_new(
    enum pattern_subject subject, char *const *v, size_t n, pattern_error_fn *fn, void *arg)
{
	struct pattern_list *l = xcallocarray(1, sizeof(*l) + n * sizeof(l->v[0]));
	size_t regexes = 0;
	char err[200];

	l->subject = subject;
	l->n = n;
	for (size_t i = 0; i < n; i++) {
		const char *why = compile(subject, &l->v[i], v[i], err, sizeof(err));

		if (l->v[i].kind == KIND_REGEX && ++regexes == PATTERN_REGEXES_MAX + 1)
			why = "one regular expression more than a list may have (100)";
		if (why != NULL && fn != NULL)
			fn(arg, v[i], why);
	}
	if (regexes > 0)
		l->limits = make_limits();
	return l;
}

void
pattern_list_free(struct pattern_list *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].text);
		free(l->v[i].ascii);
		free(l->v[i].domain);
		pcre2_code_free(l->v[i].code);
	}
	pcre2_match_context_free(l->limits);
	free(l);
}

/* ---- matching -------------------------------------------------------------------------------- */

static enum pattern_result
match_regex(const struct pattern_list *l, const pcre2_code *code, const char *text)
{
	pcre2_match_data *m;
	int rc;

	if (l->limits == NULL)
		return PATTERN_BAD;
	m = pcre2_match_data_create(1, NULL);
	if (m == NULL)
		return PATTERN_BAD;
	rc = pcre2_match(code, (PCRE2_SPTR)text, strlen(text), 0, 0, m, l->limits);
	pcre2_match_data_free(m);
	if (rc >= 0)
		return PATTERN_YES;
	return rc == PCRE2_ERROR_NOMATCH ? PATTERN_NO : PATTERN_BAD;
}

static enum pattern_result
match_one(const struct pattern_list *l, const struct pattern *p, const struct subject *s)
{
	const char *text;

	switch (p->kind) {
	case KIND_GLOB:
		if (s->folded == NULL)
			break;
		text = p->domain != NULL && strchr(s->folded, '@') != NULL ? p->domain : p->text;
		if (addr_glob_match(text, s->folded))
			return PATTERN_YES;
		return p->ascii != NULL && addr_glob_match(p->ascii, s->folded) ? PATTERN_YES
		                                                                : PATTERN_NO;
	case KIND_REGEX:
		return match_regex(l, p->code, s->text);
	case KIND_NET: /* pattern_list_match_client() */
	case KIND_BAD:
		break;
	}
	return PATTERN_BAD;
}

static void
subject_set(struct subject *s, const char *text)
{
	s->text = s->folded = text;
	if (text != NULL && !str_is_ascii(span_of(text)))
		s->folded = addr_fold(span_of(text), s->buf, sizeof(s->buf)) == 0 ? s->buf : NULL;
}

static enum pattern_result
match_all(const struct pattern_list *l, const char *text, const char *other,
    const struct net_addr *client)
{
	enum pattern_result found = PATTERN_NO;
	struct subject first, second;

	if (l == NULL || l->n == 0)
		return PATTERN_NO;
	subject_set(&first, text);
	subject_set(&second, other);
	for (size_t i = 0; i < l->n; i++) {
		const struct pattern *p = &l->v[i];
		enum pattern_result m;

		if (!p->deny && found == PATTERN_YES)
			continue;
		if (p->kind == KIND_NET && client != NULL)
			m = net_cidr_match(&p->net, client) ? PATTERN_YES : PATTERN_NO;
		else
			m = match_one(l, p, &first);
		if (m == PATTERN_NO && other != NULL)
			m = match_one(l, p, &second);
		if (m == PATTERN_BAD)
			return PATTERN_BAD;
		if (m == PATTERN_YES && p->deny)
			return PATTERN_NO;
		if (m == PATTERN_YES)
			found = PATTERN_YES;
	}
	return found;
}

enum pattern_result
pattern_list_match(const struct pattern_list *l, const char *text, const char *other)
{
	return match_all(l, text, other, NULL);
}

enum pattern_result
pattern_list_match_client(const struct pattern_list *l, const struct net_addr *client)
{
	char text[NET_ADDR_TEXT];

	net_addr_format_ip(client, text);
	return match_all(l, text, NULL, client);
}
