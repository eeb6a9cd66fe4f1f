/* SPDX-License-Identifier: ISC */
/*
 * Keys of failed logins (A7). Pure; runs in ledger.
 */
#include "ledger/guard_key.h"

#include <string.h>

static void
key_set_user(struct guard_key *k, enum guard_kind kind, const uint8_t hash[MAC_SIZE])
{
	k->kind = (uint8_t)kind;
	memcpy(k->user, hash, sizeof(k->user));
}

static void
key_set_ip(struct guard_key *k, enum guard_kind kind, const struct net_addr *a)
{
	k->kind = (uint8_t)kind;
	k->family = a->family;
	memcpy(k->ip, a->ip, a->family == 4 ? 4 : 16);
}

void
guard_keys_make(struct mac *names, const struct net_addr *client, struct span user,
    struct guard_key keys[GUARD_KIND__MAX])
{
	struct net_addr net = net_addr_network(client);
	uint8_t hash[MAC_SIZE];

	memset(keys, 0, GUARD_KIND__MAX * sizeof(*keys));
	mac_of(names, user, hash);
	key_set_ip(&keys[GUARD_ADDRESS], GUARD_ADDRESS, client);
	key_set_ip(&keys[GUARD_NETWORK], GUARD_NETWORK, &net);
	key_set_user(&keys[GUARD_USER], GUARD_USER, hash);
	key_set_ip(&keys[GUARD_PAIR], GUARD_PAIR, &net);
	key_set_user(&keys[GUARD_PAIR], GUARD_PAIR, hash);
	key_set_ip(&keys[GUARD_HOME], GUARD_HOME, client);
	key_set_user(&keys[GUARD_HOME], GUARD_HOME, hash);
}

uint64_t
guard_mix(uint64_t h, const void *p, size_t n)
{
	const uint8_t *at = p;
	uint64_t w;

	for (size_t i = 0; i < n; i += 8) {
		w = 0;
		memcpy(&w, at + i, n - i < 8 ? n - i : 8);
		h = (h ^ w) * UINT64_C(0xff51afd7ed558ccd);
		h ^= h >> 32;
	}
	return h;
}
