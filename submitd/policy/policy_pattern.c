/* SPDX-License-Identifier: ISC */
/*
 * Pattern lists of the configuration: auth_user_filter, senders. Pure; texts are
 * at most an address long. Regular expressions are POSIX extended ones without
 * back references, so matching takes linear time; they are compiled when they are
 * used, which happens at AUTH and for the few users with such a list.
 */
#include "policy/rule.h"

#include "base/str.h"

#include <regex.h>
#include <string.h>

#define REGEX_MAX 500

static bool
is_regex(const char *p)
{
	size_t n = strlen(p);

	return n >= 2 && p[0] == '/' && p[n - 1] == '/';
}

/* Back references make glibc's matcher exponential. */
static bool
has_back_reference(const char *p)
{
	for (; *p != '\0'; p++) {
		if (*p != '\\')
			continue;
		p++;
		if (*p >= '1' && *p <= '9')
			return true;
		if (*p == '\0')
			break;
	}
	return false;
}

static int
regex_compile(const char *pattern, regex_t *re, char *err, size_t errsize)
{
	char text[REGEX_MAX + 1];
	size_t n = strlen(pattern) - 2;
	int rc;

	if (n > REGEX_MAX) {
		(void)str_printf(err, errsize, "longer than %d octets", REGEX_MAX);
		return -1;
	}
	memcpy(text, pattern + 1, n);
	text[n] = '\0';
	if (has_back_reference(text)) {
		(void)str_copy(err, errsize, "back references are not allowed");
		return -1;
	}
	rc = regcomp(re, text, REG_EXTENDED | REG_ICASE | REG_NOSUB);
	if (rc != 0) {
		(void)regerror(rc, re, err, errsize);
		return -1;
	}
	return 0;
}

static enum pattern_result
pattern_match(const char *pattern, const char *text)
{
	regex_t re;
	char err[128];
	int rc;

	if (!is_regex(pattern))
		return addr_glob_match(pattern, text) ? PATTERN_YES : PATTERN_NO;
	if (regex_compile(pattern, &re, err, sizeof(err)) == -1)
		return PATTERN_BAD;
	rc = regexec(&re, text, 0, NULL, 0);
	regfree(&re);
	if (rc == 0)
		return PATTERN_YES;
	return rc == REG_NOMATCH ? PATTERN_NO : PATTERN_BAD;
}

const char *
policy_pattern_check(const char *pattern, char *err, size_t errsize)
{
	regex_t re;

	if (pattern[0] == '!')
		pattern++;
	if (pattern[0] == '\0') {
		(void)str_copy(err, errsize, "empty");
		return err;
	}
	if (pattern[0] == '/' && !is_regex(pattern)) {
		(void)str_copy(err, errsize, "a regular expression ends with /");
		return err;
	}
	if (!is_regex(pattern))
		return NULL;
	if (regex_compile(pattern, &re, err, errsize) == -1)
		return err;
	regfree(&re);
	return NULL;
}

/* Denials beat allowances, irrespective of order (S75). other: a second spelling, or NULL. */
static enum pattern_result
list_match(const struct conf_list *list, const char *text, const char *other)
{
	enum pattern_result found = PATTERN_NO;

	for (size_t i = 0; i < list->n; i++) {
		const char *p = list->v[i];
		bool deny = p[0] == '!';
		enum pattern_result m;

		if (!deny && found == PATTERN_YES)
			continue;
		p += deny ? 1 : 0;
		m = pattern_match(p, text);
		if (m == PATTERN_NO && other != NULL)
			m = pattern_match(p, other);
		if (m == PATTERN_BAD)
			return PATTERN_BAD;
		if (m == PATTERN_YES && deny)
			return PATTERN_NO;
		if (m == PATTERN_YES)
			found = PATTERN_YES;
	}
	return found;
}

enum pattern_result
policy_list_match(const struct conf_list *list, const char *text)
{
	return list_match(list, text, NULL);
}

/* An internationalised domain may stand in the list in either form. */
enum pattern_result
policy_list_match_addr(const struct conf_list *list, const struct addr *a)
{
	char shown[ADDR_TEXT], ascii[ADDR_TEXT];

	addr_format(a, shown);
	if (a->ascii_domain[0] == '\0' || strcmp(a->domain, a->ascii_domain) == 0 ||
	    addr_format_ascii(a, ascii) == -1)
		return list_match(list, shown, NULL);
	return list_match(list, shown, ascii);
}
