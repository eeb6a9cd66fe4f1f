/* SPDX-License-Identifier: ISC */
/* P5 (RFC 6409 fix-ups, Received), S14/S15 (From and Sender), and texts for lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/str.h"
#include "mail/header.h"

#define UE "\xc3\xbc"

/* From values: the addresses found, blank separated; "!" at the end: not all could be read. */
static const struct {
	const char *value, *found;
} froms[] = {
    {"a@b.example", "a@b.example"},
    {"<a@b.example>", "a@b.example"},
    {"Joe Doe <a@b.example>", "a@b.example"},
    {"J. Doe <a@b.example>", "a@b.example"},
    {"\"Doe, Joe\" <a@b.example>", "a@b.example"},
    {"\"x <evil@c.example>\" <a@b.example>", "a@b.example"},
    {"\"q\\\"<e@c>\\\"\" <a@b.example>", "a@b.example"},
    {"=?utf-8?q?J=C3=BCrgen?= <a@b.example>", "a@b.example"},
    {"J" UE "rgen <a@b.example>", "a@b.example"},
    {"a@b.example (Joe (at) home)", "a@b.example"},
    {"(x) Joe (y) <(z) a (w) @ (v) b.example (u)> (t)", "a@b.example"},
    {"a@b.example, Joe <c@d.example>,e@f.example", "a@b.example c@d.example e@f.example"},
    {"a@b.example,, c@d.example,", "a@b.example c@d.example"},
    {"Joe\r\n <a@b.example>,\r\n\tc@d.example", "a@b.example c@d.example"},
    {"Group: a@b.example, c@d.example;", "a@b.example c@d.example"},
    {"Group: a@b.example;, c@d.example", "a@b.example c@d.example"},
    {"<@r.example,@s.example:a@b.example>", "a@b.example"},
    {"a . b @ c . example", "a.b@c.example"},
    {"\"a b\"@c.example", "\"a b\"@c.example"},
    {"a@[192.0.2.1]", "a@[192.0.2.1]"},
    {"me@b.example <a@b.example>", "a@b.example"},
    {"root", "root"},
    {"Joe <root>", "root"},
    {"a@b" UE ".example", "a@b" UE ".example"},
    {"", "!"},
    {"<>", "!"},
    {"undisclosed: ;", "!"},
    {"Joe Doe", "!"},
    {"\"Joe\"", "!"},
    {"a@b.example c@d.example", "!"},
    {"<a@b.example> <c@d.example>", "!"},
    {"<a@b.example", "!"},
    {"a@b.example (open", "!"},
    {"\"open <a@b.example>", "!"},
    {"a@b.example, c@@d", "a@b.example !"},
    {"a@b_c.example", "!"},
    {"a@", "!"},
    {"@b.example", "!"},
    {"a\\b@c.example", "!"},
    {"a@b.example\x01", "!"},
};

static void
test_from(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(froms); i++) {
		struct buf block = BUF_INIT, found = BUF_INIT;
		struct header_info h;
		char text[ADDR_TEXT];

		buf_addf(&block, "X: y\r\nFrom: %s\r\nTo: z@z\r\n", froms[i].value);
		header_scan(buf_span(&block), &h);
		for (unsigned j = 0; j < h.n_from; j++) {
			addr_format(&h.from[j], text);
			buf_addf(&found, "%s%s", j > 0 ? " " : "", text);
		}
		if (h.from_unparsable)
			buf_addf(&found, "%s!", buf_len(&found) > 0 ? " " : "");
		assert_true(h.has_from && h.has_to && !h.malformed);
		assert_string_equal(buf_cstr(&found), froms[i].found);
		buf_clear(&block);
		buf_clear(&found);
	}
}

static void
test_all_from_and_sender_fields_count(void **state)
{
	struct header_info h;
	struct buf b = BUF_INIT;

	(void)state;
	header_scan(span_of("From: a@b\r\nfrom : c@d\r\nSENDER: e@f\r\n"), &h);
	assert_int_equal(h.n_from, 3);
	assert_true(h.has_sender && !h.from_unparsable);
	assert_true(span_eq(h.from_text, "a@b"));
	/* one more than fits is not overlooked */
	buf_add_str(&b, "From: ");
	for (int i = 0; i <= HEADER_MAX_FROM; i++)
		buf_addf(&b, "%sa%d@b", i > 0 ? "," : "", i);
	buf_add_str(&b, "\r\n");
	header_scan(buf_span(&b), &h);
	assert_int_equal(h.n_from, HEADER_MAX_FROM);
	assert_true(h.from_unparsable);
	buf_clear(&b);
}

