/* SPDX-License-Identifier: ISC */
/*
 * Certificates that are trusted because they stand in a file of ours: a server's own, or its
 * authority's. Runs in deliver, in auth and in the checking child; files are read before the
 * sandbox. Must never fall back to the system's authorities.
 */
#include "base/tls_pin.h"

#include "base/str.h"
#include "base/tls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

/* What is no certificate any more, or of none: an error; the end of the text is none. */
static bool
is_end(unsigned long e)
{
	return e == 0 ||
	       (ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE);
}

/* Calls fn for each certificate; the caller keeps none of them. -1 with err. */
static int
each_cert(const char *file, int (*fn)(void *, X509 *), void *arg, char *err, size_t errsize)
{
	BIO *b = BIO_new_file(file, "r");
	char why[160];
	unsigned n = 0;
	int rc = -1;
	X509 *cert;

	if (b == NULL) {
		(void)snprintf(err, errsize, "%s: %s", file, strerror(errno));
		ERR_clear_error();
		return -1;
	}
	ERR_clear_error();
	while ((cert = PEM_read_bio_X509(b, NULL, NULL, NULL)) != NULL) {
		rc = ++n > TLS_PIN_CERTS_MAX ? -1 : fn(arg, cert);
		X509_free(cert);
		if (rc == -1)
			break;
	}
	if (n > TLS_PIN_CERTS_MAX) {
		(void)snprintf(
		    err, errsize, "%s: more than %u certificates", file, TLS_PIN_CERTS_MAX);
	} else if (cert == NULL && !is_end(ERR_peek_last_error())) {
		tls_error_text(why, sizeof(why));
		(void)snprintf(err, errsize, "%s: %s", file, why);
		rc = -1;
	} else if (n == 0) {
		(void)snprintf(err, errsize, "%s: there is no certificate in it", file);
	} else if (rc == -1) {
		tls_error_text(why, sizeof(why));
		(void)snprintf(err, errsize, "%s: %s", file, why);
	}
	BIO_free(b);
	ERR_clear_error();
	return rc;
}

/* ---- the handshake ---------------------------------------------------------------------------
 */

static bool
is_pinned(X509_STORE_CTX *v, const X509 *leaf)
{
	STACK_OF(X509) *same = X509_STORE_CTX_get1_certs(v, X509_get_subject_name(leaf));
	bool found = false;

	for (int i = 0; i < sk_X509_num(same) && !found; i++)
		found = X509_cmp(sk_X509_value(same, i), leaf) == 0;
	sk_X509_pop_free(same, X509_free);
	ERR_clear_error();
	return found;
}

/* X509_V_ERR_...: nobody vouches for it, in whatever words. */
static bool
is_stranger(int error)
{
	return error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
	       error == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
	       error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
	       error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
	       error == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE;
}

/* In place of OpenSSL's own verification. */
static int
verify(X509_STORE_CTX *v, void *arg)
{
	X509 *leaf = X509_STORE_CTX_get0_cert(v);

	(void)arg;
	if (leaf != NULL && is_pinned(v, leaf)) {
		X509_STORE_CTX_set_error(v, X509_V_OK);
		return 1;
	}
	if (X509_verify_cert(v) == 1)
		return 1;
	if (is_stranger(X509_STORE_CTX_get_error(v)))
		X509_STORE_CTX_set_error(v, TLS_V_NOT_PINNED);
	return 0;
}

static int
add_cert(void *arg, X509 *cert)
{
	return X509_STORE_add_cert(arg, cert) == 1 ? 0 : -1;
}

SSL_CTX *
tls_pin_new(char *const *files, size_t n, char *err, size_t errsize)
{
	SSL_CTX *ctx = tls_client_new(NULL, false, err, errsize);
	X509_STORE *store;

	if (ctx == NULL)
		return NULL;
	store = SSL_CTX_get_cert_store(ctx);
	for (size_t i = 0; i < n; i++)
		if (each_cert(files[i], add_cert, store, err, errsize) == -1) {
			SSL_CTX_free(ctx);
			return NULL;
		}
	/* an authority need not be a root to be the one that is meant */
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, verify, NULL);
	return ctx;
}

SSL_CTX *
tls_pin_or_client_new(
    char *const *files, size_t n, const char *ca_file, bool verify, char *err, size_t errsize)
{
	return verify && n > 0 ? tls_pin_new(files, n, err, errsize)
	                       : tls_client_new(ca_file, verify, err, errsize);
}

/* ---- submitd -t ------------------------------------------------------------------------------
 */

static int
note_end(void *arg, X509 *cert)
{
	long long *first = arg, end;
	struct tm tm;

	memset(&tm, 0, sizeof(tm));
	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return -1;
	end = (long long)timegm(&tm);
	if (*first == 0 || end < *first)
		*first = end;
	return 0;
}

int
tls_pin_check(const char *file, long long *not_after, char *err, size_t errsize)
{
	long long first = 0;

	if (each_cert(file, note_end, &first, err, errsize) == -1)
		return -1;
	*not_after = first;
	return 0;
}
