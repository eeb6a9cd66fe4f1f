/* SPDX-License-Identifier: ISC */
/*
 * Process auth: who somebody is. Holds the SASL library, the backends and the users'
 * passwords while they are checked. Must never listen, open files by itself after
 * its start, or touch the spool.
 */
#include "proc.h"

#include "authbackends/auth_guard.h"
#include "authbackends/auth_mechs.h"
#include "authbackends/auth_report.h"
#include "authbackends/auth_sasl.h"
#include "authbackends/auth_scram.h"
#include "authbackends/auth_session.h"
#include "authbackends/auth_setup.h"
#include "authbackends/auth_test.h"
#include "base/enc.h"
#include "base/ev.h"
#include "base/log.h"
#include "base/str.h"
#include "ipc/audit_outbox.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#define TICK_MS 1000
#define LEAVE_MS 10000 /* for records that the ledger does not take */

static struct ev_timer tick_timer;
static struct ev_turn leave_turn;
static int64_t leave_by; /* 0: not leaving yet */
static bool running;     /* go() was called: fronts may be told what to offer */

/* ---- what fronts may offer ------------------------------------------------------------------- */

static void
send_mechs(struct ipc_peer *front, void *arg)
{
	const struct conf *c = proc_conf();
	struct buf clear = BUF_INIT, encrypted = BUF_INIT, certified = BUF_INIT;
	size_t i;

	(void)arg;
	for (i = 0; i < c->n_listener; i++) {
		const struct conf_listener *l = &c->listener_blocks[i];
		const struct auth_flow *f = auth_setup_flow(l);
		struct ipc_auth_mechs m = {.listener = span_of(l->title)};

		buf_reset(&clear);
		buf_reset(&encrypted);
		buf_reset(&certified);
		auth_mechs_list(auth_mechs_offered(l, f, CHANNEL_CLEAR), &clear);
		auth_mechs_list(auth_mechs_offered(l, f, CHANNEL_TLS), &encrypted);
		auth_mechs_list(auth_mechs_offered(l, f, CHANNEL_CERT), &certified);
		m.certified = buf_span(&certified);
		m.clear = buf_span(&clear);
		m.encrypted = buf_span(&encrypted);
		(void)ipc_send_auth_mechs(front, -1, &m);
	}
	buf_clear(&clear);
	buf_clear(&encrypted);
	buf_clear(&certified);
}

/* Whether what is offered anywhere is other than at the last call. */
static bool
note_mechs(void)
{
	static unsigned *known;
	const struct conf *c = proc_conf();
	bool changed = false;
	size_t i;

	if (known == NULL)
		known = xcallocarray(c->n_listener, sizeof(*known));
	for (i = 0; i < c->n_listener; i++) {
		const struct conf_listener *l = &c->listener_blocks[i];
		unsigned now = auth_mechs_offered(l, auth_setup_flow(l), CHANNEL_CERT);

		changed |= now != known[i];
		known[i] = now;
	}
	return changed;
}

/* ---- leaving --------------------------------------------------------------------------------- */

/* Fronts of this generation keep their sessions for a while, and these may still log in. */
static void
leave_when_done(void *arg)
{
	(void)arg;
	if (ipc_role_count(ROLE_FRONT) != 0 || auth_session_stats()->open != 0)
		return;
	/* the last records go before us; the tick looks again */
	if (leave_by == 0)
		leave_by = ev_now_ms() + LEAVE_MS;
	if (audit_outbox_sent() || ev_now_ms() > leave_by)
		proc_exit(0);
}

static void
look_for_end(void)
{
	if (proc_draining())
		ev_turn_schedule(&leave_turn, leave_when_done, NULL);
}

static void
auth_drain(bool hard)
{
	if (hard)
		proc_exit(0);
	ev_turn_schedule(&leave_turn, leave_when_done, NULL);
}

/* ---- messages -------------------------------------------------------------------------------- */

static int
on_start(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_auth_start m;

	if (ipc_decode_auth_start(in, &m) == -1)
		return -1;
	return auth_session_start(proc_conf(), p, &m);
}

static int
on_step(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_auth_step m;

	if (ipc_decode_auth_step(in, &m) == -1)
		return -1;
	return auth_session_step(p, &m);
}

