/* SPDX-License-Identifier: ISC */
/*
 * AUTH in the SMTP client (RFC 4954): which mechanisms EHLO offers, the command, challenges and
 * answers as base64. Pure, part of smtp_client; what the octets mean is the caller's business.
 * Nothing that is sent comes from outside but as base64, so nothing can become a command.
 */
#include "base/enc.h"
#include "base/list.h"
#include "base/str.h"
#include "mail/smtp_client_cmd.h"

#include <string.h>

#define COMMAND_MAX 512u /* octets of a command line with its CRLF (RFC 5321, 4.5.3.1.4) */

static const struct {
	const char *name;
	unsigned mech;
} mechs[] = {
    {"LOGIN", SMTP_MECH_LOGIN},
    {"PLAIN", SMTP_MECH_PLAIN},
    {"CRAM-MD5", SMTP_MECH_CRAM_MD5},
    {"SCRAM-SHA-256", SMTP_MECH_SCRAM_SHA_256},
};

const char *
smtp_client_mech_name(unsigned mech)
{
	for (size_t i = 0; i < ARRAY_LEN(mechs); i++)
		if (mechs[i].mech == mech)
			return mechs[i].name;
	return "";
}

void
smtp_client_auth_offer(struct smtp_client *c, struct span words)
{
	while (words.p != NULL) {
		struct span word = span_trim(span_cut(&words, ' '));

		for (size_t i = 0; i < ARRAY_LEN(mechs); i++)
			if (span_eq_nocase(word, mechs[i].name))
				c->mechs |= mechs[i].mech;
	}
}

bool
smtp_client_auth(
    struct smtp_client *c, const char *mech, const struct span *initial, struct buf *out)
{
	size_t start = buf_len(out), length = strlen("AUTH  \r\n") + strlen(mech);

	c->state = SMTP_CLIENT_AUTH;
	buf_add_str(out, "AUTH ");
	buf_add_str(out, mech);
	if (initial == NULL) {
		buf_add_str(out, "\r\n");
		return true;
	}
	/* encoded only where it fits: a long one would leave copies of itself in the buffer */
	if (length + (initial->n + 2) / 3 * 4 > COMMAND_MAX) {
		buf_add_str(out, "\r\n");
		return false;
	}
	(void)buf_reserve(out, COMMAND_MAX - (buf_len(out) - start));
	buf_add_byte(out, ' ');
	if (initial->n == 0)
		buf_add_byte(out, '=');
	base64_encode(out, initial->p, initial->n);
	buf_add_str(out, "\r\n");
	return true;
}

void
smtp_client_answer(struct smtp_client *c, const struct span *response, struct buf *out)
{
	c->state = SMTP_CLIENT_AUTH;
	if (response == NULL) {
		buf_add_str(out, "*\r\n");
		return;
	}
	(void)buf_reserve(out, (response->n + 2) / 3 * 4 + 2);
	base64_encode(out, response->p, response->n);
	buf_add_str(out, "\r\n");
}

int
smtp_client_challenge(const struct smtp_client *c, struct buf *octets)
{
	if (c->text_len >= sizeof(c->text))
		return -1; /* perhaps cut */
	return base64_decode(octets, (struct span){c->text, c->text_len});
}

enum smtp_client_event
smtp_client_on_challenge(struct smtp_client *c, struct buf *out)
{
	if (c->code != 334)
		return smtp_client_unasked(c, out);
	return SMTP_CLIENT_CHALLENGE;
}

enum smtp_client_event
smtp_client_on_auth(struct smtp_client *c, struct buf *out)
{
	unsigned class = c->code / 100;

	if (c->code != 235 && class != 4 && class != 5)
		return smtp_client_unasked(c, out);
	c->state = SMTP_CLIENT_IDLE;
	if (c->code == 235)
		return SMTP_CLIENT_AUTHED;
	smtp_client_reply_status(c, &c->failure);
	c->failure.verdict = V_TEMP;
	return SMTP_CLIENT_NOT_AUTHED;
}
