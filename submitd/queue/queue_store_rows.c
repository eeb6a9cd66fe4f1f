/* SPDX-License-Identifier: ISC */
/*
 * Rows of messages, envelopes, recipients and the history. Runs in process queue;
 * writers are called on the commit thread within its transaction only.
 */
#include "base/str.h"
#include "queue/queue_store_internal.h"

#include <stdlib.h>
#include <string.h>

int
queue_store_knows_mid(struct queue_store *s, const struct uuid *mid, bool *known)
{
	sqlite3_stmt *st = store_stmt(s, ST_KNOWS_MID);
	int rc;

	if (st == NULL)
		return -1;
	sqlite3_bind_blob(st, 1, mid->b, sizeof(mid->b), SQLITE_STATIC);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*known = sqlite3_column_int(st, 0) != 0;
	else
		store_fail(s, "known ids");
	sqlite3_reset(st);
	return rc == SQLITE_ROW ? 0 : -1;
}

int
queue_store_find_mid(struct queue_store *s, const struct uuid *mid, uint64_t *id, bool *found)
{
	sqlite3_stmt *st = store_stmt(s, ST_FIND_MID);
	int rc;

	if (st == NULL)
		return -1;
	sqlite3_bind_blob(st, 1, mid->b, sizeof(mid->b), SQLITE_STATIC);
	rc = sqlite3_step(st);
	*found = rc == SQLITE_ROW;
	if (*found)
		*id = store_u64(st, 0);
	else if (rc != SQLITE_DONE)
		store_fail(s, "ids");
	sqlite3_reset(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

int
queue_store_add_message(struct queue_store *s, const struct store_message *m)
{
	sqlite3_stmt *st = store_stmt(s, ST_ADD_MESSAGE);

	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, m->id);
	sqlite3_bind_blob(st, 2, m->mid.b, sizeof(m->mid.b), SQLITE_STATIC);
	store_bind_u64(st, 3, m->ref.seg);
	store_bind_u64(st, 4, m->ref.off);
	store_bind_u64(st, 5, m->ref.head_len);
	store_bind_u64(st, 6, m->ref.body_len);
	sqlite3_bind_int64(st, 7, m->received_ms);
	store_bind_u64(st, 8, m->flags);
	store_bind_u64(st, 9, m->n_env);
	store_bind_span(st, 10, m->sender);
	return store_done(s, st);
}

int
queue_store_add_envelope(struct queue_store *s, const struct store_envelope *e)
{
	sqlite3_stmt *st = store_stmt(s, ST_ADD_ENVELOPE);

	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, e->qid);
	store_bind_u64(st, 2, e->msg);
	store_bind_u64(st, 3, e->dest);
	sqlite3_bind_int(st, 4, (int)e->state);
	sqlite3_bind_int64(st, 5, e->next_ms);
	store_bind_u64(st, 6, e->attempts);
	store_bind_u64(st, 7, e->first_rid);
	store_bind_u64(st, 8, e->n_rcpts);
	store_bind_u64(st, 9, e->left);
	return store_done(s, st);
}

int
queue_store_add_rcpt(struct queue_store *s, const struct store_rcpt *r)
{
	sqlite3_stmt *st = store_stmt(s, ST_ADD_RCPT);

	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, r->id);
	store_bind_u64(st, 2, r->qid);
	store_bind_u64(st, 3, r->index);
	store_bind_u64(st, 4, r->notify);
	sqlite3_bind_int(st, 5, (int)r->state);
	store_bind_span(st, 6, r->addr);
	return store_done(s, st);
}

int
queue_store_add_history(struct queue_store *s, const struct store_history *h)
{
	sqlite3_stmt *st = store_stmt(s, ST_ADD_HISTORY);
	char esc[STATUS_ESC_TEXT] = "";

	if (st == NULL)
		return -1;
	if (h->status != NULL)
		status_esc(h->status, esc);
	sqlite3_bind_int64(st, 1, h->time_ms);
	store_bind_u64(st, 2, h->qid);
	sqlite3_bind_blob(st, 3, h->mid.b, sizeof(h->mid.b), SQLITE_STATIC);
	store_bind_span(st, 4, h->sender);
	store_bind_span(st, 5, h->rcpt);
	store_bind_str(st, 6, h->transport);
	store_bind_str(st, 7, h->dest);
	store_bind_str(st, 8, h->mx);
	sqlite3_bind_int(st, 9, (int)h->outcome);
	sqlite3_bind_int(st, 10, h->status == NULL ? 0 : h->status->code);
	store_bind_str(st, 11, h->status == NULL ? NULL : esc);
	store_bind_str(st, 12, h->status == NULL ? NULL : h->status->text);
	store_bind_u64(st, 13, h->attempts);
	return store_done(s, st);
}