static int
on_cancel(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_auth_cancel m;

	if (ipc_decode_auth_cancel(in, &m) == -1)
		return -1;
	return auth_session_cancel(p, m.sid);
}

static int
on_file(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_file_opened m;
	char path[4097];
	int fd = in->fd;

	(void)p;
	if (ipc_decode_file_opened(in, &m) == -1 || str_copy_span(path, sizeof(path), m.path) == -1)
		return -1;
	in->fd = -1;
	auth_setup_on_file(path, fd, m.error == 0 && fd == -1 ? EIO : (int)m.error);
	return 0;
}

static void
add_backends(struct buf *out)
{
	const struct auth_cache_stats *cs = auth_setup_cache();
	struct auth_pool_stats ps;
	size_t n, i;
	struct auth_source *s = auth_setup_sources(&n);

	buf_add_str(out, ",\"backends\":[");
	for (i = 0; i < n; i++) {
		auth_pool_stats(s[i].pool, &ps);
		buf_add_str(out, i == 0 ? "{\"backend\":" : ",{\"backend\":");
		json_add_str(out, span_of(s[i].title));
		buf_addf(out,
		    ",\"asked\":%" PRIu64 ",\"accepted\":%" PRIu64 ",\"denied\":%" PRIu64
		    ",\"unknown\":%" PRIu64 ",\"unavailable\":%" PRIu64
		    ",\"workers\":%u,\"busy\":%u,\"waiting\":%zu,\"expired\":%zu",
		    s[i].asked, s[i].accepted, s[i].denied, s[i].unknown, s[i].unavailable,
		    ps.threads, ps.busy, ps.queued, ps.expired);
		if (s[i].breaker.max != 0)
			buf_addf(out,
			    ",\"breaker\":\"%s\",\"breaker_opened\":%" PRIu64
			    ",\"breaker_spared\":%" PRIu64,
			    auth_breaker_state_name(s[i].breaker.state), s[i].breaker.opened,
			    s[i].spared);
		buf_add_byte(out, '}');
	}
	buf_add_byte(out, ']');
	if (cs != NULL)
		buf_addf(out,
		    ",\"cache\":{\"entries\":%zu,\"bytes\":%zu,\"hits\":%" PRIu64
		    ",\"misses\":%" PRIu64 "}",
		    cs->entries, cs->bytes, cs->hits, cs->misses);
}

