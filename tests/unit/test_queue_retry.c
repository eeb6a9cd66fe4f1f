/* SPDX-License-Identifier: ISC */
/*
 * S62, S63, D1, D2, D3: retry times, expiry, backoff of destinations, who is told.
 * Pure: five days pass in microseconds. Needs no files.
 */
#include "queue/queue_retry.h"

#include "mail/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define MIN 60000ll
static const int64_t seed1[] = {15, 15, 30, 60};
static const int64_t seed2[] = {1, 3, 5};

/* S62: 15,15,30,60 x4 bounces inside two hours with five attempts in all. */
static void
test_seed_schedules(void **state)
{
	static const struct {
		const int64_t *delays;
		size_t n;
		int64_t count;
		unsigned tries;
		int64_t last_min;
	} cases[] = {
	    {seed1, 4, 4, 5, 120},
	    {seed2, 3, 3, 4, 9},
	    {seed2, 3, 5, 6, 19}, /* the last repeats */
	    {seed1, 4, 2, 3, 30}, /* surplus is ignored */
	    {seed2, 3, 0, 1, 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct retry_rule r = {
		    .delay_min = cases[i].delays, .n_delays = cases[i].n, .count = cases[i].count};
		int64_t now = 1000000, received = now;
		unsigned attempts = 1;
		while (!retry_gives_up(&r, attempts, received, now)) {
			now += retry_delay_ms(&r, attempts);
			attempts++;
		}
		assert_int_equal(attempts, cases[i].tries);
		assert_int_equal((now - received) / MIN, cases[i].last_min);
		assert_int_equal(retry_life_ms(&r), cases[i].last_min * MIN);
	}
}

static void
test_clock_jump(void **state)
{
	struct retry_rule r = {.delay_min = seed1, .n_delays = 4, .count = 4};

	(void)state;
	/* forward: one more try before the end */
	assert_false(retry_gives_up(&r, 1, 0, 30 * 1440 * MIN));
	assert_true(retry_gives_up(&r, 2, 0, 30 * 1440 * MIN));
	/* backward: never the end */
	assert_false(retry_gives_up(&r, 2, 30 * 1440 * MIN, 0));
	assert_int_equal(retry_longest_ms(&r), 60 * MIN);
}

static void
test_backoff(void **state)
{
	struct retry_rule r = {.delay_min = seed1, .n_delays = 4, .count = 4};
	struct retry_rule fast = {.delay_min = seed2, .n_delays = 1, .count = 4};
	static const int64_t want[] = {1, 2, 5, 10, 15, 30, 60, 60};

	(void)state;
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(retry_backoff_ms(&r, i + 1), want[i] * MIN);
		/* never longer than a lone message waits */
		assert_int_equal(retry_backoff_ms(&fast, i + 1), MIN);
	}
}

static void
test_warning(void **state)
{
	struct retry_rule r = {.delay_min = seed1, .n_delays = 4, .count = 4, .warn_min = 60};

	(void)state;
	assert_false(retry_warns(&r, 0, 0, 59 * MIN));
	assert_true(retry_warns(&r, 0, 0, 60 * MIN));
	assert_true(retry_warns(&r, NOTIFY_DELAY, 0, 60 * MIN));
	assert_false(retry_warns(&r, NOTIFY_FAILURE, 0, 60 * MIN));
	assert_false(retry_warns(&r, NOTIFY_NEVER, 0, 60 * MIN));
	r.warn_min = 0;
	assert_false(retry_warns(&r, 0, 0, 600 * MIN));
}

static void
test_fate(void **state)
{
	(void)state;
	assert_int_equal(retry_fate_of(MSG_AUTHENTICATED, false, 0), FATE_REPORT);
	assert_int_equal(
	    retry_fate_of(MSG_AUTHENTICATED, false, NOTIFY_FAILURE | NOTIFY_DELAY), FATE_REPORT);
	assert_int_equal(retry_fate_of(MSG_AUTHENTICATED, false, NOTIFY_NEVER), FATE_DROP);
	assert_int_equal(retry_fate_of(MSG_AUTHENTICATED, false, NOTIFY_SUCCESS), FATE_DROP);
	assert_int_equal(retry_fate_of(0, false, 0), FATE_HOLD);
	assert_int_equal(retry_fate_of(MSG_AUTHENTICATED, true, 0), FATE_HOLD);
	assert_int_equal(retry_fate_of(MSG_IS_DSN | MSG_AUTHENTICATED, true, 0), FATE_HOLD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_seed_schedules),
	    cmocka_unit_test(test_clock_jump),
	    cmocka_unit_test(test_backoff),
	    cmocka_unit_test(test_warning),
	    cmocka_unit_test(test_fate),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
