/* SPDX-License-Identifier: ISC */
/*
 * The SMTP client machine as dialogues: what the server says, what must be sent, and what becomes
 * of each recipient. Serves D1 (DSN parameters are passed on), S65 (TLS modes) and S78 (several
 * messages over one connection). No network, no time.
 */
#include "smtp_client_test.h"

static const struct dialogue dialogues[] = {
    {"pipelined", 0, 0, 0, 2,
	PIPE "!begin\n" TX2 "S:250 ok\nS:250 ok\nS:250 ok\nS:354 go\n=send\n!sent\nS:250 2.0.0 ok\n"
	     "=done\n",
	"idle ok/250/2.0.0 ok/250/2.0.0"},
    {"one by one", 0, 0, 0, 2,
	PLAIN
	"!begin\nC:MAIL FROM:<s@a.example>\nS:250 ok\nC:RCPT TO:<r0@b.example>\nS:250 ok\n"
	"C:RCPT TO:<r1@b.example>\nS:251 ok\nC:DATA\nS:354 go\n=send\n!sent\nS:250 fine\n=done\n",
	"idle ok/250/2.0.0 ok/250/2.0.0"},
    {"two messages (S78)", 0, 0, 0, 1,
	PIPE "!begin\n" TX1 "S:250 ok\nS:250 ok\nS:354 go\n=send\n!sent\nS:250 ok\n=done\n"
	     "!begin\n" TX1
	     "S:250 ok\nS:250 ok\nS:354 go\n=send\n!sent\nS:451 4.2.1 later\n=done\n",
	"idle temp/451/4.2.1"},
    {"HELO when EHLO is refused", 0, 0, 0, 1,
	OPEN "S:500 what\nC:HELO us.example\nS:250 hi\n=ready\n!begin\n"
	     "C:MAIL FROM:<s@a.example>\nS:550 5.1.8 no\n=done\n",
	"idle perm/550/5.1.8"},
    {"EHLO 421", 0, 0, 0, 1, OPEN "S:421 busy\n=failed\n", "over open"},
    {"greeting 554 is not the end of the mail", 0, 0, 0, 1, "S:554 no\n=failed\n", "over open"},
    {"greeting of many lines", 0, 0, 0, 1, "S:220-a\nS:220-b\nS:220 c\nC:EHLO us.example\n",
	"EHLO open"},
    {"MAIL refused, pipelined", 0, 0, 0, 2,
	PIPE "!begin\n" TX2 "S:550 5.7.1 no\nS:503 bad\nS:503 bad\nS:503 bad\n=done\n",
	"idle perm/550/5.7.1 perm/550/5.7.1"},
    {"some refused", 0, 0, 0, 2,
	PIPE "!begin\n" TX2
	     "S:250 ok\nS:550 5.1.1 no\nS:250 ok\nS:354 go\n=send\n!sent\nS:250 ok\n=done\n",
	"idle perm/550/5.1.1 ok/250/2.0.0"},
    {"all refused, pipelined, then RSET", 0, 0, 0, 1,
	PIPE "!begin\n" TX1 "S:250 ok\nS:550 5.1.1 no\nS:554 none\n=done\n!begin\nC:RSET\n" TX1
	     "S:250 ok\nS:250 ok\nS:250 ok\nS:354 go\n=send\n!sent\nS:250 ok\n=done\n",
	"idle ok/250/2.0.0"},
    {"all refused, one by one, then RSET", 0, 0, 0, 1,
	PLAIN
	"!begin\nC:MAIL FROM:<s@a.example>\nS:250 ok\nC:RCPT TO:<r0@b.example>\nS:450 4.2.0 l\n"
	"=done\n!begin\nC:RSET\nS:250 ok\nC:MAIL FROM:<s@a.example>\n",
	"MAIL open"},
    {"354 with nobody accepted ends with a lone dot", 0, 0, 0, 1,
	PIPE "!begin\n" TX1 "S:250 ok\nS:550 5.1.1 no\nS:354 go\nC:.\nS:554 none\n=done\n",
	"idle perm/550/5.1.1"},
    {"DATA refused", 0, 0, 0, 2,
	PIPE "!begin\n" TX2 "S:250 ok\nS:250 ok\nS:450 4.2.1 l\nS:451 4.3.0 no\n=done\n",
	"idle temp/451/4.3.0 temp/450/4.2.1"},
    {"final 552", 0, 0, 0, 1,
	PIPE "!begin\n" TX1 "S:250 ok\nS:250 ok\nS:354 go\n=send\n!sent\nS:552 5.3.4 big\n=done\n",
	"idle perm/552/5.3.4"},
    {"too many recipients go into another transaction", 0, 0, 0, 2,
	PIPE
	"!begin\n" TX2 "S:250 ok\nS:250 ok\nS:452 4.5.3 many\nS:354 go\n=send\n!sent\nS:250 ok\n"
	"=done\n!again\nC:MAIL FROM:<s@a.example>\nC:RCPT TO:<r1@b.example>\nC:DATA\nS:250 ok\n"
	"S:250 ok\nS:354 go\n=send\n!sent\nS:250 2.6.0 ok\n=done\n",
	"idle ok/250/2.0.0 ok/250/2.6.0"},
    {"too many at the first is temporary", 0, 0, 0, 1,
	PIPE "!begin\n" TX1 "S:250 ok\nS:452 4.5.3 many\nS:503 none\n=done\n",
	"idle temp/452/4.5.3"},
    {"552 without a code of its own is temporary at RCPT", 0, 0, 0, 1,
	PIPE "!begin\n" TX1 "S:250 ok\nS:552 full\nS:503 none\n=done\n", "idle temp/552/4.0.0"},
    {"552 5.2.2 is not", 0, 0, 0, 1,
	PIPE "!begin\n" TX1 "S:250 ok\nS:552 5.2.2 full\nS:503 none\n=done\n",
	"idle perm/552/5.2.2"},
    {"LIMITS RCPTMAX=1 (RFC 9422)", 0, 0, 0, 2,
	OPEN "S:250-mx\nS:250-PIPELINING\nS:250 LIMITS RCPTMAX=1 MAILMAX=5\n=ready\n!begin\n" TX1
	     "S:250 ok\nS:250 ok\nS:354 go\n=send\n!sent\nS:250 ok\n=done\n",
	"idle ok/250/2.0.0 open"},
    {"421 at RCPT leaves the rest open", 0, 0, 0, 2,
	PIPE "!begin\n" TX2 "S:250 ok\nS:550 5.1.1 no\nS:421 4.3.2 bye\n=done\n",
	"over perm/550/5.1.1 open"},
    {"421 at the end is temporary", 0, 0, 0, 1,
	PIPE "!begin\n" TX1 "S:250 ok\nS:250 ok\nS:354 go\n=send\n!sent\nS:421 4.3.2 bye\n=done\n",
	"over temp/421/4.3.2"},
    {"421 while idle", 0, 0, 0, 1, PIPE "S:421 bye\n=failed\n", "over open"},
    {"lost before the end: open", 0, 0, 0, 1,
	PIPE "!begin\n" TX1 "S:250 ok\nS:250 ok\nS:354 go\n=send\n!lost\n=done\n", "over open"},
    {"lost after the end: temporary", 0, 0, 0, 1,
	PIPE "!begin\n" TX1 "S:250 ok\nS:250 ok\nS:354 go\n=send\n!sent\n!lost\n=done\n",
	"over temp/0/4.4.2"},
    {"early refusal within the message", 0, 0, 0, 1,
	PIPE "!begin\n" TX1 "S:250 ok\nS:250 ok\nS:354 go\n=send\nS:552 5.3.4 big\n=done\n",
	"over perm/552/5.3.4"},
    {"early 250 is nonsense", 0, 0, 0, 1,
	PIPE "!begin\n" TX1 "S:250 ok\nS:250 ok\nS:354 go\n=send\nS:250 thanks\n=done\n",
	"over open"},
    {"354 to the end is nonsense", 0, 0, 0, 1,
	PIPE "!begin\n" TX1 "S:250 ok\nS:250 ok\nS:354 go\n=send\n!sent\nS:354 go\n=done\n",
	"over temp/354/4.0.0"},
    {"250 to DATA is nonsense", 0, 0, 0, 1,
	PIPE "!begin\n" TX1 "S:250 ok\nS:250 ok\nS:250 ok\n=done\n", "over open"},
    {"rubbish", 0, 0, 0, 1, "S:hello\n=failed\n", "over open"},
    {"rubbish 2", 0, 0, 0, 1, "S:2200 hi\n=failed\n", "over open"},
    {"codes that differ", 0, 0, 0, 1, "S:220-hi\nS:250 hi\n=failed\n", "over open"},
    {"a reply that nobody asked for", 0, 0, 0, 1, PIPE "S:250 ok\n=failed\n", "over open"},
    {"everything is offered", 0, MSG_8BITMIME | MSG_UTF8_NEEDED, 1, 1,
	OPEN
	"S:250-mx\nS:250-pipelining\nS:250-SIZE 5000\nS:250-DSN\nS:250-8bitmime\nS:250 SMTPUTF8\n"
	"=ready\n!begin\nC:MAIL FROM:<s@a.example> SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS "
	"ENVID=E+201\nC:RCPT TO:<r0@b.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x@y\nC:DATA\n",
	"MAIL open"},
    {"8-bit text and no 8BITMIME", 0, MSG_8BITMIME, 1, 1, PIPE "!begin\n=done\n",
	"idle perm/550/5.6.3"},
    {"8BITMIME said, but it is 7-bit", 0, MSG_8BITMIME, 0, 1, PIPE "!begin\n" TX1, "MAIL open"},
    {"no SMTPUTF8", 0, MSG_UTF8_NEEDED, 0, 1, PIPE "!begin\n=done\n", "idle perm/550/5.6.7"},
    {"too large (RFC 1870)", 0, 0, 0, 1, OPEN "S:250-mx\nS:250 SIZE 999\n=ready\n!begin\n=done\n",
	"idle perm/552/5.3.4"},
    {"SIZE 0 is no limit", 0, 0, 0, 1,
	OPEN "S:250-mx\nS:250 SIZE 0\n=ready\n!begin\nC:MAIL FROM:<s@a.example> SIZE=1000\n",
	"MAIL open"},
    {"TLS where there is", SMTP_CLIENT_TLS_MAY, 0, 0, 1,
	OPEN "S:250-mx\nS:250-DSN\nS:250 STARTTLS\nC:STARTTLS\nS:220 go\n=tls\n!tls\n"
	     "C:EHLO us.example\nS:250-mx\nS:250-STARTTLS\nS:250 PIPELINING\n=ready\n!begin\n" TX1,
	"MAIL open"},
    {"TLS refused, opportunistic", SMTP_CLIENT_TLS_MAY, 0, 0, 1,
	OPEN "S:250-mx\nS:250 STARTTLS\nC:STARTTLS\nS:454 4.7.0 no\n=ready\n", "idle open"},
    {"TLS refused, required (S65)", SMTP_CLIENT_TLS_MUST, 0, 0, 1,
	OPEN "S:250-mx\nS:250 STARTTLS\nC:STARTTLS\nS:454 4.7.0 no\n=failed\n", "over open"},
    {"TLS required, not offered (S65)", SMTP_CLIENT_TLS_MUST, 0, 0, 1, OPEN "S:250 mx\n=failed\n",
	"over open"},
    {"TLS from the first octet (RFC 8314)", SMTP_CLIENT_TLS_IMPLICIT, 0, 0, 1,
	"!tls\n" OPEN "S:250-mx\nS:250-STARTTLS\nS:250 PIPELINING\n=ready\n!begin\n" TX1,
	"MAIL open"},
    {"a server that does not begin with TLS", SMTP_CLIENT_TLS_IMPLICIT, 0, 0, 1,
	"S:220 hi\n=failed\n", "over open"},
    {"words in clear behind STARTTLS (RFC 3207)", SMTP_CLIENT_TLS_MAY, 0, 0, 1,
	OPEN "S:250-mx\nS:250 STARTTLS\nC:STARTTLS\nS:220 go\\r\\n250 evil\n=failed\n",
	"over open"},
    {"quit", 0, 0, 0, 1, PIPE "!quit\nC:QUIT\n", "over open"},
#define AUTH OPEN "S:250-mx\nS:250 AUTH PLAIN LOGIN\n=ready\n"
    {"AUTH with an initial response (S16)", 0, 0, 0, 0,
	AUTH "!auth PLAIN secret\nC:AUTH PLAIN c2VjcmV0\nS:235 2.7.0 ok\n=authed\n", "idle"},
    {"AUTH with an empty initial response (RFC 4954, 4)", 0, 0, 0, 0,
	AUTH "!auth PLAIN =\nC:AUTH PLAIN =\nS:535 5.7.8 no\n=refused\n", "idle"},
    {"AUTH with two challenges (S16)", 0, 0, 0, 0,
	AUTH "!auth LOGIN\nC:AUTH LOGIN\nS:334 VXNlcm5hbWU6\n=challenge\n!answer bob\nC:Ym9i\n"
	     "S:334 \n=challenge\n!answer\nC:\nS:454 4.7.0 later\n=refused\n",
	"idle"},
    {"AUTH given up", 0, 0, 0, 0,
	AUTH "!auth LOGIN\nC:AUTH LOGIN\nS:334 !!!\n=challenge\n!rubbish\n!cancel\nC:*\n"
	     "S:501 5.0.0 ok\n=refused\n!quit\nC:QUIT\n",
	"over"},
    {"AUTH answered by 421", 0, 0, 0, 0, AUTH "!auth LOGIN\nC:AUTH LOGIN\nS:421 bye\n=failed\n",
	"over"},
    {"AUTH answered by 250 is no yes", 0, 0, 0, 0,
	AUTH "!auth PLAIN x\nC:AUTH PLAIN eA==\nS:250 ok\n=failed\n", "over"},
    {"AUTH answered by 354 is nonsense", 0, 0, 0, 0,
	AUTH "!auth PLAIN x\nC:AUTH PLAIN eA==\nS:354 go\n=failed\n", "over"},
    {"a yes behind the challenge (evil)", 0, 0, 0, 0,
	AUTH "!auth LOGIN\nC:AUTH LOGIN\nS:334 \\r\\n235 evil\n=failed\n", "over"},
    {"lost in AUTH", 0, 0, 0, 0, AUTH "!auth LOGIN\nC:AUTH LOGIN\n!lost\n=failed\n", "over"},
};

