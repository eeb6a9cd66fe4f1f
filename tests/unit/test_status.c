/* SPDX-License-Identifier: ISC */
/* STYLE 3: what nobody filled is temporary; texts are one clean line. D2: enhanced codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/str.h"
#include "mail/status.h"

static void
test_zero_is_temporary(void **state)
{
	struct status s = {0};
	char esc[STATUS_ESC_TEXT];

	(void)state;
	assert_int_equal(s.verdict, V_TEMP);
	status_esc(&s, esc);
	assert_string_equal(esc, "4.0.0");
	assert_string_equal(verdict_name(s.verdict), "temp");
	assert_string_equal(verdict_name(V_PERM), "perm");
}

static void
test_parse_esc(void **state)
{
	static const struct {
		const char *in, *out;
	} t[] = {
	    {"5.7.1", "5.7.1"},
	    {"5.7.1 text", "5.7.1"},
	    {"4.123.456", "4.123.456"},
	    {"2.0.0\tx", "2.0.0"},
	    {"3.1.1", NULL},
	    {"5.7", NULL},
	    {"5.7.", NULL},
	    {"5..1", NULL},
	    {"5.7.1234", NULL},
	    {"5.7.1x", NULL},
	    {"5.7.1.2", NULL},
	    {" 5.7.1", NULL},
	    {"", NULL},
	    {"5", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct status s = {0};
		char esc[STATUS_ESC_TEXT];
		int rc = status_parse_esc(span_of(t[i].in), &s);

		assert_int_equal(rc, t[i].out == NULL ? -1 : 0);
		assert_true(rc == 0 || s.esc_class == 0);
		status_esc(&s, esc);
		if (t[i].out != NULL)
			assert_string_equal(esc, t[i].out);
	}
}

static void
test_texts_are_clean(void **state)
{
	struct status s = {0};
	char *big = xmalloc(5001);

	(void)state;
	status_set(&s, V_PERM, 550, "5.7.1", "a\r\nb\t%s", "\xff\xc3\xbc ");
	assert_string_equal(s.text, "a  b ?\xc3\xbc");
	assert_int_equal(s.code, 550);
	assert_int_equal(s.esc_subject, 7);
	/* the arguments may be the status' own */
	status_set(&s, V_TEMP, 451, NULL, "again: %s", s.text);
	assert_string_equal(s.text, "again: a  b ?\xc3\xbc");
	assert_int_equal(s.esc_class, 0);
	memset(big, 'x', 5000);
	big[5000] = '\0';
	status_set(&s, V_TEMP, 451, NULL, "%s", big);
	assert_int_equal(strlen(s.text), 2000);
	status_set(&s, V_TEMP, 0, NULL, "%s", "");
	assert_null(s.text);
	status_clear(&s);
	free(big);
}

static void
test_record(void **state)
{
	struct status s = {0}, c = {0}, d = {0};
	struct buf b = BUF_INIT;
	struct rd r;

	(void)state;
	status_set(&s, V_PERM, 550, "5.1.1", "no such user");
	s.origin = ORIGIN_REMOTE;
	s.remote = xstrdup("mx.example");
	s.remote_ip = xstrdup("192.0.2.1");
	s.diagnosis = xstrdup("There is no such mailbox.");
	status_copy(&c, &s);
	status_copy(&c, &c);
	status_encode(&b, &c);
	for (size_t n = 0; n < buf_len(&b); n++) {
		rd_init(&r, buf_data(&b), n);
		assert_int_equal(status_decode(&r, &d), -1);
		assert_true(r.bad);
		assert_null(d.text);
	}
	rd_init(&r, buf_data(&b), buf_len(&b));
	assert_int_equal(status_decode(&r, &d), 0);
	assert_true(rd_done(&r));
	assert_int_equal(d.verdict, V_PERM);
	assert_int_equal(d.origin, ORIGIN_REMOTE);
	assert_int_equal(d.code, 550);
	assert_string_equal(d.text, s.text);
	assert_string_equal(d.remote, s.remote);
	assert_string_equal(d.remote_ip, s.remote_ip);
	assert_string_equal(d.diagnosis, s.diagnosis);
	/* out of range values are rubbish, not a verdict */
	b.mem[b.start + 1] = V__MAX;
	rd_init(&r, buf_data(&b), buf_len(&b));
	assert_int_equal(status_decode(&r, &d), -1);
	assert_int_equal(d.verdict, V_PERM);
	status_clear(&s);
	status_clear(&c);
	status_clear(&d);
	buf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_zero_is_temporary),
	    cmocka_unit_test(test_parse_esc),
	    cmocka_unit_test(test_texts_are_clean),
	    cmocka_unit_test(test_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
