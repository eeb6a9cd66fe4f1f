/* SPDX-License-Identifier: ISC */
/*
 * The commit thread of process queue: takes everything that is pending, up to a cap,
 * writes the bodies with one sync, then all rows in one transaction, and gives the
 * ops back. While a commit runs the next batch gathers. Where the disk has no room for
 * it, new mail is refused, and what became of older mail waits. All else that fails to
 * be synced or committed is final: nothing is acknowledged any more and the process ends.
 */
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "base/thread.h"
#include "queue/queue_audit.h"
#include "queue/queue_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t
queue_take_ids(uint64_t *counter, uint64_t n)
{
	return __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

int64_t
queue_now(void)
{
	return ev_wall_ms();
}

void
queue_push(struct queue *q, struct qop *op)
{
	pthread_mutex_lock(&q->lock);
	TAILQ_INSERT_TAIL(&q->todo, op, entry);
	pthread_cond_signal(&q->cond);
	pthread_mutex_unlock(&q->lock);
}

/* ---- rows ------------------------------------------------------------------------------------ */

int
qcommit_insert(struct qcommit *c, const struct qmsg *msg, const struct body_ref *ref)
{
	const struct message *m = msg->m;
	char text[ADDR_TEXT];
	struct store_message row = {.id = msg->id,
	    .mid = msg->mid,
	    .ref = *ref,
	    .received_ms = m->received_ms,
	    .flags = m->flags,
	    .n_env = msg->n_envs};

	addr_format(&m->sender, text);
	row.sender = span_of(text);
	if (queue_store_add_message(c->store, &row) == -1)
		return -1;
	qcommit_segment_add(c, ref);
	for (uint32_t i = 0; i < msg->n_envs; i++) {
		struct qenv *e = &msg->envs[i];
		const struct rcpt *first = &m->rcpts[msg->order[e->first]];
		struct store_dest *d =
		    queue_store_dest(c->store, first->transport, first->dest, c->now);
		struct store_envelope env = {.qid = e->qid,
		    .msg = msg->id,
		    .next_ms = c->now,
		    .first_rid = e->first_rid,
		    .n_rcpts = e->n,
		    .left = e->n};

		if (d == NULL)
			return -1;
		env.dest = e->dest = d->id;
		e->retry_at = d->retry_at;
		e->fails = d->fails;
		if (queue_store_add_envelope(c->store, &env) == -1)
			return -1;
		for (uint32_t k = 0; k < e->n; k++) {
			const struct rcpt *r = &m->rcpts[msg->order[e->first + k]];
			struct store_rcpt rr = {.id = r->id,
			    .qid = e->qid,
			    .index = msg->order[e->first + k],
			    .notify = r->notify};
			addr_format(&r->addr, text);
			rr.addr = span_of(text);
			if (queue_store_add_rcpt(c->store, &rr) == -1)
				return -1;
		}
	}
	return 0;
}

int
qcommit_reeval(
    struct qcommit *c, uint64_t qid, const int64_t *next, const uint32_t *attempts, bool *waits)
{
	struct store_envelope e;
	struct store_rcpt_row *rows = NULL;
	struct store_freed freed;
	struct store_message m;
	size_t n = 0, waiting = 0, held = 0;
	bool found;

	if (waits != NULL)
		*waits = false;
	if (queue_store_get_envelope(c->store, qid, &e, &found) == -1)
		return -1;
	if (!found)
		return 0;
	if (queue_store_rcpts(c->store, &e, false, &rows, &n) == -1)
		return -1;
	for (size_t i = 0; i < n; i++) {
		waiting += rows[i].state == RCPT_WAITING;
		held += rows[i].state == RCPT_HELD;
	}
	queue_store_rcpts_free(rows, n);
	e.left = (uint32_t)n;
	e.state = waiting > 0 ? ENV_WAITING : held > 0 ? ENV_HELD : ENV_DONE;
	if (next != NULL)
		e.next_ms = *next;
	if (attempts != NULL)
		e.attempts = *attempts;
	if (waits != NULL)
		*waits = waiting > 0;
	if (n == 0 && queue_store_get_message(c->store, e.msg, &m, NULL, &found) == -1)
		return -1;
	if (queue_store_update_envelope(c->store, &e, n == 0 && found && m.n_env == 1, &freed) ==
	    -1)
		return -1;
	qcommit_freed(c, &freed);
	return 0;
}

void
qtouch_add(struct qtouch_list *l, const struct store_dest *d)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].id == d->id)
			return;
	l->v = xreallocarray(l->v, l->n + 1, sizeof(*l->v));
	l->v[l->n++] =
	    (struct qtouch){d->id, xstrdup(d->transport), xstrdup(d->name), d->retry_at, d->fails};
}

