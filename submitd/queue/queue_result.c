/* SPDX-License-Identifier: ISC */
/*
 * What deliver reports: one status per recipient becomes delivered, tried again, or
 * failed, is committed, and only then acknowledged to deliver. A destination that
 * cannot be reached is left alone for a while. result_apply runs on the commit
 * thread, all else on the event thread of process queue.
 */
#include "base/log.h"
#include "base/str.h"
#include "queue/queue_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- commit ---------------------------------------------------------------------------------- */

static int
add_history(struct qcommit *c, const struct qop_result *r, uint32_t i, enum outcome outcome)
{
	const struct qjob *j = r->job;
	const struct message *m = j->msg->m;
	char sender[ADDR_TEXT], rcpt[ADDR_TEXT];
	struct store_history h = {.time_ms = r->now,
	    .qid = j->qid,
	    .mid = m->mid,
	    .transport = j->dest->transport,
	    .dest = j->dest->name,
	    .mx = r->mx,
	    .outcome = outcome,
	    .status = &r->rcpts[i].status,
	    .attempts = r->attempts};

	addr_format(&m->sender, sender);
	addr_format(&m->rcpts[j->rcpts[i].index].addr, rcpt);
	h.sender = span_of(sender);
	h.rcpt = span_of(rcpt);
	return queue_store_add_history(c->store, &h);
}

/* One recipient. *gone: its row went. */
static int
apply_rcpt(struct qcommit *c, struct qop_result *r, uint32_t i, bool *gone)
{
	static const enum outcome outcomes[] = {[QFATE_DELIVERED] = OUTCOME_DELIVERED,
	    [QFATE_FAILED] = OUTCOME_FAILED,
	    [QFATE_EXPIRED] = OUTCOME_EXPIRED,
	    [QFATE_DISCARDED] = OUTCOME_DISCARDED};
	const struct qresult_rcpt *rr = &r->rcpts[i];
	struct store_rcpt_update u = {.id = r->job->rcpts[i].rid,
	    .state = RCPT_DONE,
	    .report = rr->report,
	    .attempts = r->attempts,
	    .time_ms = r->now,
	    .status = &rr->status};

	*gone = false;
	if (rr->fate == QFATE_RETRY || rr->hold) {
		u.state = rr->hold ? RCPT_HELD : RCPT_WAITING;
		r->owes |= rr->report == REPORT_DELAYED;
		return queue_store_update_rcpt(c->store, &u);
	}
	if (add_history(c, r, i, outcomes[rr->fate]) == -1)
		return -1;
	if (rr->report > REPORT_NONE) {
		r->owes = true;
		return queue_store_update_rcpt(c->store, &u);
	}
	*gone = true;
	return queue_store_del_rcpt(c->store, u.id);
}

static int
result_apply(struct qcommit *c, struct qop *op)
{
	struct qop_result *r = (struct qop_result *)op;
	const struct qjob *j = r->job;
	struct store_envelope env = j->env;
	struct store_freed freed;
	uint32_t n_gone = 0;
	bool gone;

	r->owes = r->waits = false;
	for (uint32_t i = 0; i < j->n_rcpts; i++) {
		if (apply_rcpt(c, r, i, &gone) == -1)
			return -1;
		n_gone += gone;
	}
	/* the job had all its rows, and all went: nothing need be read again */
	if (n_gone == j->n_rcpts && env.left == n_gone && env.n_rcpts == n_gone) {
		env.left = 0;
		if (queue_store_update_envelope(c->store, &env, j->msg->n_envs == 1, &freed) == -1)
			return -1;
		qcommit_freed(c, &freed);
		return 0;
	}
	return qcommit_reeval(c, j->qid, &r->next, &r->attempts, &r->waits);
}

static void
acknowledge(struct ipc_peer *p, uint64_t qid)
{
	struct ipc_job_ack ack = {.qid = qid};

	(void)ipc_send_job_ack(p, -1, &ack);
}

struct still_there {
	struct ipc_peer *peer;
	bool found;
};

static void
match_peer(struct ipc_peer *p, void *arg)
{
	struct still_there *s = arg;

	s->found |= p == s->peer;
}

