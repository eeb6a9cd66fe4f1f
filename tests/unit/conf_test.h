/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_TESTS_UNIT_CONF_TEST_H
#define SUBMITD_TESTS_UNIT_CONF_TEST_H

/* What the tests of conf/ share: a text is read and its findings are compared, all of them. */

#include "base/str.h"
#include "conf/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CONF_TEST_MAX 12
struct conf_case {
	const char *name;
	const char *text;
	/* "LINE error: part of the text" in order of lines; all findings must be here */
	const char *want[CONF_TEST_MAX];
};

/* The configuration, or NULL; findings are the caller's. */
static inline struct conf *
conf_test_read(const char *text, struct conf_findings *f)
{
	struct buf raw = BUF_INIT;
	struct conf *c = NULL;

	if (conf_parse_text("t", text, &raw, f) == 0)
		c = conf_build(buf_span(&raw), f);
	buf_clear(&raw);
	conf_findings_sort(f);
	return c;
}

/* A configuration that must be right. */
static inline struct conf *
conf_test_good(const char *text)
{
	struct conf_findings f = {0};
	struct conf *c = conf_test_read(text, &f);
	size_t i;

	for (i = 0; i < f.n; i++)
		if (f.v[i].error)
			print_error("%u: %s\n", f.v[i].where.line, f.v[i].text);
	conf_findings_clear(&f);
	assert_non_null(c);
	return c;
}

static inline int
conf_test_matches(const struct conf_finding *x, const char *want)
{
	char *end, head[32];
	unsigned long line = strtoul(want, &end, 10);

	(void)str_copy(head, sizeof head, x->error ? " error: " : " warning: ");
	return x->where.line == line && strncmp(end, head, strlen(head)) == 0 &&
	       strstr(x->text, end + strlen(head)) != NULL;
}

/* How many findings are not as expected; they are printed. */
static inline size_t
conf_test_case(const struct conf_case *t)
{
	struct conf_findings f = {0};
	struct conf *c = conf_test_read(t->text, &f);
	size_t i, n = 0, bad = 0;

	while (n < CONF_TEST_MAX && t->want[n] != NULL)
		n++;
	for (i = 0; i < n || i < f.n; i++)
		if (i >= n || i >= f.n || !conf_test_matches(&f.v[i], t->want[i]))
			bad++;
	if (bad != 0) {
		print_error("%s: %zu findings, expected %zu\n", t->name, f.n, n);
		for (i = 0; i < f.n; i++)
			print_error("  got  %u %s: %s\n", f.v[i].where.line,
			    f.v[i].error ? "error" : "warning", f.v[i].text);
		for (i = 0; i < n; i++)
			print_error("  want %s\n", t->want[i]);
	}
	assert_true((c == NULL) == (f.errors != 0));
	conf_free(c);
	conf_findings_clear(&f);
	return bad;
}

static inline void
conf_test_cases(const struct conf_case *t, size_t n)
{
	size_t i, bad = 0;

	for (i = 0; i < n; i++)
		bad += conf_test_case(&t[i]);
	assert_int_equal(bad, 0);
}

/* A whole configuration in one line, so that what is appended begins in line 2. */
#define CONF_TEST_SERVER "server { hostname = \"mail.example.com\" } "
#define CONF_TEST_TLS "tls \"default\" { certificate = \"/c.pem\" key = \"/k.pem\" } "
#define CONF_TEST_FLOW "auth_flow \"staff\" { chain = {\"internal\"} } "
#define CONF_TEST_LISTENER                                                                         \
	"listener \"submission\" { bind = {\"0.0.0.0:587\"} relay_ou = {\"staff\"} } "
#define CONF_TEST_REST                                                                             \
	"ou \"staff\" { domains = {\"example.com\"} } "                                            \
	"domain \"example.com\" { ou = \"staff\" transport = \"in\" } "                            \
	"domain \"any\" { transport = \"out\" } transport \"out\" { method = \"lookup-mx\" } "     \
	"transport \"in\" { method = static hosts = {\"192.0.2.1:25\"} } "
#define CONF_TEST_BASE                                                                             \
	CONF_TEST_SERVER CONF_TEST_TLS CONF_TEST_FLOW CONF_TEST_LISTENER CONF_TEST_REST "\n"

#endif
