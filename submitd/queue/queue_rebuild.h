/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_QUEUE_QUEUE_REBUILD_H
#define SUBMITD_QUEUE_QUEUE_REBUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue_rebuild_stats {
	uint64_t messages, recipients; /* brought back, all held */
	uint64_t damaged;              /* stretches or files that could not be read */
	uint64_t files;
};
/*
 * `submitctl queue rebuild`, offline: takes the spool's lock, sets the database aside and makes a
 * new one from the body files; everything comes back held, also what was delivered since its file
 * still stands. -1 with a text in err (a running submitd has the lock).
 */
int queue_rebuild(const char *spool, struct queue_rebuild_stats *, char *err, size_t errsize);

/*
 * A file of the spool that stands there from before the old database is set aside until the
 * new one is complete: a start that finds it begins the rebuild anew. Without it, what a
 * crash left would pass for a database, and bodies without rows for garbage. -1 with errno.
 */
int queue_rebuild_begins(int spool_fd);
int queue_rebuild_ended(int spool_fd);
bool queue_rebuild_is_unfinished(int spool_fd);

struct queue_store;
struct queue_body;
/* The same into an empty database that is open already. */
int queue_rebuild_into(struct queue_store *, struct queue_body *, struct queue_rebuild_stats *);

#endif
