/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_MAIL_SMTP_CLIENT_H
#define SUBMITD_MAIL_SMTP_CLIENT_H

#include "base/buf.h"
#include "mail/envelope.h"
#include "mail/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The client side of SMTP as a state machine without I/O: reply bytes in, command
 * bytes and events out. One session: greeting, EHLO or HELO, STARTTLS, EHLO again,
 * then any number of transactions.
 *
 *	smtp_client_init(&c, &options);
 *	loop: ev = smtp_client_feed(&c, bytes, n, &used, &out); write out; act on ev;
 *
 * A reply is at most SMTP_CLIENT_LINES lines of SMTP_CLIENT_LINE_MAX octets.
 */
#define SMTP_CLIENT_LINE_MAX 4096u
#define SMTP_CLIENT_LINES 200u
#define SMTP_CLIENT_TEXT 512u  /* octets of a reply's text that are kept */
#define SMTP_CLIENT_RCPTS 100u /* recipients in one transaction (RFC 5321, 4.5.3.1.8) */

/* What the server offers. */
#define SMTP_CAP_PIPELINING 1u
#define SMTP_CAP_8BITMIME 2u
#define SMTP_CAP_SMTPUTF8 4u
#define SMTP_CAP_DSN 8u
#define SMTP_CAP_SIZE 16u
#define SMTP_CAP_STARTTLS 32u
#define SMTP_CAP_ESMTP 64u /* EHLO was understood */

/* Mechanisms for AUTH that we know, of `mechs`; the strongest has the highest bit. */
#define SMTP_MECH_LOGIN 1u
#define SMTP_MECH_PLAIN 2u
#define SMTP_MECH_CRAM_MD5 4u
#define SMTP_MECH_SCRAM_SHA_256 8u

enum smtp_client_state {
	SMTP_CLIENT_GREETING = 0, /* waits for 220 */
	SMTP_CLIENT_EHLO = 1,
	SMTP_CLIENT_HELO = 2,
	SMTP_CLIENT_STARTTLS = 3,
	SMTP_CLIENT_TLS = 4,  /* the caller makes the handshake */
	SMTP_CLIENT_IDLE = 5, /* a transaction may begin */
	SMTP_CLIENT_RSET = 6,
	SMTP_CLIENT_MAIL = 7,
	SMTP_CLIENT_RCPT = 8,
	SMTP_CLIENT_DATA = 9,
	SMTP_CLIENT_BODY = 10,     /* the caller writes the message */
	SMTP_CLIENT_FINAL = 11,    /* waits for the reply to the end of data */
	SMTP_CLIENT_LONE_DOT = 12, /* the same for an empty message nobody gets */
	SMTP_CLIENT_OVER = 13,
	SMTP_CLIENT_AUTH = 14, /* AUTH, or an answer to a challenge, was sent */
	SMTP_CLIENT__MAX
};

enum smtp_client_event {
	SMTP_CLIENT_MORE = 0,      /* nothing yet: write out, wait for input */
	SMTP_CLIENT_START_TLS = 1, /* begin the handshake, then smtp_client_tls_up() */
	SMTP_CLIENT_READY = 2,     /* the session stands: smtp_client_begin() */
	SMTP_CLIENT_SEND = 3,      /* 354: write the message and its end, then smtp_client_sent() */
	SMTP_CLIENT_DONE = 4,      /* the transaction is over; look at state for the session */
	SMTP_CLIENT_FAILED = 5,    /* the session is over outside a transaction; see failure */
	SMTP_CLIENT_CHALLENGE = 6, /* 334: smtp_client_challenge(), then smtp_client_answer() */
	SMTP_CLIENT_AUTHED = 7,    /* 235; whether the mechanism agrees is the caller's to ask */
	SMTP_CLIENT_NOT_AUTHED = 8, /* AUTH was refused, as failure says; the session goes on */
};

/* One recipient of a job and how far it got. */
enum smtp_client_rcpt_state {
	SMTP_RCPT_OPEN = 0,     /* not decided: may go into a (further) transaction */
	SMTP_RCPT_SENT = 1,     /* in the present transaction */
	SMTP_RCPT_ACCEPTED = 2, /* RCPT got 2xx in the present transaction */
	SMTP_RCPT_DONE = 3,     /* status is the outcome */
};
struct smtp_client_rcpt {
	const struct rcpt *rcpt; /* borrowed */
	struct status status;    /* owned by the caller */
	enum smtp_client_rcpt_state state;
};