int
queue_store_prune_history(struct queue_store *s, int64_t before_ms, unsigned max, unsigned *done)
{
	sqlite3_stmt *st = store_stmt(s, ST_OLD_HISTORY);
	uint64_t last = 0;
	int rc = SQLITE_DONE;

	*done = 0;
	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, max);
	/* rows stand in the order of time; after a clock change the first newer one ends it */
	while ((rc = sqlite3_step(st)) == SQLITE_ROW && sqlite3_column_int64(st, 1) < before_ms) {
		last = store_u64(st, 0);
		(*done)++;
	}
	sqlite3_reset(st);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return store_fail(s, "history");
	if (*done == 0)
		return 0;
	st = store_stmt(s, ST_DEL_HISTORY);
	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, last);
	return store_done(s, st);
}

int
queue_store_del_rcpt(struct queue_store *s, uint64_t rid)
{
	sqlite3_stmt *st = store_stmt(s, ST_DEL_RCPT);

	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, rid);
	return store_done(s, st);
}

int
queue_store_update_rcpt(struct queue_store *s, const struct store_rcpt_update *u)
{
	sqlite3_stmt *st = store_stmt(s, ST_UPDATE_RCPT);
	struct buf b = BUF_INIT;
	int rc;

	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, u->id);
	sqlite3_bind_int(st, 2, (int)u->state);
	sqlite3_bind_int(st, 3, (int)u->report);
	store_bind_u64(st, 4, u->attempts);
	sqlite3_bind_int64(st, 5, u->time_ms);
	if (u->status != NULL) {
		status_encode(&b, u->status);
		sqlite3_bind_blob(st, 6, buf_data(&b), (int)buf_len(&b), SQLITE_STATIC);
	} else {
		sqlite3_bind_null(st, 6);
	}
	rc = store_done(s, st);
	sqlite3_bind_null(st, 6);
	buf_clear(&b);
	return rc;
}

int
queue_store_set_rcpt(
    struct queue_store *s, uint64_t rid, enum rcpt_state state, enum rcpt_report report)
{
	sqlite3_stmt *st = store_stmt(s, ST_SET_RCPT);

	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, rid);
	sqlite3_bind_int(st, 2, (int)state);
	sqlite3_bind_int(st, 3, (int)report);
	return store_done(s, st);
}

int
queue_store_warned_rcpt(struct queue_store *s, uint64_t rid)
{
	sqlite3_stmt *st = store_stmt(s, ST_WARNED_RCPT);

	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, rid);
	return store_done(s, st);
}

static int
delete_message(struct queue_store *s, uint64_t id, struct store_freed *freed)
{
	sqlite3_stmt *st = store_stmt(s, ST_DEL_MESSAGE);
	int rc;

	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		freed->message = true;
		if (sqlite3_column_bytes(st, 0) == (int)sizeof(freed->mid.b))
			memcpy(freed->mid.b, sqlite3_column_blob(st, 0), sizeof(freed->mid.b));
		freed->ref = (struct body_ref){
		    store_u64(st, 1), store_u64(st, 2), store_u32(st, 3), store_u64(st, 4)};
		rc = sqlite3_step(st);
	}
	if (rc != SQLITE_DONE)
		store_fail(s, "message");
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

/* One envelope fewer; *open: how many remain. */
static int
close_one(struct queue_store *s, uint64_t id, uint32_t *open)
{
	sqlite3_stmt *st = store_stmt(s, ST_CLOSE_ONE);
	int rc;

	*open = 1;
	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		*open = store_u32(st, 0);
		rc = sqlite3_step(st);
	}
	if (rc != SQLITE_DONE)
		store_fail(s, "message");
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

