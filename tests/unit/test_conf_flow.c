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

static void
test_flows(void **state)
{
	(void)state;
	conf_test_cases(flows, sizeof flows / sizeof flows[0]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_flows)};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("conf_flow", tests, NULL, NULL);
}