static void
test_scan(void **state)
{
	static const char block[] = "Received: x\r\nReceived: y\r\n\tby z\r\nDate: now\r\n"
				    "Message-Id: <1@x>\r\nSubject: a\r\n b\r\nbcc: q@q\r\n";
	struct header_info h;
	struct span s;

	(void)state;
	header_scan(span_of(block), &h);
	assert_int_equal(h.received, 2);
	assert_true(h.has_date && h.has_message_id && h.has_bcc);
	assert_false(h.has_from || h.has_8bit || h.malformed);
	assert_true(span_eq(h.subject, "a\r\n b"));
	assert_true(span_eq(h.message_id, "<1@x>"));
	assert_int_equal(h.valid_bytes, sizeof(block) - 1);
	s = header_find(span_of(block), "RECEIVED");
	assert_true(span_eq(s, "x"));
	assert_null(header_find(span_of(block), "Receive").p);
	header_scan(span_of(""), &h);
	assert_false(h.malformed);
}

static void
test_malformed(void **state)
{
	static const struct {
		const char *block;
		size_t valid;
	} t[] = {
	    {" x: y\r\n", 0},
	    {"no colon\r\n", 0},
	    {"A: b\r\nno colon\r\nC: d\r\n", 6},
	    {"A: b\r\n: x\r\n", 6},
	    {"A: b\r\nF" UE ": x\r\n", 6},
	    {"A: b\r\n c\r\nx y: z\r\n", 10},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct header_info h;

		header_scan(span_of(t[i].block), &h);
		assert_true(h.malformed);
		assert_int_equal(h.valid_bytes, t[i].valid);
	}
}

static void
fixed(const char *block, const struct header_fix *fix, struct buf *out)
{
	struct header_info h;

	header_scan(span_of(block), &h);
	header_copy_fixed(out, span_of(block), &h, fix);
}

static void
test_fixes(void **state)
{
	struct uuid mid = {{1}};
	const struct header_fix all = {
	    true, true, true, 1700000000000, "mx.example", &mid, "q.example"};
	struct header_fix fix = all;
	struct buf out = BUF_INIT;

	(void)state;
	fixed(
	    "From: a, B <c>,\r\n \"n\" <d@e>\r\nTo: g: h (x);, i@j\r\nBcc: x@y,\r\n z@w\r\nX: k\r\n"
	    "Resent-bcc: l\r\nDate: d\r\nMessage-ID: <m>\r\n",
	    &fix, &out);
	assert_string_equal(buf_cstr(&out),
	    "From: a@q.example, B <c@q.example>,\r\n \"n\" <d@e>\r\n"
	    "To: g: h@q.example (x);, i@j\r\nX: k\r\nDate: d\r\nMessage-ID: <m>\r\n");
	buf_reset(&out);
	fixed("X: y\r\n", &fix, &out);
	assert_string_equal(buf_cstr(&out),
	    "X: y\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
	    "Message-ID: <01000000-0000-0000-0000-000000000000@mx.example>\r\n");
	/* nothing asked for: nothing changed, Bcc included */
	fix = (struct header_fix){.now_ms = 1};
	buf_reset(&out);
	fixed("From: a\r\nBcc: b\r\n", &fix, &out);
	assert_string_equal(buf_cstr(&out), "From: a\r\nBcc: b\r\n");
	/* behind a malformed line all is body, also what looks like Bcc */
	fix = all;
	buf_reset(&out);
	fixed("Date: d\r\nMessage-ID: <m>\r\nrubbish\r\nBcc: b\r\n", &fix, &out);
	assert_string_equal(buf_cstr(&out), "Date: d\r\nMessage-ID: <m>\r\n");
	buf_clear(&out);
}

static void
test_completion_never_makes_a_line_too_long(void **state)
{
	const struct header_fix fix = {.qualify_domain = "q.example"};
	struct buf in = BUF_INIT, out = BUF_INIT;
	struct header_info h;

	(void)state;
	buf_add_str(&in, "To: a");
	for (int i = 0; i < 330; i++)
		buf_add_str(&in, ", b");
	buf_add_str(&in, "\r\n");
	header_scan(buf_span(&in), &h);
	header_copy_fixed(&out, buf_span(&in), &h, &fix);
	assert_true(buf_len(&out) <= 1000);
	buf_clear(&in);
	buf_clear(&out);
}

