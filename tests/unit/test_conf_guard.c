/* SPDX-License-Identifier: ISC */
/* Block auth_guard: rates, and what would be no brake at all (A7). */
#include "base/list.h"
#include "conf_test.h"

#define HINT "is no rate; write a number from 1 to 100000, / and a time from 1s to 31d"

static const struct conf_case guards[] = {
    {"nothing given", CONF_TEST_BASE, {NULL}},
    {"all of it",
	CONF_TEST_BASE
	"auth_guard { per_address = {\"1/1s\", \"100000/31d\"} per_network = {}\n"
	"per_user = {\"3/2h\"} lockout = 1h fail_delay = 1ms tarpit = 0 remember = 0\n"
	"exempt = {\"10.0.0.0/8\", \"::1\", \"192.0.2.1\"} }",
	{NULL}},
    {"no delay of a no", CONF_TEST_BASE "auth_guard {\nfail_delay = 0 }",
	{"3 warning: auth_guard: fail_delay = 0: the time of a refusal may tell which names"}},
    {"no rates",
	CONF_TEST_BASE "auth_guard {\nper_address = {\"5\", \"0/10m\", \"5/10\", \"x/10m\"}\n"
		       "per_network = {\"100001/1m\", \"5/32d\", \"5/999ms\", \"/1m\"}\n"
		       "per_user = {\"5/\", \"5/1m/1m\", \"-1/1m\", \"5 / 1m\"} }",
	{"3 error: auth_guard: per_address: \"5\" " HINT,
	    "3 error: auth_guard: per_address: \"0/10m\"", "3 error: \"5/10\"",
	    "3 error: \"x/10m\"", "4 error: auth_guard: per_network: \"100001/1m\"",
	    "4 error: \"5/32d\"", "4 error: \"5/999ms\"", "4 error: \"/1m\"",
	    "5 error: auth_guard: per_user: \"5/\"", "5 error: \"5/1m/1m\"", "5 error: \"-1/1m\"",
	    "5 error: \"5 / 1m\""}},
    {"one time twice", CONF_TEST_BASE "auth_guard { per_user = {\"5/1h\", \"9/60m\"} }",
	{"2 error: auth_guard: per_user: \"9/60m\" has the time of another one"}},
    {"too many", CONF_TEST_BASE "auth_guard { per_user = {1/1s, 2/2s, 3/3s, 4/4s, 5/5s} }",
	{"2 error: per_user"}},
    {"exempt is no network", CONF_TEST_BASE "auth_guard { exempt = {\"here\"} }",
	{"2 error: auth_guard: exempt: \"here\" is no address and no network"}},
    {"everybody is exempt", CONF_TEST_BASE "auth_guard { exempt = {\"0.0.0.0/0\"} }",
	{"2 warning: passwords may be guessed without end"}},
    {"nothing is counted",
	CONF_TEST_BASE "auth_guard { per_address = {} per_network = {} per_user = {} }",
	{"2 warning: passwords may be guessed without end"}},
    {"the state directory",
	"server { hostname = \"mail.example.com\" state = \"here\" } " CONF_TEST_TLS CONF_TEST_FLOW
	    CONF_TEST_LISTENER CONF_TEST_REST,
	{"1 error: server: state = \"here\" is no absolute path"}},
};

static void
test_guards(void **state)
{
	(void)state;
	conf_test_cases(guards, ARRAY_LEN(guards));
}

static void
test_values(void **state)
{
	struct conf *c = conf_test_good(
	    CONF_TEST_BASE "auth_guard { per_address = {\"7/90s\"} per_network = {} }");
	const struct conf_auth_guard *g = c->auth_guard;

	(void)state;
	assert_int_equal(g->address_rates.n, 1);
	assert_int_equal(g->address_rates.v[0].n, 7);
	assert_int_equal(g->address_rates.v[0].ms, 90000);
	assert_int_equal(g->network_rates.n, 0);
	assert_int_equal(g->user_rates.n, 2); /* the default */
	assert_int_equal(g->user_rates.v[0].n, 10);
	assert_int_equal(g->user_rates.v[1].ms, 86400000);
	assert_int_equal(g->fail_delay, 2000);
	conf_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_guards),
	    cmocka_unit_test(test_values),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("conf_guard", tests, NULL, NULL);
}