int
queue_store_update_envelope(
    struct queue_store *s, const struct store_envelope *e, bool single, struct store_freed *freed)
{
	sqlite3_stmt *st;
	uint32_t open = 0;

	freed->message = false;
	if (e->left > 0) {
		st = store_stmt(s, ST_UPDATE_ENVELOPE);
		if (st == NULL)
			return -1;
		store_bind_u64(st, 1, e->qid);
		sqlite3_bind_int(st, 2, (int)e->state);
		sqlite3_bind_int64(st, 3, e->next_ms);
		store_bind_u64(st, 4, e->attempts);
		store_bind_u64(st, 5, e->left);
		return store_done(s, st);
	}
	st = store_stmt(s, ST_DEL_ENVELOPE);
	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, e->qid);
	if (store_done(s, st) == -1)
		return -1;
	if (!single && close_one(s, e->msg, &open) == -1)
		return -1;
	return open == 0 ? delete_message(s, e->msg, freed) : 0;
}

int
queue_store_move_message(struct queue_store *s, uint64_t id, const struct body_ref *from,
    const struct body_ref *to, bool *found)
{
	sqlite3_stmt *st = store_stmt(s, ST_MOVE_MESSAGE);

	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, id);
	store_bind_u64(st, 2, to->seg);
	store_bind_u64(st, 3, to->off);
	store_bind_u64(st, 4, from->seg);
	store_bind_u64(st, 5, from->off);
	if (store_done(s, st) == -1)
		return -1;
	*found = sqlite3_changes(s->db) > 0;
	return 0;
}

static void
row_envelope(sqlite3_stmt *st, struct store_envelope *e)
{
	*e = (struct store_envelope){.qid = store_u64(st, 0),
	    .msg = store_u64(st, 1),
	    .dest = store_u64(st, 2),
	    .state = (enum env_state)sqlite3_column_int(st, 3),
	    .next_ms = sqlite3_column_int64(st, 4),
	    .attempts = store_u32(st, 5),
	    .first_rid = store_u64(st, 6),
	    .n_rcpts = store_u32(st, 7),
	    .left = store_u32(st, 8)};
}

static void
row_message(sqlite3_stmt *st, struct store_message *m)
{
	*m = (struct store_message){.id = store_u64(st, 0),
	    .ref = {store_u64(st, 2), store_u64(st, 3), store_u32(st, 4), store_u64(st, 5)},
	    .received_ms = sqlite3_column_int64(st, 6),
	    .flags = store_u32(st, 7),
	    .n_env = store_u32(st, 8)};
	if (sqlite3_column_bytes(st, 1) == (int)sizeof(m->mid.b))
		memcpy(m->mid.b, sqlite3_column_blob(st, 1), sizeof(m->mid.b));
}