static int
on_ctl(struct ipc_peer *p, struct ipc_in *in)
{
	const struct auth_session_stats *st = auth_session_stats();
	const struct auth_guard_stats *gs = auth_guard_stats();
	struct buf out = BUF_INIT;
	struct ipc_ctl_req m;
	const char *cmd = NULL;
	struct audit_outbox_stats out_stats;
	json_t *j;

	if (ipc_decode_ctl_req(in, &m) == -1)
		return -1;
	j = json_loadb(m.json.p, m.json.n, JSON_REJECT_DUPLICATES, NULL);
	(void)json_unpack(j, "{s:s}", "cmd", &cmd);
	struct ipc_ctl_res r = {.request = m.request};
	if (cmd != NULL && strcmp(cmd, "stats") == 0) {
		audit_outbox_stats(&out_stats);
		buf_addf(&out,
		    "{\"role\":\"auth\",\"instance\":%u,\"open\":%zu,\"started\":%" PRIu64
		    ",\"accepted\":%" PRIu64 ",\"denied\":%" PRIu64 ",\"temporary\":%" PRIu64
		    ",\"malformed\":%" PRIu64 ",\"refused_by_rule\":%" PRIu64
		    ",\"records_waiting\":%zu,\"records_lost\":%" PRIu64 ",\"guard_asked\":%" PRIu64
		    ",\"guard_unasked\":%" PRIu64 ",\"guard_locked_out\":%" PRIu64
		    ",\"guard_not_now\":%" PRIu64 ",\"guard_waiting\":%zu",
		    proc_instance(), st->open, st->started, st->accepted, st->denied, st->temporary,
		    st->malformed, st->by_rule, out_stats.records, out_stats.lost, gs->asked,
		    gs->unasked, gs->locked, gs->not_now, gs->waiting);
		add_backends(&out);
		buf_add_byte(&out, '}');
	} else {
		r.status = 2;
		buf_add_str(&out, "{\"error\":\"auth does not know this request\"}");
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

	if (ipc_decode_ctl_cancel(in, &m) == -1)
		return -1;
	auth_test_cancel(p, m.request); /* all other answers are whole at once */
	return 0;
}

static int
on_test(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_auth_test m;

	if (ipc_decode_auth_test(in, &m) == -1)
		return -1;
	return auth_test_start(proc_conf(), p, &m);
}

static void
peer_up(struct ipc_peer *p)
{
	if (ipc_peer_role(p) == ROLE_FRONT && running)
		send_mechs(p, NULL);
	else if (ipc_peer_role(p) == ROLE_LEDGER)
		auth_guard_ledger_up(p);
}

static void
peer_down(struct ipc_peer *p)
{
	if (ipc_peer_role(p) == ROLE_CONTROL)
		auth_test_peer_down(p);
	if (ipc_peer_role(p) != ROLE_FRONT)
		return;
	auth_session_peer_down(p);
	look_for_end();
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
want_file(const char *path)
{
	struct ipc_file_open m = {.path = span_of(path)};
	struct ipc_peer *super = ipc_role_peer(ROLE_SUPERVISOR, 0);

	if (super != NULL)
		(void)ipc_send_file_open(super, -1, &m);
}

static void
on_tick(void *arg)
{
	(void)arg;
	auth_setup_tick(want_file);
	/* a file that was read again may have the first keys of SCRAM, or none any more */
	if (running && note_mechs())
		ipc_role_each(ROLE_FRONT, send_mechs, NULL);
	look_for_end();
	ev_timer_set(&tick_timer, TICK_MS, on_tick, NULL);
}

static int
auth_prepare(const struct conf *c, char *err, size_t errsize)
{
	uint8_t guess_key[32];

	if (auth_report_init(c, err, errsize) == -1)
		return -1;
	auth_scram_init(c->server->state);
	auth_scram_derive("guesses", guess_key);
	auth_guard_init(guess_key);
	explicit_bzero(guess_key, sizeof(guess_key));
	if (auth_sasl_open(c->server->hostname, err, errsize) == -1)
		return -1;
	if (auth_test_open(c, err, errsize) == -1)
		return -1;
	return auth_setup_open(c, err, errsize);
}

static int
auth_start(const struct conf *c, char *err, size_t errsize)
{
	(void)c;
	(void)err;
	(void)errsize;
	auth_setup_start();
	auth_session_on_end(look_for_end);
	ev_timer_set(&tick_timer, TICK_MS, on_tick, NULL);
	return 0;
}

static void
auth_go(void)
{
	running = true;
	(void)note_mechs();
	ipc_role_each(ROLE_FRONT, send_mechs, NULL);
}

/* Out of the house only where a backend needs it. */
static unsigned
auth_sandbox(const struct conf *c)
{
	size_t i;

	for (i = 0; i < c->n_backend; i++) {
		const struct authbackend *kind = authbackend_kind(c->backend_blocks[i].type);

		if (kind != NULL && kind->remote)
			return SANDBOX_CONNECT | SANDBOX_RESOLVE;
	}
	return 0;
}

static const struct ipc_handler auth_msgs[] = {
    {IPC_AUTH_START, on_start},
    {IPC_AUTH_STEP, on_step},
    {IPC_AUTH_CANCEL, on_cancel},
    {IPC_GUARD_RES, auth_guard_on_res},
    {IPC_FILE_OPENED, on_file},
    {IPC_CTL_REQ, on_ctl},
    {IPC_CTL_CANCEL, on_ctl_cancel},
    {IPC_AUTH_TEST, on_test},
    {IPC_NONE, NULL},
};

const struct proc_role auth_role = {
    .role = ROLE_AUTH,
    .name = "auth",
    .per_generation = true,
    .sandbox = SANDBOX_THREADS,
    .sandbox_more = auth_sandbox,
    .prepare = auth_prepare,
    .start = auth_start,
    .go = auth_go,
    .drain = auth_drain,
    .ipc = {.handlers = auth_msgs, .peer_up = peer_up, .peer_down = peer_down},
};
