/* SPDX-License-Identifier: ISC */
/*
 * Reads the schedule in pages: destinations that are due, then due messages of one
 * destination with their bodies. The reading happens on the commit thread right
 * after a commit, so it sees exactly what is there. The functions named *_after run
 * there, all others on the event thread of process queue.
 */
#include "base/log.h"
#include "base/str.h"
#include "queue/queue_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct qfetched {
	struct store_due due;
	struct store_rcpt_row *rcpts;
	size_t n_rcpts;
	struct buf head, body;
	int big_fd;
	int error; /* errno of reading it */
};
struct qop_fetch {
	struct qop op;
	struct store_due_query query;
	uint64_t *busy;
	uint64_t dest;
	struct qfetched items[FETCH_PAGE];
	unsigned n;
	bool more;
	int64_t next;
};
struct qop_scan {
	struct qop op;
	int64_t after_due, now;
	uint64_t after_id;
	struct store_dest dests[DEST_PAGE]; /* owned texts */
	unsigned n, max;
	int64_t next;
};

/* ---- due messages of one destination --------------------------------------------------------- */

static int
fetch_one(struct qcommit *c, struct qfetched *f, size_t *bytes)
{
	const struct store_message *m = &f->due.msg;
	bool large = m->ref.seg == 0;

	if (queue_store_rcpts(c->store, &f->due.env, false, &f->rcpts, &f->n_rcpts) == -1)
		return -1;
	f->error = 0;
	if (queue_body_read(c->reader, &m->mid, &m->ref, &f->head, large ? NULL : &f->body,
		SMALL_BODY_MAX) == -1)
		f->error = errno;
	else if (large && (f->big_fd = queue_body_big_open(c->body, &m->mid)) == -1)
		f->error = errno;
	*bytes += buf_len(&f->head) + buf_len(&f->body);
	return 0;
}

static int
fetch_after(struct qcommit *c, struct qop *op)
{
	struct qop_fetch *f = (struct qop_fetch *)op;
	struct store_due rows[FETCH_PAGE];
	size_t bytes = 0;
	unsigned n;

	if (queue_store_due(c->store, &f->query, rows, &n, &f->more, &f->next) == -1)
		return -1;
	for (f->n = 0; f->n < n && bytes < FETCH_BYTES; f->n++) {
		struct qfetched *item = &f->items[f->n];
		item->due = rows[f->n];
		item->big_fd = -1;
		if (fetch_one(c, item, &bytes) == -1)
			return -1;
	}
	f->more = f->more || f->n < n;
	return 0;
}

static void
fetched_clear(struct qfetched *f)
{
	queue_store_rcpts_free(f->rcpts, f->n_rcpts);
	buf_clear(&f->head);
	buf_clear(&f->body);
	if (f->big_fd != -1)
		close(f->big_fd);
}

/* It cannot be read: held, with the reason, for somebody to look at. */
static void
damaged(struct queue *q, const struct qfetched *f)
{
	struct qop_action *a;
	char mid[UUID_TEXT];
	struct log_line l;

	uuid_format(&f->due.msg.mid, mid);
	log_begin(&l, LOG_LEVEL_ERROR, EV_SPOOL);
	log_str(&l, LK_MID, mid);
	log_u64(&l, LK_QID, f->due.env.qid);
	log_str(&l, LK_REASON,
	    f->error == EBADMSG  ? "the stored message is damaged"
	    : f->error == ENOENT ? "the file of the message is gone"
				 : strerror(f->error));
	/* an error of the disk or of this process may pass; what is damaged or gone stays so */
	bool passing = f->error != EBADMSG && f->error != ENOENT;
	log_str(&l, LK_STATE, passing ? "waiting" : "held");
	log_end(&l);
	a = xcallocarray(1, sizeof(*a));
	a->action = passing ? QACTION_POSTPONE : QACTION_HOLD;
	a->qids = xcallocarray(1, sizeof(*a->qids));
	a->qids[0] = f->due.env.qid;
	a->n_qids = 1;
	a->reason = xstrdup(f->error == ENOENT ? "the file of the message is gone"
					       : "the stored message is damaged");
	queue_action_push(q, a);
}

