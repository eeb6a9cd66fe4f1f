/* SPDX-License-Identifier: ISC */
/*
 * Watches room and inodes of the spool: new mail is refused with 452 4.3.1 before
 * the file system is full, so that deliveries and removals still have room for
 * their rows. Event thread of process queue.
 */
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "queue/queue_internal.h"

#include <stdlib.h>

#define RESERVE_BYTES (64ull << 20)
#define RESERVE_INODES 1000u
#define CHECK_BYTES (4u << 20) /* accepted between two looks */

static void
tell(struct ipc_peer *p, void *arg)
{
	queue_space_tell(arg, p);
}

void
queue_space_tell(struct queue *q, struct ipc_peer *p)
{
	struct ipc_queue_state s = {.full = q->full};

	(void)ipc_send_queue_state(p, -1, &s);
}

/* ---- the room that is set aside -------------------------------------------------------------- */

static int
room_after(struct qcommit *c, struct qop *op)
{
	(void)op;
	(void)qcommit_keep_room(c);
	return 0;
}

static void
room_done(struct queue *q, struct qop *op)
{
	q->asking_room = false;
	free(op);
}

static const struct qop_class room_class = {"room", NULL, NULL, room_after, room_done};

void
queue_space_tick(struct queue *q)
{
	struct qop *op;

	queue_space_check(q);
	/* commits look too, but none may come */
	if (!__atomic_load_n(&q->short_of_room, __ATOMIC_RELAXED) || q->asking_room)
		return;
	op = xcallocarray(1, sizeof(*op));
	op->class = &room_class;
	q->asking_room = true;
	queue_push(q, op);
}

/* ---- the file system ------------------------------------------------------------------------- */

void
queue_space_used(struct queue *q, uint64_t bytes)
{
	q->unchecked_bytes += bytes;
	/* a fast sender fills a disk between two ticks */
	if (q->unchecked_bytes >= CHECK_BYTES)
		queue_space_check(q);
}

void
queue_space_check(struct queue *q)
{
	uint64_t bytes, inodes, total, reserve = RESERVE_BYTES;
	uint64_t twice = (uint64_t)q->conf->server->message_size_limit * 2;
	bool full, short_of_room = __atomic_load_n(&q->short_of_room, __ATOMIC_RELAXED);
	struct log_line l;

	q->unchecked_bytes = 0;
	if (fs_space(q->spool_fd, &bytes, &inodes, &total) == -1)
		return;
	if (twice > reserve)
		reserve = twice;
	if (reserve > total / 4) /* a small volume keeps a quarter */
		reserve = total / 4;
	if (q->full) /* a tenth more before it opens again */
		full =
		    bytes < reserve + reserve / 10 || inodes < RESERVE_INODES + RESERVE_INODES / 10;
	else
		full = bytes < reserve || inodes < RESERVE_INODES;
	full = full || short_of_room;
	q->very_full = short_of_room || bytes < reserve / 4 || inodes < RESERVE_INODES / 4;
	if (full == q->full)
		return;
	q->full = full;
	log_begin(&l, full ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, EV_SPOOL);
	log_str(&l, LK_STATE, full ? "full" : "room");
	log_u64(&l, LK_BYTES, bytes);
	log_str(&l, LK_REASON,
	    !full                     ? "new mail is accepted again"
	    : short_of_room           ? "no room to set aside: new mail is refused with 452"
	    : inodes < RESERVE_INODES ? "too few inodes: new mail is refused with 452"
				      : "too little room: new mail is refused with 452");
	log_end(&l);
	ipc_role_each(ROLE_FRONT, tell, q);
}
