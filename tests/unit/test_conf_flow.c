/* SPDX-License-Identifier: ISC */
/*
 * Cross checks of chains and of the backends that units keep (S16, S17): what can
 * never be asked is a warning, what cannot be is an error.
 */
#include "tests/unit/conf_test.h"

#define ONE                                                                                        \
	CONF_TEST_SERVER CONF_TEST_TLS CONF_TEST_LISTENER                                          \
	    "backend \"one\" { type = file path = \"/1\" } "                                       \
	    "backend \"two\" { type = file path = \"/2\" }\n"
#define REST                                                                                       \
	"\ndomain \"any\" { transport = \"out\" }\ntransport \"out\" { method = lookup-mx }\n"     \
	"domain \"example.com\" { ou = \"staff\" transport = \"out\" }\n"                          \
	"domain \"b.example\" { ou = \"b\" transport = \"out\" }\n"

static const struct conf_case flows[] = {
    {"each unit its own",
	ONE "auth_flow \"f\" { chain = {\"internal\", \"one\", \"two\"} }\n"
	    "ou \"staff\" { domains = {\"example.com\"} backends = {\"one\"} }\n"
	    "ou \"b\" { domains = {\"b.example\"} backends = {\"internal\", \"two\"} }" REST,
	{NULL}},
    {"unknown",
	ONE "auth_flow \"f\" { chain = {\"one\", \"two\"} }\n"
	    "ou \"staff\" { domains = {\"example.com\"}\nbackends = {\"on\"} }\n"
	    "ou \"b\" { domains = {\"b.example\"} }" REST,
	{"4 error: ou \"staff\": backends = \"on\": there is no such backend block; did you mean "
	 "\"one\"?"}},
    {"twice",
	ONE "auth_flow \"f\" { chain = {\"one\", \"two\"} }\n"
	    "ou \"staff\" { domains = {\"example.com\"}\nbackends = {\"one\", \"one\"} }\n"
	    "ou \"b\" { domains = {\"b.example\"} }" REST,
	{"4 error: ou \"staff\": backends names \"one\" twice"}},
    {"in no chain",
	ONE "auth_flow \"f\" { chain = {\"one\"} }\n"
	    "ou \"staff\" { domains = {\"example.com\"}\nbackends = {\"one\", \"two\"} }\n"
	    "ou \"b\" { domains = {\"b.example\"} backends = {\"internal\"} }" REST,
	{"4 warning: ou \"staff\": backends: no auth_flow has \"two\" in its chain, so it is never "
	 "asked",
	    "5 warning: ou \"b\": backends: no auth_flow has \"internal\""}},
    {"of a unit without anybody",
	ONE
	"auth_flow \"f\" {\nchain = {\"one\", \"two\"} }\n"
	"ou \"staff\" { domains = {\"example.com\"} }\n"
	"ou \"b\" { domains = {\"b.example\"} backends = {\"two\"}\nauth_user_mode = allow }" REST,
	{"3 warning: auth_flow \"f\": backend \"two\" is never asked: no unit that lists it lets",
	    "6 warning: auth_user_mode = allow with an empty auth_user_filter"}},
    {"a unit that no backend is there for",
	ONE "auth_flow \"f\" { chain = {\"one\", \"two\"} }\n"
	    "ou \"staff\" { domains = {\"example.com\"} }\n"
	    "ou \"b\" { domains = {\"b.example\"} backends = {\"one\", \"two\"} }" REST,
	{"1 warning: listener \"submission\": nobody of ou \"staff\" can log in: each backend of "
	 "auth_flow \"f\" is kept for other units"}},
    {"a breaker without a server",
	ONE "auth_flow \"f\" { chain = {\"one\", \"two\", \"three\"} }\n"
	    "backend \"three\" { type = file path = \"/3\"\nbreaker_failures = 3\n"
	    "breaker_pause = 1s }\n"
	    "ou \"staff\" { domains = {\"example.com\"} }\n"
	    "ou \"b\" { domains = {\"b.example\"} }" REST,
	{"4 error: backend \"three\": breaker_failures is for type =",
	    "5 error: backend \"three\": breaker_pause is for type ="}},
};

#define WEB(name)                                                                                  \
	" backend \"" name                                                                         \
	"\" { type = http method = POST url = \"https://h.example/\" body = \"u=%u&p=%p\" } "
