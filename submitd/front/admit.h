/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_FRONT_ADMIT_H
#define SUBMITD_FRONT_ADMIT_H

#include "base/net.h"
#include "conf/conf.h"

#include <stdint.h>

/* Open sessions per client address and per network (/24 or /64), P7. Zero-filled is empty. */
struct admit_entry;
struct admit {
	struct admit_entry **buckets;
	size_t n_buckets, n_entries;
	uint64_t seed;
};

enum admit_answer {
	ADMIT_OK = 0,
	ADMIT_LISTENER_FULL = 1,
	ADMIT_ADDRESS_FULL = 2,
	ADMIT_NETWORK_FULL = 3,
	ADMIT__MAX
};

/* Counts the client in, or says why not (nothing is counted then). open: sessions of the listener
 * now. */
enum admit_answer admit_take(
    struct admit *, const struct conf_limit *, uint32_t open, const struct net_addr *);
/* Once for each admit_take that gave ADMIT_OK. */
void admit_release(struct admit *, const struct net_addr *);
uint32_t admit_count(const struct admit *, const struct net_addr *);
void admit_clear(struct admit *);

#endif
