/* SPDX-License-Identifier: ISC */
/*
 * SMTP sessions up to RCPT on the fake front: states, EHLO, STARTTLS, AUTH, MAIL and
 * RCPT, bad input, limits, an auth role that goes away (P1-P8, S1, S2, S11, S32, S36, S49).
 */
#include "tests/unit/smtp_test.h"

static void
test_basics(void **state)
{
	static const struct dialog d[] = {
	    {"P1 greeting", "submission", "", "220 mail.example.com ESMTP", false},
	    {"EHLO first", "mx", "MAIL FROM:<a@b.c>\r\n", "220 \n503 5.5.1 Send EHLO first", false},
	    {"EHLO needs a name", "mx", "EHLO\r\nEHLO  \r\nEHLO a b\r\nHELO x\r\n",
		"220 \n501 5.5.4\n501 5.5.4\n501 5.5.4\n250 mail", false},
	    {"empty HELO tolerated", "old", "HELO\r\n", "220 \n250 ", false},
	    {"unknown", "mx", "FOO\r\nEHLO x\r\nXCLIENTS\r\n", "220 \n500 5.5.2\n250 \n500 5.5.2",
		false},
	    {"small ones", "mx", "NOOP\r\nnoop x\r\nVRFY a\r\nEXPN b\r\nHELP\r\nRSET\r\nQUIT\r\n",
		"220 \n250 2.0.0\n250 2.0.0\n252 2.5.0\n502 5.5.1\n214 2.0.0\n250 2.0.0\n221 2.0.0",
		true},
	    {"arguments", "mx", "RSET x\r\nQUIT now\r\nVRFY\r\n",
		"220 \n501 5.5.4\n501 5.5.4\n501 5.5.4", false},
	    {"P6 bare LF in a command", "mx", "EHLO x\nEHLO x\r\n",
		"220 \n500 5.5.2 A line must\n250 ", false},
	    {"P6 tolerated bare LF", "old", "EHLO x\n", "220 \n250 ", false},
	    {"bare CR", "mx", "EHLO x\ry\r\n", "220 \n500 5.5.2 A command may", false},
	    {"P7 max_errors", "mx", "a\r\na\r\na\r\na\r\na\r\nNOOP\r\n",
		"220 \n500 \n500 \n500 \n500 \n500 \n421 4.7.0", true},
	    {"HTTP", "mx", "GET / HTTP/1.0\r\nEHLO x\r\n", "220 \n421 4.7.0", true},
	    {"TLS hello in clear", "submission", "\x16\x03\x01\x02", "220 \n421 4.7.0", true},
	    {"P8 XCLIENT", "mx",
		"EHLO x\r\nXCLIENT ADDR=198.51.100.1 PORT=99 NAME=[UNAVAILABLE]\r\nNOOP\r\n",
		"220 \n250 \n220 mail\n250 ", false},
	    {"P8 XCLIENT where it is not listed", "submission",
		"EHLO x\r\nXCLIENT ADDR=1.2.3.4\r\n", "220 \n250 \n500 5.5.2", false},
	    {"P8 XCLIENT rubbish", "mx", "XCLIENT ADDR=1.2.3\r\nXCLIENT LOGIN=bob\r\n",
		"220 \n501 5.5.4\n501 5.5.4", false},
	};

	(void)state;
	run_dialogs(d, ARRAY_LEN(d));
}

static void
test_starttls(void **state)
{
	static const struct dialog d[] = {
	    {"P2 STARTTLS", "submission", "EHLO x\r\nSTARTTLS\r\n", "220 \n250 \n220 2.0.0", false},
	    {"P2 bytes behind it", "submission", "EHLO x\r\nSTARTTLS\r\nMAIL FROM:<a@b.c>\r\n",
		"220 \n250 \n554 5.5.1", true},
	    {"P2 half a line behind it", "submission", "EHLO x\r\nSTARTTLS\r\nM",
		"220 \n250 \n554 5.5.1", true},
	    {"P1 implicit TLS", "submissions", "EHLO x\r\nSTARTTLS\r\n", "220 \n250 \n503 5.5.1",
		false},
	    {"STARTTLS in a transaction", "mx", "EHLO x\r\nMAIL FROM:<a@b.c>\r\nSTARTTLS\r\n",
		"220 \n250 \n250 2.1.0\n503 5.5.1", false},
	};

	(void)state;
	run_dialogs(d, ARRAY_LEN(d));

	/* P2: all is forgotten */
	fake_connect("submission");
	say("EHLO x\r\nSTARTTLS\r\n");
	say("MAIL FROM:<a@b.c>\r\nEHLO y\r\n");
	compare("forgotten", "220 \n250 \n220 2.0.0\n503 5.5.1 Send EHLO\n250 ");
	assert_null(memmem(buf_data(&fake.out) + 300, buf_len(&fake.out) - 300, "STARTTLS", 8));
	assert_non_null(
	    memmem(buf_data(&fake.out), buf_len(&fake.out), "250-AUTH PLAIN LOGIN\r\n", 22));
	fake_event(IO_EOF);
}

