/* SPDX-License-Identifier: ISC */
/*
 * Acceptance records (A2) on their way to the ledger. They are rows of the transaction
 * that makes their messages safe, one row per commit for all of its messages; the event
 * thread hands them on, and they go when the ledger has them on disk. After a crash what
 * is there is sent again. Must never let a message in without its row, and never keep
 * mail waiting for the ledger.
 */
#include "queue/queue_audit.h"

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "ipc/audit_outbox.h"

#include <stdlib.h>
#include <string.h>

#define LOAD_ROWS 64u                           /* read from the spool at once */
#define ROW_ROOM 8192u                          /* octets, enough for most commits */
#define ROW_FULL (IPC_CHUNK - AUDIT_RECORD_MAX) /* one more record, and it still fits a frame */
#define BATCH_HEAD 32u                          /* octets of IPC_AUDIT_BATCH before its records */
#define OUTBOX_BYTES (16u << 20)
#define DELAY_MS 50
#define TAG_GAP UINT64_MAX /* no row has it */
#define WINDOW_BYTES (8u << 20)

/* Acceptance records of one commit; made by the commit thread. */
struct qop_audit {
	struct qop op;
	struct store_audit row;
};
struct qop_audit_load {
	struct qop op;
	uint64_t after;
	struct store_audit *rows;
	unsigned n;
};
struct qop_audit_forget {
	struct qop op;
	uint64_t upto, bytes;
};

/* ---- commit thread --------------------------------------------------------------------------- */

static void
describe(const struct message *m, char sender[ADDR_TEXT], struct audit_accept *out)
{
	addr_format(&m->sender, sender);
	*out = (struct audit_accept){.mid = m->mid,
	    .sid = m->sid,
	    .time_ms = m->received_ms,
	    .client = m->client,
	    .n_rcpts = (uint32_t)m->n_rcpts,
	    .size = m->size,
	    .relay = (m->flags & MSG_RELAY_ANY) != 0 ? AUDIT_RELAY_ANY
	             : (m->flags & MSG_RELAYED) != 0 ? AUDIT_RELAY_OU
	                                             : AUDIT_RELAY_NONE,
	    .listener = span_of(m->listener),
	    .helo = span_of(m->helo),
	    .tls_version = span_of(m->tls_version),
	    .tls_cipher = span_of(m->tls_cipher),
	    .mech = span_of(m->mech),
	    .login = span_of(m->login),
	    .principal = span_of(m->principal),
	    .ou = span_of(m->ou),
	    .backend = span_of(m->backend),
	    .sender = span_of(sender),
	    .header_from = span_of(m->header_from),
	    .message_id = span_of(m->message_id)};
}

static void handed(struct queue *, struct qop *);
static const struct qop_class audit_class = {"audit", NULL, NULL, NULL, handed};

int
qcommit_audit_end(struct qcommit *c)
{
	struct qop_audit *o;

	if (c->audit.count == 0)
		return 0;
	o = xcallocarray(1, sizeof(*o));
	o->op.class = &audit_class;
	o->row = (struct store_audit){.id = ++c->audit_id,
	    .src = c->audit_src,
	    .n = c->audit_n - c->audit.count + 1,
	    .count = c->audit.count};
	buf_move(&o->row.records, &c->audit.records);
	c->audit.count = 0;
	TAILQ_INSERT_TAIL(&c->audit_made, &o->op, entry);
	return queue_store_add_audit(c->store, &o->row);
}

void
qcommit_audit_undo(struct qcommit *c)
{
	struct qop *op;

	while ((op = TAILQ_FIRST(&c->audit_made)) != NULL) {
		struct qop_audit *o = (struct qop_audit *)op;

		TAILQ_REMOVE(&c->audit_made, op, entry);
		c->audit_n -= o->row.count;
		c->audit_id--;
		buf_clear(&o->row.records);
		free(o);
	}
	c->audit_n -= c->audit.count;
	c->audit.count = 0;
}

int
qcommit_audit_add(struct qcommit *c, const struct message *m)
{
	char sender[ADDR_TEXT];
	struct audit_accept r;

	if (c->audit.count == 0) {
		audit_batch_begin(&c->audit);
		/* else it grows there and back with every commit */
		(void)buf_reserve(&c->audit.records, ROW_ROOM);
	}
	describe(m, sender, &r);
	audit_batch_add(&c->audit, &r);
	c->audit_n++;
	return buf_len(&c->audit.records) > ROW_FULL ? qcommit_audit_end(c) : 0;
}

/* ---- event thread ---------------------------------------------------------------------------- */

/* True: it is in the outbox. */
static bool
hand_on(struct queue *q, struct store_audit *r)
{
	struct buf body = BUF_INIT;
	struct ipc_audit_batch m = {
	    .src = r->src, .n = r->n, .count = r->count, .records = buf_span(&r->records)};

	if (!audit_outbox_room(buf_len(&r->records) + 100))
		return false;
	(void)buf_reserve(&body, BATCH_HEAD + m.records.n);
	ipc_encode_audit_batch(&body, &m);
	if (audit_outbox_add(IPC_AUDIT_BATCH, &body, r->src, r->n, r->n + r->count - 1, r->id) ==
	    -1)
		return false;
	q->audit.loaded = r->id;
	return true;
}

static void
handed(struct queue *q, struct qop *op)
{
	struct qop_audit *o = (struct qop_audit *)op;

	q->audit.bytes += buf_len(&o->row.records);
	/* what does not go in order now is read from its row later */
	if (!q->audit.behind && !hand_on(q, &o->row))
		q->audit.behind = true;
	buf_clear(&o->row.records);
	free(o);
}

