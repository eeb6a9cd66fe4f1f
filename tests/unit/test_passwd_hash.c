/* SPDX-License-Identifier: ISC */
/*
 * Which password hashes are taken, what they may cost, and that only the right
 * password verifies (S44, LIBRARIES 9).
 */
#include "authbackends/passwd_hash.h"

#include "base/list.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define YES "$y$j9T$abcdefgh$9WNEpu8Mx2S4KNGvbVWKM6clOSoY6.YEl7AYF4DGV04"
#define BCR "$2b$04$abcdefghijklmnopqrstuuPp7HPfoAs8I2dCQCQ/fW7zEJv8I8C8e"
#define SHA                                                                                        \
	"$6$rounds=1000$abc$"                                                                      \
	"zaWpAwySRl8PX4W2aEMJwxpN82bCKtDZP0RBdOD6W7BQlilBqAsWnAZuS10iUyJZneS8Ob1gxs1BZkqJi1nTi."
#define ARG "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ$JLJNcacj/SOD3JxqdLjILL64eg2NaJc2QMt6DlLp0Dk"
#define SCR                                                                                        \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$NPykTmxhvQ4QydY34wnid8tcnX02Uktf4GdWbwjc/ek=" \
	":g6cZ2zK7Tpo5G+CkYlHdz2+Dr5MuBzOBweZ2KXlXybI="
/* all of the password "x" */
#define ARG_WITH(cost)                                                                             \
	"$argon2id$v=19$" cost "$c29tZXNhbHQ$JLJNcacj/SOD3JxqdLjILL64eg2NaJc2QMt6DlLp0Dk"

static void
test_check(void **state)
{
	static const struct {
		const char *hash;
		enum passwd_kind kind; /* PASSWD_NONE: refused */
	} cases[] = {
	    {YES, PASSWD_YESCRYPT},
	    {BCR, PASSWD_BCRYPT},
	    {SHA, PASSWD_SHA512},
	    {"$5$abc$sCOGUciM.GdmYMCUvmUcgu03oRH87O0clF96.9mwWGB", PASSWD_SHA256},
	    {ARG, PASSWD_ARGON2ID},
	    {ARG_WITH("m=262144,t=8,p=4"), PASSWD_ARGON2ID},
	    {SCR, PASSWD_SCRAM_SHA256},
	    {ARG_WITH("m=262145,t=1,p=1"), PASSWD_NONE},
	    {ARG_WITH("m=262144,t=9,p=1"), PASSWD_NONE},
	    {ARG_WITH("m=64,t=4294967297,p=1"), PASSWD_NONE},
	    {ARG_WITH("m=64,t=0,p=1"), PASSWD_NONE},
	    {ARG_WITH("m=64,t=2,p=5"), PASSWD_NONE},
	    {ARG_WITH("m=16,t=2,p=4"), PASSWD_NONE},
	    {ARG_WITH("m=64,t=2,p=1,x=1"), PASSWD_NONE},
	    {ARG_WITH("m=64,t=2"), PASSWD_NONE},
	    {"$argon2id$v=16$m=64,t=2,p=1$c29tZXNhbHQ$JLJNcacj/SOD3JxqdLjILL64eg2NaJc2QMt6DlLp0Dk",
		PASSWD_NONE},
	    {"$argon2i$v=19$m=64,t=2,p=1$c29tZXNhbHQ$JLJNcacj/SOD3JxqdLjILL64eg2NaJc2QMt6DlLp0Dk",
		PASSWD_NONE},
	    {"$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ", PASSWD_NONE},
	    {"$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ$JLJN", PASSWD_NONE},
	    {"$argon2id$", PASSWD_NONE},
	    {"SCRAM-SHA-256$", PASSWD_NONE},
	    {"SCRAM-SHA-1$4096:W22ZaJ0SNY7soEsUEjb6gQ==$x:y", PASSWD_NONE},
	    {"", PASSWD_NONE},
	    {"x", PASSWD_NONE},
	    {"*", PASSWD_NONE},
	    {"!", PASSWD_NONE},
	    {"$9$abc$def", PASSWD_NONE},
	    {"$1$abcdefgh$irWbblnpmw.5z7wgBnprh0", PASSWD_NONE}, /* MD5 */
	    {"abJnggxhB/yWI", PASSWD_NONE},                      /* DES */
	    {"secret", PASSWD_NONE},
	    /* cost bombs */
	    {"$6$rounds=999999999$abc$"
	     "zaWpAwySRl8PX4W2aEMJwxpN82bCKtDZP0RBdOD6W7BQlilBqAsWnAZuS10iUyJZneS8Ob1gxs1BZkqJi1nTi"
	     ".",
		PASSWD_NONE},
	    {"$2b$31$abcdefghijklmnopqrstuuPp7HPfoAs8I2dCQCQ/fW7zEJv8I8C8e", PASSWD_NONE},
	    {"$y$jFT$abcdefgh$9WNEpu8Mx2S4KNGvbVWKM6clOSoY6.YEl7AYF4DGV04", PASSWD_NONE},
	    {"$y$j9T.0$abcdefgh$9WNEpu8Mx2S4KNGvbVWKM6clOSoY6.YEl7AYF4DGV04", PASSWD_NONE},
	    {"$y$jzT$abcdefgh$9WNEpu8Mx2S4KNGvbVWKM6clOSoY6.YEl7AYF4DGV04", PASSWD_NONE},
	    /* cut short */
	    {"$y$j9T$abcdefgh$9WNEpu8Mx2S4KNGvbVWKM6clOSoY6.YEl7AYF4DGV0", PASSWD_NONE},
	    {"$2b$04$abcdefghijklmnopqrstuuPp7HPfoAs8I2dCQCQ/fW7zEJv8I8C8", PASSWD_NONE},
	    {"$6$rounds=1000$abc$", PASSWD_NONE},
	    {"$6$abc", PASSWD_NONE},
	    {"$6$", PASSWD_NONE},
	    {"$2b$", PASSWD_NONE},
	    {"$y$", PASSWD_NONE},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		enum passwd_kind kind = PASSWD_NONE;
		const char *wrong = passwd_hash_check(span_of(cases[i].hash), &kind);

		if ((wrong == NULL) != (cases[i].kind != PASSWD_NONE) || kind != cases[i].kind)
			fail_msg("%s: %s, kind %s", cases[i].hash, wrong == NULL ? "taken" : wrong,
			    passwd_kind_name(kind));
	}
}

