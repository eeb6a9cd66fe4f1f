/* SPDX-License-Identifier: ISC */
/*
 * The policy engine against small configurations: one row per situation, with the
 * requirement it serves. Each refusal must name its rule and carry the right codes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/list.h"
#include "base/str.h"
#include "policy/policy.h"

#include <stdio.h>
#include <string.h>

static const char conf_text[] =
    "server { hostname = \"mail.example.com\"  message_size_limit = \"1M\" }\n"
    "tls \"t\" { certificate = \"/x.pem\"  key = \"/x.key\" }\n"
    "backend \"f\" { type = file  path = \"/x.users\" }\n"
    "auth_flow \"flow\" { chain = {\"internal\", \"f\"} }\n"
    "listener \"sub\" { bind = {\"127.0.0.1:587\"}  auth_flow = \"flow\"\n"
    "  default_domain = \"hq.example\"  relay_ou = {\"hq\", \"lax\"} }\n"
    "listener \"dev\" { bind = {\"127.0.0.1:2587\"}  auth_flow = \"flow\"  auth = on  require_auth "
    "= false\n"
    "  clients = {\"10.20.0.0/16\", \"2001:db8::/32\"} }\n"
    "listener \"wide\" { bind = {\"127.0.0.1:3587\"}  auth_flow = \"flow\"  "
    "relay_any_authenticated = true }\n"
    "listener \"deny\" { bind = {\"127.0.0.1:4587\"}  auth_flow = \"flow\"  auth = on\n"
    "  default_domain = \"lax.example\"\n"
    "  auth_ip_mode = deny  auth_ip_filter = {\"203.0.113.0/24\", \"!203.0.113.7\", "
    "\"198.51.100.*\"}\n"
    "  auth_user_mode = deny  auth_user_filter = {'/^(root|test|scan)@/', \"*@old.example\", "
    "\"boss@hq.example\", "
    "\"*@b\xc3\xbc"
    "cher.example\"} }\n"
    "listener \"allow\" { like = \"deny\"  bind = {\"127.0.0.1:5587\"}\n"
    "  auth_ip_mode = allow  auth_user_mode = allow }\n"
    "listener \"nobody\" { bind = {\"127.0.0.1:6587\"}  auth_flow = \"flow\"  auth = on\n"
    "  auth_ip_mode = allow  auth_user_mode = allow }\n"
    "listener \"slow\" { bind = {\"127.0.0.1:7587\"}  auth_flow = \"flow\"  auth = on\n"
    "  auth_user_mode = deny  auth_user_filter = {'/^(a+)+$/'} }\n"
    "listener \"mx\" { bind = {\"127.0.0.1:25\"}  role = relay  auth = off }\n"
    "ou \"hq\" { domains = {\"hq.example\"}  match_from = true  match_header_from = true\n"
    "  auth_user_mode = deny  auth_user_filter = {\"ceo@*\", '/^scan[0-9]+@/', \"!scan7@*\"} }\n"
    "ou \"plant\" { domains = {\"plant.example\"}  auth_user_mode = allow  auth_user_filter = "
    "{\"*@*\", \"!old@*\"} }\n"
    "ou \"lax\" { domains = {\"lax.example\"}  match_from = false }\n"
    "user \"printer@hq.example\" { ou = \"hq\"  secret = \"file:/x\"  smtp_auth = any_sender  "
    "clients = "
    "{\"10.20.0.0/16\"} }\n"
    "user \"app@hq.example\" { ou = \"hq\"  secret = \"file:/x\"  smtp_auth = any_sender\n"
    "  senders = {\"*@hq.example\", \"news@partner.example\", \"*@plant.example\", "
    "\"!ceo@hq.example\", \"*@b\xc3\xbc"
    "cher.example\", \"*@*.shop.example\", \"!*@b\xc3\xbc"
    "cher.shop.example\"} }\n"
    "user \"alarm@lax.example\" { ou = \"lax\"  secret = \"file:/x\"  smtp_auth = matching_sender "
    "}\n"
    "user \"fax@else.example\" { ou = \"hq\"  secret = \"file:/x\"  smtp_auth = matching_sender }\n"
    "domain \"hq.example\" { ou = \"hq\"  transport = \"in\" }\n"
    "domain \"plant.example\" { ou = \"plant\"  transport = \"in\"  listeners = {\"mx\", \"sub\"} "
    "}\n"
    "domain \"plant-wide\" { name = \"plant.example\"  transport = \"out\"  listeners = {\"wide\"} "
    "}\n"
    "domain \"mxonly.example\" { transport = \"in\"  listeners = {\"mx\"} }\n"
    "domain \"any\" { transport = \"out\" }\n"
    "domain_alias \"hq2.example\" { parent = \"hq.example\" }\n"
    "transport \"in\" { method = static  hosts = {\"127.0.0.1:10025\"} }\n"
    "transport \"out\" { method = \"lookup-mx\" }\n";

static struct conf *conf;

static struct conf *
build(const char *text)
{
	struct buf raw = BUF_INIT, line = BUF_INIT;
	struct conf_findings f = {0};
	struct conf *c = NULL;

	if (conf_parse_text("test.conf", text, &raw, &f) == 0)
		c = conf_build(buf_span(&raw), &f);
	for (size_t i = 0; c == NULL && i < f.n; i++) {
		conf_finding_format(&f.v[i], &line);
		fprintf(stderr, "# %s\n", buf_cstr(&line));
		buf_reset(&line);
	}
	conf_findings_clear(&f);
	buf_clear(&raw);
	buf_clear(&line);
	return c;
}

static int
setup(void **state)
{
	(void)state;
	conf = build(conf_text);
	return conf == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	conf_free(conf);
	return 0;
}

static void
set_addr(struct addr *a, const char *text)
{
	memset(a, 0, sizeof(*a));
	if (text[0] != '\0')
		assert_int_equal(addr_parse(span_of(text), ADDR_ALLOW_UTF8, a), ADDR_OK);
}

/* One question; NULL is "not given". expect: "ok", or code, esc and rule id. */
struct row {
	const char *why;
	enum policy_stage stage;
	const char *listener, *principal, *from, *rcpt;
	const char *expect;
	const char *domain; /* title of the domain block on ok */
};

