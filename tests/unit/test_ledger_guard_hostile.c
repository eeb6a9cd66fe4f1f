/* SPDX-License-Identifier: ISC */
/*
 * The ledger's brake (A7) against auth processes that were taken over: what they may
 * not say, more than anybody may ask at once, and one that reads no answer.
 */
#include "ledger_guard_test.h"

#define N_BAD 11u
static char wide[IPC_FRAME_MAX]; /* more than any field may have */

/* One of the things that no auth of ours says. */
static void
say_bad(struct auth *a, unsigned which)
{
	struct ipc_guard_ask q = {
	    .call = 7, .client = ip("192.0.2.1"), .user = {wide, GUARD_USER_MAX}};
	struct ipc_guard_note n = {.call = 8,
	    .client = ip("192.0.2.1"),
	    .user = {wide, GUARD_USER_MAX},
	    .shown = {wide, GUARD_USER_MAX}};
	struct buf b = BUF_INIT;

	q.user.n += which == 0;
	n.user.n += which == 1;
	n.shown.n += which == 2;
	n.outcome = which == 3 ? GUARD_OUTCOME__MAX : GUARD_FAILURE;
	if (which == 1 || which == 2 || which == 3) {
		send_note(a, &n);
	} else if (which == 0 || which == 6) { /* 6: the same number twice */
		send_ask(a, &q);
		if (which == 6)
			send_ask(a, &q);
	} else if (which == 4 || which == 5) { /* cut short; something behind */
		ipc_encode_guard_ask(&b, &q);
		if (which == 4)
			buf_truncate(&b, buf_len(&b) - 1);
		else
			buf_add_byte(&b, 0);
		send_frame(a, IPC_GUARD_ASK, &b);
	} else if (which == 7) { /* an answer, which is ours to give */
		ipc_encode_guard_res(&b, &(struct ipc_guard_res){.call = 7});
		send_frame(a, IPC_GUARD_RES, &b);
	} else if (which == 8) {
		send_frame(a, IPC__MAX, &b);
	} else { /* larger than any frame; rubbish */
		buf_add(&b, wide, which == 9 ? sizeof(wide) : 300);
		send_frame(a, IPC_GUARD_ASK, &b);
	}
	buf_clear(&b);
}

/* Who says such things is cut off; the other one notices nothing. */
static void
test_hostile(void **state)
{
	(void)state;
	memset(wide, 'w', sizeof(wide));
	for (unsigned i = 0; i < N_BAD; i++) {
		uint64_t honest = ask(&auths[1], "198.51.100.1", "ann@x");

		say_bad(&auths[0], i);
		turn_until(auths[0].down);
		(void)want_res(&auths[1], honest, GUARD_GO);
		note(&auths[1], honest, "198.51.100.1", "ann@x", GUARD_NONE);
		auth_dies(&auths[0]);
		auth_up(&auths[0]);
		turn_until(stat("under_way") == 0);
	}
	assert_int_equal(stat("failures"), 0);
}

/* The longest that is fine, of any octets; and numbers are each connection's own. */
static void
test_odd(void **state)
{
	struct ipc_guard_ask q = {
	    .call = 7, .client = ip("192.0.2.1"), .user = {wide, GUARD_USER_MAX}};
	struct ipc_guard_note n = {.call = 7,
	    .outcome = GUARD_FAILURE,
	    .client = ip("192.0.2.1"),
	    .user = {wide, GUARD_USER_MAX},
	    .shown = {wide, GUARD_USER_MAX}};

	(void)state;
	for (size_t i = 0; i < GUARD_USER_MAX; i++)
		wide[i] = (char)i;
	send_ask(&auths[0], &q);
	send_ask(&auths[1], &q);
	(void)want_res(&auths[0], 7, GUARD_GO);
	(void)want_res(&auths[1], 7, GUARD_GO);
	send_note(&auths[0], &n);
	send_note(&auths[1], &n);
	turn_until(stat("failures") == 2 && stat("under_way") == 0);
	/* notes of attempts that nobody asked about: one counts, "nothing" does not */
	note(&auths[0], 4711, "192.0.2.9", "gus@x", GUARD_FAILURE);
	note(&auths[0], 4712, "192.0.2.9", "gus@x", GUARD_NONE);
	turn_until(stat("failures") == 3);
	assert_false(auths[0].down || auths[1].down);
}

