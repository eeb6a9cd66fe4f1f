/* SPDX-License-Identifier: ISC */
/*
 * The SASL exchanges (P3, S39), PLAIN and LOGIN through the real libsasl2: credentials
 * that come out, octets that never reach the library (LIBRARIES 13), mechanisms.
 */
#include "authbackends/auth_sasl.h"
#include "authbackends/authbackend.h"
#include "authbackends/sasl_precheck.h"

#include "base/list.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#define S(text)                                                                                    \
	{                                                                                          \
		text, sizeof(text) - 1                                                             \
	}
#define CREDENTIALS SASL_OUT_CREDENTIALS
#define MALFORMED SASL_OUT_MALFORMED
#define REFUSED SASL_OUT_REFUSED

static void
test_plain(void **state)
{
	static const struct {
		struct span message;
		enum sasl_outcome outcome;
		const char *login, *password;
	} cases[] = {
	    {S("\0alice\0secret"), CREDENTIALS, "alice", "secret"},
	    {S("\0alice@example.com\0secret"), CREDENTIALS, "alice@example.com", "secret"},
	    {S("alice\0alice\0secret"), CREDENTIALS, "alice", "secret"},
	    {S("\0Alice@Example.COM\0s e c"), CREDENTIALS, "Alice@Example.COM", "s e c"},
	    {S("\0jos\xc3\xa9\0\xc3\xa9t\xc3\xa9"), CREDENTIALS, "jos\xc3\xa9",
		"\xc3\xa9t\xc3\xa9"},
	    {S("\0a b\0x"), CREDENTIALS, "a b", "x"},
	    /* SASLprep: one form for all spellings */
	    {S("\0jose\xcc\x81\0e\xcc\x81t"), CREDENTIALS, "jos\xc3\xa9", "\xc3\xa9t"},
	    {S("\0alice\0a\xc2\xa0z"), CREDENTIALS, "alice", "a z"},
	    {S("\0alice\0\xee\x80\x80"), REFUSED, "alice", NULL},
	    {S("\0alice\0\xe2\x80\x83"
	       "x"),
		REFUSED, "alice", NULL}, /* becomes an edge blank */
	    {S("\0\xf0\x9f\x98\x80\0x"), REFUSED, "\xf0\x9f\x98\x80", NULL},
	    {S("bob\0alice\0secret"), REFUSED, "alice", NULL},
	    {S("alic\0alice\0secret"), REFUSED, "alice", NULL},
	    {S("\0\0secret"), REFUSED, "", NULL},
	    {S("\0alice\0"), REFUSED, "alice", NULL},
	    {S("\0 alice\0secret"), REFUSED, "", NULL},
	    {S("\0alice \0secret"), REFUSED, "", NULL},
	    {S("\0alice\n\0secret"), REFUSED, "", NULL},
	    {S("\0al\x7fice\0secret"), REFUSED, "", NULL},
	    {S("\0al\xc2\x85ice\0secret"), REFUSED, "", NULL},
	    {S("\0alice\xc2\xa0\0secret"), REFUSED, "", NULL},
	    {S("\0al\xffice\0secret"), REFUSED, "", NULL},
	    {S("\0alice\0sec\r\nret"), REFUSED, "alice", NULL},
	    {S("\0alice\0secret "), REFUSED, "alice", NULL},
	    {S("\0alice\0\tsecret"), REFUSED, "alice", NULL},
	    {S("\0alice\0secret\0junk"), MALFORMED, "", NULL},
	    {S("\0alice\0\0"), MALFORMED, "", NULL},
	    {S("\0alice"), MALFORMED, "", NULL},
	    {S("alice secret"), MALFORMED, "", NULL},
	    {S(""), MALFORMED, "", NULL},
	};
	size_t i, late;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++)
		for (late = 0; late < 2; late++) { /* with the command, and as a response */
			struct auth_sasl *x = auth_sasl_new(MECHS_ALL);
			enum sasl_outcome o;

			if (late == 0) {
				o = auth_sasl_start(x, span_of("plain"), &cases[i].message);
			} else {
				o = auth_sasl_start(x, span_of("PLAIN"), NULL);
				assert_int_equal(o, SASL_OUT_CHALLENGE);
				assert_int_equal(auth_sasl_challenge(x).n, 0);
				o = auth_sasl_step(x, cases[i].message);
			}
			if (o != cases[i].outcome ||
			    strcmp(auth_sasl_login(x), cases[i].login) != 0)
				fail_msg("case %zu, %zu: %d, %s (%s)", i, late, (int)o,
				    auth_sasl_login(x), auth_sasl_reason(x));
			assert_string_equal(auth_sasl_mech(x), "PLAIN");
			if (o == CREDENTIALS) {
				struct secret *p = auth_sasl_password(x);

				assert_int_equal(p->len, strlen(cases[i].password));
				assert_memory_equal(p->data, cases[i].password, p->len);
			} else {
				assert_string_not_equal(auth_sasl_reason(x), "");
			}
			/* an exchange that is over stays over */
			assert_int_equal(auth_sasl_step(x, cases[i].message), MALFORMED);
			auth_sasl_free(x);
		}
}