static void
fill(struct facts *f, const struct row *row)
{
	const struct conf_ou *ou;

	memset(f, 0, sizeof(*f));
	f->stage = row->stage;
	f->listener = row->listener;
	f->tls = true;
	assert_int_equal(net_addr_parse_ip(span_of("192.0.2.9"), &f->client), 0);
	f->authenticated = row->principal != NULL;
	f->principal = row->principal;
	ou = policy_principal_ou(conf, row->principal);
	f->principal_ou = ou == NULL ? NULL : ou->title;
	if (row->from != NULL) {
		f->have_sender = true;
		set_addr(&f->sender, row->from);
	}
	if (row->rcpt != NULL) {
		f->have_rcpt = true;
		set_addr(&f->rcpt, row->rcpt);
	}
}

static void
check(const char *why, const struct facts *f, const char *expect, const char *domain)
{
	struct policy_result r;
	char got[100], esc[STATUS_ESC_TEXT];

	policy_decide_noted(conf, f, &r);
	if (r.verdict == V_OK) {
		(void)str_copy(got, sizeof(got), "ok");
	} else {
		status_esc(&r.status, esc);
		(void)str_printf(got, sizeof(got), "%u %s %s", r.status.code, esc,
		    r.rule == NULL ? "-" : r.rule->id);
		assert_non_null(r.status.text);
	}
	if (strcmp(got, expect) != 0)
		fail_msg("%s: got %s (%s), expected %s", why, got,
		    r.status.text == NULL ? "" : r.status.text, expect);
	if (domain != NULL) {
		assert_non_null(r.domain);
		assert_string_equal(r.domain->title, domain);
		assert_ptr_equal(r.transport, r.domain->transport_block);
	}
	for (size_t i = 0; i < r.n_steps; i++)
		assert_true(r.steps[i].note[0] != '\0');
	policy_result_clear(&r);
}