void
qtouch_clear(struct qtouch_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].transport);
		free(l->v[i].name);
	}
	free(l->v);
	l->v = NULL;
	l->n = 0;
}

/* ---- the batch ------------------------------------------------------------------------------- */

static int
fail(struct qcommit *c, const char *what, const char *why)
{
	struct queue *q = c->q;

	if (q->failure[0] == '\0')
		(void)str_printf(q->failure, sizeof(q->failure), "%s: %s", what, why);
	return -1;
}

static int
prepare_all(struct qcommit *c, struct qop_list *batch, struct body_put ***puts, size_t *n)
{
	struct qop *op;
	size_t cap = 0;

	*n = 0;
	if (queue_store_read_begin(c->store) == -1)
		return fail(c, "look-ups", queue_store_error(c->store));
	TAILQ_FOREACH (op, batch, entry) {
		if (op->class->prepare != NULL && op->class->prepare(c, op) == -1)
			return fail(c, op->class->name, queue_store_error(c->store));
		if (op->put == NULL)
			continue;
		if (*n == cap) {
			cap = cap == 0 ? 64 : cap * 2;
			*puts = xreallocarray(*puts, cap, sizeof(**puts));
		}
		(*puts)[(*n)++] = op->put;
	}
	if (queue_store_commit(c->store) == -1)
		return fail(c, "look-ups", queue_store_error(c->store));
	return 0;
}

static int
write_bodies(struct qcommit *c, struct qop_list *batch, struct body_put **puts, size_t n)
{
	struct qop *op;

	if (c->sync_big && queue_body_big_sync_dir(c->body) == -1)
		return fail(c, "syncing a directory", strerror(errno));
	c->sync_big = false;
	if (c->short_of_room) { /* what is left of it is not for mail */
		c->bodies = false;
		TAILQ_FOREACH (op, batch, entry)
			op->no_space = op->no_space || op->put != NULL || op->brings_mail;
		return 0;
	}
	c->bodies = n > 0 && queue_body_put_batch(c->body, puts, n) == 0;
	if (n == 0 || c->bodies)
		return 0;
	if (errno != ENOSPC && errno != EDQUOT)
		return fail(c, "writing a segment", strerror(errno));
	/* nothing was kept: these are refused for now, all the others go on */
	TAILQ_FOREACH (op, batch, entry)
		op->no_space = op->no_space || op->put != NULL;
	return 0;
}

static void
give_back(struct queue *q, struct qop_list *batch)
{
	pthread_mutex_lock(&q->lock);
	TAILQ_CONCAT(&q->finished, batch, entry);
	pthread_mutex_unlock(&q->lock);
	ev_wake_fire(q->wake);
}

/* One transaction of all rows; -1: nothing of it happened. */
static int
write_once(struct qcommit *c, struct qop_list *batch)
{
	uint64_t next = __atomic_load_n(&c->q->next_qid, __ATOMIC_RELAXED);
	struct qop *op;
	bool any = false;

	TAILQ_FOREACH (op, batch, entry)
		any = any || op->class->apply != NULL;
	if (!any)
		return 0;
	if (queue_store_begin(c->store) == -1)
		return -1;
	TAILQ_FOREACH (op, batch, entry)
		if (op->class->apply != NULL && !op->no_space && op->class->apply(c, op) == -1)
			return -1;
	if (qcommit_audit_end(c) == -1)
		return -1;
	if (next + QID_RESERVE / 2 > c->qid_limit) {
		c->qid_limit = next + QID_RESERVE;
		if (queue_store_reserve_qid(c->store, c->qid_limit) == -1)
			return -1;
	}
	if (qcommit_segments_store(c) == -1 || queue_store_commit(c->store) == -1)
		return -1;
	TAILQ_CONCAT(batch, &c->audit_made, entry); /* safe now: to be handed on */
	qcommit_files_release(c);
	if (queue_body_current(c->body) != 0)
		__atomic_store_n(&c->q->current_seg, queue_body_current(c->body), __ATOMIC_RELAXED);
	__atomic_store_n(&c->q->wal_pages, queue_store_wal_pages(c->store), __ATOMIC_RELAXED);
	(void)qcommit_keep_room(c);
	return 0;
}

