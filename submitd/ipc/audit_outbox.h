/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_IPC_AUDIT_OUTBOX_H
#define SUBMITD_IPC_AUDIT_OUTBOX_H

#include "ipc/ipc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Records on their way to the ledger, one outbox per process. Each has the start id
 * of its sender and a number; it is kept until the ledger says that it is written and
 * synced (AUDIT_ACK), and sent again on a new socket. Not more than the window is
 * under way, so the ledger's memory is bounded too. What does not fit any more is
 * counted, and a record of kind "gap" with the count follows in its place.
 */
enum audit_ack {
	AUDIT_ACK_TAKEN = 0,
	AUDIT_ACK_CLOSED = 1, /* none can be written now: keep them, send nothing */
	AUDIT_ACK_AGAIN = 2,  /* they can be: send all that are not acknowledged again */
};
struct audit_outbox_options {
	size_t max_bytes;    /* kept */
	size_t window_bytes; /* sent and not acknowledged */
	/* Not 0: few are sent together after so long; for records that are safe already. */
	int64_t delay_ms;
	/*
	 * May be NULL: those up to this tag are gone for good, see audit_outbox_add(); 0: none
	 * are, but there may be room again.
	 */
	void (*acked)(uint64_t tag);
};
/* Before the first record; otherwise there is one of 1 MiB. */
void audit_outbox_init(const struct audit_outbox_options *);
uint64_t audit_outbox_src(void);
/* The number of the next record: put it and the src into the message, then add it at once. */
uint64_t audit_outbox_next(void);
/*
 * Takes an encoded AUDIT_ message (body is empty afterwards), numbers first to last of
 * src; tag is any growing number of the caller's. -1: no room, it is counted as lost.
 */
int audit_outbox_add(
    enum ipc_type, struct buf *body, uint64_t src, uint64_t first, uint64_t last, uint64_t tag);
/* A note: kind, and a JSON object. */
int audit_outbox_note(int64_t time_ms, const char *kind, struct span json);
/* Counts records that could not even be made. */
void audit_outbox_lost(uint64_t n);
/* A message of so many octets would be taken now, and the ledger is not closed. */
bool audit_outbox_room(size_t octets);
/* All that is kept is under way: a process may end, the ledger reads what it was sent. */
bool audit_outbox_sent(void);
/*
 * The process ends: what can still be sent is. The last one goes in any case, so that the
 * ledger can count those before it that did not.
 */
void audit_outbox_end(void);

struct audit_outbox_stats {
	size_t records, bytes;
	uint64_t lost;
};
void audit_outbox_stats(struct audit_outbox_stats *);

/* proc.c, supervisor.c: a ledger is there, or spoke. */
void audit_outbox_up(struct ipc_peer *);
int audit_outbox_on_ack(struct ipc_peer *, struct ipc_in *);
/* For tests: as after a start. */
void audit_outbox_reset(void);

#endif
