/* SPDX-License-Identifier: ISC */
/*
 * S45: URLs of the configuration, and names and passwords in URLs, forms and JSON:
 * always escaped, never looked at twice.
 */
#include "base/list.h"
#include "base/str.h"
#include "base/template.h"
#include "base/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void
test_urls(void **state)
{
	static const struct {
		const char *text, *host, *path, *query; /* host NULL: wrong */
		uint16_t port;
		bool https, loopback;
	} cases[] = {
	    {"https://a.example/x?y=z?", "a.example", "/x", "y=z?", 443, true, false},
	    {"HTTPS://a.example", "a.example", "", NULL, 443, true, false},
	    {"http://127.0.0.1:8080/", "127.0.0.1", "/", NULL, 8080, false, true},
	    {"http://localhost?q", "localhost", "", "q", 80, false, true},
	    {"https://[::1]:1/", "::1", "/", NULL, 1, true, true},
	    {"https://[2001:db8::1]", "2001:db8::1", "", NULL, 443, true, false},
	    {"https://127.0.0.1.example/", "127.0.0.1.example", "/", NULL, 443, true, false},
	    {"https://a.example/@x?u@v", "a.example", "/@x", "u@v", 443, true, false},
	    {"https://user@a.example/", NULL, NULL, NULL, 0, false, false},
	    {"https://user:pw@a.example/", NULL, NULL, NULL, 0, false, false},
	    {"https://a.example@b.example/", NULL, NULL, NULL, 0, false, false},
	    {"https://a.example\\@b.example/", NULL, NULL, NULL, 0, false, false},
	    {"https://a.example/#x", NULL, NULL, NULL, 0, false, false},
	    {"https://a.example/ x", NULL, NULL, NULL, 0, false, false},
	    {"https://a.example/\r\nHost: b", NULL, NULL, NULL, 0, false, false},
	    {"https://m\xc3\xbcnchen.example/", NULL, NULL, NULL, 0, false, false},
	    {"https://a..example/", NULL, NULL, NULL, 0, false, false},
	    {"https://.example/", NULL, NULL, NULL, 0, false, false},
	    {"https:///x", NULL, NULL, NULL, 0, false, false},
	    {"https://a.example:0/", NULL, NULL, NULL, 0, false, false},
	    {"https://a.example:65536/", NULL, NULL, NULL, 0, false, false},
	    {"https://a.example:/", NULL, NULL, NULL, 0, false, false},
	    {"https://[::1]x/", NULL, NULL, NULL, 0, false, false},
	    {"https://[::1/", NULL, NULL, NULL, 0, false, false},
	    {"https://[127.0.0.1]/", NULL, NULL, NULL, 0, false, false},
	    {"https://::1/", NULL, NULL, NULL, 0, false, false},
	    {"file:///etc/passwd", NULL, NULL, NULL, 0, false, false},
	    {"//a.example/", NULL, NULL, NULL, 0, false, false},
	    {"", NULL, NULL, NULL, 0, false, false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct url u;
		const char *wrong = url_parse(span_of(cases[i].text), &u);

		if ((wrong == NULL) != (cases[i].host != NULL))
			fail_msg("%s: %s", cases[i].text, wrong == NULL ? "taken" : wrong);
		if (wrong != NULL)
			continue;
		assert_true(span_eq(u.host, cases[i].host));
		assert_true(span_eq(u.path, cases[i].path));
		assert_true((u.query.p == NULL) == (cases[i].query == NULL));
		assert_true(u.query.p == NULL || span_eq(u.query, cases[i].query));
		assert_int_equal(u.port, cases[i].port);
		assert_int_equal(u.https, cases[i].https);
		assert_int_equal(url_is_loopback(&u), cases[i].loopback);
	}
}

static void
test_checks(void **state)
{
	static const struct {
		const char *text;
		enum template_kind kind;
		bool right, name, password;
	} cases[] = {
	    {"u=%u&p=%p", TEMPLATE_FORM, true, true, true},
	    {"u=$1&p=$2", TEMPLATE_FORM, true, true, true},
	    {"u=%u%41%25p", TEMPLATE_FORM, true, true, false},
	    {"cost=$&x=$a", TEMPLATE_FORM, true, false, false},
	    {"", TEMPLATE_FORM, true, false, false},
	    {"u=%x", TEMPLATE_FORM, false, false, false},
	    {"100%", TEMPLATE_FORM, false, false, false},
	    {"%%u", TEMPLATE_FORM, false, false, false},
	    {"u=$3", TEMPLATE_FORM, false, false, false},
	    {"u=$0", TEMPLATE_FORM, false, false, false},
	    {"{\"u\":\"%u\",\"p\":\"a %p\",\"q\":\"100%\"}", TEMPLATE_JSON, true, true, true},
	    {"{\"%u\":1}", TEMPLATE_JSON, true, true, false},
	    {"{\"u\":%u}", TEMPLATE_JSON, false, false, false},
	    {"{\"u\":\"%u\"", TEMPLATE_JSON, false, false, false},
	    {"u=%u", TEMPLATE_JSON, false, false, false},
	    {"", TEMPLATE_JSON, false, false, false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct template_use use = {false, false};
		const char *wrong = template_check(span_of(cases[i].text), cases[i].kind, &use);

		if ((wrong == NULL) != cases[i].right || use.name != cases[i].name ||
		    use.password != cases[i].password)
			fail_msg("%s: %s %d %d", cases[i].text, wrong, use.name, use.password);
	}
}

static void
test_values(void **state)
{
	static const struct {
		enum template_kind kind;
		const char *text, *name, *password, *want; /* want NULL: no form */
	} cases[] = {
	    {TEMPLATE_FORM, "u=%u&p=%p", "al&ice=x", "a b+c%d", "u=al%26ice%3Dx&p=a%20b%2Bc%25d"},
	    {TEMPLATE_FORM, "$1$2$1", "%p$2", "%u$1", "%25p%242%25u%241%25p%242"},
	    {TEMPLATE_FORM, "%20%u$", "\xc3\xa9\r\n", "x", "%20%C3%A9%0D%0A$"},
	    {TEMPLATE_FORM, "%u", "\xff", "x", "%FF"},
	    {TEMPLATE_FORM, "%u?%p", "#?/.~-_", "", "%23%3F%2F.~-_?"},
	    {TEMPLATE_FORM, "", "x", "y", ""},
	    {TEMPLATE_JSON, "{\"u\":\"%u\",\"p\":\"%p\"}", "\"},{\"", "\\%u\n",
		"{\"u\":\"\\\"},{\\\"\",\"p\":\"\\\\%u\\u000a\"}"},
	    {TEMPLATE_JSON, "%u", "\xc3\xa9", "x", "\xc3\xa9"},
	    {TEMPLATE_JSON, "%u", "\xff", "x", NULL},
	    {TEMPLATE_JSON, "%u", "x", "\xff", NULL},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = BUF_INIT;
		int rc = template_expand(&out, span_of(cases[i].text), cases[i].kind,
		    span_of(cases[i].name), span_of(cases[i].password));

		assert_int_equal(rc, cases[i].want == NULL ? -1 : 0);
		if (rc == 0 && !span_eq(buf_span(&out), cases[i].want))
			fail_msg("%zu: %s", i, buf_cstr(&out));
		buf_wipe(&out);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_urls),
	    cmocka_unit_test(test_checks),
	    cmocka_unit_test(test_values),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("template", tests, NULL, NULL);
}
