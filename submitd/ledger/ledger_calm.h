/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LEDGER_LEDGER_CALM_H
#define SUBMITD_LEDGER_LEDGER_CALM_H

#include "ledger/guard.h"

#include "ipc/ipc.h"

/*
 * Spares auth the question before each login (A7): while there is one auth process only,
 * it is told every second whose attempts it may let go unasked. With two of them neither
 * knows what the other has under way, and both ask.
 */
void ledger_calm_peer_up(struct ipc_peer *);
void ledger_calm_peer_down(struct ipc_peer *);
/* A failure that the peer noted is counted. */
void ledger_calm_failed(struct ipc_peer *);
/* Other limits: what was told holds no more. */
void ledger_calm_again(void);
/* Every second. */
void ledger_calm_tick(const struct guard *, int64_t now);
/* The peer told all that it has under way unasked; true: nobody owes that any more. */
bool ledger_calm_awake(struct ipc_peer *);
/* Some auth process may still have attempts under way that we do not know of. */
bool ledger_calm_owed(void);

#endif
