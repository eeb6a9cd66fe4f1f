/* SPDX-License-Identifier: ISC */
/*
 * The upkeep of process queue, on its maintenance thread: syncs of large files,
 * checkpoints of the database, copying the survivors of nearly empty segments
 * forward, removing large files that nobody finished. Functions named *_work run
 * there; it never writes a row, that is the commit thread's business.
 */
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "queue/queue_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COMPACT_EVERY_MS 30000
#define COMPACT_BYTES (8u << 20)
#define COMPACT_MESSAGES 512u
#define SWEEP_EVERY_MS 3600000
#define ORPHAN_S 7200 /* longer than any session: nobody writes it any more */

/* ---- large files ----------------------------------------------------------------------------- */

static void
seal_work(struct qwork *w)
{
	struct qop_accept *a =
	    (struct qop_accept *)(void *)((char *)w - offsetof(struct qop_accept, work));
	struct queue *q = w->q;

	/* a committed file must not be written again */
	if (queue_store_knows_mid(q->maint_store, &a->msg->mid, &a->known) == -1) {
		a->seal_error = EIO;
		return;
	}
	if (a->known)
		return;
	if (queue_body_big_seal(q->commit.body, &a->put, a->msg->body_size) == -1)
		a->seal_error = errno;
	a->put.ref = (struct body_ref){.seg = 0,
	    .off = a->msg->body_size + a->put.head.n,
	    .head_len = (uint32_t)a->put.head.n,
	    .body_len = a->msg->body_size};
}

static void
seal_done(struct qwork *w)
{
	struct qop_accept *a =
	    (struct qop_accept *)(void *)((char *)w - offsetof(struct qop_accept, work));
	struct queue *q = w->q;

	switch (a->seal_error) {
	case 0:
		break;
	case ENOSPC:
	case EDQUOT:
		a->op.no_space = true;
		break;
	case ENOENT:
	case EBADMSG:
		a->bad_file = true;
		break;
	default:
		queue_final(q, "syncing a large message", strerror(a->seal_error));
	}
	if (a->op.no_space || a->bad_file)
		a->op.class->done(q, &a->op);
	else
		queue_push(q, &a->op);
}

