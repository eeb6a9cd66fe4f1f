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
#include <unistd.h>

#define RESTART_MAX_MS 30000
#define RESTART_CALM_MS 60000
#define STOP_MS 25000
#define HARD_MS 5000
#define CERT_WATCH_MS 60000

struct children children = TAILQ_HEAD_INITIALIZER(children);
static struct supervisor_options opt;
static struct conf *conf;
static struct buf conf_raw;
static struct listen_set listens;
static uint64_t generation;
static bool ready_said, going;
static enum { RUNNING, DRAIN_FRONTS, DRAIN_WORK, DRAIN_REST } phase;
static struct ev_timer stop_timer, cert_timer;
static int64_t cert_stamp;

static void start_child(struct child *);
static void advance_stop(void);

/* ---- who talks to whom ----------------------------------------------------------------------- */

static const struct {
	enum role a, b;
} edges[] = {
    {ROLE_FRONT, ROLE_AUTH},
    {ROLE_FRONT, ROLE_QUEUE},
    {ROLE_DELIVER, ROLE_QUEUE},
    {ROLE_AUTH, ROLE_LEDGER},
    {ROLE_QUEUE, ROLE_LEDGER},
    {ROLE_CONTROL, ROLE_QUEUE},
    {ROLE_CONTROL, ROLE_LEDGER},
    {ROLE_CONTROL, ROLE_AUTH},
    {ROLE_CONTROL, ROLE_FRONT},
    {ROLE_CONTROL, ROLE_DELIVER},
};

static bool
are_connected(const struct child *a, const struct child *b)
{
	for (size_t i = 0; i < ARRAY_LEN(edges); i++) {
		if ((edges[i].a != a->role || edges[i].b != b->role) &&
		    (edges[i].a != b->role || edges[i].b != a->role))
			continue;
		/* a generation talks only to its own auth */
		return a->generation == 0 || b->generation == 0 || a->generation == b->generation;
	}
	return false;
}

static void
send_peer(struct child *to, const struct child *other, int fd)
{
	struct ipc_proc_peer m = {.role = (uint8_t)other->role,
	    .instance = (uint8_t)other->instance,
	    .generation = other->generation};

	(void)ipc_send_proc_peer(to->peer, fd, &m);
}

static void
connect_child(struct child *c)
{
	struct child *other;
	int fds[2];

	TAILQ_FOREACH (other, &children, entry) {
		if (other == c || other->peer == NULL || !are_connected(c, other))
			continue;
		if (net_socketpair(fds) == -1) {
			log_note(LOG_LEVEL_ERROR, "socketpair: %s", strerror(errno));
			return;
		}
		send_peer(c, other, fds[0]);
		send_peer(other, c, fds[1]);
	}
}

/* ---- children -------------------------------------------------------------------------------- */

