/* SPDX-License-Identifier: ISC */
/*
 * What operators do to envelopes: retry, hold, release, remove, bounce. The rows are
 * changed on the commit thread by qid; envelopes that are being delivered are asked
 * back first and changed when deliver has answered. Process queue.
 */
#include "base/log.h"
#include "base/str.h"
#include "queue/queue_internal.h"

#include <stdlib.h>
#include <string.h>

#define POSTPONE_MS 10000 /* a body that could not be read is read again then */

void
qowed_add(struct qowed **v, size_t *n, uint64_t msg, uint32_t n_env)
{
	if (*n > 0 && (*v)[*n - 1].msg == msg)
		return;
	*v = xreallocarray(*v, *n + 1, sizeof(**v));
	(*v)[(*n)++] = (struct qowed){msg, n_env};
}

/* ---- on the commit thread -------------------------------------------------------------------- */

static int
end_rcpt(struct qcommit *c, const struct store_message *m, struct span sender, uint64_t qid,
    const struct store_rcpt_row *r, const struct qend *e, bool *owes)
{
	enum retry_fate fate =
	    e->discard ? FATE_DROP : retry_fate_of(m->flags, sender.n == 0, r->notify);
	const struct status *status = e->status != NULL ? e->status : &r->status;
	struct store_rcpt_update u = {.id = r->id,
	    .state = fate == FATE_HOLD ? RCPT_HELD : RCPT_DONE,
	    .report = fate == FATE_REPORT ? REPORT_FAILED : REPORT_NONE,
	    .attempts = r->attempts,
	    .time_ms = r->time_ms != 0 ? r->time_ms : e->now,
	    .status = status};
	struct store_history h = {.time_ms = e->now,
	    .qid = qid,
	    .mid = m->mid,
	    .sender = sender,
	    .rcpt = span_of(r->addr),
	    .transport = e->transport,
	    .dest = e->dest,
	    .outcome = e->outcome,
	    .status = status,
	    .attempts = r->attempts};

	if (fate != FATE_HOLD && queue_store_add_history(c->store, &h) == -1)
		return -1;
	if (fate == FATE_DROP)
		return queue_store_del_rcpt(c->store, r->id);
	*owes = *owes || fate == FATE_REPORT;
	return queue_store_update_rcpt(c->store, &u);
}

int
qcommit_end_envelope(
    struct qcommit *c, const struct store_envelope *env, const struct qend *e, bool *owes)
{
	struct store_message m;
	struct store_rcpt_row *rows = NULL;
	struct buf sender = BUF_INIT;
	size_t n = 0;
	bool found;
	int rc = -1;

	*owes = false;
	if (queue_store_get_message(c->store, env->msg, &m, &sender, &found) == -1)
		goto out;
	if (found && queue_store_rcpts(c->store, env, true, &rows, &n) == -1)
		goto out;
	for (size_t i = 0; i < n; i++) {
		if (rows[i].state == RCPT_DONE)
			continue;
		if (e->only_waiting && rows[i].state == RCPT_HELD)
			continue;
		if (end_rcpt(c, &m, buf_span(&sender), env->qid, &rows[i], e, owes) == -1)
			goto out;
	}
	rc = found ? qcommit_reeval(c, env->qid, NULL, NULL, NULL) : 0;
out:
	queue_store_rcpts_free(rows, n);
	buf_clear(&sender);
	return rc;
}

static int
set_rcpts(struct qcommit *c, const struct store_envelope *env, enum rcpt_state from,
    enum rcpt_state to, const char *reason)
{
	struct store_rcpt_row *rows = NULL;
	size_t n = 0;
	int rc = 0;

	if (queue_store_rcpts(c->store, env, false, &rows, &n) == -1)
		return -1;
	for (size_t i = 0; i < n && rc == 0; i++) {
		if (rows[i].state != from)
			continue;
		if (reason == NULL) {
			rc = queue_store_set_rcpt(c->store, rows[i].id, to, rows[i].report);
			continue;
		}
		struct status st = {0};
		struct store_rcpt_update u = {.id = rows[i].id,
		    .state = to,
		    .report = rows[i].report,
		    .attempts = rows[i].attempts,
		    .time_ms = rows[i].time_ms,
		    .status = &st};
		status_set(&st, V_TEMP, 0, "4.3.0", "%s", reason);
		rc = queue_store_update_rcpt(c->store, &u);
		status_clear(&st);
	}
	queue_store_rcpts_free(rows, n);
	return rc;
}

/*
 * NULL: there is none. An error must end the transaction: SQLite may have undone it, and
 * what came next would stand alone.
 */
static int
find_dest(struct qcommit *c, uint64_t id, const struct store_dest **out)
{
	*out = queue_store_dest_by_id(c->store, id);
	return *out == NULL && queue_store_error(c->store)[0] != '\0' ? -1 : 0;
}

/* Not now, and no attempt is counted. */
static int
make_later(struct qcommit *c, struct qop_action *a, uint64_t qid, uint64_t dest)
{
	int64_t later = a->now + POSTPONE_MS;
	const struct store_dest *d;

	if (qcommit_reeval(c, qid, &later, NULL, NULL) == -1 ||
	    queue_store_dest_due(c->store, dest, later) == -1 || find_dest(c, dest, &d) == -1)
		return -1;
	if (d != NULL)
		qtouch_add(&a->touched, d);
	return 0;
}

