/* SPDX-License-Identifier: ISC */
/* What the answers of directories mean (S17, S43, C2): only an explicit no is a no. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "authbackends/ldap_judge.h"
#include "base/list.h"
#include "base/str.h"

#include <string.h>

#include <ldap.h>

#define AD(code)                                                                                   \
	"80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data " code       \
	", v2580"

static const struct {
	int code, policy;
	const char *text;
	enum verdict verdict;
	bool misconfigured;
	const char *reason; /* a part */
} binds[] = {
    {0, LDAP_POLICY_NONE, "", V_OK, false, ""},
    {0, PP_changeAfterReset, "", V_PERM, false, "must be changed"},
    {0, PP_accountLocked, "", V_PERM, false, "locked"},
    {0, PP_passwordTooShort, "", V_OK, false, ""},
    {0, LDAP_POLICY_UNREADABLE, "", V_TEMP, false, "cannot be read"},
    {49, LDAP_POLICY_NONE, "", V_PERM, false, "wrong password"},
    {49, LDAP_POLICY_UNREADABLE, "", V_PERM, false, "wrong password"},
    {49, PP_accountLocked, "", V_PERM, false, "the account is locked"},
    {49, PP_passwordExpired, "", V_PERM, false, "the password has expired"},
    {49, LDAP_POLICY_NONE, AD("525"), V_PERM, false, "unknown user (AD 525)"},
    {49, LDAP_POLICY_NONE, AD("52e"), V_PERM, false, "wrong password (AD 52e)"},
    {49, LDAP_POLICY_NONE, AD("52E"), V_PERM, false, "wrong password (AD 52e)"},
    {49, LDAP_POLICY_NONE, AD("530"), V_PERM, false, "at this time"},
    {49, LDAP_POLICY_NONE, AD("531"), V_PERM, false, "this host"},
    {49, LDAP_POLICY_NONE, AD("532"), V_PERM, false, "password has expired"},
    {49, LDAP_POLICY_NONE, AD("533"), V_PERM, false, "disabled"},
    {49, LDAP_POLICY_NONE, AD("701"), V_PERM, false, "account has expired"},
    {49, LDAP_POLICY_NONE, AD("773"), V_PERM, false, "must be changed"},
    {49, LDAP_POLICY_NONE, AD("775"), V_PERM, false, "account is locked"},
    {49, LDAP_POLICY_NONE, AD("999"), V_PERM, false, "wrong password"},
    {49, LDAP_POLICY_NONE, AD(""), V_PERM, false, "wrong password"},
    {49, LDAP_POLICY_NONE, AD("77512"), V_PERM, false, "wrong password"},
    {49, LDAP_POLICY_NONE, ", data 775", V_PERM, false, "wrong password"},
    /* the text of anything but 49 says nothing */
    {1, LDAP_POLICY_NONE, AD("775"), V_TEMP, false, "result code 1"},
    {32, LDAP_POLICY_NONE, "", V_TEMP, true, "result code 32"},
    {34, LDAP_POLICY_NONE, "", V_TEMP, true, "result code 34"},
    {50, LDAP_POLICY_NONE, "", V_TEMP, true, "result code 50"},
    {53, LDAP_POLICY_NONE, "", V_TEMP, true, "result code 53"},
    {13, LDAP_POLICY_NONE, "", V_TEMP, true, "result code 13"},
    {48, LDAP_POLICY_NONE, "", V_TEMP, false, "result code 48"},
    {10, LDAP_POLICY_NONE, "", V_TEMP, false, "result code 10"},
    {14, LDAP_POLICY_NONE, "", V_TEMP, false, "result code 14"},
    {51, LDAP_POLICY_NONE, "", V_TEMP, false, "result code 51"},
    {52, PP_accountLocked, "", V_TEMP, false, "result code 52"},
    {80, LDAP_POLICY_NONE, "", V_TEMP, false, "result code 80"},
    {4096, LDAP_POLICY_NONE, "", V_TEMP, false, "result code 4096"},
    {-1, LDAP_POLICY_NONE, "", V_TEMP, false, "no answer"},
    {-5, LDAP_POLICY_NONE, "", V_TEMP, false, "time is over"},
};

static struct ldap_reply
reply(int code, int policy, const char *text)
{
	struct ldap_reply r = {.code = code, .policy = policy, .grace = -1};

	(void)str_copy(r.text, sizeof(r.text), text);
	return r;
}

static void
test_binds(void **state)
{
	struct ldap_judgement j;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(binds); i++) {
		struct ldap_reply r = reply(binds[i].code, binds[i].policy, binds[i].text);

		ldap_judge_bind(&r, &j);
		if (j.verdict != binds[i].verdict || j.misconfigured != binds[i].misconfigured ||
		    strstr(j.reason, binds[i].reason) == NULL ||
		    (binds[i].verdict == V_OK && j.reason[0] != '\0'))
			fail_msg("row %zu, code %d: %s, %s", i, binds[i].code,
			    verdict_name(j.verdict), j.reason);
	}
}

/* Nothing that is said to the service account is a word about the user. */
static void
test_service(void **state)
{
	struct ldap_judgement j;
	int code;

	(void)state;
	for (code = -20; code < 130; code++) {
		struct ldap_reply r = reply(code, PP_accountLocked, AD("775"));

		ldap_judge_service("search", &r, &j);
		assert_int_equal(j.verdict, code == 0 ? V_OK : V_TEMP);
		assert_int_equal(j.reason[0] == '\0', code == 0);
		if (code == 49 || code == 32 || code == 34 || code == 50 || code == 53)
			assert_true(j.misconfigured);
		if (ldap_judge_elsewhere(code))
			assert_false(j.misconfigured);
	}
}

