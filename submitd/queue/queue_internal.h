/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_QUEUE_QUEUE_INTERNAL_H
#define SUBMITD_QUEUE_QUEUE_INTERNAL_H

#include "base/ev.h"
#include "base/list.h"
#include "conf/conf.h"
#include "ipc/audit_batch.h"
#include "ipc/ipc.h"
#include "mail/envelope.h"
#include "mail/job.h"
#include "queue/queue_op.h"

#include <pthread.h>

/*
 * What the files of the queue share. Threads: the event thread owns everything here
 * but what says otherwise; the commit thread gets an op, and with it what the op
 * points to, until the op comes back through its done function.
 */

struct queue;
struct qdest;
struct qdeliver;

/*
 * Which front: the supervisor says so when it connects us, so no front can be another. It
 * stays when its socket breaks and is made anew; a restarted one has the same.
 */
struct qowner {
	unsigned instance;
	uint64_t generation;
};

struct qfile {
	struct uuid mid;
	struct ipc_peer *peer;
	struct qowner owner;
};

/* ---- messages and jobs ----------------------------------------------------------------------- */

/* Recipients of one message that go to one destination. */
struct qenv {
	uint64_t qid, first_rid;
	uint32_t first, n; /* into order */
	/* filled at the commit */
	uint64_t dest;
	int64_t retry_at;
	uint32_t fails;
};

struct qmsg {
	unsigned refs;
	uint64_t id; /* first qid */
	struct uuid mid;
	struct message *m; /* recipients have their ids */
	struct buf head, body;
	uint64_t head_size, body_size;
	bool large;
	uint32_t *order; /* recipients sorted by envelope */
	struct qenv *envs;
	uint32_t n_envs;
	unsigned unsent;    /* jobs that still need the body */
	size_t fresh_bytes; /* what it counts against FRESH_BYTES */
	size_t offer_bytes; /* what it counts against OFFER_BYTES */
	/* while it is offered and committed */
	struct ipc_peer *from; /* NULL: the front is gone */
	struct qowner owner;   /* only it may go on with the offer, or repeat it */
	struct qmsg *next_by_mid;
	bool committing;
};

struct qjob_rcpt {
	uint64_t rid;
	uint32_t index; /* into msg->m->rcpts */
	bool warned;
};
enum qjob_state { QJOB_READY = 0, QJOB_SENT = 1, QJOB_COMMITTING = 2 };
struct qjob {
	TAILQ_ENTRY(qjob) entry;      /* dest->ready while QJOB_READY */
	TAILQ_ENTRY(qjob) dest_entry; /* dest->jobs */
	struct qjob *next_by_qid;
	uint64_t qid;
	enum qjob_state state;
	enum qaction after; /* an operator asked while it was active */
	char *after_user;
	struct qdest *dest;
	struct qdeliver *to;
	struct qmsg *msg;
	int big_fd;                /* -1: none */
	struct qop_result *result; /* statuses that came in earlier frames (JOB_RES more=1) */
	struct store_envelope env;
	uint32_t n_rcpts;
	struct qjob_rcpt rcpts[];
};

struct qdest {
	TAILQ_ENTRY(qdest) entry, ring;
	struct qdest *next_by_id;
	uint64_t id;
	char *transport, *name;
	TAILQ_HEAD(, qjob) jobs, ready;
	unsigned n_jobs, n_ready, n_sent;
	bool on_ring;
	bool db_more; /* rows may be due */
	bool fetching, settling;
	bool sweep_due, sweeping; /* queue_waiting.c looks for messages that wait too long */
	int64_t next_look;        /* when the next row will be due */
	uint32_t fails;
	int64_t retry_at; /* wall clock; 0: no backoff */
	char *reason;     /* why it waits */
	struct qdeliver *owner;
	int64_t idle_since; /* monotonic */
};

