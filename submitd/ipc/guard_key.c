/* SPDX-License-Identifier: ISC */
/*
 * Keys of failed logins (A7). Pure; runs in ledger and in auth, which must agree.
 */
#include "ipc/guard_key.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

static void
user_hash(const uint8_t secret[GUARD_SECRET], struct span user, uint8_t out[16])
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (HMAC(EVP_sha256(), secret, GUARD_SECRET,
		(const unsigned char *)(user.n == 0 ? "" : user.p), user.n, mac, &len) == NULL)
		memset(mac, 0, sizeof(mac));
	memcpy(out, mac, 16);
}

static void
key_set_ip(struct guard_key *k, enum guard_kind kind, const struct net_addr *a)
{
	k->kind = (uint8_t)kind;
	k->family = a->family;
	memcpy(k->ip, a->ip, a->family == 4 ? 4 : 16);
}

void
guard_keys_make(const uint8_t secret[GUARD_SECRET], const struct net_addr *client, struct span user,
    struct guard_key keys[GUARD_KIND__MAX])
{
	struct net_addr net = net_addr_network(client);

	memset(keys, 0, GUARD_KIND__MAX * sizeof(*keys));
	key_set_ip(&keys[GUARD_ADDRESS], GUARD_ADDRESS, client);
	key_set_ip(&keys[GUARD_NETWORK], GUARD_NETWORK, &net);
	keys[GUARD_USER].kind = GUARD_USER;
	user_hash(secret, user, keys[GUARD_USER].user);
	key_set_ip(&keys[GUARD_PAIR], GUARD_PAIR, &net);
	memcpy(keys[GUARD_PAIR].user, keys[GUARD_USER].user, sizeof(keys[GUARD_PAIR].user));
	key_set_ip(&keys[GUARD_HOME], GUARD_HOME, client);
	memcpy(keys[GUARD_HOME].user, keys[GUARD_USER].user, sizeof(keys[GUARD_HOME].user));
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

uint16_t
guard_cell(uint64_t seed, const struct guard_key *k)
{
	return (uint16_t)(guard_mix(seed, k, sizeof(*k)) >> 24 & (GUARD_CELLS - 1));
}
