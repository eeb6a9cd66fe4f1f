/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_SASL_CYRUS_H
#define SUBMITD_SASL_CYRUS_H

#include "authbackends/authbackend.h"
#include "base/buf.h"
#include "base/secret.h"

/*
 * Cyrus SASL's server side. Our verifier takes the password out of the library and
 * always tells it "no", so that no answer of the library can let anybody in: only SCRAM
 * is proved by it, with keys that we gave it. Only the loop's thread.
 */

/* Loads the plug-ins; still with the supervisor's rights. Reads no configuration of the system. */
int sasl_cyrus_open(const char *hostname, char *err, size_t errsize);
void sasl_cyrus_done(void);

enum cyrus_result {
	CYRUS_CHALLENGE = 0,
	CYRUS_PASSWORD = 1, /* sasl_cyrus_password() has it */
	CYRUS_MALFORMED = 2,
	CYRUS_NO_MECH = 3,
	CYRUS_FAILED = 4,  /* trouble on our side */
	CYRUS_REFUSED = 5, /* SCRAM: the proof is wrong */
	CYRUS_PROVEN = 6,  /* SCRAM: the client has the password that the keys are of */
};

struct sasl_cyrus;
struct sasl_cyrus *sasl_cyrus_new(void);   /* NULL: out of resources */
void sasl_cyrus_free(struct sasl_cyrus *); /* NULL is fine; wipes */
/* The one name whose password is taken out. */
void sasl_cyrus_user(struct sasl_cyrus *, const char *name);
/* SCRAM keys of that name (base/scram.h), before the start. */
void sasl_cyrus_scram(struct sasl_cyrus *, const char *entry);
/* initial NULL: none was sent. challenge is set when that is the result. */
enum cyrus_result sasl_cyrus_start(
    struct sasl_cyrus *, const char *mech, const struct span *initial, struct buf *challenge);
enum cyrus_result sasl_cyrus_step(struct sasl_cyrus *, struct span response, struct buf *challenge);
struct secret *sasl_cyrus_password(struct sasl_cyrus *);

#endif