struct qdeliver {
	TAILQ_ENTRY(qdeliver) entry;
	struct ipc_peer *peer;
	unsigned n_sent;
	uint64_t n_given; /* destinations it was given so far */
};

/* A message whose sender is owed a report, perhaps for more recipients soon. */
struct qreport {
	TAILQ_ENTRY(qreport) entry;
	uint64_t msg;
	uint32_t n_env;
	int64_t deadline; /* monotonic */
	bool running;
	bool again; /* something came while it was running */
};

/* ---- threads --------------------------------------------------------------------------------- */

/* State of the commit thread; nobody else touches it. */
struct qcommit {
	struct queue *q;
	struct queue_store *store;
	struct queue_body *body;
	struct queue_body_reader *reader;
	struct store_segment *segs;
	size_t n_segs, cap_segs;
	bool *seg_dirty;
	uint64_t qid_limit;
	int64_t now;        /* wall clock of this batch */
	bool bodies;        /* records of this batch are in the segment */
	bool short_of_room; /* what the rows have set aside does not stand: no new mail */
	bool sync_big;      /* a large file is in this batch: its directory must be synced */
	/* unlinked after the commit */
	struct uuid *big_freed;
	size_t n_big_freed, cap_big_freed;
	/* acceptance records of this batch; numbers of this start */
	struct audit_batch audit;
	uint64_t audit_src, audit_n, audit_id;
	struct qop_list audit_made;
};
/* queue_segment.c */
/* Counts a record in or out of its segment. */
void qcommit_segment_add(struct qcommit *, const struct body_ref *);
void qcommit_freed(struct qcommit *, const struct store_freed *);
/* What the rows say: at the start, and after a transaction that was rolled back. */
int qcommit_segments_load(struct qcommit *);
/* The changed counters; rows of segments that nobody needs go. */
int qcommit_segments_store(struct qcommit *);
/* After the commit: files without rows go. A failed unlink is repaired by the next start. */
void qcommit_files_release(struct qcommit *);

/* queue_commit.c */
/* Reads the rows of an envelope again and makes its state follow from them. */
int qcommit_reeval(
    struct qcommit *, uint64_t qid, const int64_t *next, const uint32_t *attempts, bool *waits);
int qcommit_insert(struct qcommit *, const struct qmsg *, const struct body_ref *);
/* Makes the room that the rows have set aside whole again, as far as there is some. */
enum store_room qcommit_keep_room(struct qcommit *);
void qtouch_add(struct qtouch_list *, const struct store_dest *);
void qtouch_clear(struct qtouch_list *);

/* A worker thread with a list of jobs. */
TAILQ_HEAD(qwork_list, qwork);
struct qworker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct qwork_list todo, finished;
	struct ev_wake *wake;
	bool stop, started;
};
int qworker_start(struct qworker *);
void qworker_push(struct qworker *, struct queue *, struct qwork *);
void qworker_stop(struct qworker *);

/* ---- the queue ------------------------------------------------------------------------------- */

struct queue_counters {
	uint64_t offers, accepted, duplicates, refused_full, bytes;
	uint64_t jobs, results, delivered, deferred, failed, expired, discarded, held, reports;
	uint64_t commits, ops, fetches, returned;
};

struct queue {
	const struct conf *conf;
	pthread_mutex_t
	    conf_lock; /* the commit thread reads conf under it; reload() swaps under it */
	int spool_fd, lock_fd;
	char *db_path;
	uint64_t next_qid, next_rid; /* atomic */
	struct queue_counters count;

	/* commit thread */
	struct qcommit commit;
	pthread_t commit_thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct qop_list todo, finished;
	struct ev_wake *wake;
	bool stop, started, dead;
	bool checkpoint_now; /* atomic: the rest of the log is short */
	unsigned wal_pages;  /* atomic */
	bool short_of_room;  /* atomic: as in qcommit */
	bool waits_for_room; /* atomic: a transaction does, however long */
	char failure[320];

