/* SPDX-License-Identifier: ISC */
/*
 * The life of a role's process, from the fork to the event loop: prepare with the
 * supervisor's rights, drop them, start, run. Handles the supervisor's messages
 * that are the same for all roles.
 */
#include "proc_internal.h"
#include "base/ev.h"
#include "base/fs.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "ipc/audit_outbox.h"
#include "sandbox.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const struct proc_role *const roles[] = {
    &front_role, &auth_role, &queue_role, &deliver_role, &ledger_role, &control_role};

static const struct proc_role *self;
static struct conf *conf;
static unsigned instance;
static uint64_t generation;
static bool draining;
static const struct proc_socket *sockets;
static size_t n_sockets;
static int new_log[LOG_MAX_TARGETS];
static size_t n_new_log;

const struct proc_role *
proc_role_find(enum role role)
{
	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		if (roles[i]->role == role)
			return roles[i];
	return NULL;
}

const struct conf *
proc_conf(void)
{
	return conf;
}

unsigned
proc_instance(void)
{
	return instance;
}

uint64_t
proc_generation(void)
{
	return generation;
}

bool
proc_draining(void)
{
	return draining;
}

const struct proc_socket *
proc_sockets(size_t *n)
{
	*n = n_sockets;
	return sockets;
}

void
proc_exit(int code)
{
	audit_outbox_end();
	ipc_flush_all();
	log_flush();
	_exit(code);
}

void
proc_log_options(const struct conf *c, struct log_options *o)
{
	o->targets = (const char *const *)c->log->targets.v;
	o->n_targets = c->log->targets.n;
	o->json = c->log->format == 1;
	o->level = (enum log_level)c->log->level;
}

/* ---- messages of the supervisor -------------------------------------------------------------- */

static int
on_peer(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_proc_peer m;

	(void)p;
	if (ipc_decode_proc_peer(in, &m) == -1 || in->fd == -1 || m.role >= ROLE__MAX)
		return -1;
	int fd = in->fd;
	in->fd = -1;
	struct ipc_peer *fresh = ipc_peer_new(fd, (enum role)m.role, m.instance, m.generation);
	ipc_peer_set_pair(fresh, m.pair);
	return 0;
}

static int
on_go(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_proc_go m;

	(void)p;
	if (ipc_decode_proc_go(in, &m) == -1)
		return -1;
	if (self->go != NULL)
		self->go();
	return 0;
}

static int
on_drain(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_proc_drain m;

	(void)p;
	if (ipc_decode_proc_drain(in, &m) == -1)
		return -1;
	draining = true;
	self->drain(m.hard != 0);
	return 0;
}

static int
on_conf(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_proc_conf m;
	struct conf_findings f = {0};
	struct buf raw = BUF_INIT;

	(void)p;
	if (ipc_decode_proc_conf(in, &m) == -1 || in->fd == -1 || m.length > (256u << 20))
		return -1;
	ssize_t n = pread(in->fd, buf_reserve(&raw, (size_t)m.length), (size_t)m.length, 0);
	struct conf *fresh = NULL;
	if (n == (ssize_t)m.length) {
		buf_commit(&raw, (size_t)n);
		fresh = conf_build(buf_span(&raw), &f);
	}
	if (fresh == NULL) {
		log_note(LOG_LEVEL_ERROR,
		    "the new configuration did not arrive whole: the old one stays");
	} else {
		struct conf *old = conf;
		fresh->generation = m.generation;
		conf = fresh;
		if (self->reload != NULL)
			self->reload(fresh);
		conf_free(old);
	}
	conf_findings_clear(&f);
	buf_clear(&raw);
	return 0;
}

static int
on_log(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_proc_log m;
	struct log_options o;

	(void)p;
	if (ipc_decode_proc_log(in, &m) == -1 || in->fd == -1 || n_new_log == LOG_MAX_TARGETS)
		return -1;
	new_log[n_new_log++] = in->fd;
	in->fd = -1;
	if (m.last) {
		proc_log_options(conf, &o);
		log_set_fds(&o, new_log, n_new_log);
		n_new_log = 0;
	}
	return 0;
}

