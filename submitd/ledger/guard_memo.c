/* SPDX-License-Identifier: ISC */
/*
 * A small memory of what was seen lately: fixed size, no lists, the oldest of four
 * gives way. Pure. Runs in ledger. Forgetting is harmless: something counts once more.
 */
#include "ledger/guard_internal.h"

uint32_t *
guard_memo_at(struct guard_memo *m, uint64_t key, uint32_t now_s, uint32_t max_s)
{
	struct guard_memo_entry *set = m->v[(key >> 20) % MEMO_SETS], *oldest = &set[0];

	if (key == 0)
		key = 1;
	for (unsigned i = 0; i < MEMO_WAYS; i++) {
		if (set[i].key == key) {
			/* a clock that went back makes it old, not young for ever */
			if (now_s - set[i].time_s < max_s)
				return &set[i].value;
			oldest = &set[i];
			break;
		}
		if (set[i].time_s < oldest->time_s)
			oldest = &set[i];
	}
	*oldest = (struct guard_memo_entry){key, now_s, 0};
	return &oldest->value;
}
