/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LEDGER_LEDGER_AUDIT_INTERNAL_H
#define SUBMITD_LEDGER_LEDGER_AUDIT_INTERNAL_H

#include "base/buf.h"
#include "base/log.h"

#include <stddef.h>
#include <stdint.h>

/* What the two halves of the ledger's audit share. */

/* ---- ledger_audit.c: the file ---- */
/* A record, and ledger_audit_added() when those of this message are complete. */
void ledger_audit_add(int64_t time_ms, const char *kind, struct span members);
void ledger_audit_added(void);
/* event=audit; error: 0, or an errno that is added. */
void ledger_audit_log(enum log_level, const char *state, int error);
/* Octets that are not written yet. */
size_t ledger_audit_pending(void);
/* Somebody waits for an answer that only a sync gives. */
void ledger_audit_want_sync(void);

/* ---- ledger_audit_take.c: the messages ---- */
/* While one of these holds nothing is taken: the senders keep their records. */
#define LEDGER_CLOSED_FULL 1u /* too much is not written */
#define LEDGER_CLOSED_SYNC 2u /* what was written may not be on disk */
void ledger_audit_close(unsigned why);
/* The last reason is gone: all that was turned away comes again. */
void ledger_audit_open(unsigned why);
void ledger_audit_take_stats(struct buf *);

#endif
