/* SPDX-License-Identifier: ISC */
/*
 * The brake against guessed passwords (A7) with a clock of our own: limits, delays,
 * lock-outs, who is spared, what repeats count, bounds.
 */
#include "guard_test.h"

#include "ledger/guard_internal.h"

static void
test_address(void **state)
{
	struct guard_answer a;

	(void)state;
	fail_times("192.0.2.1", "a@x", 4);
	assert_verdict("192.0.2.1", "a@x", GUARD_GO);
	fail_times("192.0.2.1", "a@x", 1);
	assert_int_equal(n_locked, 1);
	a = try("192.0.2.1", "b@x", 0, GUARD_NONE);
	assert_int_equal(a.verdict, GUARD_LOCKED);
	assert_int_equal(a.kind, GUARD_ADDRESS);
	assert_int_equal(a.until_ms, now + 30 * MIN);
	assert_verdict("192.0.2.2", "a@x", GUARD_GO); /* its neighbour */
	now += 30 * MIN - 1;
	assert_verdict("192.0.2.1", "b@x", GUARD_LOCKED);
	now += 1;
	assert_verdict("192.0.2.1", "b@x", GUARD_GO);
	assert_int_equal(n_unlocked, 1);
	/* and all five may be tried again, up to the day's twenty */
	fail_times("192.0.2.1", "a@x", 5);
	assert_verdict("192.0.2.1", "a@x", GUARD_LOCKED);
}

/* After the limit of a day one try for each lock-out is left. */
static void
test_day(void **state)
{
	unsigned tries = 0, i;

	(void)state;
	for (i = 0; i < 24 * 60; i++, now += MIN)
		tries += try("192.0.2.1", "a@x", 0, GUARD_FAILURE).verdict == GUARD_GO;
	assert_in_range(tries, 20, 20 + 48);
}

static void
test_window(void **state)
{
	unsigned i;

	(void)state;
	/* four in ten minutes for ever: no more than the limit of the hour, and never locked by it
	 */
	for (i = 0; i < 4; i++, now += 3 * MIN)
		fail_times("192.0.2.1", "a@x", 1);
	now += 20 * MIN;
	assert_int_equal(n_locked, 0);
	/* a burst over the edge of a window is one burst */
	fail_times("192.0.2.9", "a@x", 1);
	now += 9 * MIN + 50000;
	fail_times("192.0.2.9", "a@x", 3);
	now += 20000;
	fail_times("192.0.2.9", "a@x", 1);
	assert_int_equal(n_locked, 1);
}

static void
test_delay(void **state)
{
	static const int64_t want[] = {0, 0, 0, 1000, 2000};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(want); i++)
		assert_int_equal(try("192.0.2.1", "a@x", 0, GUARD_FAILURE).delay_ms, want[i]);
	/* locked out: on it goes, up to the longest */
	assert_int_equal(try("192.0.2.1", "a@x", 0, GUARD_NONE).delay_ms, 4000);
	assert_int_equal(try("192.0.2.1", "a@x", 0, GUARD_NONE).delay_ms, 8000);
	for (i = 0; i < 50; i++)
		(void)try("192.0.2.1", "a@x", 0, GUARD_NONE);
	assert_int_equal(try("192.0.2.1", "a@x", 0, GUARD_NONE).delay_ms, 20000);
	assert_int_equal(try("192.0.2.2", "b@x", 0, GUARD_NONE).delay_ms, 0);
}

static void
test_network(void **state)
{
	char ip[64];
	unsigned i;

	(void)state;
	for (i = 0; i < 30; i++) {
		(void)str_printf(ip, sizeof(ip), "2001:db8:1:2::%x", i + 1);
		fail_times(ip, "", 1); /* names nobody */
	}
	assert_verdict("2001:db8:1:2:ffff::1", "new@x", GUARD_LOCKED);
	assert_verdict("2001:db8:1:3::1", "new@x", GUARD_GO);
}

