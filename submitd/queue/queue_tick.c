/* SPDX-License-Identifier: ISC */
/*
 * What happens by time in process queue: once a second it looks which destinations in
 * memory are due again, lets idle ones go, notices a clock that was set, and starts
 * the upkeep. Event thread; bounded by the number of destinations in memory.
 */
#include "base/log.h"
#include "base/str.h"
#include "queue/queue_internal.h"

#include <stdlib.h>

#define TICK_MS 1000
#define JUMP_MS 30000
#define HOUR_MS 3600000

static int
clamp_apply(struct qcommit *c, struct qop *op)
{
	struct qop_time *t = (struct qop_time *)op;

	return queue_store_clamp(c->store, t->before);
}

static void
time_done(struct queue *q, struct qop *op)
{
	(void)q;
	free(op);
}

static const struct qop_class clamp_class = {"clock", NULL, clamp_apply, NULL, time_done};

/* The wall clock was set back: nothing may wait for a time that only the old clock knew. */
static void
clock_set_back(struct queue *q, int64_t wall)
{
	struct qop_time *t = xcallocarray(1, sizeof(*t));
	struct qdest *d;

	log_note(LOG_LEVEL_WARN, "the clock was set back: the schedule is read again");
	t->op.class = &clamp_class;
	t->before = wall;
	queue_push(q, &t->op);
	q->scanned_due = INT64_MIN;
	q->scanned_id = 0;
	q->next_scan = 0;
	TAILQ_FOREACH (d, &q->dests, entry) {
		d->retry_at = 0;
		d->db_more = true;
		queue_dest_ring(q, d);
	}
}

static void
watch_clock(struct queue *q)
{
	int64_t wall = queue_now(), mono = ev_now_ms();

	if (q->last_mono != 0 && wall - q->last_wall < mono - q->last_mono - JUMP_MS)
		clock_set_back(q, wall);
	q->last_wall = wall;
	q->last_mono = mono;
}

/* Loaded but not sent jobs go back to their rows. */
void
queue_dest_unload(struct queue *q, struct qdest *d)
{
	struct qjob *j, *next;

	TAILQ_FOREACH_SAFE (j, &d->ready, entry, next)
		queue_job_free(q, j);
}

static void
look_at(struct queue *q, struct qdest *d, int64_t now)
{
	const struct conf_transport *t = conf_transport_find(q->conf, d->transport);
	bool waits = t == NULL || t->paused, backoff = d->retry_at > now + 2 * TICK_MS;

	if ((waits || backoff) && d->n_ready > 0) {
		queue_dest_unload(q, d);
		d->db_more = true;
	}
	queue_waiting_sweep(q, d);
	if (d->n_jobs > 0 || d->fetching || d->settling || d->sweeping ||
	    ev_now_ms() - d->idle_since < DEST_IDLE_MS) {
		if (d->next_look <= now) {
			d->next_look = STORE_NEVER;
			d->db_more = true;
		}
		if (d->db_more || d->n_ready > 0)
			queue_dest_ring(q, d);
	} else if (waits) {
		queue_dest_drop(q, d); /* seen again after a reload or a restart */
	} else if (backoff) {
		d->db_more = false;
		queue_settle(q, d);
	} else if (d->db_more || d->next_look <= now) {
		d->next_look = STORE_NEVER;
		d->db_more = true;
		queue_dest_ring(q, d);
	} else {
		queue_settle(q, d);
	}
}

static void
tick(void *arg)
{
	struct queue *q = arg;
	struct qdest *d, *next;
	int64_t now = queue_now();

	ev_timer_set(&q->tick, TICK_MS, tick, q);
	watch_clock(q);
	TAILQ_FOREACH_SAFE (d, &q->dests, entry, next)
		look_at(q, d, now);
	if (q->next_scan <= now && !q->draining)
		queue_scan(q);
	queue_reports_run(q);
	queue_space_tick(q);
	queue_maint_tick(q);
	queue_drain_tick(q);
}

void
queue_tick_start(struct queue *q)
{
	tick(q);
}

/* ---- history --------------------------------------------------------------------------------- */

static int
prune_apply(struct qcommit *c, struct qop *op)
{
	struct qop_time *t = (struct qop_time *)op;

	return queue_store_prune_history(c->store, t->before, PRUNE_PAGE, &t->count);
}

static void
prune_done(struct queue *q, struct qop *op)
{
	struct qop_time *t = (struct qop_time *)op;

	/* the next page at the next tick, so that mail comes between */
	q->last_prune = t->count == PRUNE_PAGE ? 0 : ev_now_ms();
	q->pruning = false;
	free(t);
}

static const struct qop_class prune_class = {"history", NULL, prune_apply, NULL, prune_done};

void
queue_prune(struct queue *q)
{
	struct qop_time *t;
	int64_t retain = q->conf->history->retain < HOUR_MS ? HOUR_MS : q->conf->history->retain;

	if (q->pruning || (q->last_prune != 0 && ev_now_ms() - q->last_prune < 60000))
		return;
	t = xcallocarray(1, sizeof(*t));
	t->op.class = &prune_class;
	t->before = queue_now() - retain;
	q->pruning = true;
	queue_push(q, &t->op);
}
