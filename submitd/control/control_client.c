/* SPDX-License-Identifier: ISC */
/*
 * One client of the control socket: what it asked, who owes it an answer, and the
 * answer on its way out. Process control. Must never wait for a client: a slow one is
 * cut off, and what it asked is cancelled.
 */
#include "control/control_client.h"

#include "base/str.h"

#include <stdlib.h>

#define BACKLOG_PAUSE (4u << 20) /* unread answers of one client above which its role pauses */

struct control_client_list control_clients = TAILQ_HEAD_INITIALIZER(control_clients);
size_t control_n_clients;

void
control_client_free(struct control_client *c)
{
	TAILQ_REMOVE(&control_clients, c, link);
	control_n_clients--;
	ev_timer_clear(&c->timer);
	control_request_clear(&c->req);
	buf_wipe(&c->secret);
	free(c);
}

void
control_client_pause_peers(struct control_client *c, bool paused)
{
	if (c->paused == paused)
		return;
	c->paused = paused;
	for (size_t i = 0; i < c->n_waits; i++)
		ipc_peer_pause(c->waits[i], paused);
}

/* Nobody owes this client anything any more. */
static void
client_forget_peers(struct control_client *c, bool cancel)
{
	struct ipc_ctl_cancel m = {.request = c->id};

	control_client_pause_peers(c, false);
	for (size_t i = 0; cancel && i < c->n_waits; i++) {
		if (ipc_peer_role(c->waits[i]) != ROLE_SUPERVISOR)
			(void)ipc_send_ctl_cancel(c->waits[i], -1, &m);
	}
	c->n_waits = 0;
}

void
control_client_drop(struct control_client *c)
{
	client_forget_peers(c, true);
	io_free(c->io);
	control_client_free(c);
}

/* The last line; the rest is written in the background. */
void
control_client_end(struct control_client *c, int status, const char *error)
{
	struct buf b = BUF_INIT;

	client_forget_peers(c, true);
	control_end_line(&b, status, error);
	io_write_buf(c->io, &b);
	buf_clear(&b);
	c->finished = true;
	ev_timer_clear(&c->timer);
	io_deadline(c->io, CONTROL_WRITE_MS);
	io_want_drained(c->io);
}

void
control_client_on_timer(void *arg)
{
	struct control_client *c = arg;
	char text[100] = "no answer came in time; ask again";

	if (c->n_waits > 0)
		(void)str_printf(text, sizeof(text), "%s.%u did not answer in time; ask again",
		    role_name(ipc_peer_role(c->waits[0])), ipc_peer_instance(c->waits[0]));
	if (c->id == 0)
		control_client_end(c, 2, "no request came in time");
	else
		control_client_end(c, 1, text);
}

struct control_client *
control_client_find(uint64_t id)
{
	struct control_client *c;

	TAILQ_FOREACH (c, &control_clients, link)
		if (c->id == id && !c->finished)
			return c;
	return NULL;
}

void
control_client_row(struct control_client *c, struct span json)
{
	io_write(c->io, json.p, json.n);
	io_write(c->io, "\n", 1);
	ev_timer_set(&c->timer, c->answer_ms, control_client_on_timer, c);
	if (io_pending(c->io) > BACKLOG_PAUSE) {
		control_client_pause_peers(c, true);
		io_deadline(c->io, CONTROL_WRITE_MS);
	}
	io_want_drained(c->io);
}

void
control_client_wait_for(struct control_client *c, struct ipc_peer *p)
{
	if (c->n_waits < CONTROL_MAX_WAITS)
		c->waits[c->n_waits++] = p;
}

void
control_client_answered(struct control_client *c, const struct ipc_peer *p)
{
	for (size_t i = 0; i < c->n_waits; i++) {
		if (c->waits[i] != p)
			continue;
		if (c->paused)
			ipc_peer_pause(c->waits[i], false);
		c->waits[i] = c->waits[--c->n_waits];
		return;
	}
}
