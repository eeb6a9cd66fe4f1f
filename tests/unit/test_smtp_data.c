/* SPDX-License-Identifier: ISC */
/*
 * Messages through sessions on the fake front: DATA, BDAT, line ends, sizes, fix-ups,
 * memory, stalls, and a queue that goes away (P4-P7, C8).
 */
#include "tests/unit/smtp_test.h"

static void
test_data(void **state)
{
	static const struct dialog d[] = {
	    {"P1 a message", "submissions", LOGIN ENVELOPE "DATA\r\n" LETTER ".\r\nNOOP\r\n",
		LOGGED_IN "250 2.1.0\n250 2.1.5\n354 \n250 2.0.0 Ok: queued as 0\n250 2.0.0",
		false},
	    {"P6 bare LF", "submissions",
		LOGIN ENVELOPE "DATA\r\nSubject: x\r\n\r\na\nb\r\n.\r\nNOOP\r\n",
		LOGGED_IN "250 \n250 \n354 \n550 5.6.0 The message holds a LF\n250 ", false},
	    {"P6 LF.LF ends nothing", "submissions",
		LOGIN ENVELOPE "DATA\r\nSubject: x\r\n\r\na\n.\nMAIL FROM:<x@y.z>\r\n.\r\nNOOP\r\n",
		LOGGED_IN "250 \n250 \n354 \n550 5.6.0\n250 ", false},
	    {"P6 bare CR", "submissions", LOGIN ENVELOPE "DATA\r\n\r\na\rb\r\n.\r\n",
		LOGGED_IN "250 \n250 \n354 \n550 5.6.0 The message holds a CR", false},
	    {"P6 tolerated", "old",
		LOGIN ENVELOPE "DATA\r\nFrom: alice@example.com\r\n\r\na\nb\r\n.\r\n",
		LOGGED_IN "250 \n250 \n354 \n250 2.0.0", false},
	    {"C8 header From", "submissions",
		LOGIN ENVELOPE "DATA\r\nFrom: bob@example.com\r\n\r\nx\r\n.\r\nNOOP\r\n",
		LOGGED_IN "250 \n250 \n354 \n550 5.7.1\n250 ", false},
	    {"P7 loop", "mx",
		"EHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@example.com>\r\nDATA\r\nReceived: "
		"a\r\nReceived: b\r\n"
		"Received: c\r\nReceived: d\r\nReceived: e\r\nReceived: f\r\n\r\n.\r\n",
		"220 \n250 \n250 \n250 \n354 \n554 5.4.6", false},
	    {"P4 BDAT", "submissions",
		LOGIN ENVELOPE
		"BDAT 10\r\nSubject: xBDAT 7\r\n\r\n\r\nab\nBDAT 1 LAST\r\n.NOOP\r\n",
		LOGGED_IN "250 \n250 \n250 2.0.0 10 octets\n550 5.6.0\n550 5.6.0\n250 ", false},
	    {"P4 BDAT good", "submissions",
		LOGIN ENVELOPE
		"BDAT 46 LAST\r\nFrom: alice@example.com\r\nSubject: x\r\n\r\nHello\r\nNOOP\r\n",
		LOGGED_IN "250 \n250 \n250 2.0.0 Ok: queued\n250 ", false},
	    {"P4 BDAT 0 LAST", "submissions",
		LOGIN ENVELOPE "BDAT 27\r\nFrom: alice@example.com\r\n\r\nBDAT 0 LAST\r\n",
		LOGGED_IN "250 \n250 \n250 2.0.0 27\n250 2.0.0 Ok: queued", false},
	    {"P4 BDAT and DATA", "submissions",
		LOGIN ENVELOPE "BDAT 2\r\nabDATA\r\nRCPT TO:<c@example.com>\r\nRSET\r\nDATA\r\n",
		LOGGED_IN "250 \n250 \n250 2.0.0\n503 5.5.1\n503 5.5.1\n250 \n503 5.5.1", false},
	    {"P4 BDAT without a transaction", "mx", "EHLO x\r\nBDAT 6\r\nRSET\r\nNOOP\r\n",
		"220 \n250 \n503 5.5.1\n250 ", false},
	    {"P4 BDAT without recipients", "mx",
		"EHLO x\r\nMAIL FROM:<a@b.c>\r\nBDAT 6 LAST\r\nQUIT\r\nRSET\r\n",
		"220 \n250 \n250 \n554 5.5.1\n250 ", false},
	    {"P4 BDAT rubbish", "mx", "EHLO x\r\nBDAT x\r\nNOOP\r\n", "220 \n250 \n501 5.5.4\n421 ",
		true},
	    {"P7 max_messages", "submissions",
		LOGIN ENVELOPE "DATA\r\n" LETTER ".\r\n" ENVELOPE "DATA\r\n" LETTER ".\r\n" ENVELOPE
			       "DATA\r\n" LETTER ".\r\nMAIL FROM:<alice@example.com>\r\n",
		LOGGED_IN
		"250 \n250 \n354 \n250 \n250 \n250 \n354 \n250 \n250 \n250 \n354 \n250 \n421 4.7.0",
		true},
	    {"empty", "mx", "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<d@example.com>\r\nDATA\r\n.\r\n",
		"220 \n250 \n250 \n250 \n354 \n250 2.0.0", false},
	};

	(void)state;
	run_dialogs(d, ARRAY_LEN(d));
}

