/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_TESTS_UNIT_GUARD_TEST_H
#define SUBMITD_TESTS_UNIT_GUARD_TEST_H

/* What the tests of the brake (A7) share: counts with a clock of their own, and attempts. */

#include "ledger/guard.h"

#include "base/list.h"
#include "base/str.h"
#include "conf_test.h"

#define MIN INT64_C(60000)
#define HOUR (60 * MIN)
#define DAY (24 * HOUR)

static const uint8_t secret[32] = {1, 2, 3};
static const struct guard_options options = {
    .rates = {[GUARD_ADDRESS] = {{{5, 10 * MIN}, {20, DAY}}, 2},
	[GUARD_NETWORK] = {{{30, 10 * MIN}}, 1},
	[GUARD_USER] = {{{10, 10 * MIN}}, 1},
	[GUARD_PAIR] = {{{10, 10 * MIN}}, 1},
	[GUARD_HOME] = {{{10, 10 * MIN}}, 1}},
    .lockout_ms = 30 * MIN,
    .tarpit_ms = 20000,
    .remember_ms = 28 * DAY,
};
static struct guard *g;
static int64_t now;
static unsigned n_locked, n_unlocked;
static uint64_t last_guess;

static inline void
on_lock(const struct guard_row *r, bool locked)
{
	(void)r;
	if (locked)
		n_locked++;
	else
		n_unlocked++;
}

static inline int
set_up(void **state)
{
	(void)state;
	now = INT64_C(1800000000000);
	g = guard_new(&options, secret);
	guard_on_lock(g, on_lock);
	n_locked = n_unlocked = 0;
	return 0;
}

static inline int
tear_down(void **state)
{
	(void)state;
	guard_free(g);
	g = NULL;
	return 0;
}

static inline struct guard_query
query(const char *ip, const char *user, uint64_t guess)
{
	struct guard_query q;
	struct net_addr a;

	assert_int_equal(net_addr_parse_ip(span_of(ip), &a), 0);
	guard_query_make(g, &q, &a, span_of(user), guess == 0 ? ++last_guess << 20 : guess);
	return q;
}

/* One attempt from question to outcome; what the guard said to it. */
static inline struct guard_answer
try(const char *ip, const char *user, uint64_t guess, enum guard_outcome outcome)
{
	struct guard_query q = query(ip, user, guess);
	struct guard_answer a;

	guard_ask(g, now, &q, &a);
	if (a.verdict == GUARD_GO)
		guard_note(g, now, &q, outcome, span_of(user));
	return a;
}

static inline void
fail_times(const char *ip, const char *user, unsigned n)
{
	while (n-- > 0)
		assert_int_equal(try(ip, user, 0, GUARD_FAILURE).verdict, GUARD_GO);
}

#define assert_verdict(ip, user, want)                                                             \
	assert_int_equal(try((ip), (user), 0, GUARD_NONE).verdict, (want))

#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

#endif
