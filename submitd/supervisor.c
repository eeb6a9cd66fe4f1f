/* SPDX-License-Identifier: ISC */
/*
 * The supervisor: forks the roles, connects them, restarts what dies, reloads and
 * ends the service. It is root where the service is, so it parses nothing from
 * users: the configuration is read by a child (conf_load.c), and of messages it
 * takes only the few of ipc_msg.def that are for it.
 */
#include "supervisor.h"
#include "base/ev.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "ipc/audit_outbox.h"
#include "notify.h"
#include "sandbox.h"
#include "supervisor_internal.h"
#include "supervisor_sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RESTART_CALM_MS 60000
#define STOP_MS 25000
#define HARD_MS 5000
#define CERT_WATCH_MS 60000

struct children children = TAILQ_HEAD_INITIALIZER(children);
static struct supervisor_options opt;
static struct conf *conf;
static struct buf conf_raw;
static struct listen_set listens;
static uint64_t generation, last_generation;
/* What was in force before a reload whose processes do not all run yet. */
static struct {
	bool active;
	struct conf *conf;
	struct buf raw;
	struct listen_set listens;
	uint64_t generation;
} before;
static bool ready_said, going;
static enum { RUNNING, DRAIN_FRONTS, DRAIN_WORK, DRAIN_REST } phase;
static struct ev_timer stop_timer, cert_timer;
static int64_t cert_stamp;

static void advance_stop(void);

static unsigned
wanted(int64_t configured)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (configured > 0)
		return (unsigned)configured;
	return cores < 1 ? 1 : cores > 64 ? 64 : (unsigned)cores;
}

static void
start_generation(void)
{
	generation = ++last_generation;
	conf->generation = generation;
	child_new(ROLE_AUTH, 0, generation);
	for (unsigned i = 0; i < wanted(conf->server->delivers); i++)
		child_new(ROLE_DELIVER, i, generation);
	for (unsigned i = 0; i < wanted(conf->server->fronts); i++)
		child_new(ROLE_FRONT, i, generation);
}

/* An old generation goes in order: fronts, then who served them. */
static void
drain_old(void)
{
	struct child *c;

	TAILQ_FOREACH (c, &children, entry) {
		if (c->generation == 0 || c->generation == generation)
			continue;
		if (c->role == ROLE_FRONT || c->role == ROLE_DELIVER ||
		    child_count(ROLE_FRONT, c->generation) == 0)
			child_drain(c, false);
	}
}

static void send_conf(struct child *);

/* The new generation runs: what lives on takes the new configuration, the old one is let go. */
static void
commit_reload(void)
{
	struct child *c;

	TAILQ_FOREACH (c, &children, entry)
		if (c->generation == 0 && c->peer != NULL)
			send_conf(c);
	listen_set_commit(&listens);
	free(before.listens.v);
	conf_free(before.conf);
	buf_clear(&before.raw);
	before.active = false;
}

/* A process of the new generation did not start: everything stays as it was. */
static void
roll_back(enum role culprit)
{
	struct log_options o;
	struct child *c;
	char err[256];

	TAILQ_FOREACH (c, &children, entry) {
		if (c->generation != generation)
			continue;
		c->draining = true;
		ev_timer_clear(&c->restart);
		if (c->pid > 0)
			kill(c->pid, SIGKILL);
	}
	conf_free(conf);
	buf_clear(&conf_raw);
	listen_set_drop(&listens, &before.listens);
	conf = before.conf;
	conf_raw = before.raw;
	listens = before.listens;
	generation = before.generation;
	before.raw = (struct buf)BUF_INIT;
	before.active = false;
	proc_log_options(conf, &o);
	if (log_open(&o, err, sizeof(err)) == -1)
		log_note(LOG_LEVEL_ERROR, "%s", err);
	log_note(LOG_LEVEL_ERROR,
	    "reload taken back: %s did not start with the new configuration; its reason stands "
	    "above",
	    role_name(culprit));
	supervisor_reload_done(false, "a process did not start with it; the log says why");
}