/* clang-format off */
static const struct row mail_rows[] = {
	{"S2 no AUTH on submission", AT_MAIL, "sub", NULL, "a@hq.example", NULL, "530 5.7.0 S2", NULL},
	{"S2 not required", AT_MAIL, "mx", NULL, "a@hq.example", NULL, "ok", NULL},
	{"S11 own address", AT_MAIL, "sub", "a@hq.example", "a@hq.example", NULL, "ok", NULL},
	{"S11 case does not matter", AT_MAIL, "sub", "a@hq.example", "A@HQ.Example", NULL, "ok", NULL},
	{"S11 a colleague", AT_MAIL, "sub", "a@hq.example", "b@hq.example", NULL, "550 5.7.1 S11", NULL},
	{"S11 foreign sender", AT_MAIL, "sub", "a@hq.example", "a@foreign.example", NULL, "550 5.7.1 S11", NULL},
	{"S11 null sender", AT_MAIL, "sub", "a@hq.example", "", NULL, "ok", NULL},
	{"S11 lax unit", AT_MAIL, "sub", "a@lax.example", "b@lax.example", NULL, "ok", NULL},
	{"S11 lax user, sender of a strict unit", AT_MAIL, "sub", "a@lax.example", "b@hq.example", NULL, "550 5.7.1 S11", NULL},
	{"S11 lax user, alias of a strict unit", AT_MAIL, "sub", "a@lax.example", "b@hq2.example", NULL, "550 5.7.1 S11", NULL},
	{"S11 strict user on a listener with S7", AT_MAIL, "wide", "a@hq.example", "x@foreign.example", NULL, "550 5.7.1 S11", NULL},
	{"S7 no unit, foreign sender", AT_MAIL, "wide", "joe@else.test", "x@foreign.example", NULL, "ok", NULL},
	{"S7 no unit, strict sender", AT_MAIL, "wide", "joe@else.test", "x@hq.example", NULL, "550 5.7.1 S11", NULL},
	{"S18 any_sender without list: unit's addresses", AT_MAIL, "sub", "printer@hq.example", "b@hq.example", NULL, "ok", NULL},
	{"S18 any_sender without list: alias of the unit", AT_MAIL, "sub", "printer@hq.example", "b@hq2.example", NULL, "ok", NULL},
	{"S18 any_sender without list: foreign", AT_MAIL, "sub", "printer@hq.example", "b@foreign.example", NULL, "550 5.7.1 S18", NULL},
	{"S18 pattern", AT_MAIL, "sub", "app@hq.example", "b@hq.example", NULL, "ok", NULL},
	{"S18 foreign pattern", AT_MAIL, "sub", "app@hq.example", "news@partner.example", NULL, "ok", NULL},
	{"S18 outside of the patterns", AT_MAIL, "sub", "app@hq.example", "x@partner.example", NULL, "550 5.7.1 S18", NULL},
	{"S18 taken away", AT_MAIL, "sub", "app@hq.example", "ceo@hq.example", NULL, "550 5.7.1 S18", NULL},
	{"S18 covered in any case of the domain", AT_MAIL, "sub", "app@hq.example", "\xc3\xb6@B\xc3\x9c" "CHER.example", NULL, "ok", NULL},
	{"S18 taken away in any case of the domain", AT_MAIL, "sub", "app@hq.example", "\xc3\xb6@B\xc3\x9c" "CHER.shop.example", NULL, "550 5.7.1 S18", NULL},
	{"S18 another unit's addresses are not ours to give", AT_MAIL, "sub", "app@hq.example", "x@plant.example", NULL, "550 5.7.1 S18", NULL},
	{"S18 own address though not listed", AT_MAIL, "sub", "app@hq.example", "app@hq.example", NULL, "ok", NULL},
	{"S18 matching_sender in a lax unit", AT_MAIL, "sub", "alarm@lax.example", "b@lax.example", NULL, "550 5.7.1 S18", NULL},
	{"S18 matching_sender, own", AT_MAIL, "sub", "alarm@lax.example", "ALARM@lax.example", NULL, "ok", NULL},
	{"unknown listener is temporary", AT_MAIL, "gone", "a@hq.example", "a@hq.example", NULL, "451 4.3.5 -", NULL},
};

