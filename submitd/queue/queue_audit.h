/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_QUEUE_QUEUE_AUDIT_H
#define SUBMITD_QUEUE_QUEUE_AUDIT_H

#include "queue/queue_internal.h"

/* Acceptance records (A2). On the commit thread: */
/* A record for a message of this batch; the rest of them goes into a row. */
int qcommit_audit_add(struct qcommit *, const struct message *);
int qcommit_audit_end(struct qcommit *);
/* The transaction is rolled back: their numbers are free again. */
void qcommit_audit_undo(struct qcommit *);

/* On the event thread: */
int queue_audit_start(struct queue *, char *err, size_t errsize);
void queue_audit_tick(struct queue *);
/* Does the next message get a record; FULL: it may not be taken now. */
enum queue_audit { QUEUE_AUDIT_NO = 0, QUEUE_AUDIT_YES = 1, QUEUE_AUDIT_FULL = 2 };
enum queue_audit queue_audit_wanted(struct queue *);

#endif
