/* SPDX-License-Identifier: ISC */
/*
 * The rows of the brake in an SQLite file. Runs in ledger. Memory is what counts; the
 * file follows it by about a second, in one transaction for all that changed, and is
 * read at the start only. It holds no password and no hash of one.
 */
#include "ledger/guard_store.h"

#include "base/db.h"
#include "base/enc.h"
#include "base/fs.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPLICATION_ID 0x53514c44 /* "SQLD" */
#define SCHEMA_VERSION 1
#define WAL_PAGES_MAX 2000 /* then the log is copied into the file */

static const char schema[] =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE guard (key BLOB PRIMARY KEY, windows BLOB NOT NULL, since INTEGER NOT NULL,"
    "  last INTEGER NOT NULL, until INTEGER NOT NULL, known INTEGER NOT NULL, name TEXT)"
    "  WITHOUT ROWID;";

struct guard_store {
	sqlite3 *db;
	sqlite3_stmt *put, *remove;
	uint8_t secret[32];
	int wal_pages;
	bool rotten;     /* the file in its place is to be put aside, never written */
	bool damaged;    /* what was read or written last was found to be rubbish */
	bool has_secret; /* a new file gets this one */
	char path[4100];
	char error[300];
};

static bool
is_damage(int rc)
{
	return (rc & 0xff) == SQLITE_NOTADB || (rc & 0xff) == SQLITE_CORRUPT;
}

static int
fail(struct guard_store *s)
{
	(void)str_copy(s->error, sizeof(s->error), s->db == NULL ? "?" : sqlite3_errmsg(s->db));
	s->damaged = s->db != NULL && is_damage(sqlite3_errcode(s->db));
	return -1;
}

const char *
guard_store_error(const struct guard_store *s)
{
	return s->error;
}

const uint8_t *
guard_store_secret(const struct guard_store *s)
{
	return s->secret;
}

static int
on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct guard_store *s = arg;

	(void)db;
	(void)name;
	s->wal_pages = pages;
	return SQLITE_OK;
}

static void
make_secret(struct guard_store *s)
{
	if (!s->has_secret)
		random_bytes(s->secret, sizeof(s->secret));
	s->has_secret = true;
}

static int
make_schema(struct guard_store *s)
{
	sqlite3_stmt *st = NULL;
	sqlite3 *db = s->db;
	char sql[100];
	int rc;

	make_secret(s);
	(void)str_printf(sql, sizeof(sql), "PRAGMA application_id=%d; PRAGMA user_version=%d",
	    APPLICATION_ID, SCHEMA_VERSION);
	rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, schema, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(db, "INSERT INTO meta VALUES ('secret', ?)", -1, &st, NULL);
	if (rc == SQLITE_OK) {
		sqlite3_bind_blob(st, 1, s->secret, sizeof(s->secret), SQLITE_STATIC);
		rc = sqlite3_step(st) == SQLITE_DONE ? SQLITE_OK : sqlite3_errcode(db);
	}
	sqlite3_finalize(st);
	return rc == SQLITE_OK ? sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) : rc;
}

static int
read_secret(struct guard_store *s)
{
	sqlite3_stmt *st = NULL;
	int rc =
	    sqlite3_prepare_v2(s->db, "SELECT value FROM meta WHERE key = 'secret'", -1, &st, NULL);

	if (rc == SQLITE_OK) {
		rc = sqlite3_step(st);
		if (rc == SQLITE_ROW && sqlite3_column_bytes(st, 0) == sizeof(s->secret)) {
			memcpy(s->secret, sqlite3_column_blob(st, 0), sizeof(s->secret));
			rc = SQLITE_OK;
		} else if (rc == SQLITE_ROW || rc == SQLITE_DONE) {
			rc = SQLITE_NOTADB;
		}
	}
	sqlite3_finalize(st);
	return rc;
}

