/* SPDX-License-Identifier: ISC */
/*
 * The schedule: destinations first, round robin, then their messages. Fresh messages
 * go out straight from memory; the rest is read in bounded pages. Only active jobs
 * and a bounded number of destinations are in memory. Event thread of process queue;
 * it reads no file and no row itself.
 */
#include "base/log.h"
#include "base/str.h"
#include "queue/queue_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JOB_PLACES 16384u
#define DEST_PLACES 8192u

void
queue_rule(const struct conf_transport *t, struct retry_rule *r)
{
	*r = (struct retry_rule){.delay_min = t->retry_delay.v,
	    .n_delays = t->retry_delay.n,
	    .count = t->retry_count,
	    .warn_min = t->warn_after,
	    .discard = t->on_give_up == GIVE_UP_DISCARD};
}

void
queue_sched_init(struct queue *q)
{
	q->by_qid = xcallocarray(JOB_PLACES, sizeof(*q->by_qid));
	q->by_dest = xcallocarray(DEST_PLACES, sizeof(*q->by_dest));
	TAILQ_INIT(&q->dests);
	TAILQ_INIT(&q->ring);
	TAILQ_INIT(&q->delivers);
	TAILQ_INIT(&q->reports);
	q->scanned_due = INT64_MIN;
	q->next_scan = 0;
}

/* ---- jobs ------------------------------------------------------------------------------------ */

struct qjob *
queue_job_find(struct queue *q, uint64_t qid)
{
	struct qjob *j = q->by_qid[qid & (JOB_PLACES - 1)];

	while (j != NULL && j->qid != qid)
		j = j->next_by_qid;
	return j;
}

static void
job_add(struct queue *q, struct qdest *d, struct qjob *j)
{
	struct qjob **chain = &q->by_qid[j->qid & (JOB_PLACES - 1)];

	j->next_by_qid = *chain;
	*chain = j;
	q->n_jobs++;
	j->dest = d;
	j->state = QJOB_READY;
	TAILQ_INSERT_TAIL(&d->jobs, j, dest_entry);
	TAILQ_INSERT_TAIL(&d->ready, j, entry);
	d->n_jobs++;
	d->n_ready++;
}

/* The body of a message is needed once more or once less. */
static void
body_done(struct queue *q, struct qmsg *m)
{
	if (--m->unsent > 0)
		return;
	buf_clear(&m->body);
	buf_clear(&m->head);
	if (m->fresh_bytes > 0) {
		q->fresh_bytes -= m->fresh_bytes;
		q->fresh_messages--;
		m->fresh_bytes = 0;
	}
}

void
queue_job_sent_back(struct queue *q, struct qjob *j)
{
	(void)q;
	if (j->state == QJOB_SENT) {
		j->dest->n_sent--;
		if (j->to != NULL)
			j->to->n_sent--;
		j->to = NULL; /* the destination stays with that process: connections are reused */
	}
}

void
queue_job_free(struct queue *q, struct qjob *j)
{
	struct qjob **at = &q->by_qid[j->qid & (JOB_PLACES - 1)];
	struct qdest *d = j->dest;

	while (*at != j)
		at = &(*at)->next_by_qid;
	*at = j->next_by_qid;
	q->n_jobs--;
	if (j->state == QJOB_READY) {
		TAILQ_REMOVE(&d->ready, j, entry);
		d->n_ready--;
		body_done(q, j->msg);
	}
	queue_job_sent_back(q, j);
	TAILQ_REMOVE(&d->jobs, j, dest_entry);
	d->n_jobs--;
	if (d->n_jobs == 0)
		d->idle_since = ev_now_ms();
	if (j->big_fd != -1)
		close(j->big_fd);
	queue_result_free(j, j->result);
	qmsg_unref(q, j->msg);
	free(j->after_user);
	free(j);
}

/* ---- destinations ---------------------------------------------------------------------------- */

struct qdest *
queue_dest_find(struct queue *q, uint64_t id)
{
	struct qdest *d = q->by_dest[id & (DEST_PLACES - 1)];

	while (d != NULL && d->id != id)
		d = d->next_by_id;
	return d;
}

