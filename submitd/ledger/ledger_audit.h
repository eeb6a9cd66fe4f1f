/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LEDGER_LEDGER_AUDIT_H
#define SUBMITD_LEDGER_LEDGER_AUDIT_H

#include "conf/conf.h"
#include "ipc/ipc.h"

/* The audit within process ledger: its messages, its file, its part of start, reload and end. */
int ledger_audit_prepare(const struct conf *, char *err, size_t errsize);
void ledger_audit_start(void);
void ledger_audit_reload(const struct conf *);
/* Nothing comes any more: writes what is there. */
void ledger_audit_leave(void);
/* The directory that it must be able to open files in: "" for none. */
const char *ledger_audit_dir(const struct conf *);
/* Members of the answer to `stats`, each with a comma in front. */
void ledger_audit_stats(struct buf *);

int ledger_audit_on_auth(struct ipc_peer *, struct ipc_in *);
int ledger_audit_on_accept(struct ipc_peer *, struct ipc_in *);
int ledger_audit_on_note(struct ipc_peer *, struct ipc_in *);

#endif
