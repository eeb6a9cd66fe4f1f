/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_SASL_GS2_H
#define SUBMITD_SASL_GS2_H

#include "authbackends/authbackend.h"
#include "authbackends/sasl_precheck.h"
#include "base/buf.h"

/*
 * The header that begins OAUTHBEARER and SCRAM messages (RFC 5801, 4): a flag about
 * channel binding, and an authorization identity that may be left out.
 */
struct sasl_gs2 {
	char flag;                       /* 'n' or 'y': the client binds to no channel */
	struct span header;              /* with both commas, into the message */
	char authzid[AUTH_NAME_MAX + 1]; /* decoded; "" without one */
};

/*
 * Takes the header off *rest. Refused: the flag p, because no mechanism that binds is offered
 * (RFC 5802, 6); *why is static text.
 */
enum precheck sasl_gs2_cut(struct span *rest, struct sasl_gs2 *, const char **why);
/* RFC 5802, 5.1: =2C is a comma, =3D an equals sign, nothing else is escaped. -1: malformed or too
 * long. */
int sasl_gs2_name(struct span, char out[AUTH_NAME_MAX + 1]);

#endif
