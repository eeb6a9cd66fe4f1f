/* SPDX-License-Identifier: ISC */
/*
 * Takes a signed token apart and checks its signature with OpenSSL. Process auth, on
 * workers. Pure. Must never accept an algorithm because the token names it: the key
 * decides what can be verified with it.
 */
#include "authbackends/jwt.h"

#include "authbackends/json_answer.h"

#include "base/enc.h"
#include "base/str.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192
#define P256_OCTETS 32

static const char *const alg_names[JWT_ALG__MAX] = {
    [JWT_RS256] = "RS256", [JWT_PS256] = "PS256", [JWT_ES256] = "ES256", [JWT_EDDSA] = "EdDSA"};

enum jwt_alg
jwt_alg_by_name(const char *name)
{
	int i;

	for (i = 0; i < JWT_ALG__MAX; i++)
		if (strcmp(alg_names[i], name) == 0)
			break;
	return (enum jwt_alg)i;
}

bool
jwt_key_fits(enum jwt_alg alg, const EVP_PKEY *key)
{
	char group[32] = "";
	int bits = EVP_PKEY_get_bits(key);

	switch (alg) {
	case JWT_RS256:
	case JWT_PS256:
		return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && bits >= RSA_BITS_MIN &&
		       bits <= RSA_BITS_MAX;
	case JWT_ES256:
		return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
		       EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
		       strcmp(group, "prime256v1") == 0;
	case JWT_EDDSA:
		return EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519;
	case JWT_ALG__MAX:
		break;
	}
	return false;
}

/* ---- taking apart -----------------------------------------------------------------------------
 */

static json_t *
decode_object(struct span part)
{
	struct buf text = BUF_INIT;
	json_t *j = NULL;

	if (base64url_decode(&text, part) == 0)
		j = json_answer_parse(buf_span(&text));
	buf_wipe(&text);
	return j;
}

static enum jwt_form
read_header(const json_t *header, struct jwt *out, const char **why)
{
	const char *alg = json_string_value(json_object_get(header, "alg"));
	const json_t *kid = json_object_get(header, "kid");

	if (alg == NULL) {
		*why = "the token names no algorithm";
		return JWT_REFUSED;
	}
	out->alg = jwt_alg_by_name(alg);
	if (out->alg == JWT_ALG__MAX) {
		*why = "the token's algorithm is not one of RS256, PS256, ES256, EdDSA";
		return JWT_REFUSED;
	}
	/* RFC 7515, 4.1.11: what must be understood and is not; RFC 7797 is among it */
	if (json_object_get(header, "crit") != NULL || json_object_get(header, "b64") != NULL ||
	    json_object_get(header, "zip") != NULL) {
		*why = "the token demands what is not understood here";
		return JWT_REFUSED;
	}
	out->has_kid = kid != NULL;
	if (out->has_kid &&
	    (!json_is_string(kid) || json_answer_text(kid, out->kid, sizeof(out->kid)) == -1)) {
		*why = "the token's key id is no usable text";
		return JWT_REFUSED;
	}
	return JWT_TAKEN;
}

enum jwt_form
jwt_parse(struct span token, struct jwt *out, const char **why)
{
	struct span rest = token, head, claims;
	enum jwt_form form = JWT_NO_JWT;
	json_t *header = NULL;

	*out = (struct jwt){.alg = JWT_ALG__MAX};
	*why = "it is no signed token (JWT)";
	head = span_cut(&rest, '.');
	claims = span_cut(&rest, '.');
	if (head.n == 0 || claims.p == NULL || claims.n == 0 || rest.p == NULL ||
	    memchr(rest.p, '.', rest.n) != NULL)
		return JWT_NO_JWT;
	out->signed_part = (struct span){token.p, head.n + 1 + claims.n};
	header = decode_object(head);
	out->claims = decode_object(claims);
	if (header != NULL && out->claims != NULL && base64url_decode(&out->signature, rest) == 0)
		form = read_header(header, out, why);
	json_decref(header);
	return form;
}

void
jwt_clear(struct jwt *t)
{
	json_decref(t->claims);
	buf_clear(&t->signature);
	*t = (struct jwt){.alg = JWT_ALG__MAX};
}

/* ---- the signature ----------------------------------------------------------------------------
 */

/* RFC 7518, 3.4: r and s, 32 octets each; OpenSSL wants DER. NULL: it is neither. */
static unsigned char *
der_of(const struct buf *raw, size_t *n)
{
	ECDSA_SIG *sig = NULL;
	BIGNUM *r = NULL, *s = NULL;
	unsigned char *der = NULL;
	int len;

	if (buf_len(raw) != 2 * (size_t)P256_OCTETS)
		return NULL;
	r = BN_bin2bn(buf_data(raw), P256_OCTETS, NULL);
	s = BN_bin2bn(buf_data(raw) + P256_OCTETS, P256_OCTETS, NULL);
	sig = ECDSA_SIG_new();
	if (r != NULL && s != NULL && sig != NULL && ECDSA_SIG_set0(sig, r, s) == 1) {
		r = s = NULL; /* are the signature's now */
		len = i2d_ECDSA_SIG(sig, &der);
		*n = len > 0 ? (size_t)len : 0;
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(sig);
	return der;
}

static bool
set_padding(EVP_PKEY_CTX *ctx, enum jwt_alg alg)
{
	if (alg != JWT_PS256)
		return alg != JWT_RS256 ||
		       EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
	/* RFC 7518, 3.5: the salt is as long as the hash */
	return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
	       EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1 &&
	       EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1;
}

bool
jwt_verify(const struct jwt *t, EVP_PKEY *key)
{
	const unsigned char *sig = buf_data(&t->signature);
	size_t n = buf_len(&t->signature);
	unsigned char *der = NULL;
	EVP_MD_CTX *ctx = NULL;
	EVP_PKEY_CTX *pctx;
	bool good = false;

	if (!jwt_key_fits(t->alg, key))
		return false;
	if (t->alg == JWT_ES256) {
		der = der_of(&t->signature, &n);
		if (der == NULL)
			goto out;
		sig = der;
	}
	ctx = EVP_MD_CTX_new();
	good = ctx != NULL &&
	       EVP_DigestVerifyInit(
		   ctx, &pctx, t->alg == JWT_EDDSA ? NULL : EVP_sha256(), NULL, key) == 1 &&
	       set_padding(pctx, t->alg) &&
	       EVP_DigestVerify(
		   ctx, sig, n, (const unsigned char *)t->signed_part.p, t->signed_part.n) == 1;
out:
	EVP_MD_CTX_free(ctx);
	OPENSSL_free(der);
	ERR_clear_error();
	return good;
}