static void
fetched_job(struct queue *q, struct qdest *d, struct qfetched *f)
{
	const struct store_due *due = &f->due;
	struct message *m = f->error == 0 ? message_decode(buf_span(&f->head)) : NULL;
	struct qmsg *msg;
	struct qjob *j;

	for (size_t i = 0; m != NULL && i < f->n_rcpts; i++)
		if (f->rcpts[i].index >= m->n_rcpts)
			f->error = EBADMSG;
	if (m == NULL || f->error != 0) {
		if (f->error == 0)
			f->error = EBADMSG;
		message_free(m);
		damaged(q, f);
		return;
	}
	msg = qmsg_new(&due->msg.mid);
	msg->id = due->msg.id;
	msg->m = m;
	msg->large = due->msg.ref.seg == 0;
	msg->body_size = due->msg.ref.body_len;
	msg->n_envs = due->msg.n_env;
	m->size = msg->body_size;
	buf_move(&msg->body, &f->body);
	msg->fresh_bytes = buf_len(&msg->body) + 1;
	q->fresh_bytes += msg->fresh_bytes;
	q->fresh_messages++;
	j = xcallocarray(1, sizeof(*j) + f->n_rcpts * sizeof(j->rcpts[0]));
	j->qid = due->env.qid;
	j->msg = msg;
	j->env = due->env;
	j->big_fd = f->big_fd;
	f->big_fd = -1;
	for (size_t i = 0; i < f->n_rcpts; i++) {
		if (f->rcpts[i].state != RCPT_WAITING)
			continue;
		j->rcpts[j->n_rcpts++] = (struct qjob_rcpt){f->rcpts[i].id, f->rcpts[i].index,
		    f->rcpts[i].report == REPORT_WARNED || f->rcpts[i].report == REPORT_DELAYED};
	}
	queue_job_load(q, d, j);
}

static void
fetch_done(struct queue *q, struct qop *op)
{
	struct qop_fetch *f = (struct qop_fetch *)op;
	struct qdest *d = queue_dest_find(q, f->dest);

	for (unsigned i = 0; i < f->n; i++) {
		if (d != NULL && queue_job_find(q, f->items[i].due.env.qid) == NULL)
			fetched_job(q, d, &f->items[i]);
		fetched_clear(&f->items[i]);
	}
	if (d != NULL) {
		d->fetching = false;
		d->idle_since = ev_now_ms();
		d->db_more = d->db_more || f->more; /* it may have been set meanwhile */
		d->next_look = f->next;
		if (q->draining) /* nobody will take them: the end need not wait for it */
			queue_dest_unload(q, d);
		queue_waiting_sweep(q, d);
		queue_dest_ring(q, d);
	}
	free(f->busy);
	free(f);
}

static const struct qop_class fetch_class = {"fetch", NULL, NULL, fetch_after, fetch_done};

void
queue_fetch(struct queue *q, struct qdest *d)
{
	const struct conf_transport *t = conf_transport_find(q->conf, d->transport);
	struct qop_fetch *f;
	struct retry_rule rule;

	if (d->fetching || d->sweeping || t == NULL)
		return;
	queue_rule(t, &rule);
	f = xcallocarray(1, sizeof(*f));
	f->op.class = &fetch_class;
	f->dest = d->id;
	f->busy = queue_dest_busy(d, &f->query.n_busy);
	f->query.busy = f->busy;
	f->query.dest = d->id;
	f->query.now = queue_now();
	f->query.max_ahead = retry_longest_ms(&rule) + 60000;
	f->query.max = d->fails > 0 ? 1 : FETCH_PAGE;
	d->fetching = true;
	d->db_more = false;
	q->count.fetches++;
	queue_push(q, &f->op);
}

/* ---- due destinations ------------------------------------------------------------------------ */

