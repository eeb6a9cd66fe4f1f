/* SPDX-License-Identifier: ISC */
/*
 * Whose logins auth need not ask about (A7), told once a second. Process ledger. Must
 * never leave two auth processes calm at a time, and never claim to have counted a
 * failure that the table does not show.
 */
#include "ledger/ledger_calm.h"

#include "base/enc.h"
#include "base/ev.h"
#include "base/list.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_PER_TICK 8192u /* so many are looked at in a second; with more it takes longer */

struct calm_peer {
	LIST_ENTRY(calm_peer) link;
	struct ipc_peer *peer;
	uint64_t failed; /* failures that it noted, and that are counted */
	uint64_t shown;  /* as many of them the table shows */
	bool calm;       /* was told so */
	bool owes;       /* was told to ask, and may have attempts under way unasked */
	bool has_table;
};

static LIST_HEAD(, calm_peer) peers = LIST_HEAD_INITIALIZER(peers);
static size_t n_peers, n_owing;
static uint64_t seed;
static uint8_t cells[GUARD_CELLS], rooms[GUARD_PAIR];
static int64_t owed_until_ms; /* who has not told by then hangs, and lets nobody go */
static int64_t made_ms;       /* the table, by the clock on the wall */
static unsigned ticks_left;   /* until it is made again */

static struct calm_peer *
find(const struct ipc_peer *p)
{
	struct calm_peer *c;

	LIST_FOREACH(c, &peers, link)
	if (c->peer == p)
		return c;
	return NULL;
}

static void
wake(struct calm_peer *c)
{
	struct ipc_guard_calm m = {.calm = 0};

	if (!c->calm)
		return;
	c->calm = false;
	c->owes = true;
	n_owing++;
	/* what one that is slow to read it lets go at the very last is to be old for an address */
	owed_until_ms = ev_now_ms() + GUARD_CALM_MS + GUARD_PENDING_MS;
	(void)ipc_send_guard_calm(c->peer, -1, &m);
}

void
ledger_calm_again(void)
{
	struct calm_peer *c, *next;

	ticks_left = 0;
	for (c = LIST_FIRST(&peers); c != NULL; c = next) {
		next = LIST_NEXT(c, link); /* who cannot be told is gone */
		wake(c);
	}
}

void
ledger_calm_peer_up(struct ipc_peer *p)
{
	struct calm_peer *c;

	if (ipc_peer_role(p) != ROLE_AUTH)
		return;
	c = xcallocarray(1, sizeof(*c));
	c->peer = p;
	LIST_INSERT_HEAD(&peers, c, link);
	n_peers++;
	ledger_calm_again();
}

static void
settle(struct calm_peer *c)
{
	if (c->owes)
		n_owing--;
	c->owes = false;
}

void
ledger_calm_peer_down(struct ipc_peer *p)
{
	struct calm_peer *c = find(p);

	if (c == NULL)
		return;
	settle(c);
	LIST_REMOVE(c, link);
	n_peers--;
	free(c);
}

void
ledger_calm_failed(struct ipc_peer *p)
{
	struct calm_peer *c = find(p);

	if (c != NULL)
		c->failed++;
}

bool
ledger_calm_awake(struct ipc_peer *p)
{
	struct calm_peer *c = find(p);

	if (c == NULL || !c->owes)
		return false;
	settle(c);
	return n_owing == 0;
}

bool
ledger_calm_owed(void)
{
	return n_owing != 0 && ev_now_ms() < owed_until_ms;
}

/* True: the table is another one than before. */
static bool
make_table(const struct guard *g, int64_t now, struct calm_peer *c)
{
	const struct guard_stats *s = guard_stats(g);
	static uint8_t before[GUARD_CELLS], rooms_before[GUARD_PAIR];
	size_t rows = 0;

	if (ticks_left > 0 && now >= made_ms) { /* set back, the clock makes counts larger */
		ticks_left--;
		return false;
	}
	made_ms = now;
	for (unsigned k = 0; k < GUARD_KIND__MAX; k++)
		rows += s->rows[k];
	ticks_left = (unsigned)(rows / ROWS_PER_TICK);
	memcpy(before, cells, sizeof(before));
	memcpy(rooms_before, rooms, sizeof(rooms));
	guard_calm(g, now, seed, cells, rooms);
	c->shown = c->failed;
	return memcmp(before, cells, sizeof(before)) != 0 ||
	       memcmp(rooms_before, rooms, sizeof(rooms)) != 0;
}

void
ledger_calm_tick(const struct guard *g, int64_t now)
{
	struct calm_peer *c = LIST_FIRST(&peers);
	struct ipc_guard_calm m = {.calm = 1};

	if (n_peers != 1 || c->owes || ipc_peer_backlog(c->peer) > IPC_BACKLOG_SOFT)
		return;
	while (seed == 0)
		random_bytes(&seed, sizeof(seed));
	if (make_table(g, now, c) || !c->has_table) {
		m.key = guard_secret(g);
		m.cells = (struct span){(const char *)cells, sizeof(cells)};
	}
	m.seen = c->shown;
	m.seed = seed;
	m.room_address = rooms[GUARD_ADDRESS];
	m.room_network = rooms[GUARD_NETWORK];
	m.room_user = rooms[GUARD_USER];
	c->calm = c->has_table = true;
	(void)ipc_send_guard_calm(c->peer, -1, &m); /* c may be gone */
}
