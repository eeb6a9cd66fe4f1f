/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_MAIL_HEADER_H
#define SUBMITD_MAIL_HEADER_H

#include "base/enc.h"
#include "base/net.h"
#include "mail/addr.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The header block of a message: CRLF lines up to, not with, the empty line.
 * Pure; nothing here decodes MIME bodies.
 */
#define HEADER_MAX_FROM 16
struct header_info {
	bool has_date, has_message_id, has_from, has_sender, has_bcc, has_to;
	unsigned received;  /* count of Received fields */
	bool has_8bit;      /* any byte >= 0x80 */
	bool malformed;     /* a line that is no field and no continuation, before the empty line */
	size_t valid_bytes; /* where a malformed line begins: everything behind it is body (RFC
	                       5322 3.5, as MUAs do) */
	struct addr from[HEADER_MAX_FROM]; /* every address of From and Sender fields; domain is ""
	                                      where it lacks */
	unsigned n_from;
	bool from_unparsable; /* some From or Sender could not be read, has no address, or there are
	                         more than HEADER_MAX_FROM */
	struct span from_text, subject,
	    message_id; /* raw unfolded-by-nobody values in the block, first field of the name */
};
void header_scan(struct span block, struct header_info *);

/* The unfolded, RFC 2047-decoded value as UTF-8, at most max bytes, control bytes replaced: for
 * logs and lists. */
void header_decode_text(struct span raw, size_t max, struct buf *out);
/* First field of that name (case-insensitive); empty span with p NULL when there is none. */
struct span header_find(struct span block, const char *name);

/*
 * RFC 6409 fix-ups while copying the block to out: its first valid_bytes only. Where that is not
 * all of it, the caller writes the empty line and then the rest of the block as the beginning of
 * the body.
 */
struct header_fix {
	bool add_date, add_message_id, drop_bcc; /* add_ only where missing */
	int64_t now_ms;
	const char *hostname; /* right side of the Message-ID */
	const struct uuid *mid;
	const char *qualify_domain; /* completes unqualified addresses in From, Sender, Reply-To,
	                               To, Cc; NULL: leave */
};
void header_copy_fixed(
    struct buf *out, struct span block, const struct header_info *, const struct header_fix *);

/* RFC 5322 date-time with the local zone offset. */
#define HEADER_DATE_TEXT 40
void header_format_date(int64_t now_ms, char out[HEADER_DATE_TEXT]);

/* Our trace field, folded (RFC 5321, 4.4). */
struct header_received {
	const char *helo;
	const struct net_addr *client; /* NULL: hidden */
	const char *hostname;
	bool esmtp, tls, auth, utf8;          /* with ESMTPSA and so on (RFC 3848, 6531) */
	const char *tls_version, *tls_cipher; /* as comment; NULL: none */
	const struct uuid *mid;
	const char *rcpt; /* for <a@b>: only with a single recipient, else NULL */
	int64_t now_ms;
};
void header_add_received(struct buf *out, const struct header_received *);

#endif
