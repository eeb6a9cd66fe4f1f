/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_MAIL_DSN_TEXT_H
#define SUBMITD_MAIL_DSN_TEXT_H

#include "mail/dsn_report.h"

/*
 * The part of a report that people read: what happened to which recipient, what was
 * tried, what the other server said, what to do. UTF-8, CRLF lines of about 72 columns.
 */
void dsn_text_build(struct buf *out, const struct message *original, const struct dsn_rcpt *,
    size_t n, const struct dsn_options *);

/* "550 5.1.1 text" as the server said it, or only our text; empty when there is none. */
void dsn_text_said(struct buf *out, const struct status *);

#endif
