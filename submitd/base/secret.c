/* SPDX-License-Identifier: ISC */
/*
 * Passwords and tokens in memory: wiped when they go, compared in constant time,
 * never printed. Used by the auth role and by what carries octets to it.
 */
#include "base/secret.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

void
secret_clear(struct secret *s)
{
	if (s->data != NULL)
		explicit_bzero(s->data, s->len);
	free(s->data);
	s->data = NULL;
	s->len = 0;
}

void
secret_set(struct secret *s, const void *p, size_t n)
{
	char *copy = xstrndup(p, n);

	secret_clear(s);
	s->data = copy;
	s->len = n;
}

bool
secret_equal(const struct secret *a, const struct secret *b)
{
	return a->len == b->len && (a->len == 0 || CRYPTO_memcmp(a->data, b->data, a->len) == 0);
}