#define STOP "on_no = stop }\n"
#define OUS                                                                                        \
	"ou \"staff\" { domains = {\"example.com\"} }\n"                                           \
	"ou \"b\" { domains = {\"b.example\"} }" REST
#define OUS_WITH(staff, other)                                                                     \
	"ou \"staff\" { domains = {\"example.com\"} backends = {" staff "} }\n"                    \
	"ou \"b\" { domains = {\"b.example\"} backends = {" other "} }" REST

/* S17: who can be asked behind whom. Lines: 1 blocks, 2 and 3 the flow. */
static const struct conf_case stops[] = {
    {"behind a guess",
	ONE WEB("web") "auth_flow \"f\" {\nchain = {\"one\", \"web\", \"two\"} " STOP OUS,
	{"3 warning: auth_flow \"f\": backend \"two\" is never asked: with on_no = stop the chain "
	 "ends at \"web\""}},
    {"on_no = next",
	ONE WEB("web") "auth_flow \"f\" {\nchain = {\"web\", \"one\", \"two\"} }\n" OUS, {NULL}},
    {"behind those that know",
	ONE WEB(
	    "web") "auth_flow \"f\" {\nchain = {\"one\", \"two\", \"internal\", \"web\"} " STOP OUS,
	{NULL}},
    {"when it is away",
	ONE WEB("web") "auth_flow \"f\" {\nchain = {\"web\", \"one\", \"two\"} on_unavailable = "
		       "next " STOP OUS,
	{NULL}},
    {"other names",
	ONE WEB("web") "auth_flow \"f\" {\nchain = {\"web\", \"one\", \"two\"} " STOP OUS_WITH(
	    "\"web\"", "\"one\""),
	{NULL}},
    {"the same names",
	ONE WEB("web") "auth_flow \"f\" {\nchain = {\"web\", \"one\", \"two\"} " STOP OUS_WITH(
	    "\"web\", \"one\"", "\"web\""),
	{"3 warning: backend \"one\" is never asked"}},
    {"all names before some",
	ONE WEB("web") "auth_flow \"f\" {\nchain = {\"web\", \"one\", \"two\"} " STOP OUS_WITH(
	    "\"one\"", "\"two\""),
	{"3 warning: backend \"one\" is never asked", "3 warning: backend \"two\" is never asked"}},
    {"two guesses",
	ONE WEB("web") WEB(
	    "web2") "auth_flow \"f\" {\nchain = {\"one\", \"two\", \"web\", \"web2\"} " STOP OUS,
	{"3 warning: backend \"web2\" is never asked"}},
    {"a directory that is bound to",
	ONE "ldap \"d\" { uri = {\"ldaps://d.example\"} base = \"dc=d\" filter = \"(uid=%s)\" } "
	    "backend \"bound\" { type = ldap profile = \"d\" bind_as = \"uid=%n,dc=%d\" } "
	    "auth_flow \"f\" {\nchain = {\"bound\", \"one\", \"two\"} " STOP OUS,
	{"3 warning: backend \"one\" is never asked", "3 warning: backend \"two\" is never asked"}},
    {"a directory that is searched",
	ONE "ldap \"d\" { uri = {\"ldaps://d.example\"} base = \"dc=d\" filter = \"(uid=%s)\" } "
	    "backend \"found\" { type = ldap profile = \"d\" } "
	    "auth_flow \"f\" {\nchain = {\"found\", \"one\", \"two\"} " STOP OUS,
	{NULL}},
};

/* P3: SCRAM, and tokens in clear. Line 1: all but the listener; 2 the listener; 3 the flow. */
#define MECHS(listener, chain)                                                                     \
	CONF_TEST_SERVER CONF_TEST_TLS                                                             \
	    "backend \"one\" { type = file path = \"/1\" } "                                       \
	    "ldap \"d\" { uri = {\"ldaps://d.example\"} base = \"dc=d\" filter = \"(uid=%s)\" } "  \
	    "backend \"found\" { type = ldap profile = \"d\" } "                                   \
	    "backend \"bound\" { type = ldap profile = \"d\" bind_as = \"uid=%n,dc=%d\" } "        \
	    "backend \"tokens\" { type = oauth jwks_url = \"https://h.example/keys\" "             \
	    "issuer = \"https://h.example\" audience = {\"us\"} }\n"                               \
	    "listener \"l\" { bind = {\"127.0.0.1:0\"} auth_flow = \"f\" " listener                \
	    " }\nauth_flow \"f\" { chain = {" chain "} }\n" OUS
