/* SPDX-License-Identifier: ISC */
/*
 * Process queue: the spool's only writer. Holds accepted mail until it is delivered,
 * reported or removed. This file is the role: start, messages, reload, end. It talks
 * to no network.
 */
#include "base/log.h"
#include "base/str.h"
#include "proc.h"
#include "queue/queue_audit.h"
#include "queue/queue_internal.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct queue the_queue = {
    .conf_lock = PTHREAD_MUTEX_INITIALIZER,
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .cond = PTHREAD_COND_INITIALIZER,
    .spool_fd = -1,
    .lock_fd = -1,
};

struct queue *
queue_self(void)
{
	return &the_queue;
}

void
queue_final(struct queue *q, const char *what, const char *why)
{
	struct log_line l;

	(void)q;
	log_begin(&l, LOG_LEVEL_ERROR, EV_SPOOL);
	log_str(&l, LK_STATE, "failed");
	log_str(&l, LK_REASON, what);
	log_str(&l, LK_TEXT, why);
	log_end(&l);
	log_flush();
	/* not a word more to anybody: what was not acknowledged was not accepted */
	_exit(1);
}

static void
drain_step(struct queue *q)
{
	if (!q->draining || q->n_by_mid > 0)
		return;
	pthread_mutex_lock(&q->lock);
	bool idle = TAILQ_EMPTY(&q->todo) && TAILQ_EMPTY(&q->finished);
	pthread_mutex_unlock(&q->lock);
	if ((!idle || q->n_jobs > 0) && ev_now_ms() < q->drain_until &&
	    !__atomic_load_n(&q->waits_for_room, __ATOMIC_RELAXED))
		return;
	queue_commit_stop(q); /* finishes what it was given, unless there is no room for it */
	qworker_stop(&q->maint);
	q->reader_stop = true;
	qworker_stop(&q->reader);
	/* what is left of the log is moved by the next start at leisure */
	proc_exit(0);
}

/* Ops come back from the commit thread. */
static void
on_committed(void *arg)
{
	struct queue *q = arg;
	struct qop_list list = TAILQ_HEAD_INITIALIZER(list);
	struct qop *op;
	bool dead;

	pthread_mutex_lock(&q->lock);
	TAILQ_CONCAT(&list, &q->finished, entry);
	dead = q->dead;
	pthread_mutex_unlock(&q->lock);
	q->count.commits += !TAILQ_EMPTY(&list);
	while ((op = TAILQ_FIRST(&list)) != NULL) {
		TAILQ_REMOVE(&list, op, entry);
		q->count.ops++;
		op->class->done(q, op);
	}
	if (dead)
		queue_final(q, "the spool cannot be written", q->failure);
	queue_maint_after_commit(q);
	drain_step(q);
}

/* ---- role ------------------------------------------------------------------------------------ */

/* As root: the directory exists and belongs to our user. */
static int
queue_prepare(const struct conf *conf, char *err, size_t errsize)
{
	char user[64];
	const struct passwd *pw;

	if (geteuid() != 0)
		return 0;
	if (mkdir(conf->server->spool, 0700) == -1 && errno != EEXIST) {
		(void)str_printf(
		    err, errsize, "spool %s: %s", conf->server->spool, strerror(errno));
		return -1;
	}
	(void)str_printf(user, sizeof(user), "%s-queue", conf->server->user_prefix);
	pw = getpwnam(user);
	if (pw != NULL && chown(conf->server->spool, pw->pw_uid, pw->pw_gid) == -1) {
		(void)str_printf(
		    err, errsize, "spool %s: %s", conf->server->spool, strerror(errno));
		return -1;
	}
	return 0;
}

static int
queue_start(const struct conf *conf, char *err, size_t errsize)
{
	struct queue *q = &the_queue;

	q->conf = conf;
	TAILQ_INIT(&q->todo);
	TAILQ_INIT(&q->finished);
	queue_sched_init(q);
	if (queue_recover_lock(conf->server->spool, &q->spool_fd, &q->lock_fd, err, errsize) ==
		-1 ||
	    queue_recover(q, err, errsize) == -1)
		return -1;
	if (queue_audit_start(q, err, errsize) == -1)
		return -1;
	q->wake = ev_wake_new(on_committed, q);
	if (queue_commit_start(q, err, errsize) == -1)
		return -1;
	if (qworker_start(&q->maint) == -1 || qworker_start(&q->reader) == -1) {
		(void)str_printf(err, errsize, "worker threads: %s", strerror(errno));
		return -1;
	}
	queue_reports_recover(q);
	queue_audit_tick(q);
	queue_tick_start(q);
	return 0;
}

static void
queue_drain(bool hard)
{
	struct queue *q = &the_queue;
	struct qdest *d;

	q->draining = true;
	/* what deliver has not got lies in its rows */
	TAILQ_FOREACH (d, &q->dests, entry)
		queue_dest_unload(q, d);
	q->drain_until = ev_now_ms() + (hard ? 1000 : 4000);
	drain_step(q);
}

void
queue_drain_tick(struct queue *q)
{
	drain_step(q);
}

static void
queue_reload(const struct conf *conf)
{
	struct queue *q = &the_queue;

	pthread_mutex_lock(&q->conf_lock);
	q->conf = conf;
	pthread_mutex_unlock(&q->conf_lock);
	/* transports may have come back or gone on: every destination is looked at again */
	q->scanned_due = INT64_MIN;
	q->scanned_id = 0;
	q->next_scan = 0;
	queue_sched_resume(q);
}

static void
peer_up(struct ipc_peer *p)
{
	struct queue *q = &the_queue;
	enum role role = ipc_peer_role(p);

	if (role == ROLE_FRONT)
		queue_space_tell(q, p);
	else if (role == ROLE_DELIVER)
		queue_deliver_up(q, p);
}

static void
peer_down(struct ipc_peer *p)
{
	struct queue *q = &the_queue;
	enum role role = ipc_peer_role(p);

	if (role == ROLE_FRONT)
		queue_front_down(q, p);
	else if (role == ROLE_DELIVER)
		queue_deliver_down(q, p);
	else if (role == ROLE_CONTROL)
		queue_ctl_peer_down(q, p);
}

static size_t
queue_paths(const struct conf *conf, const char **rw, size_t max)
{
	if (max < 1)
		return 0;
	rw[0] = conf->server->spool;
	return 1;
}

static const struct ipc_handler queue_msgs[] = {
    {IPC_MSG_OFFER, queue_on_offer},
    {IPC_MSG_MORE, queue_on_more},
    {IPC_BODY_OPEN, queue_on_body_open},
    {IPC_BODY_DROP, queue_on_body_drop},
    {IPC_JOB_RES, queue_on_job_res},
    {IPC_CTL_REQ, queue_on_ctl_req},
    {IPC_CTL_CANCEL, queue_on_ctl_cancel},
    {IPC_NONE, NULL},
};

const struct proc_role queue_role = {
    .role = ROLE_QUEUE,
    .name = "queue",
    .per_generation = false,
    .sandbox = SANDBOX_FILES | SANDBOX_THREADS,
    .prepare = queue_prepare,
    .start = queue_start,
    .drain = queue_drain,
    .reload = queue_reload,
    .ipc = {.handlers = queue_msgs, .peer_up = peer_up, .peer_down = peer_down},
    .paths = queue_paths,
};