struct qdest *
queue_dest_load(struct queue *q, const struct qtouch *t)
{
	struct qdest *d = queue_dest_find(q, t->id), **chain;

	if (d != NULL)
		return d;
	if (q->n_dests >= DESTS_MAX) {
		/* it stays in its row: look from the beginning when there is room again */
		q->scanned_due = INT64_MIN;
		q->scanned_id = 0;
		return NULL;
	}
	d = xcallocarray(1, sizeof(*d));
	d->id = t->id;
	d->transport = xstrdup(t->transport);
	d->name = xstrdup(t->name);
	d->retry_at = t->retry_at;
	d->fails = t->fails;
	d->next_look = STORE_NEVER;
	d->idle_since = ev_now_ms();
	TAILQ_INIT(&d->jobs);
	TAILQ_INIT(&d->ready);
	chain = &q->by_dest[t->id & (DEST_PLACES - 1)];
	d->next_by_id = *chain;
	*chain = d;
	TAILQ_INSERT_TAIL(&q->dests, d, entry);
	q->n_dests++;
	return d;
}

void
queue_dest_drop(struct queue *q, struct qdest *d)
{
	struct qdest **at = &q->by_dest[d->id & (DEST_PLACES - 1)];

	while (*at != d)
		at = &(*at)->next_by_id;
	*at = d->next_by_id;
	TAILQ_REMOVE(&q->dests, d, entry);
	if (d->on_ring)
		TAILQ_REMOVE(&q->ring, d, ring);
	q->n_dests--;
	free(d->transport);
	free(d->name);
	free(d->reason);
	free(d);
}

void
queue_dest_ring(struct queue *q, struct qdest *d)
{
	if (!d->on_ring) {
		d->on_ring = true;
		TAILQ_INSERT_TAIL(&q->ring, d, ring);
	}
	queue_sched_run(q);
}

