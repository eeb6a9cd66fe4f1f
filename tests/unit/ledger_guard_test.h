/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_TESTS_UNIT_LEDGER_GUARD_TEST_H
#define SUBMITD_TESTS_UNIT_LEDGER_GUARD_TEST_H

/*
 * The ledger's brake (A7) with its file in a directory of the test, and two auth
 * processes at the other ends of real sockets, of which the tests write every octet.
 */
#include "ledger/ledger_guard.h"

#include "base/ev.h"
#include "base/list.h"
#include "base/log.h"
#include "conf_test.h"
#include "ipc/ipc_guard.h"
#include "ledger/guard.h"
#include "ledger/guard_store.h"

#include <sys/socket.h>
#include <unistd.h>

#define CONF                                                                                       \
	"server { hostname = \"mail.example.com\" state = \"%s\" }\n" CONF_TEST_TLS CONF_TEST_FLOW \
	    CONF_TEST_LISTENER CONF_TEST_REST "\n"                                                 \
	"auth_guard { per_address = {\"%u/10m\"} per_network = {} per_user = {\"8/10m\"}"          \
	" lockout = \"10m\" tarpit = \"50ms\" }"
#define HELD_MOST 60000u /* attempts under way, as in ledger_guard.c */
#define LINE_MOST 1024u

/* Two auth processes, as two generations or after a restart. */
static struct auth {
	struct ipc_peer *peer; /* the ledger's end */
	int fd;                /* ours */
	bool down;
	struct buf out, in;
} auths[2];

static char dir[] = "/tmp/submitd-test-XXXXXX";
static struct conf *conf;
static uint64_t last_call, last_guess;

/* ---- the wire -------------------------------------------------------------------------------- */

static inline void
peer_down(struct ipc_peer *p)
{
	ledger_guard_peer_down(p);
	for (size_t i = 0; i < ARRAY_LEN(auths); i++)
		if (auths[i].peer == p)
			auths[i].down = true;
}

static inline void
auth_up(struct auth *a)
{
	int fds[2];

	assert_int_equal(net_socketpair(fds), 0);
	a->peer = ipc_peer_new(fds[0], ROLE_AUTH, 0, 1);
	a->fd = fds[1];
	a->down = false;
	buf_reset(&a->in);
	buf_reset(&a->out);
}

static inline void
auth_dies(struct auth *a)
{
	close(a->fd);
	a->fd = -1;
}

static inline void
stop(void *arg)
{
	(void)arg;
	ev_stop();
}

