/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_SASL_OAUTH_H
#define SUBMITD_SASL_OAUTH_H

#include "authbackends/sasl_precheck.h"

#include "authbackends/authbackend.h"

/*
 * What clients send for OAUTHBEARER (RFC 7628, 3.1) and XOAUTH2: a name and a bearer
 * token. Texts in *why are for the log, static, and show nothing of what was sent.
 */
struct sasl_oauth {
	char user[AUTH_NAME_MAX + 1]; /* as claimed; "" when OAUTHBEARER has none */
	struct span token;            /* into the message: 1 to AUTH_TOKEN_MAX octets, b64token */
};

/* Whether a token has the form of one (RFC 6750, 2.1) and is not too long. */
enum precheck sasl_oauth_token(struct span token, const char **why);

enum precheck sasl_oauth_bearer(struct span message, struct sasl_oauth *, const char **why);
enum precheck sasl_oauth_x2(struct span message, struct sasl_oauth *, const char **why);

/* What the client is told about a token that is not taken (RFC 7628, 3.2.2), JSON. */
#define SASL_OAUTH_BEARER_NO "{\"status\":\"invalid_token\"}"
#define SASL_OAUTH_X2_NO "{\"status\":\"401\",\"schemes\":\"bearer\"}"

#endif
