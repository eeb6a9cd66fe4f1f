/* SPDX-License-Identifier: ISC */
/*
 * What a right configuration becomes: defaults, `like`, derived fields, look-ups
 * (S55 to S57), and that building is the same every time and quick.
 */
#include "tests/unit/conf_test.h"

#include <time.h>

static void
test_defaults(void **state)
{
	struct conf *c = conf_test_good(CONF_TEST_BASE);
	const struct conf_listener *l = conf_listener_find(c, "submission");
	const struct conf_transport *t = conf_transport_find(c, "out");

	(void)state;
	assert_string_equal(c->server->spool, "/var/spool/submitd");
	assert_string_equal(c->server->postmaster, "postmaster@mail.example.com");
	assert_int_equal(c->server->message_size_limit, 50 << 20);
	assert_int_equal(c->server->drain_timeout, 600000);
	assert_int_equal(c->log->level, 2);
	assert_int_equal(c->log->targets.n, 1);
	assert_null(c->audit->file);
	assert_int_equal(c->history->retain, INT64_C(90) * 86400000);
	assert_non_null(l);
	assert_int_equal(l->role, LISTENER_SUBMISSION);
	assert_int_equal(l->tls, LISTENER_TLS_STARTTLS);
	assert_int_equal(l->auth, LISTENER_AUTH_ENCRYPTED);
	assert_true(l->require_auth);
	assert_false(l->relay_any_authenticated);
	assert_int_equal(l->n_tls_blocks, 1);
	assert_string_equal(l->tls_blocks[0]->title, "default");
	assert_int_equal(l->tls_blocks[0]->min_version, 2);
	assert_string_equal(l->flow_block->title, "staff");
	assert_int_equal(l->limit_block->max_recipients, 1000);
	assert_int_equal(l->limit_block->command_timeout, 300000);
	assert_int_equal(l->n_binds, 1);
	assert_int_equal(l->binds[0].port, 587);
	assert_int_equal(l->option_where[CONF_OPT_listener_relay_ou].line, 1);
	assert_int_equal(l->option_where[CONF_OPT_listener_auth].line, 0);
	assert_true(t->is_mx);
	assert_int_equal(t->retry_delay.n, 6);
	assert_int_equal(t->retry_delay.v[5], 240);
	/* the backend that needs no block */
	assert_non_null(conf_backend_find(c, "internal"));
	assert_int_equal(conf_backend_find(c, "internal")->type, 0);
	assert_int_equal(c->n_backend, 1);
	conf_free(c);
}

static void
test_like(void **state)
{
	struct conf *c = conf_test_good(CONF_TEST_BASE
	    "listener \"a\" { like = \"b\" bind = \"0.0.0.0:465\" tls = implicit }\n"
	    "listener \"b\" { like = \"submission\" bind = \"0.0.0.0:2525\"\n"
	    "  clients = {\"10.0.0.0/8\", \"2001:db8::/32\"} tolerate = {bare_lf, nul} }\n"
	    "listener \"mx\" { like = \"b\" bind = \"0.0.0.0:25\" role = relay clients = "
	    "{\"127.0.0.1\"} }");
	const struct conf_listener *a = conf_listener_find(c, "a"),
				   *mx = conf_listener_find(c, "mx");

	(void)state;
	assert_int_equal(a->tls, LISTENER_TLS_IMPLICIT);
	assert_int_equal(a->relay_ou.n, 1);
	assert_string_equal(a->relay_ou.v[0], "staff");
	assert_int_equal(a->option_where[CONF_OPT_listener_relay_ou].line, 1);
	assert_int_equal(a->option_where[CONF_OPT_listener_clients].line, 4);
	assert_int_equal(a->n_client_nets, 2);
	assert_int_equal(a->tolerated, CONF_TOLERATE_BARE_LF | CONF_TOLERATE_NUL);
	assert_int_equal(a->binds[0].port, 465);
	assert_true(a->require_auth);
	assert_int_equal(mx->role, LISTENER_RELAY);
	assert_false(mx->require_auth); /* S2: by its own role */
	assert_int_equal(mx->n_client_nets, 1);
	conf_free(c);
}

