/* SPDX-License-Identifier: ISC */
/*
 * Signed tokens (RFC 7515, 7517, 7518, 8037): what is verified, and all that must
 * never be.
 */
#include "authbackends/jwks.h"
#include "authbackends/jwt.h"

#include "base/list.h"
#include "token_test.h"

#include <openssl/hmac.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define CLAIMS "{\"sub\":\"alice\"}"

static EVP_PKEY *rsa, *other, *ec, *ed, *weak;

static int
set_up(void **state)
{
	(void)state;
	rsa = token_key("RSA");
	other = token_key("RSA");
	ec = token_key("EC");
	ed = token_key("ED25519");
	weak = token_key("RSA1024");
	return rsa == NULL || other == NULL || ec == NULL || ed == NULL || weak == NULL ? -1 : 0;
}

static int
tear_down(void **state)
{
	(void)state;
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(other);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(ed);
	EVP_PKEY_free(weak);
	return 0;
}

/* A set of rsa "r", ec "e", ed "d". */
static struct jwks *
make_set(const char *more)
{
	struct buf b = BUF_INIT;
	const char *why = "";
	struct jwks *set;

	buf_add_str(&b, "{\"keys\":[");
	token_jwk(&b, rsa, "r", more);
	buf_add_byte(&b, ',');
	token_jwk(&b, ec, "e", more);
	buf_add_byte(&b, ',');
	token_jwk(&b, ed, "d", more);
	buf_add_str(&b, "]}");
	set = jwks_parse(buf_span(&b), &why);
	buf_clear(&b);
	return set;
}

/* 'v' verified, 'k' no such key, 'b' bad signature, 'r' refused, 'n' no token */
static char
judge(const struct jwks *set, struct span token)
{
	const char *why = "";
	struct jwt t;
	char result;

	switch (jwt_parse(token, &t, &why)) {
	case JWT_TAKEN:
		result = (char)(!jwks_has(set, &t) ? 'k' : jwks_verify(set, &t) ? 'v' : 'b');
		break;
	case JWT_REFUSED:
		result = 'r';
		break;
	case JWT_NO_JWT:
	default:
		result = 'n';
	}
	jwt_clear(&t);
	return result;
}

static void
test_algorithms(void **state)
{
	const struct {
		const char *header;
		EVP_PKEY *key;
		bool der;
		char want;
	} cases[] = {
	    {"{\"alg\":\"RS256\",\"kid\":\"r\"}", rsa, false, 'v'},
	    {"{\"alg\":\"RS256\"}", rsa, false, 'v'},
	    {"{\"alg\":\"PS256\",\"kid\":\"r\",\"typ\":\"at+jwt\"}", rsa, false, 'v'},
	    {"{\"alg\":\"ES256\",\"kid\":\"e\"}", ec, false, 'v'},
	    {"{\"alg\":\"ES256\"}", ec, false, 'v'},
	    {"{\"alg\":\"EdDSA\",\"kid\":\"d\"}", ed, false, 'v'},
	    {"{\"alg\":\"ES256\",\"kid\":\"e\"}", ec, true, 'b'},
	    {"{\"alg\":\"RS256\",\"kid\":\"r\"}", other, false, 'b'},
	    {"{\"alg\":\"RS256\"}", other, false, 'b'},
	    {"{\"alg\":\"RS256\",\"kid\":\"x\"}", rsa, false, 'k'},
	    {"{\"alg\":\"RS256\",\"kid\":\"R\"}", rsa, false, 'k'},
	    {"{\"alg\":\"RS256\",\"kid\":\"\"}", rsa, false, 'k'},
	    /* the key decides what it can verify, not the token */
	    {"{\"alg\":\"ES256\",\"kid\":\"r\"}", rsa, false, 'k'},
	    {"{\"alg\":\"RS256\",\"kid\":\"e\"}", ec, false, 'k'},
	    {"{\"alg\":\"none\"}", rsa, false, 'r'},
	    {"{\"alg\":\"None\"}", rsa, false, 'r'},
	    {"{\"alg\":\"\"}", rsa, false, 'r'},
	    {"{\"alg\":\"HS256\",\"kid\":\"r\"}", rsa, false, 'r'},
	    {"{\"alg\":\"RS512\",\"kid\":\"r\"}", rsa, false, 'r'},
	    {"{\"alg\":\"rs256\",\"kid\":\"r\"}", rsa, false, 'r'},
	    {"{\"alg\":[\"RS256\"],\"kid\":\"r\"}", rsa, false, 'r'},
	    {"{\"kid\":\"r\"}", rsa, false, 'r'},
	    {"{\"alg\":\"RS256\",\"kid\":7}", rsa, false, 'r'},
	    {"{\"alg\":\"RS256\",\"kid\":\"r\",\"crit\":[\"b64\"],\"b64\":false}", rsa, false, 'r'},
	    {"{\"alg\":\"RS256\",\"kid\":\"r\",\"crit\":[]}", rsa, false, 'r'},
	    {"{\"alg\":\"RS256\",\"zip\":\"DEF\"}", rsa, false, 'r'},
	    {"{\"alg\":\"RS256\",\"alg\":\"none\"}", rsa, false, 'n'},
	    {"[\"RS256\"]", rsa, false, 'n'},
	    {"RS256", rsa, false, 'n'},
	};
	struct jwks *set = make_set("");
	size_t i;

	(void)state;
	assert_non_null(set);
	assert_int_equal(jwks_count(set), 3);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf token = BUF_INIT;
		char got;

		token_sign(&token, cases[i].key, cases[i].header, CLAIMS, cases[i].der);
		got = judge(set, buf_span(&token));
		if (got != cases[i].want)
			fail_msg("%zu %s: %c", i, cases[i].header, got);
		buf_clear(&token);
	}
	jwks_free(set);
}

