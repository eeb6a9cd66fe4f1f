/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LEDGER_AUDIT_RECORD_H
#define SUBMITD_LEDGER_AUDIT_RECORD_H

#include "base/buf.h"
#include "ipc/audit_batch.h"
#include "ipc/ipc.h"

/*
 * The members of a record as JSON, each with a comma in front, for audit_file_add().
 * Pure. Texts come from clients: they are escaped here, and nothing else is trusted.
 */
void audit_record_auth(struct buf *, const struct ipc_audit_auth *);
void audit_record_accept(struct buf *, const struct audit_accept *);
/* The members go below "data"; what is no JSON object stands there as text. */
void audit_record_note(struct buf *, const struct ipc_audit_note *);

#endif
