/* SPDX-License-Identifier: ISC */
/*
 * Buffers, strings, encodings, addresses: the vocabulary below all others.
 */
#include "base/enc.h"
#include "base/list.h"
#include "base/log.h"
#include "base/net.h"
#include "base/secret.h"
#include "base/str.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#ifndef __SANITIZE_ADDRESS__ /* which has a free() of its own */
extern void __libc_free(void *);
static const void *watched; /* what is given back there must be all zero */
static size_t watched_n, seen;
static bool was_wiped;

void
free(void *p)
{
	const unsigned char *b = p;

	if (p != NULL && p == watched) {
		was_wiped = true;
		for (size_t i = 0; i < watched_n; i++)
			was_wiped &= b[i] == 0;
		seen++;
	}
	__libc_free(p);
}

/* A6: a buffer that passwords pass through leaves none behind, neither growing nor at its end. */
static void
buf_wipes_what_it_gives_back(void **state)
{
	struct buf b = {.wipes = true};

	(void)state;
	buf_add_str(&b, "correct horse");
	buf_consume(&b, 8);
	watched = b.mem;
	watched_n = b.cap;
	(void)buf_reserve(&b, 4096);
	assert_int_equal(seen, 1);
	assert_true(was_wiped);
	assert_true(span_eq(buf_span(&b), "horse"));
	watched = b.mem;
	watched_n = b.cap;
	buf_clear(&b);
	assert_int_equal(seen, 2);
	assert_true(was_wiped);
	assert_true(b.wipes);
	watched = NULL;
}
#endif

static void
buf_grows_and_is_eaten(void **state)
{
	struct buf b = BUF_INIT;
	char expect[16];

	(void)state;
	assert_int_equal(buf_len(&b), 0);
	for (int i = 0; i < 5000; i++)
		buf_addf(&b, "%06d,", i);
	assert_int_equal(buf_len(&b), 35000);
	for (int i = 0; i < 4999; i++) {
		snprintf(expect, sizeof(expect), "%06d,", i);
		assert_memory_equal(buf_data(&b), expect, 7);
		buf_consume(&b, 7);
		buf_add(&b, "x", 1); /* slides while it is eaten */
	}
	assert_int_equal(buf_len(&b), 7 + 4999);
	buf_truncate(&b, 6);
	assert_string_equal(buf_cstr(&b), "004999");
	buf_clear(&b);
}

static void
buf_long_format(void **state)
{
	struct buf b = BUF_INIT;
	char big[600];

	(void)state;
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	buf_addf(&b, "<%s>", big);
	assert_int_equal(buf_len(&b), 601);
	assert_int_equal(buf_data(&b)[600], '>');
	buf_clear(&b);
}

static void
reader_notices_every_cut(void **state)
{
	struct buf b = BUF_INIT;
	struct rd r;

	(void)state;
	buf_put_u8(&b, 7);
	buf_put_u16(&b, 0x1234);
	buf_put_u32(&b, 0xdeadbeef);
	buf_put_u64(&b, 0x0123456789abcdefULL);
	buf_put_cstr(&b, "text");
	for (size_t n = 0; n <= buf_len(&b); n++) {
		rd_init(&r, buf_data(&b), n);
		uint8_t a = rd_u8(&r);
		uint16_t c = rd_u16(&r);
		uint32_t d = rd_u32(&r);
		uint64_t e = rd_u64(&r);
		struct span s = rd_bytes(&r);
		assert_int_equal(rd_done(&r), n == buf_len(&b));
		if (rd_done(&r)) {
			assert_int_equal(a, 7);
			assert_int_equal(c, 0x1234);
			assert_int_equal(d, 0xdeadbeef);
			assert_true(e == 0x0123456789abcdefULL);
			assert_true(span_eq(s, "text"));
		}
	}
	/* a length that points behind the end */
	const uint8_t lie[] = {255, 255, 255, 255, 'x'};
	rd_init(&r, lie, sizeof(lie));
	assert_int_equal(rd_bytes(&r).n, 0);
	assert_true(r.bad);
	buf_clear(&b);
}