/* Every octet of a good token changed, every prefix of it, and forms that others take. */
static void
test_changed(void **state)
{
	struct jwks *set = make_set("");
	struct buf token = BUF_INIT, copy = BUF_INIT;
	size_t i, n;

	(void)state;
	token_sign(&token, ec, "{\"alg\":\"ES256\",\"kid\":\"e\"}", CLAIMS, false);
	n = buf_len(&token);
	assert_int_equal(judge(set, buf_span(&token)), 'v');
	for (i = 0; i < n; i++) {
		assert_int_not_equal(
		    judge(set, (struct span){(const char *)buf_data(&token), i}), 'v');
		buf_reset(&copy);
		buf_add_span(&copy, buf_span(&token));
		copy.mem[copy.start + i] ^= 1;
		assert_int_not_equal(judge(set, buf_span(&copy)), 'v');
	}
	static const char *const tails[] = {"=", "==", "\n", " ", ".", ".x", "A", "AAAA"};
	for (i = 0; i < ARRAY_LEN(tails); i++) {
		buf_reset(&copy);
		buf_add_span(&copy, buf_span(&token));
		buf_add_str(&copy, tails[i]);
		assert_int_not_equal(judge(set, buf_span(&copy)), 'v');
	}
	jwks_free(set);
	buf_clear(&token);
	buf_clear(&copy);
}

static void
add_unsigned(struct buf *out, const char *header)
{
	token_base64url(out, header, strlen(header));
	buf_add_byte(out, '.');
	token_base64url(out, CLAIMS, strlen(CLAIMS));
	buf_add_byte(out, '.');
}

/* Signatures that were forged against other verifiers. */
static void
test_forged(void **state)
{
	static const unsigned char zeros[256], ones[64] = {[31] = 1, [63] = 1};
	struct jwks *set = make_set("");
	struct buf token = BUF_INIT, pem = BUF_INIT;
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	(void)state;
	add_unsigned(&token, "{\"alg\":\"ES256\",\"kid\":\"e\"}");
	assert_int_equal(judge(set, buf_span(&token)), 'b'); /* none at all */
	token_base64url(&token, zeros, 64);
	assert_int_equal(judge(set, buf_span(&token)), 'b');
	buf_reset(&token);
	add_unsigned(&token, "{\"alg\":\"ES256\",\"kid\":\"e\"}");
	token_base64url(&token, ones, 64);
	assert_int_equal(judge(set, buf_span(&token)), 'b');
	buf_reset(&token);
	add_unsigned(&token, "{\"alg\":\"EdDSA\",\"kid\":\"d\"}");
	token_base64url(&token, zeros, 64);
	assert_int_equal(judge(set, buf_span(&token)), 'b');
	buf_reset(&token);
	add_unsigned(&token, "{\"alg\":\"RS256\",\"kid\":\"r\"}");
	token_base64url(&token, zeros, 256);
	assert_int_equal(judge(set, buf_span(&token)), 'b');
	/* HMAC with the public key, which everybody has, as its secret */
	token_jwk(&pem, rsa, "r", "");
	buf_reset(&token);
	add_unsigned(&token, "{\"alg\":\"HS256\",\"kid\":\"r\"}");
	assert_non_null(HMAC(EVP_sha256(), buf_data(&pem), (int)buf_len(&pem), buf_data(&token),
	    buf_len(&token) - 1, mac, &n));
	token_base64url(&token, mac, n);
	assert_int_equal(judge(set, buf_span(&token)), 'r');
	/* a PS256 signature is none of RS256 */
	buf_reset(&token);
	token_sign(&token, rsa, "{\"alg\":\"PS256\",\"kid\":\"r\"}", CLAIMS, false);
	struct jwt t;
	const char *why;
	assert_int_equal(jwt_parse(buf_span(&token), &t, &why), JWT_TAKEN);
	assert_true(jwks_verify(set, &t));
	t.alg = JWT_RS256;
	assert_false(jwks_verify(set, &t));
	jwt_clear(&t);
	jwks_free(set);
	buf_clear(&token);
	buf_clear(&pem);
}

