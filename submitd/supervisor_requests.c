/* SPDX-License-Identifier: ISC */
/*
 * What the supervisor does when asked: reload, say how the children are, open a
 * file that the configuration names. Runs as root; the only words that reach it
 * from other processes are a request number and a path that must stand in the
 * configuration to the letter.
 */
#include "base/fs.h"
#include "base/enc.h"
#include "base/log.h"
#include "base/str.h"
#include "conf_load.h"
#include "notify.h"
#include "sandbox.h"
#include "supervisor_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct ev_timer kill_timer;
/* The reload whose end is awaited: when the new generation runs, or never will. */
static struct {
	bool waits;
	struct ipc_peer *control; /* NULL: a signal asked */
	uint64_t request;
	char who[32];
	size_t errors;
} asker;

static void
answer(struct ipc_peer *control, uint64_t request, bool ok, bool more, const char *text)
{
	struct ipc_proc_reloaded m = {
	    .request = request, .ok = ok, .more = more, .text = span_of(text)};

	if (control != NULL && m.text.n < 8000)
		(void)ipc_send_proc_reloaded(control, -1, &m);
}

static void
log_finding(const struct conf_finding *f)
{
	struct log_line l;

	log_begin(&l, f->error ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, EV_CONFIG);
	log_str(&l, LK_FILE, f->where.file);
	log_u64(&l, LK_LINE, f->where.line);
	log_str(&l, LK_TEXT, f->text);
	log_end(&l);
}

static void
log_reload(const char *who, bool ok, const char *why)
{
	struct log_line l;

	log_begin(&l, ok ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, EV_RELOAD);
	log_str(&l, LK_USER, who);
	log_str(&l, LK_VERDICT, ok ? "ok" : "refused");
	log_str(&l, LK_REASON, why);
	log_end(&l);
}

static void
refuse_change(struct conf_findings *f, const struct conf_server *fresh, enum conf_option_server opt,
    const char *name, const char *is, const char *wanted)
{
	if (strcmp(is, wanted) == 0)
		return;
	struct conf_where w = fresh->option_where[opt];
	conf_findings_add(f, true, w.line != 0 ? w : fresh->where,
	    "server: %s = \"%s\" cannot take the place of \"%s\" while the service runs; restart "
	    "it",
	    name, wanted, is);
}

/* What processes hold from their start: a reload that changes it would be in force in a few of
 * them. */
static void
check_unchanged(const struct conf *is, const struct conf *fresh, struct conf_findings *f)
{
	const struct conf_server *a = is->server, *b = fresh->server;

	refuse_change(f, b, CONF_OPT_server_spool, "spool", a->spool, b->spool);
	refuse_change(f, b, CONF_OPT_server_state, "state", a->state, b->state);
	refuse_change(f, b, CONF_OPT_server_control, "control", a->control, b->control);
	refuse_change(
	    f, b, CONF_OPT_server_user_prefix, "user_prefix", a->user_prefix, b->user_prefix);
}

void
supervisor_reload(const char *who, struct ipc_peer *control, uint64_t request)
{
	struct conf_findings f = {0};
	struct buf raw = BUF_INIT, line = BUF_INIT;
	char err[512] = "";

	if (asker.waits) {
		log_reload(who, false, "another reload is under way");
		answer(
		    control, request, false, false, "another reload is under way: try again later");
		return;
	}
	notify_send("RELOADING=1\nSTATUS=reloading");
	struct conf *fresh = conf_load(supervisor_conf_file(), &raw, &f);
	if (fresh != NULL)
		check_unchanged(supervisor_conf(), fresh, &f);
	if (f.errors != 0) {
		conf_free(fresh);
		fresh = NULL;
	}
	for (size_t i = 0; i < f.n; i++) {
		log_finding(&f.v[i]);
		buf_reset(&line);
		conf_finding_format(&f.v[i], &line);
		answer(control, request, fresh != NULL, true, buf_cstr(&line));
	}
	if (fresh == NULL)
		(void)str_copy(err, sizeof(err), "the configuration has errors");
	bool ok = fresh != NULL && supervisor_switch(fresh, &raw, err, sizeof(err)) == 0;
	asker.control = control;
	asker.request = request;
	(void)str_copy(asker.who, sizeof(asker.who), who);
	asker.errors = f.errors;
	asker.waits = true;
	if (!ok) {
		conf_free(fresh);
		supervisor_reload_done(false, err);
	}
	conf_findings_clear(&f);
	buf_clear(&raw);
	buf_clear(&line);
}

void
supervisor_reload_done(bool ok, const char *why)
{
	struct child *c;

	if (!asker.waits)
		return;
	asker.waits = false;
	log_reload(asker.who, ok, ok ? NULL : why);
	supervisor_audit_config(asker.who, ok, asker.errors);
	notify_send(ok ? "READY=1\nSTATUS=running"
		       : "READY=1\nSTATUS=running; the last reload was refused");
	/* control may have been restarted meanwhile */
	TAILQ_FOREACH (c, &children, entry)
		if (c->peer != NULL && c->peer == asker.control)
			answer(c->peer, asker.request, ok, false, ok ? "" : why);
	asker.control = NULL;
}