static void
all_ready(void)
{
	struct child *c;
	bool said = ready_said;

	TAILQ_FOREACH (c, &children, entry) {
		if (!c->ready && (c->generation == 0 || c->generation == generation))
			return;
	}
	if (before.active)
		commit_reload(); /* the queue knows the new transports before the fronts use them */
	TAILQ_FOREACH (c, &children, entry)
		if (c->ready && !c->gone_live && !c->draining)
			child_go(c);
	going = true;
	drain_old();
	ready_said = true;
	supervisor_reload_done(true, "");
	notify_send("READY=1\nSTATUS=running");
	if (said)
		return;
	struct log_line l;
	log_begin(&l, LOG_LEVEL_INFO, EV_START);
	log_str(&l, LK_VERSION, SUBMITD_VERSION);
	log_str(&l, LK_STATE, "ready");
	log_str(&l, LK_FILE, conf->file);
	log_end(&l);
	supervisor_audit_config("start", true, 0);
	if (opt.ready_fd != -1) {
		(void)!write(opt.ready_fd, "1", 1);
		close(opt.ready_fd);
		opt.ready_fd = -1;
	}
}

static int
on_ready(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_proc_ready m;
	struct child *c = ipc_peer_data(p);

	if (ipc_decode_proc_ready(in, &m) == -1 || c == NULL)
		return -1;
	c->ready = true;
	/* one that was restarted joins the others at once */
	if (going && c->restarts > 0 && !c->draining)
		child_go(c);
	all_ready();
	return 0;
}

/* Who starts us next needs our addresses: not given back before they are all gone, or 2 seconds. */
static void
wait_for_killed(void)
{
	const struct timespec nap = {.tv_nsec = 10 * 1000000};
	unsigned tries = 0;
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) != -1 && tries < 200)
		if (pid == 0) {
			tries++;
			(void)nanosleep(&nap, NULL);
		}
}

static void
child_ended(struct child *c, int status)
{
	bool expected = c->draining || phase != RUNNING;
	/* it could not do itself what the new configuration asks for */
	bool again = !expected && WIFEXITED(status) && WEXITSTATUS(status) == PROC_EXIT_AGAIN;

	if (!expected && !again)
		supervisor_audit_died(c->role, status);
	expected = expected || again;
	child_log(c, expected ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR, expected ? "ended" : "died",
	    status == 0 && !expected ? 0 : status);
	if (c->peer != NULL) {
		struct ipc_peer *p = c->peer;
		c->peer = NULL;
		ipc_peer_set_data(p, NULL);
		ipc_peer_close(p);
	}
	child_forget_pairs(c->pid);
	c->pid = -1;
	if (c->draining || phase == DRAIN_REST) {
		TAILQ_REMOVE(&children, c, entry);
		ev_timer_clear(&c->restart);
		ev_timer_clear(&c->kill);
		free(c);
		drain_old();
		advance_stop();
		return;
	}
	if (!ready_said) {
		log_note(LOG_LEVEL_ERROR, "%s did not start: giving up", role_name(c->role));
		supervisor_kill_all();
		wait_for_killed();
		log_flush();
		exit(1);
	}
	if (before.active && c->generation == generation && !c->gone_live) {
		enum role culprit = c->role;
		c->draining = true;
		roll_back(culprit);
		TAILQ_REMOVE(&children, c, entry);
		free(c);
		return;
	}
	if (ev_now_ms() - c->started > RESTART_CALM_MS)
		c->delay_ms = 0;
	if (again)
		c->delay_ms = 0;
	c->restarts++;
	c->gone_live = false;
	ev_timer_set(&c->restart, c->delay_ms, child_restart, c);
	c->delay_ms = c->delay_ms == 0 ? 500 : c->delay_ms * 2;
	if (c->delay_ms > RESTART_MAX_MS)
		c->delay_ms = RESTART_MAX_MS;
}

static void
on_sigchld(void *arg)
{
	struct child *c, *next;
	int status;
	pid_t pid;

	(void)arg;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		TAILQ_FOREACH_SAFE (c, &children, entry, next) {
			if (c->pid == pid) {
				child_ended(c, status);
				break;
			}
		}
	}
}

static void
peer_down(struct ipc_peer *p)
{
	struct child *c = ipc_peer_data(p);

	if (c == NULL)
		return;
	/* it cut us off or broke the rules: its end is certain */
	c->peer = NULL;
	if (c->pid > 0 && !c->draining && phase == RUNNING)
		kill(c->pid, SIGKILL);
}

