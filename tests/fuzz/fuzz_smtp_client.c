/* SPDX-License-Identifier: ISC */
/*
 * Replies of a next hop. The first octet chooses TLS mode and message; the rest is shown to the
 * client in two pieces. Whatever comes: recipients are decided or open, a lost session is
 * temporary.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "mail/smtp_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct message *
make_message(uint8_t choice)
{
	struct message *m = message_new();

	(void)addr_parse(span_of("s@a.example"), 0, &m->sender);
	for (unsigned i = 0; i < 3; i++)
		(void)addr_parse(span_of("r@b.example"), 0, &message_add_rcpt(m)->addr);
	m->size = 1000;
	m->flags = (choice & 4) ? MSG_8BITMIME : 0;
	return m;
}

/* Answers as a mechanism would, with octets that must not show up as lines. */
static void
auth(struct smtp_client *c, bool begin, uint8_t choice, struct buf *out)
{
	static const char octets[] = "a\r\nQUIT\r\n\0b";
	struct span s = {octets, (choice & 32) ? sizeof(octets) - 1 : 0};
	struct buf challenge = BUF_INIT;
	size_t start = buf_len(out);

	if (begin)
		(void)smtp_client_auth(c, "PLAIN", (choice & 64) ? &s : NULL, out);
	else if (smtp_client_challenge(c, &challenge) == -1)
		smtp_client_answer(c, NULL, out);
	else
		smtp_client_answer(c, &s, out);
	/* one line, whatever it says */
	for (size_t i = start; i + 2 < buf_len(out); i++)
		if (buf_data(out)[i] == '\r' || buf_data(out)[i] == '\n')
			abort();
	buf_clear(&challenge);
}

static void
run(const uint8_t *p, size_t n, uint8_t choice)
{
	struct smtp_client_options opt = {"us", "mx", "192.0.2.1", choice % 4};
	struct message *m = make_message(choice);
	struct smtp_client_rcpt r[3] = {0};
	struct smtp_client c;
	struct buf out = BUF_INIT;
	size_t at = 0, end = n / 2, used;

	for (size_t i = 0; i < 3; i++)
		r[i].rcpt = &m->rcpts[i];
	smtp_client_init(&c, &opt);
	if (opt.tls == SMTP_CLIENT_TLS_IMPLICIT) {
		smtp_client_tls_up(&c, &out);
		if (buf_len(&out) > 0) /* the server speaks first */
			abort();
	}
	for (unsigned turns = 0; turns < 10000; turns++) {
		switch (smtp_client_feed(&c, p + at, end - at, &used, &out)) {
		case SMTP_CLIENT_MORE:
			at += used;
			if (end == n)
				goto over;
			end = n;
			continue;
		case SMTP_CLIENT_START_TLS:
			smtp_client_tls_up(&c, &out);
			break;
		case SMTP_CLIENT_SEND:
			if (choice & 8)
				smtp_client_sent(&c);
			break;
		case SMTP_CLIENT_CHALLENGE:
			auth(&c, false, choice, &out);
			break;
		case SMTP_CLIENT_READY:
			if (choice & 128) {
				auth(&c, true, choice, &out);
				break;
			}
			/* FALLTHROUGH */
		case SMTP_CLIENT_AUTHED:
		case SMTP_CLIENT_NOT_AUTHED:
		case SMTP_CLIENT_DONE:
			if (c.state == SMTP_CLIENT_IDLE)
				(void)smtp_client_begin(&c, m, (choice & 16) != 0, r, 3, &out);
			break;
		case SMTP_CLIENT_FAILED:
			goto over;
		}
		at += used;
	}
over:
	if (c.state != SMTP_CLIENT_OVER)
		(void)smtp_client_lost(&c, "4.4.2", "lost");
	if (c.failure.verdict != V_TEMP || smtp_client_in_transaction(&c))
		abort();
	for (size_t i = 0; i < 3; i++) {
		if (r[i].state != SMTP_RCPT_DONE && r[i].state != SMTP_RCPT_OPEN)
			abort();
		status_clear(&r[i].status);
	}
	smtp_client_clear(&c);
	message_free(m);
	buf_clear(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n > 0 && n < 100000)
		run(p + 1, n - 1, p[0]);
	return 0;
}
