/* SPDX-License-Identifier: ISC */
/*
 * Records on their way to the ledger (A1): numbers, the window, acknowledgements, a new
 * socket, and the gap that is told where there was no room.
 */
#include "ipc/audit_outbox.h"

#include "base/ev.h"
#include "base/log.h"
#include "base/str.h"
#include "ipc/ipc.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define MAX 20000u
#define WINDOW 5000u

static struct ipc_peer *ledger;
static int theirs = -1;
static struct buf in;
static uint64_t acked_tag;

static void
acked(uint64_t tag)
{
	acked_tag = tag;
}

static void
connect_ledger(void)
{
	int fds[2];

	assert_int_equal(net_socketpair(fds), 0);
	theirs = fds[1];
	buf_reset(&in);
	ledger = ipc_peer_new(fds[0], ROLE_LEDGER, 0, 1);
	audit_outbox_up(ledger);
}

static void
cut(void)
{
	ipc_peer_close(ledger);
	close(theirs);
	ledger = NULL;
}

/* The next note that was sent; n is 0 when there is none. */
static struct ipc_audit_note
next(void)
{
	static struct buf frame;
	struct ipc_audit_note m = {.n = 0};
	uint8_t part[4096];
	struct rd r;
	ssize_t n;

	ipc_flush_all();
	while ((n = recv(theirs, part, sizeof(part), MSG_DONTWAIT)) > 0)
		buf_add(&in, part, (size_t)n);
	if (buf_len(&in) < IPC_HEADER)
		return m;
	rd_init(&r, buf_data(&in), buf_len(&in));
	uint32_t len = rd_u32(&r);
	assert_in_range(len, IPC_HEADER, buf_len(&in));
	buf_reset(&frame);
	buf_add(&frame, buf_data(&in) + IPC_HEADER, len - IPC_HEADER);
	buf_consume(&in, len);
	struct ipc_in f = {IPC_AUDIT_NOTE, buf_data(&frame), buf_len(&frame), -1};
	assert_int_equal(ipc_decode_audit_note(&f, &m), 0);
	return m;
}

static void
ack_state(uint64_t n, enum audit_ack ack)
{
	struct ipc_audit_ack m = {audit_outbox_src(), n, (uint8_t)ack};
	struct buf b = BUF_INIT;

	ipc_encode_audit_ack(&b, &m);
	struct ipc_in f = {IPC_AUDIT_ACK, buf_data(&b), buf_len(&b), -1};
	assert_int_equal(audit_outbox_on_ack(ledger, &f), 0);
	buf_clear(&b);
}

static void
ack(uint64_t n)
{
	ack_state(n, AUDIT_ACK_TAKEN);
}

static int
note(size_t octets)
{
	char text[2000];

	memset(text, 'x', sizeof(text));
	return audit_outbox_note(1, "test", (struct span){text, octets});
}

static void
test_again(void **state)
{
	struct audit_outbox_stats s;

	(void)state;
	/* without a ledger all is kept; with one it goes, in order; on a new socket again */
	for (int i = 0; i < 5; i++)
		assert_int_equal(note(10), 0);
	assert_false(audit_outbox_sent());
	connect_ledger();
	assert_true(audit_outbox_sent());
	for (uint64_t i = 1; i <= 5; i++)
		assert_int_equal(next().n, i);
	assert_int_equal(next().n, 0);
	ack(2);
	cut();
	assert_int_equal(note(10), 0);
	connect_ledger();
	for (uint64_t i = 3; i <= 6; i++) {
		struct ipc_audit_note m = next();

		assert_int_equal(m.n, i);
		assert_int_equal(m.src, audit_outbox_src());
	}
	ack(6);
	audit_outbox_stats(&s);
	assert_int_equal(s.records, 0);
	assert_int_equal(s.bytes, 0);
	ack(100); /* of nothing */
	cut();
}

static void
test_window(void **state)
{
	uint64_t n = 0, last = 0;

	(void)state;
	connect_ledger();
	for (int i = 0; i < 10; i++)
		assert_int_equal(note(1000), 0);
	assert_false(audit_outbox_sent());
	while ((n = next().n) != 0)
		last = n;
	assert_in_range(last, 2, 5); /* what fits the window */
	ack(1);
	assert_int_equal(next().n, last + 1);
	ack(10);
	cut();
}

static void
test_full(void **state)
{
	struct audit_outbox_stats s;
	uint64_t lost = 0, had = 0, n, seen = 0;
	bool gap = false;

	(void)state;
	connect_ledger();
	assert_true(audit_outbox_room(1000));
	for (int i = 0; i < 40; i++) {
		if (note(1000) == -1)
			lost++;
		else
			had++;
	}
	assert_in_range(had, 10, 20);
	assert_false(audit_outbox_room(1000));
	audit_outbox_stats(&s);
	assert_int_equal(s.lost, lost);
	assert_in_range(s.bytes, 1, MAX);
	/* as it is taken, the count follows in its place, and the numbers have no gap */
	for (;;) {
		struct ipc_audit_note m = next();

		if (m.n == 0 && seen == had + 1)
			break;
		if (m.n == 0) {
			ack(seen);
			continue;
		}
		assert_int_equal(m.n, ++seen);
		if (span_eq(m.kind, "gap")) {
			char want[40];

			(void)snprintf(
			    want, sizeof(want), "{\"lost\":%llu,", (unsigned long long)lost);
			assert_memory_equal(m.json.p, want, strlen(want));
			gap = true;
		}
	}
	assert_true(gap);
	assert_int_equal(seen, had + 1);
	ack(seen);
	assert_int_equal(note(10), 0);
	n = next().n;
	assert_int_equal(n, seen + 1);
	ack(n);
	cut();
}

