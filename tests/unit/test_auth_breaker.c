/* SPDX-License-Identifier: ISC */
/*
 * The circuit breaker as a pure function of answers and time (C2): scripts of
 * questions and answers, and what each step gives.
 */
#include "authbackends/auth_breaker.h"

#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/*
 * One letter a step, 3 failures open it for 100 ms:
 *   f g   a question of name f or g, fails      y   a question, answered
 *   Q     a question that stays open            F Y the open question fails, is answered
 *   D     the open question is dropped          +   60 ms pass
 * The answer, one letter a step: c o h the state afterwards; x: the question was not let
 * through; C O H the same after a change that is to be told.
 */
static const struct {
	const char *what, *steps, *want;
} scripts[] = {
    {"answers never open", "yyyyyyyy", "cccccccc"},
    {"three failures of two names open", "ffgf", "ccOx"},
    {"one name alone never opens", "ffffffffff", "cccccccccc"},
    {"and a second one then does", "ffffg", "ccccO"},
    {"an answer between starts again", "fgyfgf", "cccccO"},
    {"open for the pause, then one probe that closes", "fgf+y+yfgf", "ccOoxoCccO"},
    {"a probe that fails opens for a whole pause again", "fgf++f+y+y", "ccOooooxoC"},
    {"one probe at a time", "fgf++QyyY", "ccOoohhhC"},
    {"a probe that was dropped makes room for the next", "fgf++QDy", "ccOoohoC"},
    {"an older question that fails does not make the pause longer", "Qfgf+F+y", "cccOoooC"},
    {"an older question that is answered closes", "QfgfY", "cccOC"},
    {"a question dropped while closed is nothing", "QDfgf", "ccccO"},
};

static void
run_script(const char *what, const char *steps, const char *want)
{
	struct auth_breaker b = {.max = 3, .pause_ms = 100};
	enum breaker_pass held = PASS_NO, p;
	int64_t now = 1000;
	size_t i;

	for (i = 0; steps[i] != '\0'; i++) {
		bool told = false, refused = false;
		char got;

		switch (steps[i]) {
		case '+':
			now += 60;
			break;
		case 'Q':
			held = auth_breaker_ask(&b, now);
			refused = held == PASS_NO;
			break;
		case 'D':
			auth_breaker_drop(&b, held, now);
			break;
		case 'F':
		case 'Y':
			told = auth_breaker_answer(&b, held, steps[i] == 'F', 'q', now);
			break;
		default:
			p = auth_breaker_ask(&b, now);
			refused = p == PASS_NO;
			if (!refused)
				told = auth_breaker_answer(
				    &b, p, steps[i] != 'y', (uint64_t)steps[i], now);
			break;
		}
		got = "coh"[b.state];
		if (told)
			got = (char)(got - 'a' + 'A');
		if (refused && want[i] == 'x')
			got = 'x';
		if (got != want[i])
			fail_msg("%s: step %zu (%c): got %c, wanted %c", what, i + 1, steps[i], got,
			    want[i]);
	}
	assert_int_equal(strlen(want), i);
}

static void
test_scripts(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(scripts); i++)
		run_script(scripts[i].what, scripts[i].steps, scripts[i].want);
}

/* breaker_failures = 0: whatever happens. */
static void
test_off(void **state)
{
	struct auth_breaker b = {.max = 0, .pause_ms = 100};
	unsigned i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		assert_int_equal(auth_breaker_ask(&b, i), PASS_ASK);
		assert_false(auth_breaker_answer(&b, PASS_ASK, true, i, i));
	}
	assert_int_equal(b.opened, 0);
}

/* One failure is enough where one is asked for, but still not of one name alone. */
static void
test_peek(void **state)
{
	struct auth_breaker b = {.max = 1, .pause_ms = 100};
	int64_t left = -1;

	(void)state;
	assert_false(auth_breaker_answer(&b, PASS_ASK, true, 1, 0));
	assert_true(auth_breaker_answer(&b, PASS_ASK, true, 2, 10));
	assert_int_equal(b.opened, 1);
	assert_int_equal(auth_breaker_peek(&b, 50, &left), PASS_NO);
	assert_int_equal(left, 60);
	assert_int_equal(auth_breaker_peek(&b, 110, &left), PASS_PROBE);
	assert_int_equal(left, 0);
	assert_int_equal(b.state, BREAKER_OPEN); /* looking changes nothing */
	assert_int_equal(auth_breaker_ask(&b, 110), PASS_PROBE);
	assert_int_equal(auth_breaker_peek(&b, 110, &left), PASS_NO);
	assert_string_equal(auth_breaker_state_name(b.state), "half-open");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_scripts),
	    cmocka_unit_test(test_off),
	    cmocka_unit_test(test_peek),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
