/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_MAIL_DSN_REPORT_H
#define SUBMITD_MAIL_DSN_REPORT_H

#include "mail/envelope.h"

enum dsn_action {
	DSN_FAILED = 0,
	DSN_DELAYED = 1,
	DSN_DELIVERED = 2,
	DSN_RELAYED = 3, /* the next hop does not do DSN (RFC 3461, 5.2.2) */
	DSN_EXPANDED = 4,
};

struct dsn_rcpt {
	const struct rcpt *rcpt;
	enum dsn_action action;
	const struct status *status;
	uint64_t qid;
	int64_t last_attempt_ms;
	int64_t will_retry_until_ms; /* delayed only; 0 unknown */
};

struct dsn_options {
	const char *hostname;   /* Reporting-MTA */
	const char *postmaster; /* From: of the report */
	struct uuid mid;        /* of the report itself */
	int64_t now_ms;
	/* the original's header block (CRLF lines, without the empty line), or all of it for
	 * RET=FULL */
	struct span original;
	bool original_full;
	bool original_has_8bit;
};

/*
 * Builds a whole report message (RFC 3464, RFC 6533 in its UTF-8 form where an address needs it)
 * with CRLF line ends, header included, for the recipients given (at least one). Pure. The envelope
 * sender of a report is <>. *needs_utf8 tells whether it must go by SMTPUTF8.
 */
void dsn_report_build(struct buf *out, const struct message *original, const struct dsn_rcpt *,
    size_t n, const struct dsn_options *, bool *needs_utf8);

#endif
