/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LEDGER_GUARD_INTERNAL_H
#define SUBMITD_LEDGER_GUARD_INTERNAL_H

/* What guard.c, guard_table.c and guard_memo.c share with nobody else. */

#include "ledger/guard.h"

/* ---- guard_memo.c: what was seen lately, of fixed size; the oldest of a set gives way ---- */
#define MEMO_SETS 16384u
#define MEMO_WAYS 4u
struct guard_memo {
	struct guard_memo_entry {
		uint64_t key; /* 0: free */
		uint32_t time_s, value;
	} v[MEMO_SETS][MEMO_WAYS];
};
/* The value under key, made 0 when there is none younger than max_s. Valid until the next call. */
uint32_t *guard_memo_at(struct guard_memo *, uint64_t key, uint32_t now_s, uint32_t max_s);

/* ---- guard_table.c ---- */
#define GUARD_COUNT_MAX 1000000u /* of one window: far above any limit, far from overflow */
#define GUARD_BUCKETS 65536u
#define GUARD_DEAD_MAX 100000u
struct guard {
	struct guard_options options;
	unsigned shortest[GUARD_KIND__MAX]; /* index of the rate with the shortest window */
	struct mac *names;                  /* under it */
	uint64_t seed;
	struct guard_row *bucket[GUARD_BUCKETS];
	struct guard_rows age[GUARD_KIND__MAX]; /* changed least recently first */
	struct guard_rows locked, dirty;
	struct guard_key *dead;
	size_t n_dead, cap_dead;
	bool dead_all;
	struct guard_memo *seen, *debts;
	struct guard_stats stats;
	void (*on_lock)(const struct guard_row *, bool locked);
};
struct guard_row *guard_row_find(const struct guard *, const struct guard_key *);
struct guard_row *guard_row_get(struct guard *, int64_t now, const struct guard_key *);
void guard_row_remove(struct guard *, struct guard_row *);
/* It changed: goes to the young end, and to the file. */
void guard_row_changed(struct guard *, struct guard_row *);
void guard_row_unlock(struct guard *, struct guard_row *);
void guard_row_lock(struct guard *, struct guard_row *, int64_t until_ms);
/* The clock was set back, or the option changed: no lock-out lasts longer than one does. */
void guard_row_bound(const struct guard *, struct guard_row *, int64_t now);
void guard_row_name(struct guard_row *, struct span name);

/* guard.c: removes a row that says nothing any more (NULL is fine); true when it did. */
bool guard_row_drop_empty(struct guard *, struct guard_row *, int64_t now);

#endif
