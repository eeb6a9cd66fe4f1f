/* SPDX-License-Identifier: ISC */
/* Backends that ask an HTTP server (S45): what `submitd -t` says of their blocks. */
#include "conf_test.h"

#include "base/list.h"

#define B(text)                                                                                    \
	CONF_TEST_SERVER CONF_TEST_TLS                                                             \
	    "auth_flow \"staff\" { chain = {\"h\"} } " CONF_TEST_LISTENER CONF_TEST_REST           \
	    "\nbackend \"h\" { type = http\n" text "\n}"
#define FORM "method = POST body = \"u=%u&p=%p\" "
#define URL "url = \"https://h.example/\" "

static const struct conf_case cases[] = {
    {"form", B(URL FORM), {NULL}},
    {"query", B("url = \"https://h.example/?u=$1&p=$2\""),
	{"3 warning: backend \"h\": url: passwords in a URL"}},
    {"basic", B(URL "auth = basic"), {NULL}},
    {"json",
	B(URL "method = POST content_type = json body = '{\"u\":\"%u\",\"p\":\"%p\"}' "
	      "expect_field = ok user_field = user"),
	{NULL}},
    {"no url", B("method = GET"), {"2 error: type = http needs url"}},
    {"clear", B("url = \"http://h.example/\" " FORM),
	{"3 error: url would send passwords in clear; write https://"}},
    {"clear, allowed", B("url = \"http://h.example/\" allow_plain = true " FORM),
	{"3 warning: url sends passwords over the network in clear"}},
    {"clear to itself", B("url = \"http://[::1]:80/\" " FORM), {NULL}},
    {"user in the URL", B("url = \"https://u:p@h.example/\" " FORM),
	{"3 error: url is no usable URL: a name or password in front"}},
    {"name in the path", B("url = \"https://h.example/%u?p=%p\""),
	{"3 error: url: name and password may stand behind the ? only",
	    "3 warning: passwords in a URL"}},
    {"password in the host", B("url = \"https://$2.example/\" " FORM),
	{"3 error: url is no usable URL: the host"}},
    {"nothing is carried", B(URL), {"3 error: nothing carries the name (%u) and the password"}},
    {"no password", B(URL "method = POST body = \"u=%u\""), {"3 error: nothing carries"}},
    {"body with GET", B("url = \"https://h.example/?%u%p\" body = \"x\" content_type = form"),
	{"3 warning: passwords in a URL", "3 error: body is for method = POST",
	    "3 error: content_type is for method = POST"}},
    {"bad places", B(URL "method = POST body = \"u=%n&p=%p\""),
	{"3 error: body: % is followed by u"}},
    {"bad JSON", B(URL "method = POST content_type = json body = '{\"u\":%u}'"),
	{"3 error: body: it is no JSON object with %u and %p inside of strings"}},
    {"two yeses", B(URL FORM "expect = \"OK\"\nexpect_field = ok"),
	{"2 error: write only one of expect, expect_field and expect_status"}},
    {"status without basic", B(URL FORM "expect_status = true"),
	{"3 error: expect_status is for auth = basic"}},
    {"newline of a field", B(URL FORM "expect_field = ok expect_newline = true"),
	{"3 error: expect_newline is for expect"}},
    {"field without name", B(URL FORM "expect_field = \"=true\""),
	{"3 error: expect_field names no member"}},
    {"user without JSON", B(URL FORM "user_field = u"),
	{"3 error: user_field and addresses_field need a JSON answer"}},
    {"relative ca_file", B(URL FORM "ca_file = \"ca.pem\""), {"3 error: ca_file"}},
    {"path", B(URL FORM "path = \"/x\""), {"3 error: path is for type = file"}},
};

static void
test_cases(void **state)
{
	(void)state;
	conf_test_cases(cases, ARRAY_LEN(cases));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("conf_http", tests, NULL, NULL);
}
