/* SPDX-License-Identifier: ISC */
/*
 * Messages coming in: offers of the fronts are put together, grouped by destination,
 * committed once per mid however often they are offered, and answered after the
 * commit. Event thread of process queue, but for the two steps named accept_prepare
 * and accept_apply. Everything from a front is hostile until decoded.
 */
#include "base/log.h"
#include "base/str.h"
#include "queue/queue_audit.h"
#include "queue/queue_internal.h"

#include <stdlib.h>
#include <string.h>

#define MID_PLACES 4096u /* chains of messages being offered or committed */

/* ---- messages -------------------------------------------------------------------------------- */

struct qmsg *
qmsg_new(const struct uuid *mid)
{
	struct qmsg *m = xcallocarray(1, sizeof(*m));

	m->refs = 1;
	m->mid = *mid;
	return m;
}

void
qmsg_unref(struct queue *q, struct qmsg *m)
{
	if (m == NULL || --m->refs > 0)
		return;
	if (m->fresh_bytes > 0) {
		q->fresh_bytes -= m->fresh_bytes;
		q->fresh_messages--;
	}
	message_free(m->m);
	buf_clear(&m->head);
	buf_clear(&m->body);
	free(m->order);
	free(m->envs);
	free(m);
}

static int
rcpt_compare(const void *a, const void *b, void *arg)
{
	const struct rcpt *rcpts = arg, *x, *y;
	uint32_t i, k;
	int rc;

	memcpy(&i, a, sizeof(i));
	memcpy(&k, b, sizeof(k));
	x = &rcpts[i];
	y = &rcpts[k];
	rc = strcmp(x->transport, y->transport);
	if (rc == 0)
		rc = strcmp(x->dest, y->dest);
	return rc != 0 ? rc : i < k ? -1 : i > k;
}

void
qmsg_group(struct queue *q, struct qmsg *msg)
{
	struct message *m = msg->m;
	size_t n = m->n_rcpts;
	uint64_t rid = queue_take_ids(&q->next_rid, n);

	msg->order = xcallocarray(n, sizeof(*msg->order));
	for (size_t i = 0; i < n; i++)
		msg->order[i] = (uint32_t)i;
	if (n > 1)
		qsort_r(msg->order, n, sizeof(*msg->order), rcpt_compare, m->rcpts);
	msg->n_envs = 0;
	for (size_t i = 0; i < n; i++) {
		const struct rcpt *r = &m->rcpts[msg->order[i]];
		const struct rcpt *prev = i == 0 ? NULL : &m->rcpts[msg->order[i - 1]];
		if (prev == NULL || strcmp(prev->transport, r->transport) != 0 ||
		    strcmp(prev->dest, r->dest) != 0)
			msg->n_envs++;
		m->rcpts[msg->order[i]].id = rid + i;
	}
	msg->envs = xcallocarray(msg->n_envs, sizeof(*msg->envs));
	msg->id = queue_take_ids(&q->next_qid, msg->n_envs);
	struct qenv *e = NULL;
	for (size_t i = 0, k = 0; i < n; i++) {
		const struct rcpt *r = &m->rcpts[msg->order[i]];
		const struct rcpt *prev = i == 0 ? NULL : &m->rcpts[msg->order[i - 1]];
		if (e == NULL || strcmp(prev->transport, r->transport) != 0 ||
		    strcmp(prev->dest, r->dest) != 0) {
			e = &msg->envs[k];
			e->qid = msg->id + k++;
			e->first = (uint32_t)i;
			e->first_rid = rid + i;
		}
		e->n++;
	}
}

/* ---- messages being offered, by mid ---------------------------------------------------------- */

static struct qmsg **
mid_chain(struct queue *q, const struct uuid *mid)
{
	uint32_t h;

	if (q->by_mid == NULL)
		q->by_mid = xcallocarray(MID_PLACES, sizeof(*q->by_mid));
	memcpy(&h, mid->b + 12, sizeof(h)); /* the random end of a UUID */
	return &q->by_mid[h & (MID_PLACES - 1)];
}

struct qmsg *
queue_offer_find(struct queue *q, const struct uuid *mid)
{
	struct qmsg *m = *mid_chain(q, mid);

	while (m != NULL && !uuid_equal(&m->mid, mid))
		m = m->next_by_mid;
	return m;
}

static void
mid_add(struct queue *q, struct qmsg *m)
{
	struct qmsg **chain = mid_chain(q, &m->mid);

	m->next_by_mid = *chain;
	*chain = m;
	q->n_by_mid++;
}

static void
mid_remove(struct queue *q, struct qmsg *m)
{
	struct qmsg **at = mid_chain(q, &m->mid);

	while (*at != m)
		at = &(*at)->next_by_mid;
	*at = m->next_by_mid;
	q->n_by_mid--;
}

static void
pause_one(struct ipc_peer *p, void *arg)
{
	const bool *pause = arg;

	ipc_peer_pause(p, *pause);
}

