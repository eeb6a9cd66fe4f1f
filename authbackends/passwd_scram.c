/* SPDX-License-Identifier: ISC */
/*
 * Keys of SCRAM-SHA-256 as a kind of hash: a password is right when the keys that come
 * from it are the stored ones. Process auth: verify on workers only.
 */
#include "authbackends/passwd_kinds.h"

#include "base/scram.h"
#include "base/str.h"

#include <openssl/crypto.h>
#include <string.h>

const char *
passwd_scram_check(struct span s, enum passwd_kind *kind)
{
	struct scram_keys k;
	const char *wrong;

	if (s.n < strlen(SCRAM_PREFIX) || memcmp(s.p, SCRAM_PREFIX, strlen(SCRAM_PREFIX)) != 0)
		return PASSWD_UNKNOWN;
	wrong = scram_parse(s, &k);
	explicit_bzero(&k, sizeof(k));
	if (wrong == NULL)
		*kind = PASSWD_SCRAM_SHA256;
	return wrong;
}

bool
passwd_scram_verify(const char *hash, const struct secret *password)
{
	struct scram_keys have, made;
	bool same = false;

	if (scram_parse(span_of(hash), &have) != NULL)
		return false;
	made = have;
	if (scram_derive(&made, password->data, password->len) == 0)
		same = CRYPTO_memcmp(made.stored, have.stored, SCRAM_KEY) == 0;
	explicit_bzero(&have, sizeof(have));
	explicit_bzero(&made, sizeof(made));
	return same;
}
