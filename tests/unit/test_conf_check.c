/* SPDX-License-Identifier: ISC */
/*
 * Values, references and cross checks: each class of error with its exact line
 * (issue point 3; S1, S2, S4, S18, S49, S59 to S62, C5).
 */
#include "tests/unit/conf_test.h"

#define BASE CONF_TEST_BASE
/* without its listener */
#define NO_LISTENER CONF_TEST_SERVER CONF_TEST_TLS CONF_TEST_FLOW CONF_TEST_REST "\n"
#define L(text) NO_LISTENER "listener \"l\" {\n" text "\n}\n"
#define T(text) BASE "transport \"t\" {\n" text "\n}\ndomain \"t.example\" { transport = \"t\" }\n"
#define U(text) BASE "user \"u@example.com\" {\n" text "\n}\n"

static const struct conf_case values[] = {
    {"good", BASE, {NULL}},
    {"boolean", L("bind = {\"0.0.0.0:587\"}\nrequire_auth = \"maybe\""),
	{"4 error: listener \"l\": require_auth = \"maybe\" is not a boolean; write true or "
	 "false"}},
    {"boolean yes", L("bind = \"0.0.0.0:587\"\nrequire_auth = yes"),
	{"4 error: listener \"l\": require_auth = \"yes\" is not a boolean; write true"}},
    {"word", L("bind = \"0.0.0.0:587\"\nrole = submision"),
	{"4 error: listener \"l\": role = \"submision\" is unknown; write submission or relay (did "
	 "you "
	 "mean submission?)"}},
    {"number", T("method = lookup-mx\nport = smtp"),
	{"4 error: transport \"t\": port = \"smtp\" is not a number; write a decimal number from 1 "
	 "to "
	 "65535"}},
    {"octal", T("method = lookup-mx\nport = 025"),
	{"4 error: transport \"t\": port = \"025\" is not a number; write a decimal number from 1 "
	 "to "
	 "65535, without leading zeros"}},
    {"range", T("method = lookup-mx\nport = 65536"),
	{"4 error: transport \"t\": port = 65536 is out of range; write 1 to 65535"}},
    {"huge", T("method = lookup-mx\nport = 99999999999999999999"), {"4 error: is not a number"}},
    {"negative", T("method = lookup-mx\nretry_count = -1"), {"4 error: is not a number"}},
    {"hexadecimal", T("method = lookup-mx\nport = 0x19"), {"4 error: is not a number"}},
    {"time in words", T("method = lookup-mx\ntimeout = \"10 minutes\""),
	{"4 error: transport \"t\": timeout = \"10 minutes\" is not a time; write 10m"}},
    {"time without unit", T("method = lookup-mx\ntimeout = 10"),
	{"4 error: timeout = \"10\" is not a time; write a number and one unit of ms, s, m, h, d"}},
    {"time of two units", T("method = lookup-mx\ntimeout = 1h30m"), {"4 error: is not a time"}},
    {"time out of range", T("method = lookup-mx\ntimeout = 2h"),
	{"4 error: timeout = 2h is out of range; write 1s to 1h"}},
    {"size", BASE "limit \"x\" {\nmax_header_size = 64KB }",
	{"2 warning: not used", "3 error: max_header_size = \"64KB\" is not a size; write 64K"}},
    {"size out of range", BASE "limit \"x\" {\nmax_header_size = 2M }",
	{"2 warning: not used", "3 error: max_header_size = 2M is out of range; write 4K to 1M"}},
    {"list for a scalar", T("method = {lookup-mx}"),
	{"3 error: method takes one value, not a list; leave out the { }"}},
    {"list of numbers", T("method = lookup-mx\nretry_delay = {5,\n x,\n0}\nretry_count = 5"),
	{"5 error: retry_delay = \"x\" is not a number",
	    "6 error: retry_delay = 0 is out of range"}},
    {"empty list", BASE "log {\ntargets = {} }",
	{"3 error: log: targets has 0 values; write 1 to 8"}},
    {"copies of nothing", BASE "audit {\nsyslog = auth }",
	{"3 warning: audit: nothing is recorded without file"}},
    {"empty text", BASE "audit {\nfile = \"\" }", {"3 error: audit: file is an empty text"}},
    {"empty text in a list", BASE "ou \"x\" {\ndomains = {\"a.example\",\n\"\"} }",
	{"3 warning: there is no domain block for a.example",
	    "4 error: ou \"x\": domains: an empty text stands in the list"}},
    {"control octet from the environment", BASE "audit {\nfile = \"${SUBMITD_CTL}\" }",
	{"3 error: audit: file has a control character"}},
    {"too long", BASE "server_x { }\nlog { }\naudit { file = \"/\" }\nhistory { retain = 1s }",
	{"2 error: unknown block server_x", "5 error: history: retain = 1s is out of range"}},
    {"required", BASE "transport \"t\" {\n}\n\ndomain \"t.example\" {\nname = \"t.example\" }",
	{"2 error: transport \"t\": method is missing", "2 warning: not used",
	    "5 error: domain \"t.example\": transport is missing"}},
    {"untitled twice", BASE "log { }\nlog { }",
	{"3 error: the log block is given twice, first in t:2"}},
    {"title twice", BASE "limit \"x\" { }\n\nlimit \"x\" { }",
	{"2 warning: not used", "4 error: limit \"x\" stands twice, first in t:2",
	    "4 warning: not used"}},
};

