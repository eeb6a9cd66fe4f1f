/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_QUEUE_QUEUE_STORE_H
#define SUBMITD_QUEUE_QUEUE_STORE_H

#include "base/buf.h"
#include "base/enc.h"
#include "mail/status.h"
#include "queue/queue_body.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The rows of the spool: one of its two borders (queue_body.h is the other). One
 * struct is one connection, for one thread. All times are wall-clock milliseconds.
 * Functions give 0, or -1 with the reason in queue_store_error(): on the writing
 * connection a -1 is final, the process ends and starts again.
 */
struct queue_store;

enum env_state { ENV_WAITING = 0, ENV_HELD = 1, ENV_DONE = 2 }; /* DONE: only a report is owed */
enum rcpt_state {
	RCPT_WAITING = 0,
	RCPT_HELD = 1,
	RCPT_DONE = 2
}; /* DONE: only a report is owed */
/* What the sender is owed for a recipient. */
enum rcpt_report {
	REPORT_WARNED = -1, /* told of the delay; queue_store_update_rcpt() leaves DELAYED then */
	REPORT_NONE = 0,
	REPORT_FAILED = 1,
	REPORT_DELIVERED = 2,
	REPORT_RELAYED = 3,
	REPORT_DELAYED = 4, /* to be told of the delay */
};
enum outcome {
	OUTCOME_DELIVERED = 0,
	OUTCOME_FAILED = 1,
	OUTCOME_EXPIRED = 2,
	OUTCOME_DISCARDED = 3,
	OUTCOME_REMOVED = 4,
	OUTCOME_BOUNCED = 5, /* by an operator */
	OUTCOME__MAX
};
const char *queue_outcome_name(enum outcome);

#define STORE_NEVER INT64_MAX
/* Furthest ahead that anything may be planned: beyond it the clock was wrong when it was written.
 */
#define STORE_MAX_AHEAD_MS (8ll * 24 * 3600 * 1000)

/* ---- connection ------------------------------------------------------------------------------ */

enum store_mode { STORE_WRITE = 0, STORE_READ = 1 };
/* Makes the schema where it is missing. NULL: text in err, *damaged when the file is no usable
 * database. */
struct queue_store *queue_store_open(
    const char *path, enum store_mode, bool *damaged, char *err, size_t errsize);
void queue_store_free(struct queue_store *);
const char *queue_store_error(const struct queue_store *);
/* Before many look-ups, which otherwise take and leave the database's locks one by one; ended by
 * queue_store_commit(). */
int queue_store_read_begin(struct queue_store *);
int queue_store_begin(struct queue_store *);
int queue_store_commit(struct queue_store *);
/* Keeps the error. Fine too where SQLite has rolled back itself. */
void queue_store_rollback(struct queue_store *);
/* What failed last within a transaction found no room; rolled back, it may be tried again. */
bool queue_store_is_full(const struct queue_store *);
/* Pages in the write-ahead log after the last commit of this connection. */
unsigned queue_store_wal_pages(const struct queue_store *);
/* Moves the log into the database; *left: pages that stayed in the log, be it for want of room. */
int queue_store_checkpoint(struct queue_store *, unsigned *left);
/*
 * Room that is set aside in the files, so that what is not new mail can be committed when the
 * disk is full: 16 MiB behind the end of the log, 4 MiB behind the end of the database; on a
 * small file system a sixteenth of it and a quarter of that. Made where it is missing, as far
 * as there is room. To be called at the start and after each commit.
 */
enum store_room {
	STORE_ROOM_SHORT = 0, /* it does not stand: no new mail now */
	STORE_ROOM_STANDS = 1,
	STORE_ROOM_NONE = 2, /* this file system cannot set room aside */
};
enum store_room queue_store_keep_room(struct queue_store *);
/* Reading: gives up after ms, or when *stop becomes true; 0 clears it. */
void queue_store_set_limit(struct queue_store *, int64_t ms, const bool *stop);

/* ---- numbers --------------------------------------------------------------------------------- */

struct store_ids {
	uint64_t next_qid; /* all below may have been used */
	uint64_t next_rid;
	uint64_t last_seg;
};
int queue_store_ids(struct queue_store *, struct store_ids *);
/* Within a transaction: qids up to this one may be used from now on. */
int queue_store_reserve_qid(struct queue_store *, uint64_t limit);

/* ---- messages -------------------------------------------------------------------------------- */

