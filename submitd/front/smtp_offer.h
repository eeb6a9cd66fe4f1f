/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_FRONT_SMTP_OFFER_H
#define SUBMITD_FRONT_SMTP_OFFER_H

#include "front/front.h"
#include "mail/envelope.h"

/*
 * A message on its way to the queue: first perhaps a file that the queue opens for
 * it, then the offer, kept until MSG_RES. All of it is said again to a queue that
 * was restarted; the queue ignores what it has already.
 */
struct offer {
	struct uuid mid;
	uint64_t sid;   /* 0: the client is gone, the message goes on */
	int fd;         /* the body's file, -1 none */
	bool opening;   /* BODY_OPEN awaits its answer */
	bool submitted; /* nothing but MSG_RES is missing */
	bool sent;      /* all frames were handed to the link */
	uint64_t size_hint;
	struct message *msg; /* owned */
	struct buf head, body;
	size_t head_sent, body_sent;
	size_t counted; /* of front->data_used */
	struct offer *next_in_bucket;
	TAILQ_ENTRY(offer) entry;
};

struct offer *offer_new(struct front *, const struct uuid *, uint64_t sid);
/* Asks the queue for a file. smtp_data_on_file() follows. */
void offer_open(struct front *, struct offer *, uint64_t size_hint);
/* Takes msg and body (empty when the file has it). smtp_data_on_commit() follows. */
void offer_submit(struct front *, struct offer *, struct message *, struct buf *body);
/* The session ends: what is not submitted is dropped. NULL is fine. */
void offer_abandon(struct front *, struct offer *);
/* Nobody waits any more and it shall not be sent again (the client was told to come back). */
void offer_forget(struct front *, struct offer *);

/* Answers; fd is taken. Unknown ids are ignored (and the file closed). -1: not a mid. */
int offers_on_opened(struct front *, const struct ipc_body_opened *, int fd);
int offers_on_res(struct front *, const struct ipc_msg_res *);
void offers_on_queue_up(struct front *);
void offers_clear(struct front *);

#endif
