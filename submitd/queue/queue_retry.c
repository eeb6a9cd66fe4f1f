/* SPDX-License-Identifier: ISC */
/*
 * When a message is tried again, when it is given up, and who is told (S62, S63,
 * D1 to D3). Pure functions with the time as an argument; used by process queue
 * and by its tests. Nothing here reads a clock or a file.
 */
#include "queue/queue_retry.h"

#include "base/str.h"
#include "mail/envelope.h"

#include <stdlib.h>

/* Milliseconds of a minute of retry_delay. Builds for the tests may be told a shorter one. */
static int64_t
minute_ms(void)
{
#ifdef SUBMITD_FAULTS
	static int64_t ms;
	uint64_t v;

	if (ms == 0)
		ms = getenv("SUBMITD_TEST_MINUTE_MS") != NULL &&
		             str_to_u64(getenv("SUBMITD_TEST_MINUTE_MS"), 1, 60000, &v) == 0
		         ? (int64_t)v
		         : 60000;
	return ms;
#else
	return 60000;
#endif
}

/* Waits for a destination that cannot be reached, in minutes; the last repeats. */
static const int64_t backoff_min[] = {1, 2, 5, 10, 15, 30, 60};
#define N_BACKOFF (sizeof(backoff_min) / sizeof(backoff_min[0]))

static int64_t
delay_min(const struct retry_rule *r, uint64_t index)
{
	if (r->n_delays == 0)
		return 15;
	return r->delay_min[index < r->n_delays ? index : r->n_delays - 1];
}

int64_t
retry_delay_ms(const struct retry_rule *r, uint32_t attempt)
{
	return delay_min(r, attempt == 0 ? 0 : attempt - 1) * minute_ms();
}

int64_t
retry_life_ms(const struct retry_rule *r)
{
	int64_t sum = 0, i;

	for (i = 0; i < r->count && i < (int64_t)r->n_delays; i++)
		sum += delay_min(r, (uint64_t)i);
	if (i < r->count)
		sum += (r->count - i) * delay_min(r, (uint64_t)i);
	return sum * minute_ms();
}

int64_t
retry_longest_ms(const struct retry_rule *r)
{
	int64_t longest = delay_min(r, 0);

	for (size_t i = 1; i < r->n_delays; i++)
		if (r->delay_min[i] > longest)
			longest = r->delay_min[i];
	return longest * minute_ms();
}

bool
retry_expired(const struct retry_rule *r, int64_t received_ms, int64_t now_ms)
{
	return now_ms - received_ms >= retry_life_ms(r);
}

bool
retry_gives_up(const struct retry_rule *r, uint32_t attempts, int64_t received_ms, int64_t now_ms)
{
	if ((int64_t)attempts > r->count)
		return true;
	/* a clock that jumped ahead, or a long pause, still leaves a second try */
	return attempts >= 2 && retry_expired(r, received_ms, now_ms);
}

int64_t
retry_backoff_ms(const struct retry_rule *r, uint32_t fails)
{
	uint32_t i = fails == 0 ? 0 : fails - 1;
	int64_t own = retry_delay_ms(r, fails);
	int64_t wait = backoff_min[i < N_BACKOFF ? i : N_BACKOFF - 1] * minute_ms();

	/* never longer than a lone message would wait by its own list */
	return wait < own ? wait : own;
}

int64_t
retry_warn_ms(const struct retry_rule *r)
{
	return r->warn_min <= 0 ? 0 : r->warn_min * minute_ms();
}

bool
retry_warns(const struct retry_rule *r, unsigned notify, int64_t received_ms, int64_t now_ms)
{
	if (r->warn_min <= 0 || (notify != 0 && (notify & NOTIFY_DELAY) == 0))
		return false;
	return now_ms - received_ms >= retry_warn_ms(r);
}

enum retry_fate
retry_fate_of(unsigned msg_flags, bool null_sender, unsigned notify)
{
	/* RFC 3461, 4.1: NEVER, and a list without FAILURE, mean no word about a failure */
	if (notify != 0 && (notify & NOTIFY_FAILURE) == 0)
		return FATE_DROP;
	if (null_sender || (msg_flags & MSG_IS_DSN) != 0)
		return FATE_HOLD;
	return (msg_flags & MSG_AUTHENTICATED) != 0 ? FATE_REPORT : FATE_HOLD;
}