static const struct conf_case references[] = {
    {"dangling", BASE "domain \"x.example\" {\ntransport = \"ouut\" }",
	{"3 error: domain \"x.example\": transport = \"ouut\": there is no such transport block; "
	 "did you "
	 "mean \"out\"?"}},
    {"dangling in a list", L("bind = \"0.0.0.0:587\"\nrelay_ou = {\"staff\", \"stuff\"}"),
	{"4 error: listener \"l\": relay_ou = \"stuff\": there is no such ou block; did you mean "
	 "\"staff\"?"}},
    {"twice in a list", L("bind = \"0.0.0.0:587\"\nrelay_ou = {\"staff\", \"staff\"}"),
	{"4 error: listener \"l\": relay_ou names \"staff\" twice"}},
    {"chain",
	BASE "auth_flow \"f\" {\nchain = {internal, fils} }\nbackend \"files\" { type = file\n"
	     "path = \"/u\" }",
	{"1 error: there are several auth_flow blocks", "1 warning: not used",
	    "2 warning: auth_flow \"f\" is not used",
	    "3 error: auth_flow \"f\": chain = \"fils\": there is no such backend block; did you "
	    "mean "
	    "\"files\"?",
	    "4 warning: backend \"files\" is not used"}},
    {"like circle",
	BASE "listener \"a\" { bind = \"0.0.0.0:1\"\nlike = \"b\" }\n"
	     "listener \"b\" { bind = \"0.0.0.0:2\"\nlike = \"a\" }",
	{"5 error: listener \"b\": like = \"a\" goes in a circle"}},
    {"like itself", BASE "listener \"a\" { bind = \"0.0.0.0:1\"\nlike = \"a\" }",
	{"3 error: listener \"a\": like = \"a\" goes in a circle"}},
    {"like dangling", BASE "listener \"a\" { bind = \"0.0.0.0:1\"\nlike = \"submision\" }",
	{"3 error: there is no such listener block; did you mean \"submission\"?"}},
    {"like does not take bind", BASE "listener \"a\" { like = \"submission\" }",
	{"2 error: listener \"a\": bind is missing (like does not take it over)"}},
    {"like complains once",
	L("bind = \"0.0.0.0:587\"\ntolerate = {bare_ff}\nclients = {\"x\"}") "listener \"m\" { "
									     "like = "
									     "\"l\" bind = "
									     "\"0.0.0.0:588\" }",
	{"4 error: listener \"l\": tolerate: \"bare_ff\" is unknown",
	    "5 error: clients: \"x\" is no address"}},
    {"two owners", BASE "ou \"b\" {\ndomains = {\"EXAMPLE.com\"} }",
	{"3 error: domain example.com belongs to ou \"b\" here, but to ou \"staff\" in t:1"}},
    {"owner of a domain block",
	BASE "ou \"b\" { domains = {\"b.example\"} }\n"
	     "domain \"label\" { name = \"b.example\" transport = \"in\"\nou = \"staff\" }",
	{"4 error: domain b.example belongs to ou \"staff\" here, but to ou \"b\" in t:2"}},
    {"owner of an alias",
	BASE "ou \"b\" { domains = {\"b.example\"} }\n"
	     "domain_alias \"b.example\" { parent = \"example.com\" }",
	{"3 error: domain b.example belongs to ou \"staff\" here, but to ou \"b\" in t:2"}},
    {"any owned", BASE "ou \"b\" { domains = {\"any\"} }",
	{"2 error: \"any\" stands for every foreign"}},
    {"any with ou",
	NO_LISTENER CONF_TEST_LISTENER "domain \"x\" { name = any listeners = {\"submission\"}\n"
				       "transport = \"out\" ou = \"staff\" }",
	{"2 warning: on listener \"submission\" it goes before domain \"example.com\"",
	    "3 error: domain \"x\": any stands for every foreign domain and cannot belong to an "
	    "ou"}},
    {"domain twice", BASE "domain \"again\" { name = \"Example.COM\"\ntransport = \"in\" }",
	{"2 error: domain \"again\": example.com stands already in domain \"example.com\" (t:1) "
	 "for all "
	 "listeners"}},
    {"no domain", BASE "domain \"a..b\" { transport = \"in\" }",
	{"2 error: domain \"a..b\": \"a..b\" is no "
	 "domain"}},
    {"domain as pattern", BASE "ou \"b\" { domains = {\"*.b.example\"} }",
	{"2 error: \"*.b.example\" is no domain; patterns are not possible here"}},
    {"empty listeners", BASE "domain \"b.example\" { transport = \"in\" listeners = {} }",
	{"2 error: domain \"b.example\": listeners is empty"}},
    {"alias and domain", BASE "domain_alias \"example.com\" { parent = \"example.com\" }",
	{"2 error: domain_alias \"example.com\": there is also a domain block for it (t:1)"}},
    {"alias twice",
	BASE "domain_alias \"b.example\" { parent = \"example.com\" }\n"
	     "domain_alias \"B.example\" { parent = \"example.com\" }",
	{"3 error: b.example stands already in t:2"}},
    {"alias circle",
	BASE "domain_alias \"b.example\" {\nparent = \"c.example\" }\n"
	     "domain_alias \"c.example\" {\nparent = \"b.example\" }",
	{"3 error: domain_alias \"b.example\": parent = \"c.example\" goes in a circle",
	    "5 error: goes in a circle"}},
    {"alias dangling", BASE "domain_alias \"b.example\" {\nparent = \"c.example\" }",
	{"3 error: domain_alias \"b.example\": parent = \"c.example\" is no domain block"}},
    {"alias of any", BASE "domain_alias \"b.example\" {\nparent = \"any\" }",
	{"3 error: domain_alias \"b.example\": parent cannot be any"}},
    {"domain without route", BASE "ou \"b\" {\ndomains = {\"b.example\"} }",
	{"3 warning: ou \"b\": there is no domain block for b.example"}},
};

