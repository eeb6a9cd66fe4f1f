/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_HTTP_CLIENT_H
#define SUBMITD_HTTP_CLIENT_H

#include "authbackends/authbackend.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define HTTP_BODY_MAX (64u << 10)
#define HTTP_HEAD_MAX (64u << 10)

/*
 * Asks one HTTP server, from many workers at once. Connections are kept: as many as
 * there were questions at the same time. Certificates are verified always, redirects
 * never followed, no proxy is used.
 */
struct http_client;

/*
 * Reads the authorities, still with the supervisor's rights: ca_file, or the system's where it
 * is NULL. https: the URL is one; else nothing is read. NULL with a text in err.
 */
struct http_client *http_client_new(const char *ca_file, bool https, char *err, size_t errsize);
void http_client_free(struct http_client *); /* no question is under way; NULL is fine */

struct http_request {
	const char *url;
	bool post;
	struct span body;            /* post */
	const char *content_type;    /* post */
	bool json;                   /* asks for a JSON answer */
	const char *user, *password; /* Basic; NULL: none. user holds no colon */
	int64_t deadline_ms;         /* clock of auth_clock_ms() */
	/* what auth-test shows in place of url: without credentials */
	struct span shown_url;
};
struct http_answer {
	long status;                 /* 0: there is no answer */
	struct buf body;             /* whole; at most HTTP_BODY_MAX */
	char error[AUTH_REASON_MAX]; /* status 0: why */
	bool operator_must_act;      /* status 0: waiting will not help: a wrong certificate */
};

/*
 * Blocks until the answer is whole or the deadline has passed. *a is empty before; the caller
 * calls http_answer_clear(). Traces into c and fills c->tls_peer.
 */
void http_client_ask(
    struct http_client *, const struct http_request *, struct http_answer *a, struct auth_check *c);
void http_answer_clear(struct http_answer *);

#endif
