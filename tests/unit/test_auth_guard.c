/* SPDX-License-Identifier: ISC */
/*
 * The asking side of the brake (A7) against a ledger that answers, is silent, lies and
 * comes back: never a yes without an answer, nothing owed is forgotten.
 */
#include "authbackends/auth_guard.h"

#include "base/list.h"
#include "conf_test.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct conf *conf;
static struct ipc_peer *ledger;
static int ledger_fd = -1; /* its end */
static struct net_addr client;
static struct buf got; /* what came to the ledger */

static struct {
	enum auth_guard_answer answer;
	unsigned times;
} told;

static void
on_answer(enum auth_guard_answer a, void *arg)
{
	(void)arg;
	told.answer = a;
	told.times++;
}

/* The next message that the ledger was sent, or IPC_NONE. Spans live until the next call. */
static struct ipc_in
next_message(void)
{
	static uint8_t frame[4096];
	struct ipc_in in = {.type = IPC_NONE, .fd = -1};
	uint8_t part[4096];
	ssize_t n;
	size_t len;

	ipc_flush_all();
	while ((n = recv(ledger_fd, part, sizeof(part), MSG_DONTWAIT)) > 0)
		buf_add(&got, part, (size_t)n);
	if (buf_len(&got) < IPC_HEADER)
		return in;
	memcpy(
	    frame, buf_data(&got), buf_len(&got) < sizeof(frame) ? buf_len(&got) : sizeof(frame));
	len = (size_t)frame[0] | (size_t)frame[1] << 8;
	assert_in_range(len, IPC_HEADER, buf_len(&got));
	buf_consume(&got, len);
	in.type = (enum ipc_type)(frame[4] | frame[5] << 8);
	in.body = frame + IPC_HEADER;
	in.len = len - IPC_HEADER;
	return in;
}

static struct ipc_guard_ask
want_ask(void)
{
	struct ipc_in in = next_message();
	struct ipc_guard_ask m;

	assert_int_equal(in.type, IPC_GUARD_ASK);
	assert_int_equal(ipc_decode_guard_ask(&in, &m), 0);
	return m;
}

static struct ipc_guard_note
want_note(enum guard_outcome outcome)
{
	struct ipc_in in = next_message();
	struct ipc_guard_note m;

	assert_int_equal(in.type, IPC_GUARD_NOTE);
	assert_int_equal(ipc_decode_guard_note(&in, &m), 0);
	assert_int_equal(m.outcome, outcome);
	return m;
}

static struct ipc_guard_begun
want_begun(void)
{
	struct ipc_in in = next_message();
	struct ipc_guard_begun m;

	assert_int_equal(in.type, IPC_GUARD_BEGUN);
	assert_int_equal(ipc_decode_guard_begun(&in, &m), 0);
	return m;
}

static int
answer(uint64_t call, unsigned verdict, unsigned kind, uint32_t delay_ms)
{
	struct ipc_guard_res m = {
	    .call = call, .verdict = (uint8_t)verdict, .kind = (uint8_t)kind, .delay_ms = delay_ms};
	struct buf b = BUF_INIT;
	int rc;

	ipc_encode_guard_res(&b, &m);
	struct ipc_in in = {IPC_GUARD_RES, buf_data(&b), buf_len(&b), -1};
	rc = auth_guard_on_res(ledger, &in);
	buf_clear(&b);
	return rc;
}

static void
ledger_up(void)
{
	int fds[2];

	assert_int_equal(net_socketpair(fds), 0);
	ledger_fd = fds[1];
	ledger = ipc_peer_new(fds[0], ROLE_LEDGER, 0, 0);
	auth_guard_ledger_up(ledger);
}

static void
ledger_down(void)
{
	ipc_peer_close(ledger);
	close(ledger_fd);
	buf_reset(&got);
	ledger = NULL;
}

static void
ask(struct auth_guard *g, const char *user, const char *password)
{
	struct span s = span_of(password);

	told.times = 0;
	auth_guard_ask(g, conf, &client, user, password == NULL ? NULL : &s, on_answer, NULL);
}

