/* SPDX-License-Identifier: ISC */
/*
 * The pace of refusals (P3). One of the latest is taken as it was, not their mean: who
 * measures sees the same spread, with the same peaks, whether a backend was asked or
 * not. Process auth, in the loop.
 */
#include "authbackends/auth_pace.h"

void
auth_pace_add(struct auth_pace *p, int64_t ms)
{
	p->ms[p->next] = ms < 0 ? 0 : ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
	p->next = (p->next + 1) % AUTH_PACE_KEPT;
	if (p->n < AUTH_PACE_KEPT)
		p->n++;
}

int64_t
auth_pace_pick(const struct auth_pace *p, uint64_t random)
{
	return p->n == 0 ? 0 : p->ms[random % p->n];
}
