/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_SASL_SCRAM_H
#define SUBMITD_SASL_SCRAM_H

#include "authbackends/authbackend.h"
#include "authbackends/sasl_precheck.h"

/*
 * A look at the messages of SCRAM (RFC 5802, 7) before the SASL library has them.
 * Texts in *why are for the log, static, and show nothing of what was sent.
 */
#define SASL_SCRAM_MESSAGE_MAX 2048u

struct sasl_scram {
	char user[AUTH_NAME_MAX + 1], authzid[AUTH_NAME_MAX + 1]; /* decoded */
	struct span header; /* the GS2 header, into the message */
};
/* client-first-message */
enum precheck sasl_scram_first(struct span, struct sasl_scram *, const char **why);
/*
 * client-final-message; it must repeat the header of the first one, and the nonce of the server's
 * first message.
 */
enum precheck sasl_scram_final(
    struct span, struct span header, struct span server_first, const char **why);

#endif