/* The line has an end: what does not fit is told at once, what waits for too long in time. */
static void
test_line_bounds(void **state)
{
	static uint64_t calls[LINE_MOST + 100];
	struct ipc_guard_res m;
	unsigned go = 0, busy = 0;
	json_int_t asked = stat("asked"), before = stat("busy");

	(void)state;
	/* five at once; what is under way for GUARD_PENDING_MS makes room for five more */
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		calls[i] = ask(&auths[i % 2], "192.0.2.1", "ann@x");
	turn_until(stat("asked") == asked + (json_int_t)ARRAY_LEN(calls));
	assert_in_range(stat("waiting"), 1, LINE_MOST);
	turn_until(stat("waiting") == 0);
	for (unsigned i = 0; i < 2; i++)
		while (next_res(&auths[i], &m)) {
			go += m.verdict == GUARD_GO;
			busy += m.verdict == GUARD_BUSY;
		}
	assert_int_equal(go + busy, ARRAY_LEN(calls));
	assert_int_equal(stat("busy"), before + busy);
	assert_in_range(go, 5, 60);
}

/* One that asks and never reads is cut off before its answers fill our memory. */
static void
test_not_reading(void **state)
{
	struct auth *a = &auths[0];
	int fd = a->fd;
	uint64_t call;

	(void)state;
	fail_times("192.0.2.1", "ann@x", 5);
	for (unsigned round = 0; !a->down; round++) {
		assert_in_range(round, 0, 4000); /* of 256 answers: never 256 MiB of them */
		for (unsigned i = 0; i < 256; i++)
			(void)ask(a, "192.0.2.1", "bob@x");
		a->fd = fd;
		while (buf_len(&a->out) > 0 && !a->down) {
			ssize_t n = send(
			    fd, buf_data(&a->out), buf_len(&a->out), MSG_DONTWAIT | MSG_NOSIGNAL);
			if (n > 0)
				buf_consume(&a->out, (size_t)n);
			a->fd = -1; /* turn() is not to read for it */
			turn();
		}
	}
	close(fd);
	auth_up(a);
	call = ask(&auths[1], "192.0.2.7", "bob@x");
	(void)want_res(&auths[1], call, GUARD_GO);
}

/* More attempts than any auth has sessions: no more are let go, and none is counted. */
static void
test_held(void **state)
{
	struct ipc_guard_res m;
	unsigned go = 0, busy = 0;
	json_int_t asked = stat("asked");
	char from[64];

	(void)state;
	for (unsigned i = 0; i < HELD_MOST + 50; i++) {
		(void)str_printf(from, sizeof(from), "2001:db8:%x:%x::1", i >> 8, i & 0xff);
		(void)ask(&auths[0], from, "");
		if (i % 1000 == 0)
			turn();
	}
	turn_until(stat("asked") == asked + HELD_MOST + 50);
	turn();
	while (next_res(&auths[0], &m)) {
		go += m.verdict == GUARD_GO;
		busy += m.verdict == GUARD_BUSY;
	}
	assert_int_equal(go, HELD_MOST);
	assert_int_equal(busy, 50);
	assert_int_equal(stat("under_way"), HELD_MOST);
	auth_dies(&auths[0]);
	turn_until(stat("under_way") == 0);
	assert_int_equal(stat("addresses"), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_hostile),
	    T(test_odd),
	    T(test_line_bounds),
	    T(test_not_reading),
	    T(test_held),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name(
	    "ledger_guard_hostile", tests, set_up_all, tear_down_all);
}
