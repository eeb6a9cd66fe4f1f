/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUTH_CACHE_H
#define SUBMITD_AUTH_CACHE_H

#include "base/buf.h"
#include "base/net.h"
#include "base/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Logins that were right a moment ago (C2), off unless a flow asks for it. Neither
 * name nor password is kept, only an HMAC-SHA-256 over both and all else the answer
 * came from, with a random key that lives and dies with the process. Bounded: the
 * entry that was not used for longest goes first. Pure but for the key: the clock is an
 * argument, in milliseconds. Only the loop's thread.
 */
#define AUTH_CACHE_KEY 32u

struct auth_cache;
struct auth_cache *auth_cache_new(size_t max_entries, size_t max_bytes);
void auth_cache_free(struct auth_cache *); /* NULL is fine */

/* What a question was: all of it decides whether an answer may be used again. */
struct auth_cache_question {
	const char *flow, *login, *address;
	const struct net_addr *client; /* without its port: some answers depend on it */
	const struct secret *password;
};
void auth_cache_key(
    const struct auth_cache *, const struct auth_cache_question *, uint8_t out[AUTH_CACHE_KEY]);

/* What was answered. */
struct auth_cache_answer {
	const void *source; /* which backend */
	const char *name;   /* its spelling of the user */
	struct span own;    /* further addresses, each with its NUL */
};
/*
 * stamp: changes whenever a backend of the flow may answer otherwise than before. An entry
 * with another one is dropped. The answer lives until the next call. NULL: ask the backends.
 */
const struct auth_cache_answer *auth_cache_find(
    struct auth_cache *, const uint8_t key[AUTH_CACHE_KEY], uint64_t stamp, int64_t now_ms);
void auth_cache_add(struct auth_cache *, const uint8_t key[AUTH_CACHE_KEY], uint64_t stamp,
    const struct auth_cache_answer *, int64_t expires_ms);

struct auth_cache_stats {
	size_t entries, bytes;
	uint64_t hits, misses;
};
const struct auth_cache_stats *auth_cache_stats(const struct auth_cache *);

#endif
