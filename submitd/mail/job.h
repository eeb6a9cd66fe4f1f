/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_MAIL_JOB_H
#define SUBMITD_MAIL_JOB_H

#include "mail/envelope.h"

/*
 * What the queue hands to deliver: one message for one destination with the
 * recipients that are due. The body comes beside it. job->msg holds only what a
 * delivery needs: mid, sender, flags, ret, envid, size, and these recipients (with id).
 */
struct job {
	uint64_t qid;
	uint32_t attempt; /* 1 for the first */
	struct message *msg;
};
void job_encode(struct buf *, const struct job *);
int job_decode(struct span, struct job *); /* -1: rubbish; msg is then NULL */

/* What a job says of the destination as a whole, for its backoff. */
enum dest_result {
	DEST_OK = 0, /* a dialogue took place; the statuses are about the message */
	DEST_UNREACHABLE =
	    1, /* no host could be asked, or all refused the session: backoff for the destination */
	DEST_NOT_TRIED = 2, /* given back unbegun (drain, cancel): no attempt is counted */
	DEST__MAX
};

#endif
