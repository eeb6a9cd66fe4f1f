/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_MAIL_SMTP_PARAMS_H
#define SUBMITD_MAIL_SMTP_PARAMS_H

#include "mail/envelope.h"

/*
 * ESMTP parameters of MAIL and RCPT: " KEY=value KEY ..." after the path.
 * Pure. Unknown keywords, doubles, bad values: an error with reply code and text.
 */
struct smtp_params_error {
	unsigned code;   /* 501, 504, 555 */
	const char *esc; /* "5.5.4" */
	char text[160];
};
struct smtp_mail_params {
	bool has_size;
	uint64_t size;
	bool body_8bit,
	    body_binary; /* BODY=8BITMIME; BINARYMIME is refused with 555 unless allowed */
	bool smtputf8;
	enum dsn_ret ret;
	char envid[101];      /* xtext as given; empty when none */
	char auth[ADDR_TEXT]; /* AUTH= decoded (RFC 4954, 5), "" none, "<>" */
};
struct smtp_rcpt_params {
	unsigned notify; /* NOTIFY_* */
	char orcpt[501]; /* "rfc822;..." as given, xtext; empty when none */
};
/* 0, or -1 with err filled. */
int smtp_params_mail(struct span, struct smtp_mail_params *, struct smtp_params_error *err);
int smtp_params_rcpt(struct span, struct smtp_rcpt_params *, struct smtp_params_error *err);

/* RFC 3461, 4 xtext; RFC 6533 utf-8-addr-xtext and -unitext pass as they are. -1: not xtext. */
int xtext_decode(struct span, struct buf *out);
void xtext_encode(struct span, struct buf *out);
/*
 * "type;address as given" in clear: "rfc822;a+b@example.com", for utf-8 (RFC 6533, 3) with real
 * characters for \x{...}. Appends; -1 with out as before: no valid ORCPT.
 */
int orcpt_decode(struct span, struct buf *out);

#endif
