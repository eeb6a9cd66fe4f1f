/* SPDX-License-Identifier: ISC */
/*
 * Brings a lost database back from the body files, everything held: which of these
 * messages were delivered since is not known without the rows. Runs in submitctl,
 * offline, and in process queue at start when the database was damaged.
 */
#include "queue/queue_rebuild.h"

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "queue/queue_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PER_TRANSACTION 2000u

struct rebuild {
	struct queue_store *store;
	struct queue_body *body;
	struct queue_rebuild_stats *stats;
	uint64_t max_qid, next_rid;
	struct store_segment seg; /* being scanned */
	bool seg_bad;
	unsigned in_transaction;
	bool failed;
};

static int
insert_envelope(
    struct rebuild *r, const struct qmsg *msg, const struct qenv *e, const struct status *why)
{
	const struct message *m = msg->m;
	const struct rcpt *first = &m->rcpts[msg->order[e->first]];
	struct store_dest *d =
	    queue_store_dest(r->store, first->transport, first->dest, STORE_NEVER);
	struct store_envelope env = {.qid = e->qid,
	    .msg = msg->id,
	    .state = ENV_HELD,
	    .next_ms = m->received_ms,
	    .first_rid = e->first_rid,
	    .n_rcpts = e->n,
	    .left = e->n};
	char text[ADDR_TEXT];

	if (d == NULL)
		return -1;
	env.dest = d->id;
	if (queue_store_add_envelope(r->store, &env) == -1)
		return -1;
	for (uint32_t k = 0; k < e->n; k++) {
		const struct rcpt *rcpt = &m->rcpts[msg->order[e->first + k]];
		struct store_rcpt row = {.id = rcpt->id,
		    .qid = e->qid,
		    .index = msg->order[e->first + k],
		    .notify = rcpt->notify,
		    .state = RCPT_HELD};
		struct store_rcpt_update u = {.id = rcpt->id, .state = RCPT_HELD, .status = why};
		addr_format(&rcpt->addr, text);
		row.addr = span_of(text);
		if (queue_store_add_rcpt(r->store, &row) == -1 ||
		    queue_store_update_rcpt(r->store, &u) == -1)
			return -1;
		r->stats->recipients++;
	}
	return 0;
}

static int
insert_message(struct rebuild *r, const struct body_found *f, struct message *m)
{
	struct queue counters = {.next_qid = f->qid, .next_rid = r->next_rid};
	struct qmsg msg = {.mid = f->mid, .m = m};
	struct status why = {0};
	char sender[ADDR_TEXT];
	int rc;

	qmsg_group(&counters, &msg);
	r->next_rid = counters.next_rid;
	if (counters.next_qid > r->max_qid)
		r->max_qid = counters.next_qid;
	addr_format(&m->sender, sender);
	struct store_message row = {.id = msg.id,
	    .mid = f->mid,
	    .ref = f->ref,
	    .received_ms = m->received_ms,
	    .sender = span_of(sender),
	    .flags = m->flags,
	    .n_env = msg.n_envs};
	status_set(&why, V_TEMP, 0, "4.3.0",
	    "brought back without its database: may be delivered already");
	rc = queue_store_add_message(r->store, &row);
	for (uint32_t i = 0; i < msg.n_envs && rc == 0; i++)
		rc = insert_envelope(r, &msg, &msg.envs[i], &why);
	status_clear(&why);
	free(msg.order);
	free(msg.envs);
	return rc;
}

static int
between(struct rebuild *r)
{
	if (++r->in_transaction < PER_TRANSACTION)
		return 0;
	r->in_transaction = 0;
	return queue_store_commit(r->store) == -1 ? -1 : queue_store_begin(r->store);
}

static void
on_found(void *arg, const struct body_found *f)
{
	struct rebuild *r = arg;
	struct message *m;
	bool known = false, taken = false;
	struct store_envelope env;

	if (r->failed)
		return;
	m = f->bad ? NULL : message_decode(f->head);
	for (size_t i = 0; m != NULL && i < m->n_rcpts; i++) {
		if (m->rcpts[i].transport == NULL) {
			message_free(m);
			m = NULL;
		}
	}
	if (m == NULL || m->n_rcpts == 0) {
		r->stats->damaged++;
		r->seg_bad = true;
		message_free(m);
		return;
	}
	/* a copy that was made when a segment was emptied */
	if (queue_store_knows_mid(r->store, &f->mid, &known) == -1 ||
	    queue_store_get_envelope(r->store, f->qid, &env, &taken) == -1)
		r->failed = true;
	if (!r->failed && !known && !taken) {
		r->failed = insert_message(r, f, m) == -1 || between(r) == -1;
		r->stats->messages++;
		r->seg.live += f->ref.seg != 0;
		r->seg.live_bytes += f->ref.seg != 0 ? queue_body_size(&f->ref) : 0;
	}
	if (f->ref.seg != 0)
		r->seg.bytes = f->ref.off + queue_body_size(&f->ref);
	message_free(m);
}

