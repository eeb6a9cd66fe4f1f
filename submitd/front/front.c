/* SPDX-License-Identifier: ISC */
/*
 * The role `front`: SMTP sessions with clients. One process per core. It opens no
 * files and no connections, sees no password files and not the spool; keys are read
 * in prepare(), before it gives up its rights.
 */
#include "front/front.h"

#include "base/log.h"
#include "base/str.h"
#include "front/smtp_offer.h"
#include "front/smtp_session.h"
#include "proc.h"

#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define STOP_GRACE_MS 20000 /* for messages that are being taken in */
#define HARD_GRACE_MS 3000
#define MECHS_WAIT_MS 3000 /* for the auth role's first word */
#define TRIM_MS 2000
#define TRIM_HANDSHAKES 64
#define LAST_WORDS_MS 100 /* for what io_finish() still has to say */

static struct front front; /* the process's only one */
static struct ev_timer begin_timer, drain_timer, exit_timer, trim_timer;
static bool accepting;

static int
front_prepare(const struct conf *conf, char *err, size_t errsize)
{
	front_init(&front, conf, &front_link_ipc);
	return front_tls_load(&front, err, errsize);
}

static int
front_start(const struct conf *conf, char *err, size_t errsize)
{
	(void)conf;
	(void)err;
	(void)errsize;
	return 0;
}

/* EHLO must not deny AUTH only because the auth role has not spoken yet. */
static bool
mechs_are_known(void)
{
	for (size_t i = 0; i < front.n_listeners; i++) {
		const struct front_listener *l = &front.listeners[i];

		if (l->conf->auth != LISTENER_AUTH_OFF && l->mechs_clear == NULL &&
		    l->mechs_tls == NULL)
			return false;
	}
	return true;
}

static void
begin(void *arg)
{
	(void)arg;
	if (accepting || proc_draining())
		return;
	accepting = true;
	ev_timer_clear(&begin_timer);
	if (front_accept_start(&front) == -1)
		log_fatal("the listening sockets do not fit the configuration");
}

/*
 * Many handshakes at a time leave a heap full of holes, 30 KiB for each of them:
 * whole free pages go back to the kernel when the rush is over.
 */
static void
trim(void *arg)
{
	static uint64_t trimmed, seen;
	static unsigned rounds;
	uint64_t now = front.stats.tls;

	(void)arg;
	if (now - trimmed >= TRIM_HANDSHAKES && (now - seen < TRIM_HANDSHAKES || ++rounds > 14)) {
		malloc_trim(0);
		trimmed = now;
		rounds = 0;
	}
	seen = now;
	ev_timer_set(&trim_timer, TRIM_MS, trim, NULL);
}

static void
front_go(void)
{
	trim(NULL);
	if (mechs_are_known())
		begin(NULL);
	else
		ev_timer_set(&begin_timer, MECHS_WAIT_MS, begin, NULL);
}

/* ---- the end
 * ---------------------------------------------------------------------------------------- */

static void
leave(void *arg)
{
	(void)arg;
	proc_exit(0);
}

static void
look_if_empty(void *arg)
{
	(void)arg;
	if (front.n_sessions == 0 && TAILQ_EMPTY(&front.offers)) {
		ev_timer_set(&exit_timer, LAST_WORDS_MS, leave, NULL);
		return;
	}
	ev_timer_set(&exit_timer, 100, look_if_empty, NULL);
}

static void
close_idle(void *arg)
{
	(void)arg;
	front_close_idle(&front);
}

/*
 * Soft, at a reload: sessions go on, idle ones end after drain_timeout. Hard at once, at
 * a stop: idle ones end now, messages that are being taken in get a while. Hard after
 * either: leave.
 */
static void
front_drain(bool hard)
{
	static unsigned asked;

	front_accept_stop();
	if (hard) {
		close_idle(NULL);
		ev_timer_set(&drain_timer, asked == 0 ? STOP_GRACE_MS : HARD_GRACE_MS, leave, NULL);
	} else if (!front.closing) {
		ev_timer_set(&drain_timer, front.conf->server->drain_timeout, close_idle, NULL);
	}
	asked++;
	look_if_empty(NULL);
}

/* ---- messages
 * ---------------------------------------------------------------------------------------- */

static int
on_auth_mechs(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_auth_mechs m;
	char *listener;

	(void)p;
	if (ipc_decode_auth_mechs(in, &m) == -1)
		return -1;
	listener = span_dup(m.listener);
	front_set_mechs(&front, listener, &m);
	free(listener);
	if (ev_timer_pending(&begin_timer) && mechs_are_known())
		begin(NULL);
	return 0;
}

