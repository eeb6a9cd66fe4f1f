/* SPDX-License-Identifier: ISC */
/*
 * Log lines and queries of submitctl log (S70): both forms, and values from outside
 * that try to look like fields.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/list.h"
#include "base/str.h"
#include "ctl/ctl_log_line.h"

#include <string.h>

#define MID "0199f3c0-1234-7abc-8def-0123456789ab"
static const char text_line[] =
    "2026-11-22T15:09:43.123Z level=info role=queue instance=0 event=delivery sid=9f3c01 mid=" MID
    " qid=432360 to=\"b@example.net\" reply=\"2.0.0 ok mid=evil \\\"x\\\" \\x1b[2J\" code=250";
static const char json_line[] =
    "{\"time\":\"2026-11-22T15:09:43.123Z\",\"level\":\"info\",\"event\":\"delivery\",\"sid\":"
    "\"9f3c01\",\"mid\":\"" MID "\",\"qid\":432360,\"to\":\"b@example.net\",\"code\":250}";

static void
test_parse(void **state)
{
	struct log_event_line l = {0};
	struct buf b = BUF_INIT;

	(void)state;
	assert_int_equal(log_line_parse(span_of(text_line), &l), 0);
	assert_string_equal(log_line_get(&l, "event"), "delivery");
	assert_string_equal(log_line_get(&l, "time"), "2026-11-22T15:09:43.123Z");
	assert_string_equal(log_line_get(&l, "mid"), MID);
	assert_string_equal(log_line_get(&l, "code"), "250");
	assert_string_equal(log_line_get(&l, "reply"), "2.0.0 ok mid=evil \"x\" ?[2J");
	log_line_format(&l, true, &b);
	assert_non_null(strstr(buf_cstr(&b), "\"qid\":432360,"));
	buf_reset(&b);
	log_line_format(&l, false, &b);
	assert_non_null(strstr(buf_cstr(&b), "delivery"));
	assert_int_equal(log_line_parse(span_of(json_line), &l), 0);
	assert_string_equal(log_line_get(&l, "qid"), "432360");
	buf_clear(&b);
	log_line_clear(&l);
}

static void
test_rubbish(void **state)
{
	static const char *const lines[] = {
	    "", "x", "event", "=", "event=\"unterminated", "{\"event\":", "[1]", "{}", "a=b c=d"};
	struct log_event_line l = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (log_line_parse(span_of(lines[i]), &l) != -1)
			fail_msg("\"%s\" is an event", lines[i]);
	/* behind syslog's own words */
	assert_int_equal(
	    log_line_parse(span_of("Nov 22 15:00:00 host submitd[7]: event=note text=x"), &l), 0);
	log_line_clear(&l);
}

static void
test_queries(void **state)
{
	static const struct {
		const char *query;
		enum log_query_kind kind;
		bool match;
	} rows[] = {
	    {MID, LOG_QUERY_MID, true},
	    {MID ":432360", LOG_QUERY_MID_QID, true},
	    {MID ":432361", LOG_QUERY_MID_QID, false},
	    {"0199f3c0-1234-7abc-8def-0123456789ac", LOG_QUERY_MID, false},
	    {"432360", LOG_QUERY_QID, true},
	    {"250", LOG_QUERY_QID, false},
	    {"text:250", LOG_QUERY_TEXT, true},
	    {"sid:9f3c01", LOG_QUERY_SID, true},
	    {"sid:9f3c0", LOG_QUERY_SID, false},
	    {"B@Example.NET", LOG_QUERY_TEXT, true},
	    {"c@example.net", LOG_QUERY_TEXT, false},
	    {"/code=2[0-9]+/", LOG_QUERY_REGEX, true},
	    {"/^code/", LOG_QUERY_REGEX, false},
	};
	struct log_event_line l = {0};
	struct log_query q;
	char err[200];

	(void)state;
	assert_int_equal(log_line_parse(span_of(text_line), &l), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(log_query_parse(rows[i].query, &q, err, sizeof(err)), 0);
		assert_int_equal(q.kind, rows[i].kind);
		if (log_query_match(&q, span_of(text_line), &l) != rows[i].match)
			fail_msg("%s", rows[i].query);
		log_query_clear(&q);
	}
	assert_int_equal(log_query_parse("/(/", &q, err, sizeof(err)), -1);
	assert_int_equal(log_query_parse("", &q, err, sizeof(err)), -1);
	log_line_clear(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parse),
	    cmocka_unit_test(test_rubbish),
	    cmocka_unit_test(test_queries),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