static const struct row rcpt_rows[] = {
	{"S58 stranger to local", AT_RCPT, "mx", NULL, "x@foreign.example", "u@hq.example", "ok", "hq.example"},
	{"S57 stranger to alias", AT_RCPT, "mx", NULL, "x@foreign.example", "u@hq2.example", "ok", "hq.example"},
	{"S49 stranger to stranger", AT_RCPT, "mx", NULL, "x@foreign.example", "u@gmail.example", "550 5.7.1 S49", NULL},
	{"S49 null sender to stranger", AT_RCPT, "mx", NULL, "", "u@gmail.example", "550 5.7.1 S49", NULL},
	{"S8 spoofed internal sender counts external", AT_RCPT, "mx", NULL, "boss@hq.example", "u@gmail.example", "550 5.7.1 S49", NULL},
	{"S49 no AUTH on a listener that has it", AT_RCPT, "dev", NULL, "boss@hq.example", "u@gmail.example", "550 5.7.1 S49", NULL},
	{"S49 ours, but only any takes it here", AT_RCPT, "dev", NULL, "x@foreign.example", "u@mxonly.example", "550 5.7.1 S49", NULL},
	{"S71 no suffix trick", AT_RCPT, "mx", NULL, "x@foreign.example", "u@evilhq.example", "550 5.7.1 S49", NULL},
	{"S71 no subdomain trick", AT_RCPT, "mx", NULL, "x@foreign.example", "u@sub.hq.example", "550 5.7.1 S49", NULL},
	{"S49 address literal", AT_RCPT, "mx", NULL, "x@foreign.example", "u@[192.0.2.7]", "550 5.7.1 S49", NULL},
	{"S49 source route is cut off by the parser, quoted is not ours", AT_RCPT, "mx", NULL, "x@foreign.example", "\"u@gmail.example\"@foreign.example", "550 5.7.1 S49", NULL},
	{"S8 grant", AT_RCPT, "sub", "a@hq.example", "a@hq.example", "u@gmail.example", "ok", "any"},
	{"S8 null sender", AT_RCPT, "sub", "a@hq.example", "", "u@gmail.example", "ok", "any"},
	{"S8 no grant for this unit", AT_RCPT, "sub", "a@plant.example", "a@plant.example", "u@gmail.example", "550 5.7.1 S8", NULL},
	{"S8 no grant needed to our domains", AT_RCPT, "sub", "a@plant.example", "a@plant.example", "u@hq.example", "ok", "hq.example"},
	{"S8 no unit", AT_RCPT, "sub", "joe@else.test", "joe@else.test", "u@gmail.example", "550 5.7.1 S8", NULL},
	{"S8 no grant on this listener", AT_RCPT, "dev", "a@hq.example", "a@hq.example", "u@gmail.example", "550 5.7.1 S8", NULL},
	{"S8 to whom, not as whom", AT_RCPT, "sub", "a@lax.example", "x@foreign.example", "u@gmail.example", "550 5.7.1 S8", NULL},
	{"S8 own unit's sender", AT_RCPT, "sub", "a@lax.example", "b@lax.example", "u@gmail.example", "ok", "any"},
	{"S8 lax user as a foreign sender to us", AT_RCPT, "sub", "a@lax.example", "x@foreign.example", "u@hq.example", "ok", "hq.example"},
	{"S18 foreign sender by pattern", AT_RCPT, "sub", "app@hq.example", "news@partner.example", "u@gmail.example", "ok", "any"},
	{"S8 user block gives the unit", AT_RCPT, "sub", "fax@else.example", "fax@else.example", "u@gmail.example", "ok", "any"},
	{"S7 from anywhere to anywhere", AT_RCPT, "wide", "joe@else.test", "x@foreign.example", "u@gmail.example", "ok", "any"},
	{"S55 the named listener first", AT_RCPT, "wide", "joe@else.test", "joe@else.test", "u@plant.example", "ok", "plant-wide"},
	{"S54 the other block on the other listener", AT_RCPT, "sub", "a@hq.example", "a@hq.example", "u@plant.example", "ok", "plant.example"},
	{"S32 ours elsewhere, needs the grant for any", AT_RCPT, "sub", "a@plant.example", "a@plant.example", "u@mxonly.example", "550 5.7.1 S8", NULL},
	{"S58 ours elsewhere, leaves by MX", AT_RCPT, "sub", "a@hq.example", "a@hq.example", "u@mxonly.example", "ok", "any"},
};

