/* SPDX-License-Identifier: ISC */
/*
 * The rows of the spool in SQLite: opening, schema, transactions, checkpoints.
 * Runs in process queue: one writing connection on the commit thread, reading
 * ones on others. Never retries a failed sync; the caller ends the process.
 */
#include "queue/queue_store.h"

#include "base/db.h"
#include "base/fs.h"
#include "base/str.h"
#include "queue/queue_store_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define APPLICATION_ID 0x53514d44 /* "SQMD" */
#define SCHEMA_VERSION 2

static const char schema[] =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE segment (seg INTEGER PRIMARY KEY, live INTEGER NOT NULL,"
    "  live_bytes INTEGER NOT NULL, bytes INTEGER NOT NULL);"
    "CREATE TABLE message (id INTEGER PRIMARY KEY, mid BLOB NOT NULL UNIQUE,"
    "  seg INTEGER NOT NULL, off INTEGER NOT NULL, head_len INTEGER NOT NULL,"
    "  body_len INTEGER NOT NULL, received INTEGER NOT NULL, flags INTEGER NOT NULL,"
    "  envelopes INTEGER NOT NULL, open INTEGER NOT NULL, sender TEXT NOT NULL);"
    "CREATE TABLE envelope (qid INTEGER PRIMARY KEY, msg INTEGER NOT NULL, dest INTEGER NOT NULL,"
    "  state INTEGER NOT NULL, next INTEGER NOT NULL, attempts INTEGER NOT NULL,"
    "  rid INTEGER NOT NULL, rcpts INTEGER NOT NULL, left INTEGER NOT NULL);"
    "CREATE INDEX envelope_due ON envelope (dest, state, next);"
    "CREATE TABLE recipient (id INTEGER PRIMARY KEY, qid INTEGER NOT NULL, idx INTEGER NOT NULL,"
    "  notify INTEGER NOT NULL, state INTEGER NOT NULL, report INTEGER NOT NULL,"
    "  attempts INTEGER NOT NULL, time INTEGER NOT NULL, addr TEXT NOT NULL, status BLOB);"
    "CREATE INDEX recipient_owed ON recipient (qid) WHERE report > 0;"
    "CREATE TABLE destination (id INTEGER PRIMARY KEY, transport TEXT NOT NULL,"
    "  name TEXT NOT NULL, next_due INTEGER NOT NULL, retry_at INTEGER NOT NULL,"
    "  fails INTEGER NOT NULL, reason TEXT, warned_next INTEGER NOT NULL DEFAULT 0,"
    "  warned_qid INTEGER NOT NULL DEFAULT 0, UNIQUE (transport, name));"
    "CREATE INDEX destination_due ON destination (next_due);"
    "CREATE TABLE history (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, qid INTEGER NOT NULL,"
    "  mid BLOB NOT NULL, sender TEXT NOT NULL, rcpt TEXT NOT NULL, transport TEXT, dest TEXT,"
    "  mx TEXT, outcome INTEGER NOT NULL, code INTEGER NOT NULL, esc TEXT, text TEXT,"
    "  attempts INTEGER NOT NULL);"
    "CREATE INDEX history_mid ON history (mid);";
/* Came later: made in older spools too. */
static const char schema_audit[] =
    "CREATE TABLE IF NOT EXISTS audit_batch (id INTEGER PRIMARY KEY, src INTEGER NOT NULL,"
    "  n INTEGER NOT NULL, count INTEGER NOT NULL, records BLOB NOT NULL);";

/* Version 1 did not note how far delay warnings had come. */
static const char upgrade_1[] =
    "BEGIN IMMEDIATE;"
    "ALTER TABLE destination ADD COLUMN warned_next INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE destination ADD COLUMN warned_qid INTEGER NOT NULL DEFAULT 0;"
    "PRAGMA user_version=2;"
    "COMMIT";

const char *
queue_outcome_name(enum outcome o)
{
	static const char *const names[] = {
	    "delivered", "failed", "expired", "discarded", "removed", "bounced"};

	return (unsigned)o < OUTCOME__MAX ? names[o] : "unknown";
}

/* errno of what failed last on the database's own file, or on its log. */
static int
file_errno(sqlite3 *db, int which)
{
	sqlite3_file *f = NULL;
	int error = 0;

	if (sqlite3_file_control(db, "main", which, &f) == SQLITE_OK && f != NULL &&
	    f->pMethods != NULL)
		(void)f->pMethods->xFileControl(f, SQLITE_FCNTL_LAST_ERRNO, &error);
	return error;
}

/*
 * The disk, or the share of it that is ours, is used up. SQLite knows a write's ENOSPC as
 * SQLITE_FULL, but not EDQUOT, and after a COMMIT sqlite3_system_errno() is of some earlier
 * call. Not meant is a failed sync: what it leaves is unknown. Nor that the index of the log
 * could not grow: the log has the whole transaction by then, and brings it back after a crash.
 */
static bool
is_for_want_of_room(sqlite3 *db)
{
	int rc = sqlite3_extended_errcode(db);

	if ((rc & 0xff) == SQLITE_FULL)
		return true;
	return rc == SQLITE_IOERR_WRITE &&
	       (file_errno(db, SQLITE_FCNTL_JOURNAL_POINTER) == EDQUOT ||
		   file_errno(db, SQLITE_FCNTL_FILE_POINTER) == EDQUOT);
}

int
store_fail(struct queue_store *s, const char *what)
{
	s->full = is_for_want_of_room(s->db);
	(void)str_printf(s->error, sizeof(s->error), "%s: %s", what, sqlite3_errmsg(s->db));
	return -1;
}

const char *
queue_store_error(const struct queue_store *s)
{
	return s->error;
}

bool
queue_store_is_full(const struct queue_store *s)
{
	return s->full;
}

sqlite3_stmt *
store_stmt(struct queue_store *s, enum store_statement which)
{
	static const char *const sql[] = {
#define S(id, text) text,
	    STORE_STATEMENTS(S)
#undef S
	};

	if (s->stmt[which] != NULL) {
		sqlite3_reset(s->stmt[which]);
		return s->stmt[which];
	}
	if (sqlite3_prepare_v3(s->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, &s->stmt[which],
		NULL) != SQLITE_OK) {
		store_fail(s, sql[which]);
		return NULL;
	}
	return s->stmt[which];
}

int
store_done(struct queue_store *s, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	if (rc != SQLITE_DONE)
		store_fail(s, sqlite3_sql(st));
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

void
store_bind_span(sqlite3_stmt *st, int i, struct span v)
{
	sqlite3_bind_text(st, i, v.n == 0 ? "" : v.p, (int)v.n, SQLITE_STATIC);
}

void
store_bind_str(sqlite3_stmt *st, int i, const char *v)
{
	if (v == NULL)
		sqlite3_bind_null(st, i);
	else
		sqlite3_bind_text(st, i, v, -1, SQLITE_STATIC);
}

static int
on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct queue_store *s = arg;

	(void)db;
	(void)name;
	s->wal_pages = (unsigned)pages;
	return SQLITE_OK;
}

static int64_t
monotonic_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int
on_progress(void *arg)
{
	const struct queue_store *s = arg;

	if (s->stop != NULL && __atomic_load_n(s->stop, __ATOMIC_RELAXED))
		return 1;
	return s->deadline_ms != 0 && monotonic_ms() > s->deadline_ms;
}

void
queue_store_set_limit(struct queue_store *s, int64_t ms, const bool *stop)
{
	s->deadline_ms = ms == 0 ? 0 : monotonic_ms() + ms;
	s->stop = stop;
	sqlite3_progress_handler(s->db, ms == 0 && stop == NULL ? 0 : 2000,
	    ms == 0 && stop == NULL ? NULL : on_progress, s);
}

/* A database of ours, or an empty one that becomes ours. */
static int
check_schema(struct queue_store *s, enum store_mode mode)
{
	int app = 0, version = 0, tables = 0, rc;

	rc = db_number(s->db, "PRAGMA application_id", &app);
	if (rc == SQLITE_OK)
		rc = db_number(s->db, "PRAGMA user_version", &version);
	if (rc == SQLITE_OK)
		rc = db_number(s->db, "SELECT count(*) FROM sqlite_schema", &tables);
	if (rc != SQLITE_OK)
		return rc;
	if (tables == 0 && app == 0 && mode == STORE_WRITE) {
		char sql[200];
		(void)str_printf(sql, sizeof(sql),
		    "PRAGMA application_id=%d; PRAGMA user_version=%d;", APPLICATION_ID,
		    SCHEMA_VERSION);
		rc = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
		if (rc == SQLITE_OK)
			rc = sqlite3_exec(s->db, schema, NULL, NULL, NULL);
		if (rc == SQLITE_OK)
			rc = sqlite3_exec(s->db, schema_audit, NULL, NULL, NULL);
		if (rc == SQLITE_OK)
			rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
		return rc == SQLITE_OK ? sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) : rc;
	}
	if (app == APPLICATION_ID && version == 1 && mode == STORE_WRITE) {
		rc = sqlite3_exec(s->db, upgrade_1, NULL, NULL, NULL);
		if (rc != SQLITE_OK)
			return rc;
		version = SCHEMA_VERSION;
	}
	if (app != APPLICATION_ID || version != SCHEMA_VERSION)
		return SQLITE_NOTADB;
	return mode == STORE_WRITE ? sqlite3_exec(s->db, schema_audit, NULL, NULL, NULL)
	                           : SQLITE_OK;
}