static int
load_after(struct qcommit *c, struct qop *op)
{
	struct qop_audit_load *o = (struct qop_audit_load *)op;

	return queue_store_audits(c->store, o->after, o->rows, LOAD_ROWS, &o->n);
}

static void
load_done(struct queue *q, struct qop *op)
{
	struct qop_audit_load *o = (struct qop_audit_load *)op;
	bool room = true;

	q->audit.loading = false;
	for (unsigned i = 0; i < o->n; i++) {
		room = room && hand_on(q, &o->rows[i]);
		buf_clear(&o->rows[i].records);
	}
	q->audit.behind = !room || o->n == LOAD_ROWS;
	free(o->rows);
	free(o);
	queue_audit_tick(q);
}

static const struct qop_class load_class = {"audit load", NULL, NULL, load_after, load_done};

static int
forget_apply(struct qcommit *c, struct qop *op)
{
	struct qop_audit_forget *o = (struct qop_audit_forget *)op;

	return queue_store_del_audits(c->store, o->upto, &o->bytes);
}

static void
forget_done(struct queue *q, struct qop *op)
{
	struct qop_audit_forget *o = (struct qop_audit_forget *)op;

	q->audit.forgetting = false;
	q->audit.forgotten = o->upto;
	q->audit.bytes -= o->bytes < q->audit.bytes ? o->bytes : q->audit.bytes;
	free(o);
	queue_audit_tick(q);
}

static const struct qop_class forget_class = {
    "audit forget", NULL, forget_apply, NULL, forget_done};

void
queue_audit_tick(struct queue *q)
{
	/* not before half of it is free */
	if (q->audit.behind && !q->audit.loading && audit_outbox_room(OUTBOX_BYTES / 2)) {
		struct qop_audit_load *o = xcallocarray(1, sizeof(*o));

		o->op.class = &load_class;
		o->after = q->audit.loaded;
		o->rows = xcallocarray(LOAD_ROWS, sizeof(*o->rows));
		q->audit.loading = true;
		queue_push(q, &o->op);
	}
	if (q->audit.acked > q->audit.forgotten && !q->audit.forgetting) {
		struct qop_audit_forget *o = xcallocarray(1, sizeof(*o));

		o->op.class = &forget_class;
		o->upto = q->audit.acked;
		q->audit.forgetting = true;
		queue_push(q, &o->op);
	}
}

/* ---- a gap that a lost database left --------------------------------------------------------- */

static int
gap_apply(struct qcommit *c, struct qop *op)
{
	(void)op;
	return queue_store_set_audit_gap(c->store, 0);
}

static void
gap_done(struct queue *q, struct qop *op)
{
	(void)q;
	free(op);
}

static const struct qop_class gap_class = {"audit gap", NULL, gap_apply, NULL, gap_done};

/*
 * Under an id that stands in the database, so that a ledger that has it already drops it,
 * should the next start tell it again.
 */
static void
tell_gap(uint64_t src)
{
	struct ipc_audit_note m = {.src = src,
	    .n = 1,
	    .time_ms = ev_wall_ms(),
	    .kind = span_of("gap"),
	    .json = span_of("{\"reason\":\"the queue's database was lost: records of messages "
			    "that were accepted shortly before may be missing\"}")};
	struct buf body = BUF_INIT;

	ipc_encode_audit_note(&body, &m);
	(void)audit_outbox_add(IPC_AUDIT_NOTE, &body, src, 1, 1, TAG_GAP);
}

static void
acked(uint64_t id)
{
	struct queue *q = queue_self();

	if (id == TAG_GAP) {
		struct qop *op = xcallocarray(1, sizeof(*op));

		op->class = &gap_class;
		queue_push(q, op);
		return;
	}
	if (id > q->audit.acked)
		q->audit.acked = id;
	queue_audit_tick(q);
}

int
queue_audit_start(struct queue *q, char *err, size_t errsize)
{
	static const struct audit_outbox_options options = {
	    OUTBOX_BYTES, WINDOW_BYTES, DELAY_MS, acked};
	struct qcommit *c = &q->commit;
	uint64_t gap;

	audit_outbox_init(&options);
	TAILQ_INIT(&c->audit_made);
	random_bytes(&c->audit_src, sizeof(c->audit_src));
	c->audit_src = (c->audit_src >> 1) | 1;
	if (queue_store_audit_state(c->store, &c->audit_id, &q->audit.bytes) == -1 ||
	    queue_store_audit_gap(c->store, &gap) == -1) {
		(void)str_printf(err, errsize, "%s: %s", q->db_path, queue_store_error(c->store));
		return -1;
	}
	q->audit.behind = q->audit.bytes > 0;
	if (gap != 0 && q->conf->audit->file != NULL)
		tell_gap(gap);
	return 0;
}

static uint64_t
rows_max(void)
{
	static uint64_t max;

	if (max == 0)
		max = fs_fault_bound("SUBMITD_TEST_AUDIT_ROWS", AUDIT_ROWS_MAX);
	return max;
}

enum queue_audit
queue_audit_wanted(struct queue *q)
{
	const struct conf_audit *a = q->conf->audit;

	if (a->file == NULL)
		return QUEUE_AUDIT_NO;
	if (q->audit.bytes <= rows_max())
		return QUEUE_AUDIT_YES;
	if (a->on_full == AUDIT_FULL_TEMPFAIL)
		return QUEUE_AUDIT_FULL;
	audit_outbox_lost(1);
	return QUEUE_AUDIT_NO;
}