static const struct conf_case listeners[] = {
    {"lock-out S1 S2", L("bind = \"0.0.0.0:587\"\nauth = off\nrequire_auth = true"),
	{"1 warning: auth_flow \"staff\" is not used",
	    "4 error: listener \"l\": auth = off with require_auth = true lets nobody send"}},
    {"lock-out by default", L("bind = \"0.0.0.0:587\"\nauth = off"),
	{"1 warning: not used",
	    "4 error: auth = off with require_auth = true (the default of role = "
	    "submission) lets nobody send"}},
    {"relay with auth off", L("bind = \"0.0.0.0:25\"\nrole = relay\nauth = off"),
	{"1 warning: auth_flow \"staff\" is not used"}},
    {"encrypted without tls", L("bind = \"0.0.0.0:587\"\ntls = off"),
	{"1 warning: tls \"default\" is not used", "2 error: listener \"l\": auth = encrypted (the "
						   "default) with tls = off lets nobody log in"}},
    {"tls without profile", CONF_TEST_SERVER CONF_TEST_FLOW CONF_TEST_LISTENER CONF_TEST_REST,
	{"1 error: listener \"submission\": tls = starttls needs a certificate, and there is no "
	 "tls block"}},
    {"tls with several", BASE "tls \"b\" { certificate = \"/c\" key = \"/k\" }",
	{"1 error: tls = starttls needs a certificate, and there are several tls blocks",
	    "1 warning: tls \"default\" is not used", "2 warning: tls \"b\" is not used"}},
    {"auth without flow", CONF_TEST_SERVER CONF_TEST_TLS CONF_TEST_LISTENER CONF_TEST_REST,
	{"1 error: listener \"submission\": auth = encrypted (the default) needs auth_flow, and "
	 "there is "
	 "no auth_flow block"}},
    {"auth in clear", L("bind = \"0.0.0.0:587\"\nauth = on"),
	{"4 warning: listener \"l\": auth = on takes passwords without TLS"}},
    {"old tls without fence C5",
	NO_LISTENER
	"tls \"old\" { certificate = \"/c\" key = \"/k\" ciphers = \"x\"\n"
	"min_version = TLSv1.0 }\n"
	"listener \"l\" { bind = \"0.0.0.0:587\"\ntls_profile = {\"default\", \"old\"} }",
	{"5 error: listener \"l\": tls \"old\" takes TLS older than 1.2 (t:3), which needs "
	 "clients"}},
    {"old tls with fence",
	NO_LISTENER
	"tls \"old\" { certificate = \"/c\" key = \"/k\" ciphers = \"x\"\n"
	"min_version = TLSv1.0 }\n"
	"listener \"l\" { bind = \"0.0.0.0:587\"\ntls_profile = {\"default\", \"old\"}\n"
	"clients = {\"10.0.0.0/8\"} }",
	{NULL}},
    {"bound twice",
	BASE "listener \"b\" { like = \"submission\"\nbind = {\"[::]:587\",\n\"0.0.0.0:587\"} }",
	{"3 error: listener \"b\": bind: 0.0.0.0:587 stands already in listener \"submission\" "
	 "(t:1)"}},
    {"bound beside the wildcard",
	BASE "listener \"b\" { like = \"submission\"\nbind = \"192.0.2.1:587\" }",
	{"3 error: listener \"b\": bind: 192.0.2.1:587 overlaps with listener \"submission\""}},
    {"port 0 twice",
	BASE "listener \"b\" { like = \"submission\"\nbind = {\"127.0.0.1:0\", \"127.0.0.1:0\"} }",
	{NULL}},
    {"no address", L("bind = {\"localhost:587\",\n\"0.0.0.0\"}"),
	{"3 error: bind: \"localhost:587\" is no address with a port",
	    "3 error: bind: \"0.0.0.0\" is no"}},
    {"empty clients", L("bind = \"0.0.0.0:587\"\nclients = {}"), {"4 error: clients is empty"}},
    {"denial in clients", L("bind = \"0.0.0.0:587\"\nclients = {\"!10.0.0.0/8\"}"),
	{"4 error: clients: \"!10.0.0.0/8\" is a denial, which is not possible here"}},
    {"xclient of everybody",
	L("bind = \"0.0.0.0:587\"\nxclient = {\"0.0.0.0/0\"}\nproxy = {\"::/0\"}"),
	{"4 error: xclient believes everybody", "5 error: proxy believes everybody"}},
    {"default_domain", L("bind = \"0.0.0.0:587\"\ndefault_domain = \"other.example\""),
	{"4 warning: default_domain = \"other.example\" stands in no ou or domain block"}},
    {"two grants",
	L("bind = \"0.0.0.0:587\"\nrelay_any_authenticated = true\nrelay_ou = {\"staff\"}"),
	{"5 warning: relay_any_authenticated = true makes relay_ou needless"}},
    {"grant without auth",
	L("bind = \"0.0.0.0:25\"\nauth = off\nrequire_auth = false\nrelay_ou = {\"staff\"}"),
	{"1 warning: not used", "6 warning: a relay grant for authenticated users does nothing"}},
    {"tls profile unused",
	L("bind = \"0.0.0.0:25\"\nauth = off\nrequire_auth = false\ntls = off\n"
	  "tls_profile = \"default\""),
	{"1 warning: not used", "7 warning: tls_profile is not used while tls = off"}},
};

