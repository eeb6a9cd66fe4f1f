/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_QUEUE_QUEUE_DSN_H
#define SUBMITD_QUEUE_QUEUE_DSN_H

#include "queue/queue_internal.h"

/* The two steps of a report on the commit thread, for queue_report.c. */
int queue_dsn_prepare(struct qcommit *, struct qop *);
int queue_dsn_apply(struct qcommit *, struct qop *);
void queue_dsn_free(struct qop_report *);

#endif