/* Back-pressure: above the bound the fronts are not read until commits have caught up. */
static void
offer_bytes_change(struct queue *q, struct qmsg *m, size_t now)
{
	bool pause;

	q->offer_bytes = q->offer_bytes - m->offer_bytes + now;
	m->offer_bytes = now;
	/* counts what is being committed only: unfinished offers need reading to become less */
	pause = q->paused ? q->offer_bytes > OFFER_BYTES / 2 : q->offer_bytes > OFFER_BYTES;
	if (pause == q->paused)
		return;
	q->paused = pause;
	ipc_role_each(ROLE_FRONT, pause_one, &pause);
}

static void
answer(struct ipc_peer *p, const struct uuid *mid, unsigned code, const char *esc, const char *text)
{
	struct ipc_msg_res res = {.mid = {(const char *)mid->b, sizeof(mid->b)},
	    .code = (uint16_t)code,
	    .esc = span_of(esc),
	    .text = span_of(text)};

	if (p != NULL)
		(void)ipc_send_msg_res(p, -1, &res);
}

static void
offer_end(struct queue *q, struct qmsg *m)
{
	mid_remove(q, m);
	if (m->committing)
		offer_bytes_change(q, m, 0);
	else
		q->partial_bytes -= buf_len(&m->head) + buf_len(&m->body);
	m->from = NULL;
	m->committing = false;
}

/* ---- commit ---------------------------------------------------------------------------------- */

static int
accept_prepare(struct qcommit *c, struct qop *op)
{
	struct qop_accept *a = (struct qop_accept *)op;

	/* a large one was asked for before its file was touched: queue_maint.c */
	if (!a->known && queue_store_knows_mid(c->store, &a->msg->mid, &a->known) == -1)
		return -1;
	op->no_space = op->no_space && !a->known;
	op->brings_mail = !a->known;
	if (a->known || op->no_space)
		return 0;
	if (a->msg->large)
		c->sync_big = true;
	else
		op->put = &a->put;
	return 0;
}

static int
accept_apply(struct qcommit *c, struct qop *op)
{
	struct qop_accept *a = (struct qop_accept *)op;

	if (a->known || a->bad_file)
		return 0;
	if (qcommit_insert(c, a->msg, &a->put.ref) == -1)
		return -1;
	return a->audit ? qcommit_audit_add(c, a->msg->m) : 0;
}

static void
accept_done(struct queue *q, struct qop *op)
{
	struct qop_accept *a = (struct qop_accept *)op;
	struct qmsg *m = a->msg;
	struct ipc_peer *from = m->from;

	offer_end(q, m);
	if (m->large)
		queue_file_forget(q, &m->mid);
	if (op->no_space && m->large)
		(void)queue_body_release_big(q->commit.body, &m->mid);
	if (a->bad_file) {
		answer(from, &m->mid, 451, "4.3.0", "The spool lost this message, send it again");
	} else if (op->no_space && a->audit_full) {
		q->count.refused_full++;
		answer(from, &m->mid, 451, "4.3.0",
		    "The audit record cannot be written now, try again later");
	} else if (op->no_space) {
		q->count.refused_full++;
		queue_space_check(q); /* the next ones need not come this far */
		answer(from, &m->mid, 452, "4.3.1",
		    "Not enough room for this message now, try again later");
	} else if (a->known) {
		q->count.duplicates++;
		answer(from, &m->mid, 250, "2.0.0", "already accepted");
	} else {
		q->count.accepted++;
		q->count.bytes += m->body_size;
		queue_space_used(q, m->body_size);
		answer(from, &m->mid, 250, "2.0.0", "accepted");
		queue_sched_fresh(q, m);
	}
	qmsg_unref(q, m);
	free(a);
}

const struct qop_class queue_accept_class = {
    "accept", accept_prepare, accept_apply, NULL, accept_done};

/* ---- offers ---------------------------------------------------------------------------------- */

struct qowner
qowner_of(const struct ipc_peer *p)
{
	return (struct qowner){ipc_peer_instance(p), ipc_peer_generation(p)};
}

bool
qowner_is(const struct qowner *o, const struct ipc_peer *p)
{
	return o->instance == ipc_peer_instance(p) && o->generation == ipc_peer_generation(p);
}

static bool
routed(const struct message *m)
{
	if (m->n_rcpts == 0)
		return false;
	for (size_t i = 0; i < m->n_rcpts; i++)
		if (m->rcpts[i].transport == NULL || m->rcpts[i].dest == NULL)
			return false;
	return true;
}

static void
offer_drop(struct queue *q, struct qmsg *m)
{
	offer_end(q, m);
	qmsg_unref(q, m);
}

