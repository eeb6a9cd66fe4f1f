/* SPDX-License-Identifier: ISC */
/*
 * Public keys out of JSON (RFC 7517, RFC 7518, 6, RFC 8037). Process auth. Pure. Must
 * never take a secret key's kind ("oct"): a public text would then sign.
 */
#include "authbackends/jwks.h"

#include "authbackends/json_answer.h"

#include "base/enc.h"
#include "base/str.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

#define RSA_OCTETS_MAX 1024u /* 8192 bits */
#define RSA_E_OCTETS_MAX 8u
#define TRY_MAX 8u /* keys that are tried for a token without kid */

struct jwk {
	EVP_PKEY *key;
	enum jwt_alg alg; /* JWT_ALG__MAX: any that fits the key */
	bool has_kid;
	char kid[JWT_KID_MAX + 1];
};
struct jwks {
	struct jwk keys[JWKS_KEYS_MAX];
	size_t n;
};

static bool
is_text(const json_t *jwk, const char *name, const char *want)
{
	const char *s = json_string_value(json_object_get(jwk, name));

	return s != NULL && strcmp(s, want) == 0;
}

/* A member of base64url, 1 to max octets. */
static bool
read_octets(const json_t *jwk, const char *name, size_t max, struct buf *out)
{
	const json_t *j = json_object_get(jwk, name);

	return json_is_string(j) && json_string_length(j) <= 2 * max &&
	       base64url_decode(out, (struct span){json_string_value(j), json_string_length(j)}) ==
	           0 &&
	       buf_len(out) > 0 && buf_len(out) <= max;
}

static EVP_PKEY *
from_params(const char *kind, OSSL_PARAM_BLD *bld)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL), *check = NULL;
	EVP_PKEY *key = NULL;

	if (params != NULL && ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1) {
		check = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
		if (check == NULL || EVP_PKEY_public_check_quick(check) != 1) {
			EVP_PKEY_free(key);
			key = NULL;
		}
	}
	EVP_PKEY_CTX_free(check);
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return key;
}

static EVP_PKEY *
read_rsa(const json_t *jwk)
{
	struct buf n = BUF_INIT, e = BUF_INIT;
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	BIGNUM *bn = NULL, *be = NULL;
	EVP_PKEY *key = NULL;

	if (bld != NULL && read_octets(jwk, "n", RSA_OCTETS_MAX, &n) &&
	    read_octets(jwk, "e", RSA_E_OCTETS_MAX, &e)) {
		bn = BN_bin2bn(buf_data(&n), (int)buf_len(&n), NULL);
		be = BN_bin2bn(buf_data(&e), (int)buf_len(&e), NULL);
		if (bn != NULL && be != NULL && BN_is_odd(be) && !BN_is_one(be) && BN_is_odd(bn) &&
		    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn) == 1 &&
		    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, be) == 1)
			key = from_params("RSA", bld);
	}
	OSSL_PARAM_BLD_free(bld);
	BN_free(bn);
	BN_free(be);
	buf_clear(&n);
	buf_clear(&e);
	return key;
}

static EVP_PKEY *
read_ec(const json_t *jwk)
{
	struct buf x = BUF_INIT, y = BUF_INIT, point = BUF_INIT;
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	EVP_PKEY *key = NULL;

	/* RFC 7518, 6.2.1.2: coordinates are as long as the curve's field */
	if (bld != NULL && is_text(jwk, "crv", "P-256") && read_octets(jwk, "x", 32, &x) &&
	    read_octets(jwk, "y", 32, &y) && buf_len(&x) == 32 && buf_len(&y) == 32) {
		buf_add_byte(&point, 4);
		buf_add_span(&point, buf_span(&x));
		buf_add_span(&point, buf_span(&y));
		if (OSSL_PARAM_BLD_push_utf8_string(
			bld, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
		    OSSL_PARAM_BLD_push_octet_string(
			bld, OSSL_PKEY_PARAM_PUB_KEY, buf_data(&point), buf_len(&point)) == 1)
			key = from_params("EC", bld);
	}
	OSSL_PARAM_BLD_free(bld);
	buf_clear(&x);
	buf_clear(&y);
	buf_clear(&point);
	return key;
}

static EVP_PKEY *
read_ed25519(const json_t *jwk)
{
	struct buf x = BUF_INIT;
	EVP_PKEY *key = NULL;

	if (is_text(jwk, "crv", "Ed25519") && read_octets(jwk, "x", 32, &x) && buf_len(&x) == 32)
		key =
		    EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, buf_data(&x), buf_len(&x));
	buf_clear(&x);
	return key;
}

