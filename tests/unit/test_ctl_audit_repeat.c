/* SPDX-License-Identifier: ISC */
/*
 * Records of the audit that stand there twice (A1, A5): several senders that take turns,
 * more of them than are remembered, and what is no number of a sender.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/str.h"
#include "ctl/ctl_audit.h"

#include <string.h>

static struct ctl_audit_senders senders;

static int
each(void **state)
{
	(void)state;
	memset(&senders, 0, sizeof(senders));
	return 0;
}

static bool
see(const char *record)
{
	json_t *o = json_loads(record, 0, NULL);
	bool repeated = ctl_audit_is_repeated(&senders, o);

	assert_non_null(o);
	json_decref(o);
	return repeated;
}

static bool
see_from(const char *src, unsigned n)
{
	char text[200];

	assert_int_equal(str_printf(text, sizeof(text), "{\"src\":\"%s\",\"n\":%u}", src, n), 0);
	return see(text);
}

static void
test_turns(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= 5; n++) {
		assert_false(see_from("auth:0000000000000001", n));
		assert_false(see_from("queue:0000000000000001", n));
	}
	/* two of one come again, then it goes on; a gap is none */
	assert_true(see_from("queue:0000000000000001", 4));
	assert_true(see_from("queue:0000000000000001", 5));
	assert_false(see_from("queue:0000000000000001", 9));
	assert_true(see_from("queue:0000000000000001", 8));
	assert_true(see_from("auth:0000000000000001", 5));
	assert_false(see_from("auth:0000000000000001", 6));
	assert_false(see_from("auth:0000000000000002", 1));
}

/* Its sender ended before it could send them again: nothing else says that they are lost. */
static void
test_gap(void **state)
{
	static const char gap[] = "{\"kind\":\"gap\",\"src\":\"front:0000000000000001\","
				  "\"n\":5,\"lost\":3}";

	(void)state;
	for (unsigned n = 1; n <= 5; n++)
		assert_false(see_from("front:0000000000000001", n));
	assert_false(see(gap));
	assert_true(see(gap));
	assert_true(see_from("front:0000000000000001", 5));
	assert_false(see_from("front:0000000000000001", 6));
}

static void
test_many(void **state)
{
	char src[40];

	(void)state;
	for (unsigned i = 0; i < 3 * CTL_AUDIT_SENDERS; i++) {
		assert_int_equal(str_printf(src, sizeof(src), "front:%016x", i), 0);
		assert_false(see_from(src, 7));
		assert_false(see_from("queue:0000000000000001", i + 1));
	}
	assert_int_equal(senders.n, CTL_AUDIT_SENDERS);
	assert_true(see_from(src, 7));
	assert_true(see_from("queue:0000000000000001", 3 * CTL_AUDIT_SENDERS));
	/* forgotten: shown and counted as if it were new */
	assert_false(see_from("front:0000000000000000", 7));
}

static void
test_rubbish(void **state)
{
	static const char *const records[] = {"{}", "{\"src\":\"a:1\"}", "{\"n\":1}",
	    "{\"src\":\"a:1\",\"n\":0}", "{\"src\":\"a:1\",\"n\":-1}",
	    "{\"src\":\"a:1\",\"n\":\"1\"}", "{\"src\":1,\"n\":1}",
	    "{\"src\":\"0123456789012345678901234567890123456789\",\"n\":1}"};

	(void)state;
	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		assert_false(see(records[i]));
		assert_false(see(records[i]));
	}
	assert_int_equal(senders.n, 0);
	assert_false(see("{\"src\":\"a:1\",\"n\":9223372036854775807}"));
	assert_true(see("{\"src\":\"a:1\",\"n\":9223372036854775807}"));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_turns, each),
	    cmocka_unit_test_setup(test_gap, each),
	    cmocka_unit_test_setup(test_many, each),
	    cmocka_unit_test_setup(test_rubbish, each),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("ctl_audit_repeat", tests, NULL, NULL);
}
