/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LDAP_WIRE_H
#define SUBMITD_LDAP_WIRE_H

#include "authbackends/ldap_gate.h"
#include "base/ldap_text.h"
#include "base/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lber.h>

/*
 * The octets below libldap. One thread at a time.
 *
 * Ours, because libldap's would wait longer than we may (a silent or trickling peer, a TLS
 * handshake that never ends) and would bring a second TLS library with rules of its own
 * into the process.
 */
struct ldap_wire {
	struct stream s; /* its deadline_ms: reads and writes fail afterwards */
	size_t budget;   /* octets that may still be read */
	struct ldap_gate gate;
	char peer[200]; /* version and subject where TLS is spoken; else "" */
};

/* Tries each address of the host. -1 with a text in s.error; ldap_wire_close() in any case. */
int ldap_wire_connect(struct ldap_wire *, const struct ldap_uri *, int64_t deadline_ms);
/* The handshake; the context checks chain and name. -1 with a text in s.error. */
int ldap_wire_tls(struct ldap_wire *, SSL_CTX *, const char *host);
void ldap_wire_close(struct ldap_wire *); /* never waits */
/* The other side has hung up, or says something that nobody asked for. */
bool ldap_wire_is_stale(const struct ldap_wire *);

/*
 * Until there is something to read, or nothing any more. False: it is past the deadline.
 * libldap itself never waits: it would go by the wall clock, which may be set back.
 */
bool ldap_wire_wait(const struct ldap_wire *);

/* For ber_sockbuf_add_io() with the wire as argument; does not close it. */
extern Sockbuf_IO ldap_wire_io;

#endif
