/* SPDX-License-Identifier: ISC */
/*
 * What of guard.c's counts auth must know to let an attempt go without a question (A7).
 * Pure. Runs in ledger. Must never say less of a key than guard_ask() would.
 */
#include "ledger/guard_internal.h"

#include <string.h>

/* Guesses of a key without failures that may be under way. */
static uint32_t
room_of(const struct conf_rates *rates)
{
	uint32_t room = GUARD_ROOM_MAX;

	for (size_t i = 0; i < rates->n; i++)
		room = rates->v[i].n < room ? rates->v[i].n : room;
	return room;
}

/* How much of that a row leaves less; what is under way now auth knows itself. */
static uint8_t
row_used(const struct guard *g, const struct guard_row *r, uint32_t room, int64_t now)
{
	uint32_t left;

	if (r->until_ms != 0 || guard_row_delay(g, r, now) != 0)
		return GUARD_CELL_ASK;
	left = guard_row_room(g, r, now);
	return left >= room ? 0 : (uint8_t)(room - left);
}

void
guard_calm(const struct guard *g, int64_t now, uint64_t seed, uint8_t cells[GUARD_CELLS],
    uint8_t rooms[GUARD_PAIR])
{
	const struct guard_row *r;

	memset(cells, 0, GUARD_CELLS);
	for (unsigned k = 0; k < GUARD_KIND__MAX; k++) {
		uint32_t room = room_of(&g->options.rates[k]);

		if (k < GUARD_PAIR)
			rooms[k] = (uint8_t)room;
		TAILQ_FOREACH (r, &g->age[k], age) {
			uint8_t used = row_used(g, r, room, now), *cell;

			if (used == 0)
				continue;
			cell = &cells[guard_cell(seed, &r->key)];
			*cell = used > *cell ? used : *cell;
		}
	}
}
