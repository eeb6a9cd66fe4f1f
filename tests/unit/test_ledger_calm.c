/* SPDX-License-Identifier: ISC */
/*
 * The ledger that spares auth its questions (A7): one auth process is told whom it may let
 * go unasked, two are not, and nobody is judged while one of them owes what it let go.
 */
#include "ledger/ledger_calm.h"

#include "ledger_guard_test.h"

static struct ipc_guard_calm last; /* its spans are gone */
static unsigned n_calm;
static size_t n_cells;
static uint8_t seen_cells[GUARD_CELLS];

/* Takes the frames of the ledger's word from what came; answers stay for want_res(). */
static void
take_calm(struct auth *a)
{
	struct buf rest = BUF_INIT;

	while (buf_len(&a->in) >= IPC_HEADER) {
		const uint8_t *p = buf_data(&a->in);
		size_t len = (size_t)p[0] | (size_t)p[1] << 8;
		struct ipc_in in = {(enum ipc_type)(p[4] | p[5] << 8), p + IPC_HEADER, 0, -1};

		if (buf_len(&a->in) < len)
			break;
		in.len = len - IPC_HEADER;
		if (in.type == IPC_GUARD_CALM) {
			assert_int_equal(ipc_decode_guard_calm(&in, &last), 0);
			n_calm++;
			n_cells = last.cells.n;
			if (n_cells != 0)
				memcpy(seen_cells, last.cells.p, sizeof(seen_cells));
		} else {
			buf_add(&rest, p, len);
		}
		buf_consume(&a->in, len);
	}
	buf_add_span(&rest, buf_span(&a->in));
	buf_reset(&a->in);
	buf_move(&a->in, &rest);
}

static bool
heard(struct auth *a, unsigned n)
{
	take_calm(a);
	return n_calm >= n;
}

static void
want_calm(struct auth *a, unsigned on)
{
	n_calm = 0;
	turn_until(heard(a, 1));
	assert_int_equal(last.calm, on);
}

static void
send_awake(struct auth *a)
{
	struct ipc_guard_awake m = {.told = 0};
	struct buf b = BUF_INIT;

	ipc_encode_guard_awake(&b, &m);
	send_frame(a, IPC_GUARD_AWAKE, &b);
	buf_clear(&b);
}

static void
send_unasked(struct auth *a, uint64_t call, const char *from, const char *user)
{
	struct ipc_guard_unasked m = {.call = call,
	    .client = ip(from),
	    .user = span_of(user),
	    .guess = ++last_guess << 20,
	    .age_ms = 10};
	struct buf b = BUF_INIT;

	ipc_encode_guard_unasked(&b, &m);
	send_frame(a, IPC_GUARD_UNASKED, &b);
	buf_clear(&b);
}

static bool
is_empty(const uint8_t *c)
{
	for (size_t i = 0; i < GUARD_CELLS; i++)
		if (c[i] != 0)
			return false;
	return true;
}

static void
test_alone(void **state)
{
	(void)state;
	ledger_calm_peer_up(auths[0].peer);
	want_calm(&auths[0], 1);
	assert_int_equal(n_cells, GUARD_CELLS);
	assert_true(is_empty(seen_cells));
	assert_int_equal(last.room_address, 5);
	assert_int_equal(last.room_network, GUARD_ROOM_MAX); /* no limit */
	assert_int_equal(last.room_user, 8);
	want_calm(&auths[0], 1); /* goes on saying so, and nothing else is new */
	assert_int_equal(n_cells, 0);
	/* failures of what went unasked are counted, shown, and said to be shown */
	for (int i = 0; i < 2; i++)
		note(&auths[0], 7000 + (uint64_t)i, "192.0.2.1", "ann@x", GUARD_FAILURE);
	note(&auths[0], 7002, "192.0.2.1", "bob@x", GUARD_SUCCESS);
	note(&auths[0], 7003, "192.0.2.1", "eve@x", GUARD_RULE);
	do
		want_calm(&auths[0], 1);
	while (last.seen == 0);
	assert_int_equal(last.seen, 3);
	assert_int_equal(n_cells, GUARD_CELLS);
	assert_false(is_empty(seen_cells));
	assert_int_equal(stat("failures"), 3);
	turn_until(stat("under_way") == 0);
	/* what is told late counts as under way: with three failures there is room for two */
	send_unasked(&auths[0], 7010, "192.0.2.1", "cat@x");
	send_unasked(&auths[0], 7011, "192.0.2.1", "dan@x");
	(void)ask(&auths[0], "192.0.2.1", "fay@x");
	turn_until(stat("waiting") == 1);
	note(&auths[0], 7010, "192.0.2.1", "cat@x", GUARD_NONE);
	turn_until(stat("waiting") == 0);
	note(&auths[0], 7011, "192.0.2.1", "dan@x", GUARD_FAILURE);
	turn_until(stat("failures") == 4);
}

