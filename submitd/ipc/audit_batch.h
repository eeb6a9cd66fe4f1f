/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_IPC_AUDIT_BATCH_H
#define SUBMITD_IPC_AUDIT_BATCH_H

#include "base/buf.h"
#include "base/enc.h"
#include "base/net.h"

/*
 * The acceptance records (A2) of one commit, as they stand in the queue's row and go to the
 * ledger. Most texts of a record are those of the one before it, and are written once.
 */
#define AUDIT_TEXT_MAX 2000u /* octets; the rest of a longer text is cut off */
#define AUDIT_TEXTS 12u
/* More octets than any record has. */
#define AUDIT_RECORD_MAX (AUDIT_TEXTS * (AUDIT_TEXT_MAX + 2u) + 80u)

/* Of somebody who was allowed to send beyond our own domains: by what. */
enum audit_relay { AUDIT_RELAY_NONE = 0, AUDIT_RELAY_OU = 1, AUDIT_RELAY_ANY = 2 };

struct audit_accept {
	struct uuid mid;
	uint64_t sid;
	int64_t time_ms; /* wall clock */
	struct net_addr client;
	uint32_t n_rcpts;
	uint64_t size; /* octets of the message */
	enum audit_relay relay;
	/* borrowed */
	struct span listener, helo, tls_version, tls_cipher, mech, login, principal, ou, backend,
	    sender, header_from, message_id;
};

struct audit_batch {
	struct buf records;
	uint32_t count;
	/* where in records each text stood last; n 0: not yet */
	struct {
		uint32_t at, n;
	} last[AUDIT_TEXTS];
};

/* The first one: records must be empty. Keeps the memory of records. */
void audit_batch_begin(struct audit_batch *);
void audit_batch_add(struct audit_batch *, const struct audit_accept *);

/* Over what may come from a process that was taken over, or from a damaged disk. */
struct audit_batch_reader {
	struct rd rd;
	struct audit_accept now; /* texts point into what is read */
};

void audit_batch_read(struct audit_batch_reader *, struct span records);
/* 0: the next one is in now. -1: there is none, or it is rubbish, and so is all behind it. */
int audit_batch_next(struct audit_batch_reader *);

#endif