static void
test_ehlo(void **state)
{
	static const char *const words[] = {"PIPELINING", "SIZE 1048576", "8BITMIME", "SMTPUTF8",
	    "DSN", "CHUNKING", "LIMITS MAILMAX=3 RCPTMAX=100", "STARTTLS"};

	(void)state;
	fake_connect("submission"); /* P4, S1: no AUTH in clear */
	say("EHLO x\r\n");
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		char line[80];

		str_printf(line, sizeof(line), "250-%s\r\n", words[i]);
		assert_non_null(strstr(buf_cstr(&fake.out), line));
	}
	assert_non_null(strstr(buf_cstr(&fake.out), "\r\n250 ENHANCEDSTATUSCODES\r\n"));
	assert_null(strstr(buf_cstr(&fake.out), "AUTH"));
	assert_null(strstr(buf_cstr(&fake.out), "XCLIENT"));
	fake_event(IO_EOF);
	fake_connect("submissions");
	say(LOGIN);
	buf_reset(&fake.out);
	say("EHLO x\r\n"); /* not after AUTH, not within TLS */
	assert_null(strstr(buf_cstr(&fake.out), "AUTH"));
	assert_null(strstr(buf_cstr(&fake.out), "STARTTLS"));
	fake_event(IO_EOF);
	fake_connect("old"); /* auth = on */
	say("EHLO x\r\n");
	assert_non_null(strstr(buf_cstr(&fake.out), "250-AUTH PLAIN LOGIN\r\n"));
	fake_event(IO_EOF);
}

/* P7: who does not read replies gets no further command taken. */
static void
test_unread_replies(void **state)
{
	(void)state;
	fake_connect("submission");
	buf_reset(&fake.out);
	fake.unread = 1u << 20;
	say("NOOP\r\nNOOP\r\n");
	compare("choked", "250 2.0.0\n");
	buf_reset(&fake.out);
	say("NOOP\r\n");
	compare("still", "");
	fake.unread = 0;
	fake_event(IO_DRAINED);
	compare("drained", "250 2.0.0\n250 2.0.0\n");
	fake_event(IO_EOF);
	assert_int_equal(fake.front.n_sessions, 0);
}

static void
test_auth(void **state)
{
	static const struct dialog d[] = {
	    {"P3 initial response", "submissions", LOGIN, LOGGED_IN, false},
	    {"P3 without one", "submissions",
		"EHLO x\r\nauth plain\r\nAGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA==\r\n",
		"220 \n250 \n334 \n235 2.7.0", false},
	    {"P3 LOGIN", "submissions",
		"EHLO x\r\nAUTH LOGIN\r\nYWxpY2VAZXhhbXBsZS5jb20=\r\nc2VjcmV0\r\n",
		"220 \n250 \n334 VXNlcm5hbWU6\n334 \n235 2.7.0", false},
	    {"P3 wrong", "submissions", "EHLO x\r\n" AUTH_BAD, "220 \n250 \n535 5.7.8", false},
	    {"P3 =", "submissions", "EHLO x\r\nAUTH PLAIN =\r\n", "220 \n250 \n535 5.7.8", false},
	    {"P3 *", "submissions", "EHLO x\r\nAUTH PLAIN\r\n*\r\nNOOP\r\n",
		"220 \n250 \n334 \n501 5.7.0\n250 ", false},
	    {"base64 rubbish", "submissions", "EHLO x\r\nAUTH PLAIN ???\r\nAUTH PLAIN\r\n-\r\n",
		"220 \n250 \n501 5.5.2\n334 \n501 5.5.2", false},
	    {"P3 twice", "submissions", LOGIN AUTH_OK, LOGGED_IN "503 5.5.1", false},
	    {"P3 in a transaction", "old",
		"EHLO x\r\nMAIL FROM:<a@b.c>\r\n" LOGIN
		"MAIL FROM:<alice@example.com>\r\nAUTH PLAIN\r\n",
		"220 \n250 \n530 5.7.0\n250 \n235 \n250 2.1.0\n503 5.5.1", false},
	    {"S1 before TLS", "submission", "EHLO x\r\n" AUTH_OK "AUTH\r\n",
		"220 \n250 \n538 5.7.11\n538 5.7.11", false},
	    {"S1 off", "mx", "EHLO x\r\n" AUTH_OK, "220 \n250 \n502 5.5.1", false},
	    {"P3 unknown mechanism", "submissions",
		"EHLO x\r\nAUTH NTLM\r\nAUTH PLAI x\r\nAUTH\r\n",
		"220 \n250 \n504 5.5.4\n504 5.5.4\n501 5.5.4", false},
	    {"P3 before EHLO", "submissions", AUTH_OK, "220 \n503 5.5.1", false},
	    {"P7 max_auth_failures", "submissions",
		"EHLO x\r\n" AUTH_BAD AUTH_BAD AUTH_BAD "NOOP\r\n",
		"220 \n250 \n535 \n535 \n535 \n421 4.7.0", true},
	    {"P3 temporary", "submissions", "EHLO x\r\nAUTH PLAIN bGF0ZXI=\r\n",
		"220 \n250 \n454 4.7.0", false},
	    {"P3 LOGIN with the name at once", "submissions",
		"EHLO x\r\nAUTH LOGIN YWxpY2VAZXhhbXBsZS5jb20=\r\nc2VjcmV0\r\n",
		"220 \n250 \n334 \n235 2.7.0", false},
	    {"C5 tolerated inline LOGIN", "old", "EHLO x\r\nAUTH LOGIN YUBi\r\n",
		"220 \n250 \n334 ", false},
	    {"C5 early QUIT", "old", "EHLO x\r\nAUTH PLAIN\r\nQUIT\r\n", "220 \n250 \n334 \n221 ",
		true},
	    {"S2 require_auth", "submission", "EHLO x\r\nMAIL FROM:<a@b.c>\r\n",
		"220 \n250 \n530 5.7.0 start TLS and log in with AUTH", false},
	};

	(void)state;
	run_dialogs(d, ARRAY_LEN(d));
}

