/* SPDX-License-Identifier: ISC */
/*
 * What is under way and what the ledger said of it, in cells that keys share by chance:
 * who shares one is asked about once too often. Process auth, in the loop. Must never
 * know less of a key than the ledger would answer by.
 */
#include "authbackends/auth_calm.h"

#include "base/str.h"
#include "ipc/ipc_guard.h"

#include <string.h>

/* Own failures that the ledger's table may not show yet: a bit for each cell. */
struct marks {
	uint8_t bit[GUARD_CELLS / 8];
	uint64_t upto; /* the last failure that set one */
};

static uint8_t told[GUARD_CELLS]; /* by the ledger */
static uint32_t under_way[GUARD_CELLS];
static struct marks fresh, older;
static uint64_t failures; /* that this ledger was told */
static uint64_t needed;   /* of them without marks: no calm before the table shows them */
static uint64_t seen;     /* as many the table shows */
static uint32_t rooms[GUARD_PAIR];
static struct mac *names; /* under the ledger's secret */
static uint64_t seed;
static bool has_table;
static int64_t until_ms; /* calm until then; 0: not */

static bool
is_marked(uint16_t cell)
{
	return ((fresh.bit[cell / 8] | older.bit[cell / 8]) >> cell % 8 & 1) != 0;
}

void
auth_calm_count(struct auth_calm_attempt *a, const struct net_addr *client, const char *user)
{
	struct guard_key keys[GUARD_KIND__MAX];

	if (!has_table || a->counted)
		return;
	guard_keys_make(names, client, span_of(user), keys);
	for (unsigned k = 0; k < GUARD_KIND__MAX; k++)
		a->cell[k] = guard_cell(seed, &keys[k]);
	a->named = user[0] != '\0';
	a->counted = true;
	under_way[a->cell[GUARD_ADDRESS]]++;
	under_way[a->cell[GUARD_NETWORK]]++;
	if (a->named)
		under_way[a->cell[GUARD_USER]]++;
}

void
auth_calm_leave(struct auth_calm_attempt *a)
{
	if (!a->counted)
		return;
	a->counted = false;
	under_way[a->cell[GUARD_ADDRESS]]--;
	under_way[a->cell[GUARD_NETWORK]]--;
	if (a->named)
		under_way[a->cell[GUARD_USER]]--;
}

/* By one key; how many are under way, it included, is counted by the key of kind other. */
static enum auth_calm
judge(const struct auth_calm_attempt *a, enum guard_kind kind, enum guard_kind other)
{
	uint32_t n = under_way[a->cell[other]];
	uint16_t cell = a->cell[kind];

	if (told[cell] == GUARD_CELL_ASK || is_marked(cell))
		return n > 1 ? CALM_TELL : CALM_ASK; /* room for the others is not certain */
	return n + told[cell] > rooms[other] ? CALM_TELL : CALM_GO;
}

enum auth_calm
auth_calm_enter(
    struct auth_calm_attempt *a, const struct net_addr *client, const char *user, int64_t now_ms)
{
	enum auth_calm worst = CALM_GO;

	auth_calm_count(a, client, user);
	if (!auth_calm_is(now_ms))
		return CALM_TELL;
	for (unsigned k = 0; k < GUARD_KIND__MAX; k++) {
		unsigned other = k >= GUARD_PAIR ? GUARD_USER : k;
		enum auth_calm c;

		if (!a->named && k >= GUARD_USER)
			break;
		c = judge(a, (enum guard_kind)k, (enum guard_kind)other);
		worst = c > worst ? c : worst;
	}
	return worst;
}

void
auth_calm_failed(const struct auth_calm_attempt *a)
{
	failures++;
	if (a == NULL || !a->counted) {
		needed = failures;
		return;
	}
	for (unsigned k = 0; k < GUARD_KIND__MAX; k++)
		fresh.bit[a->cell[k] / 8] |= (uint8_t)(1u << a->cell[k] % 8);
	fresh.upto = failures;
}

void
auth_calm_forget(void)
{
	memset(told, 0, sizeof(told));
	memset(under_way, 0, sizeof(under_way));
	memset(&fresh, 0, sizeof(fresh));
	memset(&older, 0, sizeof(older));
	mac_free(names);
	names = NULL;
	failures = needed = seen = 0;
	until_ms = 0;
	has_table = false;
}

/* Marks go when the table shows their failures; those set meanwhile wait for the next one. */
static void
take_marks(void)
{
	if (seen < older.upto)
		return;
	older = fresh;
	memset(&fresh, 0, sizeof(fresh));
	if (seen >= older.upto)
		memset(&older, 0, sizeof(older));
}

int
auth_calm_take(const struct ipc_guard_calm *m, int64_t now_ms, bool *first)
{
	*first = false;
	if (m->calm == 0) {
		until_ms = 0;
		return 0;
	}
	if (m->room_address > GUARD_ROOM_MAX || m->room_network > GUARD_ROOM_MAX ||
	    m->room_user > GUARD_ROOM_MAX || m->seen < seen || m->seen > failures)
		return -1;
	if (m->cells.n != 0) {
		if (m->cells.n != GUARD_CELLS || m->key.n != GUARD_SECRET ||
		    (has_table && m->seed != seed))
			return -1;
		memcpy(told, m->cells.p, sizeof(told));
		if (names == NULL)
			names = mac_new((const uint8_t *)m->key.p, m->key.n);
		seed = m->seed;
		*first = !has_table;
		has_table = true;
	} else if (!has_table) {
		return -1;
	}
	rooms[GUARD_ADDRESS] = m->room_address;
	rooms[GUARD_NETWORK] = m->room_network;
	rooms[GUARD_USER] = m->room_user;
	seen = m->seen;
	take_marks();
	until_ms = now_ms + GUARD_CALM_MS;
	return 0;
}

bool
auth_calm_is(int64_t now_ms)
{
	return has_table && seen >= needed && now_ms < until_ms;
}
