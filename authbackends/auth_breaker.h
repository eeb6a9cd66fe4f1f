/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUTH_BREAKER_H
#define SUBMITD_AUTH_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The circuit breaker of one backend (C2, DESIGN promise 4). Pure: the clock is an
 * argument, in milliseconds, any monotonic one.
 *
 *	closed     questions go through; max failures in a row, for two names at
 *	           least, open it: what hits one name only is no sign of a dead server
 *	open       no question goes through until the pause is over
 *	half open  one question, the probe, is on its way: an answer closes, a
 *	           failure opens for another pause
 *
 * A failure is "could not find out". Yes, no and unknown are answers alike.
 */
enum breaker_state {
	BREAKER_CLOSED = 0,
	BREAKER_OPEN = 1,
	BREAKER_HALF_OPEN = 2,
};
const char *auth_breaker_state_name(enum breaker_state); /* "closed", "open", "half-open" */

/* What a question was let through as; goes back with its answer. */
enum breaker_pass {
	PASS_NO = 0, /* not to be asked now */
	PASS_ASK = 1,
	PASS_PROBE = 2,
};

struct auth_breaker {
	unsigned max;     /* 0: never opens */
	int64_t pause_ms; /* how long it stays open */
	/* private; zero at the start */
	enum breaker_state state;
	unsigned failures; /* in a row */
	uint64_t who;      /* name of the first of them */
	bool several;      /* there was another name */
	int64_t until_ms;
	uint64_t opened; /* how often: for counters */
};

/* May a question be asked now? Each pass but PASS_NO is given back exactly once. */
enum breaker_pass auth_breaker_ask(struct auth_breaker *, int64_t now_ms);
/* What auth_breaker_ask() would answer, and how long the pause still lasts (0: not open). */
enum breaker_pass auth_breaker_peek(const struct auth_breaker *, int64_t now_ms, int64_t *left_ms);
/* The answer to a question; who: a number for the name asked for. True: it opened or closed. */
bool auth_breaker_answer(
    struct auth_breaker *, enum breaker_pass, bool failed, uint64_t who, int64_t now_ms);
/* The question was given up and tells nothing: the next one may be the probe. */
void auth_breaker_drop(struct auth_breaker *, enum breaker_pass, int64_t now_ms);

#endif