static const struct conf_case others[] = {
    {"server",
	"server {\nhostname = \"no host\"\npostmaster = \"nobody\"\nspool = \"spool\"\ncontrol = "
	"\"c\"\n"
	"user_prefix = \"Sub mit\" }\n" CONF_TEST_TLS CONF_TEST_FLOW CONF_TEST_LISTENER
	    CONF_TEST_REST,
	{"2 error: hostname = \"no host\" is no host name",
	    "3 error: postmaster = \"nobody\" is no address",
	    "4 error: spool = \"spool\" is no absolute path",
	    "5 error: control = \"c\" is no absolute path", "6 error: user_prefix = \"Sub mit\""}},
    {"log target",
	BASE "log {\ntargets = {\"file:x\", \"syslog:post\", \"stdout\", \"syslog:mail\"} }",
	{"3 error: \"file:x\" is unknown", "3 error: \"syslog:post\" is unknown",
	    "3 error: \"stdout\" is"}},
    {"backend without path", BASE "backend \"f\" {\ntype = file }",
	{"2 warning: not used", "3 error: backend \"f\": type = file needs path"}},
    {"options of the wrong kind",
	BASE "backend \"f\" { type = internal\npath = \"/x\"\nallow_plain = true }",
	{"2 warning: not used", "3 error: backend \"f\": path is for type = file",
	    "4 error: backend \"f\": allow_plain is for type = file"}},
    {"internal that is not", BASE "backend \"internal\" { type = file\npath = \"/x\" }",
	{"2 error: backend \"internal\": the name internal means the user blocks"}},
    {"filter S4",
	BASE "ou \"b\" { domains = {\"b.example\"}\nauth_user_mode = allow }\n"
	     "ou \"c\" { domains = {\"c.example\"}\nauth_user_filter = {\"x\", \"!\", \"/^a/\"} }",
	{"2 warning: no domain block",
	    "3 warning: auth_user_mode = allow with an empty auth_user_filter lets nobody",
	    "4 warning: no domain block",
	    "5 error: auth_user_filter: \"!\" is not a usable pattern: a ! with nothing behind it; "
	    "right are an address",
	    "5 warning: ou \"c\": auth_user_filter: \"x\" has no @, so it stands for domains",
	    "5 warning: auth_user_filter is not used"}},
    {"filters of listeners S3 S4 S5",
	BASE "listener \"a\" { bind = \"0.0.0.0:1\"\nauth_ip_mode = allow\nauth_user_mode = deny\n"
	     "auth_flow = \"staff\" }\n"
	     "listener \"b\" { bind = \"0.0.0.0:2\" like = \"a\" }\n"
	     "listener \"c\" { bind = \"0.0.0.0:3\" like = \"a\"\n"
	     "auth_ip_mode = off auth_ip_filter = {\"192.0.2.*\"}\n"
	     "auth_user_filter = {\"a@*\"} }\n"
	     "listener \"d\" { bind = \"0.0.0.0:4\" like = \"c\"\n"
	     "auth_ip_mode = deny auth_ip_filter = {\"host.example.com\", \"192.0.2.0/40\"} }\n",
	{"3 warning: listener \"a\": auth_ip_mode = allow with an empty auth_ip_filter lets nobody",
	    "4 warning: listener \"a\": auth_user_mode = deny with an empty auth_user_filter does",
	    "8 warning: listener \"c\": auth_ip_filter is not used while auth_ip_mode = off",
	    "11 error: listener \"d\": auth_ip_filter: \"host.example.com\" is not a usable "
	    "pattern: no address, network or wildcard; right are 192.0.2.1, 192.0.2.0/24",
	    "11 error: listener \"d\": auth_ip_filter: \"192.0.2.0/40\""}},
    {"a regex that is none",
	BASE "ou \"c\" { domains = {\"c.example\"}\n"
	     "auth_user_mode = deny\nauth_user_filter = {'/^(a@/'} }",
	{"2 warning: no domain block", "4 error: auth_user_filter: \"/^(a@/\" is not a usable"}},
    {"user without secret S18", U("smtp_auth = matching_sender"),
	{"3 error: user \"u@example.com\": smtp_auth = matching_sender needs secret"}},
    {"user whose password another backend has",
	BASE "backend \"f\" { type = file path = \"/users\" }\n"
	     "user \"u@example.com\" { smtp_auth = matching_sender clients = {\"10.0.0.0/8\"} }\n",
	{"2 warning: backend \"f\" is not used"}},
    {"secret is a password", U("smtp_auth = matching_sender\nsecret = \"hunter2\""),
	{"4 error: user \"u@example.com\": secret is no \"file:/PATH\""}},
    {"secret of a user that is off", U("secret = \"file:/x\""), {"3 warning: secret is not used"}},
    {"any_sender without senders", U("smtp_auth = any_sender\nsecret = \"file:/x\""),
	{"3 warning: any_sender without senders: only senders of its own ou"}},
    {"senders without any_sender",
	U("smtp_auth = matching_sender\nsecret = \"file:/x\"\nsenders = {\"*\"}"),
	{"5 warning: senders (*...) is used with smtp_auth = any_sender only"}},
    {"user of another ou",
	BASE "ou \"b\" { domains = {\"b.example\"} }\ndomain \"b.example\" { transport = \"in\" }\n"
	     "user \"u@b.example\" {\nou = \"staff\" }",
	{"5 error: user \"u@b.example\": ou = \"staff\", but its domain b.example belongs to ou "
	 "\"b\" (t:2)"}},
    {"user of no domain", BASE "user \"u@foreign.example\" {\nou = \"staff\" }",
	{"3 warning: its domain foreign.example belongs to no ou"}},
    {"user without domain", BASE "user \"u\" { }",
	{"2 error: user \"u\": its name must be a whole address"}},
    {"user twice", BASE "user \"u@example.com\" { }\nuser \"U@Example.com\" { }",
	{"3 error: user \"U@Example.com\": is the same address as \"u@example.com\" (t:2)"}},
    {"clients of a user", U("clients = {\"10.0.0.0/33\"}\n"),
	{"3 error: clients: \"10.0.0.0/33\" is no address"}},
    {"empty clients of a user", U("clients = {}\n"),
	{"3 error: user \"u@example.com\": clients is empty"}},
    {"static without hosts S59", T("method = static"), {"3 error: method = static needs hosts"}},
    {"hosts with lookup-mx", T("method = lookup-mx\nhosts = {\"a.example\"}\norder = numeric"),
	{"4 error: hosts is for method = static", "5 error: order is for method = static"}},
    {"bad hosts",
	T("method = static\nhosts = {\"a b\", \"::1\", \"a.example:0\", \"a.example:x\", "
	  "\"ok.example\"}"),
	{"4 error: hosts: \"a b\" is no host", "4 error: hosts: \"::1\" is no host",
	    "4 error: hosts: \"a.example:0\"", "4 error: hosts: \"a.example:x\""}},
    {"method", T("method = smtp"),
	{"3 error: method = \"smtp\" is unknown; write static, lookup-mx or"}},
    {"method options S60 S61",
	T("method = \"lookup-mx:zone=a..b;query=ns1.example,192.0.2.1;x=y;zone=c\""),
	{"3 error: method: zone=a..b is no domain",
	    "3 error: method: query=ns1.example is no address",
	    "3 error: method: \"x\" is unknown or given twice",
	    "3 error: method: \"zone\" is unknown or"}},
    {"surplus of retry_delay S62",
	T("method = lookup-mx\nretry_delay = {1, 2, 3}\nretry_count = 2"),
	{"4 warning: retry_delay has 3 values for retry_count = 2; the surplus is not used (S62)"}},
    {"warning too late",
	T("method = lookup-mx\nretry_delay = {1}\nretry_count = 2\nwarn_after = 2"),
	{"6 warning: warn_after = 2 is never reached"}},
    {"source", T("method = lookup-mx\nsource = {\"192.0.2.1\", \"192.0.2.2\"}"),
	{"4 error: source has two addresses of one kind"}},
    {"ca_file", T("method = lookup-mx\nca_file = \"/x\""),
	{"4 warning: ca_file is used with tls = require_verify"}},
    {"unreferenced", BASE "transport \"t\" { method = lookup-mx }\nlimit \"l\" { }",
	{"2 warning: transport \"t\" is not used", "3 warning: limit \"l\" is not used"}},
};

#define RUN(name)                                                                                  \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		conf_test_cases(name, sizeof name / sizeof name[0]);                               \
	}
RUN(values)
RUN(references)
RUN(listeners)
RUN(others)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_references),
	    cmocka_unit_test(test_listeners),
	    cmocka_unit_test(test_others),
	};

	setenv("SUBMITD_CTL", "/a\rb", 1);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("conf_check", tests, NULL, NULL);
}