/* ---- a disk without room --------------------------------------------------------------------- */

enum store_room
qcommit_keep_room(struct qcommit *c)
{
	enum store_room room = queue_store_keep_room(c->store);

	c->short_of_room = room == STORE_ROOM_SHORT;
	__atomic_store_n(&c->q->short_of_room, c->short_of_room, __ATOMIC_RELAXED);
	return room;
}

/* What can be told to try again later without any loss goes back. True: something did. */
static bool
refuse_new(struct qcommit *c, struct qop_list *list)
{
	struct qop_list refused = TAILQ_HEAD_INITIALIZER(refused);
	struct qop *op, *next;

	TAILQ_FOREACH_SAFE (op, list, entry, next) {
		if (op->put == NULL && !op->brings_mail)
			continue;
		op->no_space = true;
		TAILQ_REMOVE(list, op, entry);
		TAILQ_INSERT_TAIL(&refused, op, entry);
	}
	if (TAILQ_EMPTY(&refused))
		return false;
	give_back(c->q, &refused);
	return true;
}

/* The same for what has come meanwhile: the front waits for an answer. */
static int
refuse_pending(struct qcommit *c)
{
	struct qop_list mail = TAILQ_HEAD_INITIALIZER(mail);
	struct queue *q = c->q;
	struct qop *op, *next;

	pthread_mutex_lock(&q->lock);
	TAILQ_FOREACH_SAFE (op, &q->todo, entry, next) {
		if (op->class != &queue_accept_class)
			continue;
		TAILQ_REMOVE(&q->todo, op, entry);
		TAILQ_INSERT_TAIL(&mail, op, entry);
	}
	pthread_mutex_unlock(&q->lock);
	TAILQ_FOREACH (op, &mail, entry) /* one that is offered again may be in already */
		if (op->class->prepare(c, op) == -1)
			return fail(c, op->class->name, queue_store_error(c->store));
	(void)refuse_new(c, &mail);
	if (!TAILQ_EMPTY(&mail))
		give_back(q, &mail);
	return 0;
}

/* Moved into the database, the log starts anew, in the room that it has. */
static int
move_log(struct qcommit *c)
{
	unsigned left;

	if (queue_store_checkpoint(c->store, &left) == -1)
		return fail(c, "checkpoint", queue_store_error(c->store));
	(void)qcommit_keep_room(c);
	return 0;
}

/*
 * What is left of the batch must not be lost, and there is no room for it: after a while it is
 * tried again, and once more at the end. -1: the queue ends instead.
 */
static int
wait_for_room(struct qcommit *c)
{
	struct queue *q = c->q;
	struct timespec until;
	bool last, stop;
	int rc = 0;

	pthread_mutex_lock(&q->lock);
	last = q->stop;
	pthread_mutex_unlock(&q->lock);
	__atomic_store_n(&q->waits_for_room, true, __ATOMIC_RELAXED);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec++;
	do {
		if (refuse_pending(c) == -1)
			return -1;
		pthread_mutex_lock(&q->lock);
		if (!q->stop)
			rc = pthread_cond_clockwait(&q->cond, &q->lock, CLOCK_MONOTONIC, &until);
		stop = q->stop;
		pthread_mutex_unlock(&q->lock);
	} while (rc == 0 && !stop);
	if (!stop || !last)
		return move_log(c);
	log_note(LOG_LEVEL_ERROR,
	    "spool: ended without room: what became of mail since then is not stored, "
	    "and some of it may be sent again");
	return fail(c, "ended without room", queue_store_error(c->store));
}

/*
 * As if the transaction had not been tried. All of its mail is refused: no rebuild may find
 * it, and its room is for what became of older mail.
 */
static int
take_back(struct qcommit *c, uint64_t qid_limit)
{
	queue_store_rollback(c->store);
	qcommit_audit_undo(c);
	c->qid_limit = qid_limit;
	if (c->bodies && queue_body_take_back(c->body) == -1)
		return fail(c, "taking back bodies", strerror(errno));
	c->bodies = false;
	return qcommit_segments_load(c);
}

