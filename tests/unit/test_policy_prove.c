/* SPDX-License-Identifier: ISC */
/*
 * The proof of `submitd -t` (S49, C6): no findings for a sound configuration, an
 * error for each that says otherwise, and an engine that is wrong is found out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/list.h"
#include "base/str.h"
#include "policy/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD                                                                                       \
	"server { hostname = \"mail.example.com\" }\n"                                             \
	"tls \"t\" { certificate = \"/x.pem\"  key = \"/x.key\" }\n"                               \
	"backend \"f\" { type = file  path = \"/x.users\" }\n"                                     \
	"auth_flow \"flow\" { chain = {\"f\", \"internal\"} }\n"                                   \
	"transport \"in\" { method = static  hosts = {\"127.0.0.1:10025\"} }\n"                    \
	"transport \"out\" { method = \"lookup-mx\" }\n"
#define SUB                                                                                        \
	"listener \"sub\" { bind = {\"127.0.0.1:587\"}  auth_flow = \"flow\"  relay_ou = "         \
	"{\"hq\"} }\n"
#define MX "listener \"mx\" { bind = {\"127.0.0.1:25\"}  role = relay  auth = off }\n"
#define OU "ou \"hq\" { domains = {\"hq.example\"} }\n"
#define HQ "domain \"hq.example\" { ou = \"hq\"  transport = \"in\" }\n"
#define ANY "domain \"any\" { transport = \"out\" }\n"
#define USER "user \"u@hq.example\" { ou = \"hq\"  secret = \"file:/x\"  smtp_auth = "

static struct conf *
build(const char *text)
{
	struct buf raw = BUF_INIT, line = BUF_INIT;
	struct conf_findings f = {0};
	struct conf *c = NULL;

	if (conf_parse_text("test.conf", text, &raw, &f) == 0)
		c = conf_build(buf_span(&raw), &f);
	for (size_t i = 0; c == NULL && i < f.n; i++) {
		buf_reset(&line);
		conf_finding_format(&f.v[i], &line);
		fprintf(stderr, "# %s\n", buf_cstr(&line));
	}
	conf_findings_clear(&f);
	buf_clear(&raw);
	buf_clear(&line);
	return c;
}

/* clang-format off */
static const struct {
	const char *text;
	bool error;
	const char *expect; /* part of a finding; NULL: no finding at all */
} rows[] = {
	{HEAD SUB MX OU HQ ANY, false, NULL},
	/* S49: the configuration asks for an open relay */
	{HEAD SUB MX OU HQ "domain \"any\" { transport = \"out\"  listeners = {\"mx\"} }\n", true, "open relay"},
	/* S7, S8 without AUTH */
	{HEAD SUB "listener \"mx\" { bind = {\"127.0.0.1:25\"}  role = relay  auth = off  relay_ou = {\"hq\"} }\n" OU HQ ANY, false, "no effect"},
	/* S7 named */
	{HEAD "listener \"s\" { bind = {\"127.0.0.1:587\"}  auth_flow = \"flow\"  relay_any_authenticated = true }\n" OU HQ ANY, false, "may send to anywhere"},
	/* nothing can be taken */
	{HEAD SUB "listener \"x\" { bind = {\"127.0.0.1:26\"}  role = relay  auth = off }\n"
	  OU "domain \"hq.example\" { ou = \"hq\"  transport = \"in\"  listeners = {\"sub\"} }\n" ANY, false, "no mail of anybody"},
	/* S15 */
	{HEAD SUB "ou \"hq\" { domains = {\"hq.example\"}  auth_user_mode = deny  auth_user_filter = {\"a@widgets.example\"} }\n" HQ ANY, false, "never matches"},
	{HEAD SUB "ou \"hq\" { domains = {\"hq.example\", \"b\xc3\xbc" "cher.example\"}  auth_user_mode = deny  auth_user_filter = {\"a@b\xc3\xbc" "cher.example\"} }\n" HQ ANY, false, NULL},
	/* S18 */
	{HEAD SUB OU HQ ANY USER "any_sender  senders = {\"*@hq.example\"} }\n", false, "overrides match_from"},
	{HEAD SUB OU HQ ANY USER "any_sender  senders = {\"*\"} }\n", false, "any foreign address"},
};
/* clang-format on */

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct conf *c = build(rows[i].text);
		struct conf_findings f = {0};
		bool found = false;

		if (c == NULL)
			fail_msg("row %zu does not build", i);
		policy_prove(c, &f);
		for (size_t k = 0; k < f.n; k++) {
			if (rows[i].expect != NULL && strstr(f.v[k].text, rows[i].expect) != NULL) {
				found = true;
				assert_int_equal(f.v[k].error, rows[i].error);
				assert_true(f.v[k].where.line > 0);
				assert_string_equal(f.v[k].where.file, "test.conf");
			} else if (rows[i].expect == NULL) {
				fail_msg("row %zu: %s", i, f.v[k].text);
			}
		}
		if (rows[i].expect != NULL && !found)
			fail_msg("row %zu: no \"%s\" in %zu findings", i, rows[i].expect, f.n);
		if (!rows[i].error)
			assert_int_equal(f.errors, 0);
		conf_findings_clear(&f);
		conf_free(c);
	}
}

/* Engines with one fault each. */
static void
decide_all_ok(const struct conf *c, const struct facts *f, struct policy_result *r)
{
	policy_decide(c, f, r);
	policy_result_clear(r);
	r->verdict = V_OK;
}

/* trusts the sender's domain (S8: it may not) */
static void
decide_trusts_sender(const struct conf *c, const struct facts *f, struct policy_result *r)
{
	struct facts g = *f;

	if (f->have_sender && f->sender.domain[0] != '\0' &&
	    conf_domain_is_internal(c, f->sender.ascii_domain)) {
		g.authenticated = true;
		g.principal = "boss@hq.example";
		g.principal_ou = "hq";
		g.have_sender = false;
	}
	policy_decide(c, &g, r);
}

/* compares suffixes without a label boundary (S72) */
static void
decide_by_suffix(const struct conf *c, const struct facts *f, struct policy_result *r)
{
	struct facts g = *f;
	size_t n = strlen(f->rcpt.ascii_domain);

	if (n > 10 && strcmp(f->rcpt.ascii_domain + n - 10, "hq.example") == 0)
		(void)addr_parse(span_of("u@hq.example"), 0, &g.rcpt);
	policy_decide(c, &g, r);
}

static void
test_wrong_engines(void **state)
{
	static policy_decide_fn *const engines[] = {
	    decide_all_ok, decide_trusts_sender, decide_by_suffix};
	struct conf *c = build(HEAD SUB MX OU HQ ANY);

	(void)state;
	assert_non_null(c);
	for (size_t i = 0; i < ARRAY_LEN(engines); i++) {
		struct conf_findings f = {0};

		policy_prove_with(c, &f, engines[i]);
		if (f.errors == 0)
			fail_msg("engine %zu passed", i);
		assert_non_null(strstr(f.v[0].text, "open relay"));
		conf_findings_clear(&f);
	}
	conf_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_wrong_engines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