/* key_ops has "verify", or is not there. */
static bool
may_verify(const json_t *jwk)
{
	const json_t *ops = json_object_get(jwk, "key_ops"), *use = json_object_get(jwk, "use");
	size_t i;

	if (use != NULL && !is_text(jwk, "use", "sig"))
		return false;
	for (i = 0; i < json_array_size(ops); i++) {
		const char *op = json_string_value(json_array_get(ops, i));

		if (op != NULL && strcmp(op, "verify") == 0)
			return true;
	}
	return ops == NULL;
}

static bool
read_key(const json_t *jwk, struct jwk *out)
{
	const json_t *kid = json_object_get(jwk, "kid"), *alg = json_object_get(jwk, "alg");
	struct jwk k = {.alg = JWT_ALG__MAX, .has_kid = kid != NULL};
	size_t i;
	bool fits = false;

	if (!may_verify(jwk) || (k.has_kid && (!json_is_string(kid) || json_answer_text(kid, k.kid,
									   sizeof(k.kid)) == -1)))
		return false;
	if (alg != NULL && (!json_is_string(alg) ||
			       (k.alg = jwt_alg_by_name(json_string_value(alg))) == JWT_ALG__MAX))
		return false;
	if (is_text(jwk, "kty", "RSA"))
		k.key = read_rsa(jwk);
	else if (is_text(jwk, "kty", "EC"))
		k.key = read_ec(jwk);
	else if (is_text(jwk, "kty", "OKP"))
		k.key = read_ed25519(jwk);
	for (i = 0; k.key != NULL && i < JWT_ALG__MAX; i++)
		fits |=
		    (k.alg == JWT_ALG__MAX || k.alg == i) && jwt_key_fits((enum jwt_alg)i, k.key);
	if (!fits) {
		EVP_PKEY_free(k.key);
		return false;
	}
	*out = k;
	return true;
}

struct jwks *
jwks_parse(struct span json, const char **why)
{
	json_t *j = json.n > JWKS_BYTES_MAX ? NULL : json_answer_parse(json);
	const json_t *keys = json_object_get(j, "keys");
	struct jwks *set = NULL;
	size_t i;

	if (!json_is_array(keys)) {
		*why = "it is no key set: a JSON object with an array keys";
	} else {
		set = xcallocarray(1, sizeof(*set));
		for (i = 0; i < json_array_size(keys) && set->n < JWKS_KEYS_MAX; i++)
			set->n += read_key(json_array_get(keys, i), &set->keys[set->n]) ? 1 : 0;
		if (set->n == 0) {
			*why = "no key in it is for RS256, PS256, ES256 or EdDSA";
			jwks_free(set);
			set = NULL;
		}
	}
	json_decref(j);
	ERR_clear_error();
	return set;
}

void
jwks_free(struct jwks *set)
{
	size_t i;

	if (set == NULL)
		return;
	for (i = 0; i < set->n; i++)
		EVP_PKEY_free(set->keys[i].key);
	free(set);
}

size_t
jwks_count(const struct jwks *set)
{
	return set->n;
}

static bool
is_for(const struct jwk *k, const struct jwt *t)
{
	if (t->has_kid && (!k->has_kid || strcmp(k->kid, t->kid) != 0))
		return false;
	return (k->alg == JWT_ALG__MAX || k->alg == t->alg) && jwt_key_fits(t->alg, k->key);
}

bool
jwks_has(const struct jwks *set, const struct jwt *t)
{
	size_t i;

	for (i = 0; i < set->n; i++)
		if (is_for(&set->keys[i], t))
			return true;
	return false;
}

bool
jwks_names(const struct jwks *set, const struct jwt *t)
{
	size_t i;

	for (i = 0; t->has_kid && i < set->n; i++)
		if (set->keys[i].has_kid && strcmp(set->keys[i].kid, t->kid) == 0)
			return true;
	return false;
}

bool
jwks_verify(const struct jwks *set, const struct jwt *t)
{
	size_t i, tried = 0;

	for (i = 0; i < set->n && tried < TRY_MAX; i++) {
		if (!is_for(&set->keys[i], t))
			continue;
		if (jwt_verify(t, set->keys[i].key))
			return true;
		tried++;
	}
	return false;
}
