/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_QUEUE_QUEUE_RETRY_H
#define SUBMITD_QUEUE_QUEUE_RETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The part of a transport that decides about retries. Values, borrowed list. */
struct retry_rule {
	const int64_t *delay_min; /* minutes between tries; the last one repeats */
	size_t n_delays;
	int64_t count;    /* tries after the first */
	int64_t warn_min; /* minutes until the sender is told of the delay; 0: never */
	bool discard;     /* giving up tells nobody */
};

/* Wait after the attempt-th try (1 is the first). */
int64_t retry_delay_ms(const struct retry_rule *, uint32_t attempt);
/* From acceptance to the last try: the sum of the first `count` delays. */
int64_t retry_life_ms(const struct retry_rule *);
/* The longest single wait that the rule can give: what lies further ahead is a clock that jumped.
 */
int64_t retry_longest_ms(const struct retry_rule *);
/* After a try that failed for now: is that the end? attempts: tries made, this one included. */
bool retry_gives_up(
    const struct retry_rule *, uint32_t attempts, int64_t received_ms, int64_t now_ms);
/* A message that waits for its destination only: has its list run out? */
bool retry_expired(const struct retry_rule *, int64_t received_ms, int64_t now_ms);
/* How long a destination is left alone after it could not be reached `fails` times in a row. */
int64_t retry_backoff_ms(const struct retry_rule *, uint32_t fails);
/* From acceptance to the delay warning; 0: there is none. */
int64_t retry_warn_ms(const struct retry_rule *);
/* Is it time for the one delay warning (D3)? notify: NOTIFY_* of the recipient. */
bool retry_warns(const struct retry_rule *, unsigned notify, int64_t received_ms, int64_t now_ms);

/* What becomes of a recipient that failed for good. */
enum retry_fate {
	FATE_REPORT = 0, /* the sender gets a DSN */
	FATE_DROP = 1,   /* he asked not to be told */
	FATE_HOLD = 2,   /* nobody may be told: kept for the operator (D2) */
};
enum retry_fate retry_fate_of(unsigned msg_flags, bool null_sender, unsigned notify);

#endif