struct store_message {
	uint64_t id; /* its first qid; the others follow it */
	struct uuid mid;
	struct body_ref ref;
	int64_t received_ms;
	struct span sender; /* as text, empty for <> */
	unsigned flags;     /* MSG_* */
	uint32_t n_env;
};
struct store_envelope {
	uint64_t qid, msg;
	uint64_t dest;
	enum env_state state;
	int64_t next_ms;
	uint32_t attempts;
	uint64_t first_rid;
	uint32_t n_rcpts; /* it had this many, ids from first_rid on */
	uint32_t left;    /* of which so many are still there */
};
struct store_rcpt {
	uint64_t id, qid;
	uint32_t index; /* in the message's list of recipients */
	struct span addr;
	unsigned notify;
	enum rcpt_state state;
};
/* Waiting in the queue, or done not long ago. */
int queue_store_knows_mid(struct queue_store *, const struct uuid *, bool *known);
/* Waiting in the queue only. */
int queue_store_find_mid(struct queue_store *, const struct uuid *, uint64_t *id, bool *found);
int queue_store_add_message(struct queue_store *, const struct store_message *);
int queue_store_add_envelope(struct queue_store *, const struct store_envelope *);
int queue_store_add_rcpt(struct queue_store *, const struct store_rcpt *);

struct store_history {
	int64_t time_ms;
	uint64_t qid;
	struct uuid mid;
	struct span sender, rcpt;
	const char *transport, *dest, *mx; /* mx may be NULL */
	enum outcome outcome;
	const struct status *status;
	uint32_t attempts;
};
int queue_store_add_history(struct queue_store *, const struct store_history *);
/* Forgets up to `max` records older than that. */
int queue_store_prune_history(
    struct queue_store *, int64_t before_ms, unsigned max, unsigned *done);

int queue_store_del_rcpt(struct queue_store *, uint64_t rid);
struct store_rcpt_update {
	uint64_t id;
	enum rcpt_state state;
	enum rcpt_report report;
	uint32_t attempts;
	int64_t time_ms;
	const struct status *status;
};
int queue_store_update_rcpt(struct queue_store *, const struct store_rcpt_update *);
/* Leaves its last status. */
int queue_store_set_rcpt(struct queue_store *, uint64_t rid, enum rcpt_state, enum rcpt_report);
/* The delay was reported, if that was still owed. */
int queue_store_warned_rcpt(struct queue_store *, uint64_t rid);
/* left 0: the envelope goes, and with the last one the message; *freed tells of its file then.
 * single: the message has no other envelope. */
struct store_freed {
	bool message; /* the message is gone */
	struct uuid mid;
	struct body_ref ref;
};
int queue_store_update_envelope(
    struct queue_store *, const struct store_envelope *, bool single, struct store_freed *freed);

/* A message was copied to another place; *found is false when it was finished meanwhile. */
int queue_store_move_message(struct queue_store *, uint64_t id, const struct body_ref *from,
    const struct body_ref *to, bool *found);

/* ---- acceptance records ---------------------------------------------------------------------- */

/* Those of one commit, until the ledger has them on disk. */
struct store_audit {
	uint64_t id;     /* grows */
	uint64_t src, n; /* who numbered them, and the number of the first */
	uint32_t count;
	struct buf records; /* as in AUDIT_BATCH; owned */
};
int queue_store_add_audit(struct queue_store *, const struct store_audit *);
/* Up to max rows behind `after`, in order. */
int queue_store_audits(
    struct queue_store *, uint64_t after, struct store_audit *out, unsigned max, unsigned *n);
/* *bytes: of the records in them. */
int queue_store_del_audits(struct queue_store *, uint64_t upto, uint64_t *bytes);
int queue_store_audit_state(struct queue_store *, uint64_t *last_id, uint64_t *bytes);
/*
 * Rows were lost with a database, and the audit record has not been told yet: src is who
 * tells it, under number 1; 0: nothing was lost, or it was told.
 */
int queue_store_set_audit_gap(struct queue_store *, uint64_t src);
int queue_store_audit_gap(struct queue_store *, uint64_t *src);

/* ---- segments -------------------------------------------------------------------------------- */

struct store_segment {
	uint64_t seg;
	uint64_t live, live_bytes, bytes;
};
typedef int store_segment_fn(void *arg, const struct store_segment *);
int queue_store_each_segment(struct queue_store *, store_segment_fn *, void *arg);
int queue_store_put_segment(struct queue_store *, const struct store_segment *);
int queue_store_del_segment(struct queue_store *, uint64_t seg);

/* ---- destinations ---------------------------------------------------------------------------- */

/* Owned by the store's cache; valid until queue_store_dest_forget() or the next
 * queue_store_begin(). */
