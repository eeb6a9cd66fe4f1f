/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_PASSWD_HASH_H
#define SUBMITD_PASSWD_HASH_H

#include "base/secret.h"
#include "base/buf.h"

#include <stdbool.h>

/* Longest entry that is taken: SCRAM keys with the longest salt have 200 octets, argon2id less. */
#define PASSWD_HASH_MAX 255u
/* crypt_r() takes no more (libxcrypt: 512 with the NUL). */
#define PASSWD_CRYPT_MAX 511u

enum passwd_kind {
	PASSWD_NONE = 0, /* no hash that we know */
	PASSWD_YESCRYPT = 1,
	PASSWD_BCRYPT = 2,
	PASSWD_SHA512 = 3,
	PASSWD_SHA256 = 4,
	PASSWD_ARGON2ID = 5,
	PASSWD_SCRAM_SHA256 = 6, /* keys for SCRAM, which tell a password's rightness too */
	PASSWD__MAX
};
const char *passwd_kind_name(enum passwd_kind);

/*
 * Tells whether the text is a complete hash of a kind that we take, with a bounded
 * cost (LIBRARIES 9: an entry may otherwise ask for minutes of work). NULL when it
 * is, *kind filled; else what is wrong with it, in words that do not show it.
 */
const char *passwd_hash_check(struct span, enum passwd_kind *kind);
/* "$6$rounds=5000", "$2b$10", "$y$j9T", "$argon2id$v=19$m=19456,t=2,p=1": what sets the cost of
 * checking it. Points into hash. */
struct span passwd_hash_cost(const char *hash);
/* On a worker. False also for a bad hash and a password that is too long for crypt(3). */
bool passwd_hash_verify(const char *hash, const struct secret *password);

#endif