static void
test_user(void **state)
{
	char ip[64];
	unsigned i;

	(void)state;
	assert_int_equal(try("203.0.113.5", "victim@x", 77, GUARD_SUCCESS).verdict, GUARD_GO);
	for (i = 0; i < 10; i++) {
		(void)str_printf(ip, sizeof(ip), "198.51.%u.1", i);
		fail_times(ip, "victim@x", 1);
	}
	assert_verdict("192.0.2.1", "victim@x", GUARD_LOCKED);
	assert_verdict("192.0.2.1", "other@x", GUARD_GO);
	/* from his usual network he gets in, with any of its addresses */
	assert_int_equal(try("203.0.113.99", "victim@x", 77, GUARD_SUCCESS).verdict, GUARD_GO);
	/* which is no open door: failures there count for themselves */
	fail_times("203.0.113.66", "victim@x", 10);
	assert_verdict("203.0.113.66", "victim@x", GUARD_LOCKED);
	assert_verdict("203.0.113.1", "victim@x", GUARD_LOCKED);
}

/* A stranger in his own network locks him out at no address that he logged in from. */
static void
test_home(void **state)
{
	struct guard_answer a;

	(void)state;
	(void)try("203.0.113.5", "ann@x", 77, GUARD_SUCCESS);
	(void)try("2001:db8::5", "ann@x", 77, GUARD_SUCCESS);
	assert_int_equal(guard_stats(g)->rows[GUARD_HOME], 2);
	fail_times("203.0.113.66", "ann@x", 10);
	fail_times("2001:db8::66", "ann@x", 10);
	a = try("203.0.113.66", "ann@x", 0, GUARD_NONE);
	assert_int_equal(a.verdict, GUARD_LOCKED);
	assert_int_equal(a.kind, GUARD_PAIR);
	assert_verdict("2001:db8::67", "ann@x", GUARD_LOCKED);
	a = try("203.0.113.5", "ann@x", 77, GUARD_SUCCESS);
	assert_int_equal(a.verdict, GUARD_GO);
	assert_int_equal(a.delay_ms, 0);
	assert_int_equal(try("2001:db8::5", "ann@x", 77, GUARD_SUCCESS).verdict, GUARD_GO);
	/* nor do his logins there give the stranger further guesses */
	assert_verdict("203.0.113.66", "ann@x", GUARD_LOCKED);
	/* what is failed at the address itself counts there, and for the network too */
	fail_times("203.0.113.5", "ann@x", 10);
	a = try("203.0.113.5", "ann@x", 77, GUARD_NONE);
	assert_int_equal(a.verdict, GUARD_LOCKED);
	assert_int_equal(a.kind, GUARD_HOME);
	assert_int_equal(guard_forget(g, now, "ann@x", span_of("ann@x")), 3); /* and two networks */
	assert_verdict("203.0.113.5", "ann@x", GUARD_GO);
	fail_times("203.0.113.5", "ann@x", 10);
	assert_verdict("203.0.113.7", "ann@x", GUARD_LOCKED);
	/* it is his home for as long as he is remembered */
	now += 28 * DAY;
	guard_tick(g, now);
	assert_int_equal(guard_stats(g)->rows[GUARD_HOME], 0);
	assert_int_equal(guard_stats(g)->rows[GUARD_PAIR], 0);
}

/* Who shares an address with a user, and waits for his logins, has no guesses without end. */
static void
test_forgive_bound(void **state)
{
	unsigned guesses = 0;

	(void)state;
	for (unsigned i = 0; i < 200; i++, now += MIN) { /* one login a minute, nine guesses each */
		(void)try("203.0.113.5", "ann@x", 77, GUARD_SUCCESS);
		for (unsigned k = 0; k < 9; k++)
			guesses +=
			    try("203.0.113.5", "ann@x", 0, GUARD_FAILURE).verdict == GUARD_GO;
	}
	/* what a day's logins take back, and ten in each lock-out's time */
	assert_in_range(guesses, 10, GUARD_FORGIVE_MAX + 10 * (200 / 30 + 2));
	/* likewise next to him, where his logins take nothing back */
	now += DAY;
	for (guesses = 0; guesses < 9; guesses++) {
		assert_int_equal(try("203.0.113.5", "ann@x", 77, GUARD_SUCCESS).verdict, GUARD_GO);
		fail_times("203.0.113.66", "ann@x", 1);
	}
	(void)try("203.0.113.5", "ann@x", 77, GUARD_SUCCESS);
	fail_times("203.0.113.66", "ann@x", 1);
	assert_verdict("203.0.113.66", "ann@x", GUARD_LOCKED);
}