static void
test_dialogues(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dialogues); i++) {
		run(&dialogues[i], NULL, false);
		run(&dialogues[i], NULL, true);
	}
}

/* Replies are bounded: lines, length of a line, text that is kept. */
static void
test_bounds(void **state)
{
	const struct dialogue d = {.rcpts = 1};
	struct fixture f;
	char line[SMTP_CLIENT_LINE_MAX + 10];

	(void)state;
	fixture_start(&f, &d);
	for (unsigned i = 0; i <= SMTP_CLIENT_LINES && f.ev == SMTP_CLIENT_MORE; i++)
		feed(&f, "220-x\r\n", 7);
	assert_int_equal(f.ev, SMTP_CLIENT_FAILED);
	fixture_end(&f);

	fixture_start(&f, &d);
	memset(line, 'x', sizeof(line));
	memcpy(line, "220 ", 4);
	feed(&f, line, sizeof(line));
	assert_int_equal(f.ev, SMTP_CLIENT_FAILED);
	fixture_end(&f);

	fixture_start(&f, &d);
	memset(line, 0xc3, 2000);
	memcpy(line, "554 ", 4);
	memcpy(line + 2000, "\r\n", 2);
	feed(&f, line, 2002);
	assert_int_equal(f.ev, SMTP_CLIENT_FAILED);
	assert_int_equal(strlen(f.c.failure.text), SMTP_CLIENT_TEXT);
	assert_true(utf8_valid(span_of(f.c.failure.text)));
	assert_int_equal(f.c.failure.code, 554);
	fixture_end(&f);
}

