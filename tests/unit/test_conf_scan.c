/* SPDX-License-Identifier: ISC */
/*
 * Texts that cannot be read: each class of syntax error with its exact line, all
 * errors of a text at once (promise 6), and what libconfuse alone would take.
 */
#include "tests/unit/conf_test.h"

static const struct conf_case cases[] = {
    {"empty", "", {"0 error: there is no server block", "0 error: there is no listener block"}},
    {"brace missing at the end", "server {\n  hostname = \"a.b\"\n",
	{"1 error: server: the block that begins here is not closed with }"}},
    {"brace missing before a block", "server {\n hostname = a.b\nlog { level = info }\n",
	{"1 error: server: the block that begins here is not closed with } before line 3 (log)"}},
    {"list not closed",
	"server {\n hostname = a.b\n}\nlog { targets = {\"stderr\",\n level = info }\n",
	{"4 error: log: the list that begins here is not closed with } (line 5 has level)"}},
    {"comma missing", "log { targets = {\n\"stderr\"\n\"journal\"} }",
	{"3 error: log: a comma is missing before journal"}},
    {"brace too many", "server { hostname = a.b }\n}\n", {"2 error: } without a block"}},
    {"string not closed", "server {\n hostname = \"a.b\n}\n",
	{"2 error: the text that begins here has no closing \" on its line"}},
    {"single quotes not closed", "server {\n hostname = 'a.b\n}\n",
	{"2 error: the text that begins here has no closing ' on its line"}},
    {"comment not closed", "server { hostname = a.b }\n\n/* x\n\n",
	{"3 error: the comment that begins here has no end"}},
    {"control octet", "server {\n hostname = \"a\x01.b\" }\n", {"2 error: control character 0x01"}},
    {"not UTF-8", "server {\n\n hostname = \"a\xff.b\" }\n", {"3 error: this line is not UTF-8"}},
    {"star without quotes", "ou \"x\" {\n domains = {*.example.com} }",
	{"2 error: unexpected character *"}},
    {"plus without quotes", "ou \"x\" {\n domains = {a+b} }", {"2 error: unexpected character +"}},
    {"slashes in a word", "ou \"x\" {\n domains = {http://x} }", {"2 error: // within a word"}},
    {"escape", "ou \"x\" {\n domains = {\"a\\d\"} }", {"2 error: \\d in a text in double quotes"}},
    {"unset variable", "server {\n hostname = \"${SUBMITD_NOT_SET}\" }",
	{"2 error: the environment variable SUBMITD_NOT_SET is not set"}},
    {"unset variable outside of quotes", "server {\n hostname = ${SUBMITD_NOT_SET} }",
	{"2 error: the environment variable SUBMITD_NOT_SET is not set"}},
    {"variable without end", "server {\n hostname = \"${X\" }", {"2 error: ${ without its }"}},
    {"equal sign missing", "server {\n hostname \"a.b\" }",
	{"2 error: server: = is missing behind hostname"}},
    {"equal sign missing before a list", "log {\n targets {\"stderr\"} }",
	{"2 error: log: = is missing behind targets"}},
    {"value missing", "server {\n hostname =\n}", {"2 error: server: a value is missing behind ="}},
    {"two syntax errors", "server {\n hostname = ,\n spool = }\nlog {\n level = \n}\n",
	{"2 error: server: a value is missing", "3 error: server: a value is missing",
	    "5 error: log: a value is missing"}},
    {"title missing", "listener { bind = {\"0.0.0.0:1\"} }",
	{"1 error: listener needs a name: write listener \"name\" {"}},
    {"title too much", "\nserver \"x\" { hostname = a.b }",
	{"2 error: server \"x\" takes no name"}},
    {"include in a block", "server {\n include(\"x\")\n}",
	{"2 error: server: include may stand only outside of blocks"}},
    {"include without parentheses", "\ninclude \"x\"\n", {"2 error: include is written include("}},
    {"option outside", CONF_TEST_BASE "\nhostname = \"x\"\n",
	{"3 error: option hostname stands outside of any block; an option of that name stands in "
	 "server blocks"}},
    {"option outside at the end", "x = {",
	{"1 error: option x stands outside of any block",
	    "1 error: outside of any block: the list that begins here is not closed"}},
    {"option outside without value", "x =",
	{"1 error: option x stands outside of any block",
	    "1 error: outside of any block: a value is missing"}},
    {"unknown block", CONF_TEST_BASE "lisener \"x\" {\n a = {b, c} d { e = f }\n}\n",
	{"2 error: unknown block lisener; did you mean listener?"}},
    {"unknown option", CONF_TEST_BASE "log { levle = info\n  format = json\n  colour = {a,\n b} }",
	{"2 error: log: unknown option levle; did you mean level?",
	    "4 error: log: unknown option colour"}},
    {"unknown option of another block", CONF_TEST_BASE "log {\n relay_ou = {\"staff\"} }",
	{"3 error: log: unknown option relay_ou; an option of that name stands in listener "
	 "blocks"}},
    {"unknown block in a block", CONF_TEST_BASE "audit {\n rule \"x\" { a = b }\n }",
	{"3 error: audit: unknown block rule"}},
    {"scalar twice", CONF_TEST_BASE "log {\n level = info\n\n level = debug }",
	{"5 error: log: level is given twice, first in line 3; keep one of them"}},
    {"list twice", CONF_TEST_BASE "log {\n targets = stderr\n targets = journal }",
	{"4 error: log: targets is given twice, first in line 3; keep one of them or write +="}},
    {"append to a scalar", CONF_TEST_BASE "log {\n level += info }",
	{"3 error: log: level takes one value; += is for lists"}},
    {"everything at once",
	"server { hostnam = x }\nfoo { }\nlog { level = loud }\nlimit l { max_line = 1 }",
	{"0 error: there is no listener block", "1 error: server: unknown option hostnam",
	    "1 error: server: hostname is missing", "2 error: unknown block foo",
	    "3 error: log: level = \"loud\" is unknown",
	    "4 error: limit \"l\": max_line = 1 is out of range",
	    "4 warning: limit \"l\" is not used"}},
};

