/* SPDX-License-Identifier: ISC */
/*
 * The brake (A7) as the ledger answers for it: attempts from question to note, the line
 * of those who wait, an auth that dies, reload, restart, and what the operator asks.
 */
#include "ledger_guard_test.h"

static void
test_answers(void **state)
{
	struct ipc_guard_res m;

	(void)state;
	for (int i = 0; i < 4; i++) {
		m = try(&auths[0], "192.0.2.1", "ann@x", GUARD_GO, GUARD_FAILURE);
		assert_int_equal(m.delay_ms, i < 3 ? 0 : 50); /* tarpit bounds it */
	}
	(void)try(&auths[1], "192.0.2.1", "bob@x", GUARD_GO, GUARD_FAILURE);
	turn_until(stat("failures") == 5);
	m = try(&auths[1], "192.0.2.1", "eve@x", GUARD_LOCKED, GUARD_NONE);
	assert_int_equal(m.kind, GUARD_ADDRESS);
	assert_int_equal(m.delay_ms, 50);
	(void)try(&auths[0], "192.0.2.2", "eve@x", GUARD_GO, GUARD_SUCCESS);
	/* a name, from one address after the other */
	for (int i = 1; i <= 8; i++) {
		char from[32];

		(void)str_printf(from, sizeof(from), "198.51.%d.1", i);
		fail_times(from, "dan@x", 1);
	}
	m = try(&auths[0], "203.0.113.1", "dan@x", GUARD_LOCKED, GUARD_NONE);
	assert_int_equal(m.kind, GUARD_USER);
	/* what was found out by nobody counts for nobody, and nothing stays under way */
	for (int i = 0; i < 20; i++)
		(void)try(&auths[0], "203.0.113.1", "fay@x", GUARD_GO, GUARD_NONE);
	turn_until(stat("under_way") == 0);
	assert_int_equal(stat("locked_out"), 2);
}

/* What is too much at once waits in line, in the order it came, across processes. */
static void
test_line(void **state)
{
	struct ipc_guard_ask same;
	uint64_t first[5], waits[3];
	struct ipc_guard_res m;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(first); i++)
		first[i] = ask(&auths[0], "192.0.2.1", "ann@x");
	same = (struct ipc_guard_ask){.call = 900000,
	    .client = ip("192.0.2.1"),
	    .user = span_of("ann@x"),
	    .guess = last_guess << 20};
	for (size_t i = 0; i < ARRAY_LEN(first); i++)
		(void)want_res(&auths[0], first[i], GUARD_GO);
	for (size_t i = 0; i < ARRAY_LEN(waits); i++)
		waits[i] = ask(&auths[i % 2], "192.0.2.1", "bob@x");
	turn_until(stat("waiting") == 3);
	send_ask(&auths[0], &same); /* no other guess than one that is under way */
	(void)want_res(&auths[0], same.call, GUARD_GO);
	/* undecided: makes room. The client of the second has gone meanwhile */
	note(&auths[1], waits[1], "192.0.2.1", "bob@x", GUARD_NONE);
	note(&auths[0], first[0], "192.0.2.1", "ann@x", GUARD_NONE);
	(void)want_res(&auths[0], waits[0], GUARD_GO);
	note(&auths[0], first[1], "192.0.2.1", "ann@x", GUARD_NONE);
	(void)want_res(&auths[0], waits[2], GUARD_GO);
	assert_false(next_res(&auths[1], &m));
	/* four wrong ones: the fifth is still out, then the address is, for who waits too */
	waits[1] = ask(&auths[1], "192.0.2.1", "eve@x");
	turn_until(stat("waiting") == 1);
	for (size_t i = 2; i < ARRAY_LEN(first); i++)
		note(&auths[0], first[i], "192.0.2.1", "ann@x", GUARD_FAILURE);
	note(&auths[0], waits[0], "192.0.2.1", "bob@x", GUARD_FAILURE);
	note(&auths[0], waits[2], "192.0.2.1", "bob@x", GUARD_FAILURE);
	m = want_res(&auths[1], waits[1], GUARD_LOCKED);
	assert_int_equal(m.kind, GUARD_ADDRESS);
	note(&auths[0], same.call, "192.0.2.1", "ann@x", GUARD_FAILURE);
	turn_until(stat("under_way") == 0);
	assert_int_equal(stat("waiting"), 0);
}

/* An auth that dies: what it had under way makes room, what it had in line is forgotten. */
static void
test_peer_down(void **state)
{
	uint64_t call;

	(void)state;
	for (int i = 0; i < 10; i++)
		(void)ask(&auths[0], "192.0.2.1", "ann@x");
	turn_until(stat("waiting") == 5);
	call = ask(&auths[1], "192.0.2.1", "bob@x");
	turn_until(stat("waiting") == 6);
	auth_dies(&auths[0]);
	(void)want_res(&auths[1], call, GUARD_GO);
	assert_true(auths[0].down);
	assert_int_equal(stat("under_way"), 1);
	assert_int_equal(stat("waiting"), 0);
	note(&auths[1], call, "192.0.2.1", "bob@x", GUARD_SUCCESS);
	turn_until(stat("under_way") == 0);
	assert_int_equal(stat("failures"), 0);
	assert_int_equal(stat("addresses"), 0);
}

