/* SPDX-License-Identifier: ISC */
/*
 * S45 C2: what each answer of a web server means, and what auth-test shows of it.
 */
#include "authbackends/http_trace.h"
#include "authbackends/http_verdict.h"

#include "base/list.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static struct conf_backend block;

/* "field=ok=true user=u own=a newline expect=X status" */
static void
rule_of(const char *text, struct http_rule *r)
{
	static char words[200];
	struct span rest, word;

	memset(&block, 0, sizeof(block));
	assert_int_equal(str_copy(words, sizeof(words), text), 0);
	rest = span_of(words);
	while (rest.p != NULL && rest.n > 0) {
		word = span_cut(&rest, ' ');
		words[word.p + word.n - words] = '\0';
		if (span_starts_nocase(word, "field="))
			block.expect_field = words + (word.p - words) + 6;
		else if (span_starts_nocase(word, "user="))
			block.user_field = words + (word.p - words) + 5;
		else if (span_starts_nocase(word, "own="))
			block.addresses_field = words + (word.p - words) + 4;
		else if (span_starts_nocase(word, "expect="))
			block.expect = words + (word.p - words) + 7;
		else if (span_eq(word, "newline"))
			block.expect_newline = true;
		else if (span_eq(word, "status"))
			block.expect_status = true;
		else
			fail_msg("%s", text);
	}
	http_rule_init(r, &block);
}

#define DEEP "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["

static const struct {
	const char *rule;
	long status;
	const char *body;
	enum verdict want;
	bool misconfigured;
	const char *name, *own;
} answers[] = {
    {"", 200, "OK", V_OK, false, "", ""},
    {"", 200, "OK\n", V_PERM, false, "", ""},
    {"", 200, "ok", V_PERM, false, "", ""},
    {"", 200, "OK ", V_PERM, false, "", ""},
    {"", 200, "", V_PERM, false, "", ""},
    {"expect=yes", 200, "yes", V_OK, false, "", ""},
    {"newline", 200, "OK", V_OK, false, "", ""},
    {"newline", 200, "OK\n", V_OK, false, "", ""},
    {"newline", 200, "OK\r\n", V_OK, false, "", ""},
    {"newline", 200, "OK\n\n", V_PERM, false, "", ""},
    {"newline", 200, "OK\r", V_PERM, false, "", ""},
    {"newline", 200, "\nOK", V_PERM, false, "", ""},
    {"status", 200, "anything", V_OK, false, "", ""},
    {"status", 204, "", V_TEMP, false, "", ""},
    {"", 401, "OK", V_PERM, false, "", ""},
    {"", 403, "OK", V_PERM, false, "", ""},
    {"", 404, "OK", V_TEMP, true, "", ""},
    {"", 301, "OK", V_TEMP, true, "", ""},
    {"", 400, "OK", V_TEMP, true, "", ""},
    {"", 407, "OK", V_TEMP, true, "", ""},
    {"", 408, "OK", V_TEMP, false, "", ""},
    {"", 429, "OK", V_TEMP, false, "", ""},
    {"", 500, "OK", V_TEMP, false, "", ""},
    {"", 503, "OK", V_TEMP, false, "", ""},
    {"", 100, "OK", V_TEMP, false, "", ""},
    {"", 206, "OK", V_TEMP, false, "", ""},
    {"field=ok", 200, "{\"ok\":true}", V_OK, false, "", ""},
    {"field=ok", 200, "{\"ok\":\"true\"}", V_OK, false, "", ""},
    {"field=ok", 200, "{\"ok\":false}", V_PERM, false, "", ""},
    {"field=ok", 200, "{\"ok\":1}", V_PERM, false, "", ""},
    {"field=ok=1", 200, "{\"ok\":1}", V_OK, false, "", ""},
    {"field=ok=a=b", 200, "{\"ok\":\"a=b\"}", V_OK, false, "", ""},
    {"field=ok=", 200, "{\"ok\":\"\"}", V_OK, false, "", ""},
    {"field=ok", 200, "{\"ok\":null}", V_PERM, false, "", ""},
    {"field=ok", 200, "{\"ok\":1.5}", V_PERM, false, "", ""},
    {"field=ok", 200, "{\"OK\":true}", V_TEMP, false, "", ""},
    {"field=ok", 200, "{\"ok\":true,\"ok\":false}", V_TEMP, false, "", ""},
    {"field=ok", 200, "{\"ok\":true} x", V_TEMP, false, "", ""},
    {"field=ok", 200, "{\"ok\":true", V_TEMP, false, "", ""},
    {"field=ok", 200, "[{\"ok\":true}]", V_TEMP, false, "", ""},
    {"field=ok", 200, "{\"ok\":" DEEP, V_TEMP, false, "", ""},
    {"field=ok", 200, "", V_TEMP, false, "", ""},
    {"field=ok", 200, "true", V_TEMP, false, "", ""},
    {"field=a.b.c", 200, "{\"a\":{\"b\":{\"c\":true}}}", V_OK, false, "", ""},
    {"field=a.b", 200, "{\"a.b\":true}", V_OK, false, "", ""},
    {"field=a.b", 200, "{\"a\":true}", V_TEMP, false, "", ""},
    {"field=ok user=u", 200, "{\"ok\":true,\"u\":\"Al\"}", V_OK, false, "Al", ""},
    {"field=ok user=u", 200, "{\"ok\":false,\"u\":\"Al\"}", V_PERM, false, "", ""},
    {"field=ok user=u", 200, "{\"ok\":true}", V_TEMP, false, "", ""},
    {"field=ok user=u", 200, "{\"ok\":true,\"u\":\"\"}", V_TEMP, false, "", ""},
    {"field=ok user=u", 200, "{\"ok\":true,\"u\":\"a\\nb\"}", V_TEMP, false, "", ""},
    {"field=ok user=u", 200, "{\"ok\":true,\"u\":\"a\\u0000b\"}", V_TEMP, false, "", ""},
    {"field=ok user=u", 200, "{\"ok\":true,\"u\":[\"a\"]}", V_TEMP, false, "", ""},
    {"field=ok own=m", 200, "{\"ok\":true,\"m\":[\"a@b.example\",\"bad\",1]}", V_OK, false, "",
	"a@b.example"},
    {"field=ok own=m", 200, "{\"ok\":true,\"m\":\"a@b.example\"}", V_OK, false, "", "a@b.example"},
    {"field=ok own=m", 200, "{\"ok\":true}", V_OK, false, "", ""},
    {"status user=u", 200, "{\"u\":\"al\"}", V_OK, false, "al", ""},
    {"status user=u", 200, "welcome", V_TEMP, false, "", ""},
};

