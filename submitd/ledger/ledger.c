/* SPDX-License-Identifier: ISC */
/*
 * Process ledger: what lasts and what is counted, away from everything that talks to
 * strangers. This file is the role: requests, start, reload, end; each thing it
 * keeps has a file of its own. Must never use a network.
 */
#include "proc.h"

#include "base/ev.h"
#include "base/log.h"
#include "base/str.h"
#include "ledger/ledger_audit.h"
#include "ledger/ledger_guard.h"

#include <jansson.h>
#include <string.h>

static struct ev_turn leave_turn;

static int
on_ctl(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_ctl_req m;
	struct buf out = BUF_INIT;
	const char *cmd = NULL;
	json_t *j;

	if (ipc_decode_ctl_req(in, &m) == -1)
		return -1;
	j = json_loadb(m.json.p, m.json.n, JSON_REJECT_DUPLICATES, NULL);
	(void)json_unpack(j, "{s:s}", "cmd", &cmd);
	struct ipc_ctl_res r = {.request = m.request};
	if (cmd != NULL && strcmp(cmd, "stats") == 0) {
		buf_add_str(&out, "{\"role\":\"ledger\",\"instance\":0");
		ledger_audit_stats(&out);
		ledger_guard_stats(&out);
		buf_add_byte(&out, '}');
	} else if (cmd == NULL || !ledger_guard_ctl(p, m.request, cmd, j, &out, &r.status)) {
		r.status = 2;
		buf_add_str(&out, "{\"error\":\"ledger does not know this request\"}");
	}
	json_decref(j);
	r.json = buf_span(&out);
	(void)ipc_send_ctl_res(p, -1, &r);
	buf_clear(&out);
	return 0;
}

static int
on_ctl_cancel(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_ctl_cancel m;

	(void)p; /* every answer is whole at once */
	return ipc_decode_ctl_cancel(in, &m);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
leave(void)
{
	ledger_audit_leave();
	ledger_guard_leave();
	proc_exit(0);
}

/* Those who make records end first; then nothing more comes. */
static void
leave_when_done(void *arg)
{
	(void)arg;
	if (ipc_role_count(ROLE_AUTH) + ipc_role_count(ROLE_QUEUE) == 0)
		leave();
}

static void
peer_down(struct ipc_peer *p)
{
	ledger_guard_peer_down(p);
	ledger_audit_peer_down(p);
	if (proc_draining())
		ev_turn_schedule(&leave_turn, leave_when_done, NULL);
}

static void
ledger_drain(bool hard)
{
	if (hard)
		leave();
	ev_turn_schedule(&leave_turn, leave_when_done, NULL);
}

static int
ledger_prepare(const struct conf *c, char *err, size_t errsize)
{
	return ledger_audit_prepare(c, err, errsize);
}

static int
ledger_start(const struct conf *c, char *err, size_t errsize)
{
	if (ledger_audit_start(c, err, errsize) == -1)
		return -1;
	return ledger_guard_start(c, err, errsize);
}

static void
ledger_reload(const struct conf *c)
{
	ledger_guard_reload(c);
	if (ledger_audit_reload(c)) {
		ledger_guard_leave();
		proc_exit(PROC_EXIT_AGAIN);
	}
}

static size_t
ledger_paths(const struct conf *c, const char **rw, size_t max)
{
	if (max == 0)
		return 0;
	rw[0] = c->server->state;
	return 1;
}

static const struct ipc_handler ledger_msgs[] = {
    {IPC_AUDIT_AUTH, ledger_audit_on_auth},
    {IPC_AUDIT_BATCH, ledger_audit_on_batch},
    {IPC_AUDIT_NOTE, ledger_audit_on_note},
    {IPC_GUARD_ASK, ledger_guard_on_ask},
    {IPC_GUARD_BEGUN, ledger_guard_on_begun},
    {IPC_GUARD_NOTE, ledger_guard_on_note},
    {IPC_FILE_OPENED, ledger_audit_on_file},
    {IPC_CTL_REQ, on_ctl},
    {IPC_CTL_CANCEL, on_ctl_cancel},
    {IPC_NONE, NULL},
};

const struct proc_role ledger_role = {
    .role = ROLE_LEDGER,
    .name = "ledger",
    .per_generation = false,
    .sandbox = SANDBOX_FILES | SANDBOX_THREADS,
    .prepare = ledger_prepare,
    .start = ledger_start,
    .drain = ledger_drain,
    .reload = ledger_reload,
    .ipc = {.handlers = ledger_msgs, .peer_down = peer_down},
    .paths = ledger_paths,
};
