/* SPDX-License-Identifier: ISC */
/* What the queue hands to deliver. */
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
#include "mail/job.h"

static void
test_round_trip(void **state)
{
	struct job j = {.qid = 99, .attempt = 3, .msg = message_new()}, c;
	struct buf b = BUF_INIT;
	struct rcpt *r;

	(void)state;
	memset(j.msg->mid.b, 5, sizeof(j.msg->mid.b));
	j.msg->flags = MSG_SMTPUTF8;
	j.msg->ret = RET_FULL;
	j.msg->envid = xstrdup("e");
	j.msg->size = 4321;
	for (unsigned i = 0; i < 5; i++) {
		r = message_add_rcpt(j.msg);
		r->id = 1000 + i;
		r->notify = NOTIFY_NEVER;
		assert_int_equal(addr_parse(span_of("bob@there.example"), 0, &r->addr), ADDR_OK);
	}
	j.msg->rcpts[4].orcpt = xstrdup("rfc822;x@y");
	job_encode(&b, &j);
	assert_int_equal(job_decode(buf_span(&b), &c), 0);
	assert_int_equal(c.qid, 99);
	assert_int_equal(c.attempt, 3);
	assert_true(uuid_equal(&c.msg->mid, &j.msg->mid));
	assert_true(addr_is_null(&c.msg->sender));
	assert_int_equal(c.msg->flags, MSG_SMTPUTF8);
	assert_int_equal(c.msg->ret, RET_FULL);
	assert_string_equal(c.msg->envid, "e");
	assert_int_equal(c.msg->size, 4321);
	assert_int_equal(c.msg->n_rcpts, 5);
	assert_int_equal(c.msg->rcpts[4].id, 1004);
	assert_int_equal(c.msg->rcpts[3].notify, NOTIFY_NEVER);
	assert_string_equal(c.msg->rcpts[4].orcpt, "rfc822;x@y");
	message_free(c.msg);
	for (size_t n = 0; n < buf_len(&b); n++) {
		assert_int_equal(job_decode((struct span){(const char *)buf_data(&b), n}, &c), -1);
		assert_null(c.msg);
	}
	/* a job for nobody is rubbish */
	for (size_t i = 0; i < j.msg->n_rcpts; i++)
		rcpt_clear(&j.msg->rcpts[i]);
	j.msg->n_rcpts = 0;
	buf_reset(&b);
	job_encode(&b, &j);
	assert_int_equal(job_decode(buf_span(&b), &c), -1);
	message_free(j.msg);
	buf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
