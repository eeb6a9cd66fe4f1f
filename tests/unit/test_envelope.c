/* SPDX-License-Identifier: ISC */
/* The record of a message on disk and between processes: complete, bounded, never trusted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/str.h"
#include "mail/envelope.h"

static struct message *
sample(void)
{
	struct message *m = message_new();
	struct rcpt *r;

	memset(m->mid.b, 7, sizeof(m->mid.b));
	m->received_ms = 1700000000123;
	m->sid = 42;
	m->flags = MSG_8BITMIME | MSG_AUTHENTICATED;
	m->ret = RET_HDRS;
	m->envid = xstrdup("abc+2B");
	m->size = 12345;
	m->login = xstrdup("me");
	m->principal = xstrdup("me@here.example");
	m->subject = xstrdup("Lunch");
	m->client = (struct net_addr){.family = 6, .ip = {0x20, 1, 0xd, 0xb8}, .port = 4711};
	buf_add(&m->facts, "f\0g", 3);
	assert_int_equal(addr_parse(span_of("me@here.example"), 0, &m->sender), ADDR_OK);
	r = message_add_rcpt(m);
	assert_int_equal(addr_parse(span_of("bob@there.example"), 0, &r->addr), ADDR_OK);
	r->orcpt = xstrdup("rfc822;bob@there.example");
	r->notify = NOTIFY_SUCCESS | NOTIFY_FAILURE;
	r->transport = xstrdup("out");
	r->dest = xstrdup("there.example");
	r = message_add_rcpt(m);
	assert_int_equal(addr_parse(span_of("\"a b\"@x.example"), 0, &r->addr), ADDR_OK);
	r->transport = xstrdup("smarthost");
	r->dest = xstrdup("");
	return m;
}

static void
test_round_trip(void **state)
{
	struct message *m = sample(), *c;
	struct buf b = BUF_INIT, again = BUF_INIT;

	(void)state;
	message_encode(&b, m);
	c = message_decode(buf_span(&b));
	assert_non_null(c);
	assert_true(uuid_equal(&c->mid, &m->mid));
	assert_int_equal(c->received_ms, m->received_ms);
	assert_int_equal(c->flags, m->flags);
	assert_int_equal(c->ret, RET_HDRS);
	assert_string_equal(c->envid, "abc+2B");
	assert_string_equal(c->subject, "Lunch");
	assert_null(c->helo);
	assert_true(net_addr_equal_ip(&c->client, &m->client));
	assert_int_equal(c->client.port, 4711);
	assert_int_equal(buf_len(&c->facts), 3);
	assert_int_equal(c->n_rcpts, 2);
	assert_string_equal(c->rcpts[0].orcpt, "rfc822;bob@there.example");
	assert_int_equal(c->rcpts[0].notify, NOTIFY_SUCCESS | NOTIFY_FAILURE);
	assert_string_equal(c->rcpts[0].dest, "there.example");
	assert_string_equal(c->rcpts[1].dest, "");
	assert_string_equal(c->rcpts[1].addr.local, "a b");
	message_encode(&again, c);
	assert_int_equal(buf_len(&again), buf_len(&b));
	assert_memory_equal(buf_data(&again), buf_data(&b), buf_len(&b));
	/* every shorter record, and a longer one, is refused */
	for (size_t n = 0; n < buf_len(&b); n++)
		assert_null(message_decode((struct span){(const char *)buf_data(&b), n}));
	buf_add_byte(&b, 0);
	assert_null(message_decode(buf_span(&b)));
	message_free(m);
	message_free(c);
	message_free(NULL);
	buf_clear(&b);
	buf_clear(&again);
}

static void
test_long_texts_stay_readable(void **state)
{
	struct message *m = sample(), *c;
	struct buf b = BUF_INIT;

	(void)state;
	free(m->subject);
	m->subject = xmalloc(100001);
	memset(m->subject, 's', 100000);
	m->subject[100000] = '\0';
	message_encode(&b, m);
	c = message_decode(buf_span(&b));
	assert_non_null(c);
	assert_int_equal(strlen(c->subject), 4096);
	message_free(m);
	message_free(c);
	buf_clear(&b);
}

static void
test_count_is_not_believed(void **state)
{
	struct message *m = message_new(), *c;
	struct buf b = BUF_INIT;

	(void)state;
	message_encode(&b, m);
	c = message_decode(buf_span(&b));
	assert_non_null(c);
	assert_int_equal(c->n_rcpts, 0);
	message_free(c);
	memset(b.mem + b.end - 4, 0xff, 4);
	assert_null(message_decode(buf_span(&b)));
	message_free(m);
	buf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_long_texts_stay_readable),
	    cmocka_unit_test(test_count_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
