/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_MAIL_STATUS_H
#define SUBMITD_MAIL_STATUS_H

#include "base/buf.h"

#include <stdint.h>

/*
 * What a check says. What we could not find out is V_TEMP, never V_PERM: a status
 * that nobody filled is temporary (STYLE "the rule that loses no mail").
 */
enum verdict {
	V_TEMP = 0, /* not now, or not known */
	V_OK = 1,
	V_NEXT = 2, /* no opinion: ask the next */
	V_PERM = 3, /* an explicit no */
	V__MAX
};
const char *verdict_name(enum verdict); /* "temp", "ok", "next", "perm" */

/* Who said so. */
enum status_origin {
	ORIGIN_LOCAL = 0,  /* we did */
	ORIGIN_REMOTE = 1, /* the remote server's reply, in text as it came */
	ORIGIN__MAX
};

/*
 * The outcome for one recipient, message or command. It is filled where the fact
 * is known and carried unchanged to the reply, the log line, the retry decision
 * and the DSN. All strings are owned (free with status_clear); NULL is empty.
 */
struct status {
	enum verdict verdict;
	uint16_t code;                    /* SMTP reply code, 0 when there was no dialogue */
	uint8_t esc_class;                /* class of the enhanced code: 2, 4, 5; 0 = none given */
	uint16_t esc_subject, esc_detail; /* RFC 3463 */
	enum status_origin origin;
	char *text;      /* one line, no CR or LF, valid UTF-8 */
	char *remote;    /* host name of the MTA that said it */
	char *remote_ip; /* its address as text */
	char *diagnosis; /* our words for a person, or NULL */
};

/* Sets everything; esc is "5.7.1" or NULL. text is formatted. Clears what was there. */
void status_set(struct status *, enum verdict, unsigned code, const char *esc, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void status_clear(struct status *);
void status_copy(struct status *dst, const struct status *src);
/* "5.7.1", or a class-only default ("5.0.0") derived from the verdict when none was given. */
#define STATUS_ESC_TEXT 16
void status_esc(const struct status *, char out[STATUS_ESC_TEXT]);
int status_parse_esc(struct span, struct status *); /* "5.7.1" at the start; -1: none there */
void status_encode(struct buf *, const struct status *);
int status_decode(struct rd *,
    struct status *); /* -1: rubbish, *out untouched; else it replaces what was there */

#endif
