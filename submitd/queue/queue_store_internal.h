/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_QUEUE_QUEUE_STORE_INTERNAL_H
#define SUBMITD_QUEUE_QUEUE_STORE_INTERNAL_H

#include "queue/queue_store.h"

#include <sqlite3.h>

/* Between the queue_store_*.c files, and for queue_select.c, which compiles selections to SQL. */

/* clang-format off */
#define STORE_STATEMENTS(S)                                                                        \
	S(READ, "BEGIN")                                                                           \
	S(BEGIN, "BEGIN IMMEDIATE")                                                                \
	S(COMMIT, "COMMIT")                                                                        \
	S(ROLLBACK, "ROLLBACK")                                                                    \
	S(RESERVE, "INSERT OR REPLACE INTO meta (key, value) VALUES ('qid_limit', ?1)")            \
	S(KNOWS_MID, "SELECT EXISTS (SELECT 1 FROM message WHERE mid = ?1) OR "                    \
	    "EXISTS (SELECT 1 FROM history WHERE mid = ?1)")                                       \
	S(FIND_MID, "SELECT id FROM message WHERE mid = ?1")                                       \
	S(ADD_MESSAGE, "INSERT INTO message (id, mid, seg, off, head_len, body_len, received, "    \
	    "flags, envelopes, open, sender) "                                                     \
	    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10)")                                \
	S(ADD_ENVELOPE, "INSERT INTO envelope (qid, msg, dest, state, next, attempts, rid, "      \
	    "rcpts, left) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)") \
	S(ADD_RCPT, "INSERT INTO recipient (id, qid, idx, notify, state, report, attempts, time, " \
	    "addr) VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0, ?6)")                                      \
	S(ADD_HISTORY, "INSERT INTO history (time, qid, mid, sender, rcpt, transport, dest, mx, "  \
	    "outcome, code, esc, text, attempts) "                                                 \
	    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)")                     \
	S(OLD_HISTORY, "SELECT id, time FROM history ORDER BY id LIMIT ?1")                        \
	S(DEL_HISTORY, "DELETE FROM history WHERE id <= ?1")                                       \
	S(DEL_RCPT, "DELETE FROM recipient WHERE id = ?1")                                         \
	/* -1 leaves what the row says of the delay: it may be owed still, or told meanwhile */    \
	S(UPDATE_RCPT, "UPDATE recipient SET state = ?2, "                                         \
	    "report = CASE ?3 WHEN -1 THEN report ELSE ?3 END, attempts = ?4, time = ?5, "         \
	    "status = ?6 WHERE id = ?1")                                                           \
	S(SET_RCPT, "UPDATE recipient SET state = ?2, report = ?3 WHERE id = ?1")                  \
	S(WARNED_RCPT, "UPDATE recipient SET report = -1 WHERE id = ?1 AND report = 4")            \
	S(DEL_ENVELOPE, "DELETE FROM envelope WHERE qid = ?1")                                     \
	S(UPDATE_ENVELOPE, "UPDATE envelope SET state = ?2, next = ?3, attempts = ?4, left = ?5 "  \
	    "WHERE qid = ?1")                                                                      \
	S(CLOSE_ONE, "UPDATE message SET open = open - 1 WHERE id = ?1 RETURNING open")            \
	S(DEL_MESSAGE, "DELETE FROM message WHERE id = ?1 "                                        \
	    "RETURNING mid, seg, off, head_len, body_len")                                         \
	S(MOVE_MESSAGE, "UPDATE message SET seg = ?2, off = ?3 WHERE id = ?1 AND seg = ?4 "        \
	    "AND off = ?5")                                                                        \
	S(SEGMENTS, "SELECT seg, live, live_bytes, bytes FROM segment ORDER BY seg")               \
	S(PUT_SEGMENT, "INSERT OR REPLACE INTO segment (seg, live, live_bytes, bytes) "            \
	    "VALUES (?1, ?2, ?3, ?4)")                                                             \
	S(DEL_SEGMENT, "DELETE FROM segment WHERE seg = ?1")                                       \
	S(DEST_FIND, "SELECT id, transport, name, next_due, retry_at, fails, reason "              \
	    "FROM destination WHERE transport = ?1 AND name = ?2")                                 \
	S(DEST_BY_ID, "SELECT id, transport, name, next_due, retry_at, fails, reason "             \
	    "FROM destination WHERE id = ?1")                                                      \
	S(DEST_ADD, "INSERT INTO destination (id, transport, name, next_due, retry_at, fails) "    \
	    "VALUES (?1, ?2, ?3, ?4, 0, 0)")                                                       \
	S(DEST_MAX, "SELECT coalesce(max(id), 0) FROM destination")                                \
	S(DEST_SET_DUE, "UPDATE destination SET next_due = ?2 WHERE id = ?1")                      \
	S(DEST_SET_BACKOFF, "UPDATE destination SET retry_at = ?2, fails = ?3, reason = ?4 "       \
	    "WHERE id = ?1")                                                                       \
	S(DEST_WARNED, "SELECT warned_next, warned_qid FROM destination WHERE id = ?1")            \
	S(DEST_SET_WARNED, "UPDATE destination SET warned_next = ?2, warned_qid = ?3 "             \
	    "WHERE id = ?1")                                                                       \
	S(DEST_DEL, "DELETE FROM destination WHERE id = ?1")                                       \
	S(DEST_FIRST, "SELECT next FROM envelope WHERE dest = ?1 AND state = 0 "                   \
	    "ORDER BY next LIMIT 1")                                                               \
	S(DEST_ANY, "SELECT EXISTS (SELECT 1 FROM envelope WHERE dest = ?1)")                      \
	S(DEST_DUE, "SELECT id, transport, name, next_due, retry_at, fails, reason "               \
	    "FROM destination WHERE (next_due, id) > (?1, ?2) AND next_due <= ?3 "                 \
	    "ORDER BY next_due, id LIMIT ?4")                                                      \
	S(DEST_NEXT, "SELECT next_due FROM destination WHERE next_due > ?1 "                       \
	    "ORDER BY next_due LIMIT 1")                                                           \
	S(CLAMP_DEST, "UPDATE destination SET next_due = ?1 WHERE next_due > ?1 "                  \
	    "AND next_due < 9223372036854775807")                                                  \
	S(CLAMP_RETRY, "UPDATE destination SET retry_at = ?1 WHERE retry_at > ?1")                 \
	S(CLAMP_WARNED, "UPDATE destination SET warned_next = ?1, warned_qid = 0 "                 \
	    "WHERE warned_next > ?1")                                                              \
	S(DUE, "SELECT e.qid, e.msg, e.state, e.next, e.attempts, e.rid, e.rcpts, e.left, m.mid, " \
	    "m.seg, m.off, m.head_len, m.body_len, m.received, m.flags, m.envelopes "              \
	    "FROM envelope e CROSS JOIN message m ON m.id = e.msg "                                \
	    "WHERE e.dest = ?1 AND e.state = 0 AND e.next > ?2 AND e.next <= ?3 "                  \
	    "ORDER BY e.next")                                                                     \
	S(NEXT, "SELECT next FROM envelope WHERE dest = ?1 AND state = 0 AND next > ?2 "           \
	    "ORDER BY next LIMIT 1")                                                               \
	S(WAITING_TIED, "SELECT qid, msg, dest, state, next, attempts, rid, rcpts, left "          \
	    "FROM envelope WHERE dest = ?1 AND state = 0 AND next = ?2 AND qid > ?3 ORDER BY qid") \
	S(WAITING, "SELECT qid, msg, dest, state, next, attempts, rid, rcpts, left "               \
	    "FROM envelope WHERE dest = ?1 AND state = 0 AND next > ?2 AND next <= ?3 "            \
	    "ORDER BY next, qid")                                                                  \
	S(RCPTS, "SELECT id, idx, notify, state, report, attempts, time, status, addr "            \
	    "FROM recipient WHERE id >= ?1 AND id < ?2 AND qid = ?3 ORDER BY id")                  \
	S(GET_ENVELOPE, "SELECT qid, msg, dest, state, next, attempts, rid, rcpts, left "          \
	    "FROM envelope WHERE qid = ?1")                                                        \
	S(GET_MESSAGE, "SELECT id, mid, seg, off, head_len, body_len, received, flags, "         \
	    "envelopes, sender FROM message WHERE id = ?1") \
	S(OWING, "SELECT DISTINCT e.msg FROM recipient r CROSS JOIN envelope e ON e.qid = r.qid "  \
	    "WHERE r.report > 0 LIMIT ?1")                                                         \
	S(ADD_AUDIT, "INSERT INTO audit_batch (id, src, n, count, records) "                       \
	    "VALUES (?1, ?2, ?3, ?4, ?5)")                                                         \
	S(AUDITS, "SELECT id, src, n, count, records FROM audit_batch WHERE id > ?1 "              \
	    "ORDER BY id LIMIT ?2")                                                                \
	S(AUDIT_SUM, "SELECT coalesce(sum(length(records)), 0) FROM audit_batch WHERE id <= ?1")   \
	S(DEL_AUDITS, "DELETE FROM audit_batch WHERE id <= ?1")                                    \
	S(AUDIT_STATE, "SELECT coalesce(max(id), 0), coalesce(sum(length(records)), 0) "           \
	    "FROM audit_batch")                                                                    \
	S(SET_AUDIT_GAP, "INSERT OR REPLACE INTO meta (key, value) VALUES ('audit_gap', ?1)")      \
	S(AUDIT_GAP, "SELECT value FROM meta WHERE key = 'audit_gap'")                             \
	S(DEL_AUDIT_GAP, "DELETE FROM meta WHERE key = 'audit_gap'")                               \
	S(IN_SEGMENT, "SELECT id, mid, seg, off, head_len, body_len, received, flags, "          \
	    "envelopes, sender FROM message WHERE seg = ?1 LIMIT ?2")
