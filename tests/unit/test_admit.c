/* SPDX-License-Identifier: ISC */
/* Sessions per listener, address and network (P7). */
#include "front/admit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct net_addr
v4(unsigned c, unsigned d)
{
	return (struct net_addr){.family = 4, .ip = {10, 0, (uint8_t)c, (uint8_t)d}, .port = 99};
}

static void
test_limits(void **state)
{
	struct conf_limit limit = {
	    .max_connections = 1000, .max_per_address = 3, .max_per_network = 5};
	struct admit a = {0};
	struct net_addr one = v4(1, 1), two = v4(1, 2), other = v4(2, 1);

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(admit_take(&a, &limit, 0, &one), ADMIT_OK);
	assert_int_equal(admit_take(&a, &limit, 0, &one), ADMIT_ADDRESS_FULL);
	assert_int_equal(admit_take(&a, &limit, 0, &two), ADMIT_OK);
	assert_int_equal(admit_take(&a, &limit, 0, &two), ADMIT_OK);
	assert_int_equal(admit_take(&a, &limit, 0, &two), ADMIT_NETWORK_FULL);
	assert_int_equal(admit_take(&a, &limit, 0, &other), ADMIT_OK);
	assert_int_equal(admit_take(&a, &limit, 1000, &other), ADMIT_LISTENER_FULL);
	admit_release(&a, &one);
	assert_int_equal(admit_count(&a, &one), 2);
	assert_int_equal(admit_take(&a, &limit, 0, &one), ADMIT_OK);
	admit_clear(&a);
}

static void
test_many(void **state)
{
	struct conf_limit limit = {
	    .max_connections = 1000000, .max_per_address = 3, .max_per_network = 1000};
	struct admit a = {0};

	(void)state;
	for (unsigned i = 0; i < 40000; i++) {
		struct net_addr who = v4(i >> 8, i & 255);

		assert_int_equal(admit_take(&a, &limit, 0, &who), ADMIT_OK);
	}
	for (unsigned i = 0; i < 40000; i++) {
		struct net_addr who = v4(i >> 8, i & 255);

		assert_int_equal(admit_count(&a, &who), 1);
		admit_release(&a, &who);
	}
	assert_int_equal(a.n_entries, 0); /* nothing stays behind */
	admit_clear(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_limits), cmocka_unit_test(test_many)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
