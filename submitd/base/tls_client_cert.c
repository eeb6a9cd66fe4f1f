/* SPDX-License-Identifier: ISC */
/*
 * Asks clients for certificates and tells whose they are (RFC 4422, EXTERNAL). Runs in
 * front, and in the checking child. Must never take for verified what OpenSSL found a
 * fault with, though such a client may go on without.
 */
#include "base/tls_client_cert.h"

#include "base/enc.h"
#include "base/str.h"
#include "base/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <limits.h>
#include <string.h>

#define CHAIN_MAX 4
#define CHAIN_BYTES_MAX 32768

/* What an SSL carries when any step of the verification failed. */
static int
fault_index(void)
{
	static int index = -1;

	if (index == -1)
		index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	return index;
}

/* Goes on in any case; the fault stays with the connection. */
static int
note_fault(int good, X509_STORE_CTX *x)
{
	static char fault;
	SSL *ssl = X509_STORE_CTX_get_ex_data(x, SSL_get_ex_data_X509_STORE_CTX_idx());

	if (!good && (ssl == NULL || SSL_set_ex_data(ssl, fault_index(), &fault) != 1))
		return 0;
	return 1;
}

int
tls_ask_client(SSL_CTX *ctx, const char *ca_pem, char *err, size_t errsize)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	BIO *b = BIO_new_mem_buf(ca_pem, -1);
	unsigned n = 0;
	X509 *ca;
	int result = -1;

	while (b != NULL && (ca = PEM_read_bio_X509(b, NULL, NULL, NULL)) != NULL) {
		bool added =
		    X509_STORE_add_cert(store, ca) == 1 && SSL_CTX_add_client_CA(ctx, ca) == 1;

		X509_free(ca);
		if (!added)
			break;
		n++;
	}
	BIO_free(b);
	/* the end of the text is not an error */
	ERR_clear_error();
	if (n == 0)
		(void)str_copy(err, errsize, "client_ca holds no certificate in PEM form");
	else if (fault_index() == -1)
		(void)str_copy(err, errsize, "out of memory");
	else
		result = 0;
	if (result == 0) {
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE, note_fault);
		/* anybody may send us some to verify */
		SSL_CTX_set_verify_depth(ctx, CHAIN_MAX);
		SSL_CTX_set_max_cert_list(ctx, CHAIN_BYTES_MAX);
	}
	return result;
}

void
tls_ask_as(SSL *ssl, const SSL_CTX *ctx)
{
	SSL_set_verify(ssl, SSL_CTX_get_verify_mode(ctx), SSL_CTX_get_verify_callback(ctx));
}

bool
tls_client_verified(const SSL *ssl)
{
	return ssl != NULL && (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0 &&
	       SSL_get0_peer_certificate(ssl) != NULL && SSL_get_verify_result(ssl) == X509_V_OK &&
	       SSL_get_ex_data(ssl, fault_index()) == NULL;
}

static void
take_subject(X509 *cert, char out[TLS_CERT_SUBJECT])
{
	BIO *b = BIO_new(BIO_s_mem());
	char *p = NULL;
	long n;

	out[0] = '\0';
	if (b == NULL)
		return;
	/* escapes all that is not printable ASCII */
	if (X509_NAME_print_ex(b, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) >= 0 &&
	    (n = BIO_get_mem_data(b, &p)) > 0) {
		size_t len = (size_t)n < TLS_CERT_SUBJECT - 1 ? (size_t)n : TLS_CERT_SUBJECT - 1;

		memcpy(out, p, len);
		out[len] = '\0';
	}
	BIO_free(b);
}

/* What does not fit, or holds what no address holds, is left out. */
static void
take_emails(X509 *cert, struct tls_client_cert *out)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	int i;

	out->emails_len = 0;
	for (i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		struct span s;

		if (g->type != GEN_EMAIL)
			continue;
		s = (struct span){(const char *)ASN1_STRING_get0_data(g->d.rfc822Name),
		    (size_t)ASN1_STRING_length(g->d.rfc822Name)};
		if (s.n == 0 || s.n + 1 > TLS_CERT_EMAILS - out->emails_len || !str_is_ascii(s) ||
		    str_has_control(s) || memchr(s.p, ' ', s.n) != NULL)
			continue;
		memcpy(out->emails + out->emails_len, s.p, s.n);
		out->emails_len += s.n;
		out->emails[out->emails_len++] = '\0';
	}
	GENERAL_NAMES_free(names);
}

