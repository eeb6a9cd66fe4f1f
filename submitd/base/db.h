/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_DB_H
#define SUBMITD_BASE_DB_H

#include <sqlite3.h>

/* What the owners of an SQLite database (queue, ledger) share. */

/* The number in the first row of sql, as of a PRAGMA. Gives SQLITE_OK or SQLite's error. */
int db_number(sqlite3 *, const char *sql, int *out);

#endif
