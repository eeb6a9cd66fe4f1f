/* SPDX-License-Identifier: ISC */
/*
 * Fingerprints of clients' certificates as people write them (RFC 4422, P3). Handshakes
 * are in tests/e2e/24-sasl.t; what would come of one is judged without.
 */
#include "base/tls_client_cert.h"

#include "base/list.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509.h>

#define HEX8 "01234567"
#define PAIRS8 "01:23:45:67:89:AB:CD:EF"

static void
test_fingerprint(void **state)
{
	static const struct {
		const char *text;
		int want;
	} cases[] = {
	    {HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8, 0},
	    {PAIRS8 ":" PAIRS8 ":" PAIRS8 ":" PAIRS8, 0},
	    {"sha256 Fingerprint=" PAIRS8 ":" PAIRS8 ":" PAIRS8 ":" PAIRS8, 0}, /* openssl 3 */
	    {"SHA256 Fingerprint=" PAIRS8 ":" PAIRS8 ":" PAIRS8 ":" PAIRS8, 0}, /* openssl 1 */
	    {"SHA1 Fingerprint=" PAIRS8 ":" PAIRS8 ":" PAIRS8 ":" PAIRS8, -1},
	    {"sha256 Fingerprint=", -1},
	    {"", -1},
	    {HEX8, -1},
	    {HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 "0123456g", -1},
	    {HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 "0", -1},
	    {PAIRS8 ":" PAIRS8 ":" PAIRS8 ":" PAIRS8 ":", -1},
	    {PAIRS8 "::" PAIRS8 ":" PAIRS8 ":01:23:45:67:89:AB:CD:E", -1},
	    {PAIRS8 ":" PAIRS8 ":" PAIRS8 " " PAIRS8, -1},
	};
	char out[TLS_FINGERPRINT];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++)
		if (tls_fingerprint_parse(span_of(cases[i].text), out) != cases[i].want)
			fail_msg("%s", cases[i].text);
	assert_int_equal(tls_fingerprint_parse(span_of(cases[1].text), out), 0);
	assert_string_equal(
	    out, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
}

/* One that signs itself, in PEM. */
static void
make_cert(struct buf *pem, const char *cn, long days)
{
	X509 *x = X509_new();
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509_NAME *name = X509_get_subject_name(x);
	BIO *b = BIO_new(BIO_s_mem());
	char *text;
	long n;

	ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
	X509_gmtime_adj(X509_getm_notBefore(x), -30 * 86400L);
	X509_gmtime_adj(X509_getm_notAfter(x), days * 86400L);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(x, name);
	X509_set_pubkey(x, key);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(b, x), 1);
	n = BIO_get_mem_data(b, &text);
	buf_add(pem, text, (size_t)n);
	BIO_free(b);
	X509_free(x);
	EVP_PKEY_free(key);
}

/* Clear text, and a connection that asked for nothing, have nobody's certificate. */
static void
test_nobody(void **state)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	SSL *ssl = SSL_new(ctx);
	char err[200];

	(void)state;
	assert_false(tls_client_verified(NULL));
	assert_false(tls_client_verified(ssl));
	SSL_free(ssl);
	assert_int_equal(tls_ask_client(ctx, "no certificate", err, sizeof(err)), -1);
	assert_non_null(strstr(err, "client_ca"));
	assert_int_equal(SSL_CTX_get_verify_mode(ctx), SSL_VERIFY_NONE);
	SSL_CTX_free(ctx);
}

/* auth-test: what a handshake would make of it. */
static void
test_judge(void **state)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	struct tls_client_cert cert;
	struct buf ca = BUF_INIT, good = BUF_INIT, old = BUF_INIT, rubbish = BUF_INIT;
	char why[200] = "", err[200];

	(void)state;
	make_cert(&ca, "stranger", 90);
	make_cert(&good, "copier", 90);
	make_cert(&old, "printer", -1);
	/* each is its own authority */
	assert_int_equal(tls_ask_client(ctx, buf_cstr(&good), err, sizeof(err)), 0);
	assert_int_equal(tls_ask_client(ctx, buf_cstr(&old), err, sizeof(err)), 0);
	assert_int_equal(
	    tls_client_judge(ctx, buf_span(&good), &cert, why, sizeof(why)), TLS_CLIENT_GOOD);
	assert_string_equal(why, "");
	assert_string_equal(cert.subject, "CN=copier");
	assert_int_equal(strlen(cert.sha256), TLS_FINGERPRINT - 1);
	assert_int_equal(
	    tls_client_judge(ctx, buf_span(&old), &cert, why, sizeof(why)), TLS_CLIENT_REFUSED);
	assert_non_null(strstr(why, "expired"));
	assert_int_equal(
	    tls_client_judge(ctx, buf_span(&ca), &cert, why, sizeof(why)), TLS_CLIENT_REFUSED);
	/* an authority behind it vouches for nothing: it is not ours */
	buf_add_span(&ca, buf_span(&good));
	assert_int_equal(
	    tls_client_judge(ctx, buf_span(&ca), &cert, why, sizeof(why)), TLS_CLIENT_REFUSED);
	for (size_t n = 0; n < buf_len(&good) - 1; n += 7)
		assert_int_equal(tls_client_judge(ctx, (struct span){buf_span(&good).p, n}, &cert,
				     why, sizeof(why)),
		    TLS_CLIENT_NO_CERT);
	buf_add(&rubbish, "\0-----BEGIN CERTIFICATE-----\0", 30);
	assert_int_equal(
	    tls_client_judge(ctx, buf_span(&rubbish), &cert, why, sizeof(why)), TLS_CLIENT_NO_CERT);
	assert_int_equal(tls_client_judge(ctx, (struct span){NULL, 0}, &cert, why, sizeof(why)),
	    TLS_CLIENT_NO_CERT);
	buf_clear(&ca);
	buf_clear(&good);
	buf_clear(&old);
	buf_clear(&rubbish);
	SSL_CTX_free(ctx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fingerprint),
	    cmocka_unit_test(test_nobody),
	    cmocka_unit_test(test_judge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