static const struct {
	const char *why, *listener, *login, *ip;
	bool tls;
	const char *expect;
} auth_rows[] = {
	{"S1 in clear", "sub", "a@hq.example", "192.0.2.9", false, "538 5.7.11 S1"},
	{"S1 off", "mx", "a@hq.example", "192.0.2.9", true, "503 5.5.1 S1"},
	{"S1 on", "dev", "a@hq.example", "192.0.2.9", false, "ok"},
	{"S1 before the name is known", "sub", NULL, "192.0.2.9", true, "ok"},
	{"S14 denied by wildcard", "sub", "ceo@hq.example", "192.0.2.9", true, "535 5.7.8 S14"},
	{"S14 case", "sub", "CEO@hq.EXAMPLE", "192.0.2.9", true, "535 5.7.8 S14"},
	{"S14 completed by default_domain", "sub", "ceo", "192.0.2.9", true, "535 5.7.8 S14"},
	{"S14 regex", "sub", "scan12@hq.example", "192.0.2.9", true, "535 5.7.8 S14"},
	{"S14 taken out of the list", "sub", "scan7@hq.example", "192.0.2.9", true, "ok"},
	{"S15 names of others never match", "sub", "ceo@lax.example", "192.0.2.9", true, "ok"},
	{"S15 names of nobody never match", "sub", "ceo@foreign.example", "192.0.2.9", true, "ok"},
	{"S14 allow list", "sub", "b@plant.example", "192.0.2.9", true, "ok"},
	{"S14 allow list, taken out", "sub", "old@plant.example", "192.0.2.9", true, "535 5.7.8 S14"},
	{"S14 text as for a wrong password", "sub", "ceo@hq.example", "192.0.2.9", true, "535 5.7.8 S14"},
	{"S15 never beyond the unit", "deny", "ceo@lax.example", "192.0.2.9", true, "ok"},
	{"S3 off", "sub", "a@lax.example", "203.0.113.9", true, "ok"},
	{"S3 denied network, before the name is known", "deny", NULL, "203.0.113.9", true, "503 5.5.1 S3"},
	{"S3 denied network", "deny", "a@lax.example", "203.0.113.9", true, "503 5.5.1 S3"},
	{"S4 taken out of the list", "deny", "a@lax.example", "203.0.113.7", true, "ok"},
	{"S4 wildcard", "deny", "a@lax.example", "198.51.100.77", true, "503 5.5.1 S3"},
	{"S3 others", "deny", "a@lax.example", "198.51.101.77", true, "ok"},
	{"S3 IPv6", "deny", "a@lax.example", "2001:db8::1", true, "ok"},
	{"S3 mapped IPv4", "deny", "a@lax.example", "::ffff:203.0.113.9", true, "503 5.5.1 S3"},
	{"S3 allow", "allow", "root", "203.0.113.9", true, "ok"},
	{"S3 allow, not listed", "allow", "root", "192.0.2.9", true, "503 5.5.1 S3"},
	{"S4 allow, empty: nobody", "nobody", NULL, "192.0.2.9", true, "503 5.5.1 S3"},
	{"S5 denied by regex", "deny", "root@anywhere.example", "192.0.2.9", true, "535 5.7.8 S5"},
	{"S5 case", "deny", "ROOT@Anywhere.Example", "192.0.2.9", true, "535 5.7.8 S5"},
	{"S5 completed by default_domain", "deny", "scan", "192.0.2.9", true, "535 5.7.8 S5"},
	{"S6 wildcard", "deny", "joe@old.example", "192.0.2.9", true, "535 5.7.8 S5"},
	{"S6 not a suffix", "deny", "joe@very-old.example", "192.0.2.9", true, "ok"},
	{"S6 A-label of a listed domain", "deny", "joe@xn--bcher-kva.example", "192.0.2.9", true, "535 5.7.8 S5"},
	{"S6 U-label of a listed domain", "deny", "joe@b\xc3\xbc" "cher.example", "192.0.2.9", true, "535 5.7.8 S5"},
	{"S5 others", "deny", "joe@lax.example", "192.0.2.9", true, "ok"},
	{"S5 no address: as given", "deny", "root@", "192.0.2.9", true, "535 5.7.8 S5"},
	{"S5 allow, not listed", "allow", "joe@lax.example", "203.0.113.9", true, "535 5.7.8 S5"},
	{"S6 a regex beyond its limits is unknown", "slow", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!@x.example", "192.0.2.9", true, "451 4.3.0 S5"},
	{"C4 user's clients", "sub", "printer@hq.example", "10.20.3.4", true, "ok"},
	{"S57 the user's clients, by an alias", "sub", "printer@hq2.example", "10.21.3.4", true, "535 5.7.8 C4"},
	{"S57 from there", "sub", "printer@hq2.example", "10.20.3.4", true, "ok"},
	{"S57 a listed name, by an alias", "deny", "boss@hq2.example", "192.0.2.9", true, "535 5.7.8 S5"},
	{"S57 listed, too", "allow", "boss@hq2.example", "203.0.113.9", true, "ok"},
	{"C4 from elsewhere", "sub", "printer@hq.example", "10.21.3.4", true, "535 5.7.8 C4"},
};
/* clang-format on */

static void
test_mail(void **state)
{
	struct facts f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(mail_rows); i++) {
		fill(&f, &mail_rows[i]);
		check(mail_rows[i].why, &f, mail_rows[i].expect, NULL);
	}
}

