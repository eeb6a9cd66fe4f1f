/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_POLICY_FACTS_H
#define SUBMITD_POLICY_FACTS_H

#include "base/buf.h"
#include "base/net.h"
#include "mail/addr.h"

#include <stdbool.h>
#include <stdint.h>

enum policy_stage {
	AT_CONNECT = 0,
	AT_EHLO = 1,
	AT_AUTH = 2, /* before any backend is asked: login is the name as given */
	AT_MAIL = 3,
	AT_RCPT = 4,
	AT_DATA = 5, /* end of data: header_from is known */
	AT__MAX
};

/*
 * All that a decision may depend on, besides the configuration. Texts are borrowed
 * and may be NULL for "not known (yet)".
 */
#define FACTS_VERSION 2
#define FACTS_MAX_HEADER_ADDRS 16
struct facts {
	enum policy_stage stage;
	int64_t now_ms; /* wall clock */
	const char *listener;
	struct net_addr client;
	const char *helo;
	bool tls;
	const char *tls_version, *tls_cipher;
	const char *login; /* as given to AUTH */
	bool authenticated;
	const char *principal; /* canonical address; may lack a domain where none is known */
	const char *principal_ou;
	const char *backend, *mech;
	struct span own; /* further addresses of the principal, each with a NUL; n 0: none */
	bool have_sender;
	struct addr sender;
	bool have_rcpt;
	struct addr rcpt;
	uint32_t n_rcpts; /* accepted so far, the current one not counted */
	uint64_t size;    /* declared, or real at AT_DATA; 0 unknown */
	bool have_header_from;
	struct addr header_from[FACTS_MAX_HEADER_ADDRS]; /* every From and Sender address */
	uint32_t n_header_from;
};

/* The compact, versioned record: log line, explain and replay read it. */
void facts_encode(struct buf *, const struct facts *);
/* Texts point into the given bytes' copy in *hold, which the caller clears. -1: unknown version or
 * rubbish. */
int facts_decode(struct span, struct facts *, struct buf *hold);

#endif
