/* SPDX-License-Identifier: ISC */
/*
 * The audit within process ledger: takes records from other processes, writes those of
 * one turn of the loop together, syncs about once a second, and only then acknowledges
 * (A1 to A4). Must never use a network, and never answer for what is not on disk.
 */
#include "ledger/ledger_audit.h"

#include "base/enc.h"
#include "base/ev.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "ledger/audit_file.h"
#include "ledger/audit_senders.h"
#include "ledger/audit_syslog.h"
#include "ledger/ledger_audit_internal.h"
#include "ledger/ledger_sync.h"
#include "proc.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_MS 1000
#define LOOK_TICKS 10 /* between looks at a path that we may not see ourselves */
#define SYNC_MS 1000
#define SYNC_BYTES (4u << 20)
#define CHECKPOINTS_MAX 16

static struct audit_file audit;
static struct audit_key *key;
static char *key_path; /* as it was opened */
static int64_t checkpoint_ms;
static struct ev_turn flush_turn;
static struct ev_timer tick_timer, sync_timer;
static uint64_t n_syncs;
static uint64_t synced_seq, syncing_seq; /* last record on disk; 0: not known since the start */
static unsigned n_sync_failed;           /* in a row */
static bool asked, rotate_failed, sync_wanted;
static unsigned ticks;
static int64_t last_sync_ms, last_checkpoint_ms;
static uint64_t last_checkpoint_seq; /* number of its record */
static size_t syncing_octets;
/* In the file, but perhaps not on disk yet: those may not leave the machine. */
static struct audit_checkpoint held[CHECKPOINTS_MAX];
static size_t n_held, n_held_syncing;

void
ledger_audit_log(enum log_level level, const char *state, int error)
{
	struct log_line l;

	log_begin(&l, level, EV_AUDIT);
	log_str(&l, LK_FILE, audit.path);
	log_str(&l, LK_STATE, state);
	if (error != 0)
		log_str(&l, LK_TEXT, strerror(error));
	log_end(&l);
}

/* ---- writing --------------------------------------------------------------------------------- */

void
ledger_audit_add(int64_t time_ms, const char *kind, struct span members)
{
	size_t before = buf_len(&audit.out);
	struct span line;

	audit_file_add(&audit, time_ms, kind, members);
	line = buf_span(&audit.out);
	line.p += before;
	line.n -= before;
	audit_syslog_send(line);
}

/* What leaves the machine (A4): to the log, and with it to where the log goes. */
static void
tell_checkpoints(size_t n)
{
	char hex[AUDIT_HASH_TEXT];
	struct log_line l;

	for (size_t i = 0; i < n; i++) {
		audit_hash_format(&held[i].hash, hex);
		log_begin(&l, LOG_LEVEL_INFO, EV_CHECKPOINT);
		log_u64(&l, LK_SEQ, held[i].seq);
		log_str(&l, LK_HASH, hex);
		log_str(&l, LK_SIG, held[i].sig);
		log_str(&l, LK_KEY, audit_key_id(key));
		log_str(&l, LK_FILE, audit.path);
		log_end(&l);
	}
	n_held -= n;
	memmove(held, held + n, n_held * sizeof(held[0]));
}

static void
checkpoint(const char *reason)
{
	size_t before = buf_len(&audit.out);
	struct span line;

	if (n_held == CHECKPOINTS_MAX || key == NULL ||
	    audit_file_checkpoint(&audit, key, ev_wall_ms(), reason, &held[n_held]) == -1)
		return;
	n_held++;
	last_checkpoint_ms = ev_now_ms();
	last_checkpoint_seq = audit.seq;
	line = buf_span(&audit.out);
	line.p += before;
	line.n -= before;
	audit_syslog_send(line);
}

/* ---- syncing --------------------------------------------------------------------------------- */

static void maybe_sync(void);
static void flush(void *);

/*
 * What was written since the last good sync may not be on disk, whatever a later one says
 * and the page cache shows. It is said in the record, where a start finds it too.
 */
static void
add_sync_failed(int error)
{
	uint64_t upto = audit.seq;
	struct buf m = BUF_INIT;

	buf_add_str(&m, ",\"reason\":");
	json_add_str(&m, span_of(strerror(error)));
	if (synced_seq != 0)
		buf_addf(&m, ",\"from\":%" PRIu64, synced_seq + 1);
	buf_addf(&m, ",\"upto\":%" PRIu64, upto);
	audit_senders_members(&m);
	ledger_audit_add(ev_wall_ms(), "sync_failed", buf_span(&m));
	buf_clear(&m);
	checkpoint("sync_failed");
}

/*
 * Nothing is taken any more; when that record is on disk everything comes again, behind it.
 */
static void
sync_broke(int error)
{
	if (n_sync_failed++ == 0)
		ledger_audit_log(LOG_LEVEL_ERROR, "cannot be synced", error);
	ledger_audit_close(LEDGER_CLOSED_SYNC);
	audit_senders_unsynced();
	n_held = n_held_syncing = 0;
	add_sync_failed(error);
	flush(NULL);
}