static int
on_auth_res(struct ipc_peer *p, struct ipc_in *in)
{
	struct smtp_session *s;
	struct ipc_auth_res m;

	(void)p;
	if (ipc_decode_auth_res(in, &m) == -1 || m.verdict >= V__MAX)
		return -1;
	s = front_session(&front, m.sid);
	if (s != NULL)
		smtp_auth_on_res(s, &m);
	return 0;
}

static int
on_body_opened(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_body_opened m;
	int fd = in->fd;

	(void)p;
	if (ipc_decode_body_opened(in, &m) == -1)
		return -1;
	in->fd = -1;
	return offers_on_opened(&front, &m, fd);
}

static int
on_msg_res(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_msg_res m;

	(void)p;
	if (ipc_decode_msg_res(in, &m) == -1)
		return -1;
	return offers_on_res(&front, &m);
}

static int
on_queue_state(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_queue_state m;

	(void)p;
	if (ipc_decode_queue_state(in, &m) == -1)
		return -1;
	front.queue_full = m.full != 0;
	return 0;
}

static json_t *
stats_json(void)
{
	const struct front_stats *st = &front.stats;
	size_t offers = 0;
	struct offer *o;

	TAILQ_FOREACH (o, &front.offers, entry)
		offers++;
	return json_pack("{s:s s:i s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I}", "role",
	    "front", "instance", (int)proc_instance(), "generation", (json_int_t)proc_generation(),
	    "sessions", (json_int_t)front.n_sessions, "connections", (json_int_t)st->connections,
	    "refused_connections", (json_int_t)st->refused, "tls", (json_int_t)st->tls, "auth_ok",
	    (json_int_t)st->auth_ok, "auth_failed", (json_int_t)st->auth_failed, "commands",
	    (json_int_t)st->commands, "accepted", (json_int_t)st->accepted, "rejected",
	    (json_int_t)st->rejected, "bytes", (json_int_t)st->bytes, "offers", (json_int_t)offers,
	    "data_memory", (json_int_t)front.data_used);
}

static int
on_ctl_req(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_ctl_res r = {.status = 0};
	struct ipc_ctl_req m;
	json_t *req, *res = NULL;
	char *text = NULL;
	const char *cmd;

	if (ipc_decode_ctl_req(in, &m) == -1)
		return -1;
	req = json_loadb(m.json.p, m.json.n, JSON_REJECT_DUPLICATES, NULL);
	cmd = json_string_value(json_object_get(req, "cmd"));
	if (cmd != NULL && strcmp(cmd, "stats") == 0) {
		res = stats_json();
	} else {
		r.status = 2;
		res = json_pack("{s:s}", "error", "the front answers stats only");
	}
	if (res != NULL)
		text = json_dumps(res, JSON_COMPACT);
	r.request = m.request;
	r.json = span_of(text);
	(void)ipc_send_ctl_res(p, -1, &r);
	free(text);
	json_decref(res);
	json_decref(req);
	return 0;
}

static int
on_ctl_cancel(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_ctl_cancel m;

	(void)p;
	return ipc_decode_ctl_cancel(in, &m);
}

static void
front_peer_up(struct ipc_peer *p)
{
	if (ipc_peer_role(p) == ROLE_QUEUE) {
		front.queue_full = false;
		offers_on_queue_up(&front);
	}
}

static void
front_peer_down(struct ipc_peer *p)
{
	if (ipc_peer_role(p) == ROLE_AUTH && ipc_peer_generation(p) == proc_generation())
		front_auth_lost(&front);
}

static const struct ipc_handler front_msgs[] = {
    {IPC_AUTH_MECHS, on_auth_mechs},
    {IPC_AUTH_RES, on_auth_res},
    {IPC_BODY_OPENED, on_body_opened},
    {IPC_MSG_RES, on_msg_res},
    {IPC_QUEUE_STATE, on_queue_state},
    {IPC_CTL_REQ, on_ctl_req},
    {IPC_CTL_CANCEL, on_ctl_cancel},
    {IPC_NONE, NULL},
};

const struct proc_role front_role = {
    .role = ROLE_FRONT,
    .name = "front",
    .per_generation = true,
    .sandbox = SANDBOX_ACCEPT,
    .prepare = front_prepare,
    .start = front_start,
    .go = front_go,
    .drain = front_drain,
    .ipc = {front_msgs, front_peer_up, front_peer_down},
};
