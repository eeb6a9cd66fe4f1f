/* SPDX-License-Identifier: ISC */
/*
 * Messages between processes: what is encoded is decoded, what is wrong cuts the
 * peer off and nobody else, descriptors arrive with their frame, secrets are wiped.
 */
#include "base/ev.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "ipc/ipc.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct ipc_peer *peer;
static int raw_fd; /* the other end */
static unsigned seen, downs;
static char last_text[64];
static int last_fd;
static const uint8_t *secret_at;

static int
on_res(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_body_opened m;

	(void)p;
	if (ipc_decode_body_opened(in, &m) == -1)
		return -1;
	seen++;
	(void)str_copy_span(last_text, sizeof(last_text), m.text);
	last_fd = in->fd;
	in->fd = -1;
	return 0;
}

static int
on_auth(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_auth_res m;

	(void)p;
	if (ipc_decode_auth_res(in, &m) == -1)
		return -1;
	seen++;
	secret_at = (const uint8_t *)m.challenge.p;
	assert_memory_equal(secret_at, "hush", 4);
	return 0;
}

static void
down(struct ipc_peer *p)
{
	(void)p;
	downs++;
	ev_stop();
}

static const struct ipc_handler handlers[] = {
    {IPC_BODY_OPENED, on_res}, {IPC_AUTH_RES, on_auth}, {IPC_NONE, NULL}};
static const struct ipc_role_ops ops = {.handlers = handlers, .peer_down = down};

static void
set_up(enum role peer_role)
{
	int fds[2];

	seen = downs = 0;
	last_fd = -1;
	assert_int_equal(ev_init(), 0);
	ev_restart();
	ipc_init(ROLE_FRONT, &ops);
	assert_int_equal(net_socketpair(fds), 0);
	raw_fd = fds[1];
	peer = ipc_peer_new(fds[0], peer_role, 0, 1);
}

static void
stop_loop(void *arg)
{
	(void)arg;
	ev_stop();
}

static void
turn(void)
{
	struct ev_timer t = {0};

	ev_timer_set(&t, 20, stop_loop, NULL);
	ev_restart();
	ev_run();
	ev_timer_clear(&t);
}

static void
tear_down(void)
{
	if (downs == 0)
		ipc_peer_close(peer);
	close(raw_fd);
	turn();
	ev_done();
}

/* A frame as another process would write it. */
static void
frame(struct buf *b, enum ipc_type type, unsigned flags, const struct buf *body)
{
	buf_put_u32(b, (uint32_t)(8 + buf_len(body)));
	buf_put_u16(b, (uint16_t)type);
	buf_put_u16(b, (uint16_t)flags);
	buf_add(b, buf_data(body), buf_len(body));
}

static void
encode_opened(struct buf *body, const char *text)
{
	struct ipc_body_opened m = {
	    .mid = {"0123456789abcdef", 16}, .code = 250, .text = span_of(text)};

	ipc_encode_body_opened(body, &m);
}

static void
frames_arrive_byte_by_byte(void **state)
{
	struct buf b = BUF_INIT, body = BUF_INIT;

	(void)state;
	set_up(ROLE_QUEUE);
	encode_opened(&body, "first");
	frame(&b, IPC_BODY_OPENED, 0, &body);
	for (size_t i = 0; i < buf_len(&b); i++) {
		assert_int_equal(write(raw_fd, buf_data(&b) + i, 1), 1);
		if (i % 16 == 0)
			turn();
		assert_int_equal(seen, 0);
	}
	turn();
	assert_int_equal(seen, 1);
	assert_string_equal(last_text, "first");
	tear_down();
	buf_clear(&b);
	buf_clear(&body);
}

static void
descriptors_stay_with_their_frame(void **state)
{
	struct buf b = BUF_INIT, body = BUF_INIT;
	int pipes[2];

	(void)state;
	set_up(ROLE_QUEUE);
	/* what this process would send, read back as if it were the other's: same code, both ways
	 */
	assert_int_equal(pipe(pipes), 0);
	encode_opened(&body, "with");
	frame(&b, IPC_BODY_OPENED, 1, &body);
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {(void *)(uintptr_t)buf_data(&b), buf_len(&b)};
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control,
	    .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &pipes[1], sizeof(int));
	assert_true(sendmsg(raw_fd, &msg, 0) > 0);
	turn();
	assert_int_equal(seen, 1);
	assert_int_not_equal(last_fd, -1);
	assert_int_equal(write(last_fd, "x", 1), 1);
	char x;
	assert_int_equal(read(pipes[0], &x, 1), 1);
	close(last_fd);
	close(pipes[0]);
	close(pipes[1]);
	tear_down();
	buf_clear(&b);
	buf_clear(&body);
}