/* A neighbour who guesses locks nobody out who is known there. */
static void
test_neighbour(void **state)
{
	(void)state;
	assert_int_equal(try("192.0.2.1", "ann@x", 5, GUARD_SUCCESS).verdict, GUARD_GO);
	fail_times("192.0.2.1", "bob@x", 5);
	assert_verdict("192.0.2.1", "eve@x", GUARD_LOCKED);
	assert_int_equal(try("192.0.2.1", "ann@x", 5, GUARD_SUCCESS).verdict, GUARD_GO);
	assert_int_equal(try("192.0.2.1", "ann@x", 0, GUARD_FAILURE).delay_ms, 0);
	now += 28 * DAY; /* known no more */
	fail_times("192.0.2.1", "bob@x", 5);
	assert_verdict("192.0.2.1", "ann@x", GUARD_LOCKED);
}

/* Who gets in takes back his own failures, and nobody else's. */
static void
test_forgive(void **state)
{
	(void)state;
	fail_times("192.0.2.1", "eve@x", 3);
	fail_times("192.0.2.1", "ann@x", 1);
	assert_int_equal(try("192.0.2.1", "ann@x", 5, GUARD_SUCCESS).verdict, GUARD_GO);
	fail_times("192.0.2.1", "eve@x", 1);
	assert_int_equal(n_locked, 0);
	fail_times("192.0.2.1", "eve@x", 1);
	assert_int_equal(n_locked, 1);
	/* with an account of one's own no guesses at others are had */
	fail_times("198.51.100.1", "eve@x", 2);
	assert_int_equal(try("198.51.100.1", "mallory@x", 6, GUARD_SUCCESS).verdict, GUARD_GO);
	fail_times("198.51.100.1", "eve@x", 2);
	assert_int_equal(try("198.51.100.1", "mallory@x", 6, GUARD_SUCCESS).verdict, GUARD_GO);
	assert_int_equal(try("198.51.100.1", "eve@x", 0, GUARD_FAILURE).verdict, GUARD_GO);
	assert_verdict("198.51.100.1", "eve@x", GUARD_LOCKED);
}

/* Eighty printers with an old password, every minute, for two days. */
static void
test_repeats(void **state)
{
	char ip[64];
	unsigned i, k;

	(void)state;
	for (i = 0; i < 2 * 24 * 6; i++, now += 10 * MIN)
		for (k = 0; k < 80; k++) {
			(void)str_printf(ip, sizeof(ip), "10.20.0.%u", k + 1);
			assert_int_equal(
			    try(ip, "printer@x", 4242, GUARD_FAILURE).verdict, GUARD_GO);
		}
	assert_int_equal(n_locked, 0);
	/* the same password for other names is a guess each time */
	fail_times("10.20.0.1", "b@x", 3);
	fail_times("10.20.0.1", "c@x", 2);
	assert_int_equal(n_locked, 1);
}

static void
test_rules(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 4; i++)
		(void)try("192.0.2.1", "root@x", 0, GUARD_RULE);
	for (i = 0; i < 8; i++)
		(void)try("192.0.2.2", "root@x", 0, GUARD_RULE);
	assert_verdict("192.0.2.1", "root@x", GUARD_GO);
	assert_verdict("192.0.2.2", "root@x", GUARD_LOCKED);
	assert_int_equal(guard_stats(g)->rows[GUARD_USER], 0);
	/* what nobody could find out counts nowhere */
	for (i = 0; i < 100; i++)
		assert_verdict("192.0.2.3", "a@x", GUARD_GO);
	assert_int_equal(guard_stats(g)->rows[GUARD_ADDRESS], 2);
}