static void
test_sets(void **state)
{
	static const struct {
		const char *more;
		size_t want; /* of the three keys */
	} cases[] = {
	    {"", 3},
	    {",\"use\":\"sig\"", 3},
	    {",\"use\":\"enc\"", 0},
	    {",\"key_ops\":[\"verify\"]", 3},
	    {",\"key_ops\":[\"encrypt\"]", 0},
	    {",\"key_ops\":[]", 0},
	    {",\"alg\":\"ES256\"", 1},
	    {",\"alg\":\"RS256\"", 1},
	    {",\"alg\":\"EdDSA\"", 1},
	    {",\"alg\":\"RSA-OAEP\"", 0},
	    {",\"alg\":\"HS256\"", 0},
	    {",\"alg\":1", 0},
	    {",\"x5c\":[\"rubbish\"]", 3},
	};
	static const char *const bad[] = {"", "{}", "[]", "{\"keys\":{}}", "{\"keys\":[]}",
	    "{\"keys\":[1,null,\"x\"]}", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}]}",
	    "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
	    "{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\"}]}",
	    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQ\",\"y\":\"AQ\"}]}",
	    /* 32 octets each, no point of the curve */
	    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
	    "\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
	    "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}]}",
	    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQ\"}]}",
	    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\","
	    "\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}]}"};
	struct buf b = BUF_INIT;
	const char *why = "";
	struct jwks *set;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		set = make_set(cases[i].more);
		if ((set == NULL ? 0 : jwks_count(set)) != cases[i].want)
			fail_msg("%s: %zu", cases[i].more, set == NULL ? 0 : jwks_count(set));
		jwks_free(set);
	}
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		set = jwks_parse(span_of(bad[i]), &why);
		if (set != NULL)
			fail_msg("taken: %s", bad[i]);
	}
	buf_add_str(&b, "{\"keys\":[");
	token_jwk(&b, weak, "w", "");
	buf_add_str(&b, "]}");
	assert_null(jwks_parse(buf_span(&b), &why)); /* 1024 bits */
	/* more keys than are kept: the first ones are */
	buf_reset(&b);
	buf_add_str(&b, "{\"keys\":[");
	for (i = 0; i < JWKS_KEYS_MAX + 10; i++) {
		char kid[16];

		assert_int_equal(str_printf(kid, sizeof(kid), "%zu", i), 0);
		token_jwk(&b, ed, kid, "");
		buf_add_byte(&b, ',');
	}
	buf_truncate(&b, buf_len(&b) - 1);
	buf_add_str(&b, "]}");
	set = jwks_parse(buf_span(&b), &why);
	assert_non_null(set);
	assert_int_equal(jwks_count(set), JWKS_KEYS_MAX);
	jwks_free(set);
	buf_clear(&b);
}

static void
test_base64url(void **state)
{
	static const struct {
		const char *in, *want;
	} cases[] = {
	    {"", ""},
	    {"_-A", "\xff\xe0"},
	    {"YWI", "ab"},
	    {"YWJj", "abc"},
	    {"YWI=", NULL},
	    {"YW+j", NULL},
	    {"YW/j", NULL},
	    {"Y", NULL},
	    {"YWJ", NULL}, /* bits that belong to no octet */
	    {"YW\n", NULL},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = BUF_INIT;
		int rc = base64url_decode(&out, span_of(cases[i].in));

		if (rc != (cases[i].want == NULL ? -1 : 0) ||
		    (rc == 0 && !span_eq(buf_span(&out), cases[i].want)))
			fail_msg("%s", cases[i].in);
		buf_clear(&out);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_algorithms),
	    cmocka_unit_test(test_changed),
	    cmocka_unit_test(test_forged),
	    cmocka_unit_test(test_sets),
	    cmocka_unit_test(test_base64url),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("jwt", tests, set_up, tear_down);
}