void
supervisor_kill_all(void)
{
	struct child *c;

	TAILQ_FOREACH (c, &children, entry)
		if (c->pid > 0)
			kill(c->pid, SIGKILL);
}

/* ---- reload ---------------------------------------------------------------------------------- */

static void
send_conf(struct child *c)
{
	int fd = memfd_create("conf", MFD_CLOEXEC);
	struct ipc_proc_conf m = {.generation = generation, .length = buf_len(&conf_raw)};

	if (fd == -1 ||
	    write(fd, buf_data(&conf_raw), buf_len(&conf_raw)) != (ssize_t)buf_len(&conf_raw)) {
		log_note(LOG_LEVEL_ERROR, "memfd: %s", strerror(errno));
		if (fd != -1)
			close(fd);
		return;
	}
	(void)ipc_send_proc_conf(c->peer, fd, &m);
	int fds[LOG_MAX_TARGETS];
	size_t n = log_fds(fds);
	for (size_t i = 0; i < n; i++) {
		struct ipc_proc_log log = {.index = (uint8_t)i, .last = i + 1 == n};
		(void)ipc_send_proc_log(c->peer, fcntl(fds[i], F_DUPFD_CLOEXEC, 3), &log);
	}
}

int
supervisor_switch(struct conf *fresh, struct buf *raw, char *err, size_t errsize)
{
	struct listen_set set = listens;
	struct log_options o;
	struct child *c;

	if (phase != RUNNING || !going || before.active) {
		(void)str_copy(err, errsize,
		    before.active ? "another reload is under way: try again later"
				  : "the service is starting or stopping: try again later");
		return -1;
	}
	if (listen_set_open(&set, fresh, err, errsize) == -1)
		return -1;
	proc_log_options(fresh, &o);
	if (log_open(&o, err, errsize) == -1) {
		listen_set_drop(&set, &listens);
		return -1;
	}
	supervisor_own_files(fresh);
	/* at most two generations: one that still drains must go now */
	TAILQ_FOREACH (c, &children, entry)
		if (c->generation != 0 && c->generation != generation)
			child_drain(c, true);
	before.active = true;
	before.conf = conf;
	before.raw = conf_raw;
	before.listens = listens;
	before.generation = generation;
	supervisor_audit_switch(conf, fresh);
	conf = fresh;
	conf_raw = (struct buf)BUF_INIT;
	buf_move(&conf_raw, raw);
	listens = set;
	start_generation();
	cert_stamp = supervisor_cert_stamp(conf);
	return 0;
}

const struct conf *
supervisor_conf(void)
{
	return conf;
}

struct conf *
supervisor_own_conf(void)
{
	return conf;
}

const struct listen_set *
supervisor_listens(void)
{
	return &listens;
}

const char *
supervisor_conf_file(void)
{
	return opt.conf_file;
}

static void
on_sighup(void *arg)
{
	(void)arg;
	supervisor_reload("signal", NULL, 0);
}

