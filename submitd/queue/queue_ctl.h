/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_QUEUE_QUEUE_CTL_H
#define SUBMITD_QUEUE_QUEUE_CTL_H

#include "queue/queue_internal.h"
#include "queue/queue_select.h"

#define CTL_LIMIT_DEFAULT 100
#define CTL_LIMIT_MAX 10000
#define CTL_ACTION_PAGE 500
#define CTL_TIME_MS 20000        /* longest search */
#define CTL_BYTES_MAX (8u << 20) /* of one answer; what follows is asked for with `after` */

enum ctl_kind { CTL_LIST = 0, CTL_SHOW = 1, CTL_HISTORY = 2, CTL_ACTION = 3 };

/* A question on its way through the reader thread. */
struct ctl_query {
	struct qwork work;
	TAILQ_ENTRY(ctl_query) entry;
	struct ipc_peer *peer; /* NULL: nobody waits any more */
	uint64_t request;
	enum ctl_kind kind;
	struct queue_select select;
	uint64_t limit, after;
	int64_t now;
	uint64_t *active; /* sorted */
	size_t n_active;
	bool stop; /* atomic: the client went away */
	/* what the reader found */
	struct buf rows; /* JSON objects, each followed by a NUL */
	char error[200];
	uint64_t *qids;
	size_t n_qids;
	/* actions */
	enum qaction action;
	char *user, *text; /* text: the request, for the log */
	uint64_t count;
};

/* On the reader thread. */
void queue_ctl_read(struct qwork *);
void json_key(struct buf *, const char *key);
void json_text(struct buf *, const char *key, struct span);
void json_number(struct buf *, const char *key, int64_t);

#endif
