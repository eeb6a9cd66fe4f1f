/* SPDX-License-Identifier: ISC */
/*
 * The audit within process ledger: takes records from other processes and writes
 * those of one turn of the loop together (A1, A2). Must never use a network, and
 * never answer for what it could not write.
 */
#include "ledger/ledger_audit.h"

#include "base/ev.h"
#include "base/log.h"
#include "base/str.h"
#include "ledger/audit_file.h"
#include "ledger/audit_record.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_MS 1000
#define KIND_MAX 40

static struct audit_file audit;
static struct ev_turn flush_turn;
static struct ev_timer tick_timer;
static struct {
	uint64_t auth, accept, note;
} counts;
static uint64_t dropped_logged;
static bool rotate_failed;

static void
log_audit(enum log_level level, const char *state, int error)
{
	struct log_line l;

	log_begin(&l, level, EV_AUDIT);
	log_str(&l, LK_FILE, audit.path);
	log_str(&l, LK_STATE, state);
	if (error != 0)
		log_str(&l, LK_TEXT, strerror(error));
	if (audit.dropped != 0)
		log_u64(&l, LK_COUNT, audit.dropped); /* lost so far */
	log_end(&l);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void
flush(void *arg)
{
	bool was_failing = audit.failing;

	(void)arg;
	if (audit.path == NULL)
		return;
	if (audit_file_flush(&audit, ev_wall_ms()) == -1) {
		if (!was_failing)
			log_audit(LOG_LEVEL_ERROR, "failing", errno);
	} else if (was_failing) {
		log_audit(LOG_LEVEL_WARN, "recovered", 0);
	}
	if (audit.dropped != dropped_logged && audit.failing) {
		if (dropped_logged == 0)
			log_audit(LOG_LEVEL_ERROR, "losing", ENOBUFS);
		dropped_logged = audit.dropped;
	}
}

static void
added(void)
{
	if (!audit.failing) /* else the next tick tries */
		ev_turn_schedule(&flush_turn, flush, NULL);
}

static void
on_tick(void *arg)
{
	(void)arg;
	ev_timer_set(&tick_timer, TICK_MS, on_tick, NULL);
	if (audit.path == NULL)
		return;
	if (audit_file_moved(&audit)) {
		char *path = xstrdup(audit.path);

		if (audit_file_switch(&audit, path, ev_wall_ms()) == 0) {
			log_audit(LOG_LEVEL_INFO, "reopened", 0);
			rotate_failed = false;
		} else if (!rotate_failed) {
			log_audit(LOG_LEVEL_ERROR, "cannot reopen, the old file is used", errno);
			rotate_failed = true;
		}
		free(path);
	}
	if (audit.failing || buf_len(&audit.out) > 0)
		flush(NULL);
}

/* ---- messages -------------------------------------------------------------------------------- */

int
ledger_audit_on_auth(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_audit_auth m;
	struct buf b = BUF_INIT;

	(void)p;
	if (ipc_decode_audit_auth(in, &m) == -1)
		return -1;
	counts.auth++;
	audit_record_auth(&b, &m);
	audit_file_add(&audit, m.time_ms, "auth", buf_span(&b));
	buf_clear(&b);
	added();
	return 0;
}

int
ledger_audit_on_accept(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_audit_accept m;
	struct buf b = BUF_INIT;
	int result;

	(void)p;
	if (ipc_decode_audit_accept(in, &m) == -1)
		return -1;
	result = audit_record_accept(&b, &m);
	if (result == 0) {
		counts.accept++;
		audit_file_add(&audit, m.time_ms, "accept", buf_span(&b));
		added();
	}
	buf_clear(&b);
	return result;
}

int
ledger_audit_on_note(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_audit_note m;
	struct buf b = BUF_INIT;
	char kind[KIND_MAX + 1];

	if (ipc_decode_audit_note(in, &m) == -1 || m.kind.n == 0 ||
	    str_copy_span(kind, sizeof(kind), m.kind) == -1)
		return -1;
	counts.note++;
	buf_add_str(&b, ",\"role\":\"");
	buf_add_str(&b, role_name(ipc_peer_role(p)));
	buf_add_byte(&b, '"');
	audit_record_note(&b, &m);
	audit_file_add(&audit, m.time_ms, kind, buf_span(&b));
	buf_clear(&b);
	added();
	return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

int
ledger_audit_prepare(const struct conf *c, char *err, size_t errsize)
{
	const struct passwd *pw = NULL;
	char user[64];

	audit_file_init(&audit, c->audit->file);
	if (audit.path == NULL)
		return 0;
	/* it must open the next file itself when this one was rotated away */
	if (geteuid() == 0 &&
	    str_printf(user, sizeof(user), "%s-ledger", c->server->user_prefix) == 0)
		pw = getpwnam(user);
	if (audit_file_open(&audit, pw == NULL ? (uid_t)-1 : pw->pw_uid,
		pw == NULL ? (gid_t)-1 : pw->pw_gid, ev_wall_ms()) == -1) {
		(void)str_printf(err, errsize, "audit file %s: %s", audit.path, strerror(errno));
		return -1;
	}
	return 0;
}

void
ledger_audit_start(void)
{
	flush(NULL); /* of a repair */
	ev_timer_set(&tick_timer, TICK_MS, on_tick, NULL);
}

void
ledger_audit_reload(const struct conf *c)
{
	const char *path = c->audit->file;

	if (path == NULL || audit.path == NULL) {
		if (path == NULL && audit.path != NULL) {
			flush(NULL);
			audit_file_close(&audit);
			audit_file_init(&audit, NULL);
		} else if (path != NULL) {
			audit_file_init(&audit, path);
			if (audit_file_open(&audit, (uid_t)-1, (gid_t)-1, ev_wall_ms()) == -1) {
				log_audit(LOG_LEVEL_ERROR,
				    "cannot open, restart the service to begin the record", errno);
				audit_file_close(&audit);
				audit_file_init(&audit, NULL);
			}
		}
		return;
	}
	if (strcmp(path, audit.path) == 0)
		return; /* a rotated file is seen by the next tick */
	/* the sandbox holds for the directories of the start only */
	if (audit_file_switch(&audit, path, ev_wall_ms()) == -1)
		log_audit(LOG_LEVEL_ERROR,
		    "cannot open the new file, restart the service; the old one is used", errno);
	else
		log_audit(LOG_LEVEL_INFO, "opened", 0);
}

void
ledger_audit_leave(void)
{
	flush(NULL);
	if (audit.failing)
		log_audit(LOG_LEVEL_ERROR, "ended with records unwritten", errno);
}

const char *
ledger_audit_dir(const struct conf *c)
{
	static char dir[4001];
	const char *slash;

	dir[0] = '\0';
	if (c->audit->file == NULL)
		return dir;
	slash = strrchr(c->audit->file, '/');
	if (slash == NULL)
		(void)str_copy(dir, sizeof(dir), ".");
	else if (slash == c->audit->file)
		(void)str_copy(dir, sizeof(dir), "/");
	else
		(void)str_copy_span(dir, sizeof(dir),
		    (struct span){c->audit->file, (size_t)(slash - c->audit->file)});
	return dir;
}

void
ledger_audit_stats(struct buf *out)
{
	buf_addf(out,
	    ",\"auth_records\":%" PRIu64 ",\"accept_records\":%" PRIu64 ",\"note_records\":%" PRIu64
	    ",\"written\":%" PRIu64 ",\"waiting\":%" PRIu64
	    ",\"waiting_bytes\":%zu,\"lost\":%" PRIu64 ",\"seq\":%" PRIu64 ",\"failing\":%s",
	    counts.auth, counts.accept, counts.note, audit.written, audit.out_records,
	    buf_len(&audit.out), audit.dropped, audit.seq, audit.failing ? "true" : "false");
}