int
supervisor_on_reload(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_proc_reload m;

	if (ipc_decode_proc_reload(in, &m) == -1)
		return -1;
	supervisor_reload("submitctl", p, m.request);
	return 0;
}

int
supervisor_on_state(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_proc_state m;
	struct buf json = BUF_INIT;
	struct child *c;
	const char *sep = "";

	if (ipc_decode_proc_state(in, &m) == -1)
		return -1;
	buf_addf(&json, "{\"version\":\"" SUBMITD_VERSION "\",\"pid\":%d,\"conf\":", getpid());
	json_add_str(&json, span_of(supervisor_conf_file()));
	buf_addf(&json, ",\"generation\":%llu,\"processes\":[",
	    (unsigned long long)supervisor_conf()->generation);
	TAILQ_FOREACH (c, &children, entry) {
		buf_addf(&json,
		    "%s{\"role\":\"%s\",\"instance\":%u,\"generation\":%llu,\"pid\":%d,"
		    "\"state\":\"%s\",\"restarts\":%u,\"uptime_s\":%lld}",
		    sep, role_name(c->role), c->instance, (unsigned long long)c->generation, c->pid,
		    c->pid == -1  ? "waits"
		    : c->draining ? "drains"
		    : c->ready    ? "runs"
				  : "starts",
		    c->restarts, c->pid == -1 ? 0LL : (long long)(ev_now_ms() - c->started) / 1000);
		sep = ",";
	}
	buf_add_str(&json, "]}");
	struct ipc_proc_stated r = {.request = m.request, .json = buf_span(&json)};
	(void)ipc_send_proc_stated(p, -1, &r);
	buf_clear(&json);
	return 0;
}

/* The path after "file:", or the text itself. */
static const char *
secret_path(const char *text)
{
	return text != NULL && strncmp(text, "file:", 5) == 0 ? text + 5 : text;
}

static bool
is_named(const struct conf *c, struct span path)
{
	for (size_t i = 0; i < c->n_backend; i++)
		if (c->backend_blocks[i].path != NULL && span_eq(path, c->backend_blocks[i].path))
			return true;
	for (size_t i = 0; i < c->n_user; i++) {
		const char *secret = secret_path(c->user_blocks[i].secret);
		if (secret != NULL && span_eq(path, secret))
			return true;
	}
	return false;
}

int
supervisor_on_file_open(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_file_open m;

	if (ipc_decode_file_open(in, &m) == -1 ||
	    (ipc_peer_role(p) != ROLE_AUTH && ipc_peer_role(p) != ROLE_LEDGER))
		return -1;
	if (ipc_peer_role(p) == ROLE_LEDGER) {
		supervisor_audit_open(p, m.path);
		return 0;
	}
	if (!is_named(supervisor_conf(), m.path)) {
		/* an auth process of the generation before may ask for what is gone */
		struct ipc_file_opened no = {.path = m.path, .error = EPERM};
		return ipc_send_file_opened(p, -1, &no) == -1 ? -1 : 0;
	}
	char *path = span_dup(m.path);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct ipc_file_opened r = {.path = m.path, .error = fd == -1 ? (uint32_t)errno : 0};
	(void)ipc_send_file_opened(p, fd, &r);
	free(path);
	return 0;
}

static void
add_stamp(int64_t *sum, const char *path)
{
	struct stat st;

	if (path != NULL && stat(path, &st) == 0)
		*sum = *sum * 31 + st.st_mtim.tv_sec * 1000003 + st.st_mtim.tv_nsec +
		       (int64_t)st.st_ino + st.st_size;
}

int64_t
supervisor_cert_stamp(const struct conf *c)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < c->n_tls; i++) {
		int64_t one = 0;
		add_stamp(&one, c->tls_blocks[i].certificate);
		add_stamp(&one, c->tls_blocks[i].key);
		sum = sum * 1000003 + (uint64_t)one;
	}
	return (int64_t)sum;
}

bool
supervisor_users_exist(const struct conf *c, bool foreground)
{
	struct sandbox_user u;
	bool all = true;

	if (geteuid() != 0) {
		log_note(LOG_LEVEL_INFO, "not started by root: all processes run as this user");
		return true;
	}
	for (int r = ROLE_FRONT; r < ROLE__MAX; r++) {
		const struct proc_role *role = proc_role_find((enum role)r);
		sandbox_find_user(c, role->name, &u);
		if (u.found)
			continue;
		all = false;
		if (!foreground)
			log_note(LOG_LEVEL_ERROR,
			    "user %s does not exist: make the users with systemd-sysusers "
			    "(submitd.sysusers)",
			    u.name);
	}
	if (!all && foreground)
		log_note(LOG_LEVEL_WARN,
		    "users %s-* do not exist: all processes stay root, without capabilities",
		    c->server->user_prefix);
	return all || foreground;
}

static void
kill_fired(void *arg)
{
	(void)arg;
	supervisor_kill_all();
}

void
supervisor_kill_later(int64_t ms)
{
	ev_timer_set(&kill_timer, ms, kill_fired, NULL);
}
