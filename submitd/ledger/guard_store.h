/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LEDGER_GUARD_STORE_H
#define SUBMITD_LEDGER_GUARD_STORE_H

#include "ledger/guard.h"

/* The counts on disk, so that a restart frees nobody: one SQLite file of the ledger's own. */
#define GUARD_STORE_FILE "ledger.db"

struct guard_store;
/*
 * Opens or makes the file in the directory. One that cannot be read is put aside as
 * ledger.db.damaged, a new one takes its place, and *damaged is set: counts are no mail.
 * Where the disk is full and there is none yet, the store is given without a file: it is made
 * by the first flush that finds room. NULL with a text when there is no file to be had.
 */
struct guard_store *guard_store_open(const char *dir, bool *damaged, char *err, size_t errsize);
void guard_store_close(struct guard_store *); /* NULL is fine */
/* The key of names, the same as long as the file lives. */
const uint8_t *guard_store_secret(const struct guard_store *);
/* -1: not all could be read; what was is there. */
int guard_store_load(struct guard_store *, struct guard *, int64_t now);
/* Everything that changed, in one transaction. -1: nothing of it is written; try again. */
int guard_store_flush(struct guard_store *, struct guard *);
const char *guard_store_error(const struct guard_store *);
/* After a -1: the file is rubbish, and no later try will read or write it. */
bool guard_store_is_damaged(const struct guard_store *);
/* Puts it aside as above, and writes all that is in memory into a new one. -1: try again. */
int guard_store_renew(struct guard_store *, struct guard *);

#endif
