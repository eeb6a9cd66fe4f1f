/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUTH_SESSION_H
#define SUBMITD_AUTH_SESSION_H

#include "conf/conf.h"
#include "ipc/ipc.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Authentication exchanges, one per AUTH command, keyed by the front and its sid.
 * start, step, cancel: -1 when the front broke the rules of the messages. Each
 * exchange ends in one final AUTH_RES, except when the front cancels it.
 */
#define AUTH_SESSIONS_MAX 50000u
/* What clients are told; a no is POLICY_AUTH_FAILED. */
#define AUTH_TEXT_OK "Authentication successful"
#define AUTH_TEXT_TEMP "Temporary authentication failure, try again later"

int auth_session_start(const struct conf *, struct ipc_peer *, const struct ipc_auth_start *);
int auth_session_step(struct ipc_peer *, const struct ipc_auth_step *);
int auth_session_cancel(struct ipc_peer *, uint64_t sid);
/* The front is gone. What is being checked goes on, for the record. */
void auth_session_peer_down(struct ipc_peer *);

struct auth_session_stats {
	size_t open;
	uint64_t started, accepted, denied, temporary, malformed, by_rule;
};
const struct auth_session_stats *auth_session_stats(void);
/* Called whenever an exchange ends: for draining. May be NULL. */
void auth_session_on_end(void (*fn)(void));

#endif
