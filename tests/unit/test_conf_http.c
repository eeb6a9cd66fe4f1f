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
	{"3 error: url would send secrets in clear; write https://"}},
    {"clear, allowed", B("url = \"http://h.example/\" allow_plain = true " FORM),
	{"3 warning: url sends secrets over the network in clear"}},
    {"clear to itself", B("url = \"http://[::1]:80/\" " FORM), {NULL}},
    {"user in the URL", B("url = \"https://u:p@h.example/\" " FORM),
	{"3 error: url is no usable URL: a name or password in front"}},
    {"name in the path", B("url = \"https://h.example/%u?p=%p\""),
	{"3 error: url: name and password may stand behind the ? only",
	    "3 warning: passwords in a URL"}},
    {"password in the host", B("url = \"https://$2.example/\" " FORM),
	{"3 error: url is no usable URL: the host"}},
    {"nothing is carried", B(URL), {"3 error: nothing carries the name (%u) and the password"}},
    {"no password", B(URL "method = POST body = \"u=%u\""),
	{"3 error: nothing carries the password (%p): put it into body"}},
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

#define O(text)                                                                                    \
	CONF_TEST_SERVER CONF_TEST_TLS                                                             \
	    "auth_flow \"staff\" { chain = {\"o\"} } " CONF_TEST_LISTENER CONF_TEST_REST           \
	    "\nbackend \"o\" { type = oauth\n" text "\n}"
#define INTRO "introspection_url = \"https://i.example/\" "
#define CLIENT "client_id = \"me\" client_secret = \"file:/s\" "
#define KEYS "jwks_url = \"https://i.example/keys\" "
#define FROM "issuer = \"https://i.example\" audience = {\"mail\"} "

static const struct conf_case oauth_cases[] = {
    {"introspection", O(INTRO CLIENT "scope = smtp"), {NULL}},
    {"keys", O(KEYS FROM "jwks_refresh = 10m"), {NULL}},
    {"file", O("jwks_file = \"/k\" " FROM), {NULL}},
    {"nothing", O("scope = smtp"),
	{"2 error: type = oauth needs exactly one of introspection_url"}},
    {"both", O(INTRO CLIENT KEYS FROM), {"2 error: type = oauth needs exactly one of"}},
    {"any token", O(INTRO CLIENT), {"3 warning: every active token can log in"}},
    {"nobody asks", O(INTRO "scope = smtp"), {"3 warning: known clients only"}},
    {"half a client", O(INTRO "scope = smtp client_id = me"),
	{"3 error: client_id and client_secret go together"}},
    {"secret in clear", O(INTRO "scope = smtp client_id = me client_secret = \"hunter2\""),
	{"3 error: client_secret is no \"file:/PATH\"; put the secret into a file of its own"}},
    {"no issuer, no audience", O(KEYS), {"2 error: write issuer", "2 error: write audience"}},
    {"client of keys", O(KEYS FROM CLIENT), {"3 error: client_id and client_secret are for"}},
    {"clear", O("jwks_url = \"http://i.example/\" " FROM), {"3 error: jwks_url would send"}},
    {"refresh of introspection", O(INTRO CLIENT "scope = smtp jwks_refresh = 1h"),
	{"3 error: jwks_refresh is for jwks_url"}},
    {"refresh of a file", O("jwks_file = \"/k\" jwks_refresh = 1h " FROM),
	{"3 error: ca_file and jwks_refresh are for jwks_url"}},
    {"relative file", O("jwks_file = \"k\" " FROM), {"3 error: jwks_file"}},
    {"of http", O(KEYS FROM "method = POST"), {"3 error: method is for type = http"}},
};

static void
test_oauth(void **state)
{
	(void)state;
	conf_test_cases(oauth_cases, ARRAY_LEN(oauth_cases));
}

static void
test_cases(void **state)
{
	(void)state;
	conf_test_cases(cases, ARRAY_LEN(cases));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cases),
	    cmocka_unit_test(test_oauth),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("conf_http", tests, NULL, NULL);
}
