/* SPDX-License-Identifier: ISC */
/*
 * A table of the latest logins, sets of a few places each; in a full set the oldest goes.
 * Process auth, in the loop. Must never keep what a password could be found by.
 */
#include "authbackends/auth_known.h"

#include "base/enc.h"
#include "base/mac.h"

#include <string.h>

#define SETS 8192u
#define WAYS 4u

struct known {
	uint64_t place; /* keyed hash of address and user; 0: free */
	int64_t since_ms;
	uint16_t guess;
};

static struct known table[SETS][WAYS];
static struct mac *places; /* under a key of this process: nobody can aim at a set */

void
auth_known_init(void)
{
	uint8_t key[MAC_SIZE];

	random_bytes(key, sizeof(key));
	places = mac_new(key, sizeof(key));
	explicit_bzero(key, sizeof(key));
}

uint64_t
auth_known_place(const struct net_addr *client, const char *user)
{
	uint8_t mac[MAC_SIZE];
	struct buf b = BUF_INIT;
	uint64_t place;

	buf_add_byte(&b, client->family);
	buf_add(&b, client->ip, client->family == 4 ? 4 : 16);
	buf_add(&b, user, strlen(user));
	mac_of(places, buf_span(&b), mac);
	buf_clear(&b);
	memcpy(&place, mac, sizeof(place));
	return place == 0 ? 1 : place;
}

static struct known *
find(uint64_t place)
{
	struct known *set = table[place % SETS];

	for (unsigned i = 0; i < WAYS; i++)
		if (set[i].place == place)
			return &set[i];
	return NULL;
}

void
auth_known_add(uint64_t place, uint64_t guess, int64_t now_ms)
{
	struct known *set = table[place % SETS], *k = find(place);

	if (k == NULL) {
		k = set;
		for (unsigned i = 1; i < WAYS; i++)
			if (set[i].place == 0 || (k->place != 0 && set[i].since_ms < k->since_ms))
				k = &set[i];
	}
	*k = (struct known){place, now_ms, (uint16_t)guess};
}

bool
auth_known_is(uint64_t place, uint64_t guess, int64_t now_ms, int64_t keep_ms)
{
	const struct known *k = find(place);

	return k != NULL && k->guess == (uint16_t)guess && now_ms - k->since_ms < keep_ms;
}

void
auth_known_drop(uint64_t place)
{
	struct known *k = find(place);

	if (k != NULL)
		memset(k, 0, sizeof(*k));
}
