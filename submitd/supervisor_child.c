/* SPDX-License-Identifier: ISC */
/*
 * The children of the supervisor: forked with what they need and nothing else,
 * connected to those they talk to, told to go and to end. Who restarts and when is
 * supervisor.c's business.
 */
#include "base/log.h"
#include "base/str.h"
#include "supervisor_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECONNECT_MS 1000

/* ---- who talks to whom ----------------------------------------------------------------------- */

static const struct {
	enum role a, b;
} edges[] = {
    {ROLE_FRONT, ROLE_AUTH},
    {ROLE_FRONT, ROLE_QUEUE},
    {ROLE_DELIVER, ROLE_QUEUE},
    {ROLE_AUTH, ROLE_LEDGER},
    {ROLE_QUEUE, ROLE_LEDGER},
    {ROLE_FRONT, ROLE_LEDGER},
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
send_peer(struct child *to, const struct child *other, int fd, uint64_t pair)
{
	struct ipc_proc_peer m = {.role = (uint8_t)other->role,
	    .instance = (uint8_t)other->instance,
	    .generation = other->generation,
	    .pair = pair};

	(void)ipc_send_proc_peer(to->peer, fd, &m);
}

static void
log_child_pair(const struct child *a, const struct child *b)
{
	log_note(LOG_LEVEL_WARN, "%s.%u and %s.%u lost each other: connecting them again",
	    role_name(a->role), a->instance, role_name(b->role), b->instance);
}

/* A socket pair between two children, as long as both live. */
struct pair {
	struct ev_timer timer;
	uint64_t id;
	pid_t a, b;
	bool lost;
	struct pair *next;
};
static struct pair *pairs;
static uint64_t last_pair;

static int
connect_pair(struct child *a, struct child *b)
{
	struct pair *l;
	int fds[2];

	if (net_socketpair(fds) == -1) {
		log_note(LOG_LEVEL_ERROR, "socketpair: %s", strerror(errno));
		return -1;
	}
	l = xcallocarray(1, sizeof(*l));
	l->id = ++last_pair;
	l->a = a->pid;
	l->b = b->pid;
	l->next = pairs;
	pairs = l;
	send_peer(a, b, fds[0], l->id);
	send_peer(b, a, fds[1], l->id);
	return 0;
}

static void
connect_child(struct child *c)
{
	struct child *other;

	TAILQ_FOREACH (other, &children, entry)
		if (other != c && other->peer != NULL && are_connected(c, other) &&
		    connect_pair(c, other) == -1)
			return;
}

static struct child *
find_pid(pid_t pid)
{
	struct child *c;

	TAILQ_FOREACH (c, &children, entry)
		if (c->pid == pid && c->peer != NULL)
			return c;
	return NULL;
}

static void
pair_free(struct pair *l)
{
	struct pair **at = &pairs;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	ev_timer_clear(&l->timer);
	free(l);
}

void
child_forget_pairs(pid_t pid)
{
	for (struct pair *l = pairs, *next; l != NULL; l = next) {
		next = l->next;
		if (l->a == pid || l->b == pid)
			pair_free(l);
	}
}

/* It broke, and both ends are still there: one of them had cut the other off. */
static void
reconnect(void *arg)
{
	struct pair *l = arg;
	struct child *a = find_pid(l->a), *b = find_pid(l->b);

	pair_free(l);
	if (a != NULL && b != NULL && !a->draining && !b->draining) {
		log_child_pair(a, b);
		(void)connect_pair(a, b);
	}
}

int
child_on_lost(struct ipc_peer *p, struct ipc_in *in)
{
	struct child *c = ipc_peer_data(p);
	struct ipc_proc_lost m;
	struct pair *l;

	if (ipc_decode_proc_lost(in, &m) == -1 || c == NULL)
		return -1;
	for (l = pairs; l != NULL; l = l->next)
		if (l->id == m.pair && (l->a == c->pid || l->b == c->pid))
			break;
	/* one that ended took its pairs along; of two that live both ends say so */
	if (l == NULL || l->lost)
		return 0;
	l->lost = true;
	ev_timer_set(&l->timer, RECONNECT_MS, reconnect, l);
	return 0;
}

/* ---- children -------------------------------------------------------------------------------- */

void
child_log(const struct child *c, enum log_level level, const char *state, int status)
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
	for (size_t i = 0; i < supervisor_listens()->n && n < (int)ARRAY_LEN(keep); i++)
		keep[n++] = supervisor_listens()->v[i].fd;
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

void
child_start(struct child *c)
{
	int fds[2];

	if (net_socketpair(fds) == -1) {
		log_note(LOG_LEVEL_ERROR, "socketpair: %s", strerror(errno));
		return;
	}
	log_flush();
	/* a signal must not run the supervisor's handlers in the child */
	sigset_t all, before;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	c->pid = fork();
	if (c->pid != 0)
		sigprocmask(SIG_SETMASK, &before, NULL);
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
			for (size_t i = 0; i < supervisor_listens()->n; i++)
				close(supervisor_listens()->v[i].fd);
		struct proc_child child = {.role = c->role,
		    .instance = c->instance,
		    .generation = c->generation,
		    .conf = supervisor_own_conf(),
		    .fd = fds[1],
		    .sockets = supervisor_listens()->v,
		    .n_sockets = c->role == ROLE_FRONT ? supervisor_listens()->n : 0};
		proc_child_main(&child);
	}
	close(fds[1]);
	c->started = ev_now_ms();
	c->ready = false;
	c->peer = ipc_peer_new(fds[0], c->role, c->instance, c->generation);
	ipc_peer_set_data(c->peer, c);
	child_log(c, LOG_LEVEL_DEBUG, "started", 0);
	connect_child(c);
}

void
child_restart(void *arg)
{
	struct child *c = arg;

	child_start(c);
	if (c->pid == -1)
		ev_timer_set(&c->restart, RESTART_MAX_MS, child_restart, c);
}

void
child_new(enum role role, unsigned instance, uint64_t gen)
{
	struct child *c = xcallocarray(1, sizeof(*c));

	c->role = role;
	c->instance = instance;
	c->generation = gen;
	TAILQ_INSERT_TAIL(&children, c, entry);
	child_start(c);
	if (c->pid == -1)
		ev_timer_set(&c->restart, RESTART_MAX_MS, child_restart, c);
}

void
child_drain(struct child *c, bool hard)
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

void
child_go(struct child *c)
{
	struct ipc_proc_go m = {.generation = c->generation};

	c->gone_live = true;
	(void)ipc_send_proc_go(c->peer, -1, &m);
}

/* How many children of that role and generation (0: any) are there. */
unsigned
child_count(enum role role, uint64_t gen)
{
	struct child *c;
	unsigned n = 0;

	TAILQ_FOREACH (c, &children, entry)
		if ((role == ROLE_ANY || c->role == role) && (gen == 0 || c->generation == gen))
			n++;
	return n;
}