/* Due at once, and its destination too. */
static int
make_due(struct qcommit *c, const struct qop_action *a, uint64_t qid, uint64_t dest,
    struct qtouch_list *touched)
{
	const struct store_dest *d;

	if (qcommit_reeval(c, qid, &a->now, NULL, NULL) == -1 ||
	    queue_store_dest_backoff(c->store, dest, 0, 0, NULL) == -1 ||
	    queue_store_dest_due(c->store, dest, a->now) == -1 || find_dest(c, dest, &d) == -1)
		return -1;
	if (d != NULL)
		qtouch_add(touched, d);
	return 0;
}

static int
end_by_hand(struct qcommit *c, struct qop_action *a, const struct store_envelope *env)
{
	const struct store_dest *d;
	struct status st = {0};
	struct store_message m;
	struct qend e = {.outcome = OUTCOME_BOUNCED, .now = a->now};
	bool owes, found;
	int rc;

	if (find_dest(c, env->dest, &d) == -1)
		return -1;
	if (d != NULL) {
		e.transport = d->transport;
		e.dest = d->name;
	}
	if (a->action == QACTION_REMOVE) {
		e.outcome = OUTCOME_REMOVED;
		e.discard = true;
	}
	status_set(&st, V_PERM, 0, "5.0.0", "%s by the administrator%s%s%s",
	    a->action == QACTION_REMOVE ? "Removed from the queue" : "Returned to the sender",
	    a->user == NULL ? "" : " (", a->user == NULL ? "" : a->user,
	    a->user == NULL ? "" : ")");
	e.status = &st;
	rc = queue_store_get_message(c->store, env->msg, &m, NULL, &found);
	if (rc == 0)
		rc = qcommit_end_envelope(c, env, &e, &owes);
	if (rc == 0 && owes && found)
		qowed_add(&a->owed, &a->n_owed, env->msg, m.n_env);
	status_clear(&st);
	return rc;
}

static int
act_one(struct qcommit *c, struct qop_action *a, uint64_t qid)
{
	struct store_envelope env;
	bool found;

	if (queue_store_get_envelope(c->store, qid, &env, &found) == -1)
		return -1;
	if (!found || (env.state == ENV_DONE && a->action != QACTION_NONE))
		return 0;
	switch (a->action) {
	case QACTION_NONE:
		return 0;
	case QACTION_RETRY:
		if (env.state != ENV_WAITING)
			return 0;
		a->count++;
		return make_due(c, a, qid, env.dest, &a->touched);
	case QACTION_POSTPONE:
		if (env.state != ENV_WAITING)
			return 0;
		return make_later(c, a, qid, env.dest);
	case QACTION_HOLD:
		if (env.state != ENV_WAITING)
			return 0;
		a->count++;
		if (set_rcpts(c, &env, RCPT_WAITING, RCPT_HELD, a->reason) == -1)
			return -1;
		return qcommit_reeval(c, qid, NULL, NULL, NULL);
	case QACTION_RELEASE:
		if (set_rcpts(c, &env, RCPT_HELD, RCPT_WAITING, NULL) == -1)
			return -1;
		a->count += env.state == ENV_HELD;
		return make_due(c, a, qid, env.dest, &a->touched);
	case QACTION_REMOVE:
	case QACTION_BOUNCE:
		a->count++;
		return end_by_hand(c, a, &env);
	}
	return 0;
}

static int
action_apply(struct qcommit *c, struct qop *op)
{
	struct qop_action *a = (struct qop_action *)op;

	a->count = a->n_active;
	a->n_owed = 0;
	qtouch_clear(&a->touched);
	for (size_t i = 0; i < a->n_qids; i++)
		if (act_one(c, a, a->qids[i]) == -1)
			return -1;
	return 0;
}

/* ---- on the event thread --------------------------------------------------------------------- */

static void
action_done(struct queue *q, struct qop *op)
{
	struct qop_action *a = (struct qop_action *)op;

	queue_sched_kick(q, &a->touched, true);
	queue_report_owed(q, a->owed, a->n_owed);
	if (a->ctl != NULL)
		queue_ctl_action_done(q, a);
	qtouch_clear(&a->touched);
	free(a->owed);
	free(a->qids);
	free(a->user);
	free(a->reason);
	free(a);
}

static const struct qop_class action_class = {"action", NULL, action_apply, NULL, action_done};

/* Active ones are asked back; what they become is decided when they are back. True: it is active.
 */
static bool
active_later(struct queue *q, const struct qop_action *a, uint64_t qid)
{
	struct qjob *j = queue_job_find(q, qid);
	struct ipc_job_cancel cancel = {.qid = qid};

	if (j == NULL)
		return false;
	if (a->action == QACTION_RETRY)
		return true; /* it is being tried */
	if (j->state == QJOB_READY) {
		j->dest->db_more = true;
		queue_job_free(q, j);
		return false;
	}
	j->after = a->action;
	free(j->after_user);
	j->after_user = xstrdup(a->user);
	if (j->state == QJOB_SENT && j->to != NULL)
		(void)ipc_send_job_cancel(j->to->peer, -1, &cancel);
	return true;
}

void
queue_action_push(struct queue *q, struct qop_action *a)
{
	size_t kept = 0;

	for (size_t i = 0; i < a->n_qids; i++) {
		if (active_later(q, a, a->qids[i]))
			a->n_active++;
		else
			a->qids[kept++] = a->qids[i];
	}
	a->n_qids = kept;
	a->op.class = &action_class;
	a->now = queue_now();
	queue_push(q, &a->op);
}