/* The remote's words and name travel unchanged; the lines of a reply become one. */
static void
test_status(void **state)
{
	static const char refusal[] = "550-5.7.1 we do\r\n550 5.7.1 not\a like you\r\n";
	const struct dialogue d = {.rcpts = 1};
	struct fixture f;

	(void)state;
	fixture_start(&f, &d);
	feed(&f, "220 x\r\n", 7);
	feed(&f, "250 x\r\n", 7);
	assert_int_equal(f.ev, SMTP_CLIENT_READY);
	act(&f, &d, "!begin");
	feed(&f, refusal, sizeof(refusal) - 1);
	assert_int_equal(f.ev, SMTP_CLIENT_DONE);
	assert_string_equal(f.rcpts[0].status.text, "5.7.1 we do not  like you");
	assert_string_equal(f.rcpts[0].status.remote, "mx.example");
	assert_string_equal(f.rcpts[0].status.remote_ip, "192.0.2.7");
	assert_int_equal(f.rcpts[0].status.origin, ORIGIN_REMOTE);
	fixture_end(&f);
}

/* No byte of an envelope makes a new command. */
static void
test_injection(void **state)
{
	const struct dialogue d = {.rcpts = 2};
	struct fixture f;

	(void)state;
	fixture_start(&f, &d);
	feed(&f, "220 x\r\n", 7);
	feed(&f, "250-x\r\n250-DSN\r\n250 PIPELINING\r\n", 32);
	free(f.msg->envid);
	f.msg->envid = xstrdup("x\r\nRSET");
	free(f.msg->rcpts[1].orcpt);
	f.msg->rcpts[1].orcpt = xstrdup("rfc822;a b");
	str_copy(f.msg->rcpts[0].addr.local, sizeof(f.msg->rcpts[0].addr.local), "a\r\nQUIT");
	buf_reset(&f.out);
	act(&f, &d, "!begin");
	assert_string_equal(buf_cstr(&f.out),
	    "MAIL FROM:<s@a.example> RET=HDRS\r\n"
	    "RCPT TO:<r1@b.example> NOTIFY=SUCCESS,FAILURE\r\nDATA\r\n");
	assert_int_equal(f.rcpts[0].state, SMTP_RCPT_DONE);
	assert_int_equal(f.rcpts[0].status.verdict, V_PERM);
	fixture_end(&f);
}

static void
test_settle(void **state)
{
	const struct dialogue d = {.rcpts = 2};
	struct status st = {0};
	struct fixture f;

	(void)state;
	fixture_start(&f, &d);
	f.rcpts[0].state = SMTP_RCPT_DONE;
	status_set(&f.rcpts[0].status, V_OK, 250, "2.0.0", "ok");
	status_set(&st, V_PERM, 554, NULL, "no");
	smtp_client_settle(f.rcpts, 2, &st);
	assert_int_equal(f.rcpts[0].status.verdict, V_OK);
	assert_int_equal(f.rcpts[1].status.verdict, V_TEMP);
	status_clear(&st);
	fixture_end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_dialogues),
	    cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_status),
	    cmocka_unit_test(test_injection),
	    cmocka_unit_test(test_settle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
