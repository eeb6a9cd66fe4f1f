/* SPDX-License-Identifier: ISC */
/* TLS of transports: what `submitd -t` says (S65, RFC 8314). */
#include "conf_test.h"

#include "base/list.h"

/* the transport stands in line 3 and 4 */
#define T(text)                                                                                    \
	CONF_TEST_BASE "domain \"m.example\" { transport = \"m\" } transport \"m\" {\n" text " }"
#define STATIC "method = static hosts = {\"mx.example\"} "

static const struct conf_case cases[] = {
    {"implicit", T(STATIC "tls = implicit"), {NULL}},
    {"implicit with authorities", T(STATIC "tls = implicit ca_file = \"/ca.pem\""), {NULL}},
    {"implicit is for fixed hosts", T("method = \"lookup-mx\" tls = implicit"),
	{"3 error: tls = implicit is for method = static; mail exchangers know STARTTLS only"}},
    {"implicit on ports of STARTTLS",
	T("method = static tls = implicit hosts = {\"a.example:25\", \"b.example:587\", "
	  "\"c.example:465\", \"d.example\"}"),
	{"3 warning: tls = implicit with port 25 of a.example",
	    "3 warning: tls = implicit with port 587 of b.example"}},
    {"pinned", T(STATIC "tls = require_verify pinned = {\"/a.pem\", \"/b.pem\"}"), {NULL}},
    {"pinned and implicit", T(STATIC "tls = implicit pinned = \"/a.pem\""), {NULL}},
    {"pinned for mail exchangers",
	T("method = \"lookup-mx\" tls = require_verify pinned = \"/a.pem\""), {NULL}},
    {"pinned, and nobody looks", T(STATIC "pinned = \"/a.pem\""),
	{"3 error: pinned does nothing unless certificates are verified; write tls = "}},
    {"pinned, and nobody looks", T(STATIC "tls = require\npinned = \"/a.pem\""),
	{"4 error: pinned does nothing unless certificates are verified; write tls = "}},
    {"nothing is pinned", T(STATIC "tls = require_verify pinned = {}"),
	{"3 error: pinned is empty; leave it out to trust authorities"}},
    {"pinned and authorities",
	T(STATIC "tls = require_verify pinned = {\"/a.pem\"}\nca_file = \"/ca.pem\""),
	{"4 error: with pinned nothing but its files is trusted; remove ca_file, or add it"}},
    {"pinned by a path that is none", T(STATIC "tls = require_verify pinned = {\"a.pem\"}"),
	{"3 error: pinned = \"a.pem\" is no absolute path"}},
    {"ca_file, and nobody looks", T(STATIC "tls = require ca_file = \"/ca.pem\""),
	{"3 warning: ca_file is used with tls = require_verify or implicit only"}},
};

static void
test_cases(void **state)
{
	(void)state;
	conf_test_cases(cases, ARRAY_LEN(cases));
}

/* RFC 8314, 3.3: 465, unless somebody says otherwise. */
static void
test_port(void **state)
{
	static const struct {
		const char *text;
		uint16_t port;
	} ports[] = {
	    {T(STATIC "tls = implicit"), 465},
	    {T(STATIC "tls = implicit port = 4650"), 4650},
	    {T(STATIC "tls = require_verify"), 25},
	    {T("tls = implicit method = static hosts = {\"mx.example:1465\"}"), 1465},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
		struct conf *c = conf_test_good(ports[i].text);
		const struct conf_transport *t = conf_transport_find(c, "m");

		assert_int_equal(t->host_list[0].port, ports[i].port);
		assert_true(conf_transport_verifies(t));
		conf_free(c);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cases),
	    cmocka_unit_test(test_port),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("conf_transport", tests, NULL, NULL);
}