static void
result_done(struct queue *q, struct qop *op)
{
	struct qop_result *r = (struct qop_result *)op;
	struct qjob *j = r->job;
	struct qdest *d = j->dest;
	struct still_there s = {.peer = r->peer};

	if (r->peer != NULL)
		ipc_role_each(ROLE_DELIVER, match_peer, &s);
	if (s.found)
		acknowledge(r->peer, j->qid);
	if (r->waits && r->next < d->next_look)
		d->next_look = r->next;
	if (j->after != QACTION_NONE) {
		struct qop_action *a = xcallocarray(1, sizeof(*a));
		a->action = j->after;
		a->qids = xcallocarray(1, sizeof(*a->qids));
		a->qids[a->n_qids++] = j->qid;
		a->user = j->after_user;
		j->after_user = NULL;
		queue_action_push(q, a);
	}
	uint64_t msg = j->msg->id;
	uint32_t n_env = j->msg->n_envs;
	bool owes = r->owes;
	queue_result_free(j, r);
	queue_job_free(q, j);
	if (owes)
		queue_report(q, msg, n_env);
	queue_dest_ring(q, d);
}

void
queue_result_free(struct qjob *j, struct qop_result *r)
{
	if (r == NULL)
		return;
	for (uint32_t i = 0; i < j->n_rcpts; i++)
		status_clear(&r->rcpts[i].status);
	free(r->mx);
	free(r);
}

static const struct qop_class result_class = {"result", NULL, result_apply, NULL, result_done};

/* ---- destinations ---------------------------------------------------------------------------- */

static int
backoff_apply(struct qcommit *c, struct qop *op)
{
	struct qop_dest *b = (struct qop_dest *)op;

	return queue_store_dest_backoff(c->store, b->dest, b->fails, b->retry_at, b->reason);
}

static void
backoff_done(struct queue *q, struct qop *op)
{
	struct qop_dest *b = (struct qop_dest *)op;

	(void)q;
	free(b->reason);
	free(b);
}

static const struct qop_class backoff_class = {"backoff", NULL, backoff_apply, NULL, backoff_done};

static void
dest_changed(struct queue *q, const struct qdest *d)
{
	struct qop_dest *b = xcallocarray(1, sizeof(*b));
	struct log_line l;

	b->op.class = &backoff_class;
	b->dest = d->id;
	b->fails = d->fails;
	b->retry_at = d->retry_at;
	b->reason = xstrdup(d->reason);
	queue_push(q, &b->op);
	log_begin(&l, d->fails > 0 ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, EV_DESTINATION);
	log_str(&l, LK_TRANSPORT, d->transport);
	log_str(&l, LK_DEST, d->name);
	log_str(&l, LK_STATE, d->fails > 0 ? "unreachable" : "reachable");
	if (d->fails > 0) {
		log_u64(&l, LK_COUNT, d->fails);
		log_i64(&l, LK_NEXT, (d->retry_at - queue_now()) / 1000);
		log_str(&l, LK_REASON, d->reason);
	}
	log_end(&l);
}

static void
dest_result(struct queue *q, struct qdest *d, const struct conf_transport *t, bool unreachable,
    const char *reason)
{
	struct retry_rule rule;
	int64_t now = queue_now();

	if (!unreachable) {
		if (d->fails == 0)
			return;
		d->fails = 0;
		d->retry_at = 0;
		free(d->reason);
		d->reason = NULL;
		d->db_more = true;
		dest_changed(q, d);
		return;
	}
	/* the others of the same wave say nothing new */
	if (t == NULL || (d->fails > 0 && d->retry_at > now))
		return;
	queue_rule(t, &rule);
	d->fails++;
	d->retry_at = now + retry_backoff_ms(&rule, d->fails);
	free(d->reason);
	d->reason = xstrdup(reason);
	dest_changed(q, d);
	d->sweep_due = true;
	queue_waiting_sweep(q, d);
}

/* ---- one result ------------------------------------------------------------------------------ */

