/* SPDX-License-Identifier: ISC */
/*
 * Blocking streams: one deadline holds for all that a peer may do (C2), errors have words, and
 * names are found in /etc/hosts. TLS with certificates is tried end to end.
 */
#include "script_test.h"

#include "base/list.h"
#include "base/stream.h"

#include <signal.h>

#define LONG_MS 20000
#define SHORT_MS 300
#define LATE_MS 5000 /* a loaded machine */

static void
test_talk(void **state)
{
	static const char *const lines[] = {"hello", "you said it", NULL};
	struct stream s = STREAM_INIT;
	struct script server;
	struct buf heard;
	char b[64];
	size_t n = 0;

	(void)state;
	script_start(&server, lines);
	assert_int_equal(stream_connect(&s, &server.addr, NULL, stream_clock_ms() + LONG_MS), 0);
	while (n < 7) {
		ssize_t got = stream_read(&s, b + n, sizeof(b) - n);

		assert_true(got > 0);
		n += (size_t)got;
	}
	assert_memory_equal(b, "hello\r\n", 7);
	assert_int_equal(stream_write(&s, "one\r\n", 5), 0);
	assert_true(stream_read(&s, b, 1) == 1);
	assert_int_equal(b[0], 'y');
	stream_close(&s);
	stream_close(&s); /* twice is harmless */
	heard = script_end(&server);
	assert_string_equal(buf_cstr(&heard), "one\r\n");
	buf_clear(&heard);
}

/* What must end in time, and how: a connection, then TLS or reads until it fails. */
static void
check_ends(const char *const *lines, bool tls, const char *why)
{
	struct stream s = STREAM_INIT;
	struct script server;
	struct buf heard;
	char err[200], b[16];
	SSL_CTX *ctx = tls_client_new(NULL, false, err, sizeof(err));
	int64_t start = stream_clock_ms();
	ssize_t n;

	assert_non_null(ctx);
	script_start(&server, lines);
	assert_int_equal(stream_connect(&s, &server.addr, NULL, start + SHORT_MS), 0);
	if (tls) {
		assert_int_equal(stream_start_tls(&s, ctx, "mail.example.com"), -1);
	} else {
		while ((n = stream_read(&s, b, sizeof(b))) > 0)
			;
		assert_int_equal(n, -1);
	}
	if (strstr(s.error, why) == NULL)
		fail_msg("%s: %s", why, s.error);
	assert_true(stream_clock_ms() - start < SHORT_MS + LATE_MS);
	stream_close(&s);
	heard = script_end(&server);
	buf_clear(&heard);
	SSL_CTX_free(ctx);
}

static void
test_deadline(void **state)
{
	static const char *const hang[] = {"@hang", NULL}, *const slow[] = {"@slow", NULL},
				 *const rubbish[] = {"this is no TLS", "@hang", NULL};

	(void)state;
	check_ends(hang, false, "read: no answer in time");
	check_ends(slow, false, "read: no answer in time");
	check_ends(hang, true, "TLS handshake: no answer in time");
	check_ends(rubbish, true, "TLS handshake: ");
}

/* A peer that does not read: the write ends, too. */
static void
test_write(void **state)
{
	static char big[16 << 20];
	struct stream s = STREAM_INIT;
	struct net_addr any, addr;
	int64_t start = stream_clock_ms();
	int fd;

	(void)state;
	assert_int_equal(net_addr_parse(span_of("127.0.0.1:0"), &any), 0);
	fd = net_listen(&any, 5);
	assert_int_equal(net_local(fd, &addr), 0);
	assert_int_equal(stream_connect(&s, &addr, NULL, start + SHORT_MS), 0);
	assert_int_equal(stream_write(&s, big, sizeof(big)), -1);
	assert_string_equal(s.error, "write: no answer in time");
	assert_true(stream_clock_ms() - start < SHORT_MS + LATE_MS);
	stream_close(&s);
	close(fd);
}

static void
test_refused(void **state)
{
	struct stream s = STREAM_INIT;
	struct net_addr any, addr;
	char b;
	int fd;

	(void)state;
	assert_int_equal(net_addr_parse(span_of("127.0.0.1:0"), &any), 0);
	fd = net_listen(&any, 5);
	assert_int_equal(net_local(fd, &addr), 0);
	close(fd); /* nobody listens there now */
	assert_int_equal(stream_connect(&s, &addr, NULL, stream_clock_ms() + LONG_MS), -1);
	assert_string_equal(s.error, "Connection refused");
	stream_close(&s);

	/* a deadline that is over */
	fd = net_listen(&addr, 5);
	assert_int_equal(stream_connect(&s, &addr, NULL, stream_clock_ms() - 1), -1);
	assert_string_equal(s.error, "connect: no answer in time");
	stream_close(&s);
	assert_int_equal(stream_connect(&s, &addr, NULL, stream_clock_ms() + LONG_MS), 0);
	s.deadline_ms = stream_clock_ms() - 1;
	assert_int_equal(stream_read(&s, &b, 1), -1);
	assert_int_equal(stream_write(&s, &b, 1), -1);
	stream_close(&s);
	close(fd);
}

static void
test_resolve(void **state)
{
	int64_t until = stream_clock_ms() + LONG_MS;
	struct net_addr a[4], want;
	char err[100] = "", text[NET_ADDR_TEXT];
	size_t n, i;

	(void)state;
	assert_int_equal(stream_resolve("192.0.2.7", 25, until, a, ARRAY_LEN(a), err, 100), 1);
	net_addr_format(&a[0], text);
	assert_string_equal(text, "192.0.2.7:25");
	assert_int_equal(stream_resolve("2001:db8::1", 587, until, a, ARRAY_LEN(a), err, 100), 1);
	net_addr_format(&a[0], text);
	assert_string_equal(text, "[2001:db8::1]:587");
	n = stream_resolve("localhost", 25, until, a, ARRAY_LEN(a), err, 100);
	assert_true(n >= 1);
	assert_int_equal(net_addr_parse(span_of("127.0.0.1:25"), &want), 0);
	for (i = 0; i < n; i++) {
		assert_int_equal(a[i].port, 25);
		if (net_addr_equal_ip(&a[i], &want))
			break;
	}
	assert_true(i < n);
	/* no look-up is begun without time for it */
	assert_int_equal(stream_resolve("localhost", 25, until - 2 * LONG_MS, a, 4, err, 100), 0);
	assert_string_equal(err, "no time left to look up its address");
	assert_int_equal(stream_resolve("", 25, until, a, 4, err, 100), 0);
	assert_true(strncmp(err, "address: ", 9) == 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_talk),
	    cmocka_unit_test(test_deadline),
	    cmocka_unit_test(test_write),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_resolve),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
