/* SPDX-License-Identifier: ISC */
/*
 * The members of audit records (A1, A2, A6): no text of a client leaves its place.
 */
#include "ledger/audit_record.h"

#include "base/str.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static json_t *
parse(struct buf *b)
{
	struct buf line = BUF_INIT;
	json_t *j;

	buf_add_str(&line, "{\"seq\":1");
	buf_add_span(&line, buf_span(b));
	buf_add_byte(&line, '}');
	assert_null(memchr(buf_data(&line), '\n', buf_len(&line)));
	j = json_loadb((const char *)buf_data(&line), buf_len(&line), JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(j);
	buf_clear(&line);
	buf_clear(b);
	return j;
}

static void
test_records(void **state)
{
	/* would end the text, the line and the record */
	static const char evil[] = "x\",\"verdict\":\"ok\"}\n{\"seq\":9}\xff\x01\\";
	struct ipc_audit_auth m = {.sid = 0x9f3c01,
	    .client = {4, {192, 0, 2, 1}, 4711},
	    .listener = span_of(evil),
	    .helo = span_of(evil),
	    .name_known = 1,
	    .login = span_of(evil),
	    .reason = span_of(evil),
	    .ms = 12,
	    .verdict = 3};
	struct audit_accept acc = {.sender = span_of(""), .n_rcpts = 2, .size = 99};
	struct ipc_audit_note note = {.kind = span_of("reload"), .json = span_of("{\"a\":1}")};
	struct buf b = BUF_INIT;
	json_t *j;

	(void)state;
	audit_record_auth(&b, &m);
	j = parse(&b);
	assert_string_equal(json_string_value(json_object_get(j, "sid")), "00000000009f3c01");
	assert_string_equal(json_string_value(json_object_get(j, "client")), "192.0.2.1:4711");
	assert_string_equal(json_string_value(json_object_get(j, "verdict")), "perm");
	assert_memory_equal(json_string_value(json_object_get(j, "login")), evil, 15);
	assert_null(json_object_get(j, "login_hash"));
	json_decref(j);

	/* A1: a name that nobody knows */
	m.name_known = 0;
	m.login = span_of("7:0123456789abcdef");
	m.verdict = 200;
	audit_record_auth(&b, &m);
	j = parse(&b);
	assert_null(json_object_get(j, "login"));
	assert_int_equal(json_integer_value(json_object_get(j, "login_length")), 7);
	assert_string_equal(
	    json_string_value(json_object_get(j, "login_hash")), "0123456789abcdef");
	assert_string_equal(json_string_value(json_object_get(j, "verdict")), "temp");
	json_decref(j);

	memcpy(acc.mid.b, "0123456789abcdef", sizeof(acc.mid.b));
	audit_record_accept(&b, &acc);
	j = parse(&b);
	assert_string_equal(
	    json_string_value(json_object_get(j, "mid")), "30313233-3435-3637-3839-616263646566");
	assert_string_equal(json_string_value(json_object_get(j, "from")), "");
	assert_int_equal(json_integer_value(json_object_get(j, "rcpts")), 2);
	json_decref(j);

	audit_record_note(&b, &note);
	j = parse(&b);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "data"), "a")), 1);
	json_decref(j);
	note.json = span_of("{\"a\":1},\"kind\":\"x\"");
	audit_record_note(&b, &note);
	j = parse(&b);
	assert_true(json_is_string(json_object_get(j, "data")));
	json_decref(j);
	buf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
