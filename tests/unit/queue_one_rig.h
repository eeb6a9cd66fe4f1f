/* SPDX-License-Identifier: ISC */
#ifndef TESTS_UNIT_QUEUE_ONE_RIG_H
#define TESTS_UNIT_QUEUE_ONE_RIG_H

/* A rig for each test of a file, by its setup and teardown. */
#include "queue_rig.h"

static struct rig rig;

static int
setup(void **state)
{
	(void)state;
	rig_init(&rig);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	rig_done(&rig);
	return 0;
}

static inline struct uuid
accept_one(const char *sender, const char *const *rcpts, size_t n)
{
	struct message *m = rig_message(sender, rcpts, n);
	struct uuid mid = m->mid, got;

	assert_true(rig_offer(&rig, m, span_of(BODY)));
	assert_int_equal(rig_answer(&rig, &got, 10000), 250);
	assert_true(uuid_equal(&mid, &got));
	message_free(m);
	return mid;
}

#endif