/* A thousand connections at once are not a thousand guesses. */
static void
test_under_way(void **state)
{
	struct guard_query q[20], same;
	struct guard_answer a;
	unsigned go = 0, i;

	(void)state;
	for (i = 0; i < 20; i++) {
		q[i] = query("192.0.2.1", "a@x", 0);
		guard_ask(g, now, &q[i], &a);
		go += a.verdict == GUARD_GO;
		if (i >= 5)
			assert_int_equal(a.verdict, GUARD_BUSY);
	}
	assert_int_equal(go, 5);
	/* the same guess twice is one */
	same = query("192.0.2.1", "a@x", q[0].guess);
	guard_ask(g, now, &same, &a);
	assert_int_equal(a.verdict, GUARD_GO);
	guard_note(g, now, &same, GUARD_NONE, span_of(""));
	/* three come back undecided: three may go */
	for (i = 0; i < 3; i++)
		guard_note(g, now, &q[i], GUARD_NONE, span_of(""));
	for (go = 0, i = 5; i < 20; i++) {
		guard_ask(g, now, &q[i], &a);
		go += a.verdict == GUARD_GO;
	}
	assert_int_equal(go, 3);
	for (i = 3; i < 8; i++)
		guard_note(g, now, &q[i], GUARD_FAILURE, span_of("a@x"));
	guard_ask(g, now, &q[9], &a);
	assert_int_equal(a.verdict, GUARD_LOCKED);
}

/* A backend that hangs holds up only those who need it, and does not open the door. */
static void
test_hanging(void **state)
{
	struct guard_query q[2000];
	struct guard_answer a;
	unsigned go = 0, i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(q); i++, now += 10) {
		q[i] = query("192.0.2.1", "", 0);
		guard_ask(g, now, &q[i], &a);
		go += a.verdict == GUARD_GO;
		if (i == 99)
			assert_int_equal(go, 5);
	}
	assert_in_range(go, 95, 105); /* five a second */
	for (i = 0; i < ARRAY_LEN(q) && guard_stats(g)->lockouts == 0; i++)
		if (q[i].reserved != 0)
			guard_note(g, now, &q[i], GUARD_FAILURE, span_of(""));
	assert_verdict("192.0.2.1", "b@x", GUARD_LOCKED);
	assert_verdict("192.0.2.2", "b@x", GUARD_GO);
}

/* One user at a backend that takes its time: as many guesses as are allowed, from anywhere. */
static void
test_slow(void **state)
{
	struct guard_query q[120];
	struct guard_answer a;
	struct guard *before;
	char ip[64];
	unsigned go = 0, i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(q); i++, now += 50) {
		(void)str_printf(ip, sizeof(ip), "198.51.%u.1", i);
		q[i] = query(ip, "ann@x", 0);
		guard_ask(g, now, &q[i], &a);
		go += a.verdict == GUARD_GO;
	}
	assert_int_equal(go, 10);
	now -= HOUR; /* the clock is set back meanwhile */
	for (i = 10; i < ARRAY_LEN(q); i++) {
		guard_ask(g, now, &q[i], &a);
		assert_int_equal(a.verdict, GUARD_BUSY);
	}
	/* the counting begins anew meanwhile, and is told what is under way */
	before = g;
	g = guard_new(&options, secret);
	for (i = 0; i < 10; i++) {
		struct guard_query old = q[i];

		guard_note(before, now, &old, GUARD_NONE, span_of(""));
		guard_under_way(g, now, now - 3000, &q[i]);
	}
	guard_free(before);
	for (i = 10; i < ARRAY_LEN(q); i++) {
		guard_ask(g, now, &q[i], &a);
		assert_int_equal(a.verdict, GUARD_BUSY);
	}
	for (i = 0; i < 10; i++)
		guard_note(g, now, &q[i], GUARD_FAILURE, span_of("ann@x"));
	guard_ask(g, now, &q[10], &a);
	assert_int_equal(a.verdict, GUARD_LOCKED);
	assert_int_equal(a.kind, GUARD_USER);
}

