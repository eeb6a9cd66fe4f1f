/* SPDX-License-Identifier: ISC */
/*
 * Start of process queue: lock, database, body files. What a crash left behind is
 * garbage without rows and goes; what is not ours or damaged is set aside and
 * reported, the rest goes on. The work grows with the number of segment files and
 * large files, not with the messages that wait.
 */
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "queue/queue_internal.h"
#include "queue/queue_rebuild.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

int
queue_recover_lock(const char *spool, int *spool_fd, int *lock_fd, char *err, size_t errsize)
{
	int dir = -1, lock = -1;

	if (fs_mkdirat(AT_FDCWD, spool, 0700) == -1 && errno != EEXIST) {
		(void)str_printf(err, errsize, "spool %s: %s", spool, strerror(errno));
		return -1;
	}
	dir = fs_open(spool, O_RDONLY | O_DIRECTORY, 0);
	if (dir != -1)
		lock = fs_openat(dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	if (lock == -1) {
		(void)str_printf(err, errsize, "spool %s: %s", spool, strerror(errno));
		goto fail;
	}
	if (flock(lock, LOCK_EX | LOCK_NB) == -1) {
		(void)str_printf(err, errsize, "spool %s: %s", spool,
		    errno == EWOULDBLOCK ? "another submitd is using it" : strerror(errno));
		goto fail;
	}
	*spool_fd = dir;
	*lock_fd = lock;
	return 0;
fail:
	if (lock != -1)
		fs_close(lock);
	if (dir != -1)
		fs_close(dir);
	return -1;
}

int
queue_recover_set_aside_db(int spool_fd, char *err, size_t errsize)
{
	static const char *const names[] = {"queue.db", "queue.db-wal", "queue.db-shm"};
	long long now = (long long)time(NULL);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char to[100];
		(void)str_printf(to, sizeof(to), "aside/%lld-%s", now, names[i]);
		if (fs_renameat(spool_fd, names[i], to) == -1 && errno != ENOENT) {
			(void)str_printf(
			    err, errsize, "spool: setting %s aside: %s", names[i], strerror(errno));
			return -1;
		}
	}
	return 0;
}

static void
report_rebuild(const struct queue_rebuild_stats *s, const char *why)
{
	struct log_line l;

	log_begin(&l, LOG_LEVEL_ERROR, EV_SPOOL);
	log_str(&l, LK_REASON, why);
	log_u64(&l, LK_MESSAGES, s->messages);
	log_u64(&l, LK_ERRORS, s->damaged);
	log_str(&l, LK_STATE, "held");
	log_str(&l, LK_TEXT,
	    "the queue was rebuilt from its body files: look at it with submitctl queue list, then "
	    "release");
	log_end(&l);
}

static int
any_body(void *arg, bool is_big, const char *name)
{
	bool *any = arg;

	*any = *any || is_big || queue_body_segment_number(name) != 0;
	return 0;
}

/* A new database from the bodies; why: the old one cannot be used. */
static int
rebuild_store(struct queue *q, const char *why, char *err, size_t errsize)
{
	struct queue_rebuild_stats stats;
	bool damaged;

	if (queue_rebuild_begins(q->spool_fd) == -1) {
		(void)str_printf(err, errsize, "spool: %s", strerror(errno));
		return -1;
	}
	if (queue_recover_set_aside_db(q->spool_fd, err, errsize) == -1)
		return -1;
	q->commit.store = queue_store_open(q->db_path, STORE_WRITE, &damaged, err, errsize);
	if (q->commit.store == NULL)
		return -1;
	if (queue_rebuild_into(q->commit.store, q->commit.body, &stats) == -1) {
		(void)str_printf(err, errsize, "spool: %s", queue_store_error(q->commit.store));
		return -1;
	}
	if (queue_rebuild_ended(q->spool_fd) == -1) {
		(void)str_printf(err, errsize, "spool: %s", strerror(errno));
		return -1;
	}
	report_rebuild(&stats, why);
	return 0;
}