static void
test_answers(void **state)
{
	struct auth_guard g = {.delay_ms = 0};
	struct ipc_guard_ask m;
	uint64_t first;

	(void)state;
	ask(&g, "Ann@example.com", "secret");
	m = want_ask();
	assert_true(span_eq(m.user, "ann@example.com"));
	assert_true(net_addr_equal_ip(&m.client, &client));
	first = m.guess;
	assert_int_equal(told.times, 0);
	assert_int_equal(answer(m.call, GUARD_GO, 0, 1500), 0);
	assert_int_equal(told.times, 1);
	assert_int_equal(told.answer, AUTH_GUARD_GO);
	assert_int_equal(g.delay_ms, 1500);
	assert_int_equal(answer(m.call, GUARD_GO, 0, 0), 0); /* twice: nobody asked */
	assert_int_equal(told.times, 1);
	auth_guard_note(&g, GUARD_FAILURE, "shown");
	assert_true(span_eq(want_note(GUARD_FAILURE).shown, "shown"));
	auth_guard_note(&g, GUARD_FAILURE, "shown"); /* nothing is owed any more */
	auth_guard_clear(&g);
	assert_int_equal(next_message().type, IPC_NONE);

	/* the same guess is known again, another one is not, and what cannot be compared never */
	ask(&g, "ann@EXAMPLE.com", "secret");
	m = want_ask();
	assert_true(m.guess == first);
	assert_int_equal(answer(m.call, GUARD_LOCKED, 2, 20000), 0);
	/* S57: an alias of the domain, or another spelling, brings no further guesses */
	auth_guard_clear(&g);
	ask(&g, "\xef\xbc\xa1nn @Alias.example.", "secret");
	m = want_ask();
	assert_true(span_eq(m.user, "ann@example.com"));
	assert_true(m.guess == first);
	assert_int_equal(answer(m.call, GUARD_LOCKED, 2, 20000), 0);
	assert_int_equal(told.answer, AUTH_GUARD_LOCKED);
	assert_non_null(strstr(g.reason, "under this name"));
	auth_guard_note(&g, GUARD_FAILURE, "x");
	assert_int_equal(next_message().type, IPC_NONE);
	ask(&g, "ann@example.com", "Secret");
	m = want_ask();
	assert_true(m.guess != first);
	assert_int_equal(answer(m.call, GUARD_BUSY, 0, 0), 0);
	assert_int_equal(told.answer, AUTH_GUARD_NOT_NOW);
	ask(&g, "ann@example.com", NULL);
	first = want_ask().guess;
	auth_guard_clear(&g); /* the client went away: the ledger is told */
	(void)want_note(GUARD_NONE);
	ask(&g, "ann@example.com", NULL);
	m = want_ask();
	assert_true(m.guess != first);
	auth_guard_clear(&g);
	assert_int_equal(answer(m.call, GUARD_GO, 0, 0), 0);
	assert_int_equal(told.times, 0);
	(void)want_note(GUARD_NONE);
}

/* What no ledger of ours says ends the connection to it, and lets nobody through. */
static void
test_lies(void **state)
{
	struct auth_guard g = {.delay_ms = 0};
	struct ipc_in in = {IPC_GUARD_RES, (const uint8_t *)"abc", 3, -1};
	struct ipc_guard_ask m;

	(void)state;
	ask(&g, "ann@example.com", "secret");
	m = want_ask();
	assert_int_equal(auth_guard_on_res(ledger, &in), -1);
	assert_int_equal(answer(m.call, GUARD_VERDICT__MAX, 0, 0), -1);
	assert_int_equal(answer(m.call, GUARD_LOCKED, 5, 0), -1);
	assert_int_equal(answer(m.call + 1, GUARD_GO, 0, 0), 0);
	assert_int_equal(told.times, 0);
	assert_int_equal(answer(m.call, GUARD_LOCKED, 0, UINT32_MAX), 0);
	assert_in_range(g.delay_ms, 0, 60000);
	auth_guard_clear(&g);
}

static void
test_restart(void **state)
{
	struct auth_guard g[3] = {{.delay_ms = 0}}, late = {.delay_ms = 0};
	uint64_t call;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(g); i++)
		ask(&g[i], "ann@example.com", "secret");
	assert_int_equal(answer(want_ask().call, GUARD_GO, 0, 0), 0);
	assert_int_equal(answer(want_ask().call, GUARD_GO, 0, 0), 0);
	ledger_down();
	/* without one: questions wait, what came out is kept */
	ask(&late, "bob@example.com", "secret");
	auth_guard_note(&g[0], GUARD_FAILURE, "ann");
	auth_guard_note(&g[1], GUARD_NONE, "");
	assert_int_equal(auth_guard_stats()->notes_kept, 1);
	assert_int_equal(auth_guard_stats()->waiting, 2);
	ledger_up();
	assert_true(span_eq(want_note(GUARD_FAILURE).shown, "ann"));
	assert_true(span_eq(want_ask().user, "ann@example.com"));
	call = want_ask().call;
	assert_int_equal(next_message().type, IPC_NONE);
	assert_int_equal(answer(call, GUARD_GO, 0, 0), 0);
	assert_int_equal(told.times, 1);
	/* what was let go by a ledger that died is told to the next one, and what came of it */
	ledger_down();
	ledger_up();
	struct ipc_guard_begun again = want_begun();
	assert_true(again.call == call);
	assert_true(span_eq(again.user, "bob@example.com"));
	(void)want_ask(); /* the question that is still open */
	assert_int_equal(next_message().type, IPC_NONE);
	assert_int_equal(answer(call, GUARD_GO, 0, 0), 0); /* nobody asked */
	assert_int_equal(told.times, 1);
	auth_guard_note(&late, GUARD_SUCCESS, "bob@example.com");
	(void)want_note(GUARD_SUCCESS);
	ledger_down();
	ledger_up();
	(void)want_ask();
	assert_int_equal(next_message().type, IPC_NONE);
	auth_guard_clear(&g[2]);
	(void)want_note(GUARD_NONE);
	assert_int_equal(auth_guard_stats()->waiting, 0);
}

