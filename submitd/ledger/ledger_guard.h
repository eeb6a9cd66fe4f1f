/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LEDGER_LEDGER_GUARD_H
#define SUBMITD_LEDGER_LEDGER_GUARD_H

#include "conf/conf.h"
#include "ipc/ipc.h"

#include <jansson.h>

struct guard;

/* The brake against guessed passwords within process ledger: messages, file, requests. */
int ledger_guard_start(const struct conf *, char *err, size_t errsize);
void ledger_guard_reload(const struct conf *);
/* Nothing comes any more: writes what is there, and frees it. */
void ledger_guard_leave(void);
/* An auth process is gone: what it had under way is decided by nobody any more. */
void ledger_guard_peer_down(struct ipc_peer *);
/* Members of the answer to `stats`, each with a comma in front. */
void ledger_guard_stats(struct buf *);
/*
 * A request of submitctl. False: not one of ours. Else it is answered: rows were sent, last holds
 * the object of the last frame and *status its exit code.
 */
bool ledger_guard_ctl(struct ipc_peer *, uint64_t request, const char *cmd, json_t *,
    struct buf *last, uint8_t *status);

/* For ledger_guard_ctl.c. */
struct guard *ledger_guard(void);
const struct conf *ledger_guard_conf(void);

int ledger_guard_on_ask(struct ipc_peer *, struct ipc_in *);
int ledger_guard_on_begun(struct ipc_peer *, struct ipc_in *);
int ledger_guard_on_note(struct ipc_peer *, struct ipc_in *);

#endif
