/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_HTTP_TRACE_H
#define SUBMITD_HTTP_TRACE_H

#include "authbackends/authbackend.h"
#include "authbackends/http_client.h"

#include <openssl/ssl.h>

/* What `submitctl auth-test` is told of one question and its answer. */
struct http_facts {
	char peer[200]; /* TLS version and the subject of the server's certificate, or "" */
	int64_t ms;
	bool kept; /* over a connection that was there already */
};

/* "TLSv1.3 CN=login.example.com" */
void http_trace_peer(const SSL *, char *out, size_t size);
void http_trace_answer(struct auth_check *, const struct http_request *, const struct http_answer *,
    const struct http_facts *);
/*
 * Appends at most HTTP_SHOWN_MAX octets of what a server said, printable, with "***" where the
 * password stands, plain or in one of the forms in which it may have been sent.
 */
#define HTTP_SHOWN_MAX 200u
void http_trace_shown(struct buf *out, struct span said, const struct auth_check *);

#endif
