/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUTH_REPORT_H
#define SUBMITD_AUTH_REPORT_H

#include "conf/conf.h"
#include "ipc/ipc.h"
#include "mail/status.h"

#include <stdbool.h>
#include <stdint.h>

/* One authentication attempt, as it is logged and recorded (A1). Texts may be "" or NULL. */
struct auth_report {
	uint64_t sid;
	struct net_addr client;
	const char *listener, *helo, *tls_version, *tls_cipher, *mech;
	const char *login; /* as given */
	bool name_known;   /* a backend knows it */
	const char *authzid, *principal, *ou, *backend;
	const char *reason; /* never shows a password */
	uint32_t ms;
	enum verdict verdict;
};

/*
 * A name that may not be shown, people type passwords there: AUDIT_AUTH carries
 * such a one in login with name_known = 0, as its length, a colon and a keyed hash.
 */
enum auth_name {
	AUTH_NAME_HIDDEN = 0,
	AUTH_NAME_KNOWN = 1,   /* a backend knows it or its domain is ours */
	AUTH_NAME_UNKNOWN = 2, /* audit.unknown_names = clear */
};
#define AUTH_HIDDEN_TEXT 40
enum auth_name auth_report_name(const struct conf *, const char *login, bool known);
void auth_report_hide(const char *login, char out[AUTH_HIDDEN_TEXT]);

/* The name as it may be shown by the rules above: it, or what hides it. */
const char *auth_report_shown(
    const struct conf *, const char *login, bool known, char hold[AUTH_HIDDEN_TEXT]);

/* Once, before the first report: makes the key. */
void auth_report_init(void);
/* Writes the log line and hands the record to the ledger, or keeps it, bounded, until there is one.
 */
void auth_report_send(const struct conf *, const struct auth_report *);
/* A ledger is there: what was kept goes to it. */
void auth_report_ledger_up(struct ipc_peer *);
void auth_report_stats(size_t *kept, uint64_t *lost);

#endif