static enum sasl_outcome
login(struct auth_sasl *x, bool initial, struct span name, struct span password)
{
	static const struct span empty = {"", 0};
	enum sasl_outcome o;

	if (initial) {
		o = auth_sasl_start(x, span_of("LOGIN"), &name);
	} else {
		/* "=" and nothing are the same here: some clients send it */
		o = auth_sasl_start(x, span_of("login"), &empty);
		assert_int_equal(o, SASL_OUT_CHALLENGE);
		assert_true(span_starts_nocase(auth_sasl_challenge(x), "user"));
		o = auth_sasl_step(x, name);
	}
	if (o != SASL_OUT_CHALLENGE)
		return o;
	assert_true(span_starts_nocase(auth_sasl_challenge(x), "pass"));
	return auth_sasl_step(x, password);
}

static void
test_login(void **state)
{
	static const struct {
		struct span name, password;
		enum sasl_outcome outcome;
	} cases[] = {
	    {S("alice"), S("secret"), CREDENTIALS},
	    {S("alice@example.com"), S("s\xc3\xa9"), CREDENTIALS},
	    {S("user\0junk"), S("secret"), REFUSED},
	    {S("alice\n"), S("secret"), REFUSED},
	    {S(" alice"), S("secret"), REFUSED},
	    {S("alice"), S("secret\0junk"), REFUSED},
	    {S("alice"), S(""), REFUSED},
	    {S("alice"), S("secret\r"), REFUSED},
	};
	size_t i, initial;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++)
		for (initial = 0; initial < 2; initial++) {
			struct auth_sasl *x = auth_sasl_new(MECHS_ALL);
			enum sasl_outcome o =
			    login(x, initial == 1, cases[i].name, cases[i].password);

			if (o != cases[i].outcome)
				fail_msg("case %zu: %d (%s)", i, (int)o, auth_sasl_reason(x));
			if (o == CREDENTIALS) {
				assert_memory_equal(
				    auth_sasl_login(x), cases[i].name.p, cases[i].name.n + 1);
				assert_int_equal(auth_sasl_password(x)->len, cases[i].password.n);
			}
			auth_sasl_free(x);
		}
}

/* P3: 255 and 1024 octets are taken, one more is not. */
static void
test_lengths(void **state)
{
	char text[1300];
	size_t names, passwords;

	(void)state;
	for (names = AUTH_NAME_MAX; names <= AUTH_NAME_MAX + 1; names++)
		for (passwords = AUTH_PASSWORD_MAX; passwords <= AUTH_PASSWORD_MAX + 1;
		     passwords++) {
			struct auth_sasl *x = auth_sasl_new(MECHS_ALL),
					 *y = auth_sasl_new(MECHS_ALL);
			bool fits = names == AUTH_NAME_MAX && passwords == AUTH_PASSWORD_MAX;
			struct span m = {text, names + passwords + 2};

			memset(text, 'x', sizeof(text));
			text[0] = text[names + 1] = '\0';
			assert_int_equal(
			    auth_sasl_start(x, span_of("PLAIN"), &m), fits ? CREDENTIALS : REFUSED);
			assert_int_equal(login(y, true, (struct span){text + 1, names},
					     (struct span){text + names + 2, passwords}),
			    fits ? CREDENTIALS : REFUSED);
			auth_sasl_free(x);
			auth_sasl_free(y);
		}
}

