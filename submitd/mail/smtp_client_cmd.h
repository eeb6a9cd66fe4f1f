/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_MAIL_SMTP_CLIENT_CMD_H
#define SUBMITD_MAIL_SMTP_CLIENT_CMD_H

#include "mail/smtp_client.h"

/* Inner parts of the SMTP client: the lines it writes and the offers it reads. */
void smtp_client_cmd_hello(const struct smtp_client *, const char *verb, struct buf *out);
void smtp_client_cmd_mail(const struct smtp_client *, struct buf *out);
void smtp_client_cmd_rcpt(
    const struct smtp_client *, const struct smtp_client_rcpt *, struct buf *out);
/* One line of the reply to EHLO, without its code. */
void smtp_client_cmd_offer(struct smtp_client *, struct span line);

#endif
