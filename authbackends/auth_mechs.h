/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUTH_MECHS_H
#define SUBMITD_AUTH_MECHS_H

#include "authbackends/auth_flow.h"
#include "base/buf.h"
#include "conf/conf.h"

#include <stdbool.h>

/* The SASL mechanisms that the process can serve. MECH_BIT()s make sets of them. */
enum auth_mech {
	MECH_NONE = 0,
	MECH_PLAIN = 1,
	MECH_LOGIN = 2,
	MECH_OAUTHBEARER = 3, /* RFC 7628 */
	MECH_XOAUTH2 = 4,
	MECH_SCRAM_SHA_256 = 5, /* RFC 7677 */
	MECH_EXTERNAL = 6,      /* RFC 4422: the client's certificate */
	MECH__MAX
};
#define MECH_BIT(mech) (1u << (mech))
#define MECHS_ALL (MECH_BIT(MECH__MAX) - 1)

const char *auth_mech_name(enum auth_mech); /* "" for MECH_NONE */
enum auth_mech auth_mech_find(struct span name);
/* What a client proves itself with there. */
enum auth_cred auth_mech_cred(enum auth_mech);

/* What lies between a client and us. */
enum auth_channel {
	CHANNEL_CLEAR = 0,
	CHANNEL_TLS = 1,
	CHANNEL_CERT = 2, /* TLS, and the client's certificate verified */
};
/* The set that a listener offers and takes there: what its flow can judge (NULL: nothing). */
unsigned auth_mechs_offered(
    const struct conf_listener *, const struct auth_flow *, enum auth_channel);
/* Their names, blank separated. */
void auth_mechs_list(unsigned set, struct buf *out);

#endif