static void
test_rcpt(void **state)
{
	struct facts f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rcpt_rows); i++) {
		fill(&f, &rcpt_rows[i]);
		check(rcpt_rows[i].why, &f, rcpt_rows[i].expect, rcpt_rows[i].domain);
	}
}

static void
test_auth(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(auth_rows); i++) {
		struct facts f = {.stage = AT_AUTH, .listener = auth_rows[i].listener};

		f.login = auth_rows[i].login;
		f.tls = auth_rows[i].tls;
		assert_int_equal(net_addr_parse_ip(span_of(auth_rows[i].ip), &f.client), 0);
		check(auth_rows[i].why, &f, auth_rows[i].expect, NULL);
	}
}

/* P3: what a user's clients refuse reads like a wrong password. */
static void
test_auth_neutral(void **state)
{
	struct facts f = {.stage = AT_AUTH, .listener = "sub", .tls = true};
	struct policy_result r;

	(void)state;
	f.login = "printer@hq.example";
	assert_int_equal(net_addr_parse_ip(span_of("192.0.2.1"), &f.client), 0);
	policy_decide(conf, &f, &r);
	assert_int_equal(r.verdict, V_PERM);
	assert_string_equal(r.status.text, POLICY_AUTH_FAILED);
	policy_result_clear(&r);
	f.login = "ceo@hq.example"; /* S14 */
	policy_decide(conf, &f, &r);
	assert_string_equal(r.status.text, POLICY_AUTH_FAILED);
	policy_result_clear(&r);
	f.login = "root"; /* S5 */
	f.listener = "deny";
	policy_decide(conf, &f, &r);
	assert_string_equal(r.rule->id, "S5");
	assert_string_equal(r.status.text, POLICY_AUTH_FAILED);
	policy_result_clear(&r);
}