static int
qid_compare(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

uint64_t *
queue_dest_busy(const struct qdest *d, size_t *n)
{
	uint64_t *v = xcallocarray(d->n_jobs + 1, sizeof(*v));
	const struct qjob *j;

	*n = 0;
	TAILQ_FOREACH (j, &d->jobs, dest_entry)
		v[(*n)++] = j->qid;
	qsort(v, *n, sizeof(*v), qid_compare);
	return v;
}

void
queue_sched_kick(struct queue *q, const struct qtouch_list *l, bool now)
{
	for (size_t i = 0; i < l->n; i++) {
		struct qdest *d = queue_dest_load(q, &l->v[i]);
		if (d == NULL)
			continue;
		if (now) {
			d->retry_at = 0;
			d->fails = 0;
		}
		d->db_more = true;
		queue_dest_ring(q, d);
	}
}

void
queue_sched_resume(struct queue *q)
{
	struct qdest *d;

	TAILQ_FOREACH (d, &q->dests, entry)
		queue_dest_ring(q, d);
	queue_sched_run(q);
}

/* ---- fresh messages -------------------------------------------------------------------------- */

static bool
room_for(const struct queue *q, const struct qdest *d, const struct qmsg *m)
{
	const struct conf_transport *t = conf_transport_find(q->conf, d->transport);

	if (t == NULL || t->paused || d->retry_at > queue_now() || d->n_jobs >= FRESH_PER_DEST ||
	    q->draining)
		return false;
	return m->large || m->fresh_bytes > 0 ||
	       (q->fresh_bytes < FRESH_BYTES && q->fresh_messages < FRESH_MESSAGES);
}

/* Committed a moment ago: to the deliver processes without reading anything. */
void
queue_sched_fresh(struct queue *q, struct qmsg *m)
{
	m->unsent = 1; /* ours, until the loop is through */
	for (uint32_t i = 0; i < m->n_envs; i++) {
		const struct qenv *e = &m->envs[i];
		const struct rcpt *first = &m->m->rcpts[m->order[e->first]];
		struct qtouch t = {e->dest, first->transport, first->dest, e->retry_at, e->fails};
		struct qdest *d = queue_dest_load(q, &t);
		struct qjob *j;
		int fd = -1;

		if (d == NULL)
			continue;
		if (!room_for(q, d, m) ||
		    (m->large && (fd = queue_body_big_open(q->commit.body, &m->mid)) == -1)) {
			d->db_more = true;
			queue_dest_ring(q, d);
			continue;
		}
		j = xcallocarray(1, sizeof(*j) + e->n * sizeof(j->rcpts[0]));
		j->qid = e->qid;
		j->msg = m;
		j->big_fd = fd;
		j->env = (struct store_envelope){.qid = e->qid,
		    .msg = m->id,
		    .dest = e->dest,
		    .first_rid = e->first_rid,
		    .n_rcpts = e->n,
		    .left = e->n};
		j->n_rcpts = e->n;
		for (uint32_t k = 0; k < e->n; k++)
			j->rcpts[k] =
			    (struct qjob_rcpt){e->first_rid + k, m->order[e->first + k], false};
		m->refs++;
		m->unsent++;
		if (!m->large && m->fresh_bytes == 0) {
			m->fresh_bytes = buf_len(&m->body) + buf_len(&m->head) + 1;
			q->fresh_bytes += m->fresh_bytes;
			q->fresh_messages++;
		}
		job_add(q, d, j);
		queue_dest_ring(q, d);
	}
	body_done(q, m);
}

void
queue_job_load(struct queue *q, struct qdest *d, struct qjob *j)
{
	j->msg->unsent++;
	job_add(q, d, j);
}

/* ---- sending --------------------------------------------------------------------------------- */

static uint64_t
newest_generation(const struct queue *q)
{
	const struct qdeliver *v;
	uint64_t newest = 0;

	TAILQ_FOREACH (v, &q->delivers, entry)
		if (ipc_peer_generation(v->peer) > newest)
			newest = ipc_peer_generation(v->peer);
	return newest;
}

/*
 * Who delivers for it: the process that did so far, else the least busy one of the newest
 * generation. NULL: nobody now. What an old generation still has keeps its slots.
 */
static struct qdeliver *
pick_deliver(struct queue *q, struct qdest *d)
{
	uint64_t newest = newest_generation(q);
	struct qdeliver *v, *best = NULL;

	if (d->owner != NULL && ipc_peer_generation(d->owner->peer) == newest)
		return d->owner;
	if (d->owner != NULL && d->n_sent > 0)
		return NULL;
	TAILQ_FOREACH (v, &q->delivers, entry) {
		if (ipc_peer_generation(v->peer) == newest &&
		    (best == NULL || v->n_sent < best->n_sent ||
			(v->n_sent == best->n_sent && v->n_given < best->n_given)))
			best = v;
	}
	if (best != NULL)
		best->n_given++;
	d->owner = best;
	return best;
}

static void
send_more(struct ipc_peer *p, uint64_t qid, struct span head, struct span body)
{
	while (head.n + body.n > 0) {
		struct ipc_job_more more = {.qid = qid};
		size_t n = head.n < IPC_CHUNK ? head.n : IPC_CHUNK;

		more.head = (struct span){head.p, n};
		head.p += n;
		head.n -= n;
		n = head.n > 0 ? 0 : body.n < IPC_CHUNK - n ? body.n : IPC_CHUNK - n;
		more.body = (struct span){body.p, n};
		body.p += n;
		body.n -= n;
		(void)ipc_send_job_more(p, -1, &more);
	}
}

static void
encode_job(struct buf *out, const struct qjob *j)
{
	struct message part = *j->msg->m;
	struct job job = {.qid = j->qid, .attempt = j->env.attempts + 1, .msg = &part};
	struct rcpt one, *copy = &one;

	/* a shallow copy that names only these recipients */
	if (j->n_rcpts > 1)
		copy = xcallocarray(j->n_rcpts, sizeof(*copy));
	for (uint32_t i = 0; i < j->n_rcpts; i++) {
		copy[i] = j->msg->m->rcpts[j->rcpts[i].index];
		copy[i].id = j->rcpts[i].rid;
	}
	part.rcpts = copy;
	part.n_rcpts = part.cap_rcpts = j->n_rcpts;
	job_encode(out, &job);
	if (copy != &one)
		free(copy);
}

static void
send_job(struct queue *q, struct qjob *j, const struct conf_transport *t, struct qdeliver *v)
{
	static struct buf head = BUF_INIT;
	struct qdest *d = j->dest;
	struct qmsg *m = j->msg;
	struct span h, b = m->large ? (struct span){"", 0} : buf_span(&m->body);
	struct ipc_job job = {.qid = j->qid,
	    .transport = span_of(d->transport),
	    .dest = span_of(d->name),
	    .conn_max = (uint32_t)t->per_domain,
	    .body_size = m->body_size,
	    .body_offset = m->large ? 0 : UINT64_MAX};
	int fd = j->big_fd;

	buf_reset(&head);
	encode_job(&head, j);
	h = buf_span(&head);
	job.head_size = (uint32_t)h.n;
	job.head = (struct span){h.p, h.n < IPC_CHUNK ? h.n : IPC_CHUNK};
	if (h.n < IPC_CHUNK)
		job.body = (struct span){b.p, b.n < IPC_CHUNK - h.n ? b.n : IPC_CHUNK - h.n};
	j->big_fd = -1;
	TAILQ_REMOVE(&d->ready, j, entry);
	d->n_ready--;
	j->state = QJOB_SENT;
	j->to = v;
	d->n_sent++;
	v->n_sent++;
	q->count.jobs++;
	(void)ipc_send_job(v->peer, fd, &job);
	send_more(v->peer, j->qid, (struct span){h.p + job.head.n, h.n - job.head.n},
	    (struct span){b.p + job.body.n, b.n - job.body.n});
	body_done(q, m);
}

static void
run_again(void *arg)
{
	queue_sched_run(arg);
}

enum turn { TURN_SENT, TURN_IDLE, TURN_BLOCKED };

/* One job of this destination, if it may send one now. */
static enum turn
dest_turn(struct queue *q, struct qdest *d)
{
	const struct conf_transport *t = conf_transport_find(q->conf, d->transport);
	struct qdeliver *v;
	unsigned limit;

	if (t == NULL || t->paused || q->draining)
		return TURN_IDLE;
	if (d->retry_at > queue_now()) {
		if (d->retry_at <= queue_now() + STORE_MAX_AHEAD_MS)
			return TURN_IDLE;
		d->retry_at = 0; /* the clock was wrong when that was written */
	}
	/* after a backoff one job feels the way */
	limit = d->fails > 0 ? 1 : (unsigned)t->per_domain * JOBS_PER_CONN;
	if (limit > JOBS_PER_DELIVER)
		limit = JOBS_PER_DELIVER;
	if (d->db_more && d->n_ready < (limit < FETCH_PAGE ? limit : FETCH_PAGE) / 2 + 1)
		queue_fetch(q, d);
	if (d->n_ready == 0 || d->n_sent >= limit)
		return TURN_IDLE;
	v = pick_deliver(q, d);
	if (v == NULL || v->n_sent >= JOBS_PER_DELIVER)
		return TURN_BLOCKED;
	if (ipc_peer_backlog(v->peer) > IPC_BACKLOG_SOFT) {
		ev_timer_set(&q->retry_timer, 5, run_again, q);
		return TURN_BLOCKED;
	}
	send_job(q, TAILQ_FIRST(&d->ready), t, v);
	return TURN_SENT;
}

static void
run_turn(void *arg)
{
	struct queue *q = arg;
	TAILQ_HEAD(, qdest) blocked = TAILQ_HEAD_INITIALIZER(blocked);
	struct qdest *d;

	while ((d = TAILQ_FIRST(&q->ring)) != NULL) {
		enum turn did;

		TAILQ_REMOVE(&q->ring, d, ring);
		d->on_ring = false;
		did = dest_turn(q, d);
		if (did == TURN_IDLE)
			continue;
		d->on_ring = true;
		if (did == TURN_SENT)
			TAILQ_INSERT_TAIL(&q->ring, d, ring);
		else
			TAILQ_INSERT_TAIL(&blocked, d, ring);
	}
	TAILQ_CONCAT(&q->ring, &blocked, ring);
}

void
queue_sched_run(struct queue *q)
{
	if (q->started)
		ev_turn_schedule(&q->turn, run_turn, q);
}

/* ---- deliver processes ----------------------------------------------------------------------- */

void
queue_deliver_up(struct queue *q, struct ipc_peer *p)
{
	struct qdeliver *v = xcallocarray(1, sizeof(*v));

	v->peer = p;
	ipc_peer_set_data(p, v);
	TAILQ_INSERT_TAIL(&q->delivers, v, entry);
	queue_sched_resume(q);
}

/* Its jobs come back as not tried; they lie in their rows. */
void
queue_deliver_down(struct queue *q, struct ipc_peer *p)
{
	struct qdeliver *v = ipc_peer_data(p);
	struct qdest *d;
	struct qjob *j, *next;

	if (v == NULL)
		return;
	ipc_peer_set_data(p, NULL);
	TAILQ_FOREACH (d, &q->dests, entry) {
		/* its owner is forgotten even where no job was out */
		TAILQ_FOREACH_SAFE (j, &d->jobs, dest_entry, next) {
			if (j->state != QJOB_SENT || j->to != v)
				continue;
			q->count.returned++;
			d->db_more = true;
			queue_job_free(q, j);
		}
		if (d->owner == v)
			d->owner = NULL;
		if (d->db_more)
			queue_dest_ring(q, d);
	}
	TAILQ_REMOVE(&q->delivers, v, entry);
	free(v);
	queue_sched_run(q);
}