static void
log_rcpt(const struct qjob *j, uint32_t i, const struct qop_result *r, enum log_event event)
{
	const struct qresult_rcpt *rr = &r->rcpts[i];
	char mid[UUID_TEXT], rcpt[ADDR_TEXT], esc[STATUS_ESC_TEXT];
	struct log_line l;

	log_begin(&l, LOG_LEVEL_INFO, event);
	if (!l.on)
		return;
	uuid_format(&j->msg->mid, mid);
	addr_format(&j->msg->m->rcpts[j->rcpts[i].index].addr, rcpt);
	status_esc(&rr->status, esc);
	log_str(&l, LK_MID, mid);
	log_u64(&l, LK_QID, j->qid);
	log_str(&l, LK_TO, rcpt);
	log_str(&l, LK_TRANSPORT, j->dest->transport);
	log_str(&l, LK_DEST, j->dest->name);
	log_u64(&l, LK_TRY, r->attempts);
	log_u64(&l, LK_CODE, rr->status.code);
	log_str(&l, LK_ESC, esc);
	log_str(&l, LK_REASON, rr->status.text);
	log_str(&l, LK_STATE,
	    rr->hold ? "held"
	    : rr->fate == QFATE_RETRY
		? "waiting"
		: queue_outcome_name(rr->fate == QFATE_EXPIRED     ? OUTCOME_EXPIRED
				     : rr->fate == QFATE_DISCARDED ? OUTCOME_DISCARDED
								   : OUTCOME_FAILED));
	if (rr->fate == QFATE_RETRY && !rr->hold)
		log_i64(&l, LK_NEXT, (r->next - r->now) / 1000);
	log_end(&l);
}

/* A recipient that will not be tried any more. */
static void
decide_end(const struct qjob *j, uint32_t i, struct qresult_rcpt *rr)
{
	const struct message *m = j->msg->m;
	enum retry_fate fate =
	    retry_fate_of(m->flags, addr_is_null(&m->sender), m->rcpts[j->rcpts[i].index].notify);

	rr->report = fate == FATE_REPORT ? REPORT_FAILED : REPORT_NONE;
	rr->hold = fate == FATE_HOLD;
	if (!rr->hold || rr->status.diagnosis != NULL)
		return;
	rr->status.diagnosis =
	    xstrdup(addr_is_null(&m->sender) ? "held: the null sender gets no report"
					     : "held: an unauthenticated sender gets no report");
}

static void
decide_success(const struct qjob *j, uint32_t i, bool dsn_relayed, struct qresult_rcpt *rr)
{
	const struct message *m = j->msg->m;

	rr->fate = QFATE_DELIVERED;
	/* RFC 3461, 5.2.2: a next hop without DSN cannot tell, so we do */
	if ((m->rcpts[j->rcpts[i].index].notify & NOTIFY_SUCCESS) != 0 && !dsn_relayed &&
	    !addr_is_null(&m->sender) && (m->flags & MSG_AUTHENTICATED) != 0)
		rr->report = REPORT_RELAYED;
}

static void
decide_temporary(struct qop_result *r, uint32_t i, const struct conf_transport *t)
{
	struct qjob *j = r->job;
	const struct message *m = j->msg->m;
	struct qresult_rcpt *rr = &r->rcpts[i];
	struct retry_rule rule;

	rr->report = j->rcpts[i].warned ? REPORT_WARNED : REPORT_NONE;
	if (t == NULL) /* the transport left the configuration: it waits for one */
		return;
	queue_rule(t, &rule);
	if (retry_gives_up(&rule, r->attempts, m->received_ms, r->now)) {
		rr->fate = rule.discard ? QFATE_DISCARDED : QFATE_EXPIRED;
		rr->report = REPORT_NONE;
		if (!rule.discard)
			decide_end(j, i, rr);
		return;
	}
	if (!j->rcpts[i].warned && !addr_is_null(&m->sender) &&
	    (m->flags & MSG_AUTHENTICATED) != 0 &&
	    retry_warns(&rule, m->rcpts[j->rcpts[i].index].notify, m->received_ms, r->now)) {
		j->rcpts[i].warned = true;
		rr->report = REPORT_DELAYED;
	}
}

