/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LEDGER_LEDGER_SYNC_H
#define SUBMITD_LEDGER_LEDGER_SYNC_H

#include <stdbool.h>

/*
 * fdatasync() on a thread of its own: whoever asks the ledger something meanwhile gets
 * an answer. One at a time.
 */
/* done: in the loop, with an errno or 0. -1: no thread. */
int ledger_sync_start(void (*done)(int error));
void ledger_sync_run(int fd); /* not while it is busy; the descriptor may be closed meanwhile */
bool ledger_sync_busy(void);
/* Until it is not: 0 or an errno; done() is not called for that one. */
int ledger_sync_wait(void);

#endif