static void
test_cases(void **state)
{
	(void)state;
	conf_test_cases(cases, sizeof cases / sizeof cases[0]);
}

/* Forms that are right. */
static void
test_forms(void **state)
{
	struct conf *c;

	(void)state;
	setenv("SUBMITD_TEST_NAME", "mail.example.org", 1);
	c = conf_test_good(
	    "\xef\xbb\xbf# comment\r\nserver\r\n{ // one\r\n hostname = \"${SUBMITD_TEST_NAME}\" "
	    "/* x\n"
	    " y */ spool = '/a\\b' postmaster = \"${SUBMITD_NO:-p@q.example}\"\n}\n"
	    "log { targets = { # why\n \"stderr\", /* and */ \"journal\", // last\n }\n"
	    " targets += {\n\"syslog:mail\"} }\n" CONF_TEST_TLS CONF_TEST_FLOW
	    "listener \"a b\" { bind = 0.0.0.0:587 }\n");
	assert_string_equal(c->server->hostname, "mail.example.org");
	assert_string_equal(c->server->spool, "/a\\b");
	assert_string_equal(c->server->postmaster, "p@q.example");
	assert_int_equal(c->log->targets.n, 3);
	assert_string_equal(c->log->targets.v[1], "journal");
	assert_string_equal(c->log->targets.v[2], "syslog:mail");
	assert_int_equal(c->log->targets.where.line, 7);
	assert_string_equal(c->listener_blocks[0].title, "a b");
	conf_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cases),
	    cmocka_unit_test(test_forms),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("conf_scan", tests, NULL, NULL);
}
