/* SPDX-License-Identifier: ISC */
/*
 * Destinations and what is due for them. next_due of a row is never later than the
 * first waiting envelope of that destination; it may be earlier, and is made exact
 * when the destination falls idle. So a hot destination costs no write per message,
 * and a restart finds everything. Runs on the commit thread of process queue.
 */
#include "base/list.h"
#include "base/str.h"
#include "queue/queue_store_internal.h"

#include <stdlib.h>
#include <string.h>

#define PLACES (DEST_CACHE * 2)

static void
dest_free(struct store_dest *d)
{
	free(d->transport);
	free(d->name);
	free(d->reason);
	free(d);
}

void
store_dest_cache_clear(struct queue_store *s)
{
	if (s->by_key == NULL)
		return;
	for (size_t i = 0; i < PLACES; i++) {
		if (s->by_key[i] != NULL)
			dest_free(s->by_key[i]);
		s->by_key[i] = NULL;
	}
	s->n_dests = 0;
}

static size_t
hash_key(const char *transport, const char *name)
{
	uint64_t h = 14695981039346656037ull;

	for (; *transport != '\0'; transport++)
		h = (h ^ (uint8_t)*transport) * 1099511628211ull;
	h = (h ^ 0xffu) * 1099511628211ull;
	for (; *name != '\0'; name++)
		h = (h ^ (uint8_t)*name) * 1099511628211ull;
	return (size_t)(h ^ h >> 29) & (PLACES - 1);
}

/* The place of that key, or the free one where it belongs. */
static struct store_dest **
cache_place(struct queue_store *s, const char *transport, const char *name)
{
	size_t i = hash_key(transport, name);

	if (s->by_key == NULL)
		s->by_key = xcallocarray(PLACES, sizeof(struct store_dest *));
	while (s->by_key[i] != NULL && (strcmp(s->by_key[i]->name, name) != 0 ||
					   strcmp(s->by_key[i]->transport, transport) != 0))
		i = (i + 1) & (PLACES - 1);
	return &s->by_key[i];
}

static void
cache_remove(struct queue_store *s, struct store_dest **place)
{
	size_t hole = (size_t)(place - s->by_key), i = hole;

	dest_free(*place);
	*place = NULL;
	s->n_dests--;
	/* close the gap: move back what could not stand at its own place */
	for (;;) {
		i = (i + 1) & (PLACES - 1);
		if (s->by_key[i] == NULL)
			return;
		size_t own = hash_key(s->by_key[i]->transport, s->by_key[i]->name);
		bool stays = hole <= i ? hole < own && own <= i : hole < own || own <= i;
		if (stays)
			continue;
		s->by_key[hole] = s->by_key[i];
		s->by_key[i] = NULL;
		hole = i;
	}
}

static struct store_dest *
row_dest(sqlite3_stmt *st)
{
	struct store_dest *d = xcallocarray(1, sizeof(*d));

	d->id = store_u64(st, 0);
	d->transport = xstrdup((const char *)sqlite3_column_text(st, 1));
	d->name = xstrdup((const char *)sqlite3_column_text(st, 2));
	d->next_due = sqlite3_column_int64(st, 3);
	d->retry_at = sqlite3_column_int64(st, 4);
	d->fails = store_u32(st, 5);
	d->reason = xstrdup((const char *)sqlite3_column_text(st, 6));
	return d;
}

static struct store_dest *
cache_add(struct queue_store *s, struct store_dest *d)
{
	struct store_dest **place;

	if (s->n_dests >= DEST_CACHE + DEST_CACHE / 2)
		store_dest_cache_clear(s);
	place = cache_place(s, d->transport, d->name);
	if (*place != NULL)
		dest_free(*place);
	else
		s->n_dests++;
	*place = d;
	return d;
}

static int
set_due(struct queue_store *s, struct store_dest *d, int64_t due)
{
	sqlite3_stmt *st;

	if (d->next_due == due)
		return 0;
	st = store_stmt(s, ST_DEST_SET_DUE);
	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, d->id);
	sqlite3_bind_int64(st, 2, due);
	d->next_due = due;
	return store_done(s, st);
}

static int
new_dest_id(struct queue_store *s, uint64_t *out)
{
	if (s->next_dest == 0) {
		sqlite3_stmt *st = store_stmt(s, ST_DEST_MAX);
		if (st == NULL || sqlite3_step(st) != SQLITE_ROW)
			return store_fail(s, "destination");
		s->next_dest = store_u64(st, 0) + 1;
		sqlite3_reset(st);
	}
	*out = s->next_dest++;
	return 0;
}

