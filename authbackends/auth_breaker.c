/* SPDX-License-Identifier: ISC */
/*
 * The circuit breaker (C2): a backend that does not answer is left alone for a
 * while, then tried with one question. Process auth, pure. Must never open because
 * of answers, be they no.
 */
#include "authbackends/auth_breaker.h"

const char *
auth_breaker_state_name(enum breaker_state s)
{
	switch (s) {
	case BREAKER_CLOSED:
		break;
	case BREAKER_OPEN:
		return "open";
	case BREAKER_HALF_OPEN:
		return "half-open";
	}
	return "closed";
}

static void
set_closed(struct auth_breaker *b)
{
	b->state = BREAKER_CLOSED;
	b->failures = 0;
	b->several = false;
}

static void
set_open(struct auth_breaker *b, int64_t until_ms)
{
	b->state = BREAKER_OPEN;
	b->until_ms = until_ms;
}

enum breaker_pass
auth_breaker_peek(const struct auth_breaker *b, int64_t now_ms, int64_t *left_ms)
{
	*left_ms = 0;
	switch (b->state) {
	case BREAKER_CLOSED:
		return PASS_ASK;
	case BREAKER_OPEN:
		if (now_ms >= b->until_ms)
			return PASS_PROBE;
		*left_ms = b->until_ms - now_ms;
		return PASS_NO;
	case BREAKER_HALF_OPEN:
		break;
	}
	return PASS_NO;
}

enum breaker_pass
auth_breaker_ask(struct auth_breaker *b, int64_t now_ms)
{
	int64_t left_ms;
	enum breaker_pass pass = auth_breaker_peek(b, now_ms, &left_ms);

	if (pass == PASS_PROBE)
		b->state = BREAKER_HALF_OPEN;
	return pass;
}

static bool
count_failure(struct auth_breaker *b, uint64_t who)
{
	if (b->failures == 0)
		b->who = who;
	else if (b->who != who)
		b->several = true;
	if (b->failures < b->max)
		b->failures++;
	return b->failures == b->max && b->several;
}

bool
auth_breaker_answer(
    struct auth_breaker *b, enum breaker_pass pass, bool failed, uint64_t who, int64_t now_ms)
{
	bool was_closed = b->state == BREAKER_CLOSED;

	if (b->max == 0 || pass == PASS_NO)
		return false;
	if (!failed) { /* a late answer to an older question is as good as the probe's */
		set_closed(b);
		return !was_closed;
	}
	if (was_closed ? !count_failure(b, who) : pass != PASS_PROBE)
		return false; /* not enough yet; or an older question fails: that is known */
	set_open(b, now_ms + b->pause_ms);
	b->opened += was_closed;
	return was_closed;
}

void
auth_breaker_drop(struct auth_breaker *b, enum breaker_pass pass, int64_t now_ms)
{
	if (pass == PASS_PROBE && b->state == BREAKER_HALF_OPEN)
		set_open(b, now_ms);
}