struct queue_store *
queue_store_open(const char *path, enum store_mode mode, bool *damaged, char *err, size_t errsize)
{
	struct queue_store *s = xcallocarray(1, sizeof(*s));
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW |
	            (mode == STORE_WRITE ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
					 : SQLITE_OPEN_READWRITE);
	int rc;

	*damaged = false;
	s->index_fd = s->log_fd = s->db_fd = -1;
	fs_hook_sqlite();
	rc = sqlite3_open_v2(path, &s->db, flags, NULL);
	if (rc == SQLITE_OK) {
		sqlite3_extended_result_codes(s->db, 1);
		sqlite3_busy_timeout(s->db, 10000);
		rc = sqlite3_exec(s->db,
		    "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
		    "PRAGMA wal_autocheckpoint=0; PRAGMA secure_delete=OFF; PRAGMA "
		    "temp_store=MEMORY;"
		    "PRAGMA trusted_schema=OFF;",
		    NULL, NULL, NULL);
	}
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(s->db,
		    mode == STORE_WRITE ? "PRAGMA cache_size=-65536"
					: "PRAGMA cache_size=-8192; PRAGMA query_only=ON",
		    NULL, NULL, NULL);
#ifdef SUBMITD_FAULTS
	/* the control of the power test, which must fail */
	if (rc == SQLITE_OK && getenv("SUBMITD_TEST_SYNC") != NULL &&
	    strcmp(getenv("SUBMITD_TEST_SYNC"), "normal") == 0)
		rc = sqlite3_exec(s->db, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
#endif
	if (rc == SQLITE_OK)
		rc = check_schema(s, mode);
	if (rc != SQLITE_OK) {
		*damaged = (rc & 0xff) == SQLITE_NOTADB || (rc & 0xff) == SQLITE_CORRUPT;
		(void)str_printf(err, errsize, "%s: %s", path,
		    rc == SQLITE_NOTADB ? "no queue database, or one of another version"
		    : s->db == NULL     ? "out of memory"
					: sqlite3_errmsg(s->db));
		queue_store_free(s);
		return NULL;
	}
	if (mode == STORE_WRITE) {
		sqlite3_wal_hook(s->db, on_wal, s);
		store_room_open(s, path);
	}
	return s;
}

void
queue_store_free(struct queue_store *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < ST__MAX; i++)
		sqlite3_finalize(s->stmt[i]);
	store_dest_cache_clear(s);
	free(s->by_key);
	sqlite3_close(s->db);
	store_room_close(s);
	free(s);
}

