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
/* The words behind AUTH. */
void smtp_client_auth_offer(struct smtp_client *, struct span words);

/* Replies to AUTH and to what follows it. */
enum smtp_client_event smtp_client_on_challenge(struct smtp_client *, struct buf *out);
enum smtp_client_event smtp_client_on_auth(struct smtp_client *, struct buf *out);

/* The reply just read as a status; a class that does not fit its place is temporary. */
void smtp_client_reply_status(const struct smtp_client *, struct status *);
/* The session is over: by the reply just read, by what we found, or because nobody asked. */
enum smtp_client_event smtp_client_over_reply(struct smtp_client *);
enum smtp_client_event smtp_client_over_local(
    struct smtp_client *, const char *esc, const char *text);
enum smtp_client_event smtp_client_unasked(struct smtp_client *, struct buf *out);

#endif