static void
test_transport(void **state)
{
	struct conf *c = conf_test_good(CONF_TEST_BASE
	    "transport \"s\" { method = static port = 2525 source = {\"2001:db8::1\", "
	    "\"192.0.2.9\"}\n"
	    " hosts = {\"MX.Example.NET\", \"192.0.2.1\", \"[2001:db8::2]\", \"[2001:db8::3]:26\", "
	    "\"a.example:27\"} }\n"
	    "transport \"m\" { method = "
	    "\"lookup-mx:zone=Mx.Example.COM;query=192.0.2.53,127.0.0.1:5301,[::1]:54,::1\" }\n"
	    "domain \"s.example\" { transport = s } domain \"m.example\" { transport = m }");
	const struct conf_transport *s = conf_transport_find(c, "s"),
				    *m = conf_transport_find(c, "m");
	static const struct conf_host want[] = {{(char *)(uintptr_t) "mx.example.net", 2525},
	    {(char *)(uintptr_t) "192.0.2.1", 2525}, {(char *)(uintptr_t) "2001:db8::2", 2525},
	    {(char *)(uintptr_t) "2001:db8::3", 26}, {(char *)(uintptr_t) "a.example", 27}};
	size_t i;

	(void)state;
	assert_false(s->is_mx);
	assert_int_equal(s->n_hosts, 5);
	for (i = 0; i < 5; i++) {
		assert_string_equal(s->host_list[i].host, want[i].host);
		assert_int_equal(s->host_list[i].port, want[i].port);
	}
	assert_int_equal(s->source4.family, 4);
	assert_int_equal(s->source6.family, 6);
	assert_true(m->is_mx);
	assert_string_equal(m->mx_zone, "mx.example.com");
	assert_int_equal(m->n_mx_servers, 4);
	assert_int_equal(m->mx_servers[0].port, 53);
	assert_int_equal(m->mx_servers[1].port, 5301);
	assert_int_equal(m->mx_servers[2].port, 54);
	assert_int_equal(m->mx_servers[3].family, 6);
	conf_free(c);
}

static const char routes_text[] = CONF_TEST_BASE
    "ou \"b\" { domains = {\"b.example\", \"B\xc3\xbc"
    "cher.example\"} }\n"
    "listener \"mx\" { like = \"submission\" bind = \"0.0.0.0:25\" role = relay }\n"
    "domain \"b in\" { name = \"B.example\" transport = \"in\" listeners = {\"mx\"} }\n"
    "domain \"b out\" { name = \"b.example\" transport = \"out\" }\n"
    "domain \"xn\" { name = \"b\xc3\xbc"
    "cher.example\" transport = \"in\" }\n"
    "domain_alias \"alias.example\" { parent = \"b out\" }\n"
    "domain_alias \"alias2.example\" { parent = \"alias.example\" }\n"
    "user \"Ann@B.example\" { }\n"
    "user \"u\xc3\xbc@b\xc3\xbc"
    "cher.example\" { }\n";

static void
test_routes(void **state)
{
	static const struct {
		const char *listener, *domain, *title;
		bool any;
	} t[] = {
	    {"mx", "b.example", "b in", false}, /* S55: the listener goes first */
	    {"submission", "b.example", "b out", false},
	    {NULL, "b.example", "b out", false},
	    {"no such", "b.example", "b out", false},
	    {"mx", "example.com", "example.com", false},
	    {"mx", "foreign.example", "any", true},
	    {"mx", "alias.example", "b in", false}, /* S57 */
	    {"submission", "alias2.example", "b out", false},
	    {"mx", "xn--bcher-kva.example", "xn", false},
	};
	struct conf *c = conf_test_good(routes_text);
	const struct conf_domain *d;
	bool any;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		d = conf_domain_route(c, t[i].listener, t[i].domain, &any);
		assert_non_null(d);
		assert_string_equal(d->title, t[i].title);
		assert_int_equal(any, t[i].any);
	}
	assert_true(conf_domain_is_internal(c, "b.example"));
	assert_true(conf_domain_is_internal(c, "alias2.example"));
	assert_false(conf_domain_is_internal(c, "foreign.example"));
	assert_false(conf_domain_is_internal(c, "any"));
	assert_string_equal(conf_ou_of_domain(c, "alias2.example")->title, "b");
	assert_string_equal(conf_ou_of_domain(c, "xn--bcher-kva.example")->title, "b");
	assert_null(conf_ou_of_domain(c, "foreign.example"));
	assert_null(conf_ou_find(c, "nobody"));
	assert_null(conf_listener_find(c, NULL));
	conf_free(c);
}

