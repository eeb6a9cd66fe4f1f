/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_CTL_PASSWD_HASH_H
#define SUBMITD_CTL_PASSWD_HASH_H

#include "base/secret.h"

#include <stdbool.h>
#include <stddef.h>

#define CTL_HASH_MAX 256u /* with the NUL */
#define CTL_HASH_METHODS "yescrypt, bcrypt, sha512, argon2id or scram-sha-256"

/* What the hash may be made of: libxcrypt takes no longer password. */
#define CTL_PASSWORD_MAX 511u

bool ctl_hash_method(const char *name);
/* The hash of a password after SASLprep. -1: this system cannot make such a one. */
int ctl_hash_make(const char *method, const struct secret *password, char hash[CTL_HASH_MAX]);

#endif
