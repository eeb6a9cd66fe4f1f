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
	/* while some are not taken: only this number, or one before it, goes on; 0: none */
	uint64_t expect;
	uint64_t refused;      /* the last that was not taken */
	bool told_closed;      /* it keeps them until it hears AUDIT_ACK_AGAIN */
	bool keeps;            /* its records outlive it, in the spool */
	struct ipc_peer *peer; /* NULL: it is gone */
	uint64_t used;
};
#define AUDIT_SENDERS 512u /* beyond, those that are gone longest are forgotten */

/* Finds or makes it. */
struct audit_sender *audit_senders_get(enum role, uint64_t src);
/*
 * That process spoke as another sender already: only the queue does, which hands on what
 * those before it left. Else one process could push all others out of the table.
 */
bool audit_senders_is_other(const struct ipc_peer *, enum role, uint64_t src);
/*
 * It offers records first to last. *skip: so many at the front are known already;
 * *missing: so many before first never came.
 */
void audit_sender_take(
    struct audit_sender *, uint64_t first, uint64_t last, uint64_t *skip, uint64_t *missing);
/* These cannot be taken now; the peer is told, once. */
void audit_sender_refuse(struct audit_sender *, uint64_t first, uint64_t last, bool closed);
/* True: what it offers does not go on where it was refused, it sent that before it heard. */
bool audit_sender_runs_ahead(const struct audit_sender *, uint64_t first);
/* The peer that it speaks through. */
void audit_sender_heard(struct audit_sender *, struct ipc_peer *, bool keeps);
/* ",\"src\":\"queue:…\",\"n\":12" of a record. */
void audit_sender_members(struct buf *, const struct audit_sender *, uint64_t n);
/* A record of a file that is read at the start. */
void audit_senders_recover(const struct audit_line *);
/* ",\"last\":\"…\"": where all stand, for the first record of a new file. */
void audit_senders_members(struct buf *);
/*
 * Nobody speaks through it any more; fn gets each sender of it that was refused records
 * which nobody has now.
 */
void audit_senders_peer_down(
    const struct ipc_peer *, void (*fn)(const struct audit_sender *, uint64_t lost));
/* All that came is written; a sync begins, or has ended: tells those who wait. */
void audit_senders_written(void);
void audit_senders_sync_begins(void);
void audit_senders_synced(void);
/* What is not known to be on disk must come again; audit_senders_again() asks for it. */
void audit_senders_unsynced(void);
/* None can be taken: all that are known hear it. */
void audit_senders_close(void);
/* Those that were refused, or told to keep their records, send them again. */
void audit_senders_again(void);
/* How many records are not acknowledged. */
uint64_t audit_senders_waiting(void);
void audit_senders_reset(void); /* tests */

#endif