static void
test_answers(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(answers); i++) {
		struct auth_check c = {.login = "x"};
		struct http_rule r;
		bool misconfigured = false;
		enum verdict v;

		rule_of(answers[i].rule, &r);
		v = http_verdict(
		    &r, answers[i].status, span_of(answers[i].body), &c, &misconfigured);
		if (v != answers[i].want || misconfigured != answers[i].misconfigured)
			fail_msg("%zu: %s %ld %s: %d %d, %s", i, answers[i].rule, answers[i].status,
			    answers[i].body, v, misconfigured, c.reason);
		assert_true((v == V_OK) == (c.reason[0] == '\0'));
		if (v == V_OK)
			assert_string_equal(c.name, answers[i].name);
		assert_string_equal(buf_cstr(&c.own), answers[i].own);
		buf_clear(&c.own);
		http_rule_clear(&r);
	}
}

/* C2: an error that a name provoked says nothing about the server; its front's 502 does. */
static void
test_is_answer(void **state)
{
	static const long well[] = {200, 204, 301, 400, 401, 404, 414, 422, 500, 501},
			  away[] = {0, 100, 408, 425, 429, 502, 503, 504};
	struct auth_check c = {.login = "x"};
	struct http_rule r;
	size_t i;
	bool m;

	(void)state;
	rule_of("field=ok", &r);
	for (i = 0; i < ARRAY_LEN(well); i++) {
		(void)http_verdict(&r, well[i], span_of("<html>"), &c, &m);
		assert_true(c.answered);
	}
	for (i = 0; i < ARRAY_LEN(away); i++) {
		(void)http_verdict(&r, away[i], span_of("<html>"), &c, &m);
		assert_false(c.answered);
	}
	http_rule_clear(&r);
}

/* A NUL in the answer ends nothing. */
static void
test_nul(void **state)
{
	struct auth_check c = {.login = "x"};
	struct http_rule r;
	bool m;

	(void)state;
	rule_of("", &r);
	assert_int_equal(http_verdict(&r, 200, (struct span){"OK\0", 3}, &c, &m), V_PERM);
	assert_int_equal(http_verdict(&r, 200, (struct span){"OK\0", 2}, &c, &m), V_OK);
	http_rule_clear(&r);
}

static void
test_shown(void **state)
{
	static const struct {
		const char *password, *said, *want;
	} cases[] = {
	    {"secret", "your secret is secretive", "your *** is ***ive"},
	    {"a b", "a b a%20b", "*** ***"},
	    {"q\"", "{\"p\":\"q\\\"\"}", "{\"p\":\"***\"}"},
	    {"pw", "Authorization: Basic YWxpY2U6cHc=", "Authorization: Basic ***"},
	    {"x", "\x01\xff\n\\", "\\x01\\xff\\n\\x5c"},
	};
	struct buf out = BUF_INIT;
	char long_text[1000];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct auth_check c = {.login = "alice"};

		secret_set(&c.password, cases[i].password, strlen(cases[i].password));
		buf_reset(&out);
		http_trace_shown(&out, span_of(cases[i].said), &c);
		assert_string_equal(buf_cstr(&out), cases[i].want);
		secret_clear(&c.password);
	}
	memset(long_text, 'y', sizeof(long_text));
	struct auth_check c = {.login = "alice"};
	secret_set(&c.password, "zz", 2);
	buf_reset(&out);
	http_trace_shown(&out, (struct span){long_text, sizeof(long_text)}, &c);
	assert_int_equal(buf_len(&out), HTTP_SHOWN_MAX + 3);
	secret_clear(&c.password);
	buf_clear(&out);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_answers),
	    cmocka_unit_test(test_is_answer),
	    cmocka_unit_test(test_nul),
	    cmocka_unit_test(test_shown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("http_verdict", tests, NULL, NULL);
}