int
queue_store_get_envelope(struct queue_store *s, uint64_t qid, struct store_envelope *e, bool *found)
{
	sqlite3_stmt *st = store_stmt(s, ST_GET_ENVELOPE);
	int rc;

	*found = false;
	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, qid);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		row_envelope(st, e);
		*found = true;
	}
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		store_fail(s, "envelope");
	sqlite3_reset(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

int
queue_store_get_message(
    struct queue_store *s, uint64_t id, struct store_message *m, struct buf *sender, bool *found)
{
	sqlite3_stmt *st = store_stmt(s, ST_GET_MESSAGE);
	int rc;

	*found = false;
	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		row_message(st, m);
		if (sender != NULL)
			buf_add(sender, sqlite3_column_text(st, 9),
			    (size_t)sqlite3_column_bytes(st, 9));
		*found = true;
	}
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		store_fail(s, "message");
	sqlite3_reset(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

int
queue_store_in_segment(
    struct queue_store *s, uint64_t seg, struct store_message *out, unsigned max, unsigned *n)
{
	sqlite3_stmt *st = store_stmt(s, ST_IN_SEGMENT);
	int rc;

	*n = 0;
	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, seg);
	store_bind_u64(st, 2, max);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW && *n < max)
		row_message(st, &out[(*n)++]);
	if (rc != SQLITE_DONE)
		store_fail(s, "segment");
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

static int
take_waiting(struct queue_store *s, sqlite3_stmt *st, const struct store_waiting_query *q,
    struct store_envelope *out, unsigned *n, struct store_place *last)
{
	int rc = SQLITE_DONE;

	while (*n < q->max && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		row_envelope(st, &out[*n]);
		*last = (struct store_place){out[*n].next_ms, out[*n].qid};
		*n += !store_is_busy(q->busy, q->n_busy, out[*n].qid);
	}
	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		store_fail(s, "envelopes");
	sqlite3_reset(st);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : -1;
}

int
queue_store_waiting(struct queue_store *s, const struct store_waiting_query *q,
    struct store_envelope *out, unsigned *n, struct store_place *last)
{
	sqlite3_stmt *st = store_stmt(s, ST_WAITING_TIED);

	*n = 0;
	*last = q->after;
	if (st == NULL)
		return -1;
	/* two ranges of one index: many rows may be planned for the same millisecond */
	store_bind_u64(st, 1, q->dest);
	sqlite3_bind_int64(st, 2, q->after.next_ms);
	store_bind_u64(st, 3, q->after.qid);
	if (q->after.next_ms <= q->to && take_waiting(s, st, q, out, n, last) == -1)
		return -1;
	st = store_stmt(s, ST_WAITING);
	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, q->dest);
	sqlite3_bind_int64(st, 2, q->after.next_ms);
	sqlite3_bind_int64(st, 3, q->to);
	return take_waiting(s, st, q, out, n, last);
}

static void
row_rcpt(sqlite3_stmt *st, bool full, struct store_rcpt_row *r)
{
	struct rd rd;

	*r = (struct store_rcpt_row){.id = store_u64(st, 0),
	    .index = store_u32(st, 1),
	    .notify = store_u32(st, 2),
	    .state = (enum rcpt_state)sqlite3_column_int(st, 3),
	    .report = (enum rcpt_report)sqlite3_column_int(st, 4),
	    .attempts = store_u32(st, 5),
	    .time_ms = sqlite3_column_int64(st, 6)};
	if (!full)
		return;
	if (sqlite3_column_type(st, 7) == SQLITE_BLOB) {
		rd_init(&rd, sqlite3_column_blob(st, 7), (size_t)sqlite3_column_bytes(st, 7));
		if (status_decode(&rd, &r->status) == -1)
			status_set(&r->status, V_TEMP, 0, NULL, "the stored status cannot be read");
	}
	r->addr = xstrdup((const char *)sqlite3_column_text(st, 8));
}

int
queue_store_rcpts(struct queue_store *s, const struct store_envelope *e, bool full,
    struct store_rcpt_row **out, size_t *n)
{
	sqlite3_stmt *st = store_stmt(s, ST_RCPTS);
	struct store_rcpt_row *rows = NULL;
	size_t used = 0, cap = 0;
	int rc;

	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, e->first_rid);
	store_bind_u64(st, 2, e->first_rid + e->n_rcpts);
	store_bind_u64(st, 3, e->qid);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		if (used == cap) {
			cap = cap == 0 ? (e->left < 1 ? 1 : e->left) : cap * 2;
			rows = xreallocarray(rows, cap, sizeof(*rows));
		}
		row_rcpt(st, full, &rows[used++]);
	}
	if (rc != SQLITE_DONE) {
		store_fail(s, "recipients");
		sqlite3_reset(st);
		queue_store_rcpts_free(rows, used);
		return -1;
	}
	sqlite3_reset(st);
	*out = rows;
	*n = used;
	return 0;
}

void
queue_store_rcpts_free(struct store_rcpt_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		status_clear(&rows[i].status);
		free(rows[i].addr);
	}
	free(rows);
}

int
queue_store_owing(struct queue_store *s, uint64_t *out, unsigned max, unsigned *n)
{
	sqlite3_stmt *st = store_stmt(s, ST_OWING);
	int rc;

	*n = 0;
	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, max);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW && *n < max)
		out[(*n)++] = store_u64(st, 0);
	if (rc != SQLITE_DONE)
		store_fail(s, "reports");
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : -1;
}