	/* other threads: maintenance (syncs of large files, checkpoints, copying), reader (control)
	 */
	struct qworker maint, reader;
	struct queue_store *maint_store, *reader_store;
	bool checkpointing, compacting, reader_stop;

	/* accepting */
	struct qmsg **by_mid;
	size_t n_by_mid;
	size_t offer_bytes;   /* being committed */
	size_t partial_bytes; /* of offers that are not whole yet */
	bool full, very_full, paused, asking_room;
	uint64_t unchecked_bytes; /* accepted since the room was looked at */
	struct qfile *open_files; /* large bodies that fronts write */
	size_t n_open_files, cap_open_files;

	/* acceptance records: rows up to loaded are in the outbox or gone */
	struct {
		uint64_t loaded, acked, forgotten, bytes;
		bool behind, loading, forgetting;
	} audit;

	/* schedule */
	struct qjob **by_qid;
	size_t n_jobs;
	struct qdest **by_dest;
	unsigned n_dests;
	TAILQ_HEAD(, qdest) dests, ring;
	TAILQ_HEAD(, qdeliver) delivers;
	TAILQ_HEAD(, qreport) reports;
	unsigned n_reports, n_running;
	bool owing_more, owing_asked;
	size_t fresh_bytes;
	unsigned fresh_messages;
	int64_t scanned_due; /* destinations due up to this time are in memory, or settled */
	uint64_t scanned_id;
	int64_t next_scan;
	bool scanning, running;
	struct ev_turn turn;
	struct ev_timer tick, retry_timer;
	int64_t last_wall, last_mono, last_prune, last_sweep, last_compact;
	bool pruning;
	unsigned moving;
	uint64_t compact_skip;
	uint64_t current_seg; /* atomic: set by the commit thread */
	bool draining;
	int64_t drain_until;
};

/* queue_result.c */
void queue_result_free(struct qjob *, struct qop_result *); /* NULL is fine */

int queue_commit_start(struct queue *, char *err, size_t errsize);
void queue_commit_stop(struct queue *);
void queue_push(struct queue *, struct qop *);
uint64_t queue_take_ids(uint64_t *counter, uint64_t n);

/* queue_accept.c */
extern const struct qop_class queue_accept_class;
int queue_on_offer(struct ipc_peer *, struct ipc_in *);
int queue_on_more(struct ipc_peer *, struct ipc_in *);
void queue_front_down(struct queue *, struct ipc_peer *);
/* Being offered or committed; NULL: no such. */
struct qmsg *queue_offer_find(struct queue *, const struct uuid *);
int queue_take_mid(struct span, struct uuid *out);
struct qowner qowner_of(const struct ipc_peer *);
bool qowner_is(const struct qowner *, const struct ipc_peer *);
struct qmsg *qmsg_new(const struct uuid *);
void qmsg_unref(struct queue *, struct qmsg *);
/* Groups the recipients by transport and destination; gives ids. */
void qmsg_group(struct queue *, struct qmsg *);

/* queue_file.c */
int queue_on_body_open(struct ipc_peer *, struct ipc_in *);
int queue_on_body_drop(struct ipc_peer *, struct ipc_in *);
/* It is open, and another front's. */
bool queue_file_is_foreign(const struct queue *, const struct uuid *, const struct ipc_peer *);
void queue_file_forget(struct queue *, const struct uuid *);
void queue_file_drop(struct queue *, const struct uuid *);
/* What it was writing nobody can finish. */
void queue_file_front_down(struct queue *, const struct ipc_peer *);

/* queue_sched.c */
void queue_sched_init(struct queue *);
void queue_sched_fresh(struct queue *, struct qmsg *);
/* These have due rows. now: whatever backoff they had is over. */
void queue_sched_kick(struct queue *, const struct qtouch_list *, bool now);
void queue_sched_run(struct queue *);
void queue_sched_resume(
    struct queue *); /* configuration or peers changed: look at everything again */