static int
run(struct queue_store *s, enum store_statement which)
{
	sqlite3_stmt *st = store_stmt(s, which);

	return st == NULL ? -1 : store_done(s, st);
}

int
queue_store_read_begin(struct queue_store *s)
{
	return run(s, ST_READ);
}

int
queue_store_begin(struct queue_store *s)
{
	s->full = false;
	if (s->n_dests >= DEST_CACHE)
		store_dest_cache_clear(s);
	return run(s, ST_BEGIN);
}

int
queue_store_commit(struct queue_store *s)
{
	return run(s, ST_COMMIT);
}

void
queue_store_rollback(struct queue_store *s)
{
	sqlite3_stmt *st = store_stmt(s, ST_ROLLBACK);
	char kept[sizeof(s->error)];
	bool full = s->full;

	memcpy(kept, s->error, sizeof(kept));
	if (st != NULL) /* SQLite may have rolled back itself: then there is nothing to do */
		(void)store_done(s, st);
	memcpy(s->error, kept, sizeof(kept));
	s->full = full;
	store_dest_cache_clear(s);
}

unsigned
queue_store_wal_pages(const struct queue_store *s)
{
	return s->wal_pages;
}

int
queue_store_checkpoint(struct queue_store *s, unsigned *left)
{
	int in_log = 0, moved = 0, rc;

	store_room_hold(s, true);
	rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &moved);
	store_room_hold(s, false);
	*left = in_log > moved ? (unsigned)(in_log - moved) : 0;
	if (rc == SQLITE_OK || rc == SQLITE_BUSY)
		return 0;
	(void)store_fail(s, "checkpoint");
	/* without room for the database to grow all stays in the log, as safe as before */
	return s->full ? 0 : -1;
}

