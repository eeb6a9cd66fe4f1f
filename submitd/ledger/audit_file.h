/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LEDGER_AUDIT_FILE_H
#define SUBMITD_LEDGER_AUDIT_FILE_H

#include "audit/audit_chain.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The audit file: JSON lines, appended only, each with a number that grows by one and
 * the hash that chains it to the one before (submitd-audit(7)). Records are collected
 * and written together; what cannot be written stays in memory, whoever adds records
 * bounds how many those are. A torn last line (kill -9) is ended, and recorded. A new
 * file begins with a record that names number and hash of the old one's last record.
 */
struct audit_file {
	char *path; /* owned; NULL: none, records are dropped */
	int fd;
	dev_t dev;
	ino_t ino;
	bool chain;   /* with hashes */
	uint64_t seq; /* of the last record */
	struct audit_hash head;
	struct buf out; /* records that are not written yet */
	uint64_t out_records;
	size_t unsynced; /* octets written since audit_file_synced() */
	bool failing;    /* the last write failed: retry later */
	uint64_t written;
	int64_t time_s; /* cache: time_text is this second */
	char time_text[24];
};

typedef void audit_file_line_fn(void *arg, const struct audit_line *);
struct audit_file_options {
	uid_t owner; /* who a new file is given to, (uid_t)-1: nobody else */
	gid_t group;
	bool chain;
	const char *before;       /* NULL, or the file whose chain a new one goes on with */
	audit_file_line_fn *line; /* may be NULL: gets the records at the end of the file */
	void *arg;
};
#define AUDIT_FILE_TAIL (32u << 20) /* octets at its end that are read at a start */

/* Sets an unopened one up; the path is copied. */
void audit_file_init(struct audit_file *, const char *path);
/*
 * Opens or creates (0600) the file, finds its last number and hash, repairs its end and
 * begins it where it is new. -1 with errno.
 */
int audit_file_open(struct audit_file *, const struct audit_file_options *, int64_t now_ms);
/* What is not written is lost (and logged by the owner). */
void audit_file_close(struct audit_file *);

/*
 * Adds a record: kind and further members, which begin with a comma or are empty
 * (",\"sid\":\"…\""), are put behind number and time. One line, always.
 */
void audit_file_add(struct audit_file *, int64_t time_ms, const char *kind, struct span members);
/* Writes what is pending: 0, or -1 with errno and failing set. */
int audit_file_flush(struct audit_file *, int64_t now_ms);
/* All that was written until now is on disk. */
void audit_file_synced(struct audit_file *, size_t octets);
/* True when the path is another file now, or none: rotated. *unknown: we may not look. */
bool audit_file_moved(const struct audit_file *, bool *unknown);
/* The descriptor is of the file that is being written. */
bool audit_file_is(const struct audit_file *, int fd);
/*
 * Goes on in another file, opened with O_APPEND (the descriptor is taken); members:
 * further ones of its first record. -1: it is the same file.
 */
int audit_file_rotate(struct audit_file *, int fd, int64_t now_ms, struct span members);

/* A checkpoint that is in the file and may leave the machine once it is synced. */
struct audit_checkpoint {
	uint64_t seq; /* it covers everything up to this record */
	struct audit_hash hash;
	char sig[AUDIT_SIG_TEXT];
};
int audit_file_checkpoint(struct audit_file *, const struct audit_key *, int64_t now_ms,
    const char *reason, struct audit_checkpoint *);

#endif
