/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LEDGER_AUDIT_FILE_H
#define SUBMITD_LEDGER_AUDIT_FILE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The audit file: JSON lines, appended only, each with a number that grows by one.
 * Records are collected and written together. What cannot be written is kept in
 * memory up to a bound, then counted; the count becomes a "gap" record when
 * writing works again. A torn last line (kill -9) is ended, and recorded.
 */
struct audit_file {
	char *path; /* owned; NULL: none, records are dropped silently */
	int fd;
	dev_t dev;
	ino_t ino;
	uint64_t seq;   /* of the last record */
	struct buf out; /* records that are not written yet, whole lines but for the first */
	uint64_t out_records;
	bool failing; /* the last write failed: retry later */
	uint64_t written, dropped, dropped_untold;
	int64_t dropped_since_ms;
};
#define AUDIT_PENDING_MAX (8u << 20)

/* Sets an unopened one up; the path is copied. */
void audit_file_init(struct audit_file *, const char *path);
/*
 * Opens or creates (0600) the file, finds its last number and repairs its end. -1
 * with errno. owner: who a new file is given to, (uid_t)-1 nobody else.
 */
int audit_file_open(struct audit_file *, uid_t owner, gid_t group, int64_t now_ms);
/* What is not written is lost (and logged by the owner). */
void audit_file_close(struct audit_file *);

/*
 * Adds a record: kind and further members, which begin with a comma or are empty
 * (",\"sid\":\"…\""), are put behind number and time. One line, always.
 */
void audit_file_add(struct audit_file *, int64_t time_ms, const char *kind, struct span members);
/* Writes what is pending: 0, or -1 with errno and failing set. */
int audit_file_flush(struct audit_file *, int64_t now_ms);
/* True when the path is another file now, or none: rotated. */
bool audit_file_moved(const struct audit_file *);
/* Takes another file in the place of this one: after a rotation or with another path. -1: stays as
 * it was. */
int audit_file_switch(struct audit_file *, const char *path, int64_t now_ms);

#endif