static void
test_decode_text(void **state)
{
	static const struct {
		const char *raw;
		size_t max;
		const char *out;
	} t[] = {
	    {"plain", 100, "plain"},
	    {"a\r\n b", 100, "a b"},
	    {"=?utf-8?q?J=C3=BCrgen_x?=", 100, "J" UE "rgen x"},
	    {"=?UTF-8?B?SsO8cmdlbg==?= y", 100, "J" UE "rgen y"},
	    {"=?iso-8859-1?Q?J=FCrgen?=", 100, "J" UE "rgen"},
	    {"=?windows-1252?Q?=80?=", 100, "\xe2\x82\xac"},
	    {"=?utf-8*de?q?x?=", 100, "x"},
	    {"=?utf-8?q?a?= =?utf-8?q?b?=", 100, "ab"},
	    {"=?utf-8?q?a?=\r\n =?utf-8?q?b?= c", 100, "ab c"},
	    {"=?utf-8?q?=C3?= =?utf-8?q?=BC?=", 100, UE},
	    {"=?utf-8?q?a?= x =?utf-8?q?b?=", 100, "a x b"},
	    {"=?koi8-r?q?a?=", 100, "=?koi8-r?q?a?="},
	    {"=?utf-8?b?###?=", 100, "=?utf-8?b?###?="},
	    {"=?utf-8?q?unclosed", 100, "=?utf-8?q?unclosed"},
	    {"=?utf-8?q?=0D=0Aevil=00x?=", 100, "  evil x"},
	    {"a\x1b[1mb", 100, "a [1mb"},
	    {"a\xffz", 100, "a\xef\xbf\xbdz"},
	    {UE UE UE, 5, UE UE},
	    {"", 10, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct buf out = BUF_INIT;

		header_decode_text(span_of(t[i].raw), t[i].max, &out);
		assert_string_equal(buf_cstr(&out), t[i].out);
		buf_clear(&out);
	}
}

static void
test_date(void **state)
{
	char out[HEADER_DATE_TEXT];

	(void)state;
	header_format_date(0, out);
	assert_string_equal(out, "Thu, 1 Jan 1970 00:00:00 +0000");
	setenv("TZ", "XXX+3:30", 1);
	tzset();
	header_format_date(1700000000123, out);
	assert_string_equal(out, "Tue, 14 Nov 2023 18:43:20 -0330");
	setenv("TZ", "UTC0", 1);
	tzset();
}

static void
test_received(void **state)
{
	struct uuid mid = {{1}};
	struct net_addr client = {.family = 4, .ip = {192, 0, 2, 7}};
	struct header_received r = {.helo = "pc.example",
	    .client = &client,
	    .hostname = "mx.example",
	    .esmtp = true,
	    .tls = true,
	    .auth = true,
	    .tls_version = "TLSv1.3",
	    .tls_cipher = "TLS_AES_256_GCM_SHA384",
	    .mid = &mid,
	    .rcpt = "a@b.example"};
	struct buf out = BUF_INIT;
	char evil[2000];

	(void)state;
	header_add_received(&out, &r);
	assert_string_equal(buf_cstr(&out), "Received: from pc.example ([192.0.2.7])\r\n"
					    "\tby mx.example (submitd) with ESMTPSA\r\n"
					    "\t(TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
					    "\tid 01000000-0000-0000-0000-000000000000\r\n"
					    "\tfor <a@b.example>;\r\n"
					    "\tThu, 1 Jan 1970 00:00:00 +0000\r\n");
	/* hostile names cannot leave their place */
	memset(evil, 'x', sizeof(evil));
	memcpy(evil, "a\r\n\r\nX: y (;)<>\"", 16);
	evil[sizeof(evil) - 1] = '\0';
	r.helo = evil;
	r.rcpt = "a\r\nb@c";
	r.tls_cipher = "c)\r\nX: y";
	buf_reset(&out);
	header_add_received(&out, &r);
	assert_null(strstr(buf_cstr(&out), "\r\nX"));
	assert_null(strstr(buf_cstr(&out), "for"));
	assert_non_null(strstr(buf_cstr(&out), "from a????X:?y???????xxx"));
	for (const char *p = buf_cstr(&out), *e; (e = strchr(p, '\n')) != NULL; p = e + 1) {
		assert_true(e - p < 998);
		assert_true(e[1] == '\t' || e[1] == '\0');
	}
	/* a hidden client, and nothing known */
	r = (struct header_received){.hostname = "mx.example", .rcpt = "\xc3\xa4@b"};
	buf_reset(&out);
	header_add_received(&out, &r);
	assert_string_equal(buf_cstr(&out),
	    "Received: by mx.example (submitd) with SMTP;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n");
	r.utf8 = r.esmtp = true;
	buf_reset(&out);
	header_add_received(&out, &r);
	assert_non_null(strstr(buf_cstr(&out), "with UTF8SMTP\r\n\tfor <\xc3\xa4@b>"));
	buf_clear(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_from),
	    cmocka_unit_test(test_all_from_and_sender_fields_count),
	    cmocka_unit_test(test_scan),
	    cmocka_unit_test(test_malformed),
	    cmocka_unit_test(test_fixes),
	    cmocka_unit_test(test_completion_never_makes_a_line_too_long),
	    cmocka_unit_test(test_decode_text),
	    cmocka_unit_test(test_date),
	    cmocka_unit_test(test_received),
	};

	setenv("TZ", "UTC0", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
