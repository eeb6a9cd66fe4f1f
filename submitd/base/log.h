/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_LOG_H
#define SUBMITD_BASE_LOG_H

#include "base/buf.h"
#include "base/net.h"

#include <stdbool.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR = 0, /* an operator must act */
	LOG_LEVEL_WARN = 1,  /* costs mail if it lasts */
	LOG_LEVEL_INFO = 2,  /* mail moved or was refused */
	LOG_LEVEL_DEBUG = 3, /* why */
};

enum log_event {
#define LOG_EVENT(id, name) EV_##id,
#define LOG_KEY(id, name)
#include "base/log_events.def"
#undef LOG_EVENT
#undef LOG_KEY
	EV__MAX
};

enum log_key {
#define LOG_EVENT(id, name)
#define LOG_KEY(id, name) LK_##id,
#include "base/log_events.def"
#undef LOG_EVENT
#undef LOG_KEY
	LK__MAX
};

/*
 * One line per event. Values from outside are quoted and escaped here, never by
 * the caller. A line is dropped after log_begin() when its level is off: the
 * other calls then do nothing.
 *
 *	struct log_line l;
 *	log_begin(&l, LOG_LEVEL_INFO, EV_DELIVERY);
 *	log_str(&l, LK_MID, mid);
 *	log_end(&l);
 *
 * Lines are collected and written at the end of the loop's turn (before the loop
 * runs and for errors: at once). Not for worker threads, except log_note(),
 * which takes a lock.
 */
struct log_line {
	bool on;
	enum log_level level;
	struct buf text;
};

void log_begin(struct log_line *, enum log_level, enum log_event);
void log_str(struct log_line *, enum log_key, const char *); /* NULL: the key is left out */
void log_span(struct log_line *, enum log_key, struct span);
void log_u64(struct log_line *, enum log_key, uint64_t);
void log_i64(struct log_line *, enum log_key, int64_t);
void log_ip(struct log_line *, enum log_key, const struct net_addr *);   /* without port */
void log_addr(struct log_line *, enum log_key, const struct net_addr *); /* with port */
void log_end(struct log_line *);

bool log_enabled(enum log_level);
/* event=note with a text. */
void log_note(enum log_level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* For start-up only: logs at error level, flushes, exits 1. */
void log_fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Our own bug: logs where, then aborts. Input never reaches it. */
#define invariant(expr) ((expr) ? (void)0 : log_invariant(#expr, __FILE__, __LINE__))
void log_invariant(const char *expr, const char *file, int line) __attribute__((noreturn));

/*
 * Set-up. The supervisor opens the targets before it forks; children inherit the
 * descriptors. A target: "stderr", "file:/path", "syslog:facility", "journal".
 */
struct log_options {
	const char *const *targets;
	size_t n_targets;
	bool json;
	enum log_level level;
};
/* Until this is called lines go to stderr as text. -1 with a text in err; nothing is changed then.
 */
int log_open(const struct log_options *, char *err, size_t errsize);
void log_set_role(const char *role, unsigned instance); /* added to each line */
void log_set_loop(bool running); /* from now on lines are collected per turn */
void log_flush(void);
/* After a reload: a role that lives on takes over newly opened files (descriptors are taken). */
#define LOG_MAX_TARGETS 8
size_t log_fds(int fds[LOG_MAX_TARGETS]);
void log_set_fds(const struct log_options *, const int *fds, size_t n);

/* -T topics: comma separated list of smtp,io,ipc,auth,dns,policy,queue or "all". -1: unknown word.
 */
enum log_topic {
	TRACE_SMTP = 1,
	TRACE_IO = 2,
	TRACE_IPC = 4,
	TRACE_AUTH = 8,
	TRACE_DNS = 16,
	TRACE_POLICY = 32,
	TRACE_QUEUE = 64,
};
int log_trace_set(const char *topics);
bool log_tracing(enum log_topic);
void log_trace(enum log_topic, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
