/* SPDX-License-Identifier: ISC */
/* ldap blocks and the backends that use them: what `submitd -t` says (S17, S43, S67). */
#include "conf_test.h"

#include "base/list.h"

#define HEAD                                                                                       \
	CONF_TEST_SERVER CONF_TEST_TLS                                                             \
	    "auth_flow \"staff\" { chain = {\"b\"} } " CONF_TEST_LISTENER CONF_TEST_REST "\n"
/* the profile stands in line 2 and 3, the backend in 4 and 5 */
#define P(profile, backend)                                                                        \
	HEAD "ldap \"d\" {\n" profile " }\nbackend \"b\" { type = ldap\n" backend " }"
#define URI "uri = \"ldaps://dc1.example.com\" "
#define SEARCH "base = \"dc=x\" filter = \"(mail=%s)\" "
#define USES "profile = \"d\" "

static const struct conf_case cases[] = {
    {"search", P(URI SEARCH, USES), {NULL}},
    {"template", P(URI, USES "bind_as = \"%u\""), {NULL}},
    {"service", P(URI SEARCH "bind_dn = \"cn=s\" bind_secret = \"file:/s\"", USES), {NULL}},
    {"own addresses", P(URI SEARCH "senders_attribute = proxyAddresses", USES "bind_as = \"%u\""),
	{NULL}},
    {"own addresses by DN", P(URI "name_attribute = mail", USES "bind_as = \"uid=%u,dc=x\""),
	{NULL}},
    {"loopback in clear",
	P("uri = {\"ldap://localhost\", \"ldap://127.0.0.1:1389\", \"ldap://[::1]\"} " SEARCH,
	    USES),
	{NULL}},
    {"clear", P("uri = {\"ldap://dc1.example.com\", \"ldaps://dc2\"} " SEARCH, USES),
	{"3 error: ldap \"d\": uri \"ldap://dc1.example.com\": passwords would cross the network "
	 "in "
	 "clear; write ldaps:// or starttls = true (or allow_plain = true"}},
    {"clear, allowed", P("uri = \"ldap://dc1\" allow_plain = true " SEARCH, USES), {NULL}},
    {"starttls", P("uri = \"ldap://dc1\" starttls = true ca_file = \"/ca.pem\" " SEARCH, USES),
	{NULL}},
    {"starttls for ldaps", P(URI "starttls = true " SEARCH, USES),
	{"3 warning: starttls is for ldap://"}},
    {"useless ca_file", P("uri = \"ldap://localhost\" ca_file = \"/ca.pem\" " SEARCH, USES),
	{"3 warning: ca_file is not used without"}},
    {"relative ca_file", P(URI "ca_file = \"ca.pem\" " SEARCH, USES),
	{"3 error: ca_file = \"ca.pem\" is no absolute path"}},
    {"bad uri", P("uri = {\"dc1.example.com\", \"ldap://localhost:x\"} " SEARCH, USES),
	{"3 error: uri \"dc1.example.com\": it must begin with ldap:// or ldaps://; write",
	    "3 error: uri \"ldap://localhost:x\": the port must be a number"}},
    {"no uri", P(SEARCH, USES), {"2 error: ldap \"d\": uri is missing"}},
    {"secret in the file", P(URI SEARCH "bind_dn = \"cn=s\" bind_secret = \"hunter2\"", USES),
	{"3 error: bind_secret is no \"file:/PATH\"; put the password"}},
    {"bind_dn alone", P(URI SEARCH "bind_dn = \"cn=s\"", USES),
	{"3 error: bind_dn needs bind_secret"}},
    {"bind_secret alone", P(URI SEARCH "bind_secret = \"file:/s\"", USES),
	{"3 error: bind_secret needs bind_dn"}},
    {"filter without %s", P(URI "base = \"dc=x\" filter = \"(mail=alice)\"", USES),
	{"3 error: filter = \"(mail=alice)\": it has no %s"}},
    {"filter without end", P(URI "base = \"dc=x\" filter = \"(|(mail=%s)(uid=%s)\"", USES),
	{"3 error: a ) is missing; write one like (mail=%s)"}},
    {"filter without base", P(URI "filter = \"(mail=%s)\"", USES), {"3 error: filter needs base"}},
    {"base that is no DN", P(URI "base = \"example.com\" filter = \"(mail=%s)\"", USES),
	{"3 error: ldap \"d\": base = \"example.com\" is no DN"}},
    {"base of two parts", P(URI "base = \"ou=a b, dc=x+l=y\" filter = \"(mail=%s)\"", USES),
	{NULL}},
    {"bad attribute", P(URI SEARCH "name_attribute = \"a b\"", USES),
	{"3 error: name_attribute = \"a b\" is no name of an attribute"}},
    {"no way", P(URI, USES), {"5 error: nothing says as whom to bind: write bind_as"}},
    {"no profile", P(URI SEARCH, "bind_as = \"%u\""),
	{"2 warning: ldap \"d\" is not used", "4 error: type = ldap needs profile"}},
    {"missing profile", P(URI SEARCH, "profile = \"dd\""),
	{"2 warning: ldap \"d\" is not used",
	    "5 error: profile = \"dd\": there is no such ldap block; did you mean \"d\"?"}},
    {"bad bind_as", P(URI, USES "bind_as = \"uid=%s,dc=x\""),
	{"5 error: bind_as = \"uid=%s,dc=x\": only %u, %n, %d"}},
    {"bind_as for nobody", P(URI, USES "bind_as = \"cn=admin,dc=x\""),
	{"5 error: it has neither %u nor %n, so everybody would be the same"}},
    {"name whose entry cannot be found",
	P(URI "senders_attribute = proxyAddresses", USES "bind_as = \"%u\""),
	{"5 error: bind_as is no DN, so senders_attribute of ldap \"d\" needs base and filter"}},
    {"one name in every domain",
	P(URI, USES "bind_as = \"uid=%n,dc=x\"") "\nou \"more\" { domains = {\"a.example\"} }\n"
						 "domain \"a.example\" { transport = \"out\" }",
	{"5 warning: bind_as leaves out the domain, so users can log in with their name in any"}},
    {"one name, and the directory says which domain",
	P(URI "name_attribute = mail",
	    USES "bind_as = \"uid=%n,dc=x\"") "\nou \"more\" { domains = {\"a.example\"} }\n"
					      "domain \"a.example\" { transport = \"out\" }",
	{NULL}},
    {"short timeout", P(URI SEARCH, USES "timeout = 1s"),
	{"5 warning: timeout is shorter than that of ldap \"d\""}},
    {"foreign option", P(URI SEARCH, USES "path = \"/x\""), {"5 error: path is for type = file"}},
    {"ldap option of another type",
	HEAD "backend \"b\" { type = file\npath = \"/x\" bind_as = \"%u\" }",
	{"3 error: bind_as is for type = ldap"}},
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
	return cmocka_run_group_tests_name("conf_ldap", tests, NULL, NULL);
}
