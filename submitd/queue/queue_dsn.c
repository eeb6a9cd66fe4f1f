/* SPDX-License-Identifier: ISC */
/*
 * Makes a delivery status notification out of the rows that owe one, and puts it
 * into the queue in the transaction that settles them (D1 to D4). Commit thread of
 * process queue. It never reports to a null sender: such recipients are held before
 * they come here, and where no report can be made they are held here.
 */
#include "queue/queue_dsn.h"

#include "base/str.h"
#include "mail/dsn_report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX (1u << 20) /* read to find the end of the header */

/* All that prepare collects before it builds. */
struct gathered {
	struct store_message row;
	struct message *original;
	struct buf head, text;
	struct store_rcpt_row *rows; /* those that are owed for */
	uint64_t *row_qid;
	size_t n, cap;
};

static void
gathered_clear(struct gathered *g)
{
	message_free(g->original);
	buf_clear(&g->head);
	buf_clear(&g->text);
	queue_store_rcpts_free(g->rows, g->n);
	free(g->row_qid);
}

void
queue_dsn_free(struct qop_report *r)
{
	message_free(r->m);
	buf_clear(&r->head);
	buf_clear(&r->body);
	free(r->rcpts);
	qtouch_clear(&r->touched);
	free(r);
}

static int
gather_envelope(struct qcommit *c, struct gathered *g, uint64_t qid)
{
	struct store_envelope env;
	struct store_rcpt_row *rows = NULL;
	size_t n = 0;
	bool found;

	if (queue_store_get_envelope(c->store, qid, &env, &found) == -1)
		return -1;
	if (!found)
		return 0;
	if (queue_store_rcpts(c->store, &env, true, &rows, &n) == -1)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (rows[i].report <= REPORT_NONE) {
			status_clear(&rows[i].status);
			free(rows[i].addr);
			continue;
		}
		if (g->n == g->cap) {
			g->cap = g->cap == 0 ? 4 : g->cap * 2;
			g->rows = xreallocarray(g->rows, g->cap, sizeof(*g->rows));
			g->row_qid = xreallocarray(g->row_qid, g->cap, sizeof(*g->row_qid));
		}
		g->row_qid[g->n] = qid;
		g->rows[g->n++] = rows[i]; /* takes its texts */
	}
	free(rows);
	return 0;
}

/* The header block of what was read, or all of it. */
static struct span
original_part(const struct gathered *g, bool full)
{
	struct span all = buf_span(&g->text);
	const char *end;

	if (full)
		return all;
	end = memmem(all.p, all.n, "\r\n\r\n", 4);
	if (end != NULL)
		return (struct span){all.p, (size_t)(end - all.p) + 2};
	return all;
}

static enum dsn_action
action_of(enum rcpt_report report)
{
	switch (report) {
	case REPORT_DELIVERED:
		return DSN_DELIVERED;
	case REPORT_RELAYED:
		return DSN_RELAYED;
	case REPORT_DELAYED:
		return DSN_DELAYED;
	case REPORT_FAILED:
	case REPORT_NONE:
	case REPORT_WARNED:
		break;
	}
	return DSN_FAILED;
}

static bool
has_8bit(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((uint8_t)s.p[i] >= 0x80)
			return true;
	return false;
}

static int64_t
retried_until(const struct conf *conf, const struct message *m, const struct rcpt *r)
{
	const struct conf_transport *t = conf_transport_find(conf, r->transport);
	struct retry_rule rule;

	if (t == NULL)
		return 0;
	queue_rule(t, &rule);
	return m->received_ms + retry_life_ms(&rule);
}

static void
build(struct qop_report *r, const struct gathered *g, const struct conf *conf, int64_t now)
{
	const struct message *m = g->original;
	struct dsn_rcpt *list = xcallocarray(g->n, sizeof(*list));
	bool failed = false, utf8 = false;
	char postmaster[512];
	struct dsn_options o = {.hostname = conf->server->hostname, .mid = r->mid, .now_ms = now};

	(void)str_printf(postmaster, sizeof(postmaster), "postmaster@%s", conf->server->hostname);
	o.postmaster = conf->server->postmaster != NULL ? conf->server->postmaster : postmaster;
	for (size_t i = 0; i < g->n; i++) {
		const struct rcpt *rcpt = &m->rcpts[g->rows[i].index];
		list[i] = (struct dsn_rcpt){.rcpt = rcpt,
		    .action = action_of(g->rows[i].report),
		    .status = &g->rows[i].status,
		    .qid = g->row_qid[i],
		    .last_attempt_ms = g->rows[i].time_ms};
		if (list[i].action == DSN_DELAYED)
			list[i].will_retry_until_ms = retried_until(conf, m, rcpt);
		failed = failed || list[i].action == DSN_FAILED;
	}
	/* RFC 3461, 4.3: RET concerns failures only */
	o.original_full = failed && m->ret == RET_FULL && buf_len(&g->text) == g->row.ref.body_len;
	o.original = original_part(g, o.original_full);
	o.original_has_8bit = has_8bit(o.original);
	dsn_report_build(&r->body, m, list, g->n, &o, &utf8);
	free(list);
	r->m = message_new();
	r->m->mid = r->mid;
	r->m->received_ms = now;
	r->m->sid = m->sid;
	r->m->flags = MSG_IS_DSN | (utf8 ? MSG_SMTPUTF8 | MSG_UTF8_NEEDED : 0) |
	              (has_8bit(buf_span(&r->body)) ? MSG_8BITMIME : 0);
	r->m->size = buf_len(&r->body);
	r->m->listener = xstrdup(m->listener);
}