static bool
verify(const char *hash, const char *password, size_t n)
{
	struct secret s = {NULL, 0};
	bool ok;

	secret_set(&s, password, n);
	ok = passwd_hash_verify(hash, &s);
	secret_clear(&s);
	return ok;
}

static void
test_verify(void **state)
{
	static const char *const bad[] = {"", "x", "*", "!", "*0", "*1", "$9$abc$def", "$6$"};
	char *longer = xmalloc(600);
	size_t i;

	(void)state;
	assert_true(verify(YES, "x", 1));
	assert_true(verify(BCR, "x", 1));
	assert_true(verify(SHA, "x", 1));
	assert_true(verify(ARG, "x", 1));
	assert_true(verify(SCR, "x", 1));
	assert_false(verify(ARG, "y", 1));
	assert_false(verify(SCR, "y", 1));
	assert_false(verify(ARG_WITH("m=64,t=3,p=1"), "x", 1));
	assert_false(verify(SHA, "y", 1));
	assert_false(verify(SHA, "", 0));
	assert_false(verify(SHA, "x\0z", 3)); /* a NUL never cuts */
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(verify(bad[i], "x", 1));
		assert_false(verify(bad[i], "", 0));
	}
	memset(longer, 'x', 600);
	assert_false(verify(SHA, longer, 600)); /* crypt would answer "*0" */
	free(longer);
}

static void
test_cost(void **state)
{
	(void)state;
	assert_true(span_eq(passwd_hash_cost(YES), "$y$j9T"));
	assert_true(span_eq(passwd_hash_cost(BCR), "$2b$04"));
	assert_true(span_eq(passwd_hash_cost(SHA), "$6$rounds=1000"));
	assert_true(span_eq(passwd_hash_cost("$6$abc$def"), "$6"));
	assert_true(span_eq(passwd_hash_cost(ARG), "$argon2id$v=19$m=64,t=2,p=1"));
	assert_true(span_eq(passwd_hash_cost(SCR), "SCRAM-SHA-256$4096"));
	assert_true(span_eq(passwd_hash_cost("x"), "x"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_check),
	    cmocka_unit_test(test_verify),
	    cmocka_unit_test(test_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