/* The rows of the batch, or of what there is room for. */
static int
write_rows(struct qcommit *c, struct qop_list *batch)
{
	uint64_t qid_limit = c->qid_limit;
	bool said = false, moved = false;

	while (write_once(c, batch) == -1) {
		if (!queue_store_is_full(c->store))
			return -1;
		if (take_back(c, qid_limit) == -1)
			return -1;
		bool refused = refuse_new(c, batch);
		if (!refused && !moved) {
			moved = true;
			if (move_log(c) == -1)
				return -1;
			continue;
		}
		if (!said)
			log_note(LOG_LEVEL_ERROR,
			    "spool: %s: new mail is refused with 452, "
			    "the state of older mail waits for room",
			    queue_store_error(c->store));
		said = true;
		if (!refused && wait_for_room(c) == -1)
			return -1;
	}
	__atomic_store_n(&c->q->waits_for_room, false, __ATOMIC_RELAXED);
	if (said && !TAILQ_EMPTY(batch))
		log_note(LOG_LEVEL_INFO, "spool: there was room for the rest");
	return 0;
}

/* ---- batches --------------------------------------------------------------------------------- */

static int
run_batch(struct qcommit *c, struct qop_list *batch)
{
	struct qop_list reads = TAILQ_HEAD_INITIALIZER(reads);
	struct body_put **puts = NULL;
	struct qop *op, *next;
	size_t n = 0;
	int rc = 0;

	c->now = queue_now();
	if (prepare_all(c, batch, &puts, &n) == -1 || write_bodies(c, batch, puts, n) == -1)
		rc = -1;
	free(puts);
	if (rc == -1)
		return -1;
	if (write_rows(c, batch) == -1)
		return fail(c, "database", queue_store_error(c->store));
	TAILQ_FOREACH_SAFE (op, batch, entry, next) {
		if (op->class->after != NULL) {
			TAILQ_REMOVE(batch, op, entry);
			TAILQ_INSERT_TAIL(&reads, op, entry);
		}
	}
	if (!TAILQ_EMPTY(batch))
		give_back(c->q, batch);
	TAILQ_FOREACH (op, &reads, entry)
		if (op->class->after(c, op) == -1)
			return fail(c, op->class->name, queue_store_error(c->store));
	if (!TAILQ_EMPTY(&reads))
		give_back(c->q, &reads);
	return __atomic_exchange_n(&c->q->checkpoint_now, false, __ATOMIC_RELAXED) ? move_log(c)
	                                                                           : 0;
}

/* Moves what is pending into the batch, up to the caps; waits for the first. False: stop. */
static bool
take_batch(struct queue *q, struct qop_list *batch)
{
	struct qop *op;
	size_t bytes = 0;
	unsigned n = 0;

	pthread_mutex_lock(&q->lock);
	while (TAILQ_EMPTY(&q->todo) && !q->stop)
		pthread_cond_wait(&q->cond, &q->lock);
	while ((op = TAILQ_FIRST(&q->todo)) != NULL && n < BATCH_OPS &&
	       (n == 0 || bytes + op->bytes <= BATCH_BYTES)) {
		TAILQ_REMOVE(&q->todo, op, entry);
		TAILQ_INSERT_TAIL(batch, op, entry);
		bytes += op->bytes;
		n++;
	}
	pthread_mutex_unlock(&q->lock);
	return n > 0;
}

static void *
commit_main(void *arg)
{
	struct queue *q = arg;
	struct qop_list batch = TAILQ_HEAD_INITIALIZER(batch);

	while (take_batch(q, &batch)) {
		if (run_batch(&q->commit, &batch) == -1) {
			pthread_mutex_lock(&q->lock);
			q->dead = true;
			pthread_mutex_unlock(&q->lock);
			ev_wake_fire(q->wake);
			return NULL;
		}
		TAILQ_INIT(&batch);
	}
	return NULL;
}

int
queue_commit_start(struct queue *q, char *err, size_t errsize)
{
	int rc = thread_start(&q->commit_thread, 0, commit_main, q);

	if (rc != 0) {
		(void)str_printf(err, errsize, "commit thread: %s", strerror(rc));
		return -1;
	}
	q->started = true;
	return 0;
}

void
queue_commit_stop(struct queue *q)
{
	if (!q->started)
		return;
	pthread_mutex_lock(&q->lock);
	q->stop = true;
	pthread_cond_signal(&q->cond);
	pthread_mutex_unlock(&q->lock);
	pthread_join(q->commit_thread, NULL);
	q->started = false;
}