static void
test_mechs(void **state)
{
	static const char *const bad[] = {"", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1",
	    "SCRAM-SHA-256-PLUS", "ANONYMOUS", "PLAINX", "PLAI"};
	static const struct span message = S("\0alice\0secret");
	struct auth_sasl *x;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		x = auth_sasl_new(MECHS_ALL);
		assert_int_equal(auth_sasl_start(x, span_of(bad[i]), &message), SASL_OUT_NO_MECH);
		auth_sasl_free(x);
	}
	/* what is not offered is not taken */
	x = auth_sasl_new(MECHS_ALL & ~MECH_BIT(MECH_PLAIN));
	assert_int_equal(auth_sasl_start(x, span_of("PLAIN"), &message), SASL_OUT_NO_MECH);
	assert_null(auth_sasl_password(x)->data);
	auth_sasl_free(x);
	x = auth_sasl_new(MECHS_ALL);
	assert_int_equal(auth_sasl_step(x, message), MALFORMED);
	auth_sasl_free(x);
}

/* RFC 7628: tokens, with and without an initial response, and what a refusal says. */
static void
test_oauth(void **state)
{
	static const struct {
		const char *mech;
		struct span message;
		enum sasl_outcome outcome;
		const char *login, *token;
	} cases[] = {
	    {"OAUTHBEARER", S("n,a=alice@example.com,\1auth=Bearer abc.DEF-_~+/==\1\1"),
		CREDENTIALS, "alice@example.com", "abc.DEF-_~+/=="},
	    {"OAUTHBEARER", S("n,,\1auth=Bearer abc\1\1"), CREDENTIALS, "", "abc"},
	    {"XOAUTH2", S("user=alice\1auth=Bearer abc\1\1"), CREDENTIALS, "alice", "abc"},
	    {"xoauth2", S("user=\1auth=Bearer abc\1\1"), REFUSED, "", NULL},
	    {"OAUTHBEARER", S("n,,\1auth=\1\1"), REFUSED, "", NULL},
	    {"OAUTHBEARER", S("\1"), MALFORMED, "", NULL},
	    {"XOAUTH2", S(""), MALFORMED, "", NULL},
	};
	size_t i, late;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++)
		for (late = 0; late < 2; late++) {
			struct auth_sasl *x = auth_sasl_new(MECHS_ALL);
			enum sasl_outcome o;

			o = auth_sasl_start(
			    x, span_of(cases[i].mech), late == 0 ? &cases[i].message : NULL);
			if (late == 1) {
				assert_int_equal(o, SASL_OUT_CHALLENGE);
				assert_int_equal(auth_sasl_challenge(x).n, 0);
				o = auth_sasl_step(x, cases[i].message);
			}
			if (o != cases[i].outcome ||
			    strcmp(auth_sasl_login(x), cases[i].login) != 0)
				fail_msg("case %zu: %d, %s (%s)", i, (int)o, auth_sasl_login(x),
				    auth_sasl_reason(x));
			assert_int_equal(auth_sasl_cred(x), CRED_TOKEN);
			assert_int_equal(auth_sasl_refusal(x).p[0], '{');
			if (o == CREDENTIALS)
				assert_string_equal(auth_sasl_password(x)->data, cases[i].token);
			assert_int_equal(auth_sasl_step(x, cases[i].message), MALFORMED);
			auth_sasl_free(x);
		}
}

static void
test_speed(void **state)
{
	static const struct span message = S("\0alice@example.com\0secret");
	enum { ROUNDS = 20000 };
	struct timespec a, b;
	int i;

	(void)state;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	for (i = 0; i < ROUNDS; i++) {
		struct auth_sasl *x = auth_sasl_new(MECHS_ALL);

		assert_int_equal(auth_sasl_start(x, span_of("PLAIN"), &message), CREDENTIALS);
		auth_sasl_free(x);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	print_message("# a PLAIN exchange: %.2f us CPU\n",
	    ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / ROUNDS / 1e3);
}

static int
setup(void **state)
{
	char err[200];

	(void)state;
	if (auth_sasl_open("mail.example.com", err, sizeof(err)) == -1) {
		print_error("%s\n", err);
		return -1;
	}
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	auth_sasl_done();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_login),
	    cmocka_unit_test(test_lengths),
	    cmocka_unit_test(test_mechs),
	    cmocka_unit_test(test_oauth),
	    cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