static void
decide(struct queue *q, struct qop_result *r, uint32_t i, const struct conf_transport *t,
    bool dsn_relayed)
{
	struct qresult_rcpt *rr = &r->rcpts[i];

	switch (rr->status.verdict) {
	case V_OK:
		decide_success(r->job, i, dsn_relayed, rr);
		q->count.delivered++;
		return;
	case V_PERM:
		rr->fate = QFATE_FAILED;
		decide_end(r->job, i, rr);
		break;
	case V_TEMP:
	case V_NEXT:
	case V__MAX:
		decide_temporary(r, i, t);
		break;
	}
	q->count.held += rr->hold;
	q->count.deferred += rr->fate == QFATE_RETRY;
	q->count.failed += rr->fate == QFATE_FAILED;
	q->count.expired += rr->fate == QFATE_EXPIRED;
	q->count.discarded += rr->fate == QFATE_DISCARDED;
	log_rcpt(r->job, i, r,
	    rr->fate == QFATE_EXPIRED || rr->fate == QFATE_DISCARDED ? EV_EXPIRED : EV_QUEUE);
}

/* Statuses into the result, by recipient id. -1: rubbish. */
static int
read_statuses(struct span s, struct qop_result *r)
{
	struct qjob *j = r->job;
	struct rd rd;
	uint32_t n, at = 0;

	rd_init(&rd, s.p, s.n);
	n = rd_u32(&rd);
	for (uint32_t k = 0; k < n && !rd.bad; k++) {
		uint64_t rid = rd_u64(&rd);
		struct status st = {0};
		uint32_t tries = 0;

		if (status_decode(&rd, &st) == -1)
			return -1;
		/* they come in the order of the job: found at once */
		while (tries++ < j->n_rcpts && j->rcpts[at % j->n_rcpts].rid != rid)
			at++;
		at %= j->n_rcpts;
		if (j->rcpts[at].rid != rid) {
			status_clear(&st);
			return -1;
		}
		status_clear(&r->rcpts[at].status);
		r->rcpts[at].status = st;
		at++;
	}
	return rd_done(&rd) ? 0 : -1;
}

static void
give_back(struct queue *q, struct qjob *j)
{
	struct qdest *d = j->dest;
	struct qop_action *a = NULL;

	q->count.returned++;
	if (j->after != QACTION_NONE) {
		a = xcallocarray(1, sizeof(*a));
		a->action = j->after;
		a->qids = xcallocarray(1, sizeof(*a->qids));
		a->qids[a->n_qids++] = j->qid;
		a->user = j->after_user;
		j->after_user = NULL;
	}
	queue_job_free(q, j);
	if (a != NULL)
		queue_action_push(q, a);
	d->db_more = true;
	queue_dest_ring(q, d);
}

int
queue_on_job_res(struct ipc_peer *p, struct ipc_in *in)
{
	struct queue *q = queue_self();
	struct ipc_job_res res;
	struct qop_result *r;
	struct qjob *j;

	if (ipc_decode_job_res(in, &res) == -1 || res.dest_result >= DEST__MAX)
		return -1;
	j = queue_job_find(q, res.qid);
	if (j == NULL || j->state != QJOB_SENT || j->to == NULL || j->to->peer != p)
		return -1;
	q->count.results++;
	if (res.dest_result == DEST_NOT_TRIED) {
		acknowledge(p, j->qid);
		give_back(q, j);
		return 0;
	}
	const struct conf_transport *t = conf_transport_find(q->conf, j->dest->transport);
	struct qdest *d = j->dest;
	r = j->result;
	if (r == NULL)
		r = xcallocarray(1, sizeof(*r) + j->n_rcpts * sizeof(r->rcpts[0]));
	r->op.class = &result_class;
	r->job = j;
	j->result = r;
	if (read_statuses(res.statuses, r) == -1)
		return -1; /* the peer goes, and with it its jobs and this */
	if (res.more)
		return 0;
	j->result = NULL;
	queue_job_sent_back(q, j);
	j->state = QJOB_COMMITTING;
	r->peer = p;
	r->now = queue_now();
	r->attempts = j->env.attempts + 1;
	r->mx = span_dup(res.mx);
	r->next = r->now + 60000;
	if (t != NULL) {
		struct retry_rule rule;
		queue_rule(t, &rule);
		r->next = r->now + retry_delay_ms(&rule, r->attempts);
	}
	for (uint32_t i = 0; i < j->n_rcpts; i++)
		decide(q, r, i, t, res.dsn_relayed != 0);
	dest_result(q, d, t, res.dest_result == DEST_UNREACHABLE, r->rcpts[0].status.text);
	queue_push(q, &r->op);
	queue_dest_ring(q, d);
	return 0;
}
