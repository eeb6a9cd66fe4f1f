/* SPDX-License-Identifier: ISC */
/*
 * OAUTHBEARER and XOAUTH2 messages (RFC 7628, P3): what is taken, what is malformed,
 * what is refused, and names with escapes.
 */
#include "authbackends/sasl_oauth.h"

#include "authbackends/sasl_gs2.h"
#include "base/list.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define S(text)                                                                                    \
	{                                                                                          \
		text, sizeof(text) - 1                                                             \
	}

struct oauth_case {
	struct span message;
	enum precheck result;
	const char *user, *token;
};

static void
run_cases(const struct oauth_case *v, size_t n,
    enum precheck (*parse)(struct span, struct sasl_oauth *, const char **))
{
	struct sasl_oauth o;
	size_t i;

	for (i = 0; i < n; i++) {
		const char *why = "";
		enum precheck r = parse(v[i].message, &o, &why);

		if (r != v[i].result)
			fail_msg("case %zu: %d (%s)", i, (int)r, why == NULL ? "" : why);
		if (r != PRE_OK) {
			assert_non_null(why);
			assert_string_not_equal(why, "");
			continue;
		}
		assert_string_equal(o.user, v[i].user);
		assert_true(span_eq(o.token, v[i].token));
	}
}

static void
test_bearer(void **state)
{
	static const struct oauth_case cases[] = {
	    /* RFC 7628, 4.1 */
	    {S("n,a=user@example.com,\1host=server.example.com\1port=143\1"
	       "auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\1\1"),
		PRE_OK, "user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="},
	    {S("y,,\1auth=bearer x\1\1"), PRE_OK, "", "x"},
	    {S("n,a=a=2Cb=3Dc,\1auth=Bearer  x\1\1"), PRE_OK, "a,b=c", "x"},
	    {S("n,a=jos\xc3\xa9,\1auth=Bearer x\1\1"), PRE_OK, "jos\xc3\xa9", "x"},
	    /* a client that asks where to get a token */
	    {S("n,,\1auth=\1\1"), PRE_REFUSED, "", ""},
	    {S("n,,\1host=x\1\1"), PRE_REFUSED, "", ""},
	    {S("n,,\1\1"), PRE_REFUSED, "", ""},
	    {S("n,,\1auth=Bearer\1\1"), PRE_REFUSED, "", ""},
	    {S("n,,\1auth=Bearer ===\1\1"), PRE_REFUSED, "", ""},
	    {S("n,,\1auth=Basic YTpi\1\1"), PRE_REFUSED, "", ""},
	    {S("n,,\1auth=Bearer a\"b\1\1"), PRE_REFUSED, "", ""},
	    {S("n,,\1auth=Bearer a\r\nX: y\1\1"), PRE_REFUSED, "", ""},
	    {S("n,a= x,\1auth=Bearer x\1\1"), PRE_REFUSED, "", ""},
	    {S("n,a=a\nb,\1auth=Bearer x\1\1"), PRE_REFUSED, "", ""},
	    {S("n,a=\xff,\1auth=Bearer x\1\1"), PRE_REFUSED, "", ""},
	    /* no such message */
	    {S(""), PRE_MALFORMED, "", ""},
	    {S("\1"), PRE_MALFORMED, "", ""},
	    {S("n,,"), PRE_MALFORMED, "", ""},
	    {S("n,\1auth=Bearer x\1\1"), PRE_MALFORMED, "", ""},
	    {S("p=tls-unique,,\1auth=Bearer x\1\1"), PRE_REFUSED, "", ""},
	    {S("p=,,\1auth=Bearer x\1\1"), PRE_MALFORMED, "", ""},
	    {S("n,,\1ho\0st=x\1auth=Bearer x\1\1"), PRE_MALFORMED, "", ""},
	    {S("n,,\1a h=x\1auth=Bearer x\1\1"), PRE_MALFORMED, "", ""},
	    {S("n,b=x,\1auth=Bearer x\1\1"), PRE_MALFORMED, "", ""},
	    {S("n,a=,\1auth=Bearer x\1\1"), PRE_MALFORMED, "", ""},
	    {S("n,a=a=2cb,\1auth=Bearer x\1\1"), PRE_MALFORMED, "", ""},
	    {S("n,a=a=,\1auth=Bearer x\1\1"), PRE_MALFORMED, "", ""},
	    {S("n,a=a\0b,\1auth=Bearer x\1\1"), PRE_MALFORMED, "", ""},
	    {S("n,,\1auth=Bearer x\1"), PRE_MALFORMED, "", ""},
	    {S("n,,\1auth=Bearer x"), PRE_MALFORMED, "", ""},
	    {S("n,,\1auth=Bearer x\1\1\1"), PRE_MALFORMED, "", ""},
	    {S("n,,\1auth=Bearer x\1\1auth=Bearer y\1\1"), PRE_MALFORMED, "", ""},
	    {S("n,,\1auth=Bearer x\1auth=Bearer y\1\1"), PRE_MALFORMED, "", ""},
	    {S("n,,\1auth\1\1"), PRE_MALFORMED, "", ""},
	    {S("n,,\1=x\1\1"), PRE_MALFORMED, "", ""},
	    {S("n,,\1auth=Bearer a\0b\1\1"), PRE_MALFORMED, "", ""},
	    {S("n,,\1host=\xff\1auth=Bearer x\1\1"), PRE_MALFORMED, "", ""},
	};

	(void)state;
	run_cases(cases, ARRAY_LEN(cases), sasl_oauth_bearer);
}

