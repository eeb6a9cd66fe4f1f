/* SPDX-License-Identifier: ISC */
/*
 * Pinned certificates (S65): whole handshakes in memory with a server whose certificate is the one
 * that is pinned, one of an authority that is, and such as must not pass; files that will not do.
 */
#include "base/tls_pin.h"

#include "base/list.h"
#include "base/str.h"
#include "base/tls.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DAY 86400L

enum who { ROOT, SUB, OTHER_ROOT, GOOD, TWIN, OLD, DEEP, SELF, WHO_MAX };

static struct pair {
	X509 *cert;
	EVP_PKEY *key;
	char path[80];
} pairs[WHO_MAX];
static char dir[] = "/tmp/tls-pin-XXXXXX";

static void
add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX v3;
	X509_EXTENSION *e;

	X509V3_set_ctx(&v3, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &v3, nid, value);
	assert_non_null(e);
	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

/* by: who signs, or the same. host NULL: an authority. */
static void
make(enum who w, enum who by, const char *name, const char *host, long seconds)
{
	struct pair *p = &pairs[w];
	X509_NAME *n;
	FILE *f;

	p->cert = X509_new();
	p->key = EVP_EC_gen("P-256");
	X509_set_version(p->cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(p->cert), 100 + (long)w);
	X509_gmtime_adj(X509_getm_notBefore(p->cert), -30 * DAY);
	X509_gmtime_adj(X509_getm_notAfter(p->cert), seconds);
	n = X509_get_subject_name(p->cert);
	X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_pubkey(p->cert, p->key);
	X509_set_issuer_name(p->cert, X509_get_subject_name(pairs[by].cert));
	if (host == NULL) {
		add_ext(p->cert, pairs[by].cert, NID_basic_constraints, "critical,CA:TRUE");
	} else {
		char san[100];

		assert_int_equal(str_printf(san, sizeof(san), "DNS:%s", host), 0);
		add_ext(p->cert, pairs[by].cert, NID_subject_alt_name, san);
		add_ext(p->cert, pairs[by].cert, NID_basic_constraints, "CA:FALSE");
	}
	add_ext(p->cert, pairs[by].cert, NID_subject_key_identifier, "hash");
	add_ext(p->cert, pairs[by].cert, NID_authority_key_identifier, "keyid");
	assert_true(X509_sign(p->cert, pairs[by].key, EVP_sha256()) > 0);
	assert_int_equal(str_printf(p->path, sizeof(p->path), "%s/%d.pem", dir, (int)w), 0);
	f = fopen(p->path, "w");
	assert_non_null(f);
	assert_int_equal(PEM_write_X509(f, p->cert), 1);
	fclose(f);
}

static int
set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	make(ROOT, ROOT, "root", NULL, 90 * DAY);
	make(SUB, ROOT, "sub", NULL, 90 * DAY);
	make(OTHER_ROOT, OTHER_ROOT, "root", NULL, 90 * DAY);
	make(GOOD, ROOT, "mx", "mx.example", 90 * DAY);
	make(TWIN, OTHER_ROOT, "mx", "mx.example", 90 * DAY);
	make(OLD, ROOT, "old", "mx.example", -DAY);
	make(DEEP, SUB, "deep", "mx.example", 90 * DAY);
	make(SELF, SELF, "self", "else.example", -DAY);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		unlink(pairs[i].path);
		X509_free(pairs[i].cert);
		EVP_PKEY_free(pairs[i].key);
	}
	return rmdir(dir);
}

/* The client's verdict: "" or why not. chain: sent behind the server's own, or WHO_MAX. */
static const char *
shake(SSL_CTX *client, enum who server, enum who chain, const char *host)
{
	static char why[300];
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	SSL *c = SSL_new(client), *s;
	BIO *cb, *sb;

	assert_int_equal(SSL_CTX_use_certificate(ctx, pairs[server].cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, pairs[server].key), 1);
	if (chain != WHO_MAX)
		assert_int_equal(SSL_CTX_add1_chain_cert(ctx, pairs[chain].cert), 1);
	s = SSL_new(ctx);
	assert_int_equal(BIO_new_bio_pair(&cb, 0, &sb, 0), 1);
	SSL_set_bio(c, cb, cb);
	SSL_set_bio(s, sb, sb);
	SSL_set_connect_state(c);
	SSL_set_accept_state(s);
	assert_int_equal(tls_client_expect(c, host), 0);
	why[0] = '\0';
	for (int i = 0; i < 20 && !SSL_is_init_finished(c); i++) {
		int rc = SSL_do_handshake(c);

		if (rc != 1 && SSL_get_error(c, rc) != SSL_ERROR_WANT_READ) {
			tls_failure_text(c, "TLS", why, sizeof(why));
			break;
		}
		(void)SSL_do_handshake(s);
	}
	if (why[0] == '\0') {
		struct tls_facts f;

		assert_true(SSL_is_init_finished(c));
		tls_facts_from(&f, c);
		assert_true(f.verified);
	}
	SSL_free(c);
	SSL_free(s);
	SSL_CTX_free(ctx);
	return why;
}

