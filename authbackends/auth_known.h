/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUTH_KNOWN_H
#define SUBMITD_AUTH_KNOWN_H

#include "base/net.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Who logged in last with which password from which address. The same password from the
 * same place is no guess, so the ledger need not be asked (A7): it counts guesses, and what
 * others do does not hold a user up at an address that he logged in from. At worst one
 * password that was changed meanwhile goes unasked; its failure is counted, and ends it.
 *
 * Of a password 16 bits of a keyed hash are kept: enough to tell another one, too few to
 * find it out. Bounded; whoever is forgotten is asked for.
 */
void auth_known_init(void); /* once */
/*
 * By what the others know a user at an address, for this process only; never 0. user: the canonical
 * name.
 */
uint64_t auth_known_place(const struct net_addr *client, const char *user);
/* guess: the keyed hash of name and password. now_ms: ev_now_ms(). */
void auth_known_add(uint64_t place, uint64_t guess, int64_t now_ms);
/* It was added within the last keep_ms, with that guess. */
bool auth_known_is(uint64_t place, uint64_t guess, int64_t now_ms, int64_t keep_ms);
/* He failed there, with whatever password. */
void auth_known_drop(uint64_t place);

#endif
