/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_EV_H
#define SUBMITD_BASE_EV_H

#include <stdbool.h>
#include <stdint.h>

#include <event2/event.h>
#include <event2/event_struct.h>

/*
 * One event loop per process, on libevent. Only the loop's thread calls these,
 * except ev_wake_fire().
 */
typedef void ev_fn(void *arg);

int ev_init(void);        /* after fork; -1 with errno */
void ev_after_fork(void); /* in a child, before ev_init: lets go of the parent's loop */
void ev_run(void);        /* until ev_stop() */
void ev_stop(void);
void ev_restart(void); /* takes an ev_stop back: tests */
void ev_done(void);    /* frees the base; at exit, for leak checks */
struct event_base *ev_base(void);

int64_t ev_now_ms(void);  /* monotonic, read once per turn of the loop */
int64_t ev_wall_ms(void); /* wall clock, milliseconds since 1970 */

/* A one-shot timer. Zero-filled is unset. The owner clears it before freeing itself. */
struct ev_timer {
	struct event ev;
	ev_fn *fn;
	void *arg;
	bool made;
};
void ev_timer_set(struct ev_timer *, int64_t ms, ev_fn *, void *arg); /* replaces a set one */
void ev_timer_clear(struct ev_timer *);
bool ev_timer_pending(const struct ev_timer *);

/* Readiness of a descriptor, level triggered. */
struct ev_watch {
	struct event ev;
	void (*fn)(int fd, short what, void *arg);
	void *arg;
	bool made;
};
void ev_watch_set(struct ev_watch *, int fd, short what, void (*fn)(int, short, void *), void *arg);
void ev_watch_clear(struct ev_watch *);

/* Signals, delivered in the loop. */
void ev_signal(int signo, ev_fn *, void *arg);

/*
 * Work at the end of the current turn, after all events of it and before the
 * loop sleeps: where output is written once for all that happened in the turn.
 * A struct is on the list once however often it is scheduled.
 */
struct ev_turn {
	ev_fn *fn;
	void *arg;
	struct ev_turn *next, **prev;
};
void ev_turn_schedule(struct ev_turn *, ev_fn *, void *arg);
void ev_turn_cancel(struct ev_turn *);

/* Calls fn(p) at the end of the turn: frees what is still on the call stack. */
void ev_free_later(void *p, void (*fn)(void *));

/* From any thread: runs fn(arg) in the loop soon; several fires may be one call. */
struct ev_wake;
struct ev_wake *ev_wake_new(ev_fn *, void *arg);
void ev_wake_fire(struct ev_wake *);
void ev_wake_free(struct ev_wake *);

#endif
