/* SPDX-License-Identifier: ISC */
/*
 * Which process may tell the ledger what (A1): a note of another's kind is a breach of the rules,
 * and nothing of it is recorded.
 */
#include "ledger/ledger_audit.h"
#include "ledger/ledger_audit_internal.h"

#include "base/ev.h"
#include "base/list.h"
#include "base/net.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* The first note of a process of that role; no file is open, so nothing is written. */
static int
note(enum role role, const char *kind)
{
	static uint64_t src;
	struct ipc_audit_note m = {
	    .src = ++src, .n = 1, .time_ms = 1, .kind = span_of(kind), .json = span_of("{}")};
	struct buf body = BUF_INIT;
	struct ipc_peer *p;
	int fds[2], rc;

	assert_int_equal(net_socketpair(fds), 0);
	p = ipc_peer_new(fds[0], role, 0, 1);
	ipc_encode_audit_note(&body, &m);
	struct ipc_in in = {IPC_AUDIT_NOTE, buf_data(&body), buf_len(&body), -1};
	rc = ledger_audit_on_note(p, &in);
	ledger_audit_peer_down(p);
	ipc_peer_close(p);
	close(fds[1]);
	buf_clear(&body);
	return rc;
}

static void
test_kinds(void **state)
{
	static const struct {
		const char *kind;
		unsigned roles;
	} t[] = {
	    {"config", 1u << ROLE_SUPERVISOR},
	    {"died", 1u << ROLE_SUPERVISOR},
	    {"operator", 1u << ROLE_CONTROL | 1u << ROLE_QUEUE},
	    {"refused", 1u << ROLE_FRONT},
	    {"relay", 1u << ROLE_FRONT},
	    {"gap", ~0u},
	    {"begin", 0},
	    {"checkpoint", 0},
	    {"repair", 0},
	    {"sync_failed", 0},
	    {"moved", 0},
	    {"auth", 0},
	    {"accept", 0},
	    {"", 0},
	    {"Relay", 0},
	    {"relay\"", 0},
	};

	struct buf before = BUF_INIT, after = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		for (enum role r = ROLE_SUPERVISOR; r < ROLE__MAX; r++) {
			bool allowed = (t[i].roles >> r & 1) != 0;

			buf_reset(&before);
			buf_reset(&after);
			ledger_audit_take_stats(&before);
			int rc = note(r, t[i].kind);
			ledger_audit_take_stats(&after);
			bool counted =
			    buf_len(&before) != buf_len(&after) ||
			    memcmp(buf_data(&before), buf_data(&after), buf_len(&after)) != 0;
			if (rc != (allowed ? 0 : -1) || counted != allowed)
				fail_msg("%s by role %d: %d", t[i].kind, (int)r, rc);
		}
	buf_clear(&before);
	buf_clear(&after);
}

static int
setup(void **state)
{
	static const struct ipc_handler handlers[] = {{IPC_NONE, NULL}};
	static const struct ipc_role_ops ops = {.handlers = handlers};

	(void)state;
	if (ev_init() == -1)
		return -1;
	ipc_init(ROLE_LEDGER, &ops);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	ev_done();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_kinds)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