static void
begin_message(const char *listener)
{
	fake_connect(listener);
	say(LOGIN ENVELOPE "DATA\r\n");
	buf_reset(&fake.out);
}

static void
test_content(void **state)
{
	struct message *m;
	const char *body;

	(void)state;
	begin_message("submissions");
	say("From: alice\r\nBcc: eve@example.com\r\nSubject: x\r\n\r\n..dot\r\n.\r\n");
	compare("content", "250 2.0.0");
	body = buf_cstr(&fake.last_body);
	/* P5, P6 */
	assert_memory_equal(body, "Received: from c ", 17);
	assert_non_null(strstr(body, "with ESMTPSA"));
	assert_non_null(strstr(body, "for <bob@example.com>"));
	assert_non_null(strstr(body, "\r\nDate: "));
	assert_non_null(strstr(body, "\r\nMessage-ID: <"));
	assert_non_null(strstr(body, "alice@example.com"));
	assert_null(strstr(body, "Bcc"));
	assert_non_null(strstr(body, "\r\n\r\n.dot\r\n"));
	m = message_decode(buf_span(&fake.last_head));
	assert_non_null(m);
	assert_string_equal(m->principal, "alice@example.com");
	assert_string_equal(m->subject, "x");
	assert_int_equal(m->n_rcpts, 1);
	assert_string_equal(m->rcpts[0].transport, "inside");
	assert_string_equal(m->rcpts[0].dest, "");
	assert_int_equal(m->size, buf_len(&fake.last_body));
	assert_true(buf_len(&m->facts) > 0);
	message_free(m);
	fake_event(IO_EOF);
	begin_message("old"); /* P5: hide_client */
	say(LETTER ".\r\n");
	body = buf_cstr(&fake.last_body);
	assert_null(strstr(body, "192.0.2.7"));
	assert_null(strstr(body, "from c "));
	fake_event(IO_EOF);
}

static void
feed_lines(size_t octets)
{
	static char line[1000];

	memset(line, 'x', sizeof(line));
	memcpy(line + 998, "\r\n", 2);
	for (size_t i = 0; i < octets / sizeof(line); i++)
		fake_feed(line, sizeof(line));
}

static void
test_large(void **state)
{
	(void)state;
	fake.opens = fake.drops = 0;
	begin_message("submissions");
	say(LETTER);
	feed_lines(600000);
	say(".\r\n");
	compare("large", "250 2.0.0");
	assert_int_equal(fake.opens, 1);
	assert_true(buf_len(&fake.last_body) > 600000);
	assert_memory_equal(buf_data(&fake.last_body), "Received:", 9);
	/* P7: the limit is 1M; the rest is read and thrown away */
	buf_reset(&fake.out);
	say(ENVELOPE "DATA\r\n" LETTER);
	buf_reset(&fake.out);
	feed_lines(1500000);
	say(".\r\nNOOP\r\n");
	compare("too large", "552 5.3.4\n250 ");
	assert_int_equal(fake.drops, 1);
	/* endless header */
	say(ENVELOPE "DATA\r\n");
	buf_reset(&fake.out);
	for (int i = 0; i < 400; i++) {
		char field[1000];

		memset(field, 'x', sizeof(field));
		memcpy(field, "X-A: ", 5);
		memcpy(field + 990, "\r\n", 3);
		say(field);
	}
	say("\r\n.\r\n");
	compare("header", "552 5.3.4");
	/* the queue has no file for it */
	fake.open_code = 452;
	say("MAIL FROM:<alice@example.com> SIZE=500000\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n");
	buf_reset(&fake.out);
	say(LETTER);
	feed_lines(400000);
	say(".\r\n");
	compare("no file", "452 4.3.1");
	fake.open_code = 0;
	/* vanishes within a large one */
	fake.drops = 0;
	say(ENVELOPE "DATA\r\n" LETTER);
	feed_lines(400000);
	fake_event(IO_EOF);
	assert_int_equal(fake.drops, 1);
	assert_int_equal(fake.front.data_used, 0);
}