static void
stop(void *arg)
{
	(void)arg;
	ev_stop();
}

static void
test_silence(void **state)
{
	struct auth_guard g = {.delay_ms = 0};
	struct ev_timer t = {.made = false};
	uint64_t call;

	(void)state;
	ask(&g, "ann@example.com", "secret");
	call = want_ask().call;
	ev_timer_set(&t, AUTH_GUARD_WAIT_MS + 200, stop, NULL);
	ev_restart();
	ev_run();
	assert_int_equal(told.times, 1);
	assert_int_equal(told.answer, AUTH_GUARD_NOT_NOW);
	(void)want_note(GUARD_NONE);
	assert_int_equal(answer(call, GUARD_GO, 0, 0), 0); /* too late */
	assert_int_equal(told.times, 1);
}

/* A ledger that hangs does not fill our memory, and hears nothing of what it was not asked. */
static void
test_hanging(void **state)
{
	enum { N = 20000 };
	struct auth_guard *g = calloc(N, sizeof(*g));
	struct ipc_guard_ask m;
	size_t sent = 0, i;
	char user[300];

	(void)state;
	assert_non_null(g);
	memset(user, 'x', sizeof(user));
	memcpy(user + sizeof(user) - 3, "@y", 3);
	for (i = 0; i < N; i++) {
		ask(&g[i], user, "secret");
		sent += g[i].sent;
	}
	assert_in_range(ipc_peer_backlog(ledger), IPC_BACKLOG_SOFT, IPC_BACKLOG_SOFT + 1000);
	assert_in_range(sent, 1, N - 1);
	for (i = 0; i < N; i++)
		auth_guard_clear(&g[i]);
	assert_in_range(ipc_peer_backlog(ledger), IPC_BACKLOG_SOFT, 3 * IPC_BACKLOG_SOFT);
	assert_int_equal(auth_guard_stats()->waiting, 0);
	/* the next one asks as if nothing had been */
	ledger_down();
	ledger_up();
	ask(&g[0], "ann@example.com", "secret");
	m = want_ask();
	assert_int_equal(answer(m.call, GUARD_GO, 0, 0), 0);
	auth_guard_note(&g[0], GUARD_SUCCESS, "ann@example.com");
	(void)want_note(GUARD_SUCCESS);
	free(g);
}

static void
test_exempt(void **state)
{
	struct auth_guard g = {.delay_ms = 0};

	(void)state;
	assert_int_equal(net_addr_parse_ip(span_of("::ffff:10.1.2.3"), &client), 0);
	ask(&g, "ann@example.com", "secret");
	assert_int_equal(told.times, 1);
	assert_int_equal(told.answer, AUTH_GUARD_GO);
	auth_guard_note(&g, GUARD_FAILURE, "ann");
	assert_int_equal(next_message().type, IPC_NONE);
}

/* ---- the same login again -------------------------------------------------------------------- */

/* Asked and answered, with this outcome. */
static void
attempt(const char *user, const char *password, uint32_t delay_ms, enum guard_outcome outcome)
{
	struct auth_guard g = {.delay_ms = 0};

	ask(&g, user, password);
	assert_int_equal(answer(want_ask().call, GUARD_GO, 0, delay_ms), 0);
	auth_guard_note(&g, outcome, user);
	(void)want_note(outcome);
}

/* Let go without a question; the caller says how it went. */
static void
unasked(struct auth_guard *g, const char *user, const char *password)
{
	ask(g, user, password);
	assert_int_equal(told.times, 1);
	assert_int_equal(told.answer, AUTH_GUARD_GO);
	assert_int_equal(g->delay_ms, 0);
	assert_int_equal(next_message().type, IPC_NONE);
}

