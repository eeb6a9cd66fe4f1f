/* SPDX-License-Identifier: ISC */
/*
 * SASLprep (RFC 4013, P3): one form for one word, and what is refused.
 */
#include "base/saslprep.h"

#include "base/list.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static const struct {
	const char *in, *out; /* NULL: refused */
} cases[] = {
    {"user", "user"},
    {"USER ~!", "USER ~!"},
    {"jos\xc3\xa9", "jos\xc3\xa9"},
    {"jose\xcc\x81", "jos\xc3\xa9"}, /* NFD as macOS sends it */
    {"I\xc2\xadX", "IX"},            /* RFC 4013, 3 */
    {"\xc2\xaa", "a"},
    {"\xe2\x85\xa8", "IX"},
    {"a\xc2\xa0z", "a z"},
    {"\xc2\xad", NULL}, /* nothing is left */
    {"\x07", NULL},
    {"a\x7f", NULL},
    {"\xd8\xa7"
     "1",
	NULL},                  /* bidirectional rule */
    {"\xf0\x9f\x98\x80", NULL}, /* unknown to Unicode 3.2: unassigned */
    {"\xee\x80\x80", NULL},     /* private use */
    {"a\xff", NULL},
    {"", NULL},
};

static void
test_both(void **state)
{
	struct secret s = {NULL, 0};
	char text[64];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		int want = cases[i].out == NULL ? -1 : 0;

		assert_int_equal(str_copy(text, sizeof(text), cases[i].in), 0);
		if (saslprep_text(text, sizeof(text)) != want)
			fail_msg("case %zu", i);
		assert_string_equal(text, want == 0 ? cases[i].out : cases[i].in);
		secret_set(&s, cases[i].in, strlen(cases[i].in));
		assert_int_equal(saslprep_secret(&s, 64), want);
		if (want == 0)
			assert_string_equal(s.data, cases[i].out);
	}
	secret_set(&s, "a\0b", 3);
	assert_int_equal(saslprep_secret(&s, 64), -1);
	secret_clear(&s);
}

/* One character may become eighteen (U+FDFA): no room is no result. */
static void
test_bounds(void **state)
{
	struct secret s = {NULL, 0};
	char big[3000], text[8] = "\xef\xb7\xba";
	size_t i;

	(void)state;
	assert_int_equal(saslprep_text(text, sizeof(text)), -1);
	assert_string_equal(text, "\xef\xb7\xba");
	for (i = 0; i + 3 <= sizeof(big); i += 3)
		memcpy(big + i, "\xef\xb7\xba", 3);
	secret_set(&s, big, sizeof(big));
	assert_int_equal(saslprep_secret(&s, sizeof(big)), -1);
	assert_int_equal(s.len, sizeof(big));
	memset(big, 'x', sizeof(big));
	secret_set(&s, big, 65);
	assert_int_equal(saslprep_secret(&s, 64), -1);
	assert_int_equal(saslprep_secret(&s, 65), 0);
	secret_clear(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_both),
	    cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
