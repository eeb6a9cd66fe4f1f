/* SPDX-License-Identifier: ISC */
/*
 * AUTH of the SMTP client (S16, RFC 4954): which mechanisms are believed and when, and the bounds
 * of responses and challenges. The dialogues stand in test_smtp_client.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/str.h"
#include "mail/smtp_client.h"

static void
start(struct smtp_client *c)
{
	struct smtp_client_options opt = {"us.example", "mx.example", "192.0.2.7", 0};

	smtp_client_init(c, &opt);
}

/* All of it, and gives the last event. */
static enum smtp_client_event
say(struct smtp_client *c, const char *text, struct buf *out)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t n = strlen(text), used;
	enum smtp_client_event ev = SMTP_CLIENT_MORE;

	buf_reset(out);
	while (n > 0) {
		ev = smtp_client_feed(c, p, n, &used, out);
		assert_true(used > 0);
		p += used;
		n -= used;
	}
	return ev;
}

static void
test_offers(void **state)
{
	static const struct {
		const char *ehlo;
		unsigned mechs;
	} offers[] = {
	    {"250 AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256", 15},
	    {"250 auth scram-sha-256 ntlm", SMTP_MECH_SCRAM_SHA_256},
	    {"250 AUTH=LOGIN PLAIN", SMTP_MECH_LOGIN | SMTP_MECH_PLAIN},
	    {"250 AUTH", 0},
	    {"250 AUTH  PLAIN ", SMTP_MECH_PLAIN},
	    {"250 AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-1 PLAINER XPLAIN", 0},
	    {"250 AUTHPLAIN", 0},
	    {"250 XAUTH PLAIN", 0},
	    {"250-AUTH PLAIN\r\n250 AUTH LOGIN", SMTP_MECH_LOGIN | SMTP_MECH_PLAIN},
	};
	struct buf out = BUF_INIT;
	struct smtp_client c;
	char line[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(offers); i++) {
		start(&c);
		say(&c, "220 x\r\n", &out);
		str_printf(line, sizeof(line), "250-mx\r\n%s\r\n", offers[i].ehlo);
		assert_int_equal(say(&c, line, &out), SMTP_CLIENT_READY);
		assert_int_equal(c.mechs, offers[i].mechs);
		smtp_client_tls_up(&c, &out); /* what was said in clear is forgotten */
		assert_int_equal(c.mechs, 0);
		smtp_client_clear(&c);
	}
	buf_clear(&out);
}

static void
test_bounds(void **state)
{
	struct buf out = BUF_INIT, octets = BUF_INIT;
	char line[600], text[400];
	struct smtp_client c;

	(void)state;
	start(&c);
	say(&c, "220 x\r\n", &out);
	assert_int_equal(say(&c, "250 x\r\n", &out), SMTP_CLIENT_READY);
	memset(text, 'a', sizeof(text));
	for (size_t n = 370; n < sizeof(text); n++) {
		struct span initial = {text, n};
		bool sent = smtp_client_auth(&c, "PLAIN", &initial, &out);

		assert_true(buf_len(&out) <= 512);
		assert_int_equal(sent, 13 + (n + 2) / 3 * 4 <= 512);
		buf_reset(&out);
	}
	/* 384 octets of a challenge are 512 of base64, which may be the start of more */
	memset(line, 'A', sizeof(line));
	memcpy(line, "334 ", 4);
	memcpy(line + 4 + 512, "\r\n", 3);
	assert_int_equal(say(&c, line, &out), SMTP_CLIENT_CHALLENGE);
	assert_int_equal(smtp_client_challenge(&c, &octets), -1);
	memcpy(line + 4 + 508, "\r\n", 3);
	assert_int_equal(say(&c, line, &out), SMTP_CLIENT_CHALLENGE);
	assert_int_equal(smtp_client_challenge(&c, &octets), 0);
	assert_int_equal(buf_len(&octets), 381);
	smtp_client_clear(&c);
	buf_clear(&octets);
	buf_clear(&out);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_offers),
	    cmocka_unit_test(test_bounds),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("smtp_client_auth", tests, NULL, NULL);
}