void
queue_maint_seal(struct queue *q, struct qop_accept *a)
{
	a->work.fn = seal_work;
	a->work.done = seal_done;
	qworker_push(&q->maint, q, &a->work);
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

struct checkpoint {
	struct qwork work;
	bool failed;
};

static void
checkpoint_work(struct qwork *w)
{
	struct checkpoint *c = (struct checkpoint *)w;
	unsigned left;

	c->failed = queue_store_checkpoint(w->q->maint_store, &left) == -1;
}

static void
checkpoint_done(struct qwork *w)
{
	struct checkpoint *c = (struct checkpoint *)w;
	struct queue *q = w->q;

	if (c->failed)
		queue_final(q, "checkpoint", queue_store_error(q->maint_store));
	q->checkpointing = false;
	/* what was written meanwhile is short: the commit thread moves it, so that the log starts
	 * anew */
	__atomic_store_n(&q->checkpoint_now, true, __ATOMIC_RELAXED);
	free(c);
}

void
queue_maint_after_commit(struct queue *q)
{
	struct checkpoint *c;

	if (q->checkpointing || __atomic_load_n(&q->wal_pages, __ATOMIC_RELAXED) < WAL_PAGES)
		return;
	q->checkpointing = true;
	c = xcallocarray(1, sizeof(*c));
	c->work.fn = checkpoint_work;
	c->work.done = checkpoint_done;
	qworker_push(&q->maint, q, &c->work);
}

/* ---- copying forward ------------------------------------------------------------------------- */

static int
move_prepare(struct qcommit *c, struct qop *op)
{
	struct qop_move *m = (struct qop_move *)op;

	(void)c;
	op->put = &m->put;
	return 0;
}

static int
move_apply(struct qcommit *c, struct qop *op)
{
	struct qop_move *m = (struct qop_move *)op;
	struct store_freed old = {.message = true, .mid = m->put.mid, .ref = m->from};
	bool found;

	if (queue_store_move_message(c->store, m->msg_id, &m->from, &m->put.ref, &found) == -1)
		return -1;
	if (!found) /* finished meanwhile: the copy is garbage of the new segment */
		return 0;
	qcommit_segment_add(c, &m->put.ref);
	qcommit_freed(c, &old);
	return 0;
}

static void
move_done(struct queue *q, struct qop *op)
{
	struct qop_move *m = (struct qop_move *)op;

	q->moving--;
	buf_clear(&m->head);
	buf_clear(&m->body);
	free(m);
}

static const struct qop_class move_class = {"move", move_prepare, move_apply, NULL, move_done};

struct compact {
	struct qwork work;
	uint64_t not_above; /* segments being written */
	uint64_t not_again; /* that could not be emptied */
	uint64_t seg;       /* chosen */
	struct qop_move *moves[COMPACT_MESSAGES];
	unsigned n, failed;
};

static int
choose_segment(void *arg, const struct store_segment *s)
{
	struct compact *c = arg;

	if (c->seg == 0 && s->live > 0 && s->seg < c->not_above && s->seg > c->not_again &&
	    s->live_bytes * 4 < s->bytes)
		c->seg = s->seg;
	return 0;
}

static void
compact_work(struct qwork *w)
{
	struct compact *c = (struct compact *)w;
	struct queue *q = w->q;
	struct store_message *rows;
	struct queue_body_reader *reader;
	size_t bytes = 0;
	unsigned n = 0;

	if (queue_store_each_segment(q->maint_store, choose_segment, c) == -1 || c->seg == 0)
		return;
	rows = xcallocarray(COMPACT_MESSAGES, sizeof(*rows));
	reader = queue_body_reader_new(q->commit.body);
	if (queue_store_in_segment(q->maint_store, c->seg, rows, COMPACT_MESSAGES, &n) == -1)
		n = 0;
	for (unsigned i = 0; i < n && bytes < COMPACT_BYTES; i++) {
		struct qop_move *m = xcallocarray(1, sizeof(*m));
		if (queue_body_read(reader, &rows[i].mid, &rows[i].ref, &m->head, &m->body,
			SMALL_BODY_MAX) == -1) {
			c->failed++;
			free(m);
			continue;
		}
		m->msg_id = rows[i].id;
		m->from = rows[i].ref;
		m->op.bytes = buf_len(&m->head) + buf_len(&m->body);
		m->put = (struct body_put){.mid = rows[i].mid,
		    .qid = rows[i].id,
		    .head = buf_span(&m->head),
		    .body = buf_span(&m->body)};
		bytes += m->op.bytes;
		c->moves[c->n++] = m;
	}
	queue_body_reader_free(reader);
	free(rows);
}

static void
compact_done(struct qwork *w)
{
	struct compact *c = (struct compact *)w;
	struct queue *q = w->q;

	for (unsigned i = 0; i < c->n; i++) {
		c->moves[i]->op.class = &move_class;
		q->moving++;
		queue_push(q, &c->moves[i]->op);
	}
	if (c->seg != 0 && c->n == 0) {
		q->compact_skip = c->seg;
		log_note(LOG_LEVEL_ERROR, "segment %llu holds %u messages that cannot be read",
		    (unsigned long long)c->seg, c->failed);
	}
	/* more of the same segment soon, while there is something to copy */
	q->last_compact = c->n > 0 ? ev_now_ms() - COMPACT_EVERY_MS + 1000 : ev_now_ms();
	q->compacting = false;
	free(c);
}

static void
compact(struct queue *q)
{
	struct compact *c;

	if (q->compacting || q->moving > 0 || q->full ||
	    (q->last_compact != 0 && ev_now_ms() - q->last_compact < COMPACT_EVERY_MS))
		return;
	q->compacting = true;
	c = xcallocarray(1, sizeof(*c));
	c->not_above = __atomic_load_n(&q->current_seg, __ATOMIC_RELAXED);
	c->not_again = q->compact_skip;
	c->work.fn = compact_work;
	c->work.done = compact_done;
	qworker_push(&q->maint, q, &c->work);
}

/* ---- orphans --------------------------------------------------------------------------------- */

struct sweep {
	struct qwork work;
	unsigned n;
};

static int
sweep_one(void *arg, bool is_big, const char *name)
{
	struct sweep *s = arg;
	struct queue *q = s->work.q;
	struct uuid mid;
	uint64_t id;
	bool found = true;

	if (!is_big || uuid_parse(span_of(name), &mid) == -1 ||
	    queue_body_big_age(q->commit.body, name, time(NULL)) < ORPHAN_S)
		return 0;
	if (queue_store_find_mid(q->maint_store, &mid, &id, &found) == 0 && !found)
		s->n += queue_body_unlink(q->commit.body, true, name) == 0;
	return 0;
}

static void
sweep_work(struct qwork *w)
{
	(void)queue_body_each_file(w->q->commit.body, sweep_one, w);
}

static void
sweep_done(struct qwork *w)
{
	struct sweep *s = (struct sweep *)w;

	if (s->n > 0)
		log_note(LOG_LEVEL_INFO, "spool: %u unfinished large messages were removed", s->n);
	free(s);
}

void
queue_maint_tick(struct queue *q)
{
	struct sweep *s;

	queue_maint_after_commit(q);
	queue_prune(q);
	compact(q);
	if (q->last_sweep != 0 && ev_now_ms() - q->last_sweep < SWEEP_EVERY_MS)
		return;
	q->last_sweep = ev_now_ms();
	s = xcallocarray(1, sizeof(*s));
	s->work.fn = sweep_work;
	s->work.done = sweep_done;
	qworker_push(&q->maint, q, &s->work);
}
