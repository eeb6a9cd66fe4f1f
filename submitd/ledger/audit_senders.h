/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LEDGER_AUDIT_SENDERS_H
#define SUBMITD_LEDGER_AUDIT_SENDERS_H

#include "audit/audit_chain.h"
#include "ipc/ipc.h"

/*
 * Who sent which records: what came twice is dropped, what is missing is told, and each
 * sender hears what is on disk. A sender is a role and the start id of a process.
 */
struct audit_sender {
	enum role role;
	uint64_t src;
	uint64_t last;    /* number of its last record that is in the file or on the way there */
	uint64_t written; /* … that is written */
	uint64_t syncing; /* … that the sync under way covers */
	uint64_t synced;  /* … that is on disk */
	uint64_t acked;   /* … that it was told */
	struct ipc_peer *peer; /* NULL: it is gone */
	uint64_t used;
};
#define AUDIT_SENDERS 512u /* beyond, those that are gone longest are forgotten */

/* Finds or makes it. */
struct audit_sender *audit_senders_get(enum role, uint64_t src);
/*
 * It offers records first to last. *skip: so many at the front are known already;
 * *missing: so many before first never came.
 */
void audit_sender_take(
    struct audit_sender *, uint64_t first, uint64_t last, uint64_t *skip, uint64_t *missing);
/* ",\"src\":\"queue:…\",\"n\":12" of a record. */
void audit_sender_members(struct buf *, const struct audit_sender *, uint64_t n);
/* A record of a file that is read at the start. */
void audit_senders_recover(const struct audit_line *);
/* ",\"last\":\"…\"": where all stand, for the first record of a new file. */
void audit_senders_members(struct buf *);
void audit_senders_peer_down(const struct ipc_peer *);
/* All that came is written; a sync begins, or has ended: tells those who wait. */
void audit_senders_written(void);
void audit_senders_sync_begins(void);
void audit_senders_synced(void);
/* How many records are not acknowledged. */
uint64_t audit_senders_waiting(void);
void audit_senders_reset(void); /* tests */

#endif
