/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_JWKS_CACHE_H
#define SUBMITD_JWKS_CACHE_H

#include "authbackends/authbackend.h"
#include "authbackends/http_client.h"
#include "authbackends/jwks.h"

#include <stdbool.h>

#define JWKS_MIN_AGE_MS                                                                            \
	30000              /* a set younger than this is not fetched again for an unknown key      \
	                    */
#define JWKS_RETRY_MS 5000 /* after a fetch that failed */
#define JWKS_STALE_MS (24 * 3600000LL) /* a set older than this is not used any more */

/*
 * The key set of a server, for all workers. It is fetched when the first token comes,
 * again when it is older than max_age, and when a token names a key that is not in it.
 * One worker fetches at a time; the others go on with the set that is there, or wait.
 */
struct jwks_cache;
/*
 * client and url outlive it. max_waiting: so many workers at most wait for another's fetch while
 * there is a set.
 */
struct jwks_cache *jwks_cache_new(
    struct http_client *, const char *url, int64_t max_age_ms, unsigned max_waiting);
struct jwks_cache *jwks_cache_new_fixed(struct jwks *); /* takes the set; nothing is fetched */
void jwks_cache_free(struct jwks_cache *);              /* NULL is fine */

/*
 * V_OK: a key of the set made the signature. V_PERM: none did. V_TEMP: the set cannot be had, or
 * not now. *lasting: only an operator can change that. On a worker, until c->deadline_ms.
 */
enum verdict jwks_cache_verify(
    struct jwks_cache *, const struct jwt *, struct auth_check *c, bool *lasting);

#endif
