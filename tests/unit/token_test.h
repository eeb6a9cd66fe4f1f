/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_TESTS_UNIT_TOKEN_TEST_H
#define SUBMITD_TESTS_UNIT_TOKEN_TEST_H

/* Keys, key sets and signed tokens for tests, made with OpenSSL as an issuer would. */

#include "base/buf.h"
#include "base/enc.h"
#include "base/str.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

static inline void
token_base64url(struct buf *out, const void *p, size_t n)
{
	struct buf b = BUF_INIT;
	size_t i;

	base64_encode(&b, p, n);
	for (i = 0; i < buf_len(&b) && buf_data(&b)[i] != '='; i++) {
		uint8_t c = buf_data(&b)[i];

		buf_add_byte(out, (uint8_t)(c == '+' ? '-' : c == '/' ? '_' : c));
	}
	buf_clear(&b);
}

static inline EVP_PKEY *
token_key(const char *kind)
{
	if (strcmp(kind, "EC") == 0)
		return EVP_EC_gen("P-256");
	if (strcmp(kind, "RSA1024") == 0)
		return EVP_RSA_gen(1024);
	if (strcmp(kind, "RSA") == 0)
		return EVP_RSA_gen(2048);
	return EVP_PKEY_Q_keygen(NULL, NULL, kind);
}

static inline void
token_add_bn(struct buf *out, const char *member, const EVP_PKEY *key, const char *param, int n)
{
	BIGNUM *bn = NULL;
	unsigned char bytes[1024];

	if (EVP_PKEY_get_bn_param(key, param, &bn) != 1)
		abort();
	if (n == 0)
		n = BN_num_bytes(bn);
	if (BN_bn2binpad(bn, bytes, n) != n)
		abort();
	buf_addf(out, ",\"%s\":\"", member);
	token_base64url(out, bytes, (size_t)n);
	buf_add_byte(out, '"');
	BN_free(bn);
}

/* One key as JSON; more: further members, as in ",\"use\":\"sig\"". */
static inline void
token_jwk(struct buf *out, const EVP_PKEY *key, const char *kid, const char *more)
{
	unsigned char raw[32];
	size_t n = sizeof(raw);

	buf_addf(out, "{\"kid\":\"%s\"%s", kid, more);
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_RSA:
		buf_add_str(out, ",\"kty\":\"RSA\"");
		token_add_bn(out, "n", key, OSSL_PKEY_PARAM_RSA_N, 0);
		token_add_bn(out, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);
		break;
	case EVP_PKEY_EC:
		buf_add_str(out, ",\"kty\":\"EC\",\"crv\":\"P-256\"");
		token_add_bn(out, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, 32);
		token_add_bn(out, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, 32);
		break;
	default:
		if (EVP_PKEY_get_raw_public_key(key, raw, &n) != 1)
			abort();
		buf_add_str(out, ",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"");
		token_base64url(out, raw, n);
		buf_add_byte(out, '"');
	}
	buf_add_byte(out, '}');
}

/* DER to r and s of 32 octets each. */
static inline size_t
token_raw_ecdsa(unsigned char *sig, size_t n)
{
	const unsigned char *p = sig;
	ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)n);
	unsigned char raw[64];

	if (s == NULL || BN_bn2binpad(ECDSA_SIG_get0_r(s), raw, 32) != 32 ||
	    BN_bn2binpad(ECDSA_SIG_get0_s(s), raw + 32, 32) != 32)
		abort();
	ECDSA_SIG_free(s);
	memcpy(sig, raw, sizeof(raw));
	return sizeof(raw);
}

/* der: leave an ECDSA signature in the wrong form. */
static inline void
token_sign(struct buf *out, EVP_PKEY *key, const char *header, const char *claims, bool der)
{
	unsigned char sig[1024];
	size_t n = sizeof(sig);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *p;
	bool ed = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519;

	token_base64url(out, header, strlen(header));
	buf_add_byte(out, '.');
	token_base64url(out, claims, strlen(claims));
	if (EVP_DigestSignInit(ctx, &p, ed ? NULL : EVP_sha256(), NULL, key) != 1 ||
	    (strstr(header, "PS256") != NULL &&
		(EVP_PKEY_CTX_set_rsa_padding(p, RSA_PKCS1_PSS_PADDING) != 1 ||
		    EVP_PKEY_CTX_set_rsa_pss_saltlen(p, RSA_PSS_SALTLEN_DIGEST) != 1)) ||
	    EVP_DigestSign(ctx, sig, &n, buf_data(out), buf_len(out)) != 1)
		abort();
	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && !der)
		n = token_raw_ecdsa(sig, n);
	buf_add_byte(out, '.');
	token_base64url(out, sig, n);
	EVP_MD_CTX_free(ctx);
}

#endif