static void
test_x2(void **state)
{
	static const struct oauth_case cases[] = {
	    {S("user=a@example.com\1auth=Bearer ya29.vF9\1\1"), PRE_OK, "a@example.com",
		"ya29.vF9"},
	    {S("user=a=b\1auth=Bearer x\1\1"), PRE_OK, "a=b", "x"},
	    {S("auth=Bearer x\1user=a\1\1"), PRE_OK, "a", "x"},
	    {S("user=\1auth=Bearer x\1\1"), PRE_REFUSED, "", ""},
	    {S("auth=Bearer x\1\1"), PRE_REFUSED, "", ""},
	    {S("user=a\1\1"), PRE_REFUSED, "", ""},
	    {S("user=a\0b\1auth=Bearer x\1\1"), PRE_REFUSED, "", ""},
	    {S("user=a\1user=b\1auth=Bearer x\1\1"), PRE_MALFORMED, "", ""},
	    {S("user=a\1auth=Bearer x\1"), PRE_MALFORMED, "", ""},
	    {S("\0alice\0secret"), PRE_MALFORMED, "", ""},
	};

	(void)state;
	run_cases(cases, ARRAY_LEN(cases), sasl_oauth_x2);
}

/* 8192 octets of token are taken, one more is not; names end at 255. */
static void
test_bounds(void **state)
{
	struct buf b = BUF_INIT;
	struct sasl_oauth o;
	char name[AUTH_NAME_MAX + 1];
	const char *why;
	size_t n;

	(void)state;
	for (n = AUTH_TOKEN_MAX; n <= AUTH_TOKEN_MAX + 1; n++) {
		buf_reset(&b);
		buf_add_str(&b, "n,,\1auth=Bearer ");
		memset(buf_reserve(&b, n), 'x', n);
		buf_commit(&b, n);
		buf_add_str(&b, "\1\1");
		assert_int_equal(sasl_oauth_bearer(buf_span(&b), &o, &why),
		    n == AUTH_TOKEN_MAX ? PRE_OK : PRE_REFUSED);
	}
	for (n = AUTH_NAME_MAX; n <= AUTH_NAME_MAX + 1; n++) {
		buf_reset(&b);
		memset(buf_reserve(&b, n), 'x', n);
		buf_commit(&b, n);
		assert_int_equal(sasl_gs2_name(buf_span(&b), name), n == AUTH_NAME_MAX ? 0 : -1);
	}
	buf_reset(&b);
	buf_add_str(&b, "n,,\1");
	for (n = 0; n < 100; n++)
		buf_add_str(&b, "x=\1");
	assert_int_equal(sasl_oauth_bearer(buf_span(&b), &o, &why), PRE_MALFORMED);
	buf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bearer),
	    cmocka_unit_test(test_x2),
	    cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
