/* SPDX-License-Identifier: ISC */
/* What the claims of a token mean for a login (RFC 7519, 4.1; RFC 7662, 2.2; C2, C8). */
#include "authbackends/token_claims.h"

#include "base/list.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define NOW 1000000
#define GOOD "\"iss\":\"https://i\",\"aud\":\"mail\",\"exp\":1000100,\"email\":\"a@b.example\""

static void
test_rules(void **state)
{
	static const struct {
		const char *claims;
		enum verdict want;
		const char *reason;
	} cases[] = {
	    {"{" GOOD ",\"scope\":\"smtp\"}", V_OK, ""},
	    {"{" GOOD ",\"scope\":\"openid smtp email\"}", V_OK, ""},
	    {"{" GOOD ",\"scp\":[\"x\",\"smtp\"]}", V_OK, ""},
	    {"{" GOOD ",\"scope\":\"smtps xsmtp\"}", V_PERM, "scope"},
	    {"{" GOOD ",\"scope\":[1,null]}", V_PERM, "scope"},
	    {"{" GOOD "}", V_PERM, "scope"},
	    {"{\"iss\":\"https://i\",\"aud\":[\"x\",\"relay\"],\"exp\":1000100,\"scope\":\"smtp\","
	     "\"email\":\"a@b.example\"}",
		V_OK, ""},
	    {"{\"iss\":\"https://i\",\"aud\":[\"x\",\"mailx\"],\"exp\":1000100}", V_PERM,
		"audience"},
	    {"{\"iss\":\"https://i\",\"aud\":{\"mail\":1},\"exp\":1000100}", V_PERM, "audience"},
	    {"{\"iss\":\"https://i\",\"exp\":1000100}", V_PERM, "audience"},
	    {"{\"iss\":\"https://i/\",\"aud\":\"mail\"}", V_PERM, "issuer"},
	    {"{\"iss\":[\"https://i\"],\"aud\":\"mail\"}", V_PERM, "issuer"},
	    {"{\"aud\":\"mail\"}", V_PERM, "issuer"},
	    {"{\"iss\":\"https://i\",\"aud\":\"mail\"}", V_PERM, "never expires"},
	    {"{\"iss\":\"https://i\",\"aud\":\"mail\",\"exp\":null}", V_PERM, "never expires"},
	    {"{\"iss\":\"https://i\",\"aud\":\"mail\",\"exp\":\"1000100\"}", V_PERM, "no number"},
	    {"{\"iss\":\"https://i\",\"aud\":\"mail\",\"exp\":999970}", V_PERM, "has expired"},
	    {"{\"iss\":\"https://i\",\"aud\":\"mail\",\"exp\":-1e300}", V_PERM, "has expired"},
	    {"{\"iss\":\"https://i\",\"aud\":\"mail\",\"exp\":999970.5,\"scope\":\"smtp\","
	     "\"email\":\"a@b.example\"}",
		V_OK, ""},
	    {"{" GOOD ",\"nbf\":1000030,\"scope\":\"smtp\"}", V_PERM, "not valid yet"},
	    {"{" GOOD ",\"nbf\":1000029,\"scope\":\"smtp\"}", V_OK, ""},
	    {"{" GOOD ",\"nbf\":true,\"scope\":\"smtp\"}", V_PERM, "no number"},
	    {"{" GOOD ",\"email_verified\":true,\"scope\":\"smtp\"}", V_OK, ""},
	    {"{" GOOD ",\"email_verified\":false,\"scope\":\"smtp\"}", V_PERM, "not verified"},
	    {"{" GOOD ",\"email_verified\":\"true\",\"scope\":\"smtp\"}", V_PERM, "not verified"},
	    {"{\"iss\":\"https://i\",\"aud\":\"mail\",\"exp\":1000100,\"scope\":\"smtp\"}", V_PERM,
		"no user name"},
	    {"{\"iss\":\"https://i\",\"aud\":\"mail\",\"exp\":1000100,\"scope\":\"smtp\","
	     "\"email\":\"a\\nb\"}",
		V_PERM, "no user name"},
	    {"{\"iss\":\"https://i\",\"aud\":\"mail\",\"exp\":1000100,\"scope\":\"smtp\","
	     "\"email\":true}",
		V_PERM, "no user name"},
	};
	char mail[] = "mail", relay[] = "relay", *audience[] = {mail, relay};
	const struct conf_list list = {.v = audience, .n = 2};
	const struct token_rule rule = {.issuer = "https://i",
	    .audience = &list,
	    .scope = "smtp",
	    .user = "email",
	    .need_expiry = true};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *j = json_loads(cases[i].claims, 0, NULL);
		struct auth_check c = {.cred = CRED_TOKEN};
		enum verdict v;

		assert_non_null(j);
		v = token_claims_judge(&rule, j, NOW, &c);
		if (v != cases[i].want || strstr(c.reason, cases[i].reason) == NULL ||
		    (v == V_OK && strcmp(c.name, "a@b.example") != 0))
			fail_msg("%zu %s: %d %s %s", i, cases[i].claims, v, c.reason, c.name);
		json_decref(j);
	}
}

/* Nothing demanded but a name: a server vouched for it. */
static void
test_few(void **state)
{
	const struct conf_list none = {.n = 0};
	const struct token_rule rule = {
	    .audience = &none, .user = "user.name", .addresses = "mail"};
	json_t *j = json_loads("{\"user\":{\"name\":\"alice\"},\"exp\":1000100,"
			       "\"mail\":[\"a@b.example\",\"c@d.example\",\"no\",{}]}",
	    0, NULL);
	struct auth_check c = {.cred = CRED_TOKEN};

	(void)state;
	assert_int_equal(token_claims_judge(&rule, j, NOW, &c), V_OK);
	assert_string_equal(c.name, "alice");
	assert_int_equal(buf_len(&c.own), 24);
	assert_memory_equal(buf_data(&c.own), "a@b.example\0c@d.example", 24);
	buf_clear(&c.own);
	assert_int_equal(token_claims_judge(&rule, j, 2 * NOW, &c), V_PERM);
	json_decref(j);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rules),
	    cmocka_unit_test(test_few),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("token_claims", tests, NULL, NULL);
}
