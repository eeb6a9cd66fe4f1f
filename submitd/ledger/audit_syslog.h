/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LEDGER_AUDIT_SYSLOG_H
#define SUBMITD_LEDGER_AUDIT_SYSLOG_H

#include "base/buf.h"

#include <stdint.h>

/*
 * Copies of the records for syslog (A3), which takes them to another machine: the copy
 * can be lost without a word of syslog's, the file is the record. facility: a value of
 * audit.syslog, 0 is off.
 */
int audit_syslog_open(int facility, char *err, size_t errsize);
int audit_syslog_facility(void);
void audit_syslog_send(struct span line); /* with its LF; never waits */
void audit_syslog_tick(void);             /* says that copies are lost, now and then */
uint64_t audit_syslog_lost(void);

#endif
