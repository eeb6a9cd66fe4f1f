/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUTH_SESSION_INTERNAL_H
#define SUBMITD_AUTH_SESSION_INTERNAL_H

#include "authbackends/auth_flow.h"
#include "authbackends/auth_guard.h"
#include "authbackends/auth_sasl.h"
#include "authbackends/auth_session.h"
#include "base/ev.h"
#include "base/list.h"
#include "mail/status.h"
#include "policy/policy.h"

/* Between auth_session.c (the life of an exchange) and auth_session_ask.c (who it is). */

#define TEXT_DENIED POLICY_AUTH_FAILED /* as explain prints it */

struct auth_session {
	LIST_ENTRY(auth_session) link;
	struct ipc_peer *peer; /* NULL: cancelled, lives for the record only */
	uint64_t sid;
	const struct conf *conf;
	const struct conf_listener *listener;
	struct net_addr client;
	char *helo, *tls_version, *tls_cipher, *cert_subject;
	bool tls;
	struct auth_sasl *sasl;
	struct auth_guard guard;
	struct auth_run run;
	bool running; /* the guard or the chain is asked */
	bool locked_out, by_rule;
	enum verdict scram; /* whose keys the client proves to have: V_OK a user's, else nobody's */
	bool proven; /* SCRAM: it did, and may come in; only the last, empty response is missing */
	bool told;   /* recorded and refused by a challenge: the client's answer gets the 535 */
	int64_t asked_ms;      /* when the last octets came: a no is counted from here */
	int64_t not_before_ms; /* a no that asked nobody: not before one that did (P3) */
	int64_t reply_ms;      /* not to be answered before */
	struct ev_timer timer;
	/* the answer */
	enum verdict verdict;
	uint16_t code;
	const char *esc, *text; /* static, or in status */
	const char *reason;
	char reason_text[AUTH_REASON_MAX];
	struct status status;
	char offered_text[160];
	char principal[ADDR_TEXT];
	const char *ou, *backend;
	bool name_known;
};

/* Ends an exchange: all three record and count; the session may be gone afterwards. */
void session_end(struct auth_session *);
void session_refuse(
    struct auth_session *, unsigned code, const char *esc, const char *text, const char *reason);
void session_deny(struct auth_session *, const char *reason); /* 535 */

/* Tells the guard what came out, once (A7). */
void session_note(struct auth_session *, enum guard_outcome);

/* Name and password, or token, are there: ends the exchange, now or later. */
void session_ask(struct auth_session *);
/* SCRAM: the name is there. Fills entry and gives true; false: ended. */
bool session_find_keys(struct auth_session *, char entry[PASSWD_HASH_MAX + 1]);
/* SCRAM: the proof is there; goes on when the guard lets it (A7). */
void session_ask_proof(struct auth_session *);
/* What the mechanism made of the client's last octets. */
void session_take(struct auth_session *, enum sasl_outcome);
/* SCRAM: the client has the password of the keys. Ends the exchange. */
void session_proven(struct auth_session *);
/* A rule before any backend refused: for the counters. */
void session_count_rule(struct auth_session *);

#endif
