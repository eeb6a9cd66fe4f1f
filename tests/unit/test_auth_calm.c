/* SPDX-License-Identifier: ISC */
/*
 * Attempts that go unasked (A7): two ledgers live through the same attempts, one is asked
 * about each, the other only about those that auth_calm.h wants asked. The second may
 * never let one go that the first would not, nor with another delay.
 */
#include "authbackends/auth_calm.h"

#include "guard_test.h"

#include <stdlib.h>

#define SEED UINT64_C(0x1234567890abcdef)
#define STEPS 40000
#define FLIGHT 60u
#define LATE 8u /* tables that are under way to auth */

struct attempt {
	bool used, unasked, told;
	struct net_addr client;
	const char *user;
	uint64_t guess;
	int64_t since;
	struct auth_calm_attempt calm;
	struct guard_query always, sparing; /* of either ledger */
};

static struct guard *sparing; /* g is the one that is always asked */
static struct attempt flight[FLIGHT];
static uint64_t rnd = 1, n_failed;
static unsigned n_unasked, n_asked, n_told, n_stricter;

static struct {
	uint8_t cells[GUARD_CELLS], rooms[GUARD_PAIR];
	uint64_t seen;
} late[LATE];
static unsigned n_late;

/* How hostile the world is. */
static const struct world {
	unsigned step_ms; /* at most between two events */
	unsigned flight;  /* attempts that may be under way, of FLIGHT */
	unsigned good;    /* of 100 end as this says, the rest anyhow */
	enum guard_outcome how;
	unsigned places; /* networks of as many addresses */
	unsigned users;
} worlds[] = {{200, 8, 95, GUARD_SUCCESS, 3, 9}, {500, 6, 80, GUARD_SUCCESS, 3, 9},
    {2000, 20, 60, GUARD_SUCCESS, 4, 9}, {100, 60, 98, GUARD_SUCCESS, 3, 9},
    {60000, 60, 20, GUARD_SUCCESS, 3, 9}, {10, 14, 97, GUARD_SUCCESS, 9, 1},
    {10, 9, 98, GUARD_NONE, 1, 9}, {10, 14, 98, GUARD_NONE, 9, 1}, {30, 40, 99, GUARD_NONE, 9, 2}};
static const struct world *w;

static unsigned
any(unsigned n)
{
	rnd = rnd * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(rnd >> 33) % n;
}

static void
take(void)
{
	struct ipc_guard_calm m = {.calm = 1,
	    .seen = late[0].seen,
	    .room_address = late[0].rooms[GUARD_ADDRESS],
	    .room_network = late[0].rooms[GUARD_NETWORK],
	    .room_user = late[0].rooms[GUARD_USER],
	    .seed = SEED,
	    .key = {(const char *)secret, sizeof(secret)},
	    .cells = {(const char *)late[0].cells, GUARD_CELLS}};
	bool first;

	assert_int_equal(auth_calm_take(&m, now, &first), 0);
	for (unsigned i = 0; first && i < FLIGHT; i++)
		if (flight[i].used)
			auth_calm_count(&flight[i].calm, &flight[i].client, flight[i].user);
	memmove(&late[0], &late[1], --n_late * sizeof(late[0]));
}

static void
make_table(void)
{
	if (n_late == LATE)
		take();
	guard_calm(sparing, now, SEED, late[n_late].cells, late[n_late].rooms);
	late[n_late++].seen = n_failed;
}

static void
tell_all(void)
{
	for (unsigned i = 0; i < FLIGHT; i++) {
		struct attempt *a = &flight[i];

		if (!a->used || !a->unasked || a->told)
			continue;
		guard_under_way(sparing, now, a->since, &a->sparing);
		a->told = true;
		n_told++;
	}
}

static void
begin(struct attempt *a)
{
	static const char *const users[] = {
	    "ann", "bob", "cat", "dan", "eve", "fay", "gil", "hal", ""};
	struct guard_answer always, other = {.verdict = GUARD_GO};
	char ip[32];

	memset(a, 0, sizeof(*a));
	(void)str_printf(ip, sizeof(ip), "192.0.%u.%u", any(w->places), 1 + any(w->places));
	assert_int_equal(net_addr_parse_ip(span_of(ip), &a->client), 0);
	a->user = users[any(w->users)];
	a->guess = any(4) == 0 ? 1 + any(5) : ++last_guess << 20;
	a->since = now;
	guard_query_make(g, &a->always, &a->client, span_of(a->user), a->guess);
	guard_query_make(sparing, &a->sparing, &a->client, span_of(a->user), a->guess);
	guard_ask(g, now, &a->always, &always);
	switch (auth_calm_enter(&a->calm, &a->client, a->user, now)) {
	case CALM_GO:
		a->unasked = true;
		break;
	case CALM_TELL:
		tell_all();
		/* FALLTHROUGH */
	case CALM_ASK:
		guard_ask(sparing, now, &a->sparing, &other);
		break;
	}
	n_unasked += a->unasked;
	n_asked += !a->unasked;
	if (other.verdict == GUARD_GO) {
		assert_int_equal(always.verdict, GUARD_GO);
		assert_true(always.delay_ms == other.delay_ms);
	}
	a->used = other.verdict == GUARD_GO && always.verdict == GUARD_GO;
	if (a->used)
		return;
	auth_calm_leave(&a->calm);
	if (always.verdict == GUARD_GO) {
		n_stricter++;
		guard_note(g, now, &a->always, GUARD_NONE, span_of(""));
	}
}