/* S35: who may connect. */
static void
test_connect(void **state)
{
	static const struct {
		const char *listener, *ip, *expect;
	} rows[] = {
	    {"sub", "203.0.113.5", "ok"},
	    {"dev", "10.20.255.1", "ok"},
	    {"dev", "2001:db8::7", "ok"},
	    {"dev", "10.21.0.1", "554 5.7.1 S35"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct facts f = {.stage = AT_CONNECT, .listener = rows[i].listener};

		assert_int_equal(net_addr_parse_ip(span_of(rows[i].ip), &f.client), 0);
		check(rows[i].ip, &f, rows[i].expect, NULL);
	}
}

/* S11: an empty sender of a user has one recipient; of strangers as many as they like. */
static void
test_null_sender(void **state)
{
	const struct row own = {"", AT_RCPT, "sub", "a@hq.example", "", "u@hq.example", NULL, NULL};
	const struct row strange = {"", AT_RCPT, "mx", NULL, "", "u@hq.example", NULL, NULL};
	struct facts f;

	(void)state;
	fill(&f, &own);
	check("first", &f, "ok", "hq.example");
	f.n_rcpts = 1;
	check("second", &f, "550 5.7.1 S11", NULL);
	fill(&f, &strange);
	f.n_rcpts = 5;
	check("stranger", &f, "ok", "hq.example");
}

/* C8: every header address, and the stricter unit of three. */
static void
test_header_from(void **state)
{
	static const struct {
		const char *why, *principal, *from, *header[3], *expect;
	} rows[] = {
	    {"own", "a@hq.example", "a@hq.example", {"A@hq.example"}, "ok"},
	    {"other", "a@hq.example", "a@hq.example", {"ceo@hq.example"}, "550 5.7.1 C8"},
	    {"second address", "a@hq.example", "a@hq.example", {"a@hq.example", "b@x.example"},
		"550 5.7.1 C8"},
	    {"lax", "a@lax.example", "a@lax.example", {"b@foreign.example"}, "ok"},
	    {"lax user writes a strict unit's address", "a@lax.example", "a@lax.example",
		{"ceo@hq.example"}, "550 5.7.1 C8"},
	    {"match_from only", "a@plant.example", "a@plant.example", {"b@x.example"}, "ok"},
	    {"<> counts match_from too", "a@plant.example", "", {"b@x.example"}, "550 5.7.1 C8"},
	    {"<> with the own address", "a@plant.example", "", {"a@plant.example"}, "ok"},
	    {"any_sender covers", "app@hq.example", "b@hq.example", {"b@hq.example"}, "ok"},
	    {"any_sender does not cover", "app@hq.example", "b@hq.example", {"ceo@hq.example"},
		"550 5.7.1 C8"},
	    {"no From at all", "a@hq.example", "a@hq.example", {NULL}, "ok"},
	    {"stranger", NULL, "x@foreign.example", {"ceo@hq.example"}, "ok"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row base = {"", AT_DATA, rows[i].principal == NULL ? "mx" : "sub",
		    rows[i].principal, rows[i].from, "u@hq.example", NULL, NULL};
		struct facts f;

		fill(&f, &base);
		f.have_header_from = true;
		for (size_t k = 0; k < 3 && rows[i].header[k] != NULL; k++)
			set_addr(&f.header_from[f.n_header_from++], rows[i].header[k]);
		check(rows[i].why, &f, rows[i].expect, NULL);
		f.have_header_from = false;
		f.n_header_from = 0;
		if (rows[i].principal != NULL && strstr(rows[i].principal, "@hq.") != NULL)
			check("unreadable", &f, "550 5.7.1 C8", NULL);
	}
}

/* P7: declared at MAIL, real at the end. */
static void
test_size(void **state)
{
	const struct row base = {
	    "", AT_MAIL, "sub", "a@hq.example", "a@hq.example", NULL, NULL, NULL};
	struct facts f;

	(void)state;
	fill(&f, &base);
	f.size = 1048576;
	check("fits", &f, "ok", NULL);
	f.size = 1048577;
	check("too large", &f, "552 5.3.4 P7", NULL);
	f.stage = AT_DATA;
	f.have_header_from = true;
	check("too large in the end", &f, "552 5.3.4 P7", NULL);
}

static void
test_principal(void **state)
{
	static const struct {
		const char *listener, *login, *expect;
	} rows[] = {
	    {"sub", "a", "a@hq.example"},
	    {"sub", "a@X.Example", "a@x.example"},
	    {"wide", "a", "a"},
	    {"wide", "m@M\xc3\xbcller.example", "m@xn--mller-kva.example"},
	    {"sub", "", NULL},
	    {"sub", "a@b@c", NULL},
	    {"sub", "a b@c.example", NULL},
	    {"sub", "a\r\nb@c.example", NULL},
	    {"sub", "a@", NULL},
	    {"sub", "\xff@c.example", NULL},
	};
	char out[ADDR_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct conf_listener *l = conf_listener_find(conf, rows[i].listener);
		int rc = policy_principal(conf, l, rows[i].login, out);

		if (rows[i].expect == NULL) {
			if (rc != -1)
				fail_msg("%s gave %s", rows[i].login, out);
			continue;
		}
		assert_int_equal(rc, 0);
		assert_string_equal(out, rows[i].expect);
	}
	assert_null(policy_principal_ou(conf, "a"));
	assert_null(policy_principal_ou(conf, "a@foreign.example"));
	assert_string_equal(policy_principal_ou(conf, "a@hq2.example")->title, "hq");
	assert_string_equal(policy_principal_ou(conf, "fax@else.example")->title, "hq");
}

/* Replies: one short line that names the rule, whatever the address looks like. */
static void
test_reply_text(void **state)
{
	struct row row = {"", AT_MAIL, "sub", "a@hq.example", NULL, NULL, NULL, NULL};
	char local[65], text[200];
	struct facts f;
	struct policy_result r;

	(void)state;
	memset(local, 'x', 64);
	local[64] = '\0';
	(void)str_printf(text, sizeof(text),
	    "%s@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.example",
	    local);
	row.from = text;
	fill(&f, &row);
	policy_decide(conf, &f, &r);
	assert_int_equal(r.verdict, V_PERM);
	assert_true(strlen(r.status.text) < 300);
	assert_non_null(strstr(r.status.text, "(S11)"));
	assert_string_equal(r.steps[0].note, "");
	policy_result_clear(&r);
}

/* Each row has its own name and a help text. */
static void
test_rules(void **state)
{
	size_t n;
	const struct policy_rule *r = policy_rules(&n);

	(void)state;
	assert_true(n >= 15 && n <= POLICY_MAX_STEPS);
	for (size_t i = 0; i < n; i++) {
		assert_true(strlen(r[i].help) > 10);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(r[i].name, r[k].name);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_connect),
	    cmocka_unit_test(test_auth),
	    cmocka_unit_test(test_auth_neutral),
	    cmocka_unit_test(test_mail),
	    cmocka_unit_test(test_rcpt),
	    cmocka_unit_test(test_null_sender),
	    cmocka_unit_test(test_header_from),
	    cmocka_unit_test(test_size),
	    cmocka_unit_test(test_principal),
	    cmocka_unit_test(test_reply_text),
	    cmocka_unit_test(test_rules),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
