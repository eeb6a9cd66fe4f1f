/* SPDX-License-Identifier: ISC */
/*
 * Password hashes: which kinds are taken, and checking a password against one. The
 * families are in passwd_crypt.c, passwd_argon2.c and passwd_scram.c. Process auth:
 * passwd_hash_verify() on workers only. Must never say in a text what the hash or
 * password was.
 */
#include "authbackends/passwd_hash.h"

#include "authbackends/passwd_kinds.h"
#include "base/list.h"
#include "base/scram.h"
#include "base/str.h"

#include <string.h>

_Static_assert(PASSWD_HASH_MAX + 1 >= SCRAM_TEXT, "a SCRAM entry must fit");

static const struct {
	const char *(*check)(struct span, enum passwd_kind *);
	bool (*verify)(const char *hash, const struct secret *password);
} families[] = {
    {passwd_crypt_check, passwd_crypt_verify},
    {passwd_argon2_check, passwd_argon2_verify},
    {passwd_scram_check, passwd_scram_verify},
};

const char *
passwd_kind_name(enum passwd_kind kind)
{
	switch (kind) {
	case PASSWD_NONE:
		return "none";
	case PASSWD_YESCRYPT:
		return "yescrypt";
	case PASSWD_BCRYPT:
		return "bcrypt";
	case PASSWD_SHA512:
		return "sha512";
	case PASSWD_SHA256:
		return "sha256";
	case PASSWD_ARGON2ID:
		return "argon2id";
	case PASSWD_SCRAM_SHA256:
		return "scram-sha-256";
	case PASSWD__MAX:
		break;
	}
	return "none";
}

/* The family of a text: its place in the list, or the length of it. Tells what is wrong. */
static size_t
find_family(struct span s, enum passwd_kind *kind, const char **wrong)
{
	size_t i;

	*wrong = "the hash is too long";
	if (s.n > PASSWD_HASH_MAX)
		return ARRAY_LEN(families);
	for (i = 0; i < ARRAY_LEN(families); i++) {
		*wrong = families[i].check(s, kind);
		if (*wrong == NULL || strcmp(*wrong, PASSWD_UNKNOWN) != 0)
			break;
	}
	return i;
}

const char *
passwd_hash_check(struct span s, enum passwd_kind *kind)
{
	const char *wrong;

	(void)find_family(s, kind, &wrong);
	return wrong;
}

struct span
passwd_hash_cost(const char *hash)
{
	static const struct {
		const char *begin;
		char sep;
		int count; /* of sep, behind what sets the cost */
	} costs[] = {
	    {"$y$", '$', 3},
	    {"$2", '$', 3},
	    {"$6$rounds=", '$', 3},
	    {"$5$rounds=", '$', 3},
	    {"$argon2", '$', 4},
	    {SCRAM_PREFIX, ':', 1},
	    {"", '$', 2},
	};
	const char *p = hash;
	size_t i = 0;
	int n;

	while (strncmp(hash, costs[i].begin, strlen(costs[i].begin)) != 0)
		i++;
	for (n = costs[i].count; n > 0 && (p = strchr(p, costs[i].sep)) != NULL; n--)
		p++;
	return (struct span){hash, p == NULL ? strlen(hash) : (size_t)(p - hash - (p > hash))};
}

bool
passwd_hash_verify(const char *hash, const struct secret *password)
{
	enum passwd_kind kind;
	const char *wrong;
	size_t i;

	if (password->data == NULL || memchr(password->data, '\0', password->len) != NULL)
		return false;
	i = find_family(span_of(hash), &kind, &wrong);
	return i < ARRAY_LEN(families) && wrong == NULL && families[i].verify(hash, password);
}
