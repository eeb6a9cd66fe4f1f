/* SPDX-License-Identifier: ISC */
/*
 * Lists of patterns with any bytes, on any names: first octet the subject, then lines of
 * patterns, an empty line, and the text. A denial of the text itself always wins, and no
 * answer is a yes where a pattern cannot be used.
 */
#include "base/list.h"
#include "base/str.h"
#include "mail/addr.h"
#include "mail/pattern.h"

#include <stdlib.h>
#include <string.h>

#define LINES 20

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
count(void *arg, const char *pattern, const char *why)
{
	(void)pattern;
	if (why == NULL || why[0] == '\0')
		abort();
	++*(size_t *)arg;
}

/* The list without its denials may only say yes more often. */
static void
check_denials(enum pattern_subject subject, char *const *v, size_t n, const char *text,
    enum pattern_result with)
{
	char *kept[LINES];
	struct pattern_list *l;
	size_t k = 0, bad = 0;

	for (size_t i = 0; i < n; i++)
		if (v[i][0] != '!')
			kept[k++] = v[i];
	l = pattern_list_new(subject, kept, k, count, &bad);
	if (with == PATTERN_YES && pattern_list_match(l, text, NULL) == PATTERN_NO)
		abort();
	pattern_list_free(l);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum pattern_subject subject;
	struct span rest = {(const char *)data + 1, size - 1}, line;
	struct pattern_list *l;
	struct net_addr client;
	char *v[LINES], *text;
	size_t n = 0, bad = 0;

	if (size < 2 || size > 4096)
		return 0;
	subject = data[0] % 2 == 0 ? PATTERN_OF_NAMES : PATTERN_OF_CLIENTS;
	while (rest.p != NULL && n < LINES) {
		line = span_cut(&rest, '\n');
		if (line.n == 0)
			break;
		v[n++] = span_dup(line);
	}
	text = span_dup(rest.p == NULL || rest.n > ADDR_TEXT ? (struct span){"a@b", 3} : rest);
	l = pattern_list_new(subject, v, n, count, &bad);
	if (subject == PATTERN_OF_NAMES)
		check_denials(subject, v, n, text, pattern_list_match(l, text, NULL));
	else if (net_addr_parse_ip(span_of(text), &client) == 0)
		(void)pattern_list_match_client(l, &client);
	pattern_list_free(l);
	for (size_t i = 0; i < n; i++)
		free(v[i]);
	free(text);
	return 0;
}