static void
test_handshakes(void **state)
{
	static const struct {
		enum who pinned, also; /* also: WHO_MAX for one only */
		enum who server, chain;
		const char *host, *want; /* "": passes */
	} cases[] = {
	    {GOOD, WHO_MAX, GOOD, WHO_MAX, "mx.example", ""},
	    /* exactly that one: what else it says does not matter */
	    {GOOD, WHO_MAX, GOOD, WHO_MAX, "192.0.2.1", ""},
	    {OLD, WHO_MAX, OLD, WHO_MAX, "mx.example", ""},
	    {SELF, WHO_MAX, SELF, WHO_MAX, "mx.example", ""},
	    {SELF, GOOD, GOOD, WHO_MAX, "mx.example", ""},
	    /* its name is worth nothing */
	    {GOOD, WHO_MAX, TWIN, WHO_MAX, "mx.example", "none of those that are pinned"},
	    {GOOD, WHO_MAX, TWIN, OTHER_ROOT, "mx.example", "none of those that are pinned"},
	    {GOOD, WHO_MAX, TWIN, GOOD, "mx.example", "none of those that are pinned"},
	    {GOOD, WHO_MAX, SELF, WHO_MAX, "else.example", "none of those that are pinned"},
	    /* the same authority does not do for another certificate */
	    {GOOD, WHO_MAX, DEEP, SUB, "mx.example", "none of those that are pinned"},
	    /* an authority vouches for names and times */
	    {ROOT, WHO_MAX, GOOD, WHO_MAX, "mx.example", ""},
	    {ROOT, WHO_MAX, GOOD, WHO_MAX, "other.example", "ostname mismatch"},
	    {ROOT, WHO_MAX, OLD, WHO_MAX, "mx.example", "expired"},
	    {ROOT, WHO_MAX, TWIN, WHO_MAX, "mx.example", "none of those that are pinned"},
	    {ROOT, WHO_MAX, DEEP, SUB, "mx.example", ""},
	    {ROOT, WHO_MAX, DEEP, WHO_MAX, "mx.example", "none of those that are pinned"},
	    {SUB, WHO_MAX, DEEP, WHO_MAX, "mx.example", ""},
	    {SUB, WHO_MAX, DEEP, SUB, "mx.example", ""},
	    {SUB, WHO_MAX, GOOD, WHO_MAX, "mx.example", "none of those that are pinned"},
	    /* two authorities of one name */
	    {OTHER_ROOT, WHO_MAX, TWIN, OTHER_ROOT, "mx.example", ""},
	    {OTHER_ROOT, ROOT, GOOD, WHO_MAX, "mx.example", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *files[2] = {pairs[cases[i].pinned].path, NULL};
		size_t n = 1;
		char err[300] = "";
		const char *got;
		SSL_CTX *ctx;

		if (cases[i].also != WHO_MAX)
			files[n++] = pairs[cases[i].also].path;
		ctx = tls_pin_new(files, n, err, sizeof(err));
		if (ctx == NULL)
			fail_msg("case %zu: %s", i, err);
		got = shake(ctx, cases[i].server, cases[i].chain, cases[i].host);
		if (cases[i].want[0] == '\0' ? got[0] != '\0' : strstr(got, cases[i].want) == NULL)
			fail_msg("case %zu: \"%s\", wanted \"%s\"", i, got, cases[i].want);
		SSL_CTX_free(ctx);
	}
}

static void
put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_not_equal(fputs(text, f), EOF);
	fclose(f);
}

static void
test_files(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
	    {"", "no certificate in it"},
	    {"good morning\n", "no certificate in it"},
	    {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "/bad.pem: "},
	    {"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "/bad.pem: "},
	    {"-----BEGIN CERTIFICATE-----\nAAAA\n", "/bad.pem: "},
	};
	char path[100], err[300];
	char *files[] = {path, path};
	long long not_after = -1;
	FILE *f;

	(void)state;
	assert_int_equal(str_printf(path, sizeof(path), "%s/bad.pem", dir), 0);
	assert_int_equal(tls_pin_check(path, &not_after, err, sizeof(err)), -1);
	assert_non_null(strstr(err, "No such file"));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		put(path, cases[i].text);
		assert_int_equal(tls_pin_check(path, &not_after, err, sizeof(err)), -1);
		if (strstr(err, cases[i].want) == NULL)
			fail_msg("case %zu: %s", i, err);
		assert_null(tls_pin_new(files, 1, err, sizeof(err)));
	}
	assert_int_equal(not_after, -1); /* untouched */
	/* a good one and half a one: half of what was meant is not taken */
	f = fopen(path, "w");
	assert_int_equal(PEM_write_X509(f, pairs[GOOD].cert), 1);
	assert_int_not_equal(fputs("-----BEGIN CERTIFICATE-----\nAAAA\n", f), EOF);
	fclose(f);
	assert_int_equal(tls_pin_check(path, &not_after, err, sizeof(err)), -1);
	/* several, and the same twice */
	f = fopen(path, "w");
	assert_int_equal(PEM_write_X509(f, pairs[GOOD].cert), 1);
	assert_int_equal(PEM_write_X509(f, pairs[OLD].cert), 1);
	fclose(f);
	assert_int_equal(tls_pin_check(path, &not_after, err, sizeof(err)), 0);
	assert_true(not_after > 0 && not_after < (long long)time(NULL));
	SSL_CTX *ctx = tls_pin_new(files, 2, err, sizeof(err));
	assert_non_null(ctx);
	assert_string_equal(shake(ctx, OLD, WHO_MAX, "mx.example"), "");
	SSL_CTX_free(ctx);
	/* more than anybody means */
	f = fopen(path, "w");
	for (unsigned i = 0; i <= TLS_PIN_CERTS_MAX; i++)
		assert_int_equal(PEM_write_X509(f, pairs[GOOD].cert), 1);
	fclose(f);
	assert_int_equal(tls_pin_check(path, &not_after, err, sizeof(err)), -1);
	assert_non_null(strstr(err, "more than 100"));
	unlink(path);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_handshakes),
	    cmocka_unit_test(test_files),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("tls_pin", tests, set_up, tear_down);
}