/* One that fits no frame must not stand before the others for ever. */
static void
test_too_long(void **state)
{
	static const struct audit_outbox_options big = {1u << 20, 1u << 20, 0, NULL};
	static char text[100000];
	struct audit_outbox_stats s;
	struct buf b = BUF_INIT;

	(void)state;
	audit_outbox_init(&big);
	connect_ledger();
	memset(text, 'x', sizeof(text));
	assert_int_equal(audit_outbox_note(1, "test", (struct span){text, sizeof(text)}), 0);
	assert_in_range(next().json.n, 10000, 60000);
	struct ipc_audit_note m = {
	    .src = audit_outbox_src(), .n = audit_outbox_next(), .json = {text, sizeof(text)}};
	ipc_encode_audit_note(&b, &m);
	assert_int_equal(audit_outbox_add(IPC_AUDIT_NOTE, &b, m.src, m.n, m.n, 0), -1);
	audit_outbox_stats(&s);
	assert_int_equal(s.lost, 1);
	assert_int_equal(note(10), 0);
	assert_true(audit_outbox_sent());
	cut();
}

/* A ledger that can write nothing: what it has not taken is kept, and sent when it asks for it. */
static void
test_closed(void **state)
{
	struct audit_outbox_stats s;

	(void)state;
	connect_ledger();
	for (int i = 0; i < 3; i++)
		assert_int_equal(note(10), 0);
	for (uint64_t i = 1; i <= 3; i++)
		assert_int_equal(next().n, i);
	assert_true(audit_outbox_room(100));
	ack_state(1, AUDIT_ACK_CLOSED);
	assert_false(audit_outbox_room(0)); /* who need not accept more does not */
	assert_int_equal(note(10), 0);      /* the others are kept up to the bound */
	assert_int_equal(next().n, 0);
	assert_false(audit_outbox_sent());
	ack(1);
	assert_int_equal(next().n, 0);
	acked_tag = 99;
	ack_state(1, AUDIT_ACK_AGAIN);
	assert_int_equal(acked_tag, 0); /* it is told that there may be room */
	assert_true(audit_outbox_room(100));
	for (uint64_t i = 2; i <= 4; i++)
		assert_int_equal(next().n, i);
	assert_int_equal(next().n, 0);
	/* another ledger is asked anew */
	ack_state(4, AUDIT_ACK_CLOSED);
	cut();
	assert_int_equal(note(10), 0);
	connect_ledger();
	assert_int_equal(next().n, 5);
	/* the last one tells a ledger that takes nothing how many there were */
	ack_state(5, AUDIT_ACK_CLOSED);
	for (int i = 0; i < 4; i++)
		assert_int_equal(note(10), 0);
	audit_outbox_stats(&s);
	assert_int_equal(s.records, 4);
	audit_outbox_end();
	assert_int_equal(next().n, 9);
	assert_int_equal(next().n, 0);
	/* no such state */
	struct buf b = BUF_INIT;
	struct ipc_audit_ack bad = {audit_outbox_src(), 9, AUDIT_ACK_AGAIN + 1};

	ipc_encode_audit_ack(&b, &bad);
	struct ipc_in f = {IPC_AUDIT_ACK, buf_data(&b), buf_len(&b), -1};
	assert_int_equal(audit_outbox_on_ack(ledger, &f), -1);
	buf_clear(&b);
	cut();
}

/* A process that ends says what it lost: nothing comes any more that could. */
static void
test_end(void **state)
{
	struct ipc_audit_note m;

	(void)state;
	connect_ledger();
	audit_outbox_lost(3);
	assert_int_equal(next().n, 0);
	audit_outbox_end();
	m = next();
	assert_true(span_eq(m.kind, "gap"));
	assert_non_null(memmem(m.json.p, m.json.n, "\"lost\":3", 8));
	audit_outbox_end();
	assert_int_equal(next().n, 0);
	cut();
}

/* Records of another start id, as the queue reads them from its spool: tags come back. */
static void
test_tags(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	connect_ledger();
	for (uint64_t i = 1; i <= 3; i++) {
		struct ipc_audit_note m = {.src = 77, .n = i, .kind = span_of("x")};

		ipc_encode_audit_note(&b, &m);
		assert_int_equal(audit_outbox_add(IPC_AUDIT_NOTE, &b, 77, i, i, 40 + i), 0);
		assert_int_equal(next().n, i);
	}
	struct ipc_audit_ack m = {77, 2, AUDIT_ACK_TAKEN};
	ipc_encode_audit_ack(&b, &m);
	struct ipc_in f = {IPC_AUDIT_ACK, buf_data(&b), buf_len(&b), -1};
	assert_int_equal(audit_outbox_on_ack(ledger, &f), 0);
	assert_int_equal(acked_tag, 42);
	f.len--;
	assert_int_equal(audit_outbox_on_ack(ledger, &f), -1);
	buf_clear(&b);
	cut();
}

static int
each(void **state)
{
	static const struct audit_outbox_options o = {MAX, WINDOW, 0, acked};

	(void)state;
	audit_outbox_reset();
	audit_outbox_init(&o);
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

	(void)state;
	if (log_open(&quiet, err, sizeof(err)) == -1 || ev_init() == -1)
		return -1;
	ipc_init(ROLE_AUTH, &ops);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	audit_outbox_reset();
	buf_clear(&in);
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
	    cmocka_unit_test_setup(test_again, each),
	    cmocka_unit_test_setup(test_window, each),
	    cmocka_unit_test_setup(test_full, each),
	    cmocka_unit_test_setup(test_too_long, each),
	    cmocka_unit_test_setup(test_closed, each),
	    cmocka_unit_test_setup(test_end, each),
	    cmocka_unit_test_setup(test_tags, each),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
