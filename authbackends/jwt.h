/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_JWT_H
#define SUBMITD_JWT_H

#include "base/buf.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>

/*
 * A signed token (RFC 7519 in the compact form of RFC 7515). Only signatures with a
 * public key exist here: "none" and HMAC are no algorithms, whatever the token says.
 */
enum jwt_alg { JWT_RS256 = 0, JWT_PS256 = 1, JWT_ES256 = 2, JWT_EDDSA = 3, JWT_ALG__MAX };
#define JWT_KID_MAX 200u

struct jwt {
	enum jwt_alg alg;
	bool has_kid;
	char kid[JWT_KID_MAX + 1];
	struct span signed_part; /* into the token: header and claims as they were signed */
	struct buf signature;
	json_t *claims; /* an object, not to be believed before jwt_verify() */
};

enum jwt_alg jwt_alg_by_name(const char *); /* JWT_ALG__MAX: none of ours */
/* Whether a key can be used for an algorithm: its kind, curve and size. */
bool jwt_key_fits(enum jwt_alg, const EVP_PKEY *);

enum jwt_form {
	JWT_TAKEN = 0,
	JWT_NO_JWT = 1,  /* no three parts of base64url, or no JSON in them */
	JWT_REFUSED = 2, /* one, but unsigned, encrypted, or with what we do not know */
};
/* out is to be cleared whatever comes out; the token lives longer. *why is static. */
enum jwt_form jwt_parse(struct span token, struct jwt *out, const char **why);
void jwt_clear(struct jwt *);
/* True only when the key fits the algorithm and made the signature. */
bool jwt_verify(const struct jwt *, EVP_PKEY *);

#endif
