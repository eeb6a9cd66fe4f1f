/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_TLS_H
#define SUBMITD_BASE_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

/* What one handshake gave, for logs, Received, audit and policy. */
struct tls_facts {
	bool on;
	char version[12]; /* "TLSv1.3" */
	char cipher[48];  /* OpenSSL's name */
	int bits;
	char sni[256]; /* server side: what the client asked for; empty without */
	bool verified; /* client side: chain and name were checked and right */
};

/* A server's certificate and rules. Texts of errors go to err (never key material). */
struct tls_server_options {
	const char *cert_pem; /* NUL-terminated PEM with the chain */
	const char *key_pem;
	const char *min_version;   /* "TLSv1.0" .. "TLSv1.3"; NULL: TLSv1.2 */
	const char *ciphers;       /* TLS 1.2 and older; NULL: OpenSSL's default */
	const char *client_ca_pem; /* clients are asked for a certificate of these; NULL: not */
};

/* A context, or NULL with a text in err. Sessions are not cached, tickets are off. */
SSL_CTX *tls_server_new(const struct tls_server_options *, char *err, size_t errsize);
/*
 * Chooses among ctxs[0..n-1] by SNI and the names in their certificates; ctxs[0]
 * is what clients without SNI, or with an unknown name, get. ctxs must outlive all.
 */
void tls_server_set_sni(SSL_CTX **ctxs, size_t n);
/* Checks that certificate and key fit and gives notAfter (seconds since 1970). -1 with err. */
int tls_check_pair(
    const char *cert_pem, const char *key_pem, long long *not_after, char *err, size_t errsize);

/* A private key of that kind, in PEM form, without a passphrase. */
bool tls_is_ed25519_key(const char *pem);

/* The result of verifying (SSL_get_verify_result()) where tls_pin.h has other certificates. */
#define TLS_V_NOT_PINNED X509_V_ERR_APPLICATION_VERIFICATION

/* A client's context: verifies against ca_file (NULL: the system's) when asked to. */
SSL_CTX *tls_client_new(const char *ca_file, bool verify, char *err, size_t errsize);

/*
 * Whom a client talks to, before the handshake: a name becomes SNI, and a context that verifies
 * compares name or address with the certificate. host NULL: neither. -1: host cannot be one.
 */
int tls_client_expect(SSL *, const char *host);

void tls_facts_from(struct tls_facts *, const SSL *);
/* "TLSv1.3 CN = mx.example.com", cut where it is long; printable ASCII, for logs and traces. */
void tls_peer_text(const SSL *, char *out, size_t size);
/* Why a call for this SSL failed: "what: reason"; empties the queue of errors. */
void tls_failure_text(const SSL *, const char *what, char *out, size_t size);
/* The oldest error of this thread's OpenSSL queue as text, and empties the queue. */
void tls_error_text(char *out, size_t size);

#endif