#define SCRAM "auth_mechanisms = {\"PLAIN\", \"XOAUTH2\", \"SCRAM-SHA-256\"}"
#define UNUSED(name) "1 warning: backend \"" name "\" is not used"

static const struct conf_case mechs[] = {
    {"keys behind a directory that is searched", MECHS(SCRAM, "\"found\", \"one\", \"tokens\""),
	{UNUSED("bound"),
	    "2 warning: listener \"l\": auth_mechanisms: keys of backend \"one\" are not used for "
	    "SCRAM-SHA-256: \"found\" stands before it"}},
    {"keys of nobody", MECHS(SCRAM, "\"found\", \"bound\", \"tokens\""),
	{UNUSED("one"), "2 warning: nobody can log in by SCRAM-SHA-256, for auth_flow \"f\" has no "
			"backend with "
			"type = internal or file"}},
    {"keys before it", MECHS(SCRAM, "\"one\", \"found\", \"tokens\""), {UNUSED("bound")}},
    {"keys behind one that is bound to", MECHS(SCRAM, "\"bound\", \"one\", \"tokens\""),
	{UNUSED("found")}},
    {"tokens in clear", MECHS("tls = off auth = on", "\"tokens\""),
	{"1 warning: tls \"default\" is not used", UNUSED("one"), UNUSED("found"), UNUSED("bound"),
	    "2 warning: listener \"l\": auth = on takes passwords without TLS",
	    "2 warning: listener \"l\": nobody can log in: auth_flow \"f\" has only backends for "
	    "tokens"}},
};

static void
test_mechs(void **state)
{
	(void)state;
	conf_test_cases(mechs, sizeof mechs / sizeof mechs[0]);
}

static void
test_stops(void **state)
{
	(void)state;
	conf_test_cases(stops, sizeof stops / sizeof stops[0]);
}

static void
test_flows(void **state)
{
	(void)state;
	conf_test_cases(flows, sizeof flows / sizeof flows[0]);
}

/* Lines: 1 all blocks but the listener, 2 and 3 the listener. */
#define TYPED                                                                                      \
	CONF_TEST_SERVER CONF_TEST_TLS                                                             \
	    "backend \"one\" { type = file path = \"/1\" } "                                       \
	    "backend \"web\" { type = http method = POST url = \"https://h.example/\" body = "     \
	    "\"u=%u&p=%p\" } "                                                                     \
	    "backend \"tokens\" { type = oauth jwks_url = \"https://h.example/keys\" "             \
	    "issuer = \"https://h.example\" audience = {\"us\"} } "                                \
	    "auth_flow \"f\" { chain = {\"one\", \"web\", \"tokens\"} } "                          \
	    "ou \"staff\" { domains = {\"example.com\"} } ou \"b\" { domains = {\"b.example\"} }"
#define LISTENER(more) REST "listener \"l\" { bind = {\"0.0.0.0:587\"}\n" more " }"

static const struct conf_case mechanisms[] = {
    {"all", TYPED LISTENER(""), {NULL}},
    {"no tokens", TYPED LISTENER("auth_mechanisms = {\"plain\"}"),
	{"7 warning: listener \"l\": backend \"tokens\" of auth_flow \"f\" is never asked here"}},
    {"only tokens", TYPED LISTENER("auth_mechanisms = {\"XOAUTH2\"}"),
	{"7 warning: backend \"one\" of auth_flow \"f\" is never asked here",
	    "7 warning: backend \"web\" of auth_flow \"f\" is never asked here"}},
    {"SCRAM and tokens", TYPED LISTENER("auth_mechanisms = {\"SCRAM-SHA-256\", \"XOAUTH2\"}"),
	{"7 warning: backend \"web\" of auth_flow \"f\" is never asked here"}},
};

static void
test_mechanisms(void **state)
{
	(void)state;
	conf_test_cases(mechanisms, sizeof mechanisms / sizeof mechanisms[0]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_flows),
	    cmocka_unit_test(test_stops), cmocka_unit_test(test_mechs),
	    cmocka_unit_test(test_mechanisms)};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("conf_flow", tests, NULL, NULL);
}
