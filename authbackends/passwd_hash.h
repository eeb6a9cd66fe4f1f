/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_PASSWD_HASH_H
#define SUBMITD_PASSWD_HASH_H

#include "base/secret.h"
#include "base/buf.h"

#include <stdbool.h>

/* Longest entry that is taken: a sha512 hash with rounds and salt has 124 octets. */
#define PASSWD_HASH_MAX 200u
/* crypt_r() takes no more (libxcrypt: 512 with the NUL). */
#define PASSWD_CRYPT_MAX 511u

enum passwd_kind {
	PASSWD_NONE = 0, /* no hash that we know */
	PASSWD_YESCRYPT = 1,
	PASSWD_BCRYPT = 2,
	PASSWD_SHA512 = 3,
	PASSWD_SHA256 = 4,
	PASSWD__MAX
};
const char *passwd_kind_name(enum passwd_kind);

/*
 * Tells whether the text is a complete hash of a kind that we take, with a bounded
 * cost (LIBRARIES 9: an entry may otherwise ask for minutes of work). NULL when it
 * is, *kind filled; else what is wrong with it, in words that do not show it.
 */
const char *passwd_hash_check(struct span, enum passwd_kind *kind);
/* "$6$rounds=5000", "$2b$10", "$y$j9T": what sets the cost of checking it. Points into hash. */
struct span passwd_hash_cost(const char *hash);
/* On a worker. False also for a bad hash and a password that is too long for crypt. */
bool passwd_hash_verify(const char *hash, const struct secret *password);

#endif
