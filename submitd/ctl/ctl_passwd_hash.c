/* SPDX-License-Identifier: ISC */
/*
 * submitctl passwd: makes hashes of all kinds that the backends take, with a fresh
 * salt and today's cost. Never prints or keeps a password.
 */
#include "ctl/ctl_passwd_hash.h"

#include "base/enc.h"
#include "base/list.h"
#include "base/scram.h"
#include "base/str.h"

#include <argon2.h>
#include <crypt.h>
#include <stdlib.h>
#include <string.h>

/* RFC 9106 would have more memory; this is what OWASP asks for, and 30 ms. */
#define ARGON2_KIB 19456
#define ARGON2_PASSES 2
/* each client must do as many: phones and devices, too */
#define SCRAM_ITERATIONS 32768

static int
make_crypt(
    const char *prefix, unsigned long cost, const struct secret *password, char hash[CTL_HASH_MAX])
{
	struct crypt_data *data = xcallocarray(1, sizeof(*data));
	char *setting = crypt_gensalt_ra(prefix, cost, NULL, 0);
	const char *h = NULL;
	int result = -1;

	if (setting != NULL)
		h = crypt_r(password->data, setting, data);
	if (h != NULL && h[0] != '*')
		result = str_copy(hash, CTL_HASH_MAX, h);
	explicit_bzero(data, sizeof(*data));
	free(data);
	free(setting);
	return result;
}

static int
make_yescrypt(const struct secret *password, char hash[CTL_HASH_MAX])
{
	return make_crypt("$y$", 0, password, hash);
}

static int
make_bcrypt(const struct secret *password, char hash[CTL_HASH_MAX])
{
	return make_crypt("$2b$", 11, password, hash);
}

static int
make_sha512(const struct secret *password, char hash[CTL_HASH_MAX])
{
	return make_crypt("$6$", 100000, password, hash);
}

static int
make_argon2id(const struct secret *password, char hash[CTL_HASH_MAX])
{
	uint8_t salt[16];

	random_bytes(salt, sizeof(salt));
	return argon2id_hash_encoded(ARGON2_PASSES, ARGON2_KIB, 1, password->data, password->len,
		   salt, sizeof(salt), 32, hash, CTL_HASH_MAX) == ARGON2_OK
	           ? 0
	           : -1;
}

static int
make_scram(const struct secret *password, char hash[CTL_HASH_MAX])
{
	struct scram_keys k = {.iterations = SCRAM_ITERATIONS, .salt_len = 16};
	int result;

	random_bytes(k.salt, k.salt_len);
	result = scram_derive(&k, password->data, password->len);
	if (result == 0)
		scram_format(&k, hash);
	explicit_bzero(&k, sizeof(k));
	return result;
}

static const struct {
	const char *name;
	int (*make)(const struct secret *, char hash[CTL_HASH_MAX]);
} methods[] = {
    {"yescrypt", make_yescrypt},
    {"bcrypt", make_bcrypt},
    {"sha512", make_sha512},
    {"argon2id", make_argon2id},
    {"scram-sha-256", make_scram},
};

bool
ctl_hash_method(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(methods); i++)
		if (strcmp(methods[i].name, name) == 0)
			return true;
	return false;
}

int
ctl_hash_make(const char *method, const struct secret *password, char hash[CTL_HASH_MAX])
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(methods); i++)
		if (strcmp(methods[i].name, method) == 0)
			return methods[i].make(password, hash);
	return -1;
}
