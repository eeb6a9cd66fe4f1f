/* SPDX-License-Identifier: ISC */
/* A7: what is remembered of logins ends in time, is bounded, and keeps places apart. */
#include "authbackends/auth_known.h"
#include "base/str.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define KEEP 1000

static struct net_addr
at(const char *ip)
{
	struct net_addr a;

	assert_int_equal(net_addr_parse_ip(span_of(ip), &a), 0);
	return a;
}

static void
test_places(void **state)
{
	struct net_addr a = at("192.0.2.1"), b = at("192.0.2.2"), c = at("2001:db8::1");

	(void)state;
	assert_false(auth_known_is(&a, "ann", 7, 100, KEEP));
	auth_known_add(&a, "ann", 7, 100);
	auth_known_add(&c, "ann", 8, 100);
	assert_true(auth_known_is(&a, "ann", 7, 100, KEEP));
	assert_true(auth_known_is(&c, "ann", 8, 100, KEEP));
	assert_false(auth_known_is(&a, "ann", 8, 100, KEEP));
	assert_false(auth_known_is(&b, "ann", 7, 100, KEEP));
	assert_false(auth_known_is(&a, "bob", 7, 100, KEEP));
	a.port = 40000; /* of no account */
	assert_true(auth_known_is(&a, "ann", 7, 100 + KEEP - 1, KEEP));
	assert_false(auth_known_is(&a, "ann", 7, 100 + KEEP, KEEP));
	assert_false(auth_known_is(&a, "ann", 7, 100, 0));
	auth_known_drop(&b, "ann");
	assert_true(auth_known_is(&a, "ann", 7, 100, KEEP));
	auth_known_drop(&a, "ann");
	assert_false(auth_known_is(&a, "ann", 7, 100, KEEP));
	assert_true(auth_known_is(&c, "ann", 8, 100, KEEP));
}

/* More than there is room for: the oldest of a set go, the newest is always there. */
static void
test_many(void **state)
{
	struct net_addr a = at("192.0.2.1");
	unsigned left = 0, n = 100000;
	char user[32];

	(void)state;
	for (unsigned i = 0; i < n; i++) {
		snprintf(user, sizeof(user), "user%u", i);
		auth_known_add(&a, user, i, 1000 + i);
		assert_true(auth_known_is(&a, user, i, 1000 + i, KEEP));
	}
	for (unsigned i = 0; i < n; i++) {
		snprintf(user, sizeof(user), "user%u", i);
		left += auth_known_is(&a, user, i, 1000 + n, n + 1);
		/* of the last thousand hardly one can have been pushed out */
		if (i + 1000 > n && !auth_known_is(&a, user, i, 1000 + n, n + 1))
			print_message("# %s is gone\n", user);
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
