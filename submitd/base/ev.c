/* SPDX-License-Identifier: ISC */
/*
 * The event loop of a process: libevent underneath, and on top of it the end of a
 * turn, where everything that happened in the turn is written out once. Runs in
 * every process but the supervisor's checking child. Must never block elsewhere
 * than in the poll.
 */
#include "base/ev.h"
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static struct event_base *base;
static struct ev_turn *turn_head, **turn_tail = &turn_head;
static bool stopping;

int
ev_init(void)
{
	struct event_config *cfg = event_config_new();

	if (cfg == NULL)
		return -1;
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_IGNORE_ENV);
	/* ev_wake: without edges it would be called for ever */
	event_config_require_features(cfg, EV_FEATURE_ET);
	base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	if (base == NULL) {
		errno = ENOMEM;
		return -1;
	}
	stopping = false;
	return 0;
}

void
ev_after_fork(void)
{
	/* freeing it would take the parent's descriptors out of the epoll set that both share */
	base = NULL;
	turn_head = NULL;
	turn_tail = &turn_head;
	stopping = false;
	log_set_loop(false);
}

struct event_base *
ev_base(void)
{
	return base;
}

static void
run_turn(void)
{
	/* entries may schedule others: they run in this turn too, bounded by what they do */
	while (turn_head != NULL) {
		struct ev_turn *t = turn_head;
		ev_turn_cancel(t);
		t->fn(t->arg);
	}
}

void
ev_run(void)
{
	log_set_loop(true);
	run_turn();
	log_flush();
	while (!stopping) {
		if (event_base_loop(base, EVLOOP_ONCE) == -1)
			log_fatal("event loop: poll failed");
		run_turn();
		log_flush();
	}
	log_set_loop(false);
}

void
ev_stop(void)
{
	stopping = true;
	event_base_loopbreak(base);
}

void
ev_restart(void)
{
	stopping = false;
}

void
ev_done(void)
{
	if (base != NULL)
		event_base_free(base);
	base = NULL;
}

int64_t
ev_now_ms(void)
{
	struct timespec ts;

	/* the coarse clock costs a few nanoseconds and steps by 4 ms at most */
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t
ev_wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
timer_fired(evutil_socket_t fd, short what, void *arg)
{
	struct ev_timer *t = arg;

	(void)fd;
	(void)what;
	t->fn(t->arg);
}

void
ev_timer_set(struct ev_timer *t, int64_t ms, ev_fn *fn, void *arg)
{
	if (ms < 0)
		ms = 0;
	struct timeval tv = {
	    .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

	t->fn = fn;
	t->arg = arg;
	if (!t->made) {
		evtimer_assign(&t->ev, base, timer_fired, t);
		t->made = true;
	}
	evtimer_add(&t->ev, &tv);
}

void
ev_timer_clear(struct ev_timer *t)
{
	if (t->made)
		evtimer_del(&t->ev);
}

bool
ev_timer_pending(const struct ev_timer *t)
{
	return t->made && evtimer_pending(&t->ev, NULL);
}

static void
watch_fired(evutil_socket_t fd, short what, void *arg)
{
	struct ev_watch *w = arg;

	w->fn(fd, what, w->arg);
}

void
ev_watch_set(struct ev_watch *w, int fd, short what, void (*fn)(int, short, void *), void *arg)
{
	if (w->made)
		event_del(&w->ev);
	w->fn = fn;
	w->arg = arg;
	event_assign(&w->ev, base, fd, (short)(what | EV_PERSIST), watch_fired, w);
	event_add(&w->ev, NULL);
	w->made = true;
}

void
ev_watch_clear(struct ev_watch *w)
{
	if (w->made)
		event_del(&w->ev);
	w->made = false;
}

void
ev_signal(int signo, ev_fn *fn, void *arg)
{
	struct ev_timer *t = xcallocarray(1, sizeof(*t)); /* lives as long as the process */

	t->fn = fn;
	t->arg = arg;
	evsignal_assign(&t->ev, base, signo, timer_fired, t);
	evsignal_add(&t->ev, NULL);
}

void
ev_turn_schedule(struct ev_turn *t, ev_fn *fn, void *arg)
{
	t->fn = fn;
	t->arg = arg;
	if (t->prev != NULL)
		return;
	t->next = NULL;
	t->prev = turn_tail;
	*turn_tail = t;
	turn_tail = &t->next;
}

void
ev_turn_cancel(struct ev_turn *t)
{
	if (t->prev == NULL)
		return;
	*t->prev = t->next;
	if (t->next != NULL)
		t->next->prev = t->prev;
	else
		turn_tail = t->prev;
	t->next = NULL;
	t->prev = NULL;
}

struct free_later {
	struct ev_turn turn;
	void *p;
	void (*fn)(void *);
};

static void
free_now(void *arg)
{
	struct free_later *f = arg;

	f->fn(f->p);
	free(f);
}

void
ev_free_later(void *p, void (*fn)(void *))
{
	struct free_later *f = xcallocarray(1, sizeof(*f));

	f->p = p;
	f->fn = fn;
	ev_turn_schedule(&f->turn, free_now, f);
}

struct ev_wake {
	struct ev_watch watch;
	int fd;
	ev_fn *fn;
	void *arg;
};

static void
wake_on_event(int fd, short what, void *arg)
{
	struct ev_wake *w = arg;

	(void)fd;
	(void)what;
	w->fn(w->arg);
}

struct ev_wake *
ev_wake_new(ev_fn *fn, void *arg)
{
	struct ev_wake *w = xcallocarray(1, sizeof(*w));

	w->fn = fn;
	w->arg = arg;
	w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->fd == -1)
		log_fatal("eventfd: %s", strerror(errno));
	/* each write is an edge: the count is never read */
	ev_watch_set(&w->watch, w->fd, EV_READ | EV_ET, wake_on_event, w);
	return w;
}

void
ev_wake_fire(struct ev_wake *w)
{
	const uint64_t one = 1;

	/* the count overflows after 2^64 wake-ups */
	(void)!write(w->fd, &one, sizeof(one));
}

void
ev_wake_free(struct ev_wake *w)
{
	if (w == NULL)
		return;
	ev_watch_clear(&w->watch);
	close(w->fd);
	free(w);
}