static void
test_users(void **state)
{
	struct conf *c = conf_test_good(routes_text);
	const struct conf_user *u = conf_user_find(c, "aNN@b.EXAMPLE");

	(void)state;
	assert_non_null(u);
	assert_string_equal(u->ou_block->title, "b");
	assert_non_null(conf_user_find(c, "u\xc3\xbc@b\xc3\xbc"
					  "cher.example"));
	/* S11, S18: whatever the case and the form of letters, and of the labels of the domain */
	assert_non_null(conf_user_find(c, "U\xc3\x9c@xn--bcher-kva.example"));
	assert_non_null(conf_user_find(c, "uu\xcc\x88@XN--bcher-kva.example"));
	assert_null(conf_user_find(c, "bob@b.example"));
	assert_null(conf_user_find(c, NULL));
	conf_free(c);
}

/* No any-domain: nothing foreign has a route. */
static void
test_no_any(void **state)
{
	struct conf *c =
	    conf_test_good(CONF_TEST_SERVER CONF_TEST_TLS CONF_TEST_FLOW CONF_TEST_LISTENER
		"ou \"staff\" { domains = {\"example.com\"} } domain \"example.com\" { transport = "
		"\"in\" }"
		"transport \"in\" { method = static hosts = {\"192.0.2.1\"} }");
	bool any;

	(void)state;
	assert_null(conf_domain_route(c, "submission", "foreign.example", &any));
	assert_string_equal(conf_ou_of_domain(c, "example.com")->title, "staff");
	assert_string_equal(c->domain_blocks[0].ou_block->title, "staff");
	conf_free(c);
}

/* Every cut and every changed octet of a raw form: an answer, never a crash. */
static void
test_raw_damage(void **state)
{
	struct buf raw = BUF_INIT, copy = BUF_INIT;
	struct conf_findings f = {0};
	struct conf *c;
	size_t i;

	(void)state;
	assert_int_equal(conf_parse_text("t", routes_text, &raw, &f), 0);
	for (i = 0; i < buf_len(&raw); i++) {
		conf_findings_clear(&f);
		c = conf_build((struct span){(const char *)buf_data(&raw), i}, &f);
		conf_free(c);
		conf_findings_clear(&f);
		buf_reset(&copy);
		buf_add_span(&copy, buf_span(&raw));
		copy.mem[copy.start + i] ^= 0xff;
		c = conf_build(buf_span(&copy), &f);
		assert_true((c == NULL) == (f.errors != 0));
		conf_free(c);
	}
	conf_findings_clear(&f);
	buf_clear(&raw);
	buf_clear(&copy);
}

/* 100,000 domains: the same text gives the same octets, and building takes less than a second. */
static void
test_many(void **state)
{
	struct buf text = BUF_INIT, raw = BUF_INIT, again = BUF_INIT;
	struct conf_findings f = {0};
	struct timespec a, b;
	struct conf *c;
	char name[64];
	bool any;
	int i;

	(void)state;
	buf_add_str(&text, CONF_TEST_BASE);
	for (i = 0; i < 99000; i++)
		buf_addf(
		    &text, "domain \"d%d.example\" { ou = \"staff\" transport = \"in\" }\n", i);
	assert_int_equal(conf_parse_text("t", buf_cstr(&text), &raw, &f), 0);
	assert_int_equal(conf_parse_text("t", buf_cstr(&text), &again, &f), 0);
	assert_int_equal(buf_len(&raw), buf_len(&again));
	assert_memory_equal(buf_data(&raw), buf_data(&again), buf_len(&raw));
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	c = conf_build(buf_span(&raw), &f);
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	assert_non_null(c);
#ifndef __SANITIZE_ADDRESS__
	assert_true((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 < 1000);
#endif
	for (i = 0; i < 99000; i += 1000) {
		(void)str_printf(name, sizeof name, "d%d.example", i);
		assert_string_equal(conf_domain_route(c, "submission", name, &any)->title, name);
	}
	conf_free(c);
	conf_findings_clear(&f);
	buf_clear(&text);
	buf_clear(&raw);
	buf_clear(&again);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_like),
	    cmocka_unit_test(test_transport),
	    cmocka_unit_test(test_routes),
	    cmocka_unit_test(test_users),
	    cmocka_unit_test(test_no_any),
	    cmocka_unit_test(test_raw_damage),
	    cmocka_unit_test(test_many),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("conf_build", tests, NULL, NULL);
}