static void
test_auth_role(void **state)
{
	char *line = xmalloc(20000);

	(void)state;
	fake.auth_gone = true;
	fake_connect("submissions");
	say("EHLO x\r\n" AUTH_OK);
	compare("no auth role", "220 \n250 \n454 4.7.0");
	fake_event(IO_EOF);
	fake.auth_gone = false;
	/* it dies while we wait, and between two steps */
	fake.auth_silent = true;
	fake_connect("submissions");
	say("EHLO x\r\n" AUTH_OK "NOOP\r\n");
	front_auth_lost(&fake.front);
	fake.auth_step = 0;
	fake.auth_silent = false;
	fake_turn();
	say("AUTH PLAIN\r\n");
	front_auth_lost(&fake.front);
	say("AGE=\r\n");
	compare("lost", "220 \n250 \n454 4.7.0\n250 2.0.0\n334 \n454 4.7.0");
	/* RFC 4954: 12288 octets */
	memset(line, 'A', 20000);
	say("AUTH PLAIN\r\n");
	buf_reset(&fake.out);
	fake_feed(line, 13000);
	say("\r\nNOOP\r\n");
	compare("long", "500 5.5.6\n250 ");
	/* a client that vanishes: auth is told */
	fake.cancels = 0;
	say("AUTH PLAIN\r\n");
	fake_event(IO_EOF);
	assert_int_equal(fake.cancels, 1);
	free(line);
}

