/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LEDGER_LEDGER_AUDIT_H
#define SUBMITD_LEDGER_LEDGER_AUDIT_H

#include "conf/conf.h"
#include "ipc/ipc.h"

/* The audit within process ledger: its messages, its file, its part of start, reload and end. */
int ledger_audit_prepare(const struct conf *, char *err, size_t errsize);
int ledger_audit_start(const struct conf *, char *err, size_t errsize);
/* True: the process must be started anew with this configuration; it has left the file. */
bool ledger_audit_reload(const struct conf *);
/* Nothing comes any more: writes what is there. */
void ledger_audit_leave(void);
/* Members of the answer to `stats`, each with a comma in front. */
void ledger_audit_stats(struct buf *);
void ledger_audit_peer_down(struct ipc_peer *);

int ledger_audit_on_auth(struct ipc_peer *, struct ipc_in *);
int ledger_audit_on_batch(struct ipc_peer *, struct ipc_in *);
int ledger_audit_on_note(struct ipc_peer *, struct ipc_in *);
int ledger_audit_on_file(struct ipc_peer *, struct ipc_in *);

#endif
