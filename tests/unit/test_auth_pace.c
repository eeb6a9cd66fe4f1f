/* SPDX-License-Identifier: ISC */
/* P3: how long refusals take that no backend was asked for. */
#include "authbackends/auth_pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
test_pace(void **state)
{
	struct auth_pace p = {.n = 0};
	unsigned seen[5] = {0};

	(void)state;
	assert_int_equal(auth_pace_pick(&p, 7), 0);
	auth_pace_add(&p, 40);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(auth_pace_pick(&p, i << 20), 40);
	/* each of the latest, as often as it was; what is older is forgotten */
	for (unsigned i = 0; i < AUTH_PACE_KEPT; i++)
		auth_pace_add(&p, i % 4 + 1);
	for (uint64_t i = 0; i < 1000 * (uint64_t)AUTH_PACE_KEPT; i++) {
		int64_t ms = auth_pace_pick(&p, i);

		assert_in_range(ms, 1, 4);
		seen[ms]++;
	}
	for (unsigned i = 1; i <= 4; i++)
		assert_int_equal(seen[i], 250 * AUTH_PACE_KEPT);
	/* what no clock measures */
	auth_pace_add(&p, -5);
	assert_int_equal(p.ms[1], 0);
	auth_pace_add(&p, INT64_MAX);
	assert_true(p.ms[2] == UINT32_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_pace)};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("auth_pace", tests, NULL, NULL);
}