/* The database; when it is damaged, or lost while bodies are there: a new one from the bodies. */
static int
open_store(struct queue *q, char *err, size_t errsize)
{
	struct stat st;
	bool damaged = false, bodies = false;
	bool lost = fstatat(q->spool_fd, "queue.db", &st, 0) == -1 && errno == ENOENT;

	if (queue_body_each_file(q->commit.body, any_body, &bodies) == -1) {
		(void)str_printf(err, errsize, "spool: %s", strerror(errno));
		return -1;
	}
	if (queue_rebuild_is_unfinished(q->spool_fd))
		return rebuild_store(
		    q, "a rebuild of the queue database had not ended", err, errsize);
	if (lost && bodies)
		return rebuild_store(q, "the queue database was lost", err, errsize);
	q->commit.store = queue_store_open(q->db_path, STORE_WRITE, &damaged, err, errsize);
	if (q->commit.store != NULL)
		return 0;
	if (!damaged)
		return -1;
	log_note(LOG_LEVEL_ERROR, "spool: %s: set aside", err);
	return rebuild_store(q, "the queue database was lost", err, errsize);
}

struct cleaning {
	struct queue *q;
	uint64_t last_seg;
	unsigned removed, aside;
};

static void
set_aside(struct cleaning *k, bool is_big, const char *name)
{
	struct log_line l;

	log_begin(&l, LOG_LEVEL_ERROR, EV_SPOOL);
	log_str(&l, LK_FILE, name);
	log_str(&l, LK_REASON, "no file of this spool: set aside");
	log_end(&l);
	if (queue_body_set_aside(k->q->commit.body, is_big, name) == 0)
		k->aside++;
}

static int
clean_file(void *arg, bool is_big, const char *name)
{
	struct cleaning *k = arg;
	struct qcommit *c = &k->q->commit;
	uint64_t seg = is_big ? 0 : queue_body_segment_number(name);
	struct uuid mid;
	bool known = false;

	if (is_big) {
		/* one without a row may still be written by a front: the sweep removes it by its
		 * age */
		if (uuid_parse(span_of(name), &mid) == -1)
			set_aside(k, true, name);
		return 0;
	}
	if (seg > k->last_seg)
		k->last_seg = seg;
	for (size_t i = 0; i < c->n_segs && seg != 0; i++)
		known = known || c->segs[i].seg == seg;
	if (seg == 0 || !queue_body_segment_ours(c->body, name))
		set_aside(k, false, name);
	else if (!known && queue_body_unlink(c->body, false, name) == 0)
		k->removed++;
	return 0;
}

int
queue_recover(struct queue *q, char *err, size_t errsize)
{
	struct qcommit *c = &q->commit;
	struct cleaning k = {.q = q};
	struct store_ids ids;
	bool damaged;

	q->db_path = xasprintf("%s/queue.db", q->conf->server->spool);
	c->q = q;
	c->body = queue_body_open(q->spool_fd, err, errsize);
	if (c->body == NULL || open_store(q, err, errsize) == -1)
		return -1;
	c->reader = queue_body_reader_new(c->body);
	if (queue_store_ids(c->store, &ids) == -1 || qcommit_segments_load(c) == -1) {
		(void)str_printf(err, errsize, "%s: %s", q->db_path, queue_store_error(c->store));
		return -1;
	}
	q->next_qid = ids.next_qid;
	q->next_rid = ids.next_rid;
	k.last_seg = ids.last_seg;
	if (queue_body_each_file(c->body, clean_file, &k) == -1) {
		(void)str_printf(err, errsize, "spool: %s", strerror(errno));
		return -1;
	}
	if (qcommit_keep_room(c) == STORE_ROOM_NONE)
		log_note(LOG_LEVEL_WARN,
		    "spool: this file system cannot set room aside: where it is full, what became "
		    "of mail is kept in memory until there is room");
	queue_body_set_last(c->body, k.last_seg);
	q->current_seg = k.last_seg + 1;
	q->maint_store = queue_store_open(q->db_path, STORE_READ, &damaged, err, errsize);
	if (q->maint_store != NULL)
		q->reader_store = queue_store_open(q->db_path, STORE_READ, &damaged, err, errsize);
	return q->reader_store == NULL ? -1 : 0;
}
