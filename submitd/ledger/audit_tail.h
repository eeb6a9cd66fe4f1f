/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LEDGER_AUDIT_TAIL_H
#define SUBMITD_LEDGER_AUDIT_TAIL_H

#include "ledger/audit_file.h"

/* The end of an audit file, as a start finds it. */
struct audit_tail {
	uint64_t seq; /* of the last record; 0: none is there */
	bool chained; /* it has a hash */
	struct audit_hash hash;
	bool lf_is_missing; /* that record is whole but for the LF behind it */
	bool is_torn;       /* something that is no record stands behind it */
	uint64_t torn;      /* octets of that, without the LF at its end */
	bool torn_ended;    /* it has that LF */
	struct audit_hash torn_hash;
};
/* Reads the last AUDIT_FILE_TAIL octets; fn (may be NULL) gets each record. -1 with errno. */
int audit_tail_read(int fd, audit_file_line_fn *fn, void *arg, struct audit_tail *);

/*
 * The newest of the files that path was renamed to, FILE.1 or FILE-20261125, by the time
 * of its last change; NULL: there is none. The caller frees it.
 */
char *audit_tail_rotated(const char *path);

#endif
