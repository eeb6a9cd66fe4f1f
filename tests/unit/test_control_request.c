/* SPDX-License-Identifier: ISC */
/*
 * Requests of the control socket, and explain's question and answer (C1).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/list.h"
#include "base/str.h"
#include "control/control.h"
#include "policy/explain.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *line;
	const char *error; /* part of it; NULL: fine */
} rows[] = {
    {"{\"cmd\":\"queue.list\",\"select\":{}}", NULL},
    {"{\"cmd\":\"reload\",\"user\":\"root\"}", NULL},
    {"{\"cmd\":\"state\"}", NULL},
    {"{\"cmd\":\"stats\"}", NULL},
    {"{\"cmd\":\"stats\",\"x\":1}", "does not know"},
    {"{\"cmd\":\"reload\",\"user\":7}", "short text"},
    {"{\"cmd\":\"reload\",\"user\":\"a\\nb\"}", "short text"},
    {"{\"cmd\":\"nope\"}", "no request"},
    {"{\"cmd\":7}", "needs"},
    {"{}", "needs"},
    {"{\"cmd\":\"auth.test\",\"login\":\"a\",\"secret\":1}", NULL},
    {"{\"cmd\":\"auth.test\",\"login\":\"a\",\"secret\":1024,\"ip\":\"::1\"}", NULL},
    {"{\"cmd\":\"auth.test\",\"login\":\"a\",\"secret\":1025}", "1 to 1024 octets"},
    {"{\"cmd\":\"auth.test\",\"login\":\"a\",\"secret\":0}", "1 to 1024 octets"},
    {"{\"cmd\":\"auth.test\",\"login\":\"a\",\"secret\":-1}", "1 to 1024 octets"},
    {"{\"cmd\":\"auth.test\",\"login\":\"a\",\"secret\":\"x\"}", "1 to 1024 octets"},
    {"{\"cmd\":\"auth.test\",\"login\":\"a\"}", "1 to 1024 octets"},
    {"{\"cmd\":\"auth.test\",\"with\":\"token\",\"secret\":8192}", NULL},
    {"{\"cmd\":\"auth.test\",\"with\":\"token\",\"secret\":8193}", "1 to 8192 octets"},
    {"{\"cmd\":\"auth.test\",\"with\":\"cert\",\"login\":\"a\",\"secret\":32768}", NULL},
    {"{\"cmd\":\"auth.test\",\"with\":\"cert\",\"secret\":32769}", "1 to 32768 octets"},
    {"{\"cmd\":\"auth.test\",\"with\":\"password\",\"login\":\"a\",\"secret\":1025}", "1 to 1024"},
    {"{\"cmd\":\"auth.test\",\"with\":\"key\",\"login\":\"a\",\"secret\":1}", "\"with\" is"},
    {"{\"cmd\":\"auth.test\",\"with\":2,\"login\":\"a\",\"secret\":1}", "\"with\" is"},
    {"{\"cmd\":\"auth.test\",\"secret\":1}", "short texts"},
    {"{\"cmd\":\"auth.test\",\"login\":\"a\\n\",\"secret\":1}", "short texts"},
    {"{\"cmd\":\"auth.test\",\"login\":\"a\",\"secret\":1,\"listener\":7}", "short texts"},
    {"{\"cmd\":\"auth.test\",\"login\":\"a\",\"secret\":1,\"password\":\"x\"}", "does not know"},
    {"[]", "another type"},
    {"", "no JSON object"},
    {"{\"cmd\":\"state\"", "no JSON object"},
    {"{\"cmd\":\"state\",\"cmd\":\"reload\"}", "no JSON object"},
    {"{\"cmd\":\"state\"} x", "no JSON object"},
};

static void
test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct control_request r = {0};
		char err[256] = "";
		int rc = control_request_parse(span_of(rows[i].line), &r, err, sizeof(err));

		if (rows[i].error == NULL && rc != 0)
			fail_msg("%s: %s", rows[i].line, err);
		if (rows[i].error != NULL && (rc == 0 || strstr(err, rows[i].error) == NULL))
			fail_msg("%s: \"%s\" lacks \"%s\"", rows[i].line, err, rows[i].error);
		control_request_clear(&r);
	}
}

/* Who asks is what the kernel says; the claimed name stands beside it. */
static void
test_user(void **state)
{
	static const struct {
		const char *line, *expect;
	} users[] = {
	    {"{\"cmd\":\"reload\",\"user\":\"root\"}", "root (uid 1000)"},
	    {"{\"cmd\":\"queue.hold\",\"select\":{\"all\":true}}", "uid 1000"},
	    {"{\"cmd\":\"queue.list\",\"user\":\"x\"}", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		struct control_request r = {0};
		char err[256];

		assert_int_equal(
		    control_request_parse(span_of(users[i].line), &r, err, sizeof(err)), 0);
		control_request_set_user(&r, 1000);
		if (users[i].expect == NULL)
			assert_null(control_request_user(&r));
		else
			assert_string_equal(control_request_user(&r), users[i].expect);
		control_request_clear(&r);
	}
}

/* How long a password is stands in no log: what is logged of a request is its object. */
static void
test_secret(void **state)
{
	struct control_request r = {0};
	char err[256], *json;

	(void)state;
	assert_int_equal(
	    control_request_parse(span_of("{\"cmd\":\"auth.test\",\"login\":\"a\",\"secret\":17}"),
		&r, err, sizeof(err)),
	    0);
	assert_true(r.command->changes);
	assert_int_equal(r.secret_size, 17);
	json = json_dumps(r.json, JSON_COMPACT);
	assert_string_equal(json, "{\"cmd\":\"auth.test\",\"login\":\"a\"}");
	free(json);
	control_request_clear(&r);
}

static void
test_end_line(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	control_end_line(&b, 0, NULL);
	assert_string_equal(buf_cstr(&b), "{\"end\":true,\"status\":0}\n");
	buf_reset(&b);
	control_end_line(&b, 1, "a \"b\"\n");
	assert_string_equal(
	    buf_cstr(&b), "{\"end\":true,\"status\":1,\"error\":\"a \\\"b\\\"\\u000a\"}\n");
	buf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_requests),
	    cmocka_unit_test(test_user),
	    cmocka_unit_test(test_secret),
	    cmocka_unit_test(test_end_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