/* An address's guesses of before a clock was set back are still under way. */
static void
test_clock_under_way(void **state)
{
	struct guard_query q[6];
	struct guard_answer a;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(q); i++) {
		q[i] = query("192.0.2.1", "", 0);
		guard_ask(g, now, &q[i], &a);
		assert_int_equal(a.verdict, i < 5 ? GUARD_GO : GUARD_BUSY);
		if (i == 4)
			now -= DAY;
	}
	for (unsigned i = 0; i < 5; i++)
		guard_note(g, now, &q[i], GUARD_NONE, span_of(""));
	assert_verdict("192.0.2.1", "", GUARD_GO);
}

/* More that a hostile auth calls under way than there may be: bounded. */
static void
test_resume_bound(void **state)
{
	struct guard_query q[2 * GUARD_PENDING_MAX];
	const struct guard_row *r;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(q); i++) {
		q[i] = query("192.0.2.1", "ann@x", 0);
		guard_under_way(g, now, now, &q[i]);
	}
	r = guard_row_find(g, &q[0].key[GUARD_USER]);
	assert_non_null(r);
	assert_int_equal(r->n_pending, GUARD_PENDING_MAX);
	for (unsigned i = 0; i < ARRAY_LEN(q); i++)
		guard_note(g, now, &q[i], GUARD_NONE, span_of(""));
	assert_int_equal(guard_stats(g)->rows[GUARD_USER], 0);
	assert_verdict("192.0.2.1", "ann@x", GUARD_GO);
}

/* A service with one password and many connections waits for nobody. */
static void
test_same_password(void **state)
{
	struct guard_query q[100];
	struct guard_answer a;
	unsigned i;

	(void)state;
	for (i = 0; i < 100; i++) {
		q[i] = query("192.0.2.1", "app@x", 99);
		guard_ask(g, now, &q[i], &a);
		assert_int_equal(a.verdict, GUARD_GO);
	}
	for (i = 0; i < 100; i++)
		guard_note(g, now, &q[i], GUARD_SUCCESS, span_of("app@x"));
	assert_int_equal(guard_stats(g)->rows[GUARD_ADDRESS], 0);
	assert_int_equal(guard_stats(g)->rows[GUARD_PAIR], 1);
}

static void
test_clock(void **state)
{
	(void)state;
	fail_times("192.0.2.1", "a@x", 5);
	now -= 3 * HOUR; /* set back: still locked out, and not for ever */
	assert_verdict("192.0.2.1", "a@x", GUARD_LOCKED);
	now += 31 * MIN;
	assert_verdict("192.0.2.1", "a@x", GUARD_GO);
	now += 3 * HOUR + 30 * MIN;
	guard_tick(g, now);
	assert_verdict("192.0.2.1", "a@x", GUARD_GO);
	now += 3 * DAY;
	guard_tick(g, now);
	for (unsigned i = 0; i < GUARD_KIND__MAX; i++)
		assert_int_equal(guard_stats(g)->rows[i], 0);
}

