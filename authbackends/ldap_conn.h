/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LDAP_CONN_H
#define SUBMITD_LDAP_CONN_H

#include "authbackends/ldap_judge.h"
#include "base/ldap_text.h"
#include "base/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#define LDAP_DN_MAX 1024u

/* One question to a directory, over one or several requests. */
struct ldap_ask {
	int64_t deadline_ms; /* clock of stream_clock_ms() */
	/* each step in words for an operator's eyes, or NULL; never a password */
	void (*say)(void *arg, const char *line);
	void *arg;
	char tls_peer[200];      /* of the last connection; "" without TLS */
	char why[LDAP_TEXT_MAX]; /* why no connection could be had, or there was no answer */
};

/* One connection to one server, used by one thread at a time. */
struct ldap_conn;

/*
 * Connects, and speaks TLS where the URI is ldaps or starttls says so: then with ctx, which
 * checks chain and name. connect_ms bounds all that, request_ms each request later on.
 * NULL with ask->why.
 */
struct ldap_server {
	struct ldap_uri uri;
	const char *text; /* the URI as written */
	SSL_CTX *ctx;
	bool starttls;
	int64_t connect_ms, request_ms;
};
struct ldap_conn *ldap_conn_open(const struct ldap_server *, struct ldap_ask *);
void ldap_conn_close(struct ldap_conn *); /* NULL is fine; does not wait */
/* The server has hung up, or says something that nobody asked for. */
bool ldap_conn_is_stale(const struct ldap_conn *);
const char *ldap_conn_peer(const struct ldap_conn *); /* as ask->tls_peer */

/*
 * A simple bind. Empty and blank names, empty passwords and those with a NUL never reach the
 * server: they get LDAP_INAPPROPRIATE_AUTH. The code is also the result.
 */
int ldap_conn_bind(struct ldap_conn *, struct ldap_ask *, const char *name, const struct secret *,
    struct ldap_reply *);

struct ldap_find {
	const char *base;
	bool only_base; /* that entry itself, else all below it too */
	const char *filter;
	const char *attrs[2]; /* NULL: not wanted */
};
/* What was found. */
struct ldap_entry {
	size_t n;             /* 0, 1, or 2 for several; only a single one fills the rest */
	char dn[LDAP_DN_MAX]; /* never empty when n is 1 */
	struct buf values[2]; /* of attrs[0] and attrs[1], each with its NUL; none has one inside */
};
/* The code is also the result. The entry is emptied first. */
int ldap_conn_find(struct ldap_conn *, struct ldap_ask *, const struct ldap_find *,
    struct ldap_entry *, struct ldap_reply *);
void ldap_entry_clear(struct ldap_entry *);

/* For the owner of a connection: when it was last used, and as what. */
struct ldap_conn_mark {
	size_t server;
	int use;
	int64_t idle_ms;
	struct ldap_conn *next;
};
struct ldap_conn_mark *ldap_conn_mark(struct ldap_conn *);

/* Does nothing where nobody listens. */
void ldap_ask_say(struct ldap_ask *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Before any thread and any connection: libldap reads no files of settings. */
void ldap_conn_init(void);

#endif