static void
end(struct attempt *a)
{
	enum guard_outcome outcome =
	    any(100) < w->good ? w->how : (enum guard_outcome)any(GUARD_OUTCOME__MAX);

	if (outcome == GUARD_FAILURE || outcome == GUARD_RULE) {
		auth_calm_failed(&a->calm);
		n_failed++;
	}
	auth_calm_leave(&a->calm);
	guard_note(g, now, &a->always, outcome, span_of(a->user));
	guard_note(sparing, now, &a->sparing, outcome, span_of(a->user));
	a->used = false;
}

static void
live(unsigned seed, const struct world *in)
{
	rnd = seed;
	w = in;
	n_failed = n_late = n_unasked = n_asked = n_told = n_stricter = 0;
	memset(flight, 0, sizeof(flight));
	auth_calm_forget();
	sparing = guard_new(&options, secret);
	for (unsigned i = 0; i < STEPS; i++) {
		struct attempt *a = &flight[any(w->flight)];

		now += any(w->step_ms);
		if (any(20) == 0)
			make_table();
		if (n_late > 0 && any(10) == 0)
			take();
		if (any(1000) == 0) {
			(void)guard_forget(
			    g, now, NULL, span_of("")); /* the operator's account clear */
			(void)guard_forget(sparing, now, NULL, span_of(""));
		}
		if (a->used)
			end(a);
		else
			begin(a);
	}
	guard_free(sparing);
	print_message("# unasked %u, asked %u, told %u, stricter %u\n", n_unasked, n_asked, n_told,
	    n_stricter);
	assert_true(n_unasked > 10 && n_asked > 100 && n_told > 10);
	assert_true(n_stricter * 1000 < n_asked);
}

static void
never_laxer_than_a_question_each(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_LEN(worlds); i++) {
		live(1 + i, &worlds[i % ARRAY_LEN(worlds)]);
		tear_down(NULL);
		set_up(NULL);
	}
}

static void
attempts_from_one_place(void **state)
{
	struct auth_calm_attempt a[6] = {{.counted = false}}, b = {.counted = false};
	struct net_addr here, there;

	(void)state;
	n_late = 0;
	n_failed = 0;
	auth_calm_forget();
	sparing = guard_new(&options, secret);
	assert_int_equal(net_addr_parse_ip(span_of("192.0.2.1"), &here), 0);
	assert_int_equal(net_addr_parse_ip(span_of("198.51.100.1"), &there), 0);
	assert_int_equal(auth_calm_enter(&b, &here, "bob", now), CALM_TELL); /* nothing is known */
	make_table();
	take();
	assert_true(auth_calm_is(now));
	assert_int_equal(auth_calm_enter(&b, &there, "bob", now), CALM_GO);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(auth_calm_enter(&a[i], &here, "ann", now), CALM_GO);
	assert_int_equal(auth_calm_enter(&a[5], &here, "ann", now), CALM_TELL); /* the limit is 5 */
	auth_calm_leave(&a[5]);
	auth_calm_leave(&a[4]);
	assert_int_equal(auth_calm_enter(&a[4], &here, "ann", now), CALM_GO);
	/* one failed: until the table shows it everything there is asked */
	auth_calm_failed(&a[0]);
	for (unsigned i = 0; i < 5; i++)
		auth_calm_leave(&a[i]);
	auth_calm_leave(&b);
	assert_int_equal(auth_calm_enter(&a[0], &here, "cat", now), CALM_ASK);
	assert_int_equal(auth_calm_enter(&b, &there, "ann", now), CALM_ASK);
	auth_calm_leave(&b);
	make_table(); /* does not show it */
	take();
	assert_int_equal(auth_calm_enter(&b, &there, "ann", now), CALM_ASK);
	auth_calm_leave(&b);
	n_failed = 1;
	make_table();
	take();
	assert_int_equal(auth_calm_enter(&b, &there, "ann", now), CALM_GO);
	/* silence ends it */
	assert_int_equal(auth_calm_enter(&a[1], &there, "dan", now + GUARD_CALM_MS), CALM_TELL);
	guard_free(sparing);
}