static void
test_bounds(void **state)
{
	char ip[64], user[64];
	unsigned i;

	(void)state;
	fail_times("192.0.2.1", "a@x", 5); /* locked out: stays, others go first */
	for (i = 0; i < GUARD_ROWS_MAX + 1000; i++) {
		(void)str_printf(ip, sizeof(ip), "2001:db8:%x:%x::1", i >> 12, i & 0xfff);
		(void)str_printf(user, sizeof(user), "u%u@x", i);
		fail_times(ip, user, 1);
	}
	assert_int_equal(guard_stats(g)->rows[GUARD_ADDRESS], GUARD_ROWS_MAX);
	assert_int_equal(guard_stats(g)->rows[GUARD_NETWORK], GUARD_ROWS_MAX);
	assert_int_equal(guard_stats(g)->rows[GUARD_USER], GUARD_ROWS_MAX);
	assert_verdict("192.0.2.1", "b@x", GUARD_LOCKED);
	/* one user with an account and very many addresses makes others known no longer */
	(void)try("203.0.113.5", "old@x", 1, GUARD_SUCCESS);
	for (i = 0; i < GUARD_PAIRS_MAX + 10; i++) {
		(void)str_printf(ip, sizeof(ip), "2001:db8:%x:%x::1", i >> 16, i & 0xffff);
		(void)try(ip, "insider@x", 2, GUARD_SUCCESS);
	}
	assert_int_equal(guard_stats(g)->rows[GUARD_PAIR], GUARD_PAIRS_MAX);
	assert_int_equal(guard_stats(g)->rows[GUARD_HOME], GUARD_PAIRS_MAX);
	assert_int_equal(try("203.0.113.5", "old@x", 1, GUARD_SUCCESS).verdict, GUARD_GO);
}

static void
test_forget(void **state)
{
	(void)state;
	fail_times("192.0.2.1", "a@x", 5);
	fail_times("192.0.2.7", "a@x", 5);
	assert_int_equal(n_locked, 3); /* two addresses and the name */
	assert_int_equal(guard_forget(g, now, "192.0.2.9", span_of("192.0.2.9")), 0);
	assert_int_equal(guard_forget(g, now, "192.0.2.1", span_of("192.0.2.1")), 1);
	assert_verdict("192.0.2.1", "b@x", GUARD_GO);
	assert_verdict("192.0.2.1", "a@x", GUARD_LOCKED);
	assert_int_equal(guard_forget(g, now, "A@x", span_of("a@x")), 1);
	assert_verdict("192.0.2.1", "a@x", GUARD_GO);
	/* another network than it counts is none, and not the one that its address is in */
	assert_int_equal(guard_forget(g, now, "192.0.2.0/16", span_of("192.0.2.0/16")), 0);
	assert_int_equal(guard_forget(g, now, "192.0.2.7/32", span_of("192.0.2.7/32")), 0);
	assert_int_equal(guard_forget(g, now, "192.0.2.7/24", span_of("192.0.2.7/24")), 1);
	assert_verdict("192.0.2.7", "b@x", GUARD_LOCKED);
	assert_int_equal(guard_forget(g, now, NULL, span_of("")), 1);
	assert_verdict("192.0.2.7", "b@x", GUARD_GO);
	assert_int_equal(guard_forget(g, now, NULL, span_of("")), 0);
}

static void
test_options(void **state)
{
	struct guard_options o = options;

	(void)state;
	fail_times("192.0.2.1", "a@x", 4);
	o.rates[GUARD_ADDRESS] = (struct conf_rates){{{2, HOUR}, {5, 10 * MIN}}, 2};
	guard_set_options(g, &o);
	fail_times("192.0.2.1", "a@x", 1); /* the ten minutes' count was kept */
	assert_verdict("192.0.2.1", "a@x", GUARD_LOCKED);
	o.rates[GUARD_ADDRESS].n = 0;
	guard_set_options(g, &o);
	fail_times("198.51.100.1", "b@x", 9);
	assert_verdict("198.51.100.1", "c@x", GUARD_GO);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_address),
	    T(test_day),
	    T(test_window),
	    T(test_delay),
	    T(test_network),
	    T(test_user),
	    T(test_home),
	    T(test_forgive_bound),
	    T(test_neighbour),
	    T(test_forgive),
	    T(test_repeats),
	    T(test_rules),
	    T(test_under_way),
	    T(test_hanging),
	    T(test_slow),
	    T(test_clock_under_way),
	    T(test_resume_bound),
	    T(test_same_password),
	    T(test_clock),
	    T(test_bounds),
	    T(test_forget),
	    T(test_options),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
