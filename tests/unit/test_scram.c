/* SPDX-License-Identifier: ISC */
/*
 * Keys of SCRAM-SHA-256 (RFC 7677, P3): their text, what is refused in it, and how they
 * come from a password.
 */
#include "base/scram.h"

#include "base/list.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

/* RFC 7677, 3: user, pencil */
#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="
#define STORED "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
#define SERVER "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define PENCIL "SCRAM-SHA-256$4096:" SALT "$" STORED ":" SERVER

static void
test_derive(void **state)
{
	struct scram_keys k, made;
	char text[SCRAM_TEXT];

	(void)state;
	assert_null(scram_parse(span_of(PENCIL), &k));
	assert_int_equal(k.iterations, 4096);
	assert_int_equal(k.salt_len, 16);
	made = k;
	memset(made.stored, 0, SCRAM_KEY);
	memset(made.server, 0, SCRAM_KEY);
	assert_int_equal(scram_derive(&made, "pencil", 6), 0);
	assert_memory_equal(made.stored, k.stored, SCRAM_KEY);
	assert_memory_equal(made.server, k.server, SCRAM_KEY);
	scram_format(&made, text);
	assert_string_equal(text, PENCIL);
	assert_int_equal(scram_derive(&made, "pencil ", 7), 0);
	assert_memory_not_equal(made.stored, k.stored, SCRAM_KEY);
	k.iterations = SCRAM_ITERATIONS_MAX;
	k.salt_len = SCRAM_SALT_MAX;
	memset(k.salt, 0xff, sizeof(k.salt));
	scram_format(&k, text);
	assert_int_equal(strlen(text), SCRAM_TEXT - 1);
	assert_null(scram_parse(span_of(text), &made));
}

static void
test_refused(void **state)
{
	static const char *const bad[] = {
	    "",
	    "SCRAM-SHA-256",
	    "SCRAM-SHA-256$",
	    "scram-sha-256$4096:" SALT "$" STORED ":" SERVER,
	    "SCRAM-SHA-256$4095:" SALT "$" STORED ":" SERVER,
	    "SCRAM-SHA-256$1000001:" SALT "$" STORED ":" SERVER,
	    "SCRAM-SHA-256$4294971392:" SALT "$" STORED ":" SERVER,
	    "SCRAM-SHA-256$-1:" SALT "$" STORED ":" SERVER,
	    "SCRAM-SHA-256$:" SALT "$" STORED ":" SERVER,
	    "SCRAM-SHA-256$4096:$" STORED ":" SERVER,
	    "SCRAM-SHA-256$4096:AAAA$" STORED ":" SERVER, /* 3 octets */
	    "SCRAM-SHA-256$4096:" SALT "$" STORED,
	    "SCRAM-SHA-256$4096:" SALT "$" STORED ":",
	    "SCRAM-SHA-256$4096:" SALT "$AAAA:" SERVER,
	    "SCRAM-SHA-256$4096:" SALT "$" STORED ":" SERVER "x",
	    "SCRAM-SHA-256$4096:" SALT ":" STORED ":" SERVER,
	};
	struct scram_keys k;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++)
		if (scram_parse(span_of(bad[i]), &k) == NULL)
			fail_msg("taken: %s", bad[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_derive),
	    cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
