/* SPDX-License-Identifier: ISC */
/*
 * Cross checks of SASL mechanisms and of clients' certificates (P3): words that are
 * none, what can never work, one certificate of two users.
 */
#include "tests/unit/conf_test.h"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEAD(tls, mechs, chain)                                                                    \
	"server { hostname = \"mail.example.com\" }\n"                                             \
	"tls \"t\" { certificate = \"/c\" key = \"/k\" " tls " }\n"                                \
	"listener \"l\" { bind = {\"127.0.0.1:0\"} tls_profile = {\"t\"} " mechs " }\n"            \
	"backend \"one\" { type = file path = \"/1\" }\n"                                          \
	"auth_flow \"f\" { chain = {" chain "} }\n"
#define REST                                                                                       \
	"\ndomain \"any\" { transport = \"out\" }\ntransport \"out\" { method = lookup-mx }\n"     \
	"ou \"staff\" { domains = {\"example.com\"} }\n"                                           \
	"domain \"example.com\" { ou = \"staff\" transport = \"out\" }\n"
#define CA "client_ca = \"/ca\""

static const struct conf_case cases[] = {
    {"all well",
	HEAD(CA, "auth_mechanisms = {\"plain\", \"SCRAM-SHA-256\", \"EXTERNAL\"}",
	    "\"internal\", \"one\"") "user \"a@example.com\" { smtp_auth = matching_sender "
				     "client_cert_sha256 = {\"" A64 "\"} }" REST,
	{NULL}},
    {"no such mechanism", HEAD("", "auth_mechanisms = {\"PLAIN\", \"CRAM-MD5\"}", "\"one\"") REST,
	{"3 error: listener \"l\": auth_mechanisms: there is no \"CRAM-MD5\"; right are PLAIN, "
	 "LOGIN, SCRAM-SHA-256, OAUTHBEARER, XOAUTH2 and EXTERNAL"}},
    {"none at all", HEAD("", "auth_mechanisms = {}", "\"one\"") REST,
	{"3 error: listener \"l\": auth_mechanisms"}},
    {"nobody judges", HEAD("", "auth_mechanisms = {\"EXTERNAL\", \"XOAUTH2\"}", "\"one\"") REST,
	{"3 warning: listener \"l\": auth_mechanisms: nobody can log in by EXTERNAL, for no tls "
	 "block of the listener has client_ca",
	    "3 warning: listener \"l\": auth_mechanisms: nobody can log in by EXTERNAL, for "
	    "auth_flow \"f\" has no backend with type = internal",
	    "3 warning: listener \"l\": auth_mechanisms: nobody can log in by XOAUTH2",
	    "3 warning: listener \"l\": backend \"one\" of auth_flow \"f\" is never asked here"}},
    {"no fingerprint",
	HEAD(
	    CA, "", "\"internal\", \"one\"") "user \"a@example.com\" { smtp_auth = matching_sender "
					     "client_cert_sha256 = {\"aa:bb\"} }" REST,
	{"6 error: user \"a@example.com\": client_cert_sha256: \"aa:bb\" is no SHA-256 "
	 "fingerprint"}},
    {"of two users",
	HEAD(CA, "",
	    "\"internal\", \"one\"") "user \"a@example.com\" { smtp_auth = matching_sender "
				     "client_cert_sha256 = {\"" A64
				     "\"} }\nuser \"b@example.com\" { smtp_auth = matching_sender "
				     "client_cert_sha256 = {\"" A64 "\"} }" REST,
	{"7 error: user \"b@example.com\": client_cert_sha256: aaaaaaaaaaaaaaaa... stands at user "
	 "\"a@example.com\" too"}},
    {"nobody asks",
	HEAD(
	    "", "", "\"internal\", \"one\"") "user \"a@example.com\" { smtp_auth = matching_sender "
					     "client_cert_sha256 = {\"" A64 "\"} }" REST,
	{"6 warning: user \"a@example.com\": client_cert_sha256 does nothing"}},
    {"addresses of nobody", HEAD("client_email = true", "", "\"internal\", \"one\"") REST,
	{"2 error: tls \"t\": client_email = true needs client_ca"}},
    {"addresses are enough",
	HEAD(CA " client_email = true", "",
	    "\"internal\", \"one\"") "user \"a@example.com\" { smtp_auth = matching_sender }" REST,
	{NULL}},
};

static void
test_certs(void **state)
{
	(void)state;
	conf_test_cases(cases, sizeof(cases) / sizeof(cases[0]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_certs)};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("conf_cert", tests, NULL, NULL);
}
