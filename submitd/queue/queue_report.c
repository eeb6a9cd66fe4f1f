/* SPDX-License-Identifier: ISC */
/*
 * When a sender is told: recipients of one message that fail about together share
 * one report (D4). What is owed stands in the rows of the recipients, so a crash
 * forgets nothing and repeats nothing. Event thread of process queue; the report
 * itself is made in queue_dsn.c.
 */
#include "base/log.h"
#include "base/str.h"
#include "queue/queue_dsn.h"
#include "queue/queue_internal.h"

#include <stdlib.h>

/* Start, and after an overflow of the list: messages that a report is owed for. */
struct qop_owing {
	struct qop op;
	struct qowed v[REPORTS_MAX];
	unsigned n;
};

#define LOOK_AT_ONCE 64u /* siblings that are looked up without waiting for the tick */
#define AGAIN_MS 60000

static struct qreport *
report_find(struct queue *q, uint64_t msg)
{
	struct qreport *r;

	/* bounded by REPORTS_MAX; reports are rare */
	TAILQ_FOREACH (r, &q->reports, entry)
		if (r->msg == msg)
			return r;
	return NULL;
}

static bool
siblings_active(struct queue *q, const struct qreport *r)
{
	for (uint64_t qid = r->msg; qid < r->msg + r->n_env; qid++)
		if (queue_job_find(q, qid) != NULL)
			return true;
	return false;
}

static void
report_log(const struct qop_report *r)
{
	char mid[UUID_TEXT], new_mid[UUID_TEXT];
	struct log_line l;

	uuid_format(&r->original, mid);
	uuid_format(&r->mid, new_mid);
	log_begin(&l, r->hold_reason != NULL ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, EV_DSN);
	log_str(&l, LK_MID, mid);
	log_u64(&l, LK_RCPTS, r->n_rcpts);
	if (r->hold_reason != NULL) {
		log_str(&l, LK_STATE, "held");
		log_str(&l, LK_REASON, r->hold_reason);
	} else {
		log_str(&l, LK_NEW_MID, new_mid);
		log_u64(&l, LK_QID, r->qid);
		log_str(&l, LK_TO, r->sender);
	}
	log_end(&l);
}

static void
report_done(struct queue *q, struct qop *op)
{
	struct qop_report *o = (struct qop_report *)op;
	struct qreport *r = report_find(q, o->msg_id);

	q->n_running--;
	if (!op->no_space && o->n_rcpts > 0) {
		q->count.reports += o->hold_reason == NULL;
		q->count.held += o->hold_reason != NULL ? o->n_rcpts : 0;
		report_log(o);
	}
	if (!op->no_space)
		queue_sched_kick(q, &o->touched, false);
	if (r != NULL) {
		r->running = false;
		if (op->no_space || r->again) {
			r->deadline = ev_now_ms() + (op->no_space ? AGAIN_MS : 0);
			r->n_env = op->no_space ? 0 : r->n_env;
			r->again = false;
		} else {
			TAILQ_REMOVE(&q->reports, r, entry);
			q->n_reports--;
			free(r);
		}
	}
	queue_dsn_free(o);
	if (q->n_reports > 0 || q->owing_more)
		queue_reports_run(q);
}

static const struct qop_class report_class = {
    "report", queue_dsn_prepare, queue_dsn_apply, NULL, report_done};

static void
report_start(struct queue *q, struct qreport *r)
{
	struct qop_report *o = xcallocarray(1, sizeof(*o));

	r->running = true;
	q->n_running++;
	o->op.class = &report_class;
	o->msg_id = r->msg;
	uuid_make_v7(&o->mid);
	o->qid = queue_take_ids(&q->next_qid, 1);
	o->rid = queue_take_ids(&q->next_rid, 1);
	queue_push(q, &o->op);
}

static void
report_add(struct queue *q, uint64_t msg, uint32_t n_env)
{
	struct qreport *r = report_find(q, msg);

	if (r != NULL) {
		r->again = r->again || r->running;
		return;
	}
	if (q->n_reports >= REPORTS_MAX) {
		q->owing_more = true;
		return;
	}
	r = xcallocarray(1, sizeof(*r));
	r->msg = msg;
	r->n_env = n_env;
	r->deadline = ev_now_ms() + (n_env > 1 ? REPORT_WAIT_MS : 0);
	TAILQ_INSERT_TAIL(&q->reports, r, entry);
	q->n_reports++;
}

void
queue_report(struct queue *q, uint64_t msg, uint32_t n_env)
{
	struct qreport *r;

	report_add(q, msg, n_env);
	r = report_find(q, msg);
	if (r == NULL || r->running || q->n_running >= REPORTS_RUNNING)
		return;
	if (n_env <= 1 || (n_env <= LOOK_AT_ONCE && !siblings_active(q, r)))
		report_start(q, r);
}

void
queue_report_owed(struct queue *q, struct qowed *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		report_add(q, v[i].msg, v[i].n_env);
	queue_reports_run(q);
}

/* ---- what is owed from before ---------------------------------------------------------------- */

static int
owing_after(struct qcommit *c, struct qop *op)
{
	struct qop_owing *o = (struct qop_owing *)op;
	uint64_t ids[REPORTS_MAX];

	if (queue_store_owing(c->store, ids, REPORTS_MAX, &o->n) == -1)
		return -1;
	for (unsigned i = 0; i < o->n; i++)
		o->v[i] = (struct qowed){ids[i], 1};
	return 0;
}

static void
owing_done(struct queue *q, struct qop *op)
{
	struct qop_owing *o = (struct qop_owing *)op;

	q->owing_asked = false;
	q->owing_more = o->n == REPORTS_MAX;
	queue_report_owed(q, o->v, o->n);
	free(o);
}

static const struct qop_class owing_class = {"owing", NULL, NULL, owing_after, owing_done};

void
queue_reports_recover(struct queue *q)
{
	struct qop_owing *o;

	if (q->owing_asked)
		return;
	o = xcallocarray(1, sizeof(*o));
	o->op.class = &owing_class;
	q->owing_asked = true;
	queue_push(q, &o->op);
}

void
queue_reports_run(struct queue *q)
{
	struct qreport *r, *next;
	int64_t now = ev_now_ms();

	TAILQ_FOREACH_SAFE (r, &q->reports, entry, next) {
		if (q->n_running >= REPORTS_RUNNING)
			return;
		if (r->running)
			continue;
		if (now >= r->deadline || (r->n_env > 1 && !siblings_active(q, r)))
			report_start(q, r);
	}
	if (q->owing_more && q->n_reports == 0)
		queue_reports_recover(q);
}