/* One turn of the ledger; what we have for it goes out, what it has for us comes in. */
static inline void
turn(void)
{
	struct ev_timer t = {0};
	uint8_t part[65536];
	ssize_t n;

	for (size_t i = 0; i < ARRAY_LEN(auths); i++)
		while (auths[i].fd != -1 && buf_len(&auths[i].out) > 0 &&
		       (n = send(auths[i].fd, buf_data(&auths[i].out), buf_len(&auths[i].out),
			    MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
			buf_consume(&auths[i].out, (size_t)n);
	ev_timer_set(&t, 2, stop, NULL);
	ev_restart();
	ev_run();
	ev_timer_clear(&t);
	for (size_t i = 0; i < ARRAY_LEN(auths); i++)
		while (auths[i].fd != -1 &&
		       (n = recv(auths[i].fd, part, sizeof(part), MSG_DONTWAIT)) > 0)
			buf_add(&auths[i].in, part, (size_t)n);
}

/* Turns until the condition holds; 20 s on a machine that has better things to do. */
#define turn_until(condition)                                                                      \
	do {                                                                                       \
		int64_t began_ = ev_wall_ms();                                                     \
		while (!(condition)) {                                                             \
			assert_true(ev_wall_ms() - began_ < 20000);                                \
			turn();                                                                    \
		}                                                                                  \
	} while (0)

static inline void
send_frame(struct auth *a, enum ipc_type type, const struct buf *body)
{
	buf_put_u32(&a->out, (uint32_t)(IPC_HEADER + buf_len(body)));
	buf_put_u16(&a->out, (uint16_t)type);
	buf_put_u16(&a->out, 0);
	buf_add_span(&a->out, buf_span(body));
}

static inline struct net_addr
ip(const char *text)
{
	struct net_addr a;

	assert_int_equal(net_addr_parse_ip(span_of(text), &a), 0);
	return a;
}

static inline void
send_ask(struct auth *a, const struct ipc_guard_ask *m)
{
	struct buf b = BUF_INIT;

	ipc_encode_guard_ask(&b, m);
	send_frame(a, IPC_GUARD_ASK, &b);
	buf_clear(&b);
}

static inline void
send_note(struct auth *a, const struct ipc_guard_note *m)
{
	struct buf b = BUF_INIT;

	ipc_encode_guard_note(&b, m);
	send_frame(a, IPC_GUARD_NOTE, &b);
	buf_clear(&b);
}

/* A question of its own guess; its number. */
static inline uint64_t
ask(struct auth *a, const char *from, const char *user)
{
	struct ipc_guard_ask m = {.call = ++last_call,
	    .client = ip(from),
	    .user = span_of(user),
	    .guess = ++last_guess << 20};

	send_ask(a, &m);
	return m.call;
}

static inline void
note(struct auth *a, uint64_t call, const char *from, const char *user, enum guard_outcome outcome)
{
	struct ipc_guard_note m = {.call = call,
	    .outcome = (uint8_t)outcome,
	    .client = ip(from),
	    .user = span_of(user),
	    .guess = ++last_guess << 20,
	    .shown = span_of(user)};

	send_note(a, &m);
}

/* The next answer that has come, in the order they came. */
static inline bool
next_res(struct auth *a, struct ipc_guard_res *m)
{
	struct ipc_in in = {.type = IPC_GUARD_RES, .fd = -1};
	const uint8_t *p = buf_data(&a->in);
	size_t len;

	if (buf_len(&a->in) < IPC_HEADER)
		return false;
	len = (size_t)p[0] | (size_t)p[1] << 8;
	if (buf_len(&a->in) < len)
		return false;
	assert_int_equal(p[4] | p[5] << 8, IPC_GUARD_RES);
	in.body = p + IPC_HEADER;
	in.len = len - IPC_HEADER;
	assert_int_equal(ipc_decode_guard_res(&in, m), 0);
	buf_consume(&a->in, len);
	return true;
}

static inline struct ipc_guard_res
want_res(struct auth *a, uint64_t call, enum guard_verdict verdict)
{
	struct ipc_guard_res m;

	turn_until(next_res(a, &m));
	assert_true(m.call == call);
	assert_int_equal(m.verdict, verdict);
	return m;
}

/* An attempt from question to outcome. */
static inline struct ipc_guard_res
try(struct auth *a, const char *from, const char *user, enum guard_verdict verdict,
    enum guard_outcome outcome)
{
	uint64_t call = ask(a, from, user);
	struct ipc_guard_res m = want_res(a, call, verdict);

	if (verdict == GUARD_GO)
		note(a, call, from, user, outcome);
	return m;
}

static inline void
fail_times(const char *from, const char *user, unsigned n)
{
	while (n-- > 0)
		(void)try(&auths[0], from, user, GUARD_GO, GUARD_FAILURE);
}

static inline json_int_t
stat(const char *key)
{
	struct buf b = BUF_INIT;
	json_t *j;
	json_int_t n;

	buf_add_str(&b, "{\"x\":0");
	ledger_guard_stats(&b);
	buf_add_byte(&b, '}');
	j = json_loadb((const char *)buf_data(&b), buf_len(&b), 0, NULL);
	assert_non_null(j);
	n = json_integer_value(json_object_get(json_object_get(j, "guard"), key));
	json_decref(j);
	buf_clear(&b);
	return n;
}

static inline struct conf *
read_conf(unsigned per_address)
{
	char text[2000];

	assert_int_equal(str_printf(text, sizeof(text), CONF, dir, per_address), 0);
	return conf_test_good(text);
}

static inline void
start(void)
{
	char err[400] = "";

	if (ledger_guard_start(conf, err, sizeof(err)) == -1)
		print_error("%s\n", err);
	assert_string_equal(err, "");
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static inline int
set_up(void **state)
{
	static const char *const files[] = {"", "-wal", "-shm"};
	char path[100];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		(void)str_printf(path, sizeof(path), "%s/%s%s", dir, GUARD_STORE_FILE, files[i]);
		(void)unlink(path);
	}
	start();
	auth_up(&auths[0]);
	auth_up(&auths[1]);
	return 0;
}

static inline int
tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(auths); i++) {
		if (auths[i].fd != -1)
			auth_dies(&auths[i]);
		turn_until(auths[i].down);
	}
	ledger_guard_leave();
	return 0;
}

static inline int
set_up_all(void **state)
{
	static const struct ipc_handler handlers[] = {{IPC_GUARD_ASK, ledger_guard_on_ask},
	    {IPC_GUARD_NOTE, ledger_guard_on_note}, {IPC_GUARD_BEGUN, ledger_guard_on_begun},
	    {IPC_NONE, NULL}};
	static const struct ipc_role_ops ops = {.handlers = handlers, .peer_down = peer_down};

	static const char *const nowhere = "file:/dev/null";
	const struct log_options quiet = {&nowhere, 1, false, LOG_LEVEL_ERROR};
	char err[400];

	(void)state;
	if (log_open(&quiet, err, sizeof(err)) == -1)
		return -1;
	if (mkdtemp(dir) == NULL || ev_init() == -1)
		return -1;
	ipc_init(ROLE_LEDGER, &ops);
	conf = read_conf(5);
	return 0;
}

static inline int
tear_down_all(void **state)
{
	char path[100];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(auths); i++) {
		buf_clear(&auths[i].in);
		buf_clear(&auths[i].out);
	}
	conf_free(conf);
	ev_done();
	(void)str_printf(path, sizeof(path), "%s/%s", dir, GUARD_STORE_FILE);
	(void)unlink(path);
	return rmdir(dir);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

#endif