struct store_dest {
	uint64_t id;
	char *transport, *name;
	int64_t next_due; /* STORE_NEVER: nothing waits */
	int64_t retry_at; /* backoff; 0: none */
	uint32_t fails;
	char *reason; /* why it backs off, or NULL */
};
/* Finds or makes it; its next_due becomes `due` when that is earlier. */
struct store_dest *queue_store_dest(
    struct queue_store *, const char *transport, const char *name, int64_t due);
struct store_dest *queue_store_dest_by_id(
    struct queue_store *, uint64_t id); /* NULL: unknown, or an error: queue_store_error() says */
/* Lowers next_due. */
int queue_store_dest_due(struct queue_store *, uint64_t id, int64_t due);
int queue_store_dest_backoff(
    struct queue_store *, uint64_t id, uint32_t fails, int64_t retry_at, const char *reason);
/* Nothing of it is active: its next_due becomes exact; without envelopes it is forgotten. */
int queue_store_dest_settle(struct queue_store *, uint64_t id, int64_t *next_due);
/* Destinations with after < (next_due, id), next_due <= now, in that order; fn gets borrowed ones.
 * *next: the first due time beyond now. */
typedef void store_dest_fn(void *arg, const struct store_dest *);
int queue_store_due_dests(struct queue_store *, int64_t after_due, uint64_t after_id, int64_t now,
    unsigned max, store_dest_fn *fn, void *arg, unsigned *n);
int queue_store_next_dest_due(struct queue_store *, int64_t after, int64_t *next);
/* A place in the order in which the rows of a destination wait; {INT64_MIN, 0} is before all. */
struct store_place {
	int64_t next_ms;
	uint64_t qid;
};
/* How far its waiting messages were looked at for delay warnings; kept with the destination. */
int queue_store_dest_warned(struct queue_store *, uint64_t id, struct store_place *out);
int queue_store_dest_set_warned(struct queue_store *, uint64_t id, const struct store_place *);
/* After the clock was set back: nothing may be planned beyond now + STORE_MAX_AHEAD_MS. */
int queue_store_clamp(struct queue_store *, int64_t now);

/* ---- schedule -------------------------------------------------------------------------------- */

struct store_due {
	struct store_envelope env;
	struct store_message msg; /* sender is empty here */
};
struct store_due_query {
	uint64_t dest;
	int64_t now, max_ahead; /* rows planned beyond now + max_ahead are due as well */
	const uint64_t *busy;   /* sorted qids to be left out */
	size_t n_busy;
	unsigned max;
};
/* Up to max into out; *n how many; *more: there are further ones; *next: earliest later one
 * (STORE_NEVER: none). */
int queue_store_due(struct queue_store *, const struct store_due_query *, struct store_due *out,
    unsigned *n, bool *more, int64_t *next);
struct store_rcpt_row {
	uint64_t id;
	uint32_t index;
	unsigned notify;
	enum rcpt_state state;
	enum rcpt_report report;
	uint32_t attempts;
	int64_t time_ms;
	struct status status; /* filled when asked for; owned */
	char *addr;           /* the same */
};
/* All rows of an envelope in order; *out is malloc'ed. */
int queue_store_rcpts(struct queue_store *, const struct store_envelope *, bool full,
    struct store_rcpt_row **out, size_t *n);
void queue_store_rcpts_free(struct store_rcpt_row *, size_t n);
/* found = false: no such row. */
int queue_store_get_envelope(
    struct queue_store *, uint64_t qid, struct store_envelope *, bool *found);
/* sender: appended to the buf when not NULL. */
int queue_store_get_message(
    struct queue_store *, uint64_t id, struct store_message *, struct buf *sender, bool *found);
/* Waiting envelopes of a destination behind a place and planned for `to` at the latest, in order.
 */
struct store_waiting_query {
	uint64_t dest;
	struct store_place after;
	int64_t to;
	const uint64_t *busy; /* sorted qids to be left out */
	size_t n_busy;
	unsigned max;
};
/* *n into out; *last: the place of the last one looked at, `after` when there was none. */
int queue_store_waiting(struct queue_store *, const struct store_waiting_query *,
    struct store_envelope *out, unsigned *n, struct store_place *last);
/* Messages with recipients that a report is owed for: start only. */
int queue_store_owing(struct queue_store *, uint64_t *out, unsigned max, unsigned *n);
/* Messages in a segment: for copying forward; scans, reading connection only. */
int queue_store_in_segment(
    struct queue_store *, uint64_t seg, struct store_message *out, unsigned max, unsigned *n);

#endif
