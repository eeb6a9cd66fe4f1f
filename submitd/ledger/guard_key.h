/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LEDGER_GUARD_KEY_H
#define SUBMITD_LEDGER_GUARD_KEY_H

#include "base/mac.h"
#include "base/net.h"

#include <stddef.h>
#include <stdint.h>

/*
 * What failed logins are counted by (A7). Pure.
 */
enum guard_kind {
	GUARD_ADDRESS = 0,
	GUARD_NETWORK = 1, /* /24 or /64 */
	GUARD_USER = 2,
	GUARD_PAIR = 3, /* a user in a network he logged in from */
	GUARD_HOME = 4, /* a user at an address he logged in from */
	GUARD_KIND__MAX
};

/* All octets count in comparisons: what a kind does not use is zero. */
struct guard_key {
	uint8_t kind, family;
	uint8_t ip[16];
	uint8_t user[16]; /* keyed hash of the canonical name */
};

#define GUARD_SECRET 32u

/* names: under the ledger's secret; user: the canonical name, "" is one too. */
void guard_keys_make(struct mac *names, const struct net_addr *client, struct span user,
    struct guard_key keys[GUARD_KIND__MAX]);
/* A number out of a number and some octets; for tables, not for secrets. */
uint64_t guard_mix(uint64_t, const void *p, size_t n);

#endif