static void
test_again(void **state)
{
	struct auth_guard g = {.delay_ms = 0};

	(void)state;
	ledger_down();
	ledger_up();
	attempt("ann@example.com", "right", 0, GUARD_SUCCESS);
	unasked(&g, "ann@example.com", "right");
	auth_guard_note(&g, GUARD_SUCCESS, "ann@example.com");
	assert_int_equal(next_message().type, IPC_NONE); /* no news */
	unasked(&g, "Ann@EXAMPLE.com", "right");
	auth_guard_note(&g, GUARD_NONE, "");
	unasked(&g, "ann@example.com", "right");
	auth_guard_clear(&g); /* the client went away */
	assert_int_equal(next_message().type, IPC_NONE);
	/* another password, user or place is asked about */
	attempt("ann@example.com", "guess", 0, GUARD_NONE);
	attempt("bob@example.com", "right", 0, GUARD_NONE);
	assert_int_equal(net_addr_parse_ip(span_of("192.0.2.2"), &client), 0);
	attempt("ann@example.com", "right", 0, GUARD_NONE);
	assert_int_equal(net_addr_parse_ip(span_of("192.0.2.1"), &client), 0);
	unasked(&g, "ann@example.com", "right");
	/* a ledger that is away holds him up no more than one that is there */
	ledger_down();
	auth_guard_clear(&g);
	ask(&g, "ann@example.com", "right");
	assert_int_equal(told.answer, AUTH_GUARD_GO);
	ledger_up();
	assert_int_equal(next_message().type, IPC_NONE); /* no guess, so nothing is under way */
	auth_guard_note(&g, GUARD_SUCCESS, "ann@example.com");
	assert_int_equal(next_message().type, IPC_NONE);
}

static void
test_again_ends(void **state)
{
	struct auth_guard g = {.delay_ms = 0};

	(void)state;
	/* whatever fails under the name at that place */
	attempt("ann@example.com", "guess", 0, GUARD_FAILURE);
	attempt("ann@example.com", "right", 0, GUARD_SUCCESS);
	attempt("ann@example.com", "guess", 0, GUARD_FAILURE);
	attempt("ann@example.com", "right", 0, GUARD_SUCCESS);
	attempt("ann@example.com", "guess", 0, GUARD_RULE);
	/* where failures are left: a refusal would be delayed */
	attempt("ann@example.com", "right", 700, GUARD_SUCCESS);
	attempt("ann@example.com", "right", 0, GUARD_SUCCESS);
	/* a password that was changed meanwhile is counted, and ends it */
	unasked(&g, "ann@example.com", "right");
	auth_guard_note(&g, GUARD_FAILURE, "ann@example.com");
	struct ipc_guard_note m = want_note(GUARD_FAILURE);
	assert_true(span_eq(m.user, "ann@example.com") && net_addr_equal_ip(&m.client, &client));
	attempt("ann@example.com", "right", 0, GUARD_FAILURE);
	/* a new one takes the place of the old one */
	attempt("ann@example.com", "right", 0, GUARD_SUCCESS);
	attempt("ann@example.com", "new", 0, GUARD_SUCCESS);
	unasked(&g, "ann@example.com", "new");
	auth_guard_clear(&g);
	attempt("ann@example.com", "right", 0, GUARD_FAILURE);
	/* what cannot be compared is always asked about */
	attempt("tom@example.com", NULL, 0, GUARD_SUCCESS);
	attempt("tom@example.com", NULL, 0, GUARD_SUCCESS);
	/* and who names nobody: for him the failures of others at that address count */
	attempt("", "token", 0, GUARD_SUCCESS);
	attempt("", "token", 0, GUARD_SUCCESS);
}

static int
set_up(void **state)
{
	static const struct ipc_handler handlers[] = {{IPC_NONE, NULL}};
	static const struct ipc_role_ops ops = {.handlers = handlers};

	(void)state;
	conf = conf_test_good(
	    CONF_TEST_BASE "domain_alias \"alias.example\" { parent = \"example.com\" }\n"
			   "auth_guard { exempt = {\"10.0.0.0/8\"} }");
	assert_int_equal(ev_init(), 0);
	ipc_init(ROLE_AUTH, &ops);
	auth_guard_init((const uint8_t[32]){1, 2, 3});
	assert_int_equal(net_addr_parse_ip(span_of("192.0.2.1"), &client), 0);
	ledger_up();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	ledger_down();
	buf_clear(&got);
	conf_free(conf);
	ev_done();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_answers),
	    cmocka_unit_test(test_lies),
	    cmocka_unit_test(test_restart),
	    cmocka_unit_test(test_again),
	    cmocka_unit_test(test_again_ends),
	    cmocka_unit_test(test_silence),
	    cmocka_unit_test(test_hanging),
	    cmocka_unit_test(test_exempt),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("auth_guard", tests, set_up, tear_down);
}