static void
sync_is_good(size_t octets, size_t checkpoints)
{
	n_syncs++;
	synced_seq = syncing_seq;
	audit_file_synced(&audit, octets);
	audit_senders_synced();
	tell_checkpoints(checkpoints);
	n_held_syncing = 0;
	if (n_sync_failed > 0)
		ledger_audit_log(LOG_LEVEL_WARN, "recovered", 0);
	n_sync_failed = 0;
	ledger_audit_open(LEDGER_CLOSED_SYNC);
}

static void
sync_begins(void)
{
	last_sync_ms = ev_now_ms();
	sync_wanted = false;
	syncing_seq = audit.seq - audit.out_records;
	audit_senders_sync_begins();
}

static void
on_synced(int error)
{
	if (error != 0)
		sync_broke(error);
	else
		sync_is_good(syncing_octets, n_held_syncing);
	maybe_sync();
}

static void
on_sync_timer(void *arg)
{
	(void)arg;
	maybe_sync();
}

static int64_t
sync_wait_ms(void)
{
	if (n_sync_failed > 0)
		return SYNC_MS << (n_sync_failed < 6 ? n_sync_failed : 6);
	return audit.unsynced < SYNC_BYTES ? SYNC_MS : 0;
}

static void
maybe_sync(void)
{
	int64_t since = ev_now_ms() - last_sync_ms, wait = sync_wait_ms();

	if (ledger_sync_busy() || audit.fd == -1 || (audit.unsynced == 0 && !sync_wanted) ||
	    (n_sync_failed > 0 && audit.failing))
		return;
	if (since < wait && last_sync_ms != 0) {
		if (!ev_timer_pending(&sync_timer))
			ev_timer_set(&sync_timer, wait - since, on_sync_timer, NULL);
		return;
	}
	syncing_octets = audit.unsynced;
	n_held_syncing = audit.failing ? 0 : n_held;
	sync_begins();
	ledger_sync_run(audit.fd);
}

/* Here and now: before another file, and at the end. -1: not all is on disk. */
static int
sync_now(void)
{
	int error = ledger_sync_busy() ? ledger_sync_wait() : 0;

	if (audit.fd == -1)
		return -1;
	if (error == 0) {
		sync_begins();
		error = fs_fdatasync(audit.fd) == -1 ? errno : 0;
	}
	if (error != 0) {
		sync_broke(error);
		errno = error;
		return -1;
	}
	sync_is_good(audit.unsynced, audit.failing ? 0 : n_held);
	return audit.failing ? -1 : 0;
}

static void
flush(void *arg)
{
	bool was_failing = audit.failing;

	(void)arg;
	if (audit.path == NULL)
		return;
	if (audit_file_flush(&audit, ev_wall_ms()) == -1) {
		if (!was_failing)
			ledger_audit_log(LOG_LEVEL_ERROR, "failing", errno);
	} else {
		audit_senders_written();
		ledger_audit_open(LEDGER_CLOSED_FULL);
		if (was_failing)
			ledger_audit_log(LOG_LEVEL_WARN, "recovered", 0);
	}
	maybe_sync();
}

void
ledger_audit_added(void)
{
	if (!audit.failing) /* else the next tick tries */
		ev_turn_schedule(&flush_turn, flush, NULL);
}

size_t
ledger_audit_pending(void)
{
	return buf_len(&audit.out);
}

void
ledger_audit_want_sync(void)
{
	sync_wanted = true;
	maybe_sync();
}

/* ---- rotation -------------------------------------------------------------------------------- */

/* The supervisor opens it: the directory need not be ours. */
static void
ask_for_file(void)
{
	struct ipc_file_open m = {.path = span_of(audit.path)};
	struct ipc_peer *super = ipc_role_peer(ROLE_SUPERVISOR, 0);

	asked = super != NULL && ipc_send_file_open(super, -1, &m) == 0;
}

static void
rotate(int fd)
{
	struct buf last = BUF_INIT;

	flush(NULL);
	if (!audit.failing) {
		checkpoint("rotate");
		flush(NULL);
	}
	(void)sync_now();
	audit_senders_members(&last);
	if (audit_file_rotate(&audit, fd, ev_wall_ms(), buf_span(&last)) == 0) {
		ledger_audit_log(LOG_LEVEL_INFO, "reopened", 0);
		if (n_sync_failed > 0) /* the old file is not looked after any more */
			add_sync_failed(EIO);
		flush(NULL);
	}
	buf_clear(&last);
}

int
ledger_audit_on_file(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_file_opened m;
	int fd = in->fd;

	(void)p;
	if (ipc_decode_file_opened(in, &m) == -1)
		return -1;
	asked = false;
	if (audit.path == NULL || !span_eq(m.path, audit.path))
		return 0;
	if (m.error != 0 || fd == -1) {
		if (!rotate_failed)
			ledger_audit_log(LOG_LEVEL_ERROR, "cannot reopen, the old file is used",
			    m.error != 0 ? (int)m.error : EBADF);
		rotate_failed = true;
		return 0;
	}
	rotate_failed = false;
	if (!audit_file_is(&audit, fd)) {
		in->fd = -1;
		rotate(fd);
	}
	return 0;
}

