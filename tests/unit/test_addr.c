/* SPDX-License-Identifier: ISC */
/* P1, P4 (SMTPUTF8), S11: addresses, domains and their comparison. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/str.h"
#include "mail/addr.h"

#define L64 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg"
#define L63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"
#define D255 L63 "." L63 "." L63 "." L63

static const struct {
	const char *in;
	unsigned flags;
	enum addr_error error;
	const char *out, *ascii, *rest; /* formatted; NULL: as in, without brackets */
} paths[] = {
    {"<a@b.example>", 0, ADDR_OK, "a@b.example", "a@b.example", ""},
    {"<a@b.example> SIZE=1", 0, ADDR_OK, "a@b.example", "a@b.example", " SIZE=1"},
    {"<A.b+c@B.Example>", 0, ADDR_OK, "A.b+c@b.example", "A.b+c@b.example", ""},
    {"<>", ADDR_ALLOW_NULL, ADDR_OK, "", "", ""},
    {"<> RET=HDRS", ADDR_ALLOW_NULL, ADDR_OK, "", "", " RET=HDRS"},
    {"<>", 0, ADDR_SYNTAX, NULL, NULL, NULL},
    {" <a@b>", ADDR_ALLOW_SPACE, ADDR_OK, "a@b", "a@b", ""},
    {" <a@b>", 0, ADDR_SYNTAX, NULL, NULL, NULL},
    {"a@b", 0, ADDR_SYNTAX, NULL, NULL, NULL},
    {"<a@b", 0, ADDR_SYNTAX, NULL, NULL, NULL},
    {"<", 0, ADDR_SYNTAX, NULL, NULL, NULL},
    {"", 0, ADDR_SYNTAX, NULL, NULL, NULL},
    {"<@x.example:a@b>", 0, ADDR_OK, "a@b", "a@b", ""},
    {"<@x.example,@y.example:a@b>", 0, ADDR_OK, "a@b", "a@b", ""},
    {"<@x.example,y:a@b>", 0, ADDR_SYNTAX, NULL, NULL, NULL},
    {"<@:a@b>", 0, ADDR_SYNTAX, NULL, NULL, NULL},
    {"<@x.example:>", 0, ADDR_SYNTAX, NULL, NULL, NULL},
    {"<Postmaster>", ADDR_ALLOW_UNQUALIFIED, ADDR_NO_DOMAIN, "Postmaster", "Postmaster", ""},
    {"<a@>", 0, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<@b>", 0, ADDR_SYNTAX, NULL, NULL, NULL},
    {"<a b@c>", 0, ADDR_SYNTAX, NULL, NULL, NULL},
    {"<a@b c>", 0, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<a@b@c>", 0, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<.a@b>", 0, ADDR_SYNTAX, NULL, NULL, NULL},
    {"<a.@b>", 0, ADDR_SYNTAX, NULL, NULL, NULL},
    {"<a..b@c>", 0, ADDR_SYNTAX, NULL, NULL, NULL},
    {"<a\tb@c>", 0, ADDR_SYNTAX, NULL, NULL, NULL},
    {"<a\rb@c>", 0, ADDR_SYNTAX, NULL, NULL, NULL},
    /* quotes are kept only where they are needed */
    {"<\"abc\"@b>", 0, ADDR_OK, "abc@b", "abc@b", ""},
    {"<\"a b\"@c>", 0, ADDR_OK, "\"a b\"@c", "\"a b\"@c", ""},
    {"<\"a@b>c\"@d>", 0, ADDR_OK, "\"a@b>c\"@d", "\"a@b>c\"@d", ""},
    {"<\"a\\\"b\\\\\"@c>", 0, ADDR_OK, "\"a\\\"b\\\\\"@c", "\"a\\\"b\\\\\"@c", ""},
    {"<\"\\a\\b\"@c>", 0, ADDR_OK, "ab@c", "ab@c", ""},
    {"<\"a..b\"@c>", 0, ADDR_OK, "\"a..b\"@c", "\"a..b\"@c", ""},
    {"<\"\"@c>", 0, ADDR_OK, "\"\"@c", "\"\"@c", ""},
    {"<\"\">", ADDR_ALLOW_UNQUALIFIED, ADDR_SYNTAX, NULL, NULL, NULL},
    {"<\"a@c>", 0, ADDR_SYNTAX, NULL, NULL, NULL},
    {"<\"a\\", 0, ADDR_SYNTAX, NULL, NULL, NULL},
    {"<\"a\nb\"@c>", 0, ADDR_SYNTAX, NULL, NULL, NULL},
    {"<\"a\"b@c>", 0, ADDR_SYNTAX, NULL, NULL, NULL},
    /* limits */
    {"<" L64 "@b>", 0, ADDR_OK, L64 "@b", L64 "@b", ""},
    {"<" L64 "x@b>", 0, ADDR_TOO_LONG, NULL, NULL, NULL},
    {"<a@" L63 ".example>", 0, ADDR_OK, "a@" L63 ".example", "a@" L63 ".example", ""},
    {"<a@" L64 ".example>", 0, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<a@" D255 ">", 0, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<a@" D255 "x>", 0, ADDR_TOO_LONG, NULL, NULL, NULL},
    /* domains */
    {"<a@b_c.example>", 0, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<a@-b.example>", 0, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<a@b-.example>", 0, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<a@b..example>", 0, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<a@.b>", 0, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<a@b.>", 0, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<a@192.0.2.1>", 0, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<a@3com.example>", 0, ADDR_OK, "a@3com.example", "a@3com.example", ""},
    {"<a@xn--bcher-kva.example>", 0, ADDR_OK, "a@xn--bcher-kva.example", "a@xn--bcher-kva.example",
	""},
    {"<a@[192.0.2.1]>", 0, ADDR_OK, "a@[192.0.2.1]", "a@[192.0.2.1]", ""},
    {"<a@[IPv6:2001:DB8:0::1]>", 0, ADDR_OK, "a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]", ""},
    {"<a@[ipv6:::ffff:192.0.2.1]>", 0, ADDR_OK, "a@[IPv6:::ffff:192.0.2.1]",
	"a@[IPv6:::ffff:192.0.2.1]", ""},
    {"<a@[2001:db8::1]>", 0, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<a@[192.0.2.256]>", 0, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<a@[]>", 0, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<a@[192.0.2.1>", 0, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<a@[x:y]>", 0, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    /* RFC 6531 */
    {"<\xc3\xa4@b>", 0, ADDR_UTF8, NULL, NULL, NULL},
    {"<\xc3\xa4@b>", ADDR_ALLOW_UTF8, ADDR_OK, "\xc3\xa4@b", NULL, ""},
    {"<\xc3@b>", ADDR_ALLOW_UTF8, ADDR_UTF8, NULL, NULL, NULL},
    {"<\xc2\x85@b>", ADDR_ALLOW_UTF8, ADDR_SYNTAX, NULL, NULL, NULL},
    {"<\"\xc3\xa4 b\"@c>", ADDR_ALLOW_UTF8, ADDR_OK, "\"\xc3\xa4 b\"@c", NULL, ""},
    {"<a@b\xc3\xbc"
     "cher.Example>",
	ADDR_ALLOW_UTF8, ADDR_OK,
	"a@b\xc3\xbc"
	"cher.example",
	"a@xn--bcher-kva.example", ""},
    {"<a@b\xc3\xbc"
     "cher.example>",
	0, ADDR_UTF8, NULL, NULL, NULL},
    /* LIBRARIES 11: what libidn2 would delete or make a dot of */
    {"<a@b_\xc3\xbc.example>", ADDR_ALLOW_UTF8, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<a@b$\xc3\xbc.example>", ADDR_ALLOW_UTF8, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<a@\xef\xbc\x8e"
     "com>",
	ADDR_ALLOW_UTF8, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<a@b\xe3\x80\x82"
     "com>",
	ADDR_ALLOW_UTF8, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<a@\xc3\xbc..example>", ADDR_ALLOW_UTF8, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<a@exam\xc2\xadple.com>", ADDR_ALLOW_UTF8, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
    {"<a@\xef\xbd\x81.com>", ADDR_ALLOW_UTF8, ADDR_BAD_DOMAIN, NULL, NULL, NULL},
};

static void
test_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		char text[ADDR_TEXT], ascii[ADDR_TEXT] = "";
		struct span rest = {NULL, 0};
		struct addr a;
		enum addr_error e =
		    addr_parse_path(span_of(paths[i].in), paths[i].flags, &a, &rest);

		if (e != paths[i].error)
			fail_msg("%s: %d (%s)", paths[i].in, (int)e, addr_error_text(e));
		if (paths[i].out == NULL)
			continue;
		addr_format(&a, text);
		assert_string_equal(text, paths[i].out);
		assert_true(span_eq(rest, paths[i].rest));
		assert_int_equal(addr_format_ascii(&a, ascii), paths[i].ascii == NULL ? -1 : 0);
		if (paths[i].ascii != NULL)
			assert_string_equal(ascii, paths[i].ascii);
		assert_int_equal(addr_is_null(&a), text[0] == '\0');
		assert_int_equal(a.utf8, !str_is_ascii(span_of(text)));
	}
}

static void
test_bare(void **state)
{
	struct addr a, b;

	(void)state;
	assert_int_equal(addr_parse(span_of("a@b"), 0, &a), ADDR_OK);
	assert_int_equal(addr_parse(span_of("a@b>"), 0, &a), ADDR_BAD_DOMAIN);
	assert_int_equal(addr_parse(span_of("a"), ADDR_ALLOW_UNQUALIFIED, &a), ADDR_NO_DOMAIN);
	assert_string_equal(a.local, "a");
	assert_int_equal(addr_parse(span_of(""), ADDR_ALLOW_NULL, &a), ADDR_OK);
	assert_int_equal(addr_parse(span_of(""), 0, &a), ADDR_SYNTAX);
	assert_int_equal(addr_parse((struct span){"a@b\0c", 5}, 0, &a), ADDR_BAD_DOMAIN);
	assert_int_equal(addr_parse((struct span){"a\0@b", 4}, 0, &a), ADDR_SYNTAX);
	assert_int_equal(addr_parse((struct span){"a@[1.2.3.4\0]", 12}, 0, &a), ADDR_BAD_DOMAIN);
	/* S11 */
	assert_int_equal(addr_parse(span_of("Joe.X@Example.COM"), 0, &a), ADDR_OK);
	assert_int_equal(addr_parse(span_of("\"joe.x\"@example.com"), 0, &b), ADDR_OK);
	assert_true(addr_equal(&a, &b));
	assert_int_equal(addr_parse(span_of("joey@example.com"), 0, &b), ADDR_OK);
	assert_false(addr_equal(&a, &b));
	assert_int_equal(addr_parse(span_of("a@B\xc3\x9c"
					    "CHER.example"),
			     ADDR_ALLOW_UTF8, &a),
	    ADDR_OK);
	assert_int_equal(addr_parse(span_of("A@xn--bcher-kva.example"), 0, &b), ADDR_OK);
	assert_true(addr_equal(&a, &b));
}

static void
test_domains(void **state)
{
	char out[ADDR_DOMAIN_MAX + 1] = "untouched";

	(void)state;
	assert_int_equal(addr_domain_ascii(span_of("a_b"), out), -1);
	assert_int_equal(addr_domain_ascii(span_of("a_\xc3\xbc"), out), -1);
	assert_string_equal(out, "untouched");
	assert_int_equal(addr_domain_ascii(span_of("EXAMPLE.Com"), out), 0);
	assert_string_equal(out, "example.com");
	assert_int_equal(addr_domain_ascii(span_of("b\xc3\xbc"
						   "cher.example"),
			     out),
	    0);
	assert_string_equal(out, "xn--bcher-kva.example");
	/* non-transitional: sharp s stays itself */
	assert_int_equal(addr_domain_ascii(span_of("fa\xc3\x9f.de"), out), 0);
	assert_string_equal(out, "xn--fa-hia.de");
	assert_int_equal(addr_domain_ascii(span_of("[192.0.2.1]"), out), -1);
	assert_int_equal(addr_domain_ascii(span_of(""), out), -1);
	assert_int_equal(addr_domain_ascii((struct span){"a\0b", 3}, out), -1);
	assert_int_equal(addr_domain_ascii((struct span){"xn--a\0\xc3\xbc", 8}, out), -1);
}

static void
test_glob(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool match;
	} t[] = {
	    {"a@b", "A@B", true},
	    {"a@b", "a@bc", false},
	    {"example.com", "x@Example.com", true},
	    {"@example.com", "x@example.com", true},
	    {"example.com", "x@sub.example.com", false},
	    {"*.example.com", "x@sub.example.com", true},
	    {"*@example.com", "x@example.com", true},
	    {"*@example.com", "x@example.org", false},
	    {"*", "x@example.com", true},
	    {"*", "", true},
	    {"", "", true},
	    {"", "a", false},
	    {"a?c@b", "abc@b", true},
	    {"a?c@b",
		"a\xc3\xa4"
		"c@b",
		true},
	    {"a?c@b", "ac@b", false},
	    {"*a*b*c@d", "xxaxxbxxc@d", true},
	    {"*a*b*c@d", "xxaxxcxxb@d", false},
	    {"alice", "alice@example.com", false},
	    {"alice", "Alice", true},
	    {"\"x@y\"@z", "\"x@y\"@z", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		if (addr_glob_match(t[i].pattern, t[i].text) != t[i].match)
			fail_msg("%s ~ %s", t[i].pattern, t[i].text);
}

static void
test_fold(void **state)
{
	static const char *const t[][2] = {
	    {"", ""},
	    {"Ann@Example.COM", "ann@example.com"},
	    {"\xc3\x96lga", "\xc3\xb6lga"},
	    {"O\xcc\x88LGA@X", "\xc3\xb6lga@x"},
	    /* as it is, and not ss: another mailbox, and another domain */
	    {"STRA\xc3\x9f"
	     "E@x",
		"stra\xc3\x9f"
		"e@x"},
	    {"\xc3\x9f\xc3\x9f", "\xc3\x9f\xc3\x9f"},
	    {"a@STRA\xc3\x9f"
	     "E",
		"a@stra\xc3\x9f"
		"e"},
	    {"\xe2\x84\xaa@\xe2\x84\xaa", "k@\xe2\x84\xaa"}, /* the sign for kelvin */
	    {"\"\xc3\x84@b\"@c", "\"\xc3\xa4@b\"@c"},
	    /* no @ and no wildcard comes of what looks like one */
	    {"Ann\xef\xbc\xa0x", "ann\xef\xbc\xa0x"},
	    {"Ann\xef\xb9\xab\xef\xbc\xa1@x", "ann\xef\xb9\xab"
					      "a@x"},
	    {"\xef\xbc\x8a\xef\xb9\xa1\xef\xbc\x9f\xef\xb9\x96\xe2\x81\x87\xe2\x81\x88\xe2\x81\x89@"
	     "x",
		"\xef\xbc\x8a\xef\xb9\xa1\xef\xbc\x9f\xef\xb9\x96\xe2\x81\x87\xe2\x81\x88\xe2\x81"
		"\x89@x"},
	};
	char out[ADDR_FOLDED];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		assert_int_equal(addr_fold(span_of(t[i][0]), out, sizeof(out)), 0);
		assert_string_equal(out, t[i][1]);
	}
	assert_int_equal(addr_fold(span_of("\xff"), out, sizeof(out)), -1);
	assert_int_equal(addr_fold(span_of("ab"), out, 2), -1);
	assert_int_equal(addr_fold(span_of("a@b"), out, 3), -1);
	assert_int_equal(addr_fold(span_of("a\xc3\x9f"), out, 3), -1);
}

static void
test_record(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct buf b = BUF_INIT;
		struct addr a, c;
		struct span rest;
		struct rd r;

		if (addr_parse_path(span_of(paths[i].in), paths[i].flags, &a, &rest) != ADDR_OK)
			continue;
		addr_encode(&b, &a);
		rd_init(&r, buf_data(&b), buf_len(&b));
		assert_int_equal(addr_decode(&r, &c), 0);
		assert_true(rd_done(&r));
		assert_true(addr_equal(&a, &c));
		assert_string_equal(a.domain, c.domain);
		assert_int_equal(a.utf8, c.utf8);
		for (size_t n = 0; n < buf_len(&b); n++) {
			rd_init(&r, buf_data(&b), n);
			assert_int_equal(addr_decode(&r, &c), -1);
			assert_true(r.bad);
		}
		buf_clear(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_paths),
	    cmocka_unit_test(test_bare),
	    cmocka_unit_test(test_domains),
	    cmocka_unit_test(test_glob),
	    cmocka_unit_test(test_fold),
	    cmocka_unit_test(test_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
