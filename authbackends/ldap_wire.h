/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LDAP_WIRE_H
#define SUBMITD_LDAP_WIRE_H

#include "base/ldap_text.h"

#include <stddef.h>
#include <stdint.h>

#include <lber.h>
#include <openssl/ssl.h>

/*
 * The octets below libldap: a socket, with or without TLS, whose every wait ends at a
 * deadline. One thread at a time.
 *
 * Its own, because libldap's would wait longer than we may (a silent or trickling peer,
 * a TLS handshake that never ends) and would bring a second TLS library with rules of
 * its own into the process.
 */
struct ldap_wire {
	int fd; /* non-blocking; -1: closed */
	SSL *ssl;
	int64_t deadline_ms; /* clock of auth_clock_ms(): reads and writes fail afterwards */
	size_t budget;       /* octets that may still be read */
	char peer[200];      /* version, cipher and subject where TLS is spoken; else "" */
};

/* Tries each address of the host. NULL with a text in err. Freed by ldap_wire_free(). */
struct ldap_wire *ldap_wire_connect(
    const struct ldap_uri *, int64_t deadline_ms, char *err, size_t errsize);
/* The handshake; chain and name are checked. -1 with a text in err. */
int ldap_wire_tls(struct ldap_wire *, SSL_CTX *, const char *host, char *err, size_t errsize);
void ldap_wire_free(struct ldap_wire *); /* NULL is fine */
/* The other side has hung up, or says something that nobody asked for. */
bool ldap_wire_is_stale(const struct ldap_wire *);

/* For ber_sockbuf_add_io() with the wire as argument; does not free it. */
extern Sockbuf_IO ldap_wire_io;

#endif
