/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_MAIL_ENVELOPE_H
#define SUBMITD_MAIL_ENVELOPE_H

#include "base/enc.h"
#include "base/net.h"
#include "mail/addr.h"
#include "mail/status.h"

#include <stdint.h>

/* RFC 3461 NOTIFY as bits; 0 means the client did not say (failure and delay by default). */
#define NOTIFY_NEVER 1u
#define NOTIFY_SUCCESS 2u
#define NOTIFY_FAILURE 4u
#define NOTIFY_DELAY 8u

enum dsn_ret { RET_UNSET = 0, RET_FULL = 1, RET_HDRS = 2, RET__MAX };

/* Message flags. */
#define MSG_8BITMIME 1u /* BODY=8BITMIME was given, or the body has bytes >= 0x80 */
#define MSG_SMTPUTF8                                                                               \
	2u /* the client gave SMTPUTF8: next hops must have it when utf8 is really needed */
#define MSG_UTF8_NEEDED 4u /* an address or header field holds non-ASCII */
#define MSG_IS_DSN 8u      /* we made it */
#define MSG_AUTHENTICATED 16u
#define MSG_HEADER_ASCII 32u /* its header was looked at: no field holds non-ASCII */
#define MSG_RELAYED 64u      /* a recipient is external: the listener granted the way out */
#define MSG_RELAY_ANY 128u   /* … by relay_any_authenticated */

/* One recipient of a message. Owned strings. */
struct rcpt {
	struct addr addr;
	char *orcpt;     /* "rfc822;a@b" decoded type;address as given (still xtext), or NULL */
	unsigned notify; /* NOTIFY_* */
	char *transport; /* transport block that policy chose */
	char *dest;      /* destination key within it: lower-case ASCII domain for lookup-mx, "" for
	                    static */
	/* below: of one recipient waiting in the queue */
	uint64_t id;        /* row of the recipient, unique */
	uint32_t attempts;  /* tries made */
	struct status last; /* last status */
};

/*
 * A message without its body: what MAIL, RCPT and the session gave. One allocation
 * owner: message_free() frees all of it.
 */
struct message {
	struct uuid mid;
	int64_t received_ms; /* wall clock */
	uint64_t sid;
	struct addr sender; /* null for <> */
	unsigned flags;     /* MSG_* */
	enum dsn_ret ret;
	char *envid;   /* xtext as given, or NULL */
	uint64_t size; /* body bytes as spooled, with our header fields */
	/* who and how */
	char *login;     /* name as given to AUTH, or NULL */
	char *principal; /* canonical address, or NULL */
	char *ou;        /* principal's OU, or NULL */
	char *backend;
	char *mech;
	char *listener;
	struct net_addr client;
	char *helo;
	char *tls_version, *tls_cipher;
	/* from the header, for people */
	char *header_from, *subject, *message_id;
	struct buf facts; /* versioned record of the decision (policy/facts.h) */
	struct rcpt *rcpts;
	size_t n_rcpts, cap_rcpts;
};

struct message *message_new(void);
void message_free(struct message *); /* NULL is fine */
/* Appends an empty recipient; the pointer is valid until the next call. */
struct rcpt *message_add_rcpt(struct message *);
void rcpt_clear(struct rcpt *);

/* Versioned record of everything above (without id, attempts, last). */
void message_encode(struct buf *, const struct message *);
/* NULL on a short, unknown or oversized record. */
struct message *message_decode(struct span);
#define MESSAGE_MAX_RCPTS 50000u

/* Parts of such records, for job.c: -1 (and r->bad) on rubbish. A text replaces *out; empty gives
 * NULL. */
int message_rd_text(struct rd *, char **out);
int message_rd_uuid(struct rd *, struct uuid *out);

#endif
