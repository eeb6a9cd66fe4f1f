/* SPDX-License-Identifier: ISC */
/*
 * Messages that wait behind a destination which cannot be reached run out of time
 * without being tried themselves: after each vain try of the destination the oldest
 * of them are given up, in pages. expire_apply runs on the commit thread.
 */
#include "base/log.h"
#include "base/str.h"
#include "queue/queue_internal.h"

#include <stdlib.h>
#include <string.h>

#define MISSES 64u /* rows that are not yet over in a row: the rest is younger */

static int
expire_one(struct qcommit *c, struct qop_expire *x, const struct store_envelope *env,
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
	if (!found || env->next_ms > x->now || !retry_expired(&x->rule, m.received_ms, x->now))
		return 0;
	*expired = true;
	if (qcommit_end_envelope(c, env, &e, &owes) == -1)
		return -1;
	if (owes)
		qowed_add(&x->owed, &x->n_owed, env->msg, m.n_env);
	return 0;
}

static int
expire_apply(struct qcommit *c, struct qop *op)
{
	struct qop_expire *x = (struct qop_expire *)op;
	struct store_envelope *rows = xcallocarray(EXPIRE_PAGE, sizeof(*rows));
	struct status status = {0};
	unsigned n, misses = 0;
	bool expired;
	int rc = -1;

	status_set(&status, V_TEMP, 0, "4.4.1", "%s",
	    x->reason == NULL ? "The destination could not be reached" : x->reason);
	if (queue_store_dest_envelopes(
		c->store, x->dest, x->busy, x->n_busy, rows, EXPIRE_PAGE, &n) == -1)
		goto out;
	for (unsigned i = 0; i < n && misses < MISSES; i++) {
		if (expire_one(c, x, &rows[i], &status, &expired) == -1)
			goto out;
		misses = expired ? 0 : misses + 1;
		x->n_expired += expired;
	}
	rc = 0;
out:
	status_clear(&status);
	free(rows);
	return rc;
}

static void
expire_free(struct qop_expire *x)
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
expire_done(struct queue *q, struct qop *op)
{
	struct qop_expire *x = (struct qop_expire *)op;
	struct qdest *d = queue_dest_find(q, x->dest);
	const struct conf_transport *t = conf_transport_find(q->conf, x->transport);
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
		d->expiring = false;
		if (x->n_expired > 0 && t != NULL)
			queue_expire(q, d, t);
	}
	expire_free(x);
}

static const struct qop_class expire_class = {"expire", NULL, expire_apply, NULL, expire_done};

void
queue_expire(struct queue *q, struct qdest *d, const struct conf_transport *t)
{
	struct qop_expire *x;
	struct qjob *j, *next;

	if (d->expiring || d->fetching)
		return;
	/* nothing of it may be on its way to memory meanwhile */
	TAILQ_FOREACH_SAFE (j, &d->ready, entry, next)
		queue_job_free(q, j);
	d->db_more = true;
	x = xcallocarray(1, sizeof(*x));
	x->op.class = &expire_class;
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
	d->expiring = true;
	queue_push(q, &x->op);
}
