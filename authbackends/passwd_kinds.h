/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_PASSWD_KINDS_H
#define SUBMITD_PASSWD_KINDS_H

#include "authbackends/passwd_hash.h"

/*
 * The families of hashes behind passwd_hash.h, one file each. check: NULL and the
 * kind, PASSWD_UNKNOWN when the text is of another family, else what is wrong with it.
 * verify: on a worker, with a hash that was checked and a password without NUL.
 */
#define PASSWD_UNKNOWN                                                                             \
	"not a hash of a known kind (yescrypt, bcrypt, sha512, sha256, argon2id, scram-sha-256)"

const char *passwd_crypt_check(struct span, enum passwd_kind *);
bool passwd_crypt_verify(const char *hash, const struct secret *password);

const char *passwd_argon2_check(struct span, enum passwd_kind *);
bool passwd_argon2_verify(const char *hash, const struct secret *password);

const char *passwd_scram_check(struct span, enum passwd_kind *);
bool passwd_scram_verify(const char *hash, const struct secret *password);

#endif