static void
test_two(void **state)
{
	uint64_t call;

	(void)state;
	ledger_calm_peer_up(auths[0].peer);
	want_calm(&auths[0], 1);
	ledger_calm_peer_up(auths[1].peer);
	assert_true(ledger_calm_owed());
	want_calm(&auths[0], 0);
	/* judged only when the first has told what it has */
	call = ask(&auths[1], "192.0.2.1", "ann@x");
	turn_until(stat("waiting") == 1);
	for (uint64_t i = 0; i < 5; i++)
		send_unasked(&auths[0], 8000 + i, "192.0.2.1", "ann@x");
	send_awake(&auths[0]);
	turn_until(!ledger_calm_owed());
	turn();
	assert_int_equal(stat("waiting"), 1);
	note(&auths[0], 8000, "192.0.2.1", "ann@x", GUARD_NONE);
	(void)want_res(&auths[1], call, GUARD_GO);
	note(&auths[1], call, "192.0.2.1", "ann@x", GUARD_NONE);
	send_awake(&auths[0]); /* owed by nobody: no harm */
	turn_until(stat("under_way") == 4);
	/* one is left: it may be calm again, the one that came last too */
	auth_dies(&auths[0]);
	turn_until(auths[0].down);
	want_calm(&auths[1], 1);
	assert_int_equal(n_cells, GUARD_CELLS);
	assert_int_equal(last.seen, 0);
}

/* The table of many keys is not made each second, but anew for other limits and another clock. */
static void
test_large(void **state)
{
	struct conf *other = read_conf(2);
	char name[32];

	(void)state;
	ledger_calm_peer_up(auths[0].peer);
	want_calm(&auths[0], 1);
	for (unsigned i = 0; i < 6000; i++) { /* as many addresses and as many names */
		(void)str_printf(name, sizeof(name), "10.1.%u.%u", i / 200, i % 200);
		note(&auths[0], 5000000 + i, name, name, GUARD_FAILURE);
	}
	do
		want_calm(&auths[0], 1);
	while (last.seen < 6000);
	note(&auths[0], 6000000, "192.0.2.1", "ann@x", GUARD_FAILURE);
	turn_until(stat("failures") == 6001);
	ledger_calm_tick(ledger_guard(), ev_wall_ms() - 3600000);
	want_calm(&auths[0], 1);
	assert_int_equal(last.seen, 6001);
	ledger_guard_reload(other);
	want_calm(&auths[0], 0);
	send_awake(&auths[0]);
	want_calm(&auths[0], 1);
	assert_int_equal(last.room_address, 2);
	ledger_guard_reload(conf);
	conf_free(other);
}

/*
 * An auth that says nothing any more holds up the other until what it was told holds no more,
 * and what it let go by then is too old to count.
 */
static void
test_dumb(void **state)
{
	int64_t woken;
	uint64_t call;

	(void)state;
	ledger_calm_peer_up(auths[0].peer);
	want_calm(&auths[0], 1);
	woken = ev_now_ms();
	ledger_calm_peer_up(auths[1].peer);
	call = ask(&auths[1], "192.0.2.1", "ann@x");
	(void)want_res(&auths[1], call, GUARD_GO);
	assert_true(ev_now_ms() - woken >= GUARD_CALM_MS + GUARD_PENDING_MS);
	note(&auths[1], call, "192.0.2.1", "ann@x", GUARD_NONE);
	assert_false(ledger_calm_owed());
	/* alone again, but it has not answered: it stays awake */
	auth_dies(&auths[1]);
	turn_until(auths[1].down);
	want_calm(&auths[0], 0); /* that of then */
	send_awake(&auths[0]);
	want_calm(&auths[0], 1);
}

/* Another message than there can be cuts off who sent it. */
static void
test_hostile(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	ledger_calm_peer_up(auths[0].peer);
	send_unasked(&auths[0], 9000, "192.0.2.1", "ann@x");
	turn_until(stat("under_way") == 1);
	send_unasked(&auths[0], 9000, "192.0.2.1", "ann@x"); /* the same call again */
	turn_until(auths[0].down);
	assert_int_equal(stat("under_way"), 0);
	buf_put_u8(&b, 1);
	send_frame(&auths[1], IPC_GUARD_AWAKE, &b); /* too short */
	turn_until(auths[1].down);
	buf_clear(&b);
	auth_dies(&auths[0]);
	auth_dies(&auths[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_alone),
	    T(test_two),
	    T(test_large),
	    T(test_dumb),
	    T(test_hostile),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("ledger_calm", tests, set_up_all, tear_down_all);
}
