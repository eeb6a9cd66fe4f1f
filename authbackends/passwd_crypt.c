/* SPDX-License-Identifier: ISC */
/*
 * Hashes of crypt(3): yescrypt, bcrypt, sha512, sha256: what they may cost, and checking
 * a password against one. Process auth: passwd_crypt_verify() on workers only. Must
 * never say in a text what the hash or password was.
 */
#include "authbackends/passwd_kinds.h"

#include "base/str.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define BCRYPT_COST_MAX 14
#define SHA_ROUNDS_MAX 1000000
#define YESCRYPT_MEMORY_MAX (64u << 20)
#define SHA_SALT_MAX 16

static const char salt_set[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static bool
is_salt_text(struct span s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (memchr(salt_set, s.p[i], sizeof(salt_set) - 1) == NULL)
			return false;
	return true;
}

static const char *
check_sha(struct span s, size_t hash_len)
{
	struct span part, rounds;
	uint64_t n;

	(void)span_cut(&s, '$'); /* before the first */
	(void)span_cut(&s, '$'); /* 5 or 6 */
	part = span_cut(&s, '$');
	if (span_starts_nocase(part, "rounds=")) {
		rounds = (struct span){part.p + 7, part.n - 7};
		if (span_to_u64(rounds, 1000, SHA_ROUNDS_MAX, &n) == -1)
			return "rounds must be 1000 to 1000000";
		part = span_cut(&s, '$');
	}
	if (part.n > SHA_SALT_MAX || memchr(part.p == NULL ? "" : part.p, ':', part.n) != NULL)
		return "the salt is malformed";
	if (s.p == NULL || s.n != hash_len || !is_salt_text(s))
		return "the hash is cut short or malformed";
	return NULL;
}

static const char *
check_bcrypt(struct span s)
{
	struct span cost;
	uint64_t n;

	/* $2b$10$ and 53 characters */
	if (s.n != 60 || s.p[6] != '$')
		return "the hash is cut short or malformed";
	cost = (struct span){s.p + 4, 2};
	if (span_to_u64(cost, 4, BCRYPT_COST_MAX, &n) == -1)
		return "the cost of bcrypt must be 04 to 14";
	if (!is_salt_text((struct span){s.p + 7, 53}))
		return "the hash is cut short or malformed";
	return NULL;
}

static int
salt_value(char c)
{
	const char *p = memchr(salt_set, c, sizeof(salt_set) - 1);

	return p == NULL ? -1 : (int)(p - salt_set);
}

/* yescrypt as crypt_gensalt() and passwd make it: $y$j9T$salt$hash, flavour j, N and r in one
 * character each. */
static const char *
check_yescrypt(struct span s)
{
	struct span params, salt;
	int n_log2, r;

	(void)span_cut(&s, '$');
	(void)span_cut(&s, '$');
	params = span_cut(&s, '$');
	if (params.n != 3 || params.p[0] != 'j')
		return "unusual parameters of yescrypt";
	n_log2 = salt_value(params.p[1]) + 1;
	r = salt_value(params.p[2]) + 1;
	/* characters from 'k' on begin a number of several characters */
	if (n_log2 < 1 || n_log2 > 18 || r < 1 || r > 47)
		return "unusual parameters of yescrypt";
	if ((UINT64_C(128) * (unsigned)r) << n_log2 > YESCRYPT_MEMORY_MAX)
		return "the cost of yescrypt is too high (more than 64 MiB)";
	salt = span_cut(&s, '$');
	if (salt.n > 86 || !is_salt_text(salt))
		return "the salt is malformed";
	if (s.p == NULL || s.n != 43 || !is_salt_text(s))
		return "the hash is cut short or malformed";
	return NULL;
}

const char *
passwd_crypt_check(struct span s, enum passwd_kind *kind)
{
	enum passwd_kind found;
	const char *wrong;
	char text[PASSWD_HASH_MAX + 1];

	if (s.n < 4 || s.p[0] != '$')
		return PASSWD_UNKNOWN;
	if (memcmp(s.p, "$y$", 3) == 0) {
		found = PASSWD_YESCRYPT;
		wrong = check_yescrypt(s);
	} else if (s.p[1] == '2' && memchr("aby", s.p[2], 3) != NULL && s.p[3] == '$') {
		found = PASSWD_BCRYPT;
		wrong = check_bcrypt(s);
	} else if (memcmp(s.p, "$6$", 3) == 0) {
		found = PASSWD_SHA512;
		wrong = check_sha(s, 86);
	} else if (memcmp(s.p, "$5$", 3) == 0) {
		found = PASSWD_SHA256;
		wrong = check_sha(s, 43);
	} else {
		return PASSWD_UNKNOWN;
	}
	if (wrong != NULL)
		return wrong;
	/* libxcrypt calls sha256 and $2a$ legacy, as it does DES and MD5: those did not come this
	 * far */
	if (str_copy_span(text, sizeof(text), s) == -1 ||
	    (crypt_checksalt(text) != CRYPT_SALT_OK &&
		crypt_checksalt(text) != CRYPT_SALT_METHOD_LEGACY))
		return "crypt(3) does not take this hash";
	*kind = found;
	return NULL;
}

bool
passwd_crypt_verify(const char *hash, const struct secret *password)
{
	struct crypt_data *cd;
	const char *got;
	size_t len = strlen(hash);
	bool same = false;

	if (password->len > PASSWD_CRYPT_MAX || memchr(password->data, '\0', password->len) != NULL)
		return false;
	cd = xcallocarray(1, sizeof(*cd));
	got = crypt_r(password->data, hash, cd);
	if (got != NULL && got[0] != '*' && strlen(got) == len)
		same = CRYPTO_memcmp(got, hash, len) == 0;
	explicit_bzero(cd, sizeof(*cd));
	free(cd);
	return same;
}
