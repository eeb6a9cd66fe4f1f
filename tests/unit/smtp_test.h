/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_TESTS_UNIT_SMTP_TEST_H
#define SUBMITD_TESTS_UNIT_SMTP_TEST_H

/* What the tests of SMTP sessions share: dialogs on the fake front. */

#include "tests/lib/fake_front.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define AUTH_OK "AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA==\r\n"
#define AUTH_BAD "AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHdyb25n\r\n"
#define LOGIN "EHLO c\r\n" AUTH_OK
#define LOGGED_IN "220 mail\n250 \n235 2.7.0\n"
#define ENVELOPE "MAIL FROM:<alice@example.com>\r\nRCPT TO:<bob@example.com>\r\n"
#define LETTER "From: alice@example.com\r\nSubject: x\r\n\r\nHello\r\n"

/* want: beginnings of the last lines of all replies, in order; closed: the session ended. */
struct dialog {
	const char *name, *listener, *say, *want;
	bool closed;
};

static inline void
compare(const char *name, const char *want)
{
	struct span got = buf_span(&fake.out);
	struct span left = span_of(want);

	while (got.n > 0) {
		struct span line = span_cut(&got, '\n'), expected;

		if (line.n == 0 || (line.n > 3 && line.p[3] == '-'))
			continue;
		expected = span_cut(&left, '\n');
		if (expected.n == 0 || line.n < expected.n ||
		    memcmp(line.p, expected.p, expected.n) != 0)
			fail_msg("%s: wanted \"%.*s\", got \"%.*s\"", name, (int)expected.n,
			    expected.p == NULL ? "" : expected.p, (int)line.n, line.p);
	}
	if (left.n > 0)
		fail_msg("%s: no reply for \"%.*s\"", name, (int)left.n, left.p);
}

static inline void
say(const char *text)
{
	fake_feed(text, strlen(text));
}

static inline void
run_dialogs(const struct dialog *d, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		/* in one piece, then octet by octet where pieces make no difference */
		for (int pieces = 0; pieces < 2; pieces++) {
			if (pieces == 1 && strstr(d[i].name, "P2 ") != NULL)
				continue;
			fake_connect(d[i].listener);
			if (pieces == 0) {
				say(d[i].say);
			} else {
				for (const char *p = d[i].say; *p != '\0'; p++)
					fake_feed(p, 1);
			}
			compare(d[i].name, d[i].want);
			if (d[i].closed != (fake.io == NULL))
				fail_msg("%s: open or closed, wrongly", d[i].name);
			fake_event(IO_EOF);
			assert_int_equal(fake.front.n_sessions, 0);
			assert_int_equal(fake.front.data_used, 0);
		}
	}
}

static inline int
smtp_test_setup(void **state)
{
	struct log_options o = {.level = LOG_LEVEL_ERROR};
	char err[200];

	(void)state;
	(void)log_open(&o, err, sizeof(err));
	fake_setup();
	return 0;
}

static inline int
smtp_test_teardown(void **state)
{
	(void)state;
	fake_teardown();
	return 0;
}

#endif
