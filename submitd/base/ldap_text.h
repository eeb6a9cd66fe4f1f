/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_LDAP_TEXT_H
#define SUBMITD_BASE_LDAP_TEXT_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bounds of what is made for a server, with its NUL. */
#define LDAP_FILTER_MAX 8192u
#define LDAP_BIND_NAME_MAX 2048u

struct ldap_uri {
	bool tls;       /* ldaps: TLS from the first octet */
	bool loopback;  /* "localhost" or a loopback address: never leaves the machine */
	char host[256]; /* name or address literal without [] */
	uint16_t port;  /* 389 and 636 where none is given */
};
/* ldap://HOST[:PORT] or ldaps://HOST[:PORT]; NULL, or what is wrong (out is untouched). */
const char *ldap_uri_parse(const char *text, struct ldap_uri *out);

/* RFC 4515: a value between the parentheses of a filter. Every other octet than the harmless
 * printable ones becomes \xx, so the result is ASCII and means exactly these octets. */
void ldap_filter_escape(struct buf *, struct span value);
/* RFC 4514: a value of a DN, in the same way. */
void ldap_dn_escape(struct buf *, struct span value);

/*
 * A filter with %s in its values (%% is a percent sign). NULL when a server can read it
 * whatever stands for %s, else what is wrong.
 */
const char *ldap_filter_check(const char *filter);
/* The filter with the escaped value for each %s. -1: longer than size. The filter was checked. */
int ldap_filter_make(const char *filter, struct span value, char *out, size_t size);

/* Each part between , and + is attribute=value: NULL, or what is wrong. */
const char *ldap_dn_check(const char *dn);

/*
 * A name to bind with: %u the whole login, %n its local part, %d its domain, %% a percent
 * sign. With a = in it, it is a DN and what is filled in is escaped.
 */
const char *ldap_bind_as_check(const char *bind_as); /* NULL, or what is wrong */
bool ldap_bind_as_is_dn(const char *bind_as);
/*
 * address: the login completed by a domain, or ""; gives %d where the login has none. -1
 * with EINVAL where %n or %d would be empty or the login cannot be in a name, with
 * ENAMETOOLONG where it does not fit. out is the empty string then.
 */
int ldap_bind_as_make(
    const char *bind_as, const char *login, const char *address, char *out, size_t size);

#endif
