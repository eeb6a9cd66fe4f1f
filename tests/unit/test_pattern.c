/* SPDX-License-Identifier: ISC */
/*
 * S4, S6, S15, S75: lists of patterns: what a literal, a wildcard, a network and a regex
 * mean, that denials win, and that neither a hostile pattern nor a hostile name lasts.
 */
#include "mail/pattern.h"

#include "base/list.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static char complaint[300];

static void
complain(void *arg, const char *pattern, const char *why)
{
	(void)arg;
	if (complaint[0] == '\0')
		snprintf(complaint, sizeof(complaint), "%.40s: %s", pattern, why);
}

static struct pattern_list *
make(enum pattern_subject subject, const char *const *v, size_t max)
{
	char *copy[8] = {NULL};
	struct pattern_list *l;
	size_t n = 0;

	complaint[0] = '\0';
	for (; n < max && v[n] != NULL; n++)
		copy[n] = xstrdup(v[n]);
	l = pattern_list_new(subject, copy, n, complain, NULL);
	for (size_t i = 0; i < n; i++)
		free(copy[i]);
	return l;
}

static void
test_names(void **state)
{
	static const struct {
		const char *list[4], *text;
		enum pattern_result expect;
	} p[] = {
	    {{"a@x.example"}, "A@X.example", PATTERN_YES},
	    {{"a@x.example"}, "aa@x.example", PATTERN_NO},
	    {{"*@x.example", "!a@*"}, "a@x.example", PATTERN_NO},
	    {{"!a@*", "*@x.example"}, "b@x.example", PATTERN_YES},
	    {{"!a@*"}, "b@x.example", PATTERN_NO},
	    {{"anybody@*"}, "anybody@company.example", PATTERN_YES},
	    {{"\xc3\xb6lga@*"}, "\xc3\x96LGA@x", PATTERN_YES},
	    {{"O\xcc\x88lga@*"}, "\xc3\xb6lga@x", PATTERN_YES},
	    {{"*@x", "!\xc3\x96*@*"}, "\xc3\xb6lga@x", PATTERN_NO},
	    {{"strasse@x"},
		"stra\xc3\x9f"
		"e@x",
		PATTERN_NO},
	    {{"*@x"}, "\xff@x", PATTERN_BAD},
	    {{"anybody@*"}, "nobody@company.example", PATTERN_NO},
	    {{"x.example"}, "a@x.example", PATTERN_YES},
	    {{"x.example"}, "a@y.x.example", PATTERN_NO},
	    {{"*@x.example"}, "a@evilx.example", PATTERN_NO},
	    {{"/^(root|test)@/"}, "TEST@x.example", PATTERN_YES},
	    {{"/^(root|test)@/"}, "atest@x.example", PATTERN_NO},
	    {{"/^(.)(.)\\2\\1@/"}, "abba@x.example", PATTERN_YES},
	    {{"/^(?!admin)/", "!/\\.test$/"}, "admin@x.example", PATTERN_NO},
	    {{"/^(?!admin)/", "!/\\.test$/"}, "joe@x.test", PATTERN_NO},
	    {{"/^(?!admin)/", "!/\\.test$/"}, "joe@x.example", PATTERN_YES},
	    {{"/^J\xc3\x96RG@/"}, "j\xc3\xb6rg@x.example", PATTERN_YES},
	    {{"/^.@/"}, "\xc3\xb6@x.example", PATTERN_YES},
	    {{"/^a.b@/"},
		"a\xff"
		"b@x.example",
		PATTERN_NO},
	    {{"/@x$/"}, "a@x\n", PATTERN_NO},
	    {{"*@b\xc3\xbc"
	      "cher.example"},
		"a@xn--bcher-kva.example", PATTERN_YES},
	    {{"*.b\xc3\xbc"
	      "cher.example"},
		"a@mail.xn--bcher-kva.example", PATTERN_YES},
	    {{"j\xc3\xb6@b\xc3\xbc"
	      "cher.example"},
		"j\xc3\xb6@xn--bcher-kva.example", PATTERN_YES},
	    /* a final sigma and the zero width non-joiner make other domains (RFC 5894, 7.2) */
	    {{"\xce\xb1\xcf\x82.example"}, "a@xn--mxa8a.example", PATTERN_YES},
	    {{"\xce\xb1\xcf\x82.example"}, "a@xn--mxa0b.example", PATTERN_NO},
	    {{"\xce\xb1\xcf\x82.example"}, "a@\xce\xb1\xcf\x82.example", PATTERN_YES},
	    {{"\xce\xb1\xcf\x82.example"}, "a@\xce\xb1\xcf\x83.example", PATTERN_NO},
	    {{"\xce\xb1\xcf\x82"}, "\xce\x91\xce\xa3", PATTERN_YES}, /* a name */
	    {{"10.0.0.0/8"}, "a@x.example", PATTERN_NO},
	    {{"root"}, "root", PATTERN_YES},
	    {{"root"}, "root@x.example", PATTERN_NO},
	    {{NULL}, "a@x.example", PATTERN_NO},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(p); i++) {
		struct pattern_list *l = make(PATTERN_OF_NAMES, p[i].list, 4);

		if (complaint[0] != '\0' || pattern_list_match(l, p[i].text, NULL) != p[i].expect)
			fail_msg("row %zu: %s on %s (%s)", i, p[i].list[0], p[i].text, complaint);
		pattern_list_free(l);
	}
	assert_int_equal(pattern_list_match(NULL, "a@b", NULL), PATTERN_NO);
}