static void
test_queue(void **state)
{
	(void)state;
	/* the queue is restarted between offer and answer: the offer is said again */
	fake.queue_silent = true;
	fake.offers = 0;
	begin_message("submissions");
	say(LETTER ".\r\nNOOP\r\n");
	assert_int_equal(fake.offers, 1);
	assert_int_equal(buf_len(&fake.out), 0);
	fake.offer_due = false;
	offers_on_queue_up(&fake.front);
	assert_int_equal(fake.offers, 2);
	fake.queue_silent = false;
	fake_turn();
	compare("again", "250 2.0.0 Ok: queued\n250 2.0.0 Ok");
	/* nobody there at first */
	fake.queue_gone = true;
	say(ENVELOPE "DATA\r\n" LETTER ".\r\n");
	buf_reset(&fake.out);
	fake.queue_gone = false;
	offers_on_queue_up(&fake.front);
	fake_turn();
	compare("late", "250 2.0.0 Ok: queued");
	/* refused by the queue */
	fake.res_code = 452;
	say(ENVELOPE "DATA\r\n" LETTER);
	buf_reset(&fake.out);
	say(".\r\n");
	compare("refused", "452 4.3.1");
	fake.res_code = 0;
	/* the client vanishes after the dot: the message goes on */
	fake.queue_silent = true;
	say(ENVELOPE "DATA\r\n" LETTER ".\r\n");
	fake_event(IO_EOF);
	assert_false(TAILQ_EMPTY(&fake.front.offers));
	fake.queue_silent = false;
	fake_turn();
	assert_true(TAILQ_EMPTY(&fake.front.offers));
	/* no answer in time */
	fake.queue_silent = true;
	begin_message("submissions");
	say(LETTER ".\r\n");
	fake_event(IO_TIMEOUT);
	compare("timeout", "421 4.3.0");
	fake.queue_silent = false;
	fake_turn();
	assert_true(TAILQ_EMPTY(&fake.front.offers));
	assert_int_equal(fake.front.data_used, 0);
}

static void
test_memory(void **state)
{
	(void)state;
	/* over data_memory: a message goes to a file early and its session waits for it */
	begin_message("submissions");
	say(LETTER);
	fake.front.data_used += 2000000;
	fake.queue_silent = true;
	feed_lines(20000);
	assert_true(fake.io->paused);
	fake.queue_silent = false;
	fake_turn();
	assert_false(fake.io->paused);
	feed_lines(20000);
	assert_true(fake.session->tx->counted < 2000);
	fake.front.data_used -= 2000000;
	say(".\r\n");
	compare("pressure", "250 2.0.0");
	fake_event(IO_EOF);
	assert_int_equal(fake.front.data_used, 0);
}

static void
test_timeouts(void **state)
{
	static const char *const steps[] = {"", "EHLO x\r\n", "AUTH PLAIN\r\n", "*\r\n", AUTH_OK,
	    "MAIL FROM:<alice@example.com>\r\n", "RCPT TO:<bob@example.com>\r\n", "DATA\r\n",
	    "Subject: x\r\n", "\r\nbody\r\n"};

	(void)state;
	for (size_t n = 1; n <= ARRAY_LEN(steps); n++) {
		fake_connect("submissions");
		for (size_t i = 0; i < n; i++)
			say(steps[i]);
		assert_true(fake.deadline > 0);
		buf_reset(&fake.out);
		fake_event(IO_TIMEOUT);
		compare("stall", "421 4.4.2");
		assert_null(fake.io);
	}
	/* drain: the idle get 421 at once, others after their message */
	fake_connect("mx");
	front_close_idle(&fake.front);
	compare("idle", "220 \n421 4.3.2");
	fake.front.closing = false;
	begin_message("submissions");
	front_close_idle(&fake.front);
	assert_non_null(fake.io);
	say(LETTER ".\r\n");
	compare("busy", "250 2.0.0\n421 4.3.2");
	assert_null(fake.io);
	fake.front.closing = false;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_data, smtp_test_setup, smtp_test_teardown),
	    cmocka_unit_test_setup_teardown(test_content, smtp_test_setup, smtp_test_teardown),
	    cmocka_unit_test_setup_teardown(test_large, smtp_test_setup, smtp_test_teardown),
	    cmocka_unit_test_setup_teardown(test_queue, smtp_test_setup, smtp_test_teardown),
	    cmocka_unit_test_setup_teardown(test_memory, smtp_test_setup, smtp_test_teardown),
	    cmocka_unit_test_setup_teardown(test_timeouts, smtp_test_setup, smtp_test_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