struct store_dest *
queue_store_dest(struct queue_store *s, const char *transport, const char *name, int64_t due)
{
	struct store_dest *d = *cache_place(s, transport, name);
	sqlite3_stmt *st;
	uint64_t id = 0;
	int rc;

	if (d == NULL) {
		st = store_stmt(s, ST_DEST_FIND);
		if (st == NULL)
			return NULL;
		store_bind_str(st, 1, transport);
		store_bind_str(st, 2, name);
		rc = sqlite3_step(st);
		if (rc == SQLITE_ROW)
			d = cache_add(s, row_dest(st));
		sqlite3_reset(st);
		if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
			store_fail(s, "destination");
			return NULL;
		}
	}
	if (d != NULL)
		return d->next_due > due && set_due(s, d, due) == -1 ? NULL : d;
	st = store_stmt(s, ST_DEST_ADD);
	if (st == NULL || new_dest_id(s, &id) == -1)
		return NULL;
	store_bind_u64(st, 1, id);
	store_bind_str(st, 2, transport);
	store_bind_str(st, 3, name);
	sqlite3_bind_int64(st, 4, due);
	if (store_done(s, st) == -1)
		return NULL;
	d = xcallocarray(1, sizeof(*d));
	d->id = id;
	d->transport = xstrdup(transport);
	d->name = xstrdup(name);
	d->next_due = due;
	return cache_add(s, d);
}

struct store_dest *
queue_store_dest_by_id(struct queue_store *s, uint64_t id)
{
	struct store_dest *d = NULL, **place;
	sqlite3_stmt *st;
	int rc;

	s->error[0] = '\0';
	st = store_stmt(s, ST_DEST_BY_ID);
	if (st == NULL)
		return NULL;
	store_bind_u64(st, 1, id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		/* what the cache holds is the same or what this transaction made of it */
		place = cache_place(s, (const char *)sqlite3_column_text(st, 1),
		    (const char *)sqlite3_column_text(st, 2));
		d = *place != NULL ? *place : cache_add(s, row_dest(st));
	}
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		store_fail(s, "destination");
	sqlite3_reset(st);
	return d;
}

int
queue_store_dest_due(struct queue_store *s, uint64_t id, int64_t due)
{
	struct store_dest *d = queue_store_dest_by_id(s, id);

	if (d == NULL)
		return s->error[0] == '\0' ? 0 : -1;
	return d->next_due > due ? set_due(s, d, due) : 0;
}

int
queue_store_dest_backoff(
    struct queue_store *s, uint64_t id, uint32_t fails, int64_t retry_at, const char *reason)
{
	struct store_dest *d = queue_store_dest_by_id(s, id);
	sqlite3_stmt *st;

	if (d == NULL)
		return s->error[0] == '\0' ? 0 : -1;
	d->fails = fails;
	d->retry_at = retry_at;
	free(d->reason);
	d->reason = xstrdup(reason);
	st = store_stmt(s, ST_DEST_SET_BACKOFF);
	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, id);
	sqlite3_bind_int64(st, 2, retry_at);
	store_bind_u64(st, 3, fails);
	store_bind_str(st, 4, reason);
	return store_done(s, st);
}