enum smtp_client_tls {
	SMTP_CLIENT_TLS_NONE = 0,
	SMTP_CLIENT_TLS_MAY = 1,
	SMTP_CLIENT_TLS_MUST = 2,
	SMTP_CLIENT_TLS_IMPLICIT = 3, /* RFC 8314: begins in state TLS, with the handshake */
};
struct smtp_client_options {
	const char *helo;   /* our name; borrowed */
	const char *remote; /* name and address of the server, for statuses; borrowed */
	const char *remote_ip;
	enum smtp_client_tls tls;
};

struct smtp_client {
	struct smtp_client_options opt;
	enum smtp_client_state state;
	bool tls_on;
	unsigned caps;               /* SMTP_CAP_* of the last EHLO */
	unsigned mechs;              /* SMTP_MECH_* of the last EHLO */
	uint64_t size_max;           /* 0: none given */
	unsigned rcpt_max, mail_max; /* RFC 9422; 0: none given */
	unsigned transactions;       /* begun in this session */
	struct status failure;       /* why the session is over, AUTH was refused, or a recipient
	                                stayed open; always temporary */
	/* the transaction */
	const struct message *msg;
	struct smtp_client_rcpt *rcpts;
	size_t n_rcpts, n_sent, n_accepted, at; /* at: the recipient whose reply is awaited */
	bool pipelined, need_rset, mail_refused, dsn, replied;
	/* the reply being read */
	unsigned code, lines, replies; /* replies: whole ones so far */
	bool esc_seen;
	size_t text_len;
	char text[SMTP_CLIENT_TEXT];
};

void smtp_client_init(struct smtp_client *, const struct smtp_client_options *);
void smtp_client_clear(struct smtp_client *);

/*
 * Takes whole lines only and gives the octets taken; the rest is to be shown again
 * with more behind it. Returns at the first event: call again while octets are left.
 */
enum smtp_client_event smtp_client_feed(
    struct smtp_client *, const uint8_t *, size_t n, size_t *used, struct buf *out);

/* The handshake is done: EHLO again, or the greeting is awaited. */
void smtp_client_tls_up(struct smtp_client *, struct buf *out);

/*
 * AUTH (RFC 4954), in state IDLE before any transaction. initial is the mechanism's first
 * response or NULL. false: it was too long for the line (RFC 4954, 4) and is the answer to the
 * first challenge, which must be empty. out holds secrets: wipe it.
 */
bool smtp_client_auth(
    struct smtp_client *, const char *mech, const struct span *initial, struct buf *out);
/* After CHALLENGE: appends its octets. -1: it is no base64, or longer than 381 octets. */
int smtp_client_challenge(const struct smtp_client *, struct buf *octets);
/* Answers it; NULL gives up ("*"), which the server must answer with 501. */
void smtp_client_answer(struct smtp_client *, const struct span *response, struct buf *out);
/* "PLAIN" and so on, of exactly one bit. */
const char *smtp_client_mech_name(unsigned mech);

/*
 * Begins a transaction for the open ones of rcpts (at most the limit of the server),
 * in state IDLE. has_8bit: the message really holds octets >= 0x80.
 * MORE: commands are in out. DONE: nothing was sent, all are decided because the server
 * lacks what the message needs (RFC 6152, 6531, 1870). msg and rcpts stay until DONE.
 */
enum smtp_client_event smtp_client_begin(struct smtp_client *, const struct message *msg,
    bool has_8bit, struct smtp_client_rcpt *rcpts, size_t n, struct buf *out);
/* The message and its final dot are written. */
void smtp_client_sent(struct smtp_client *);
/*
 * The connection is gone, timed out, or was given up: code 0 with esc and text. Accepted
 * recipients of a finished message become temporary, others stay open with `failure` set.
 * DONE within a transaction, else FAILED.
 */
enum smtp_client_event smtp_client_lost(struct smtp_client *, const char *esc, const char *text);
void smtp_client_quit(struct smtp_client *, struct buf *out);

/* Makes what stayed open temporary, as the failure says. */
void smtp_client_settle(struct smtp_client_rcpt *, size_t n, const struct status *failure);
bool smtp_client_in_transaction(const struct smtp_client *);
const char *smtp_client_state_name(enum smtp_client_state);

#endif
