/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUTH_CALM_H
#define SUBMITD_AUTH_CALM_H

#include "base/net.h"
#include "ipc/guard_key.h"
#include "ipc/ipc.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Which attempts the ledger would let go without a doubt (A7): those whose keys have room
 * for all that is under way, have no failures that the ledger may not have counted yet, and
 * whose refusal it would not delay. The rest is asked. No more guesses than with a question
 * each: what goes unasked is told before the ledger judges anybody who shares a key with
 * more attempts than there is room for.
 */
enum auth_calm {
	CALM_GO = 0,  /* unasked */
	CALM_ASK = 1, /* nobody else's attempts matter */
	CALM_TELL = 2 /* those that went unasked are to be told first */
};

/* One attempt, from its start to its outcome. Zero-filled is none. */
struct auth_calm_attempt {
	uint16_t cell[GUARD_KIND__MAX];
	bool named;
	bool counted; /* in the cells; false: there was no table yet */
};

/* user: the canonical name. now_ms: ev_now_ms(). */
enum auth_calm auth_calm_enter(
    struct auth_calm_attempt *, const struct net_addr *client, const char *user, int64_t now_ms);
void auth_calm_leave(struct auth_calm_attempt *);
/* Counts one that was under way before there was a table. */
void auth_calm_count(struct auth_calm_attempt *, const struct net_addr *client, const char *user);
/* It failed, and the ledger is about to be told; a NULL: so was one of long ago. */
void auth_calm_failed(const struct auth_calm_attempt *);

/* Another ledger: nothing is known. All attempts under way are counted no more. */
void auth_calm_forget(void);
/* -1: nonsense. *first: there was no table before, see auth_calm_count(). */
int auth_calm_take(const struct ipc_guard_calm *, int64_t now_ms, bool *first);
bool auth_calm_is(int64_t now_ms);

#endif
