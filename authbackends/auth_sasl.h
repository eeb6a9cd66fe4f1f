/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUTH_SASL_H
#define SUBMITD_AUTH_SASL_H

#include "authbackends/auth_mechs.h"
#include "base/buf.h"
#include "base/secret.h"

#include <stddef.h>

/*
 * The server side of SASL. What a client sends is looked at and taken apart here;
 * whether it is right is asked of the backends afterwards. Nothing blocks. Only the
 * loop's thread.
 */

/* Loads the plug-ins; still with the supervisor's rights. Reads no configuration of the system. */
int auth_sasl_open(const char *hostname, char *err, size_t errsize);
void auth_sasl_done(void);

enum sasl_outcome {
	SASL_OUT_CHALLENGE = 0,   /* send auth_sasl_challenge() */
	SASL_OUT_CREDENTIALS = 1, /* name and password, or token, are there: ask the backends */
	SASL_OUT_MALFORMED = 2,   /* 501: not a message of that mechanism */
	SASL_OUT_REFUSED = 3,     /* 535: not taken, whatever a backend would say */
	SASL_OUT_NO_MECH = 4,     /* 504 */
	SASL_OUT_FAILED = 5,      /* 454: trouble on our side */
	SASL_OUT_NAME = 6,        /* SCRAM: the name is there, auth_sasl_keys() goes on */
	SASL_OUT_PROOF = 7,       /* SCRAM: the proof is there, auth_sasl_proof() judges it */
	SASL_OUT_PROVEN = 8,      /* SCRAM: whoever it is has the password of the keys */
};

struct auth_sasl;
struct auth_sasl *auth_sasl_new(unsigned mechs); /* MECH_BIT()s of what may be chosen */
void auth_sasl_free(struct auth_sasl *);         /* NULL is fine; wipes */
/* initial NULL: none was sent. One start, then steps while the outcome is SASL_OUT_CHALLENGE. */
enum sasl_outcome auth_sasl_start(struct auth_sasl *, struct span mech, const struct span *initial);
enum sasl_outcome auth_sasl_step(struct auth_sasl *, struct span response);
/* The user's SCRAM keys (base/scram.h), or such as nobody has. */
enum sasl_outcome auth_sasl_keys(struct auth_sasl *, const char *entry);
enum sasl_outcome auth_sasl_proof(struct auth_sasl *);
struct span auth_sasl_challenge(const struct auth_sasl *);

/*
 * What a client of that mechanism is told, as a challenge, before it gets its 535; it
 * answers with anything. Empty: it gets the 535 at once. Static.
 */
struct span auth_sasl_refusal(const struct auth_sasl *);

const char *auth_sasl_mech(const struct auth_sasl *); /* "PLAIN", "LOGIN" and so on, or "" */
enum auth_cred auth_sasl_cred(const struct auth_sasl *);
/* The name as given, "" when there was none that could be shown (then it is only counted). */
const char *auth_sasl_login(const struct auth_sasl *);
const char *auth_sasl_authzid(const struct auth_sasl *);
const char *auth_sasl_reason(const struct auth_sasl *); /* of a bad outcome, or "" */
struct secret *auth_sasl_password(struct auth_sasl *);  /* or the token */

#endif