/* Ours, or an empty one that becomes ours. */
static int
check_schema(struct guard_store *s)
{
	int app = 0, version = 0, tables = 0, rc;

	rc = db_number(s->db, "PRAGMA application_id", &app);
	if (rc == SQLITE_OK)
		rc = db_number(s->db, "PRAGMA user_version", &version);
	if (rc == SQLITE_OK)
		rc = db_number(s->db, "SELECT count(*) FROM sqlite_schema", &tables);
	if (rc == SQLITE_OK && tables == 0 && app == 0)
		rc = make_schema(s);
	else if (rc == SQLITE_OK && (app != APPLICATION_ID || version != SCHEMA_VERSION))
		rc = SQLITE_NOTADB;
	return rc == SQLITE_OK ? read_secret(s) : rc;
}

static int
try_open(struct guard_store *s)
{
	const char *path = s->path;
	struct stat st;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), rc;

	if (fd == -1) {
		(void)str_copy(s->error, sizeof(s->error), strerror(errno));
		if (errno != ENOSPC && errno != EDQUOT)
			return SQLITE_CANTOPEN;
		make_secret(s); /* there is no file yet */
		return SQLITE_FULL;
	}
	if (fstat(fd, &st) == 0 && st.st_size == 0)
		make_secret(s);
	(void)close(fd); /* before SQLite locks it: closing would let go of the locks */
	rc = sqlite3_open_v2(
	    path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
	if (rc == SQLITE_OK) {
		sqlite3_extended_result_codes(s->db, 1);
		sqlite3_busy_timeout(s->db, 5000);
		/* NORMAL: kill -9 loses nothing, a loss of power at most the last counts */
		rc = sqlite3_exec(s->db,
		    "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL;"
		    "PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0;"
		    "PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF;",
		    NULL, NULL, NULL);
	}
	if (rc == SQLITE_OK)
		rc = check_schema(s);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v3(s->db,
		    "INSERT OR REPLACE INTO guard VALUES (?, ?, ?, ?, ?, ?, ?)", -1,
		    SQLITE_PREPARE_PERSISTENT, &s->put, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v3(s->db, "DELETE FROM guard WHERE key = ?", -1,
		    SQLITE_PREPARE_PERSISTENT, &s->remove, NULL);
	if (rc != SQLITE_OK)
		(void)fail(s);
	else
		sqlite3_wal_hook(s->db, on_wal, s);
	s->damaged = is_damage(rc);
	return rc;
}

static void
shut(struct guard_store *s)
{
	sqlite3_finalize(s->put);
	sqlite3_finalize(s->remove);
	sqlite3_close(s->db);
	s->put = s->remove = NULL;
	s->db = NULL;
}

/* Away with the file that cannot be read, and with its log. -1 with errno. */
static int
put_aside(const struct guard_store *s)
{
	char other[sizeof(s->path) + 10];

	(void)str_printf(other, sizeof(other), "%s-wal", s->path);
	(void)unlink(other);
	(void)str_printf(other, sizeof(other), "%s.damaged", s->path);
	return rename(s->path, other) == -1 && errno != ENOENT ? -1 : 0;
}

/* A new file in the place of the one that cannot be read. As try_open(). */
static int
replace(struct guard_store *s)
{
	int rc = SQLITE_CANTOPEN;

	shut(s);
	s->rotten = s->rotten && put_aside(s) == -1;
	if (s->rotten)
		(void)str_copy(s->error, sizeof(s->error), strerror(errno));
	else
		rc = try_open(s);
	if (rc != SQLITE_OK)
		shut(s);
	return rc;
}

struct guard_store *
guard_store_open(const char *dir, bool *damaged, char *err, size_t errsize)
{
	struct guard_store *s = xcallocarray(1, sizeof(*s));
	int rc;

	*damaged = false;
	fs_hook_sqlite();
	if (str_printf(s->path, sizeof(s->path), "%s/%s", dir, GUARD_STORE_FILE) == -1) {
		(void)str_copy(err, errsize, "the path of the state directory is too long");
		free(s);
		return NULL;
	}
	rc = try_open(s);
	if (is_damage(rc)) {
		*damaged = s->rotten = true;
		rc = replace(s);
	}
	if (rc == SQLITE_OK || (rc == SQLITE_FULL && s->has_secret)) {
		if (rc != SQLITE_OK)
			shut(s);
		s->has_secret = true;
		return s;
	}
	(void)str_printf(err, errsize, "%s: %s", s->path,
	    (rc & 0xff) == SQLITE_BUSY ? "another submitd uses it" : s->error);
	shut(s);
	free(s);
	return NULL;
}

bool
guard_store_is_damaged(const struct guard_store *s)
{
	return s->damaged;
}

int
guard_store_renew(struct guard_store *s, struct guard *g)
{
	guard_unwritten(g);
	s->rotten = true;
	return replace(s) == SQLITE_OK ? guard_store_flush(s, g) : -1;
}

void
guard_store_close(struct guard_store *s)
{
	if (s == NULL)
		return;
	shut(s);
	explicit_bzero(s->secret, sizeof(s->secret));
	free(s);
}

static bool
read_row(sqlite3_stmt *st, struct guard_saved *r)
{
	int n = sqlite3_column_bytes(st, 1);
	const void *windows = sqlite3_column_blob(st, 1);

	memset(r, 0, sizeof(*r));
	if (sqlite3_column_bytes(st, 0) != sizeof(r->key) || n < 0 || (size_t)n > sizeof(r->w) ||
	    (size_t)n % sizeof(r->w[0]) != 0)
		return false;
	memcpy(&r->key, sqlite3_column_blob(st, 0), sizeof(r->key));
	if (n > 0)
		memcpy(r->w, windows, (size_t)n);
	r->n_w = (size_t)n / sizeof(r->w[0]);
	r->since_ms = sqlite3_column_int64(st, 2);
	r->last_ms = sqlite3_column_int64(st, 3);
	r->until_ms = sqlite3_column_int64(st, 4);
	r->known_ms = sqlite3_column_int64(st, 5);
	r->name = span_of((const char *)sqlite3_column_text(st, 6));
	return true;
}

int
guard_store_load(struct guard_store *s, struct guard *g, int64_t now)
{
	sqlite3_stmt *st = NULL;
	struct guard_saved r;
	int rc;

	if (s->db == NULL)
		return -1;
	rc = sqlite3_prepare_v2(s->db,
	    "SELECT key, windows, since, last, until, known, name FROM guard"
	    " ORDER BY max(last, known)",
	    -1, &st, NULL);
	while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		if (read_row(st, &r))
			guard_load(g, now, &r);
		rc = SQLITE_OK;
	}
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? 0 : fail(s);
}

