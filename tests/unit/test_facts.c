/* SPDX-License-Identifier: ISC */
/*
 * The record of a decision (DESIGN 5, C7): what goes in comes out, and nothing else
 * is taken for a record.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/str.h"
#include "policy/facts.h"

#include <stdlib.h>
#include <string.h>

static void
set_addr(struct addr *a, const char *text)
{
	memset(a, 0, sizeof(*a));
	if (text[0] != '\0')
		assert_int_equal(addr_parse(span_of(text), ADDR_ALLOW_UTF8, a), ADDR_OK);
}

static void
fill(struct facts *f)
{
	memset(f, 0, sizeof(*f));
	f->stage = AT_DATA;
	f->now_ms = 1234567890123;
	f->listener = "submission";
	assert_int_equal(net_addr_parse_ip(span_of("2001:db8::5"), &f->client), 0);
	f->client.port = 40001;
	f->helo = "";
	f->tls = true;
	f->tls_version = "TLSv1.3";
	f->tls_cipher = NULL;
	f->login = "alice";
	f->authenticated = true;
	f->principal = "alice@hq.example";
	f->principal_ou = "hq";
	f->backend = "files";
	f->mech = "PLAIN";
	f->own = (struct span){"sales@hq.example\0info@hq.example", 33};
	f->have_sender = true;
	f->have_rcpt = true;
	set_addr(&f->rcpt, "b\xc3\xbc@m\xc3\xbcller.example");
	f->n_rcpts = 3;
	f->size = 1ULL << 40;
	f->have_header_from = true;
	f->n_header_from = 2;
	set_addr(&f->header_from[0], "alice@hq.example");
	set_addr(&f->header_from[1], "\"a b\"@hq.example");
}

static void
same_text(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		assert_ptr_equal(a, b);
	else
		assert_string_equal(a, b);
}

static void
same_addr(const struct addr *a, const struct addr *b)
{
	assert_string_equal(a->local, b->local);
	assert_string_equal(a->domain, b->domain);
	assert_string_equal(a->ascii_domain, b->ascii_domain);
	assert_int_equal(a->utf8, b->utf8);
}

static void
test_round_trip(void **state)
{
	struct buf b = BUF_INIT, again = BUF_INIT, hold = BUF_INIT;
	struct facts f, g;

	(void)state;
	fill(&f);
	facts_encode(&b, &f);
	assert_int_equal(facts_decode(buf_span(&b), &g, &hold), 0);
	assert_int_equal(g.stage, f.stage);
	assert_true(g.now_ms == f.now_ms);
	assert_true(net_addr_equal_ip(&g.client, &f.client));
	assert_int_equal(g.client.port, f.client.port);
	same_text(g.listener, f.listener);
	same_text(g.helo, f.helo);
	same_text(g.tls_version, f.tls_version);
	same_text(g.tls_cipher, f.tls_cipher);
	same_text(g.login, f.login);
	same_text(g.principal, f.principal);
	same_text(g.principal_ou, f.principal_ou);
	same_text(g.backend, f.backend);
	same_text(g.mech, f.mech);
	assert_int_equal(g.own.n, f.own.n);
	assert_memory_equal(g.own.p, f.own.p, f.own.n);
	assert_true(g.tls && g.authenticated && g.have_sender && g.have_rcpt && g.have_header_from);
	same_addr(&g.sender, &f.sender);
	same_addr(&g.rcpt, &f.rcpt);
	assert_int_equal(g.n_header_from, 2);
	same_addr(&g.header_from[1], &f.header_from[1]);
	assert_int_equal(g.n_rcpts, 3);
	assert_true(g.size == f.size);
	facts_encode(&again, &g);
	assert_int_equal(buf_len(&again), buf_len(&b));
	assert_memory_equal(buf_data(&again), buf_data(&b), buf_len(&b));
	assert_true(buf_len(&b) < 300); /* compact */
	buf_clear(&b);
	buf_clear(&again);
	buf_clear(&hold);
}

/* Cut off anywhere, or with something behind it, it is no record. */
static void
test_rubbish(void **state)
{
	struct buf b = BUF_INIT, hold = BUF_INIT;
	struct facts f, g;

	(void)state;
	fill(&f);
	facts_encode(&b, &f);
	for (size_t n = 0; n < buf_len(&b); n++) {
		char *copy = xstrndup("", 0);

		copy = xreallocarray(copy, n + 1, 1); /* exact size: ASan sees a read behind it */
		memcpy(copy, buf_data(&b), n);
		buf_reset(&hold);
		assert_int_equal(facts_decode((struct span){copy, n}, &g, &hold), -1);
		free(copy);
	}
	buf_add_byte(&b, 0);
	assert_int_equal(facts_decode(buf_span(&b), &g, &hold), -1);
	buf_truncate(&b, buf_len(&b) - 1);
	b.mem[b.start] = FACTS_VERSION + 1;
	assert_int_equal(facts_decode(buf_span(&b), &g, &hold), -1);
	b.mem[b.start] = FACTS_VERSION;
	b.mem[b.start + 1] = AT__MAX;
	assert_int_equal(facts_decode(buf_span(&b), &g, &hold), -1);
	buf_clear(&b);
	buf_clear(&hold);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_rubbish),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