/* A renewed certificate is taken without being asked for. */
static void
cert_watch(void *arg)
{
	(void)arg;
	int64_t stamp = supervisor_cert_stamp(conf);
	if (stamp != cert_stamp && phase == RUNNING && going) {
		cert_stamp = stamp;
		log_note(LOG_LEVEL_INFO, "a certificate or key file changed: reloading");
		supervisor_reload("certificate", NULL, 0);
	}
	ev_timer_set(&cert_timer, CERT_WATCH_MS, cert_watch, NULL);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void
stop_fired(void *arg)
{
	struct child *c;

	(void)arg;
	log_note(LOG_LEVEL_WARN, "stopping takes too long: ending what is left");
	TAILQ_FOREACH (c, &children, entry) {
		c->hard = false; /* fronts were told once already */
		child_drain(c, true);
	}
	supervisor_kill_later(HARD_MS);
}

/* fronts, then auth and deliver, then queue and the rest: each hands its work to the next. */
static void
advance_stop(void)
{
	struct child *c;

	if (phase == DRAIN_FRONTS && child_count(ROLE_FRONT, 0) == 0)
		phase = DRAIN_WORK;
	if (phase == DRAIN_WORK && child_count(ROLE_AUTH, 0) + child_count(ROLE_DELIVER, 0) == 0)
		phase = DRAIN_REST;
	if (phase == DRAIN_REST && child_count(ROLE_ANY, 0) == 0) {
		ev_stop();
		return;
	}
	TAILQ_FOREACH (c, &children, entry) {
		/* fronts: hard is what ends idle sessions now; messages being taken in get a while
		 */
		if (phase == DRAIN_FRONTS && c->role == ROLE_FRONT)
			child_drain(c, true);
		else if ((phase == DRAIN_WORK &&
			     (c->role == ROLE_AUTH || c->role == ROLE_DELIVER)) ||
			 (phase == DRAIN_REST &&
			     (c->role == ROLE_QUEUE || child_count(ROLE_QUEUE, 0) == 0)))
			child_drain(c, false);
	}
}

static void
on_sigterm(void *arg)
{
	struct child *c, *next;

	(void)arg;
	if (phase != RUNNING) {
		stop_fired(NULL);
		return;
	}
	notify_send("STOPPING=1");
	log_note(LOG_LEVEL_INFO, "stopping");
	phase = DRAIN_FRONTS;
	/* who waits for a restart will not get one */
	TAILQ_FOREACH_SAFE (c, &children, entry, next) {
		if (c->pid != -1)
			continue;
		ev_timer_clear(&c->restart);
		TAILQ_REMOVE(&children, c, entry);
		free(c);
	}
	ev_timer_set(&stop_timer, STOP_MS, stop_fired, NULL);
	/* unlike at a reload, idle sessions are told to go at once */
	TAILQ_FOREACH (c, &children, entry) {
		if (c->role == ROLE_FRONT)
			child_drain(c, true);
	}
	advance_stop();
}

/* ---- start ----------------------------------------------------------------------------------- */

static const struct ipc_handler handlers[] = {
    {IPC_PROC_READY, on_ready},
    {IPC_PROC_LOST, child_on_lost},
    {IPC_PROC_RELOAD, supervisor_on_reload},
    {IPC_PROC_STATE, supervisor_on_state},
    {IPC_FILE_OPEN, supervisor_on_file_open},
    {IPC_AUDIT_ACK, audit_outbox_on_ack},
    {IPC_NONE, NULL},
};
static void
peer_up(struct ipc_peer *p)
{
	if (ipc_peer_role(p) == ROLE_LEDGER)
		audit_outbox_up(p);
}

static const struct ipc_role_ops ops = {
    .handlers = handlers, .peer_up = peer_up, .peer_down = peer_down};

int
supervisor_run(const struct supervisor_options *options, struct conf *c, struct buf *raw)
{
	struct log_options o;
	char err[512];

	opt = *options;
	conf = c;
	buf_move(&conf_raw, raw);
	listen_adopt_systemd();
	if (!supervisor_users_exist(conf, opt.foreground))
		return 1;
	if (listen_set_open(&listens, conf, err, sizeof(err)) == -1)
		log_fatal("%s", err);
	listen_set_commit(&listens);
	proc_log_options(conf, &o);
	if (log_open(&o, err, sizeof(err)) == -1)
		log_fatal("%s", err);
	log_set_role("supervisor", 0);
	sandbox_report();
	listen_set_log(&listens, conf);
	supervisor_own_files(conf);
	cert_stamp = supervisor_cert_stamp(conf);
	if (ev_init() == -1)
		log_fatal("event loop: %s", strerror(errno));
	ipc_init(ROLE_SUPERVISOR, &ops);
	signal(SIGPIPE, SIG_IGN);
	ev_signal(SIGCHLD, on_sigchld, NULL);
	ev_signal(SIGHUP, on_sighup, NULL);
	ev_signal(SIGTERM, on_sigterm, NULL);
	ev_signal(SIGINT, on_sigterm, NULL);
	ev_timer_set(&cert_timer, CERT_WATCH_MS, cert_watch, NULL);
	child_new(ROLE_LEDGER, 0, 0);
	child_new(ROLE_QUEUE, 0, 0);
	child_new(ROLE_CONTROL, 0, 0);
	start_generation();
	ev_run();
	log_note(LOG_LEVEL_INFO, "stopped");
	log_flush();
	return 0;
}
