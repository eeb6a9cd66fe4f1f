/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_JWKS_H
#define SUBMITD_JWKS_H

#include "authbackends/jwt.h"
#include "base/buf.h"

#include <stddef.h>

#define JWKS_KEYS_MAX 64u
#define JWKS_BYTES_MAX (64u << 10)

/* A set of public keys (RFC 7517), unchanging once it is made. */
struct jwks;

/*
 * Keys that are not for signatures, or of kinds we do not use, are left out. NULL with a static
 * text when no key is left or it is no key set.
 */
struct jwks *jwks_parse(struct span json, const char **why);
void jwks_free(struct jwks *);
size_t jwks_count(const struct jwks *);

/* Whether a token's key is there: by its kid, or, where it names none, by its algorithm. */
bool jwks_has(const struct jwks *, const struct jwt *);
/* Whether a key of the token's kid is there, be it for another algorithm. */
bool jwks_names(const struct jwks *, const struct jwt *);
/* True when one of those keys made the signature. */
bool jwks_verify(const struct jwks *, const struct jwt *);

#endif
