/* SPDX-License-Identifier: ISC */
/* URIs, filters, escapes and names to bind with (S17, S43, S67; RFC 4514, 4515, 4516). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/ldap_text.h"
#include "base/list.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>

static void
test_uris(void **state)
{
	static const struct {
		const char *text, *host;
		unsigned port;
		bool tls, loopback;
	} good[] = {
	    {"ldap://dc1.example.com", "dc1.example.com", 389, false, false},
	    {"LDAPS://dc1.example.com/", "dc1.example.com", 636, true, false},
	    {"ldap://127.0.0.1:1389", "127.0.0.1", 1389, false, true},
	    {"ldap://127.9.9.9", "127.9.9.9", 389, false, true},
	    {"ldap://LocalHost:1/", "LocalHost", 1, false, true},
	    {"ldaps://[::1]:65535", "::1", 65535, true, true},
	    {"ldap://[2001:db8::1]", "2001:db8::1", 389, false, false},
	    {"ldap://localhost.example.com", "localhost.example.com", 389, false, false},
	};
	static const char *const bad[] = {"", "dc1", "http://x", "ldap:/x", "ldap://", "ldap:///",
	    "ldap://:389", "ldap://x:", "ldap://x:0", "ldap://x:65536", "ldap://x:1x",
	    "ldap://x/dc=a", "ldap://u@x", "ldap://[::1", "ldap://[1.2.3.4]", "ldap://[]",
	    "ldap://x y", "ldap://x?y", "ldapi://%2frun", "ldap://[::1]x", "ldap://x\n"};
	struct ldap_uri u;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(good); i++) {
		if (ldap_uri_parse(good[i].text, &u) != NULL)
			fail_msg("%s: %s", good[i].text, ldap_uri_parse(good[i].text, &u));
		assert_string_equal(u.host, good[i].host);
		assert_int_equal(u.port, good[i].port);
		assert_int_equal(u.tls, good[i].tls);
		assert_int_equal(u.loopback, good[i].loopback);
	}
	for (i = 0; i < ARRAY_LEN(bad); i++)
		if (ldap_uri_parse(bad[i], &u) == NULL)
			fail_msg("%s was taken", bad[i]);
}

static void
test_escapes(void **state)
{
	static const char in[] = "a*(b)\\c\0d\x01\x7f\xc3\xa9 =,+";
	struct buf b = BUF_INIT;

	(void)state;
	ldap_filter_escape(&b, (struct span){in, sizeof(in) - 1});
	assert_string_equal(buf_cstr(&b), "a\\2a\\28b\\29\\5cc\\00d\\01\\7f\\c3\\a9 =,+");
	buf_reset(&b);
	ldap_dn_escape(&b, (struct span){in, sizeof(in) - 1});
	assert_string_equal(
	    buf_cstr(&b), "a\\2a\\28b\\29\\5cc\\00d\\01\\7f\\c3\\a9\\20\\3d\\2c\\2b");
	buf_reset(&b);
	ldap_dn_escape(&b, span_of("o'neil.jr-2@ex_ample.com"));
	assert_string_equal(buf_cstr(&b), "o\\27neil.jr-2@ex_ample.com");
	buf_clear(&b);
}

static void
test_filters(void **state)
{
	static const char *const good[] = {"(uid=%s)", "(proxyAddresses=smtp:%s)",
	    "(&(objectClass=person)(|(uid=%s)(mail=%s))(!(employeeType=ex)))",
	    "(userAccountControl:1.2.840.113556.1.4.803:=%s)", "(cn=*%s*)", "(a=%%%s)",
	    "(&(a>=1)(b<=2)(c~=%s))", "(cn=\\2a%s)", "(cn;lang-de=%s)", "(cn=a b%s)"};
	static const struct {
		const char *text, *wrong;
	} bad[] = {
	    {"", "must begin with ("},
	    {"uid=%s", "must begin with ("},
	    {"(uid=%s", "a ) is missing"},
	    {"(uid=%s))", "behind the last )"},
	    {"(uid=%s) ", "behind the last )"},
	    {"(&(uid=%s)", "a ) is missing"},
	    {"(&)", "must begin with ("},
	    {"(!(a=%s)(b=1))", "a ) is missing"},
	    {"((uid=%s))", "name of an attribute"},
	    {"(=%s)", "name of an attribute"},
	    {"(%s=x)", "name of an attribute"},
	    {"(uid%s)", "has no ="},
	    {"(uid=%u)", "only %s and %%"},
	    {"(uid=%", "only %s and %%"},
	    {"(uid=x)", "has no %s"},
	    {"(uid=%%s)", "has no %s"},
	    {"(uid=(%s))", "write \\28"},
	    {"(uid=\\%s)", "two hexadecimal digits"},
	    {"(uid=\\2%s)", "two hexadecimal digits"},
	    {"(uid=\n%s)", "control character"},
	    {"(uid>%s)", "has no ="},
	    {"((((((((((((((((((((((uid=%s))))))))))))))))))))))", "name of an attribute"},
	    {"(!(!(!(!(!(!(!(!(!(!(!(!(!(!(!(!(!(!(!(!(!(a=%s))))))))))))))))))))))", "too deeply"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(good); i++)
		if (ldap_filter_check(good[i]) != NULL)
			fail_msg("%s: %s", good[i], ldap_filter_check(good[i]));
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		const char *wrong = ldap_filter_check(bad[i].text);

		if (wrong == NULL || strstr(wrong, bad[i].wrong) == NULL)
			fail_msg("%s: %s", bad[i].text, wrong == NULL ? "taken" : wrong);
	}
}

static void
test_filter_make(void **state)
{
	char out[64];

	(void)state;
	assert_int_equal(
	    ldap_filter_make("(|(uid=%s)(a=%%)(mail=%s))", span_of("*)("), out, sizeof(out)), 0);
	assert_string_equal(out, "(|(uid=\\2a\\29\\28)(a=%)(mail=\\2a\\29\\28))");
	assert_int_equal(ldap_filter_make("(a=%s)", span_of("x"), out, 6), 0);
	assert_int_equal(ldap_filter_make("(a=%s)", span_of("x"), out, 5), -1);
	assert_int_equal(
	    ldap_filter_make("(a=%s)", span_of("********************"), out, sizeof(out)), -1);
}

static void
test_bind_as_check(void **state)
{
	static const char *const good[] = {"%u", "%n@corp.example", "CORP\\%n", "%n@%d", "100%%%u",
	    "uid=%u,ou=people,dc=example", "uid=%n+dc=%d, ou=a\\,b,o=x y"};
	static const char *const bad[] = {"", "admin", "%d", "%", "%s", "uid=x,dc=y", "uid=%u,",
	    "uid=%u,dc", "=%u", "%u=x", "uid=,dc=%u", "uid=%u,,dc=x", "a\n%u", "%u\x7f"};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(good); i++)
		if (ldap_bind_as_check(good[i]) != NULL)
			fail_msg("%s: %s", good[i], ldap_bind_as_check(good[i]));
	for (i = 0; i < ARRAY_LEN(bad); i++)
		if (ldap_bind_as_check(bad[i]) == NULL)
			fail_msg("%s was taken", bad[i]);
}

static void
test_bind_as_make(void **state)
{
	static const struct {
		const char *bind_as, *login, *address, *want; /* NULL: refused */
	} rows[] = {
	    {"%u", "alice@corp.example", "", "alice@corp.example"},
	    {"%u", "alice", "alice@example.com", "alice"},
	    {"CORP\\%n", "alice@corp.example", "", "CORP\\alice"},
	    {"%n@%d", "alice", "alice@example.com", "alice@example.com"},
	    {"%n@%d", "a@b@c.example", "", "a@b@c.example"},
	    {"%n@%d", "alice", "", NULL},
	    {"%n@%d", "@c.example", "", NULL},
	    {"%n@%d", "alice@", "alice@@example.com", NULL},
	    {"%n%%", "alice", "", "alice%"},
	    {"uid=%n,dc=%d", "alice,dc=x@y,o=z", "", "uid=alice\\2cdc\\3dx,dc=y\\2co\\3dz"},
	    {"uid=%u,dc=x", " #a\\ ", "", "uid=\\20\\23a\\5c\\20,dc=x"},
	    {"uid=%u,dc=x", "a\x01", "", NULL},
	    {"%u", "a\xff", "", NULL},
	    {"%u", "al\xc3\xa9", "", "al\xc3\xa9"},
	    {"uid=%u", "al\xc3\xa9", "", "uid=al\\c3\\a9"},
	    {"uid=%u,dc=x", "%n%d", "", "uid=\\25n\\25d,dc=x"},
	};
	char out[64];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		int rc = ldap_bind_as_make(
		    rows[i].bind_as, rows[i].login, rows[i].address, out, sizeof(out));

		if (rc != (rows[i].want == NULL ? -1 : 0))
			fail_msg("%s, %s: %d", rows[i].bind_as, rows[i].login, rc);
		assert_string_equal(out, rows[i].want == NULL ? "" : rows[i].want);
		if (rc == -1)
			assert_int_equal(errno, EINVAL);
	}
	assert_int_equal(
	    ldap_bind_as_make("uid=%u", "****************************", "", out, sizeof(out)), -1);
	assert_int_equal(errno, ENAMETOOLONG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_uris),
	    cmocka_unit_test(test_escapes),
	    cmocka_unit_test(test_filters),
	    cmocka_unit_test(test_filter_make),
	    cmocka_unit_test(test_bind_as_check),
	    cmocka_unit_test(test_bind_as_make),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("ldap_text", tests, NULL, NULL);
}
