/* SPDX-License-Identifier: ISC */
/*
 * OpenSSL contexts for both sides and the facts of a handshake. Keys come as text
 * that a privileged step read; nothing here opens a file but the system's
 * authorities for clients. Runs in front and deliver, and in the checking child.
 */
#include "base/tls.h"
#include "base/net.h"
#include "base/str.h"
#include "base/tls_client_cert.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

void
tls_error_text(char *out, size_t size)
{
	unsigned long e = ERR_get_error();

	if (e == 0)
		snprintf(out, size, "no reason given");
	else if (ERR_SYSTEM_ERROR(e)) /* a file that cannot be opened */
		snprintf(out, size, "%s", strerror(ERR_GET_REASON(e)));
	else if (ERR_reason_error_string(e) != NULL)
		snprintf(out, size, "%s", ERR_reason_error_string(e));
	else
		snprintf(out, size, "OpenSSL error %lx", e);
	ERR_clear_error();
}

static void
explain(char *err, size_t errsize, const char *what)
{
	char why[160];

	tls_error_text(why, sizeof(why));
	snprintf(err, errsize, "%s: %s", what, why);
}

/* No passphrase can be typed to a daemon. */
static int
no_passphrase(char *out, int size, int rw, void *arg)
{
	(void)out;
	(void)size;
	(void)rw;
	(void)arg;
	return -1;
}

static EVP_PKEY *
read_key(const char *pem)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = b == NULL ? NULL : PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL);

	BIO_free(b);
	return key;
}

/* The leaf goes to the context, all that follows to its chain. */
static int
use_chain(SSL_CTX *ctx, const char *pem)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	X509 *cert = b == NULL ? NULL : PEM_read_bio_X509_AUX(b, NULL, no_passphrase, NULL);
	int rc = -1;

	if (cert == NULL || SSL_CTX_use_certificate(ctx, cert) != 1)
		goto out;
	for (;;) {
		X509 *ca = PEM_read_bio_X509(b, NULL, no_passphrase, NULL);
		if (ca == NULL)
			break;
		if (SSL_CTX_add0_chain_cert(ctx, ca) != 1) {
			X509_free(ca);
			goto out;
		}
	}
	/* the end of the text is not an error */
	ERR_clear_error();
	rc = 0;
out:
	X509_free(cert);
	BIO_free(b);
	return rc;
}

static int
version_number(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} versions[] = {{"TLSv1.0", TLS1_VERSION}, {"TLSv1.1", TLS1_1_VERSION},
	    {"TLSv1.2", TLS1_2_VERSION}, {"TLSv1.3", TLS1_3_VERSION}};

	for (size_t i = 0; name != NULL && i < sizeof(versions) / sizeof(versions[0]); i++)
		if (strcmp(name, versions[i].name) == 0)
			return versions[i].number;
	return TLS1_2_VERSION;
}

static void
common_options(SSL_CTX *ctx)
{
	/* header and body of a record with one call; io.c reads until nothing is left */
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_options(
	    ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
}

SSL_CTX *
tls_server_new(const struct tls_server_options *o, char *err, size_t errsize)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = NULL;

	if (ctx == NULL) {
		explain(err, errsize, "TLS context");
		return NULL;
	}
	common_options(ctx);
	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(ctx, 0);
	if (SSL_CTX_set_min_proto_version(ctx, version_number(o->min_version)) != 1 ||
	    (o->ciphers != NULL && SSL_CTX_set_cipher_list(ctx, o->ciphers) != 1)) {
		explain(err, errsize, "TLS version or ciphers");
		goto fail;
	}
	if (use_chain(ctx, o->cert_pem) == -1) {
		explain(err, errsize, "certificate cannot be read");
		goto fail;
	}
	if ((key = read_key(o->key_pem)) == NULL) {
		explain(err, errsize, "private key cannot be read");
		goto fail;
	}
	if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
		explain(err, errsize, "private key does not belong to the certificate");
		goto fail;
	}
	if (o->client_ca_pem != NULL && tls_ask_client(ctx, o->client_ca_pem, err, errsize) == -1)
		goto fail;
	EVP_PKEY_free(key);
	return ctx;
fail:
	EVP_PKEY_free(key);
	SSL_CTX_free(ctx);
	return NULL;
}

struct sni_set {
	SSL_CTX **ctxs;
	size_t n;
};