static const struct ipc_handler common[] = {
    {IPC_PROC_PEER, on_peer},
    {IPC_PROC_GO, on_go},
    {IPC_PROC_DRAIN, on_drain},
    {IPC_PROC_CONF, on_conf},
    {IPC_PROC_LOG, on_log},
    {IPC_AUDIT_ACK, audit_outbox_on_ack},
    {IPC_NONE, NULL},
};

static struct ipc_peer *super;
static void (*role_peer_up)(struct ipc_peer *);
static void (*role_peer_down)(struct ipc_peer *);

static void
peer_up(struct ipc_peer *p)
{
	if (ipc_peer_role(p) == ROLE_LEDGER)
		audit_outbox_up(p);
	if (role_peer_up != NULL)
		role_peer_up(p);
}

static void
peer_down(struct ipc_peer *p)
{
	if (ipc_peer_role(p) == ROLE_SUPERVISOR) {
		/* nobody is left to restart what fails: what was acknowledged is safe on disk */
		log_note(LOG_LEVEL_ERROR, "the supervisor is gone");
		log_flush();
		_exit(1);
	}
	/* it ended, or one of us cut the other off: in that case a new socket is made */
	struct ipc_proc_lost lost = {.pair = ipc_peer_pair(p)};
	(void)ipc_send_proc_lost(super, -1, &lost);
	if (role_peer_down != NULL)
		role_peer_down(p);
}

/* ---- start ----------------------------------------------------------------------------------- */

static void
raise_files(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);
	}
}

static void
reset_signals(void)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN}, normal = {.sa_handler = SIG_DFL};
	sigset_t none;

	sigaction(SIGPIPE, &ignore, NULL);
	/* the supervisor decides when roles end: a terminal's ^C goes to the whole group, and so
	 * does systemd's SIGTERM */
	sigaction(SIGINT, &ignore, NULL);
	sigaction(SIGHUP, &ignore, NULL);
	sigaction(SIGTERM, &ignore, NULL);
	sigaction(SIGCHLD, &normal, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void
enter_sandbox(const struct conf *c)
{
	unsigned flags = self->sandbox;
	const char *rw[32];
	size_t n = 0;
	char err[256];

	if (self->sandbox_more != NULL)
		flags |= self->sandbox_more(c);
	if ((flags & SANDBOX_FILES) != 0 && self->paths != NULL)
		n = self->paths(c, rw, ARRAY_LEN(rw));
	if (sandbox_lock(flags, rw, n, err, sizeof(err)) == -1)
		log_fatal("%s", err);
}

void
proc_child_main(const struct proc_child *child)
{
	static struct ipc_role_ops ops;
	char err[512] = "", title[16];
	struct sandbox_user user;

	self = proc_role_find(child->role);
	if (self == NULL)
		log_fatal("no such role: %d", (int)child->role);
	conf = child->conf;
	instance = child->instance;
	generation = child->generation;
	sockets = child->sockets;
	n_sockets = child->n_sockets;
	log_set_role(self->name, instance);
	(void)str_printf(title, sizeof(title), "sd-%s", self->name);
	(void)prctl(PR_SET_NAME, title, 0, 0, 0);
	reset_signals();
	raise_files();
	tzset(); /* dates in mail: the zone file is out of reach later */
	fs_fault_init(self->name);
	audit_outbox_reset(); /* what is in it is the supervisor's */
	sandbox_find_user(conf, self->name, &user);
	if (self->prepare != NULL && self->prepare(conf, err, sizeof(err)) == -1)
		log_fatal("%s", err);
	if (sandbox_drop(&user, -1, err, sizeof(err)) == -1)
		log_fatal("%s", err);
	if (ev_init() == -1)
		log_fatal("event loop: %s", strerror(errno));
	ops = self->ipc;
	role_peer_up = ops.peer_up;
	role_peer_down = ops.peer_down;
	ops.peer_up = peer_up;
	ops.peer_down = peer_down;
	ipc_set_common(common);
	ipc_init(self->role, &ops);
	super = ipc_peer_new(child->fd, ROLE_SUPERVISOR, 0, 0);
	enter_sandbox(conf);
	if (self->start != NULL && self->start(conf, err, sizeof(err)) == -1)
		log_fatal("%s", err);
	struct ipc_proc_ready ready = {.role = (uint8_t)self->role};
	(void)ipc_send_proc_ready(super, -1, &ready);
	ev_run();
	proc_exit(0);
}