static void
log_child(const struct child *c, enum log_level level, const char *state, int status)
{
	struct log_line l;

	log_begin(&l, level, EV_PROCESS);
	log_str(&l, LK_STATE, state);
	log_str(&l, LK_ROLE, role_name(c->role));
	log_u64(&l, LK_INSTANCE, c->instance);
	log_u64(&l, LK_GENERATION, c->generation);
	log_i64(&l, LK_PID, c->pid);
	if (status != 0 && WIFSIGNALED(status))
		log_i64(&l, LK_SIGNAL, WTERMSIG(status));
	else if (status != 0)
		log_i64(&l, LK_STATUS, WEXITSTATUS(status));
	if (status != 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		log_str(&l, LK_REASON, "a system call that its sandbox forbids");
	log_end(&l);
}

/* In the child: everything open but what it needs is closed. */
static void
close_others(int own)
{
	int keep[LOG_MAX_TARGETS + 4 + 1024], n = 0, fds[LOG_MAX_TARGETS];
	size_t n_log = log_fds(fds);

	keep[n++] = own;
	for (size_t i = 0; i < n_log; i++)
		keep[n++] = fds[i];
	for (size_t i = 0; i < listens.n && n < (int)ARRAY_LEN(keep); i++)
		keep[n++] = listens.v[i].fd;
	int from = STDERR_FILENO + 1;
	for (;;) {
		int next = INT32_MAX;
		for (int i = 0; i < n; i++)
			if (keep[i] >= from && keep[i] < next)
				next = keep[i];
		if (next > from)
			(void)close_range((unsigned)from,
			    (unsigned)(next == INT32_MAX ? INT32_MAX : next - 1), 0);
		if (next == INT32_MAX)
			return;
		from = next + 1;
	}
}

static void
start_child(struct child *c)
{
	int fds[2];

	if (net_socketpair(fds) == -1) {
		log_note(LOG_LEVEL_ERROR, "socketpair: %s", strerror(errno));
		return;
	}
	log_flush();
	c->pid = fork();
	if (c->pid == -1) {
		log_note(LOG_LEVEL_ERROR, "fork: %s", strerror(errno));
		close(fds[0]);
		close(fds[1]);
		return;
	}
	if (c->pid == 0) {
		ev_after_fork();
		ipc_after_fork();
		close_others(fds[1]);
		if (c->role != ROLE_FRONT)
			for (size_t i = 0; i < listens.n; i++)
				close(listens.v[i].fd);
		struct proc_child child = {.role = c->role,
		    .instance = c->instance,
		    .generation = c->generation,
		    .conf = conf,
		    .fd = fds[1],
		    .sockets = listens.v,
		    .n_sockets = c->role == ROLE_FRONT ? listens.n : 0};
		proc_child_main(&child);
	}
	close(fds[1]);
	c->started = ev_now_ms();
	c->ready = false;
	c->peer = ipc_peer_new(fds[0], c->role, c->instance, c->generation);
	ipc_peer_set_data(c->peer, c);
	log_child(c, LOG_LEVEL_DEBUG, "started", 0);
	connect_child(c);
}

static void
restart_fired(void *arg)
{
	struct child *c = arg;

	start_child(c);
	if (c->pid == -1)
		ev_timer_set(&c->restart, RESTART_MAX_MS, restart_fired, c);
}

static void
new_child(enum role role, unsigned instance, uint64_t gen)
{
	struct child *c = xcallocarray(1, sizeof(*c));

	c->role = role;
	c->instance = instance;
	c->generation = gen;
	TAILQ_INSERT_TAIL(&children, c, entry);
	start_child(c);
	if (c->pid == -1)
		ev_timer_set(&c->restart, RESTART_MAX_MS, restart_fired, c);
}

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
	generation++;
	conf->generation = generation;
	new_child(ROLE_AUTH, 0, generation);
	for (unsigned i = 0; i < wanted(conf->server->delivers); i++)
		new_child(ROLE_DELIVER, i, generation);
	for (unsigned i = 0; i < wanted(conf->server->fronts); i++)
		new_child(ROLE_FRONT, i, generation);
}

static void
send_drain(struct child *c, bool hard)
{
	struct ipc_proc_drain m = {.hard = hard};

	if (hard && c->hard)
		return;
	if (c->draining && !hard)
		return;
	c->draining = true;
	c->hard = hard;
	if (c->peer != NULL)
		(void)ipc_send_proc_drain(c->peer, -1, &m);
}

static void
send_go(struct child *c)
{
	struct ipc_proc_go m = {.generation = c->generation};

	c->gone_live = true;
	(void)ipc_send_proc_go(c->peer, -1, &m);
}

/* How many children of that role and generation (0: any) are there. */
static unsigned
count(enum role role, uint64_t gen)
{
	struct child *c;
	unsigned n = 0;

	TAILQ_FOREACH (c, &children, entry)
		if ((role == ROLE_ANY || c->role == role) && (gen == 0 || c->generation == gen))
			n++;
	return n;
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
		    count(ROLE_FRONT, c->generation) == 0)
			send_drain(c, false);
	}
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
	TAILQ_FOREACH (c, &children, entry)
		if (c->ready && !c->gone_live && !c->draining)
			send_go(c);
	going = true;
	drain_old();
	ready_said = true;
	supervisor_reload_done(true);
	notify_send("READY=1\nSTATUS=running");
	if (said)
		return;
	struct log_line l;
	log_begin(&l, LOG_LEVEL_INFO, EV_START);
	log_str(&l, LK_VERSION, SUBMITD_VERSION);
	log_str(&l, LK_STATE, "ready");
	log_str(&l, LK_FILE, conf->file);
	log_end(&l);
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
		send_go(c);
	all_ready();
	return 0;
}