static int
choose_by_sni(SSL *ssl, int *alert, void *arg)
{
	const struct sni_set *set = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	if (name == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	for (size_t i = 0; i < set->n; i++) {
		X509 *cert = SSL_CTX_get0_certificate(set->ctxs[i]);
		if (cert != NULL && X509_check_host(cert, name, 0, 0, NULL) == 1) {
			if (i > 0) {
				SSL_set_SSL_CTX(ssl, set->ctxs[i]);
				tls_ask_as(ssl, set->ctxs[i]);
			}
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_NOACK;
}

void
tls_server_set_sni(SSL_CTX **ctxs, size_t n)
{
	/* lives as long as the contexts: the process */
	struct sni_set *set = xcallocarray(1, sizeof(*set));

	set->ctxs = ctxs;
	set->n = n;
	SSL_CTX_set_tlsext_servername_callback(ctxs[0], choose_by_sni);
	SSL_CTX_set_tlsext_servername_arg(ctxs[0], set);
}

bool
tls_is_ed25519_key(const char *pem)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *k = b == NULL ? NULL : PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL);
	bool is = k != NULL && EVP_PKEY_is_a(k, "ED25519") == 1;

	EVP_PKEY_free(k);
	BIO_free(b);
	ERR_clear_error();
	return is;
}

int
tls_check_pair(
    const char *cert_pem, const char *key_pem, long long *not_after, char *err, size_t errsize)
{
	struct tls_server_options o = {.cert_pem = cert_pem, .key_pem = key_pem};
	SSL_CTX *ctx = tls_server_new(&o, err, errsize);
	struct tm tm;

	if (ctx == NULL)
		return -1;
	const X509 *cert = SSL_CTX_get0_certificate(ctx);
	memset(&tm, 0, sizeof(tm));
	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1)
		*not_after = (long long)timegm(&tm);
	SSL_CTX_free(ctx);
	return 0;
}

SSL_CTX *
tls_client_new(const char *ca_file, bool verify, char *err, size_t errsize)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (ctx == NULL) {
		explain(err, errsize, "TLS context");
		return NULL;
	}
	common_options(ctx);
	SSL_CTX_set_min_proto_version(ctx, verify ? TLS1_2_VERSION : TLS1_VERSION);
	if (verify) {
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
		int ok = ca_file != NULL ? SSL_CTX_load_verify_file(ctx, ca_file)
		                         : SSL_CTX_load_verify_file(
					       ctx, "/etc/ssl/certs/ca-certificates.crt") == 1 ||
		                               SSL_CTX_set_default_verify_paths(ctx);
		if (ok != 1) {
			explain(
			    err, errsize, ca_file != NULL ? ca_file : "the system's authorities");
			SSL_CTX_free(ctx);
			return NULL;
		}
		ERR_clear_error();
	}
	return ctx;
}

int
tls_client_expect(SSL *ssl, const char *host)
{
	struct net_addr literal;
	char name[256];

	if (host == NULL)
		return 0;
	bool is_ip = net_addr_parse_ip(span_of(host), &literal) == 0;
	/* the call itself: OpenSSL's macro casts const away */
	if (!is_ip &&
	    (str_copy(name, sizeof(name), host) == -1 ||
		SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name) != 1))
		return -1;
	if (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) {
		X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
		X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		int ok = is_ip ? X509_VERIFY_PARAM_set1_ip_asc(param, host)
		               : X509_VERIFY_PARAM_set1_host(param, host, 0);
		if (ok != 1)
			return -1;
	}
	return 0;
}

void
tls_peer_text(const SSL *ssl, char *out, size_t size)
{
	X509 *cert = SSL_get1_peer_certificate(ssl);
	BIO *b = BIO_new(BIO_s_mem());
	char *text = NULL;
	long n = 0;

	if (cert != NULL && b != NULL) {
		/* as XN_FLAG_ONELINE, which escapes control characters and what is no ASCII */
		(void)X509_NAME_print_ex(b, X509_get_subject_name(cert), 0, XN_FLAG_ONELINE);
		n = BIO_get_mem_data(b, &text);
	}
	(void)snprintf(out, size, "%s%s%.*s", SSL_get_version(ssl), n > 0 ? " " : "", (int)n,
	    text == NULL ? "" : text);
	BIO_free(b);
	X509_free(cert);
	ERR_clear_error();
}

void
tls_failure_text(const SSL *ssl, const char *what, char *out, size_t size)
{
	char why[160];
	long verify = SSL_get_verify_result(ssl);

	tls_error_text(why, sizeof(why));
	if (verify != X509_V_OK && (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0)
		snprintf(out, size, "%s: certificate: %s", what,
		    verify == TLS_V_NOT_PINNED ? "it is none of those that are pinned"
					       : X509_verify_cert_error_string(verify));
	else
		snprintf(out, size, "%s: %s", what, why);
}

void
tls_facts_from(struct tls_facts *f, const SSL *ssl)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
	const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	memset(f, 0, sizeof(*f));
	f->on = true;
	/* names longer than the fields do not exist; should one come, it stays empty */
	(void)str_copy(f->version, sizeof(f->version), SSL_get_version(ssl));
	(void)str_copy(
	    f->cipher, sizeof(f->cipher), cipher == NULL ? "" : SSL_CIPHER_get_name(cipher));
	f->bits = cipher == NULL ? 0 : SSL_CIPHER_get_bits(cipher, NULL);
	if (SSL_is_server(ssl)) {
		(void)str_copy(f->sni, sizeof(f->sni), sni);
	} else {
		f->verified = (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0 &&
		              SSL_get_verify_result(ssl) == X509_V_OK;
	}
}
