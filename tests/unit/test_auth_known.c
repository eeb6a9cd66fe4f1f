/* SPDX-License-Identifier: ISC */
/* A7: what is remembered of logins ends in time, is bounded, and keeps places apart. */
#include "authbackends/auth_known.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define KEEP 1000

static uint64_t
place(const char *ip, const char *user)
{
	struct net_addr a;

	assert_int_equal(net_addr_parse_ip(span_of(ip), &a), 0);
	a.port = (uint16_t)random(); /* of no account */
	return auth_known_place(&a, user);
}

static void
test_places(void **state)
{
	uint64_t a = place("192.0.2.1", "ann"), b = place("192.0.2.2", "ann"),
		 c = place("2001:db8::1", "ann"), bob = place("192.0.2.1", "bob");

	(void)state;
	assert_int_equal(a, place("192.0.2.1", "ann"));
	assert_false(auth_known_is(a, 7, 100, KEEP));
	auth_known_add(a, 7, 100);
	auth_known_add(c, 8, 100);
	assert_true(auth_known_is(a, 7, 100, KEEP));
	assert_true(auth_known_is(c, 8, 100, KEEP));
	assert_false(auth_known_is(a, 8, 100, KEEP));
	assert_false(auth_known_is(b, 7, 100, KEEP));
	assert_false(auth_known_is(bob, 7, 100, KEEP));
	assert_true(auth_known_is(a, 7, 100 + KEEP - 1, KEEP));
	assert_false(auth_known_is(a, 7, 100 + KEEP, KEEP));
	assert_false(auth_known_is(a, 7, 100, 0));
	auth_known_drop(b);
	assert_true(auth_known_is(a, 7, 100, KEEP));
	auth_known_drop(a);
	assert_false(auth_known_is(a, 7, 100, KEEP));
	assert_true(auth_known_is(c, 8, 100, KEEP));
}

/* More than there is room for: the oldest of a set go, the newest is always there. */
static void
test_many(void **state)
{
	enum { MANY = 100000 };
	static uint64_t places[MANY];
	unsigned left = 0;
	char user[32];

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(user, sizeof(user), "user%u", i);
		places[i] = place("192.0.2.1", user);
		auth_known_add(places[i], i, 1000 + i);
		assert_true(auth_known_is(places[i], i, 1000 + i, KEEP));
	}
	for (unsigned i = 0; i < MANY; i++) {
		bool is = auth_known_is(places[i], i, 1000 + MANY, MANY + 1);

		left += is;
		/* of the last thousand hardly one can have been pushed out */
		if (i + 1000 > MANY && !is)
			print_message("# user%u is gone\n", i);
	}
	assert_in_range(left, 30000, 32768);
}

static int
set_up(void **state)
{
	(void)state;
	auth_known_init();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_places),
	    cmocka_unit_test(test_many),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("auth_known", tests, set_up, NULL);
}
