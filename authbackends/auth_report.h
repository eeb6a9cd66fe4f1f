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
	const char *cert;  /* EXTERNAL: the subject of the client's certificate; only logged */
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

/*
 * Once, before the first report, with the supervisor's rights: reads or makes the key that
 * hides names, FILE.names. -1 with a text.
 */
int auth_report_init(const struct conf *, char *err, size_t errsize);
/*
 * True: with so many sessions open, one more could end without its record, so it is
 * answered 454 and counted (audit.on_full).
 */
bool auth_report_full(const struct conf *, size_t open);
/* Writes the log line and hands the record on (ipc/audit_outbox.h). */
void auth_report_send(const struct conf *, const struct auth_report *);

#endif
