/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_TLS_CLIENT_CERT_H
#define SUBMITD_BASE_TLS_CLIENT_CERT_H

#include "base/buf.h"

#include <openssl/ssl.h>
#include <stdbool.h>

/*
 * Certificates of clients, the server's side: asked for, never required. One that does
 * not verify is as good as none, and does not end the handshake.
 */
#define TLS_FINGERPRINT 65u   /* SHA-256 in lower-case hex, and its NUL */
#define TLS_CERT_EMAILS 1024u /* of all addresses of one certificate, each with its NUL */
#define TLS_CERT_SUBJECT 200u

struct tls_client_cert {
	char sha256[TLS_FINGERPRINT];   /* of the DER form */
	char subject[TLS_CERT_SUBJECT]; /* printable ASCII, cut where it is long */
	char emails[TLS_CERT_EMAILS];   /* rfc822Name of subjectAltName, each with its NUL */
	size_t emails_len;
};

/* Makes a server's context ask for certificates of the authorities in ca_pem. -1 with err. */
int tls_ask_client(SSL_CTX *, const char *ca_pem, char *err, size_t errsize);
/* For the callback that changes the context of a connection: what it asks for follows. */
void tls_ask_as(SSL *, const SSL_CTX *);
/* The client has shown a certificate, and it verified. NULL is no connection with TLS. */
bool tls_client_verified(const SSL *);
/* Its facts; only where it verified. -1: out of resources. */
int tls_client_cert(const SSL *, struct tls_client_cert *);

/* What a server with such a context would make of a client that has these certificates. */
enum tls_client_judged {
	TLS_CLIENT_NO_CERT = 0, /* pem holds none */
	TLS_CLIENT_GOOD = 1,    /* it verifies */
	TLS_CLIENT_REFUSED = 2, /* it does not: as good as none */
};
/*
 * ctx: tls_ask_client(). pem: the client's own certificate, and its chain behind it. Fills *out
 * unless there is none, and why, which is "" for GOOD. No key is looked at.
 */
enum tls_client_judged tls_client_judge(
    SSL_CTX *ctx, struct span pem, struct tls_client_cert *out, char *why, size_t whysize);

/*
 * 64 hex digits of either case, with a colon behind each second one or none at all; "sha256
 * Fingerprint=", as openssl x509 prints it, may stand before them.
 */
int tls_fingerprint_parse(struct span text, char out[TLS_FINGERPRINT]);

#endif