static void
test_elsewhere(void **state)
{
	(void)state;
	assert_true(ldap_judge_elsewhere(LDAP_SERVER_DOWN));
	assert_true(ldap_judge_elsewhere(LDAP_TIMEOUT));
	assert_true(ldap_judge_elsewhere(LDAP_DECODING_ERROR));
	assert_true(ldap_judge_elsewhere(LDAP_BUSY));
	assert_true(ldap_judge_elsewhere(LDAP_UNAVAILABLE));
	/* our own mistake: no other server will like it better */
	assert_false(ldap_judge_elsewhere(LDAP_FILTER_ERROR));
	assert_false(ldap_judge_elsewhere(LDAP_INVALID_CREDENTIALS));
	assert_false(ldap_judge_elsewhere(LDAP_SUCCESS));
	/* C2: what a name can provoke must not open the breaker */
	assert_true(ldap_judge_is_answer(LDAP_SUCCESS));
	assert_true(ldap_judge_is_answer(LDAP_INVALID_DN_SYNTAX));
	assert_true(ldap_judge_is_answer(LDAP_INAPPROPRIATE_AUTH));
	assert_false(ldap_judge_is_answer(LDAP_FILTER_ERROR)); /* nothing was sent */
	assert_false(ldap_judge_is_answer(LDAP_SERVER_DOWN));
	assert_false(ldap_judge_is_answer(LDAP_UNAVAILABLE));
	assert_false(ldap_judge_is_answer(LDAP_TIMELIMIT_EXCEEDED));
}

static void
test_ad_code(void **state)
{
	(void)state;
	assert_int_equal(ldap_judge_ad_code(AD("52e")), 0x52e);
	assert_int_equal(ldap_judge_ad_code(AD("0")), 0);
	assert_int_equal(ldap_judge_ad_code(", data ffff,"), 0xffff);
	assert_int_equal(ldap_judge_ad_code(", data "), 0);
	assert_int_equal(ldap_judge_ad_code(", data 52e"), 0);
	assert_int_equal(ldap_judge_ad_code(""), 0);
}

/* S43: what is no whole value of known words is not taken for "no policy". */
static void
test_policy(void **state)
{
	static const struct {
		size_t n;
		const char *value;
		int policy, grace;
	} cases[] = {
#define VALUE(v) sizeof(v) - 1, v
	    {VALUE("\x30\x00"), LDAP_POLICY_NONE, -1},
	    {VALUE("\x30\x03\x81\x01\x00"), PP_passwordExpired, -1},
	    {VALUE("\x30\x03\x81\x01\x02"), PP_changeAfterReset, -1},
	    {VALUE("\x30\x03\x81\x01\x09"), PP_passwordTooLong, -1},
	    {VALUE("\x30\x05\xa0\x03\x80\x01\x05"), LDAP_POLICY_NONE, -1},
	    {VALUE("\x30\x05\xa0\x03\x81\x01\x03"), LDAP_POLICY_NONE, 3},
	    {VALUE("\x30\x08\xa0\x03\x81\x01\x03\x81\x01\x00"), PP_passwordExpired, 3},
	    {VALUE("\x30\x81\x04\x81\x02\x00\x01"), PP_accountLocked, -1},
	    {VALUE("\x30\x82\x00\x06\x81\x04\x00\x00\x00\x01"), PP_accountLocked, -1},
	    {VALUE("\x30\x08\xa0\x06\x80\x04\x7f\xff\xff\xff"), LDAP_POLICY_NONE, -1},
#define BAD(v) {VALUE(v), LDAP_POLICY_UNREADABLE, -1}
	    BAD(""),
	    BAD("\x30"),
	    BAD("\x31\x00"),
	    BAD("\x30\x00\x00"),
	    BAD("\x30\x80"),
	    BAD("\x30\x81"),
	    BAD("\x30\x82\x00"),
	    BAD("\x30\x83\x00\x00\x00"),
	    BAD("\x30\x04\x81\x01\x00"),
	    BAD("\x30\x02\x81\x01\x00"),
	    BAD("\x30\x03\x81\x02\x00"),
	    BAD("\x30\x02\x81\x00"),
	    BAD("\x30\x03\x81\x01\x0a"),
	    BAD("\x30\x03\x81\x01\xff"),
	    BAD("\x30\x03\x81\x01\xfe"),
	    BAD("\x30\x06\x81\x04\x00\x00\xff\xff"),
	    BAD("\x30\x07\x81\x05\x00\x00\x00\x00\x00"),
	    BAD("\x30\x03\x82\x01\x00"),
	    BAD("\x30\x02\xa0\x00"),
	    BAD("\x30\x05\xa0\x03\x82\x01\x03"),
	    BAD("\x30\x05\xa0\x03\x81\x01\x83"),
	    BAD("\x30\x05\xa0\x03\x81\x02\x03"),
	    BAD("\x30\x06\xa0\x04\x81\x01\x03\x00"),
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct ldap_reply r = {.policy = 77, .grace = -1};

		ldap_judge_policy((struct span){cases[i].value, cases[i].n}, &r);
		if (r.policy != cases[i].policy || r.grace != cases[i].grace)
			fail_msg("case %zu: %d, %d", i, r.policy, r.grace);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_binds),
	    cmocka_unit_test(test_service),
	    cmocka_unit_test(test_elsewhere),
	    cmocka_unit_test(test_ad_code),
	    cmocka_unit_test(test_policy),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("ldap_judge", tests, NULL, NULL);
}