static void
on_tick(void *arg)
{
	bool unknown;

	(void)arg;
	ev_timer_set(&tick_timer, TICK_MS, on_tick, NULL);
	if (audit.path == NULL)
		return;
	ticks++;
	if (!asked && (audit_file_moved(&audit, &unknown) || (unknown && ticks % LOOK_TICKS == 0)))
		ask_for_file();
	if (audit.seq != last_checkpoint_seq && ev_now_ms() - last_checkpoint_ms >= checkpoint_ms &&
	    !audit.failing)
		checkpoint("time");
	if (audit.failing || buf_len(&audit.out) > 0)
		flush(NULL);
	maybe_sync();
	audit_syslog_tick();
}

/* ---- life ------------------------------------------------------------------------------------ */

static char *
key_path_of(const struct conf *c)
{
	return c->audit->key != NULL ? xstrdup(c->audit->key) : xasprintf("%s.key", c->audit->file);
}

static int
open_key(const struct conf *c, char *err, size_t errsize)
{
	char *public_path;
	size_t n;

	key_path = key_path_of(c);
	n = strlen(key_path);
	/* NAME.key and NAME.pub; of another name NAME and NAME.pub */
	if (n > 4 && strcmp(key_path + n - 4, ".key") == 0)
		n -= 4;
	public_path = xasprintf("%.*s.pub", (int)n, key_path);
	key = audit_key_open(key_path, public_path, err, errsize);
	free(public_path);
	return key == NULL ? -1 : 0;
}

static void
recover_line(void *arg, const struct audit_line *l)
{
	(void)arg;
	audit_senders_recover(l);
}

int
ledger_audit_prepare(const struct conf *c, char *err, size_t errsize)
{
	struct audit_file_options o = {.owner = (uid_t)-1,
	    .group = (gid_t)-1,
	    .chain = c->audit->hash_chain,
	    .before = c->audit->before,
	    .line = recover_line};
	const struct passwd *pw = NULL;
	char user[64];

	audit_file_init(&audit, c->audit->file);
	if (audit.path == NULL)
		return 0;
	if (c->audit->hash_chain && open_key(c, err, errsize) == -1)
		return -1;
	if (audit_syslog_open(c->audit->syslog, err, errsize) == -1)
		return -1;
	if (geteuid() == 0 &&
	    str_printf(user, sizeof(user), "%s-ledger", c->server->user_prefix) == 0)
		pw = getpwnam(user);
	if (pw != NULL) {
		o.owner = pw->pw_uid;
		o.group = pw->pw_gid;
	}
	if (audit_file_open(&audit, &o, ev_wall_ms()) == -1) {
		(void)str_printf(err, errsize, "audit file %s: %s", audit.path, strerror(errno));
		return -1;
	}
	return 0;
}

int
ledger_audit_start(const struct conf *c, char *err, size_t errsize)
{
	checkpoint_ms = c->audit->checkpoint;
	if (audit.path == NULL)
		return 0;
	if (ledger_sync_start(on_synced) == -1) {
		(void)str_printf(err, errsize, "thread: %s", strerror(errno));
		return -1;
	}
	checkpoint("start");
	flush(NULL);
	ev_timer_set(&tick_timer, TICK_MS, on_tick, NULL);
	return 0;
}

static bool
same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool
ledger_audit_reload(const struct conf *c)
{
	char *wanted = c->audit->file != NULL && c->audit->hash_chain ? key_path_of(c) : NULL;
	bool stays = same(c->audit->file, audit.path) && same(wanted, key_path) &&
	             c->audit->syslog == audit_syslog_facility();

	free(wanted);
	checkpoint_ms = c->audit->checkpoint;
	if (stays)
		return false;
	/* file and key are opened with the supervisor's rights, which we do not have any more */
	if (audit.path != NULL) {
		struct buf m = BUF_INIT;

		buf_add_str(&m, ",\"next_file\":");
		json_add_str(&m, span_of(c->audit->file == NULL ? "" : c->audit->file));
		ledger_audit_add(ev_wall_ms(), "moved", buf_span(&m));
		buf_clear(&m);
	}
	ledger_audit_leave();
	return true;
}

void
ledger_audit_leave(void)
{
	if (audit.path == NULL)
		return;
	flush(NULL);
	if (!audit.failing) {
		checkpoint("stop");
		flush(NULL);
	}
	if (sync_now() == -1)
		ledger_audit_log(LOG_LEVEL_ERROR, "ended with records unwritten", errno);
}

void
ledger_audit_stats(struct buf *out)
{
	ledger_audit_take_stats(out);
	buf_addf(out,
	    ",\"written\":%" PRIu64 ",\"waiting\":%" PRIu64
	    ",\"waiting_bytes\":%zu,\"unacknowledged\":%" PRIu64 ",\"syncs\":%" PRIu64
	    ",\"syslog_lost\":%" PRIu64 ",\"seq\":%" PRIu64 ",\"failing\":%s",
	    audit.written, audit.out_records, buf_len(&audit.out), audit_senders_waiting(), n_syncs,
	    audit_syslog_lost(), audit.seq, audit.failing ? "true" : "false");
}