void queue_deliver_up(struct queue *, struct ipc_peer *);
void queue_deliver_down(struct queue *, struct ipc_peer *);
struct qdest *queue_dest_find(struct queue *, uint64_t id);
struct qdest *queue_dest_load(struct queue *, const struct qtouch *); /* NULL: no room */
struct qjob *queue_job_find(struct queue *, uint64_t qid);
void queue_dest_drop(struct queue *, struct qdest *);
/* Takes over a job that was read; its message's reference is the caller's gift. */
void queue_job_load(struct queue *, struct qdest *, struct qjob *);
void queue_job_free(struct queue *, struct qjob *);
void queue_job_sent_back(struct queue *, struct qjob *); /* it leaves QJOB_SENT */
void queue_dest_ring(struct queue *, struct qdest *);
int64_t queue_now(void);
void queue_rule(const struct conf_transport *, struct retry_rule *);
uint64_t *queue_dest_busy(const struct qdest *, size_t *n); /* sorted, malloc'ed */

/* queue_fetch.c */
void queue_fetch(struct queue *, struct qdest *);
void queue_scan(struct queue *);
void queue_settle(struct queue *, struct qdest *);

/* queue_tick.c */
void queue_tick_start(struct queue *);
void queue_dest_unload(struct queue *, struct qdest *);
void queue_prune(struct queue *);

/* queue_result.c */
int queue_on_job_res(struct ipc_peer *, struct ipc_in *);

/* queue_waiting.c */
/* When sweep_due, and as soon as nothing of it is being read. */
void queue_waiting_sweep(struct queue *, struct qdest *);

/* queue_dsn.c */
void queue_report(struct queue *, uint64_t msg, uint32_t n_env);
void queue_report_owed(struct queue *, struct qowed *, size_t n);
void queue_reports_run(struct queue *);
void queue_reports_recover(struct queue *);

/* queue_action.c */
/* Ends all waiting and held recipients of an envelope; shared with queue_waiting.c. */
struct qend {
	enum outcome outcome;
	bool discard;      /* nobody is told */
	bool only_waiting; /* leave the held ones */
	const char *transport, *dest;
	const struct status *status; /* NULL: each keeps its last one */
	int64_t now;
};
int qcommit_end_envelope(
    struct qcommit *, const struct store_envelope *, const struct qend *, bool *owes);
void qowed_add(struct qowed **, size_t *n, uint64_t msg, uint32_t n_env);
void queue_action_push(struct queue *, struct qop_action *);

/* queue_ctl.c */
int queue_on_ctl_req(struct ipc_peer *, struct ipc_in *);
int queue_on_ctl_cancel(struct ipc_peer *, struct ipc_in *);
void queue_ctl_action_done(struct queue *, struct qop_action *);
void queue_ctl_peer_down(struct queue *, struct ipc_peer *);

/* queue_space.c */
void queue_space_check(struct queue *);
void queue_space_tick(struct queue *);
/* So much more was accepted: looks again when it is time. */
void queue_space_used(struct queue *, uint64_t bytes);
void queue_space_tell(struct queue *, struct ipc_peer *);

/* queue_maint.c */
void queue_maint_tick(struct queue *);
void queue_maint_after_commit(struct queue *);
/* Syncs a large file on the maintenance thread, then pushes the op. */
void queue_maint_seal(struct queue *, struct qop_accept *);

/* queue_recover.c */
int queue_recover_lock(const char *spool, int *spool_fd, int *lock_fd, char *err, size_t errsize);
int queue_recover_set_aside_db(int spool_fd, char *err, size_t errsize);
/* Opens database and bodies, cleans up; fills q. */
int queue_recover(struct queue *, char *err, size_t errsize);

/* queue.c */
/* Something on disk failed for good: says so and ends the process. */
void queue_final(struct queue *, const char *what, const char *why) __attribute__((noreturn));
struct queue *queue_self(void);
void queue_drain_tick(struct queue *);

#endif