static int
take_cert(X509 *cert, struct tls_client_cert *out)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	struct buf hex = BUF_INIT;
	unsigned n = 0;

	if (cert == NULL || X509_digest(cert, EVP_sha256(), digest, &n) != 1 || n != sizeof(digest))
		return -1;
	hex_encode(&hex, digest, n);
	(void)str_copy_span(out->sha256, sizeof(out->sha256), buf_span(&hex));
	buf_clear(&hex);
	take_subject(cert, out->subject);
	take_emails(cert, out);
	return 0;
}

int
tls_client_cert(const SSL *ssl, struct tls_client_cert *out)
{
	return take_cert(SSL_get0_peer_certificate(ssl), out);
}

/* The first is the client's own; NULL: none. */
static STACK_OF(X509) * read_certs(struct span pem)
{
	static char no_passphrase[] = "";
	BIO *b = BIO_new_mem_buf(pem.p, pem.n > INT_MAX ? 0 : (int)pem.n);
	STACK_OF(X509) *list = sk_X509_new_null();
	X509 *cert;

	while (b != NULL && list != NULL && sk_X509_num(list) <= CHAIN_MAX &&
	       (cert = PEM_read_bio_X509(b, NULL, NULL, no_passphrase)) != NULL)
		if (sk_X509_push(list, cert) == 0)
			X509_free(cert);
	BIO_free(b);
	ERR_clear_error();
	if (sk_X509_num(list) > 0)
		return list;
	sk_X509_free(list);
	return NULL;
}

/* As the handshake does it. */
static int
verify_chain(SSL_CTX *ctx, STACK_OF(X509) * list, char *why, size_t whysize)
{
	X509_STORE_CTX *x = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *param;
	int rc = -1;

	(void)str_copy(why, whysize, "out of memory");
	if (x == NULL ||
	    X509_STORE_CTX_init(x, SSL_CTX_get_cert_store(ctx), sk_X509_value(list, 0), list) != 1)
		goto out;
	param = X509_STORE_CTX_get0_param(x);
	(void)X509_STORE_CTX_set_default(x, "ssl_client");
	X509_VERIFY_PARAM_set_depth(param, SSL_CTX_get_verify_depth(ctx));
	X509_VERIFY_PARAM_set_auth_level(param, SSL_CTX_get_security_level(ctx));
	if (X509_verify_cert(x) == 1) {
		why[0] = '\0';
		rc = 0;
	} else {
		(void)str_copy(
		    why, whysize, X509_verify_cert_error_string(X509_STORE_CTX_get_error(x)));
	}
out:
	X509_STORE_CTX_free(x);
	ERR_clear_error();
	return rc;
}

enum tls_client_judged
tls_client_judge(
    SSL_CTX *ctx, struct span pem, struct tls_client_cert *out, char *why, size_t whysize)
{
	STACK_OF(X509) *list = read_certs(pem);
	enum tls_client_judged result = TLS_CLIENT_NO_CERT;

	if (list == NULL || take_cert(sk_X509_value(list, 0), out) == -1)
		(void)str_copy(why, whysize, "there is no certificate in PEM form");
	else
		result = verify_chain(ctx, list, why, whysize) == 0 ? TLS_CLIENT_GOOD
		                                                    : TLS_CLIENT_REFUSED;
	sk_X509_pop_free(list, X509_free);
	return result;
}

int
tls_fingerprint_parse(struct span s, char out[TLS_FINGERPRINT])
{
	static const char label[] = "sha256 Fingerprint=";
	char hex[TLS_FINGERPRINT];
	size_t i, n = 0;
	bool colons;

	if (span_starts_nocase(s, label))
		s = (struct span){s.p + sizeof(label) - 1, s.n - (sizeof(label) - 1)};
	colons = s.n == 95;
	if (s.n != 64 && !colons)
		return -1;
	for (i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (colons && i % 3 == 2) {
			if (c != ':')
				return -1;
			continue;
		}
		if (c >= 'A' && c <= 'F')
			c = (char)(c + 32);
		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
			return -1;
		hex[n++] = c;
	}
	hex[n] = '\0';
	memcpy(out, hex, sizeof(hex));
	return 0;
}