static void
test_mail_and_rcpt(void **state)
{
	static const struct dialog d[] = {
	    {"syntax", "mx", "EHLO x\r\nMAIL\r\nMAIL FROM\r\nMAIL FROM:\r\nMAIL FROM:a@b.c\r\n",
		"220 \n250 \n501 5.5.4\n501 5.5.4\n501 5.5.4\n501 5.5.4", false},
	    {"blank before <", "mx", "EHLO x\r\nMAIL FROM: <a@b.c>\r\n", "220 \n250 \n501 5.5.4",
		false},
	    {"C5 tolerated blank", "old", LOGIN "MAIL FROM: <alice@example.com>\r\n",
		LOGGED_IN "250 2.1.0", false},
	    {"addresses", "mx",
		"EHLO x\r\nMAIL FROM:<a@@b>\r\nMAIL FROM:<a>\r\nMAIL FROM:<a@b.c\r\n",
		"220 \n250 \n553 5.1.7\n553 5.1.7\n501 5.1.7", false},
	    {"parameters", "mx",
		"EHLO x\r\nMAIL FROM:<a@b.c> FOO=1\r\nMAIL FROM:<a@b.c> SIZE=x\r\n",
		"220 \n250 \n555 5.5.4\n501 5.5.4", false},
	    {"P7 SIZE", "mx", "EHLO x\r\nMAIL FROM:<a@b.c> SIZE=9999999\r\n",
		"220 \n250 \n552 5.3.4", false},
	    {"P4 SMTPUTF8 is needed", "mx",
		"EHLO x\r\nMAIL FROM:<\xc3\xa9@b.c>\r\n"
		"MAIL FROM:<\xc3\xa9@b.c> SMTPUTF8\r\nRCPT TO:<\xc3\xa4@example.com>\r\n",
		"220 \n250 \n553 5.6.7\n250 2.1.0\n250 2.1.5", false},
	    {"nested MAIL", "mx", "EHLO x\r\nMAIL FROM:<a@b.c>\r\nMAIL FROM:<a@b.c>\r\n",
		"220 \n250 \n250 \n503 5.5.1", false},
	    {"RCPT without MAIL", "mx", "EHLO x\r\nRCPT TO:<a@b.c>\r\nDATA\r\n",
		"220 \n250 \n503 5.5.1 Send MAIL\n503 5.5.1", false},
	    {"S49 no relay", "mx", "EHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\n",
		"220 \n250 \n250 \n550 5.7.1\n554 5.5.1 No valid", false},
	    {"S32 our own", "mx",
		"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<d@example.com>\r\nRCPT TO:<D@Example.com>\r\n",
		"220 \n250 \n250 \n250 2.1.5 Ok\n250 2.1.5 Ok, given before", false},
	    {"S11 not one's own", "submissions", LOGIN "MAIL FROM:<bob@example.com>\r\n",
		LOGGED_IN "550 5.7.1", false},
	    {"P5 completed", "submissions",
		LOGIN "MAIL FROM:<alice>\r\nRCPT TO:<bob>\r\nRCPT TO:<bob@example.com>\r\n",
		LOGGED_IN "250 2.1.0\n250 2.1.5 Ok\n250 2.1.5 Ok, given", false},
	    {"Postmaster", "submissions",
		LOGIN "MAIL FROM:<alice@example.com>\r\nRCPT TO:<postmaster>\r\n",
		LOGGED_IN "250 2.1.0\n250 2.1.5", false},
	    {"D1 parameters", "mx",
		"EHLO x\r\nMAIL FROM:<a@b.c> RET=HDRS ENVID=x+20y BODY=8BITMIME\r\n"
		"RCPT TO:<d@example.com> NOTIFY=NEVER,SUCCESS\r\n"
		"RCPT TO:<d@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;d@example.com\r\n",
		"220 \n250 \n250 \n501 5.5.4\n250 2.1.5", false},
	    {"RSET", "mx", "EHLO x\r\nMAIL FROM:<a@b.c>\r\nRSET\r\nRCPT TO:<d@example.com>\r\n",
		"220 \n250 \n250 \n250 \n503 5.5.1", false},
	    {"EHLO ends a transaction", "mx", "EHLO x\r\nMAIL FROM:<a@b.c>\r\nEHLO x\r\nDATA\r\n",
		"220 \n250 \n250 \n250 \n503 5.5.1", false},
	};

	(void)state;
	run_dialogs(d, ARRAY_LEN(d));
	fake.front.queue_full = true;
	fake_connect("mx");
	say("EHLO x\r\nMAIL FROM:<a@b.c>\r\n");
	compare("queue full", "220 \n250 \n452 4.3.1");
	fake.front.queue_full = false;
	/* P7: 10,000 recipients: the first are taken, the others 452, the session lives */
	say("MAIL FROM:<a@b.c>\r\n");
	buf_reset(&fake.out);
	for (int i = 0; i < 10000; i++) {
		char line[80];

		str_printf(line, sizeof(line), "RCPT TO:<u%d@example.com>\r\n", i);
		say(line);
	}
	assert_int_equal(fake.session->tx->msg->n_rcpts, 100);
	assert_non_null(fake.io);
	say("RCPT TO:<u57@example.com>\r\n");
	assert_non_null(strstr(buf_cstr(&fake.out), "given before"));
	assert_non_null(strstr(buf_cstr(&fake.out), "452 4.5.3"));
	fake_event(IO_EOF);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_basics, smtp_test_setup, smtp_test_teardown),
	    cmocka_unit_test_setup_teardown(test_starttls, smtp_test_setup, smtp_test_teardown),
	    cmocka_unit_test_setup_teardown(test_ehlo, smtp_test_setup, smtp_test_teardown),
	    cmocka_unit_test_setup_teardown(
		test_unread_replies, smtp_test_setup, smtp_test_teardown),
	    cmocka_unit_test_setup_teardown(test_auth, smtp_test_setup, smtp_test_teardown),
	    cmocka_unit_test_setup_teardown(test_auth_role, smtp_test_setup, smtp_test_teardown),
	    cmocka_unit_test_setup_teardown(
		test_mail_and_rcpt, smtp_test_setup, smtp_test_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
