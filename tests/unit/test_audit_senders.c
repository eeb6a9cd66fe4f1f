/* SPDX-License-Identifier: ISC */
/*
 * Who sent which records (A1): what is turned away comes again from where it was, what
 * came too early is turned away too, what nobody has any more is counted; and after a
 * sync that failed nothing counts that is not known to be on disk.
 */
#include "ledger/audit_senders.h"

#include "base/ev.h"
#include "base/log.h"
#include "base/net.h"
#include "base/str.h"
#include "ipc/audit_outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define SRC 0xabcu

static struct ipc_peer *peer;
static int theirs = -1;
static uint64_t gone_lost;

/* The acknowledgement that was sent; its state is 255 when there is none. */
static struct ipc_audit_ack
told(void)
{
	struct ipc_audit_ack m = {.state = 255};
	uint8_t frame[IPC_HEADER + 17];

	ipc_flush_all();
	if (recv(theirs, frame, sizeof(frame), MSG_DONTWAIT) == -1)
		return m;
	struct ipc_in f = {IPC_AUDIT_ACK, frame + IPC_HEADER, sizeof(frame) - IPC_HEADER, -1};
	assert_int_equal(ipc_decode_audit_ack(&f, &m), 0);
	return m;
}

static void
take(struct audit_sender *s, uint64_t first, uint64_t last, uint64_t skip, uint64_t missing)
{
	uint64_t skipped, gap;

	assert_false(audit_sender_runs_ahead(s, first));
	audit_sender_take(s, first, last, &skipped, &gap);
	assert_int_equal(skipped, skip);
	assert_int_equal(gap, missing);
}

static void
sync_all(void)
{
	audit_senders_written();
	audit_senders_sync_begins();
	audit_senders_synced();
}

static struct audit_sender *
sender(enum role role, uint64_t src, bool keeps)
{
	struct audit_sender *s = audit_senders_get(role, src);

	audit_sender_heard(s, peer, keeps);
	return s;
}

static void
test_refused(void **state)
{
	struct audit_sender *s = sender(ROLE_AUTH, SRC, false);
	struct ipc_audit_ack m;

	(void)state;
	take(s, 1, 3, 0, 0);
	sync_all();
	m = told();
	assert_int_equal(m.n, 3);
	assert_int_equal(m.state, AUDIT_ACK_TAKEN);
	/* turned away, and told so once */
	audit_sender_refuse(s, 4, 4, true);
	m = told();
	assert_int_equal(m.src, SRC);
	assert_int_equal(m.n, 3);
	assert_int_equal(m.state, AUDIT_ACK_CLOSED);
	audit_sender_refuse(s, 5, 6, true);
	assert_int_equal(told().state, 255);
	audit_senders_again();
	assert_int_equal(told().state, AUDIT_ACK_AGAIN);
	/* this was sent before it heard: 4 to 6 are no gap */
	assert_true(audit_sender_runs_ahead(s, 7));
	audit_sender_refuse(s, 7, 7, false);
	assert_int_equal(told().state, 255);
	take(s, 4, 4, 0, 0);
	take(s, 5, 8, 0, 0);
	take(s, 10, 10, 0, 1); /* this is one */
	/* nothing more is asked of it */
	audit_senders_again();
	assert_int_equal(told().state, 255);
	/* all hear of it, once, and when it is over */
	for (int i = 0; i < 2; i++) {
		audit_senders_close();
		assert_int_equal(told().state, i == 0 ? AUDIT_ACK_CLOSED : 255);
	}
	audit_senders_again();
	assert_int_equal(told().state, AUDIT_ACK_AGAIN);
}

/* The first record of a sender may have any number; turned away that one is the first still. */
static void
test_refused_first(void **state)
{
	struct audit_sender *s = sender(ROLE_AUTH, SRC, false);

	(void)state;
	audit_sender_refuse(s, 7, 7, true);
	assert_int_equal(told().state, AUDIT_ACK_CLOSED);
	assert_true(audit_sender_runs_ahead(s, 8));
	take(s, 7, 9, 0, 0);
}

static void
on_gone(const struct audit_sender *s, uint64_t lost)
{
	assert_int_equal(s->src, SRC);
	gone_lost += lost;
}

static void
test_gone(void **state)
{
	struct audit_sender *s = sender(ROLE_AUTH, SRC, false);
	struct audit_sender *q = sender(ROLE_QUEUE, SRC + 1, true);

	(void)state;
	take(s, 1, 3, 0, 0);
	audit_sender_refuse(s, 4, 5, true);
	audit_sender_refuse(s, 9, 9, true); /* the last one before its end */
	audit_sender_refuse(q, 1, 5, true);
	gone_lost = 0;
	audit_senders_peer_down(peer, on_gone);
	assert_int_equal(gone_lost, 6);
	audit_senders_peer_down(peer, on_gone);
	assert_int_equal(gone_lost, 6);
	/* the queue's come again, through another process */
	audit_sender_heard(q, peer, true);
	take(q, 1, 5, 0, 0);
	while (told().state != 255)
		;
}