static int
done(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

static int
put_row(const struct guard_saved *r, void *arg)
{
	struct guard_store *s = arg;
	sqlite3_stmt *st = s->put;

	sqlite3_bind_blob(st, 1, &r->key, sizeof(r->key), SQLITE_STATIC);
	sqlite3_bind_blob(st, 2, r->w, (int)(r->n_w * sizeof(r->w[0])), SQLITE_STATIC);
	sqlite3_bind_int64(st, 3, r->since_ms);
	sqlite3_bind_int64(st, 4, r->last_ms);
	sqlite3_bind_int64(st, 5, r->until_ms);
	sqlite3_bind_int64(st, 6, r->known_ms);
	if (r->name.n == 0)
		sqlite3_bind_null(st, 7);
	else
		sqlite3_bind_text(st, 7, r->name.p, (int)r->name.n, SQLITE_STATIC);
	return done(st);
}

static int
write_all(struct guard_store *s, struct guard *g)
{
	const struct guard_key *dead;
	size_t n, i;
	bool all;

	dead = guard_dead(g, &n, &all);
	if (all && sqlite3_exec(s->db, "DELETE FROM guard", NULL, NULL, NULL) != SQLITE_OK)
		return -1;
	for (i = 0; i < n; i++) {
		sqlite3_bind_blob(s->remove, 1, &dead[i], sizeof(dead[i]), SQLITE_STATIC);
		if (done(s->remove) == -1)
			return -1;
	}
	return guard_each_dirty(g, put_row, s);
}

int
guard_store_flush(struct guard_store *s, struct guard *g)
{
	if (!guard_is_dirty(g))
		return 0;
	if (s->db == NULL && replace(s) != SQLITE_OK) /* no new one could be made before */
		return -1;
	if (sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
		return fail(s);
	if (write_all(s, g) == -1 || sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
		(void)fail(s);
		(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
		return -1;
	}
	guard_written(g);
	if (s->wal_pages > WAL_PAGES_MAX) {
		(void)sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
		s->wal_pages = 0;
	}
	return 0;
}