/* clang-format on */

enum store_statement {
#define S(id, sql) ST_##id,
	STORE_STATEMENTS(S)
#undef S
	    ST__MAX
};

#define DEST_CACHE 16384u /* entries; a power of two, twice as many places */

struct queue_store {
	sqlite3 *db;
	sqlite3_stmt *stmt[ST__MAX];
	char error[256];
	bool full; /* the error: no room */
	unsigned wal_pages;
	/* queue_store_room.c */
	int index_fd, log_fd, db_fd; /* -1: none */
	uint64_t room;               /* to be kept behind the end of the log; 0: none */
	enum store_room room_state;
	unsigned room_seen; /* pages in the log when it was looked at; more than there are: look */
	int64_t deadline_ms;
	const bool *stop;
	/* destinations by transport and name, open addressing; and by id */
	struct store_dest **by_key;
	unsigned n_dests;
	uint64_t next_dest;
};

/* A prepared statement, reset; NULL on an error. */
sqlite3_stmt *store_stmt(struct queue_store *, enum store_statement);
int store_fail(struct queue_store *, const char *what);
/* For statements without rows. */
int store_done(struct queue_store *, sqlite3_stmt *);
void store_bind_span(sqlite3_stmt *, int, struct span);
void store_bind_str(sqlite3_stmt *, int, const char *); /* NULL is NULL */
void store_dest_cache_clear(struct queue_store *);
/* The database was opened for writing under that path; is closed. */
void store_room_open(struct queue_store *, const char *path);
void store_room_close(struct queue_store *);
/* Before and after a checkpoint, of whichever connection. */
void store_room_hold(struct queue_store *, bool hold);
/* Sorted qids. */
bool store_is_busy(const uint64_t *busy, size_t n, uint64_t qid);

static inline void
store_bind_u64(sqlite3_stmt *st, int i, uint64_t v)
{
	sqlite3_bind_int64(st, i, (sqlite3_int64)v);
}

static inline uint64_t
store_u64(sqlite3_stmt *st, int i)
{
	return (uint64_t)sqlite3_column_int64(st, i);
}

static inline uint32_t
store_u32(sqlite3_stmt *st, int i)
{
	return (uint32_t)sqlite3_column_int64(st, i);
}

#endif
