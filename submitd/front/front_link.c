/* SPDX-License-Identifier: ISC */
/*
 * The front's way to auth and queue: over IPC. Runs in front. Tests put another
 * struct front_link in its place.
 */
#include "front/front.h"

static struct ipc_peer *
auth_peer(void)
{
	return ipc_role_peer(ROLE_AUTH, 0);
}

static struct ipc_peer *
queue_peer(void)
{
	return ipc_role_peer(ROLE_QUEUE, 0);
}

static int
link_auth_start(const struct ipc_auth_start *m)
{
	struct ipc_peer *p = auth_peer();

	return p == NULL ? -1 : ipc_send_auth_start(p, -1, m);
}

static int
link_auth_step(const struct ipc_auth_step *m)
{
	struct ipc_peer *p = auth_peer();

	return p == NULL ? -1 : ipc_send_auth_step(p, -1, m);
}

static void
link_auth_cancel(uint64_t sid)
{
	struct ipc_auth_cancel m = {.sid = sid};
	struct ipc_peer *p = auth_peer();

	if (p != NULL)
		(void)ipc_send_auth_cancel(p, -1, &m);
}

static int
link_body_open(const struct ipc_body_open *m)
{
	struct ipc_peer *p = queue_peer();

	return p == NULL ? -1 : ipc_send_body_open(p, -1, m);
}

static void
link_body_drop(const struct ipc_body_drop *m)
{
	struct ipc_peer *p = queue_peer();

	if (p != NULL)
		(void)ipc_send_body_drop(p, -1, m);
}

static int
link_msg_offer(const struct ipc_msg_offer *m)
{
	struct ipc_peer *p = queue_peer();

	return p == NULL ? -1 : ipc_send_msg_offer(p, -1, m);
}

static int
link_msg_more(const struct ipc_msg_more *m)
{
	struct ipc_peer *p = queue_peer();

	return p == NULL ? -1 : ipc_send_msg_more(p, -1, m);
}

static bool
link_queue_busy(void)
{
	struct ipc_peer *p = queue_peer();

	return p != NULL && ipc_peer_backlog(p) > IPC_BACKLOG_SOFT;
}

const struct front_link front_link_ipc = {
    .auth_start = link_auth_start,
    .auth_step = link_auth_step,
    .auth_cancel = link_auth_cancel,
    .body_open = link_body_open,
    .body_drop = link_body_drop,
    .msg_offer = link_msg_offer,
    .msg_more = link_msg_more,
    .queue_busy = link_queue_busy,
};
