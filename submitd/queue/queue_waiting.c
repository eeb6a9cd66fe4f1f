/* SPDX-License-Identifier: ISC */
/*
 * Messages that wait behind a destination which cannot be reached grow old without being
 * tried themselves: after each vain try of the destination the oldest of them are given
 * up (S63), and the senders of others are told of the delay (D3), in pages. How far the
 * telling has come stands with the destination, so no row is looked at twice.
 * waiting_apply and what it calls run on the commit thread.
 */
#include "base/log.h"
#include "base/str.h"
#include "queue/queue_internal.h"

#include <stdlib.h>
#include <string.h>

#define MISSES 64u /* rows that are not yet over in a row: the rest is younger */

static int
expire_one(struct qcommit *c, struct qop_waiting *x, const struct store_envelope *env,
    const struct status *status, bool *expired)
{
	struct store_message m;
	struct qend e = {.outcome = x->rule.discard ? OUTCOME_DISCARDED : OUTCOME_EXPIRED,
	    .discard = x->rule.discard,
	    .only_waiting = true,
	    .transport = x->transport,
	    .dest = x->name,
	    .status = status,
	    .now = x->now};
	bool owes, found;

	*expired = false;
	if (queue_store_get_message(c->store, env->msg, &m, NULL, &found) == -1)
		return -1;
	if (!found || !retry_expired(&x->rule, m.received_ms, x->now))
		return 0;
	*expired = true;
	if (qcommit_end_envelope(c, env, &e, &owes) == -1)
		return -1;
	if (owes)
		qowed_add(&x->owed, &x->n_owed, env->msg, m.n_env);
	return 0;
}

static int
expire_page(struct qcommit *c, struct qop_waiting *x, const struct status *status,
    struct store_envelope *rows)
{
	struct store_waiting_query query = {.dest = x->dest,
	    .after = {INT64_MIN, 0},
	    .to = x->now,
	    .busy = x->busy,
	    .n_busy = x->n_busy,
	    .max = WAITING_PAGE};
	struct store_place last;
	unsigned n, misses = 0;
	bool expired;

	if (queue_store_waiting(c->store, &query, rows, &n, &last) == -1)
		return -1;
	for (unsigned i = 0; i < n && misses < MISSES; i++) {
		if (expire_one(c, x, &rows[i], status, &expired) == -1)
			return -1;
		misses = expired ? 0 : misses + 1;
		x->n_expired += expired;
	}
	return 0;
}

/* The recipients of one envelope whose sender wants to hear of the delay and has not yet. */
static int
warn_rcpts(struct qcommit *c, struct qop_waiting *x, const struct store_envelope *env,
    const struct store_message *m, const struct status *status)
{
	struct store_rcpt_row *rows = NULL;
	size_t n = 0;
	bool owes = false;
	int rc = 0;

	if (queue_store_rcpts(c->store, env, true, &rows, &n) == -1)
		return -1;
	for (size_t i = 0; i < n && rc == 0; i++) {
		const struct store_rcpt_row *r = &rows[i];
		struct store_rcpt_update u = {.id = r->id,
		    .state = RCPT_WAITING,
		    .report = REPORT_DELAYED,
		    .attempts = r->attempts,
		    .time_ms = r->time_ms != 0 ? r->time_ms : x->now,
		    .status = r->status.text != NULL ? &r->status : status};

		if (r->state != RCPT_WAITING || r->report != REPORT_NONE ||
		    !retry_warns(&x->rule, r->notify, m->received_ms, x->now))
			continue;
		rc = queue_store_update_rcpt(c->store, &u);
		owes = true;
	}
	queue_store_rcpts_free(rows, n);
	if (rc == 0 && owes)
		qowed_add(&x->owed, &x->n_owed, env->msg, m->n_env);
	return rc;
}

static int
warn_one(struct qcommit *c, struct qop_waiting *x, const struct store_envelope *env,
    const struct status *status)
{
	struct store_message m;
	struct buf sender = BUF_INIT;
	bool found, may;

	if (queue_store_get_message(c->store, env->msg, &m, &sender, &found) == -1) {
		buf_clear(&sender);
		return -1;
	}
	may = found && buf_len(&sender) > 0 && (m.flags & MSG_AUTHENTICATED) != 0;
	buf_clear(&sender);
	return may ? warn_rcpts(c, x, env, &m, status) : 0;
}