/* Asks both ledgers, the sparing one as auth would. */
static enum guard_verdict
begins(struct attempt *a, const char *ip, const char *user)
{
	struct guard_answer always, other = {.verdict = GUARD_GO};
	enum auth_calm c;

	memset(a, 0, sizeof(*a));
	assert_int_equal(net_addr_parse_ip(span_of(ip), &a->client), 0);
	a->user = user;
	a->guess = ++last_guess << 20;
	a->since = now;
	guard_query_make(g, &a->always, &a->client, span_of(user), a->guess);
	guard_query_make(sparing, &a->sparing, &a->client, span_of(user), a->guess);
	guard_ask(g, now, &a->always, &always);
	c = auth_calm_enter(&a->calm, &a->client, user, now);
	if (c == CALM_TELL)
		tell_all();
	if (c == CALM_GO)
		a->unasked = true;
	else
		guard_ask(sparing, now, &a->sparing, &other);
	a->used = true;
	assert_int_equal(other.verdict, always.verdict);
	return other.verdict;
}

/*
 * A login that makes the user known there, while guesses under his name are under way: told
 * afterwards, they still hold up those whom they would have held up.
 */
static void
known_meanwhile(const char *where)
{
	unsigned i;

	n_late = 0;
	n_failed = 0;
	memset(flight, 0, sizeof(flight));
	auth_calm_forget();
	sparing = guard_new(&options, secret);
	make_table();
	take();
	for (i = 0; i < 4; i++)
		assert_int_equal(begins(&flight[i], "192.0.2.1", "ann"), GUARD_GO);
	assert_int_equal(begins(&flight[i], where, "ann"), GUARD_GO);
	now += 10;
	auth_calm_leave(&flight[i].calm);
	flight[i].used = false;
	guard_note(g, now, &flight[i].always, GUARD_SUCCESS, span_of("ann"));
	guard_note(sparing, now, &flight[i].sparing, GUARD_SUCCESS, span_of("ann"));
	assert_int_equal(begins(&flight[5], "192.0.2.1", "bob"), GUARD_GO);
	assert_true(flight[0].unasked && !flight[0].told && flight[5].unasked);
	assert_int_equal(begins(&flight[6], "192.0.2.1", "cat"), GUARD_BUSY);
	assert_true(flight[0].told);
	guard_free(sparing);
}

static void
known_at_home_meanwhile(void **state)
{
	(void)state;
	known_meanwhile("192.0.2.1");
}

static void
known_in_the_network_meanwhile(void **state)
{
	(void)state;
	known_meanwhile("192.0.2.2");
}

/* An auth that lies: what it says is under way makes no row without end. */
static void
told_without_end(void **state)
{
	struct guard_query q[2 * GUARD_PENDING_MAX];
	struct guard_answer a;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(q); i++) {
		q[i] = query("192.0.2.1", "ann", 0);
		guard_under_way(g, now, now, &q[i]);
		assert_int_equal(q[i].reserved != 0, i < GUARD_PENDING_MAX);
	}
	for (unsigned i = 0; i < ARRAY_LEN(q); i++)
		guard_note(g, now, &q[i], GUARD_NONE, span_of(""));
	q[0] = query("192.0.2.1", "ann", 0);
	guard_ask(g, now, &q[0], &a);
	assert_int_equal(a.verdict, GUARD_GO);
}

static void
nonsense_is_refused(void **state)
{
	struct ipc_guard_calm m = {.calm = 1, .room_address = 5, .room_network = 5, .room_user = 5};
	static const char none[GUARD_CELLS];
	bool first;

	(void)state;
	auth_calm_forget();
	assert_int_equal(auth_calm_take(&m, now, &first), -1); /* no table yet */
	m.cells = (struct span){none, GUARD_CELLS};
	assert_int_equal(auth_calm_take(&m, now, &first), -1); /* no key */
	m.key = (struct span){none, GUARD_SECRET};
	m.cells.n--;
	assert_int_equal(auth_calm_take(&m, now, &first), -1);
	m.cells.n++;
	m.seen = 1; /* more failures than it was told */
	assert_int_equal(auth_calm_take(&m, now, &first), -1);
	m.seen = 0;
	m.room_user = GUARD_ROOM_MAX + 1;
	assert_int_equal(auth_calm_take(&m, now, &first), -1);
	assert_false(auth_calm_is(now));
	m.room_user = 5;
	assert_int_equal(auth_calm_take(&m, now, &first), 0);
	assert_true(first);
	m.seed++; /* the cells of what is under way would be others */
	assert_int_equal(auth_calm_take(&m, now, &first), -1);
	/* a failure of before there was a table: it must show that first */
	auth_calm_forget();
	auth_calm_failed(NULL);
	assert_int_equal(auth_calm_take(&m, now, &first), 0);
	assert_false(auth_calm_is(now));
	m.seen = 1;
	assert_int_equal(auth_calm_take(&m, now, &first), 0);
	assert_true(auth_calm_is(now));
	m.calm = 0;
	assert_int_equal(auth_calm_take(&m, now, &first), 0);
	assert_false(auth_calm_is(now));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(never_laxer_than_a_question_each),
	    T(attempts_from_one_place),
	    T(known_at_home_meanwhile),
	    T(known_in_the_network_meanwhile),
	    T(told_without_end),
	    T(nonsense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
