/* SPDX-License-Identifier: ISC */
/*
 * Keyed hashes by OpenSSL, with everything that does not depend on the text done once.
 * Runs in auth and ledger. Must never give a result that is not one: a library that
 * cannot do it ends the process.
 */
#include "base/mac.h"

#include "base/log.h"
#include "base/str.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>

struct mac {
	EVP_MAC_CTX *ctx;
};

struct mac *
mac_new(const uint8_t *key, size_t n)
{
	struct mac *m = xcallocarray(1, sizeof(*m));
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
	    OSSL_PARAM_construct_end()};

	if (hmac != NULL)
		m->ctx = EVP_MAC_CTX_new(hmac);
	EVP_MAC_free(hmac); /* the context has a reference of its own */
	invariant(m->ctx != NULL && EVP_MAC_init(m->ctx, key, n, params) == 1);
	return m;
}

void
mac_of(struct mac *m, struct span text, uint8_t out[MAC_SIZE])
{
	size_t n = 0;

	/* afterwards begun anew, with the key of before: nothing of the text stays */
	invariant(EVP_MAC_update(m->ctx, (const uint8_t *)text.p, text.n) == 1 &&
		  EVP_MAC_final(m->ctx, out, &n, MAC_SIZE) == 1 && n == MAC_SIZE &&
		  EVP_MAC_init(m->ctx, NULL, 0, NULL) == 1);
}

void
mac_free(struct mac *m)
{
	if (m == NULL)
		return;
	EVP_MAC_CTX_free(m->ctx);
	free(m);
}
