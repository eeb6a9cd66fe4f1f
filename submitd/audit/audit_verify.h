/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUDIT_AUDIT_VERIFY_H
#define SUBMITD_AUDIT_AUDIT_VERIFY_H

#include "audit/audit_chain.h"

/*
 * Checks an audit record (A4): finds what was changed, removed, moved or put in, names
 * it, and says what it cannot know. Pure: lines in, findings out; memory does not grow
 * with the record. submitd-audit(7) says what it proves.
 */
enum audit_finding_kind {
	AUDIT_NOTE = 0,    /* worth knowing; the record stands */
	AUDIT_PROBLEM = 1, /* the record was tampered with, or is damaged */
};
struct audit_finding {
	enum audit_finding_kind kind;
	const char *file;
	uint64_t line; /* 0: none */
	uint64_t seq;  /* 0: none */
	const char *text;
};
typedef void audit_finding_fn(void *arg, const struct audit_finding *);

struct audit_summary {
	uint64_t records, first_seq, last_seq, problems;
	uint64_t checkpoints;   /* good ones */
	uint64_t sealed;        /* the record up to which the last good one speaks; 0: none */
	int64_t sealed_ms;      /* when it was made */
	uint64_t left;          /* the last one that left the machine and was given and fits; 0 */
	uint64_t lost;          /* records that the gap records say were never written */
	struct audit_hash head; /* of the last record */
};

struct audit_verify;
/* pub: NULL checks hashes only. fn is called in the order of the lines. */
struct audit_verify *audit_verify_new(const struct audit_key *pub, audit_finding_fn *, void *arg);
void audit_verify_free(struct audit_verify *);
/*
 * A checkpoint that left the machine, "SEQ:HASH:SIG"; before the first line. -1 with a
 * text: it is none, or its signature is not of this key.
 */
int audit_verify_checkpoint(struct audit_verify *, struct span, char *err, size_t errsize);
/* The next file begins, oldest first. The name is borrowed until the next one. */
void audit_verify_file(struct audit_verify *, const char *name);
/* A line without its LF; whole: the LF was there. */
void audit_verify_line(struct audit_verify *, struct span, bool whole);
void audit_verify_end(struct audit_verify *, struct audit_summary *);

#endif