static int
warn_page(struct qcommit *c, struct qop_waiting *x, const struct status *status,
    struct store_envelope *rows)
{
	struct store_waiting_query query = {.dest = x->dest,
	    .to = x->now - retry_warn_ms(&x->rule),
	    .busy = x->busy, /* what is being tried tells of the delay with its own result */
	    .n_busy = x->n_busy,
	    .max = WAITING_PAGE};
	struct store_place last;
	unsigned n;

	if (queue_store_dest_warned(c->store, x->dest, &query.after) == -1 ||
	    queue_store_waiting(c->store, &query, rows, &n, &last) == -1)
		return -1;
	for (unsigned i = 0; i < n; i++)
		if (warn_one(c, x, &rows[i], status) == -1)
			return -1;
	x->more = n == WAITING_PAGE;
	if (last.qid == query.after.qid && last.next_ms == query.after.next_ms)
		return 0;
	return queue_store_dest_set_warned(c->store, x->dest, &last);
}

static int
waiting_apply(struct qcommit *c, struct qop *op)
{
	struct qop_waiting *x = (struct qop_waiting *)op;
	struct store_envelope *rows = xcallocarray(WAITING_PAGE, sizeof(*rows));
	struct status status = {0};
	int rc;

	x->n_expired = 0;
	x->n_owed = 0;
	x->more = false;
	status_set(&status, V_TEMP, 0, "4.4.1", "%s",
	    x->reason == NULL ? "The destination could not be reached" : x->reason);
	rc = expire_page(c, x, &status, rows);
	/* what is given up needs no warning: first all of that */
	if (rc == 0 && x->n_expired == 0 && x->rule.warn_min > 0)
		rc = warn_page(c, x, &status, rows);
	status_clear(&status);
	free(rows);
	return rc;
}

static void
waiting_free(struct qop_waiting *x)
{
	free(x->delays);
	free(x->busy);
	free(x->transport);
	free(x->name);
	free(x->reason);
	free(x->owed);
	free(x);
}

static void
waiting_done(struct queue *q, struct qop *op)
{
	struct qop_waiting *x = (struct qop_waiting *)op;
	struct qdest *d = queue_dest_find(q, x->dest);
	struct log_line l;

	q->count.expired += x->n_expired;
	if (x->n_expired > 0) {
		log_begin(&l, LOG_LEVEL_INFO, EV_EXPIRED);
		log_str(&l, LK_TRANSPORT, x->transport);
		log_str(&l, LK_DEST, x->name);
		log_u64(&l, LK_COUNT, x->n_expired);
		log_str(&l, LK_REASON, x->reason);
		log_end(&l);
	}
	queue_report_owed(q, x->owed, x->n_owed);
	if (d != NULL) {
		d->sweeping = false;
		d->sweep_due = x->n_expired > 0 || x->more;
		/* else at the next tick: reports are made no faster than pages are read */
		if (q->n_reports < REPORTS_MAX / 2)
			queue_waiting_sweep(q, d);
	}
	waiting_free(x);
}

static const struct qop_class waiting_class = {"waiting", NULL, waiting_apply, NULL, waiting_done};

void
queue_waiting_sweep(struct queue *q, struct qdest *d)
{
	const struct conf_transport *t = conf_transport_find(q->conf, d->transport);
	struct qop_waiting *x;
	struct qjob *j, *next;

	if (!d->sweep_due || d->sweeping || d->fetching)
		return;
	d->sweep_due = false;
	/* its turn comes before the rest: the next vain try goes on with that */
	if (t == NULL || t->paused || d->fails == 0 || d->retry_at <= queue_now() || q->draining)
		return;
	/* nothing of it may be on its way to memory meanwhile */
	TAILQ_FOREACH_SAFE (j, &d->ready, entry, next)
		queue_job_free(q, j);
	d->db_more = true;
	x = xcallocarray(1, sizeof(*x));
	x->op.class = &waiting_class;
	x->dest = d->id;
	queue_rule(t, &x->rule);
	x->delays = xcallocarray(x->rule.n_delays + 1, sizeof(*x->delays));
	memcpy(x->delays, x->rule.delay_min, x->rule.n_delays * sizeof(*x->delays));
	x->rule.delay_min = x->delays;
	x->now = queue_now();
	x->busy = queue_dest_busy(d, &x->n_busy);
	x->transport = xstrdup(d->transport);
	x->name = xstrdup(d->name);
	x->reason = xstrdup(d->reason);
	d->sweeping = true;
	queue_push(q, &x->op);
}