/* Other limits hold at once, for who waits too, and take the counts over. */
static void
test_reload(void **state)
{
	struct conf *other = read_conf(7);
	uint64_t first[5], call;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(first); i++)
		first[i] = ask(&auths[0], "192.0.2.1", "ann@x");
	turn_until(stat("under_way") == 5);
	call = ask(&auths[1], "192.0.2.1", "bob@x");
	turn_until(stat("waiting") == 1);
	ledger_guard_reload(other);
	(void)want_res(&auths[1], call, GUARD_GO);
	note(&auths[1], call, "192.0.2.1", "bob@x", GUARD_FAILURE);
	for (size_t i = 0; i < ARRAY_LEN(first); i++) {
		(void)want_res(&auths[0], first[i], GUARD_GO);
		note(&auths[0], first[i], "192.0.2.1", "ann@x", GUARD_NONE);
	}
	turn_until(stat("under_way") == 0);
	conf_free(other);
	other = read_conf(2);
	ledger_guard_reload(other);
	(void)try(&auths[1], "192.0.2.1", "bob@x", GUARD_GO, GUARD_FAILURE);
	(void)try(&auths[1], "192.0.2.1", "eve@x", GUARD_LOCKED, GUARD_NONE);
	conf_free(other);
}

/* The ledger ends in the middle and begins anew: what was let go before is counted after. */
static void
test_restart(void **state)
{
	struct ipc_guard_begun m = {
	    .client = ip("192.0.2.1"), .user = span_of("ann@x"), .guess = 1, .age_ms = 500};
	struct buf b = BUF_INIT;
	uint64_t call[2], waits;

	(void)state;
	fail_times("192.0.2.1", "ann@x", 3);
	for (int i = 0; i < 2; i++) {
		call[i] = ask(&auths[0], "192.0.2.1", "ann@x");
		(void)want_res(&auths[0], call[i], GUARD_GO);
	}
	turn_until(stat("failures") == 3);
	ledger_guard_leave();
	start();
	assert_int_equal(stat("addresses"), 1);
	assert_int_equal(stat("under_way"), 0);
	for (int i = 0; i < 2; i++, m.guess++) {
		m.call = call[i];
		buf_reset(&b);
		ipc_encode_guard_begun(&b, &m);
		send_frame(&auths[0], IPC_GUARD_BEGUN, &b);
	}
	buf_clear(&b);
	turn_until(stat("under_way") == 2);
	waits = ask(&auths[1], "192.0.2.1", "bob@x");
	turn_until(stat("waiting") == 1); /* three wrong, two under way */
	note(&auths[0], call[0], "192.0.2.1", "ann@x", GUARD_FAILURE);
	note(&auths[0], call[1], "192.0.2.1", "ann@x", GUARD_FAILURE);
	(void)want_res(&auths[1], waits, GUARD_LOCKED);
	(void)try(&auths[0], "192.0.2.2", "bob@x", GUARD_GO, GUARD_NONE);
	/* and nothing was said to the others */
	struct ipc_guard_res other;
	assert_false(next_res(&auths[0], &other));
}

/* What a request of submitctl is answered with; freed by the caller. */
static json_t *
request(const char *text, int want_status)
{
	struct buf last = BUF_INIT;
	json_t *j = json_loads(text, 0, NULL), *answer;
	uint8_t status = 0;

	assert_true(ledger_guard_ctl(
	    NULL, 1, json_string_value(json_object_get(j, "cmd")), j, &last, &status));
	assert_int_equal(status, want_status);
	answer = json_loadb((const char *)buf_data(&last), buf_len(&last), 0, NULL);
	assert_non_null(answer);
	json_decref(j);
	buf_clear(&last);
	return answer;
}

static void
test_operator(void **state)
{
	static const struct {
		const char *text;
		int status;
	} cases[] = {
	    {"{\"cmd\":\"account.list\"}", 0},
	    {"{\"cmd\":\"account.list\",\"limit\":0}", 2},
	    {"{\"cmd\":\"account.list\",\"limit\":100001}", 2},
	    {"{\"cmd\":\"account.list\",\"limit\":9223372036854775807}", 2},
	    {"{\"cmd\":\"account.clear\"}", 2},
	    {"{\"cmd\":\"account.clear\",\"key\":\"\"}", 2},
	    {"{\"cmd\":\"account.clear\",\"key\":\"192.0.2.1\",\"all\":true}", 2},
	    {"{\"cmd\":\"account.clear\",\"key\":7}", 2},
	    {"{\"cmd\":\"account.clear\",\"key\":\"192.0.2.77\"}", 1},
	    {"{\"cmd\":\"account.clear\",\"key\":\"192.0.2.1\"}", 0},
	    {"{\"cmd\":\"account.clear\",\"key\":\"192.0.2.1\"}", 1},
	    /* a name in any spelling */
	    {"{\"cmd\":\"account.clear\",\"key\":\"\u00c4nn@EXAMPLE.com.\"}", 1},
	    {"{\"cmd\":\"account.clear\",\"key\":\"\uff21nn@EXAMPLE.com.\"}", 0},
	    {"{\"cmd\":\"account.clear\",\"all\":true}", 0},
	    {"{\"cmd\":\"account.clear\",\"all\":true}", 0},
	};
	struct buf last = BUF_INIT;
	uint8_t status = 0;
	json_t *j = json_object();

	(void)state;
	fail_times("192.0.2.1", "ann@example.com", 5);
	turn_until(stat("locked_now") == 1);
	assert_false(ledger_guard_ctl(NULL, 1, "account.other", j, &last, &status));
	json_decref(j);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		json_decref(request(cases[i].text, cases[i].status));
	assert_int_equal(stat("locked_now"), 0);
	(void)try(&auths[0], "192.0.2.1", "ann@x", GUARD_GO, GUARD_NONE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_answers),
	    T(test_line),
	    T(test_peer_down),
	    T(test_reload),
	    T(test_restart),
	    T(test_operator),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("ledger_guard", tests, set_up_all, tear_down_all);
}
