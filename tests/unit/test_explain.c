/* SPDX-License-Identifier: ISC */
/*
 * explain (C1): asks every stage in order, stops at the refusal, ends with exactly one
 * result row that says reply, rule and route.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/list.h"
#include "base/str.h"
#include "policy/explain.h"

#include <stdlib.h>
#include <string.h>

static const char conf_text[] =
    "server { hostname = \"mail.example.com\" }\n"
    "tls \"t\" { certificate = \"/x.pem\"  key = \"/x.key\" }\n"
    "backend \"f\" { type = file  path = \"/x.users\" }\n"
    "auth_flow \"flow\" { chain = {\"f\"} }\n"
    "listener \"sub\" { bind = {\"127.0.0.1:587\"}  auth_flow = \"flow\"\n"
    "  default_domain = \"hq.example\"  relay_ou = {\"hq\"} }\n"
    "ou \"hq\" { domains = {\"hq.example\"}  match_header_from = true }\n"
    "domain \"hq.example\" { ou = \"hq\"  transport = \"in\" }\n"
    "domain \"any\" { transport = \"out\" }\n"
    "transport \"in\" { method = static  hosts = {\"127.0.0.1:10025\"} }\n"
    "transport \"out\" { method = \"lookup-mx\" }\n";

struct seen {
	size_t steps, results;
	char stages[200];
	json_t *result;
};

static void
on_row(void *arg, const char *text)
{
	struct seen *s = arg;
	json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	const char *stage;

	assert_non_null(o);
	assert_int_equal(s->results, 0); /* the result comes last */
	stage = json_string_value(json_object_get(o, "stage"));
	if (json_is_true(json_object_get(o, "result"))) {
		s->results++;
		s->result = json_incref(o);
	} else {
		s->steps++;
		assert_non_null(json_object_get(o, "id"));
		assert_non_null(json_object_get(o, "note"));
		if (strstr(s->stages, stage) == NULL) {
			size_t n = strlen(s->stages);

			(void)str_printf(s->stages + n, sizeof(s->stages) - n, "%s ", stage);
		}
	}
	json_decref(o);
}

static const char *
get(const struct seen *s, const char *key)
{
	const char *v = json_string_value(json_object_get(s->result, key));

	return v == NULL ? "" : v;
}

/* clang-format off */
static const struct {
	const char *json;
	int rc;
	const char *stages, *reply, *id, *domain;
} rows[] = {
	{"{'cmd':'explain','auth':'alice','from':'alice@hq.example','rcpt':'x@gmail.example'}",
	 0, "connect auth mail rcpt data ", "250 2.0.0", "", "any"},
	{"{'auth':'alice','from':'alice','rcpt':'bob'}",
	 0, "connect auth mail rcpt data ", "250 2.0.0", "", "hq.example"},
	{"{'auth':'alice','from':'bob@hq.example','rcpt':'x@gmail.example'}",
	 1, "connect auth mail ", "550 5.7.1", "S11", ""},
	{"{'auth':'alice','no_tls':true,'from':'alice@hq.example','rcpt':'x@gmail.example'}",
	 1, "connect auth ", "538 5.7.11", "S1", ""},
	{"{'from':'alice@hq.example','rcpt':'bob@hq.example'}",
	 1, "connect mail ", "530 5.7.0", "S2", ""},
	{"{'auth':'alice','from':'<>','rcpt':'x@gmail.example'}",
	 0, "connect auth mail rcpt data ", "250 2.0.0", "", "any"},
	{"{'auth':'alice','from':'alice@hq.example','rcpt':'x@gmail.example','header_from':'alice@hq.example, ceo@hq.example'}",
	 1, "connect auth mail rcpt data ", "550 5.7.1", "C8", ""},
	/* C8: addresses that a backend gave with the login */
	{"{'auth':'alice','own':'sales@hq.example, bob','from':'bob@hq.example','rcpt':'x@gmail.example'}",
	 0, "connect auth mail rcpt data ", "250 2.0.0", "", "any"},
	{"{'auth':'alice','own':'sales@hq.example','from':'SALES@hq.example','rcpt':'x@gmail.example','header_from':'alice@hq.example'}",
	 0, "connect auth mail rcpt data ", "250 2.0.0", "", "any"},
	{"{'auth':'alice','own':'sales@hq.example','from':'bob@hq.example','rcpt':'x@gmail.example'}",
	 1, "connect auth mail ", "550 5.7.1", "S11", ""},
	{"{'auth':'alice','from':'alice@hq.example','rcpt':'x@gmail.example','size':99999999999}",
	 1, "connect auth mail ", "552 5.3.4", "P7", ""},
};
static const char *const bad[] = {
	"{'from':'a@b.example'}", "{'rcpt':'a@b.example'}", "{'from':'a b','rcpt':'a@b.example'}",
	"{'from':'a@b.example','rcpt':'<>'}", "{'from':'a@b.example','rcpt':'a@b.example','ip':'1.2.3'}",
	"{'from':'a@b.example','rcpt':'a@b.example','listener':'nope'}",
	"{'from':'a@b.example','rcpt':'a@b.example','header_from':'x y'}",
	"{'from':'a@b.example','rcpt':'a@b.example','own':'a@b.example'}",
	"{'auth':'a','from':'a@b.example','rcpt':'a@b.example','own':'a b'}",
	"{'from':'a@b.example','rcpt':'a@b.example','extra':1}", "{'from':7,'rcpt':'a@b.example'}",
	"{'from':'a@b.example','rcpt':'a@b.example','size':-1}", "{'from':'a\\nb','rcpt':'a@b.example'}",
};
/* clang-format on */

static struct conf *conf;

static json_t *
question(const char *text)
{
	char *copy = xstrdup(text);
	json_t *o;

	for (char *p = copy; *p != '\0'; p++)
		if (*p == '\'')
			*p = '"';
	o = json_loads(copy, JSON_REJECT_DUPLICATES, NULL);
	free(copy);
	assert_non_null(o);
	return o;
}

static int
ask(const char *text, struct seen *s)
{
	json_t *o = question(text);
	struct explain_request q;
	char err[512] = "";
	int rc = explain_request_from_json(o, &q, err, sizeof(err));

	if (rc == 0)
		rc = explain_run(conf, &q, on_row, s, err, sizeof(err));
	if (rc == -1)
		assert_true(err[0] != '\0');
	json_decref(o);
	return rc;
}

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct seen s = {0};

		if (ask(rows[i].json, &s) != rows[i].rc)
			fail_msg("%s: %s", rows[i].json, get(&s, "reply"));
		assert_int_equal(s.results, 1);
		assert_string_equal(s.stages, rows[i].stages);
		if (strncmp(get(&s, "reply"), rows[i].reply, strlen(rows[i].reply)) != 0)
			fail_msg("%s: %s", rows[i].json, get(&s, "reply"));
		assert_string_equal(get(&s, "id"), rows[i].id);
		assert_string_equal(get(&s, "domain"), rows[i].domain);
		json_decref(s.result);
	}
}

static void
test_bad_questions(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct seen s = {0};

		if (ask(bad[i], &s) != -1)
			fail_msg("%s was answered", bad[i]);
		assert_int_equal(s.steps + s.results, 0);
	}
}

static int
setup(void **state)
{
	struct buf raw = BUF_INIT;
	struct conf_findings f = {0};

	(void)state;
	if (conf_parse_text("test.conf", conf_text, &raw, &f) == 0)
		conf = conf_build(buf_span(&raw), &f);
	conf_findings_clear(&f);
	buf_clear(&raw);
	return conf == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	conf_free(conf);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_bad_questions),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