/* A single number; none: *found false. */
static int
one_i64(struct queue_store *s, sqlite3_stmt *st, int64_t *out, bool *found)
{
	int rc = sqlite3_step(st);

	*found = rc == SQLITE_ROW;
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int64(st, 0);
	else if (rc != SQLITE_DONE)
		store_fail(s, "schedule");
	sqlite3_reset(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

int
queue_store_dest_settle(struct queue_store *s, uint64_t id, int64_t *next_due)
{
	struct store_dest *d = queue_store_dest_by_id(s, id);
	sqlite3_stmt *st;
	int64_t first = STORE_NEVER, any = 0;
	bool found;

	*next_due = STORE_NEVER;
	if (d == NULL)
		return s->error[0] == '\0' ? 0 : -1;
	st = store_stmt(s, ST_DEST_FIRST);
	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, id);
	if (one_i64(s, st, &first, &found) == -1)
		return -1;
	if (!found) {
		st = store_stmt(s, ST_DEST_ANY);
		if (st == NULL)
			return -1;
		store_bind_u64(st, 1, id);
		if (one_i64(s, st, &any, &found) == -1)
			return -1;
		if (any == 0) {
			st = store_stmt(s, ST_DEST_DEL);
			if (st == NULL)
				return -1;
			store_bind_u64(st, 1, id);
			cache_remove(s, cache_place(s, d->transport, d->name));
			return store_done(s, st);
		}
	}
	if (first != STORE_NEVER && d->retry_at > first)
		first = d->retry_at;
	*next_due = first;
	return set_due(s, d, first);
}

int
queue_store_due_dests(struct queue_store *s, int64_t after_due, uint64_t after_id, int64_t now,
    unsigned max, store_dest_fn *fn, void *arg, unsigned *n)
{
	sqlite3_stmt *st = store_stmt(s, ST_DEST_DUE);
	int rc;

	*n = 0;
	if (st == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, after_due);
	store_bind_u64(st, 2, after_id);
	sqlite3_bind_int64(st, 3, now);
	store_bind_u64(st, 4, max);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct store_dest *d = row_dest(st);
		fn(arg, d);
		dest_free(d);
		(*n)++;
	}
	if (rc != SQLITE_DONE)
		store_fail(s, "destinations");
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

int
queue_store_next_dest_due(struct queue_store *s, int64_t after, int64_t *next)
{
	sqlite3_stmt *st = store_stmt(s, ST_DEST_NEXT);
	bool found;

	*next = STORE_NEVER;
	if (st == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, after);
	return one_i64(s, st, next, &found);
}

int
queue_store_clamp(struct queue_store *s, int64_t now)
{
	static const enum store_statement which[] = {
	    ST_CLAMP_DEST, ST_CLAMP_RETRY, ST_CLAMP_WARNED};

	for (size_t i = 0; i < ARRAY_LEN(which); i++) {
		sqlite3_stmt *st = store_stmt(s, which[i]);
		if (st == NULL)
			return -1;
		sqlite3_bind_int64(st, 1, now + (i == 0 ? STORE_MAX_AHEAD_MS : 0));
		if (store_done(s, st) == -1)
			return -1;
	}
	store_dest_cache_clear(s);
	return 0;
}

int
queue_store_dest_warned(struct queue_store *s, uint64_t id, struct store_place *out)
{
	sqlite3_stmt *st = store_stmt(s, ST_DEST_WARNED);
	int rc;

	*out = (struct store_place){INT64_MIN, 0};
	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*out = (struct store_place){sqlite3_column_int64(st, 0), store_u64(st, 1)};
	else if (rc != SQLITE_DONE)
		store_fail(s, "destination");
	sqlite3_reset(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

int
queue_store_dest_set_warned(struct queue_store *s, uint64_t id, const struct store_place *p)
{
	sqlite3_stmt *st = store_stmt(s, ST_DEST_SET_WARNED);

	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, id);
	sqlite3_bind_int64(st, 2, p->next_ms);
	store_bind_u64(st, 3, p->qid);
	return store_done(s, st);
}

/* ---- what is due ----------------------------------------------------------------------------- */

bool
store_is_busy(const uint64_t *busy, size_t n, uint64_t qid)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (busy[mid] == qid)
			return true;
		if (busy[mid] < qid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

static void
row_due(sqlite3_stmt *st, uint64_t dest, struct store_due *d)
{
	d->env = (struct store_envelope){.qid = store_u64(st, 0),
	    .msg = store_u64(st, 1),
	    .dest = dest,
	    .state = (enum env_state)sqlite3_column_int(st, 2),
	    .next_ms = sqlite3_column_int64(st, 3),
	    .attempts = store_u32(st, 4),
	    .first_rid = store_u64(st, 5),
	    .n_rcpts = store_u32(st, 6),
	    .left = store_u32(st, 7)};
	d->msg = (struct store_message){.id = d->env.msg,
	    .ref = {store_u64(st, 9), store_u64(st, 10), store_u32(st, 11), store_u64(st, 12)},
	    .received_ms = sqlite3_column_int64(st, 13),
	    .flags = store_u32(st, 14),
	    .n_env = store_u32(st, 15)};
	if (sqlite3_column_bytes(st, 8) == (int)sizeof(d->msg.mid.b))
		memcpy(d->msg.mid.b, sqlite3_column_blob(st, 8), sizeof(d->msg.mid.b));
}

/* Rows planned in (from, to]. */
static int
due_range(struct queue_store *s, const struct store_due_query *q, int64_t from, int64_t to,
    struct store_due *out, unsigned *n, bool *more)
{
	sqlite3_stmt *st = store_stmt(s, ST_DUE);
	int rc = SQLITE_DONE;

	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, q->dest);
	sqlite3_bind_int64(st, 2, from);
	sqlite3_bind_int64(st, 3, to);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		if (store_is_busy(q->busy, q->n_busy, store_u64(st, 0)))
			continue;
		if (*n == q->max) {
			*more = true;
			break;
		}
		row_due(st, q->dest, &out[(*n)++]);
	}
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		store_fail(s, "schedule");
	sqlite3_reset(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

int
queue_store_due(struct queue_store *s, const struct store_due_query *q, struct store_due *out,
    unsigned *n, bool *more, int64_t *next)
{
	sqlite3_stmt *st;
	bool found;

	*n = 0;
	*more = false;
	*next = STORE_NEVER;
	if (due_range(s, q, INT64_MIN, q->now, out, n, more) == -1)
		return -1;
	if (!*more && due_range(s, q, q->now + q->max_ahead, STORE_NEVER, out, n, more) == -1)
		return -1;
	if (*more)
		return 0;
	st = store_stmt(s, ST_NEXT);
	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, q->dest);
	sqlite3_bind_int64(st, 2, q->now);
	return one_i64(s, st, next, &found);
}