static void
numbers_are_strict(void **state)
{
	static const struct {
		const char *text;
		int error; /* 0: good */
		uint64_t value;
	} cases[] = {{"0", 0, 0}, {"10", 0, 10}, {"", EINVAL, 0}, {"-1", EINVAL, 0},
	    {" 1", EINVAL, 0}, {"1 ", EINVAL, 0}, {"0x1", EINVAL, 0},
	    {"18446744073709551616", ERANGE, 0}, {"101", ERANGE, 0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t v = 4711;
		errno = 0;
		int rc = str_to_u64(cases[i].text, 0, 100, &v);
		assert_int_equal(rc, cases[i].error == 0 ? 0 : -1);
		if (rc == 0) {
			assert_true(v == cases[i].value);
		} else {
			assert_int_equal(errno, cases[i].error);
			assert_int_equal(v, 4711); /* untouched on failure */
		}
	}
}

static void
spans_are_cut(void **state)
{
	struct span rest = span_of("a,,b");

	(void)state;
	assert_true(span_eq(span_cut(&rest, ','), "a"));
	assert_true(span_eq(span_cut(&rest, ','), ""));
	assert_true(span_eq(span_cut(&rest, ','), "b"));
	assert_null(rest.p);
	assert_true(span_eq(span_trim(span_of(" \t x y\t ")), "x y"));
	assert_true(span_eq_nocase(span_of("StartTLS"), "STARTTLS"));
	assert_false(span_eq_nocase(span_of("STARTTL"), "STARTTLS"));
}

static void
copies_do_not_truncate(void **state)
{
	char dst[4] = "old";

	(void)state;
	assert_int_equal(str_copy(dst, sizeof(dst), "abc"), 0);
	assert_string_equal(dst, "abc");
	assert_int_equal(str_copy(dst, sizeof(dst), "abcd"), -1);
	assert_string_equal(dst, "");
	assert_int_equal(str_printf(dst, sizeof(dst), "%d", 12345), -1);
	assert_string_equal(dst, "");
}

static void
utf8_is_checked(void **state)
{
	static const struct {
		const char *text;
		bool valid;
	} cases[] = {{"", true}, {"abc", true}, {"\xc3\xa4", true}, {"\xe2\x82\xac", true},
	    {"\xf0\x9f\x98\x80", true}, {"\xc0\x80", false}, {"\xe0\x80\x80", false},
	    {"\xed\xa0\x80", false}, {"\xf4\x90\x80\x80", false}, {"\xc3", false}, {"\x80", false},
	    {"\xff", false}, {"a\xe2\x82", false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(utf8_valid(span_of(cases[i].text)), cases[i].valid);
}

static void
base64_is_strict(void **state)
{
	static const struct {
		const char *text, *plain; /* plain NULL: refused */
	} cases[] = {{"", ""}, {"Zg==", "f"}, {"Zm8=", "fo"}, {"Zm9v", "foo"}, {"Zm9vYg==", "foob"},
	    {"Zg=", NULL}, {"Zg", NULL}, {"Zh==", NULL}, {"Z===", NULL}, {"====", NULL},
	    {"Zm9v\n", NULL}, {"Zm9v Zm9v", NULL}, {"Zg==Zg==", NULL}, {"Zm9-", NULL}};
	struct buf b = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_reset(&b);
		buf_add_str(&b, "keep");
		int rc = base64_decode(&b, span_of(cases[i].text));
		assert_int_equal(rc, cases[i].plain == NULL ? -1 : 0);
		assert_memory_equal(buf_data(&b), "keep", 4);
		buf_consume(&b, 4);
		assert_true(span_eq(buf_span(&b), cases[i].plain == NULL ? "" : cases[i].plain));
		if (cases[i].plain != NULL) {
			buf_reset(&b);
			base64_encode(&b, cases[i].plain, strlen(cases[i].plain));
			assert_true(span_eq(buf_span(&b), cases[i].text));
		}
	}
	buf_clear(&b);
}

static void
crc32c_has_the_known_value(void **state)
{
	(void)state;
	/* RFC 3720, B.4 */
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	uint32_t parts = crc32c(crc32c(0, "1234", 4), "56789", 5);
	assert_int_equal(parts, 0xe3069283);
}

static void
uuids_sort_and_differ_after_fork(void **state)
{
	struct uuid a, b, c;
	char ta[UUID_TEXT];
	int fds[2];

	(void)state;
	uuid_make_v7(&a);
	uuid_format(&a, ta);
	assert_int_equal(ta[14], '7');
	assert_int_equal(uuid_parse(span_of(ta), &b), 0);
	assert_true(uuid_equal(&a, &b));
	ta[3] = 'g';
	assert_int_equal(uuid_parse(span_of(ta), &b), -1);
	assert_int_equal(uuid_parse(span_of("0199f3c0-0000-7000-8000-00000000000"), &b), -1);
	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		uuid_make_v7(&c);
		(void)!write(fds[1], c.b, 16);
		_exit(0);
	}
	uuid_make_v7(&a);
	assert_int_equal(read(fds[0], c.b, 16), 16);
	assert_memory_not_equal(a.b + 8, c.b + 8, 8);
	waitpid(pid, NULL, 0);
	close(fds[0]);
	close(fds[1]);
}

static void
json_strings_cannot_break_out(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	json_add_str(&b, (struct span){"a\"\\\n\0\x7f\xff\xc3\xa4", 9});
	assert_true(
	    span_eq(buf_span(&b), "\"a\\\"\\\\\\u000a\\u0000\\u007f\xef\xbf\xbd\xc3\xa4\""));
	buf_reset(&b);
	json_add_str(&b, span_of("\xc2\x9b\xc2\xa0")); /* CSI, as terminals take it too */
	assert_true(span_eq(buf_span(&b), "\"\\u009b\xc2\xa0\""));
	buf_clear(&b);
	/* each octet at each place of a text: eight are looked at together */
	for (unsigned c = 0; c < 256; c++) {
		for (size_t at = 0; at < 20; at++) {
			char text[20], want[8];
			size_t n;

			memset(text, c == '~' ? ' ' : '~', sizeof(text));
			text[at] = (char)c;
			if (c == '"' || c == '\\')
				snprintf(want, sizeof(want), "\\%c", c);
			else if (c < 0x20 || c == 0x7f)
				snprintf(want, sizeof(want), "\\u%04x", c);
			else if (c > 0x7f)
				snprintf(want, sizeof(want), "\xef\xbf\xbd");
			else
				snprintf(want, sizeof(want), "%c", c);
			n = strlen(want);
			buf_reset(&b);
			json_add_str(&b, (struct span){text, sizeof(text)});
			assert_int_equal(buf_len(&b), sizeof(text) + 1 + n);
			assert_memory_equal(buf_data(&b) + 1, text, at);
			assert_memory_equal(buf_data(&b) + 1 + at, want, n);
			assert_memory_equal(
			    buf_data(&b) + 1 + at + n, text + at + 1, sizeof(text) - at - 1);
		}
	}
	buf_clear(&b);
}

static void
addresses_and_networks(void **state)
{
	struct net_addr a, b;
	struct net_cidr c;
	char text[NET_ADDR_TEXT];

	(void)state;
	assert_int_equal(net_addr_parse(span_of("192.0.2.1:25"), &a), 0);
	net_addr_format(&a, text);
	assert_string_equal(text, "192.0.2.1:25");
	assert_int_equal(net_addr_parse(span_of("[2001:db8::1]:587"), &a), 0);
	net_addr_format(&a, text);
	assert_string_equal(text, "[2001:db8::1]:587");
	/* an IPv4 address in IPv6 clothes is IPv4: lists must not miss it */
	assert_int_equal(net_addr_parse_ip(span_of("::ffff:192.0.2.1"), &a), 0);
	assert_int_equal(net_addr_parse_ip(span_of("192.0.2.1"), &b), 0);
	assert_true(net_addr_equal_ip(&a, &b));
	static const char *const bad[] = {"192.0.2.1", "192.0.2.1:", "192.0.2.1:65536",
	    "2001:db8::1:25", "[192.0.2.1]:25", "[::1]", "[::1]x25", ":25", "localhost:25"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(net_addr_parse(span_of(bad[i]), &a), -1);
	assert_int_equal(net_cidr_parse(span_of("192.0.2.0/25"), &c), 0);
	(void)net_addr_parse_ip(span_of("192.0.2.127"), &a);
	assert_true(net_cidr_match(&c, &a));
	(void)net_addr_parse_ip(span_of("192.0.2.128"), &a);
	assert_false(net_cidr_match(&c, &a));
	(void)net_addr_parse_ip(span_of("::1"), &a);
	assert_false(net_cidr_match(&c, &a));
	assert_int_equal(net_cidr_parse(span_of("0.0.0.0/0"), &c), 0);
	(void)net_addr_parse_ip(span_of("203.0.113.9"), &a);
	assert_true(net_cidr_match(&c, &a));
	assert_int_equal(net_cidr_parse(span_of("192.0.2.0/33"), &c), -1);
	assert_int_equal(net_cidr_parse(span_of("192.0.2.0/"), &c), -1);
}

static void
secrets_compare_whole(void **state)
{
	struct secret a = {0}, b = {0};

	(void)state;
	secret_set(&a, "pass\0word", 9);
	secret_set(&b, "pass\0wore", 9);
	assert_false(secret_equal(&a, &b));
	secret_set(&b, "pass", 4);
	assert_false(secret_equal(&a, &b));
	secret_set(&b, "pass\0word", 9);
	assert_true(secret_equal(&a, &b));
	secret_clear(&a);
	secret_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(buf_grows_and_is_eaten),
#ifndef __SANITIZE_ADDRESS__
	    cmocka_unit_test(buf_wipes_what_it_gives_back),
#endif
	    cmocka_unit_test(buf_long_format),
	    cmocka_unit_test(reader_notices_every_cut),
	    cmocka_unit_test(numbers_are_strict),
	    cmocka_unit_test(spans_are_cut),
	    cmocka_unit_test(copies_do_not_truncate),
	    cmocka_unit_test(utf8_is_checked),
	    cmocka_unit_test(base64_is_strict),
	    cmocka_unit_test(crc32c_has_the_known_value),
	    cmocka_unit_test(uuids_sort_and_differ_after_fork),
	    cmocka_unit_test(json_strings_cannot_break_out),
	    cmocka_unit_test(addresses_and_networks),
	    cmocka_unit_test(secrets_compare_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