/* One process is one sender, but for the queue. */
static void
test_one_each(void **state)
{
	(void)state;
	assert_false(audit_senders_is_other(peer, ROLE_AUTH, SRC));
	(void)sender(ROLE_AUTH, SRC, false);
	assert_false(audit_senders_is_other(peer, ROLE_AUTH, SRC));
	assert_true(audit_senders_is_other(peer, ROLE_AUTH, SRC + 1));
	assert_false(audit_senders_is_other(NULL, ROLE_AUTH, SRC + 1));
	assert_false(audit_senders_is_other(peer, ROLE_QUEUE, SRC + 1));
}

static void
test_unsynced(void **state)
{
	struct audit_sender *s = sender(ROLE_AUTH, SRC, false);
	struct audit_sender *fresh = sender(ROLE_AUTH, SRC + 1, false);
	struct audit_sender *gone = audit_senders_get(ROLE_AUTH, SRC + 2);
	struct audit_sender *queue = audit_senders_get(ROLE_QUEUE, SRC + 3);
	struct buf m = BUF_INIT;

	(void)state;
	take(s, 1, 3, 0, 0);
	sync_all();
	assert_int_equal(told().n, 3);
	take(s, 4, 6, 0, 0);
	take(fresh, 11, 12, 0, 0);
	take(gone, 1, 5, 0, 0);
	take(queue, 1, 5, 0, 0);
	audit_senders_written();
	audit_senders_sync_begins();
	audit_senders_unsynced();
	assert_int_equal(s->last, 3);
	assert_int_equal(fresh->last, 0);
	assert_int_equal(gone->last, 5);  /* nobody has them any more */
	assert_int_equal(queue->last, 0); /* its rows wait */
	/* nothing of it is acknowledged by a later sync */
	sync_all();
	assert_int_equal(told().state, 255);
	/* a start finds the same in the record */
	audit_senders_members(&m);
	assert_non_null(strstr(buf_cstr(&m), "auth:0000000000000abc=3 auth:0000000000000abe=5\""));
	audit_senders_again();
	assert_int_equal(told().state, AUDIT_ACK_AGAIN);
	assert_int_equal(told().state, AUDIT_ACK_AGAIN);
	assert_true(audit_sender_runs_ahead(s, 7));
	take(s, 4, 8, 0, 0);
	take(fresh, 11, 13, 0, 0);
	sync_all();
	assert_int_equal(told().n, 8);
	assert_int_equal(told().n, 13);
	buf_clear(&m);
}

static void
replay(const char *kind, const char *members)
{
	struct audit_line l;
	char text[300];

	assert_int_equal(str_printf(text, sizeof(text),
			     "{\"seq\":1,\"time\":\"t\",\"kind\":\"%s\"%s}", kind, members),
	    0);
	assert_int_equal(audit_line_parse(span_of(text), &l), 0);
	audit_senders_recover(&l);
}

/* What a start reads: behind a sync that failed only what its record lists. */
static void
test_replay(void **state)
{
	(void)state;
	replay("begin", ",\"last\":\"auth:0000000000000abc=2 queue:0000000000000abd=7\"");
	replay("auth", ",\"src\":\"auth:0000000000000abc\",\"n\":3");
	replay("auth", ",\"src\":\"auth:0000000000000abc\",\"n\":4");
	assert_int_equal(audit_senders_get(ROLE_AUTH, SRC)->last, 4);
	replay("sync_failed", ",\"from\":9,\"upto\":12,\"last\":\"auth:0000000000000abc=3\"");
	assert_int_equal(audit_senders_get(ROLE_AUTH, SRC)->last, 3);
	assert_int_equal(audit_senders_get(ROLE_QUEUE, SRC + 1)->last, 0);
	replay("auth", ",\"src\":\"auth:0000000000000abc\",\"n\":4");
	assert_int_equal(audit_senders_get(ROLE_AUTH, SRC)->last, 4);
	/* rubbish in it is not taken */
	replay("begin",
	    ",\"last\":\"auth:0abc=9 auth:0000000000000abc=x =1 nobody:0000000000000abc=9\"");
	assert_int_equal(audit_senders_get(ROLE_AUTH, SRC)->last, 4);
}

static int
each(void **state)
{
	(void)state;
	audit_senders_reset();
	return 0;
}

static int
setup(void **state)
{
	static const struct ipc_handler handlers[] = {{IPC_NONE, NULL}};
	static const struct ipc_role_ops ops = {.handlers = handlers};
	static const char *const target[] = {"file:/dev/null"};
	struct log_options quiet = {.targets = target, .n_targets = 1, .level = LOG_LEVEL_ERROR};
	char err[200];
	int fds[2];

	(void)state;
	if (log_open(&quiet, err, sizeof(err)) == -1 || ev_init() == -1 ||
	    net_socketpair(fds) == -1)
		return -1;
	ipc_init(ROLE_LEDGER, &ops);
	theirs = fds[1];
	peer = ipc_peer_new(fds[0], ROLE_AUTH, 0, 1);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	ipc_peer_close(peer);
	close(theirs);
	ev_restart();
	ev_stop();
	ev_run();
	ev_done();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_refused, each),
	    cmocka_unit_test_setup(test_refused_first, each),
	    cmocka_unit_test_setup(test_gone, each),
	    cmocka_unit_test_setup(test_one_each, each),
	    cmocka_unit_test_setup(test_unsynced, each),
	    cmocka_unit_test_setup(test_replay, each),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
