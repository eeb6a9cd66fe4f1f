/* SPDX-License-Identifier: ISC */
/*
 * Counts open sessions per client address and per network, and refuses more than
 * the listener's limits. Runs in front. Holds one small entry per address and
 * network with open sessions and nothing about those that left.
 */
#include "front/admit.h"

#include "base/enc.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

struct admit_entry {
	struct net_addr addr; /* port 0 */
	bool network;
	uint32_t count;
	struct admit_entry *next;
};

static uint64_t
admit_hash(const struct admit *a, const struct net_addr *addr, bool network)
{
	uint64_t h = a->seed ^ (network ? 0x9e3779b97f4a7c15u : 0) ^ addr->family;

	for (size_t i = 0; i < sizeof(addr->ip); i += 8) {
		uint64_t w;

		memcpy(&w, addr->ip + i, sizeof(w));
		h = (h ^ w) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
	}
	return h;
}

static struct admit_entry **
admit_find(const struct admit *a, const struct net_addr *addr, bool network)
{
	struct admit_entry **e = &a->buckets[admit_hash(a, addr, network) & (a->n_buckets - 1)];

	while (*e != NULL && !((*e)->network == network && net_addr_equal_ip(&(*e)->addr, addr)))
		e = &(*e)->next;
	return e;
}

static void
admit_grow(struct admit *a)
{
	struct admit bigger = *a;

	if (a->seed == 0) {
		random_bytes(&bigger.seed, sizeof(bigger.seed));
		bigger.seed |= 1;
	}
	bigger.n_buckets = a->n_buckets == 0 ? 64 : a->n_buckets * 2;
	bigger.buckets = xcallocarray(bigger.n_buckets, sizeof(struct admit_entry *));
	for (size_t i = 0; i < a->n_buckets; i++) {
		struct admit_entry *e = a->buckets[i], *next;

		for (; e != NULL; e = next) {
			struct admit_entry **at = admit_find(&bigger, &e->addr, e->network);

			next = e->next;
			e->next = NULL;
			*at = e;
		}
	}
	free(a->buckets);
	*a = bigger;
}

static struct net_addr
admit_key(const struct net_addr *addr)
{
	/* only the bytes that count: IPv4 uses the first four */
	struct net_addr key = {.family = addr->family};

	memcpy(key.ip, addr->ip, addr->family == 4 ? 4 : sizeof(key.ip));
	return key;
}

static uint32_t
admit_read(const struct admit *a, const struct net_addr *key, bool network)
{
	struct admit_entry *e = a->n_buckets == 0 ? NULL : *admit_find(a, key, network);

	return e == NULL ? 0 : e->count;
}

static void
admit_add(struct admit *a, const struct net_addr *key, bool network)
{
	struct admit_entry **e;

	if (a->n_entries >= a->n_buckets)
		admit_grow(a);
	e = admit_find(a, key, network);
	if (*e == NULL) {
		*e = xcallocarray(1, sizeof(**e));
		(*e)->addr = *key;
		(*e)->network = network;
		a->n_entries++;
	}
	(*e)->count++;
}

static void
admit_sub(struct admit *a, const struct net_addr *key, bool network)
{
	struct admit_entry **e, *dead;

	if (a->n_buckets == 0)
		return;
	e = admit_find(a, key, network);
	if (*e == NULL || --(*e)->count != 0)
		return;
	dead = *e;
	*e = dead->next;
	free(dead);
	a->n_entries--;
}

enum admit_answer
admit_take(
    struct admit *a, const struct conf_limit *limit, uint32_t open, const struct net_addr *client)
{
	struct net_addr key = admit_key(client);
	struct net_addr whole = net_addr_network(client), net = admit_key(&whole);

	if (open >= limit->max_connections)
		return ADMIT_LISTENER_FULL;
	if (admit_read(a, &key, false) >= limit->max_per_address)
		return ADMIT_ADDRESS_FULL;
	if (admit_read(a, &net, true) >= limit->max_per_network)
		return ADMIT_NETWORK_FULL;
	admit_add(a, &key, false);
	admit_add(a, &net, true);
	return ADMIT_OK;
}

void
admit_release(struct admit *a, const struct net_addr *client)
{
	struct net_addr key = admit_key(client);
	struct net_addr whole = net_addr_network(client), net = admit_key(&whole);

	admit_sub(a, &key, false);
	admit_sub(a, &net, true);
}

uint32_t
admit_count(const struct admit *a, const struct net_addr *client)
{
	struct net_addr key = admit_key(client);

	return admit_read(a, &key, false);
}

void
admit_clear(struct admit *a)
{
	for (size_t i = 0; i < a->n_buckets; i++) {
		struct admit_entry *e = a->buckets[i], *next;

		for (; e != NULL; e = next) {
			next = e->next;
			free(e);
		}
	}
	free(a->buckets);
	*a = (struct admit){0};
}