static void
what_is_wrong_cuts_the_peer_off(void **state)
{
	static const struct {
		const char *what;
		enum role from;
		enum ipc_type type;
		unsigned flags;
		int extra; /* bytes more (or fewer) in the body */
	} cases[] = {
	    {"a message of another role", ROLE_AUTH, IPC_BODY_OPENED, 0, 0},
	    {"a message nobody handles here", ROLE_QUEUE, IPC_QUEUE_STATE, 0, 0},
	    {"an unknown type", ROLE_QUEUE, (enum ipc_type)9999, 0, 0},
	    {"a short body", ROLE_QUEUE, IPC_BODY_OPENED, 0, -1},
	    {"a long body", ROLE_QUEUE, IPC_BODY_OPENED, 0, 1},
	    {"a descriptor announced and not sent", ROLE_QUEUE, IPC_BODY_OPENED, 1, 0},
	    {"an unknown flag", ROLE_QUEUE, IPC_BODY_OPENED, 2, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf b = BUF_INIT, body = BUF_INIT;
		set_up(cases[i].from);
		encode_opened(&body, "text");
		if (cases[i].extra < 0)
			buf_truncate(&body, buf_len(&body) - 1);
		if (cases[i].extra > 0)
			buf_add(&body, "x", 1);
		frame(&b, cases[i].type, cases[i].flags, &body);
		assert_int_equal(write(raw_fd, buf_data(&b), buf_len(&b)), (ssize_t)buf_len(&b));
		turn();
		if (downs != 1 || seen != 0)
			fail_msg("%s", cases[i].what);
		tear_down();
		buf_clear(&b);
		buf_clear(&body);
	}
}

static void
impossible_lengths_cut_the_peer_off(void **state)
{
	static const uint32_t lengths[] = {0, 7, 65537, UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct buf b = BUF_INIT;
		set_up(ROLE_QUEUE);
		buf_put_u32(&b, lengths[i]);
		buf_put_u32(&b, 0);
		assert_int_equal(write(raw_fd, buf_data(&b), buf_len(&b)), 8);
		turn();
		assert_int_equal(downs, 1);
		tear_down();
		buf_clear(&b);
	}
}

static void
secrets_are_wiped_after_dispatch(void **state)
{
	struct buf b = BUF_INIT, body = BUF_INIT;
	struct ipc_auth_res m = {.sid = 1, .more = 1, .challenge = {"hush", 4}};

	(void)state;
	set_up(ROLE_AUTH);
	ipc_encode_auth_res(&body, &m);
	frame(&b, IPC_AUTH_RES, 0, &body);
	assert_int_equal(write(raw_fd, buf_data(&b), buf_len(&b)), (ssize_t)buf_len(&b));
	turn();
	assert_int_equal(seen, 1);
	/* the receive buffer still exists; the place must be zero */
	assert_memory_equal(secret_at, "\0\0\0\0", 4);
	tear_down();
	buf_clear(&b);
	buf_clear(&body);
}

static void
frames_that_do_not_fit_are_refused(void **state)
{
	static char big[70000];
	struct ipc_msg_more m = {.mid = {big, 16}, .body = {big, sizeof(big)}};
	struct ipc_msg_more small = {.mid = {big, 16}, .body = {big, IPC_CHUNK}};

	(void)state;
	set_up(ROLE_QUEUE);
	assert_int_equal(ipc_send_msg_more(peer, -1, &m), -1);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(ipc_peer_backlog(peer), 0);
	assert_int_equal(ipc_send_msg_more(peer, -1, &small), 0);
	assert_true(ipc_peer_backlog(peer) > IPC_CHUNK);
	tear_down();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(frames_arrive_byte_by_byte),
	    cmocka_unit_test(descriptors_stay_with_their_frame),
	    cmocka_unit_test(what_is_wrong_cuts_the_peer_off),
	    cmocka_unit_test(impossible_lengths_cut_the_peer_off),
	    cmocka_unit_test(secrets_are_wiped_after_dispatch),
	    cmocka_unit_test(frames_that_do_not_fit_are_refused),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