static int
on_file(void *arg, bool is_big, const char *name)
{
	struct rebuild *r = arg;
	uint64_t seg = queue_body_segment_number(name);

	r->stats->files++;
	r->seg = (struct store_segment){.seg = seg};
	r->seg_bad = false;
	if (is_big) {
		/* without its record nobody was told 250 for it */
		if (queue_body_scan_big(r->body, name, on_found, r) == -1)
			r->stats->damaged++;
		return r->failed ? -1 : 0;
	}
	if (seg == 0 || queue_body_scan(r->body, seg, on_found, r) == -1) {
		r->stats->damaged++;
		return queue_body_set_aside(r->body, false, name);
	}
	if (r->failed)
		return -1;
	if (r->seg.live > 0)
		return queue_store_put_segment(r->store, &r->seg);
	return r->seg_bad ? queue_body_set_aside(r->body, false, name) : 0;
}

/* Acceptance records that the ledger had not got went with the rows: the next start says so. */
static int
owe_gap(struct queue_store *store)
{
	uint64_t src;

	random_bytes(&src, sizeof(src));
	return queue_store_set_audit_gap(store, (src >> 1) | 1);
}

int
queue_rebuild_into(
    struct queue_store *store, struct queue_body *body, struct queue_rebuild_stats *stats)
{
	struct rebuild r = {.store = store, .body = body, .stats = stats, .next_rid = 1};

	*stats = (struct queue_rebuild_stats){0};
	if (queue_store_begin(store) == -1)
		return -1;
	if (queue_body_each_file(body, on_file, &r) == -1 || r.failed || owe_gap(store) == -1 ||
	    queue_store_reserve_qid(store, r.max_qid + QID_RESERVE) == -1) {
		queue_store_rollback(store);
		return -1;
	}
	return queue_store_commit(store);
}

#define MARKER "rebuilding"

int
queue_rebuild_begins(int spool_fd)
{
	int fd = fs_openat(spool_fd, MARKER, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600);

	if (fd == -1)
		return -1;
	fs_close(fd);
	return fs_fsync(spool_fd);
}

int
queue_rebuild_ended(int spool_fd)
{
	return fs_unlinkat(spool_fd, MARKER) == -1 && errno != ENOENT ? -1 : fs_fsync(spool_fd);
}

bool
queue_rebuild_is_unfinished(int spool_fd)
{
	struct stat st;

	return fstatat(spool_fd, MARKER, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Files of a database that root made belong to whoever owns the spool. */
static void
give_to_owner(int spool_fd)
{
	static const char *const names[] = {"queue.db", "queue.db-wal", "queue.db-shm"};
	struct stat st;

	if (geteuid() != 0 || fstat(spool_fd, &st) == -1)
		return;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)!fchownat(spool_fd, names[i], st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW);
}

int
queue_rebuild(const char *spool, struct queue_rebuild_stats *stats, char *err, size_t errsize)
{
	int spool_fd = -1, lock_fd = -1, rc = -1;
	struct queue_store *store = NULL;
	struct queue_body *body = NULL;
	char *path = xasprintf("%s/queue.db", spool);
	bool damaged;

	if (queue_recover_lock(spool, &spool_fd, &lock_fd, err, errsize) == -1)
		goto out;
	body = queue_body_open(spool_fd, err, errsize);
	if (body == NULL)
		goto out;
	if (queue_rebuild_begins(spool_fd) == -1) {
		(void)str_printf(err, errsize, "%s: %s", spool, strerror(errno));
		goto out;
	}
	if (queue_recover_set_aside_db(spool_fd, err, errsize) == -1)
		goto out;
	store = queue_store_open(path, STORE_WRITE, &damaged, err, errsize);
	if (store == NULL)
		goto out;
	rc = queue_rebuild_into(store, body, stats);
	if (rc == -1)
		(void)str_printf(err, errsize, "rebuild: %s", queue_store_error(store));
	give_to_owner(spool_fd);
	if (rc == 0 && queue_rebuild_ended(spool_fd) == -1) {
		(void)str_printf(err, errsize, "%s: %s", spool, strerror(errno));
		rc = -1;
	}
out:
	queue_store_free(store);
	queue_body_free(body);
	if (lock_fd != -1)
		close(lock_fd);
	if (spool_fd != -1)
		close(spool_fd);
	free(path);
	return rc;
}
