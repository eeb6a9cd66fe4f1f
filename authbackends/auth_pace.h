/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUTH_PACE_H
#define SUBMITD_AUTH_PACE_H

#include <stdint.h>

/*
 * How long the backends of a flow took for their latest refusals, so that one which asks
 * none of them can take as long (P3). Pure. Zero-filled is empty.
 */
#define AUTH_PACE_KEPT 32u
struct auth_pace {
	uint32_t ms[AUTH_PACE_KEPT];
	uint32_t n; /* of them in use */
	uint32_t next;
};
void auth_pace_add(struct auth_pace *, int64_t ms);
/* One of them, by a random number; 0 while there is none. */
int64_t auth_pace_pick(const struct auth_pace *, uint64_t random);

#endif
