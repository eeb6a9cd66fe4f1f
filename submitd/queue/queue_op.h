/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_QUEUE_QUEUE_OP_H
#define SUBMITD_QUEUE_QUEUE_OP_H

#include "base/list.h"
#include "ipc/ipc.h"
#include "mail/envelope.h"
#include "queue/queue_body.h"
#include "queue/queue_retry.h"
#include "queue/queue_store.h"

/* The bounds of the queue, and the pieces of work that its threads hand each other. */

/* ---- bounds, named in submitd-queue(7) ------------------------------------------------------- */
#define FRESH_BYTES (64u << 20) /* bodies kept in memory for delivery */
#define FRESH_MESSAGES 4096u
#define FRESH_PER_DEST 2048u      /* jobs loaded for one destination */
#define OFFER_BYTES (96u << 20)   /* being received or committed: above it fronts are not read */
#define OFFERS_MAX 16384u         /* unfinished offers of all fronts */
#define SMALL_BODY_MAX (1u << 20) /* larger ones must come as a file */
#define BATCH_OPS 2048u
#define BATCH_BYTES (16u << 20)
#define DESTS_MAX 8192u        /* destinations in memory */
#define DEST_PAGE 256u         /* read from the schedule at once */
#define FETCH_PAGE 64u         /* messages read for one destination at once */
#define FETCH_BYTES (8u << 20) /* and their bodies */
#define JOBS_PER_DELIVER 1000u
#define JOBS_PER_CONN 4u
#define WAITING_PAGE 200u
#define PRUNE_PAGE 500u
#define WAL_PAGES 16000u
#define QID_RESERVE 100000u
#define REPORT_WAIT_MS 30000 /* for other recipients of the message that are being tried */
#define DEST_IDLE_MS 2000
#define REPORT_FULL_MAX (1u << 20) /* RET=FULL returns messages up to this size */
#define REPORTS_MAX 2000u          /* messages waiting for their report in memory */
#define REPORTS_RUNNING 32u
#define OPEN_FILES_MAX 10000u       /* large bodies being received */
#define AUDIT_ROWS_MAX (256u << 20) /* acceptance records that the ledger does not take */

struct queue;
struct qcommit;
struct qmsg;
struct qjob;

enum qaction {
	QACTION_NONE = 0,
	QACTION_RETRY = 1,
	QACTION_HOLD = 2,
	QACTION_RELEASE = 3,
	QACTION_REMOVE = 4,
	QACTION_BOUNCE = 5,
	QACTION_POSTPONE = 6, /* ours: a body that could not be read just now */
};

/* ---- work for the commit thread -------------------------------------------------------------- */

struct qop;
typedef void qop_fn(struct queue *, struct qop *);
/*
 * One piece of work. prepare and apply run on the commit thread: prepare before the
 * bodies of the batch are written (it may add one), apply within the transaction,
 * after it (reads only) after the commit. done runs on the event thread and frees it.
 * apply runs again when the transaction found no room: what it gives it sets anew.
 */
struct qop_class {
	const char *name;
	int (*prepare)(struct qcommit *, struct qop *); /* may be NULL */
	int (*apply)(struct qcommit *, struct qop *);   /* may be NULL; -1 undoes the batch */
	int (*after)(struct qcommit *, struct qop *);   /* may be NULL; -1 is final */
	qop_fn *done;
};
struct qop {
	TAILQ_ENTRY(qop) entry;
	const struct qop_class *class;
	size_t bytes;
	bool no_space;        /* there is no room for it, or its body cannot be read: not applied */
	bool brings_mail;     /* set by prepare: it may be refused without any loss */
	struct body_put *put; /* set by prepare */
};
TAILQ_HEAD(qop_list, qop);

/* A job for another worker: fn on its thread, done on the event thread. */
struct qwork {
	TAILQ_ENTRY(qwork) entry;
	void (*fn)(struct qwork *);
	void (*done)(struct qwork *);
	struct queue *q;
};

struct qop_accept {
	struct qop op;
	struct qmsg *msg;
	struct body_put put;
	bool known;      /* it was in the queue already */
	bool audit;      /* it gets an acceptance record */
	bool audit_full; /* there is no room for its record */
	int seal_error;
	bool bad_file;     /* a large body that is not there, or too short */
	struct qwork work; /* queue_maint.c: on its way to being synced */
};

enum qfate {
	QFATE_RETRY = 0,
	QFATE_DELIVERED = 1,
	QFATE_FAILED = 2,
	QFATE_EXPIRED = 3,
	QFATE_DISCARDED = 4,
};
struct qresult_rcpt {
	enum qfate fate;
	enum rcpt_report report; /* to be stored with it */
	bool hold;               /* FAILED, EXPIRED: nobody may be told */
	struct status status;
};
struct qop_result {
	struct qop op;
	struct qjob *job;
	struct ipc_peer *peer; /* that gets JOB_ACK; NULL: gone */
	int64_t now, next;
	uint32_t attempts;
	char *mx;
	bool owes, waits;            /* out: a report is due; something is left to be tried */
	struct qresult_rcpt rcpts[]; /* as job->rcpts */
};

/* A destination as the commit thread saw it. */
struct qtouch {
	uint64_t id;
	char *transport, *name;
	int64_t retry_at;
	uint32_t fails;
};
struct qtouch_list {
	struct qtouch *v;
	size_t n;
};
struct qowed {
	uint64_t msg;
	uint32_t n_env;
};

struct qreport_rcpt {
	uint64_t rid, qid;
	enum rcpt_report report;
};
struct qop_report {
	struct qop op;
	uint64_t msg_id;
	/* the report: ids, then what prepare made */
	struct uuid mid;
	uint64_t qid, rid;
	struct body_put put;
	struct buf head, body;
	struct message *m;
	struct qreport_rcpt *rcpts; /* it covers */
	size_t n_rcpts;
	const char *hold_reason; /* nobody can be told: why */
	char sender[ADDR_TEXT];
	struct uuid original;
	struct qtouch_list touched;
};

struct qop_action {
	struct qop op;
	enum qaction action;
	uint64_t *qids;
	size_t n_qids;
	char *user;   /* who asked; NULL: we did */
	char *reason; /* for QACTION_HOLD */
	int64_t now;
	uint64_t n_active; /* of them are being tried: asked back */
	uint64_t count;    /* out */
	struct qtouch_list touched;
	struct qowed *owed;
	size_t n_owed;
	void *ctl; /* queue_ctl.c */
};

struct qop_dest { /* backoff, settle */
	struct qop op;
	uint64_t dest;
	uint32_t fails;
	int64_t retry_at;
	char *reason;
	int64_t next_due; /* out */
};

/* Given up, or told of: what waits behind a destination that cannot be reached. */
struct qop_waiting {
	struct qop op;
	uint64_t dest;
	struct retry_rule rule;
	int64_t *delays;
	int64_t now;
	uint64_t *busy;
	size_t n_busy;
	char *transport, *name, *reason;
	unsigned n_expired; /* out */
	bool more;          /* out: there may be further senders to be told of the delay */
	struct qowed *owed;
	size_t n_owed;
};

struct qop_move {
	struct qop op;
	uint64_t msg_id;
	struct body_ref from;
	struct body_put put;
	struct buf head, body;
};
struct qop_time { /* prune, clamp */
	struct qop op;
	int64_t before;
	unsigned count;
};

#endif
