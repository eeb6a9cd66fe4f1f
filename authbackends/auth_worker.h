/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUTH_WORKER_H
#define SUBMITD_AUTH_WORKER_H

#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A bounded pool of worker threads with a bounded queue. Each backend has its own,
 * so that one that hangs occupies nobody else's workers (DESIGN promise 4). Threads
 * are made when they are first needed.
 *
 * Who waits for a job sets a timer of his own: the pool promises only that a job
 * whose deadline has passed is not begun any more.
 */
struct auth_pool;
struct auth_job {
	void (*work)(struct auth_job *); /* on a worker */
	void (*done)(struct auth_job *); /* in the loop; frees the job */
	int64_t deadline_ms;             /* clock of ev_now_ms(); not begun afterwards */
	bool expired;                    /* work() was not called */
	TAILQ_ENTRY(auth_job) link;
};

struct auth_pool *auth_pool_new(unsigned threads, size_t max_queued);
/* -1 with EAGAIN when the queue is full or there is no thread: done() is not called then. */
int auth_pool_submit(struct auth_pool *, struct auth_job *);
/* Jobs that were begun are waited for, the others end as expired; done() is called for all. */
void auth_pool_free(struct auth_pool *);

struct auth_pool_stats {
	unsigned threads, busy;
	size_t queued, refused, expired;
};
void auth_pool_stats(struct auth_pool *, struct auth_pool_stats *);

/* The monotonic clock, from any thread. */
int64_t auth_clock_ms(void);

#endif