int
queue_store_ids(struct queue_store *s, struct store_ids *out)
{
	int rc;
	sqlite3_stmt *st = NULL;
	static const char sql[] =
	    "SELECT coalesce((SELECT value FROM meta WHERE key = 'qid_limit'), 0),"
	    " coalesce((SELECT max(id) FROM recipient), 0),"
	    " coalesce((SELECT max(seg) FROM segment), 0),"
	    " coalesce((SELECT max(qid) FROM envelope), 0)";

	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK)
		return store_fail(s, "ids");
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		uint64_t limit = store_u64(st, 0), used = store_u64(st, 3);
		out->next_qid = (limit > used ? limit : used) + 1;
		out->next_rid = store_u64(st, 1) + 1;
		out->last_seg = store_u64(st, 2);
	}
	sqlite3_finalize(st);
	return rc == SQLITE_ROW ? 0 : store_fail(s, "ids");
}

int
queue_store_reserve_qid(struct queue_store *s, uint64_t limit)
{
	sqlite3_stmt *st = store_stmt(s, ST_RESERVE);

	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, limit);
	return store_done(s, st);
}

int
queue_store_each_segment(struct queue_store *s, store_segment_fn *fn, void *arg)
{
	sqlite3_stmt *st = store_stmt(s, ST_SEGMENTS);
	int rc = 0, step = SQLITE_DONE;

	if (st == NULL)
		return -1;
	while (rc == 0 && (step = sqlite3_step(st)) == SQLITE_ROW) {
		struct store_segment seg = {
		    store_u64(st, 0), store_u64(st, 1), store_u64(st, 2), store_u64(st, 3)};
		rc = fn(arg, &seg);
	}
	if (step != SQLITE_DONE && step != SQLITE_ROW)
		rc = store_fail(s, "segments");
	sqlite3_reset(st);
	return rc;
}

int
queue_store_put_segment(struct queue_store *s, const struct store_segment *seg)
{
	sqlite3_stmt *st = store_stmt(s, ST_PUT_SEGMENT);

	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, seg->seg);
	store_bind_u64(st, 2, seg->live);
	store_bind_u64(st, 3, seg->live_bytes);
	store_bind_u64(st, 4, seg->bytes);
	return store_done(s, st);
}

int
queue_store_del_segment(struct queue_store *s, uint64_t seg)
{
	sqlite3_stmt *st = store_stmt(s, ST_DEL_SEGMENT);

	if (st == NULL)
		return -1;
	store_bind_u64(st, 1, seg);
	return store_done(s, st);
}
