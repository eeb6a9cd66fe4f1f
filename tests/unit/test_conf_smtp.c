/* SPDX-License-Identifier: ISC */
/* Backends of type smtp: what `submitd -t` says (S16, S42). */
#include "conf_test.h"

#include "base/list.h"

#define HEAD                                                                                       \
	CONF_TEST_SERVER CONF_TEST_TLS                                                             \
	    "auth_flow \"staff\" { chain = {\"b\"} } " CONF_TEST_LISTENER CONF_TEST_REST "\n"
/* the backend stands in line 2 and 3, the transport in 4 and 5 */
#define P(backend, transport)                                                                      \
	HEAD "backend \"b\" { type = smtp\n" backend " }\ntransport \"m\" {\n" transport " }"
#define STATIC "method = static hosts = {\"10.0.0.10:25\"} "
#define USES "transport = \"m\" "

static const struct conf_case cases[] = {
    {"as it should be: the transport counts as used", P(USES, STATIC), {NULL}},
    {"a transport that delivers, too", HEAD "backend \"b\" { type = smtp transport = \"in\" }",
	{NULL}},
    {"tls = require", P(USES "tls = require", STATIC), {NULL}},
    {"ca_file is for the backend", P(USES, STATIC "ca_file = \"/ca.pem\""), {NULL}},
    {"ca_file is for nobody", P(USES "tls = require", STATIC "ca_file = \"/ca.pem\""),
	{"5 warning: ca_file is used with tls = require_verify or implicit only"}},
    {"no transport", P("", STATIC),
	{"2 error: type = smtp needs transport = \"NAME\" of a transport with method = static",
	    "4 warning: transport \"m\" is not used; name it in transport of a domain or a "
	    "backend"}},
    {"dangling", P("transport = \"mm\"", STATIC),
	{"3 error: transport = \"mm\": there is no such transport block; did you mean \"m\"?",
	    "4 warning: transport \"m\" is not used"}},
    {"lookup-mx", P(USES, "method = \"lookup-mx\""),
	{"3 error: transport \"m\" has method = lookup-mx; passwords go to hosts that stand"}},
    {"none", P(USES "tls = none", STATIC),
	{"3 error: tls = none sends passwords in clear; write require_verify, or"}},
    {"none, to loopback", P(USES "tls = none", "method = static hosts = {\"127.0.0.1:25\"}"),
	{"3 error: tls = none sends passwords in clear"}},
    {"none, as it is allowed", P(USES "tls = none allow_plain = true", STATIC),
	{"3 warning: tls = none: passwords are sent in clear"}},
    {"allow_plain for nothing", P(USES "allow_plain = true", STATIC),
	{"3 warning: allow_plain is used with tls = none only"}},
    {"opportunistic is no word here", P(USES "tls = opportunistic", STATIC),
	{"3 error: tls = \"opportunistic\" is unknown; write none, require or require_verify"}},
    {"a transport that begins with TLS", P(USES, STATIC "tls = implicit port = 465"),
	{"5 warning: tls = implicit with port 25"}},
    {"a transport that begins with TLS, and none",
	P(USES "tls = none allow_plain = true",
	    "method = static hosts = {\"10.0.0.10\"} tls = implicit"),
	{"3 error: tls = none: transport \"m\" has tls = implicit, which is always verified"}},
    {"pinned is for the backend", P(USES, STATIC "pinned = \"/a.pem\""), {NULL}},
    {"pinned would not be looked at",
	P(USES "tls = require", STATIC "tls = require_verify pinned = \"/a.pem\""),
	{"3 error: tls = require: transport \"m\" has pinned, which would not be looked at"}},
    {"foreign option", P(USES "path = \"/x\"", STATIC), {"3 error: path is for type = file"}},
    {"smtp option of another type",
	HEAD "backend \"b\" { type = file\npath = \"/x\" transport = \"in\" tls = require }",
	{"3 error: transport is for type = smtp", "3 error: tls is for type = smtp"}},
};

static void
test_cases(void **state)
{
	(void)state;
	conf_test_cases(cases, ARRAY_LEN(cases));
}

/* S42: verification is the default, whatever the transport says of its own deliveries. */
static void
test_default(void **state)
{
	struct conf *c = conf_test_good(P(USES, STATIC "tls = opportunistic"));

	(void)state;
	assert_int_equal(conf_backend_find(c, "b")->tls, BACKEND_TLS_REQUIRE_VERIFY);
	assert_ptr_equal(conf_backend_find(c, "b")->transport_block, conf_transport_find(c, "m"));
	conf_free(c);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cases),
	    cmocka_unit_test(test_default),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("conf_smtp", tests, NULL, NULL);
}