static void
test_clients(void **state)
{
	static const struct {
		const char *list[4], *ip;
		enum pattern_result expect;
	} p[] = {
	    {{"192.0.2.7"}, "192.0.2.7", PATTERN_YES},
	    {{"192.0.2.7"}, "192.0.2.70", PATTERN_NO},
	    {{"192.0.2.0/24"}, "192.0.2.255", PATTERN_YES},
	    {{"192.0.2.0/24", "!192.0.2.128/25"}, "192.0.2.200", PATTERN_NO},
	    {{"192.0.2.0/24", "!192.0.2.128/25"}, "192.0.2.20", PATTERN_YES},
	    {{"192.0.2.*"}, "192.0.2.9", PATTERN_YES},
	    {{"192.0.2.?"}, "192.0.2.10", PATTERN_NO},
	    {{"192.0.2.*"}, "192.0.20.9", PATTERN_NO},
	    {{"/^192\\.0\\.2\\.(7|9)$/"}, "192.0.2.9", PATTERN_YES},
	    {{"/^192\\.0\\.2\\.(7|9)$/"}, "192.0.2.79", PATTERN_NO},
	    {{"2001:db8::/32"}, "2001:db8:1::2", PATTERN_YES},
	    {{"2001:db8:*"}, "2001:DB8::2", PATTERN_YES},
	    {{"192.0.2.7"}, "::ffff:192.0.2.7", PATTERN_YES},
	    {{"192.0.2.0/24"}, "2001:db8::1", PATTERN_NO},
	    {{NULL}, "192.0.2.7", PATTERN_NO},
	};
	struct net_addr a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(p); i++) {
		struct pattern_list *l = make(PATTERN_OF_CLIENTS, p[i].list, 4);

		assert_int_equal(net_addr_parse_ip(span_of(p[i].ip), &a), 0);
		if (complaint[0] != '\0' || pattern_list_match_client(l, &a) != p[i].expect)
			fail_msg("row %zu: %s on %s (%s)", i, p[i].list[0], p[i].ip, complaint);
		pattern_list_free(l);
	}
}