static void
child_ended(struct child *c, int status)
{
	bool expected = c->draining || phase != RUNNING;

	log_child(c, expected ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR, expected ? "ended" : "died",
	    status == 0 && !expected ? 0 : status);
	if (c->peer != NULL) {
		struct ipc_peer *p = c->peer;
		c->peer = NULL;
		ipc_peer_set_data(p, NULL);
		ipc_peer_close(p);
	}
	c->pid = -1;
	if (expected && (c->draining || phase == DRAIN_REST)) {
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
		log_flush();
		exit(1);
	}
	if (ev_now_ms() - c->started > RESTART_CALM_MS)
		c->delay_ms = 0;
	c->restarts++;
	c->gone_live = false;
	ev_timer_set(&c->restart, c->delay_ms, restart_fired, c);
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

	if (phase != RUNNING || !going) {
		(void)str_copy(
		    err, errsize, "the service is starting or stopping: try again later");
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
			send_drain(c, true);
	struct conf *old = conf;
	conf = fresh;
	buf_clear(&conf_raw);
	buf_move(&conf_raw, raw);
	free(listens.v);
	listens = set;
	listen_set_commit(&listens);
	start_generation();
	TAILQ_FOREACH (c, &children, entry)
		if (c->generation == 0 && c->peer != NULL)
			send_conf(c);
	conf_free(old);
	cert_stamp = supervisor_cert_stamp(conf);
	return 0;
}

const struct conf *
supervisor_conf(void)
{
	return conf;
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
	TAILQ_FOREACH (c, &children, entry)
		send_drain(c, true);
	supervisor_kill_later(HARD_MS);
}

/* fronts, then auth and deliver, then queue and the rest: each hands its work to the next. */
static void
advance_stop(void)
{
	struct child *c;

	if (phase == DRAIN_FRONTS && count(ROLE_FRONT, 0) == 0)
		phase = DRAIN_WORK;
	if (phase == DRAIN_WORK && count(ROLE_AUTH, 0) + count(ROLE_DELIVER, 0) == 0)
		phase = DRAIN_REST;
	if (phase == DRAIN_REST && count(ROLE_ANY, 0) == 0) {
		ev_stop();
		return;
	}
	TAILQ_FOREACH (c, &children, entry) {
		if ((phase == DRAIN_FRONTS && c->role == ROLE_FRONT) ||
		    (phase == DRAIN_WORK && (c->role == ROLE_AUTH || c->role == ROLE_DELIVER)) ||
		    (phase == DRAIN_REST && (c->role == ROLE_QUEUE || count(ROLE_QUEUE, 0) == 0)))
			send_drain(c, false);
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
	advance_stop();
}

/* ---- start ----------------------------------------------------------------------------------- */

static const struct ipc_handler handlers[] = {
    {IPC_PROC_READY, on_ready},
    {IPC_PROC_RELOAD, supervisor_on_reload},
    {IPC_PROC_STATE, supervisor_on_state},
    {IPC_FILE_OPEN, supervisor_on_file_open},
    {IPC_NONE, NULL},
};
static const struct ipc_role_ops ops = {.handlers = handlers, .peer_down = peer_down};

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
	new_child(ROLE_LEDGER, 0, 0);
	new_child(ROLE_QUEUE, 0, 0);
	new_child(ROLE_CONTROL, 0, 0);
	start_generation();
	ev_run();
	log_note(LOG_LEVEL_INFO, "stopped");
	log_flush();
	return 0;
}