static void
scan_one(void *arg, const struct store_dest *d)
{
	struct qop_scan *s = arg;
	struct store_dest *out = &s->dests[s->n++];

	*out = *d;
	out->transport = xstrdup(d->transport);
	out->name = xstrdup(d->name);
	out->reason = xstrdup(d->reason);
}

static int
scan_after(struct qcommit *c, struct qop *op)
{
	struct qop_scan *s = (struct qop_scan *)op;
	unsigned n;

	if (queue_store_due_dests(
		c->store, s->after_due, s->after_id, s->now, s->max, scan_one, s, &n) == -1)
		return -1;
	return queue_store_next_dest_due(c->store, s->now, &s->next);
}

static void
scan_done(struct queue *q, struct qop *op)
{
	struct qop_scan *s = (struct qop_scan *)op;
	bool room = true;

	q->scanning = false;
	for (unsigned i = 0; i < s->n; i++) {
		struct store_dest *row = &s->dests[i];
		struct qtouch t = {row->id, row->transport, row->name, row->retry_at, row->fails};
		bool known = queue_dest_find(q, row->id) != NULL;
		struct qdest *d = !room ? NULL : queue_dest_load(q, &t);

		if (d == NULL) {
			room = false;
		} else {
			if (!known)
				d->reason = row->reason;
			else
				free(row->reason);
			row->reason = NULL;
			d->db_more = true;
			queue_dest_ring(q, d);
			q->scanned_due = row->next_due;
			q->scanned_id = row->id;
		}
		free(row->transport);
		free(row->name);
		free(row->reason);
	}
	if (!room) {
		q->next_scan = queue_now() + 1000;
	} else if (s->n == s->max) {
		q->next_scan = 0;
		queue_scan(q);
	} else {
		/* everything up to `now` is in memory; the next is due then */
		if (s->now > q->scanned_due) {
			q->scanned_due = s->now;
			q->scanned_id = UINT64_MAX >> 1;
		}
		q->next_scan = s->next;
	}
	free(s);
}

static const struct qop_class scan_class = {"schedule", NULL, NULL, scan_after, scan_done};

void
queue_scan(struct queue *q)
{
	struct qop_scan *s;

	if (q->scanning || q->n_dests >= DESTS_MAX)
		return;
	s = xcallocarray(1, sizeof(*s));
	s->op.class = &scan_class;
	s->after_due = q->scanned_due;
	s->after_id = q->scanned_id;
	s->now = queue_now();
	s->max = DEST_PAGE;
	q->scanning = true;
	queue_push(q, &s->op);
}

/* ---- idle destinations ----------------------------------------------------------------------- */

static int
settle_apply(struct qcommit *c, struct qop *op)
{
	struct qop_dest *s = (struct qop_dest *)op;

	return queue_store_dest_settle(c->store, s->dest, &s->next_due);
}

static void
settle_done(struct queue *q, struct qop *op)
{
	struct qop_dest *s = (struct qop_dest *)op;
	struct qdest *d = queue_dest_find(q, s->dest);

	if (d != NULL) {
		d->settling = false;
		if (d->n_jobs == 0 && !d->db_more && !d->fetching && !d->sweeping && !d->sweep_due)
			queue_dest_drop(q, d);
		else if (s->next_due < STORE_NEVER && s->next_due < d->next_look)
			d->next_look = s->next_due;
	}
	if (s->next_due < q->next_scan)
		q->next_scan = s->next_due;
	/* its row may now stand behind the place that was read last */
	if (s->next_due <= q->scanned_due) {
		q->scanned_due = s->next_due - 1;
		q->scanned_id = UINT64_MAX >> 1;
	}
	free(s);
}

static const struct qop_class settle_class = {"settle", NULL, settle_apply, NULL, settle_done};

void
queue_settle(struct queue *q, struct qdest *d)
{
	struct qop_dest *s = xcallocarray(1, sizeof(*s));

	s->op.class = &settle_class;
	s->dest = d->id;
	d->settling = true;
	queue_push(q, &s->op);
}
