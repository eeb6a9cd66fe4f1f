/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_PASSWD_TABLE_H
#define SUBMITD_PASSWD_TABLE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The parsed and indexed form of a password file (S44). A line is a name, then
 * blanks or a colon, then a hash; '#' begins a comment line. Exactly two fields.
 * With allow_plain the second may be a password in clear. A second field of
 * "*" or "!", or one in front of a hash, locks the user. Names are found
 * whatever the case and form of their letters (addr_fold()). Malformed lines are skipped and
 * reported.
 */
struct passwd_table;

#define PASSWD_TABLE_MAX_BYTES (512u << 20)
#define PASSWD_TABLE_MAX_FINDINGS 20u

enum passwd_entry_kind {
	ENTRY_HASH = 0,
	ENTRY_PLAIN = 1,
	ENTRY_LOCKED = 2,
};

struct passwd_entry {
	enum passwd_entry_kind kind;
	struct span name;   /* as in the file */
	struct span secret; /* lives as long as the table */
};

struct passwd_finding {
	unsigned line;
	const char *text; /* static; shows nothing of the line */
};

/* Takes the text, which becomes empty. Never fails. Any thread. */
struct passwd_table *passwd_table_parse(struct buf *text, bool allow_plain);
void passwd_table_free(struct passwd_table *); /* wipes; NULL is fine */
bool passwd_table_find(const struct passwd_table *, struct span name, struct passwd_entry *out);
size_t passwd_table_count(const struct passwd_table *);
/* One hash of the most frequent cost, "" when most entries are in clear. */
const char *passwd_table_dummy(const struct passwd_table *);
/* One entry of SCRAM keys, of the most frequent cost; "" when there is none. */
const char *passwd_table_scram_like(const struct passwd_table *);
/* The first findings; *total counts all. */
const struct passwd_finding *passwd_table_findings(
    const struct passwd_table *, size_t *n, size_t *total);

#endif
