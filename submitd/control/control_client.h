/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_CONTROL_CONTROL_CLIENT_H
#define SUBMITD_CONTROL_CONTROL_CLIENT_H

#include "base/ev.h"
#include "base/io.h"
#include "base/list.h"
#include "control/control.h"
#include "ipc/ipc.h"

#define CONTROL_MAX_WAITS 160 /* peers asked by one request */

struct control_client {
	TAILQ_ENTRY(control_client) link;
	struct io *io;
	uid_t uid;
	uint64_t id; /* of the request, unique in this process; 0: none yet */
	struct control_request req;
	struct buf secret; /* what came of the octets behind the line */
	struct ev_timer timer;
	struct ipc_peer *waits[CONTROL_MAX_WAITS]; /* peers that owe an answer */
	size_t n_waits;
	int64_t answer_ms; /* how long for */
	int status;        /* worst so far */
	bool paused;
	bool finished;
};
TAILQ_HEAD(control_client_list, control_client);
extern struct control_client_list control_clients; /* all that are connected */
extern size_t control_n_clients;

void control_client_free(struct control_client *); /* its io is freed or finished already */
void control_client_drop(struct control_client *); /* cuts it off, cancels what it asked */
/* The last line; what is left is written in the background. error may be NULL. */
void control_client_end(struct control_client *, int status, const char *error);
void control_client_on_timer(void *client);
struct control_client *control_client_find(uint64_t id); /* that still waits; or NULL */
/* One object, one line. */
void control_client_row(struct control_client *, struct span json);
/* Peers that owe it an answer, paused while it does not read. */
void control_client_wait_for(struct control_client *, struct ipc_peer *);
void control_client_answered(struct control_client *, const struct ipc_peer *);
void control_client_pause_peers(struct control_client *, bool paused);

#endif