/* The offer is whole. -1: it is rubbish. */
static int
offer_complete(struct queue *q, struct qmsg *m)
{
	enum queue_audit audit = queue_audit_wanted(q);
	struct qop_accept *a;

	m->m = message_decode(buf_span(&m->head));
	if (m->m == NULL || !uuid_equal(&m->m->mid, &m->mid) || !routed(m->m))
		return -1;
	m->m->size = m->body_size;
	qmsg_group(q, m);
	q->partial_bytes -= buf_len(&m->head) + buf_len(&m->body);
	m->committing = true;
	offer_bytes_change(q, m, buf_len(&m->head) + buf_len(&m->body) + sizeof(*m));
	a = xcallocarray(1, sizeof(*a));
	a->op.class = &queue_accept_class;
	a->op.bytes = buf_len(&m->body) + buf_len(&m->head);
	a->msg = m;
	a->audit = audit == QUEUE_AUDIT_YES;
	a->audit_full = audit == QUEUE_AUDIT_FULL;
	/* only the commit thread knows whether it is here already: that is not unsaid */
	a->op.no_space = a->audit_full || q->very_full;
	a->put = (struct body_put){
	    .mid = m->mid, .qid = m->id, .head = buf_span(&m->head), .body = buf_span(&m->body)};
	if (m->large && !a->op.no_space)
		queue_maint_seal(q, a);
	else
		queue_push(q, &a->op);
	return 0;
}

/* Takes more of it; head first. -1: more than was promised. */
static int
offer_add(struct queue *q, struct qmsg *m, struct span head, struct span body)
{
	uint64_t body_want = m->large ? 0 : m->body_size;

	if (buf_len(&m->head) + head.n > m->head_size || buf_len(&m->body) + body.n > body_want)
		return -1;
	buf_add_span(&m->head, head);
	buf_add_span(&m->body, body);
	q->partial_bytes += head.n + body.n;
	if (buf_len(&m->head) < m->head_size || buf_len(&m->body) < body_want)
		return head.n + body.n == 0 || q->partial_bytes > OFFER_BYTES ? -1 : 0;
	return offer_complete(q, m);
}

int
queue_take_mid(struct span s, struct uuid *out)
{
	if (s.n != sizeof(out->b))
		return -1;
	memcpy(out->b, s.p, sizeof(out->b));
	return 0;
}

int
queue_on_offer(struct ipc_peer *p, struct ipc_in *in)
{
	struct queue *q = queue_self();
	struct ipc_msg_offer o;
	struct uuid mid;
	struct qmsg *m;

	if (ipc_decode_msg_offer(in, &o) == -1 || queue_take_mid(o.mid, &mid) == -1 ||
	    o.head_size == 0 || o.head_size > QUEUE_BODY_HEAD_MAX ||
	    (!o.large && o.body_size > SMALL_BODY_MAX))
		return -1;
	q->count.offers++;
	m = queue_offer_find(q, &mid);
	if ((m != NULL && !qowner_is(&m->owner, p)) || queue_file_is_foreign(q, &mid, p))
		return -1;
	if (m != NULL && m->committing) {
		m->from = p; /* the same again on a new socket: one answer, to the newest */
		return buf_len(&m->head) == o.head_size ? 0 : -1;
	}
	if (m != NULL) /* the rest of the first offer can no longer come */
		offer_drop(q, m);
	if (q->n_by_mid >= OFFERS_MAX) {
		/* one that is whole can be refused; the rest of another would come unasked for */
		if (o.head.n != o.head_size || (!o.large && o.body.n != o.body_size))
			return -1;
		queue_file_drop(q, &mid);
		answer(p, &mid, 452, "4.3.1", "The queue is busy, try again later");
		return 0;
	}
	m = qmsg_new(&mid);
	m->from = p;
	m->owner = qowner_of(p);
	m->large = o.large != 0;
	m->head_size = o.head_size;
	m->body_size = o.body_size;
	(void)buf_reserve(&m->head, o.head_size < IPC_FRAME_MAX ? o.head_size : IPC_FRAME_MAX);
	if (!m->large)
		(void)buf_reserve(&m->body, o.body_size);
	mid_add(q, m);
	if (offer_add(q, m, o.head, o.body) == -1) {
		offer_drop(q, m);
		return -1;
	}
	return 0;
}

int
queue_on_more(struct ipc_peer *p, struct ipc_in *in)
{
	struct queue *q = queue_self();
	struct ipc_msg_more o;
	struct uuid mid;
	struct qmsg *m;

	if (ipc_decode_msg_more(in, &o) == -1 || queue_take_mid(o.mid, &mid) == -1)
		return -1;
	m = queue_offer_find(q, &mid);
	if (m == NULL || !qowner_is(&m->owner, p))
		return -1;
	if (m->committing) /* the tail of a repeated offer */
		return 0;
	if (m->from != p)
		return -1;
	if (offer_add(q, m, o.head, o.body) == -1) {
		offer_drop(q, m);
		return -1;
	}
	return 0;
}

/* Its unfinished offers are forgotten, what is being committed is finished without an answer. */
void
queue_front_down(struct queue *q, struct ipc_peer *p)
{
	queue_file_front_down(q, p);
	for (size_t i = 0; q->by_mid != NULL && i < MID_PLACES; i++) {
		struct qmsg *m = q->by_mid[i], *next;
		for (; m != NULL; m = next) {
			next = m->next_by_mid;
			if (m->from != p)
				continue;
			if (m->committing)
				m->from = NULL;
			else
				offer_drop(q, m);
		}
	}
}
