/* SPDX-License-Identifier: ISC */
/*
 * Rows of acceptance records that the ledger has not got yet (A2). Process queue,
 * commit thread.
 */
#include "queue/queue_store_internal.h"

int
queue_store_add_audit(struct queue_store *s, const struct store_audit *a)
{
	sqlite3_stmt *st = store_stmt(s, ST_ADD_AUDIT);

	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, a->id);
	store_bind_u64(st, 2, a->src);
	store_bind_u64(st, 3, a->n);
	store_bind_u64(st, 4, a->count);
	sqlite3_bind_blob(st, 5, buf_data(&a->records), (int)buf_len(&a->records), SQLITE_STATIC);
	return store_done(s, st);
}

int
queue_store_audits(
    struct queue_store *s, uint64_t after, struct store_audit *out, unsigned max, unsigned *n)
{
	sqlite3_stmt *st = store_stmt(s, ST_AUDITS);
	int step = SQLITE_DONE;

	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, after);
	store_bind_u64(st, 2, max);
	*n = 0;
	while (*n < max && (step = sqlite3_step(st)) == SQLITE_ROW) {
		out[*n] = (struct store_audit){.id = store_u64(st, 0),
		    .src = store_u64(st, 1),
		    .n = store_u64(st, 2),
		    .count = store_u32(st, 3)};
		buf_add(&out[*n].records, sqlite3_column_blob(st, 4),
		    (size_t)sqlite3_column_bytes(st, 4));
		(*n)++;
	}
	sqlite3_reset(st);
	return step == SQLITE_DONE || step == SQLITE_ROW ? 0 : store_fail(s, "audit rows");
}

int
queue_store_del_audits(struct queue_store *s, uint64_t upto, uint64_t *bytes)
{
	sqlite3_stmt *sum = store_stmt(s, ST_AUDIT_SUM), *del;
	int step;

	if (sum == NULL)
		return -1;
	store_bind_u64(sum, 1, upto);
	step = sqlite3_step(sum);
	if (step == SQLITE_ROW)
		*bytes = store_u64(sum, 0);
	sqlite3_reset(sum);
	if (step != SQLITE_ROW)
		return store_fail(s, "audit sum");
	del = store_stmt(s, ST_DEL_AUDITS);
	if (del == NULL)
		return -1;
	store_bind_u64(del, 1, upto);
	return store_done(s, del);
}

int
queue_store_audit_state(struct queue_store *s, uint64_t *last_id, uint64_t *bytes)
{
	sqlite3_stmt *st = store_stmt(s, ST_AUDIT_STATE);
	int step;

	if (st == NULL)
		return -1;
	step = sqlite3_step(st);
	if (step == SQLITE_ROW) {
		*last_id = store_u64(st, 0);
		*bytes = store_u64(st, 1);
	}
	sqlite3_reset(st);
	return step == SQLITE_ROW ? 0 : store_fail(s, "audit state");
}

int
queue_store_set_audit_gap(struct queue_store *s, uint64_t src)
{
	sqlite3_stmt *st = store_stmt(s, src == 0 ? ST_DEL_AUDIT_GAP : ST_SET_AUDIT_GAP);

	if (st == NULL)
		return -1;
	if (src != 0)
		store_bind_u64(st, 1, src);
	return store_done(s, st);
}

int
queue_store_audit_gap(struct queue_store *s, uint64_t *src)
{
	sqlite3_stmt *st = store_stmt(s, ST_AUDIT_GAP);
	int step;

	if (st == NULL)
		return -1;
	step = sqlite3_step(st);
	*src = step == SQLITE_ROW ? store_u64(st, 0) : 0;
	sqlite3_reset(st);
	return step == SQLITE_ROW || step == SQLITE_DONE ? 0 : store_fail(s, "audit gap");
}