/* What cannot be used is named with its reason, and answers nothing. */
static void
test_bad(void **state)
{
	static const struct {
		enum pattern_subject subject;
		const char *pattern, *why;
	} p[] = {
	    {PATTERN_OF_NAMES, "", "empty"},
	    {PATTERN_OF_NAMES, "!", "nothing behind"},
	    {PATTERN_OF_NAMES, "/^a", "ends with /"},
	    {PATTERN_OF_NAMES, "/(/", "parenthes"},
	    {PATTERN_OF_NAMES, "!/a{2,1}/", "at octet"},
	    {PATTERN_OF_NAMES, "/\\C/", "\\C"},
	    {PATTERN_OF_NAMES, "/\xff/", "UTF-8"},
	    {PATTERN_OF_NAMES, "/((a{1000}){1000}){1000}/", "too large"},
	    {PATTERN_OF_CLIENTS, "mail.example.com", "no address"},
	    {PATTERN_OF_CLIENTS, "192.0.2.0/33", "no address"},
	    {PATTERN_OF_CLIENTS, "*@example.com", "no address"},
	    {PATTERN_OF_CLIENTS, "192.0.2", "no address"},
	};
	char nested[200] = "/", many[PATTERN_REGEX_MAX + 4];
	const char *one[2] = {nested};
	struct pattern_list *l;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(p); i++) {
		const char *v[2] = {p[i].pattern};

		l = make(p[i].subject, v, 2);
		if (strstr(complaint, p[i].why) == NULL)
			fail_msg("%s: \"%s\"", p[i].pattern, complaint);
		assert_int_equal(pattern_list_match(l, "a", NULL), PATTERN_BAD);
		pattern_list_free(l);
	}
	memset(nested + 1, '(', 60);
	memset(nested + 61, ')', 60);
	nested[121] = '/';
	l = make(PATTERN_OF_NAMES, one, 2);
	assert_non_null(strstr(complaint, "nested"));
	pattern_list_free(l);
	memset(many, 'a', sizeof(many));
	many[0] = many[sizeof(many) - 2] = '/';
	many[sizeof(many) - 1] = '\0';
	one[0] = many;
	l = make(PATTERN_OF_NAMES, one, 2);
	assert_non_null(strstr(complaint, "longer than 500"));
	pattern_list_free(l);
}

static int64_t
cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The worst that a list may hold, on the worst name: unknown, never a no, and soon. */
static void
test_hostile(void **state)
{
	static const char *const hostile[] = {"/^(a+)+$/", "/^(a|aa)+$/", "/^((a*)*)*$/",
	    "/(x+x+)+y/", "/^(?:.*){20}!$/", "/^(.*)*\\1z$/", "/^(?R)?a+b$/"};
	char name[320], *all[PATTERN_REGEXES_MAX + 1];
	struct pattern_list *l;
	int64_t start;

	(void)state;
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 2] = '!';
	name[sizeof(name) - 1] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
		const char *v[2] = {hostile[i]};

		l = make(PATTERN_OF_NAMES, v, 2);
		assert_string_equal(complaint, "");
		start = cpu_ms();
		enum pattern_result m = pattern_list_match(l, name, NULL);
		assert_true(cpu_ms() - start < 500);
		if (i < 2 && m != PATTERN_BAD)
			fail_msg("%s answered %d", hostile[i], m);
		pattern_list_free(l);
	}
	/* as many as a list may have, each as dear as it can be and still a plain no */
	complaint[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		all[i] = xasprintf("/^.*.*.*x%zu$/", i);
	l = pattern_list_new(PATTERN_OF_NAMES, all, PATTERN_REGEXES_MAX, complain, NULL);
	assert_string_equal(complaint, "");
	name[50] = '\0';
	start = cpu_ms();
	(void)pattern_list_match(l, name, name + 1);
	assert_true(cpu_ms() - start < 1000);
	pattern_list_free(l);
	l = pattern_list_new(PATTERN_OF_NAMES, all, ARRAY_LEN(all), complain, NULL);
	assert_non_null(strstr(complaint, "more than a list may have"));
	pattern_list_free(l);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		free(all[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_clients),
	    cmocka_unit_test(test_bad),
	    cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