/* Where the report goes: as mail to the sender's domain would. NULL, or why it cannot go. */
static const char *
route(struct qop_report *r, const struct message *original, const struct conf *conf)
{
	bool is_any = false;
	const struct conf_domain *d =
	    conf_domain_route(conf, original->listener == NULL ? "" : original->listener,
		original->sender.ascii_domain, &is_any);
	struct rcpt *rcpt;

	if (d == NULL || d->transport_block == NULL)
		return "there is no route to the sender's domain for a report";
	rcpt = message_add_rcpt(r->m);
	rcpt->addr = original->sender;
	rcpt->transport = xstrdup(d->transport_block->title);
	rcpt->dest = xstrdup(d->transport_block->is_mx ? original->sender.ascii_domain : "");
	rcpt->id = r->rid;
	return NULL;
}

static const char *
make_report(struct qcommit *c, struct qop_report *r, struct gathered *g)
{
	const char *why;
	uint64_t want = g->row.ref.body_len <= REPORT_FULL_MAX ? REPORT_FULL_MAX : HEADERS_MAX;

	if (queue_body_read(c->reader, &g->row.mid, &g->row.ref, &g->head, &g->text, want) == -1) {
		/* an error of the disk or of this process may pass: the report is made later */
		if (errno != EBADMSG && errno != ENOENT) {
			r->n_rcpts = 0;
			r->op.no_space = true;
			return NULL;
		}
		return "the original message cannot be read for a report";
	}
	g->original = message_decode(buf_span(&g->head));
	if (g->original == NULL)
		return "the original message is damaged";
	for (size_t i = 0; i < g->n; i++)
		if (g->rows[i].index >= g->original->n_rcpts)
			return "the original message is damaged";
	if (addr_is_null(&g->original->sender))
		return "the null sender gets no report";
	addr_format(&g->original->sender, r->sender);
	pthread_mutex_lock(&c->q->conf_lock);
	build(r, g, c->q->conf, c->now);
	why = route(r, g->original, c->q->conf);
	pthread_mutex_unlock(&c->q->conf_lock);
	if (why != NULL)
		return why;
	message_encode(&r->head, r->m);
	r->put = (struct body_put){
	    .mid = r->mid, .qid = r->qid, .head = buf_span(&r->head), .body = buf_span(&r->body)};
	r->op.put = &r->put;
	return NULL;
}

int
queue_dsn_prepare(struct qcommit *c, struct qop *op)
{
	struct qop_report *r = (struct qop_report *)op;
	struct gathered g = {0};
	bool found;
	int rc = 0;

	if (queue_store_get_message(c->store, r->msg_id, &g.row, NULL, &found) == -1)
		return -1;
	for (uint64_t i = 0; found && rc == 0 && i < g.row.n_env; i++)
		rc = gather_envelope(c, &g, r->msg_id + i);
	if (rc == 0 && g.n > 0) {
		r->original = g.row.mid;
		r->rcpts = xcallocarray(g.n, sizeof(*r->rcpts));
		for (size_t i = 0; i < g.n; i++)
			r->rcpts[r->n_rcpts++] =
			    (struct qreport_rcpt){g.rows[i].id, g.row_qid[i], g.rows[i].report};
		r->hold_reason = make_report(c, r, &g);
	}
	gathered_clear(&g);
	return rc;
}

/* ---- in the transaction ---------------------------------------------------------------------- */

static int
settle_rcpt(struct qcommit *c, const struct qop_report *r, const struct qreport_rcpt *rr)
{
	if (rr->report == REPORT_DELAYED)
		return queue_store_warned_rcpt(c->store, rr->rid);
	if (r->hold_reason != NULL && rr->report == REPORT_FAILED)
		return queue_store_set_rcpt(c->store, rr->rid, RCPT_HELD, REPORT_NONE);
	return queue_store_del_rcpt(c->store, rr->rid);
}

static int
insert_report(struct qcommit *c, struct qop_report *r)
{
	uint32_t order = 0;
	struct qenv env = {.qid = r->qid, .first_rid = r->rid, .n = 1};
	struct qmsg msg = {
	    .id = r->qid, .mid = r->mid, .m = r->m, .order = &order, .envs = &env, .n_envs = 1};
	const struct store_dest *d;

	if (qcommit_insert(c, &msg, &r->put.ref) == -1)
		return -1;
	d = queue_store_dest_by_id(c->store, env.dest);
	if (d == NULL)
		return -1;
	qtouch_add(&r->touched, d);
	return 0;
}

int
queue_dsn_apply(struct qcommit *c, struct qop *op)
{
	struct qop_report *r = (struct qop_report *)op;

	if (r->n_rcpts == 0)
		return 0;
	for (size_t i = 0; i < r->n_rcpts; i++)
		if (settle_rcpt(c, r, &r->rcpts[i]) == -1)
			return -1;
	for (size_t i = 0; i < r->n_rcpts; i++) {
		if (i > 0 && r->rcpts[i].qid == r->rcpts[i - 1].qid)
			continue;
		if (qcommit_reeval(c, r->rcpts[i].qid, NULL, NULL, NULL) == -1)
			return -1;
	}
	return r->hold_reason == NULL ? insert_report(c, r) : 0;
}
