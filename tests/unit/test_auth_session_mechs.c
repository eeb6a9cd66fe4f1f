/* SPDX-License-Identifier: ISC */
/*
 * Logins by other mechanisms than PLAIN and LOGIN, as a front sees them (P3, RFC 7628).
 */
#include "auth_session_test.h"

/* A token says whose it is: its own text is the local part. */
static enum verdict
token_check(void *self, struct auth_check *c)
{
	(void)self;
	if (c->cred != CRED_TOKEN)
		return V_TEMP;
	if (strcmp(c->password.data, "down") == 0)
		return V_TEMP;
	if (strcmp(c->password.data, "bad") == 0) {
		(void)str_copy(c->reason, sizeof(c->reason), "no such token");
		return V_PERM;
	}
	if (strcmp(c->password.data, "mute") != 0)
		(void)str_printf(c->name, sizeof(c->name), "%s@example.com", c->password.data);
	return V_OK;
}

static void
respond(const char *text)
{
	struct ipc_auth_step step = {.sid = last_sid, .response = span_of(text)};

	answer.there = false;
	assert_int_equal(auth_session_step(front, &step), 0);
	wait_answer();
}

/* RFC 7628: a refusal is a challenge with JSON first, whatever the client answers gets the 535. */
static void
test_tokens(void **state)
{
	static const struct authbackend tokens = {
	    .name = "tokens", .creds = CRED_BIT(CRED_TOKEN), .check = token_check};
	static const struct {
		const char *mech, *user, *token;
		unsigned code;
		const char *principal, *reason;
	} cases[] = {
	    {"OAUTHBEARER", "n,a=alice@example.com,", "alice", 235, "alice@example.com", ""},
	    {"OAUTHBEARER", "n,,", "alice", 235, "alice@example.com", ""},
	    {"XOAUTH2", "user=alice", "alice", 235, "alice@example.com", ""},
	    {"XOAUTH2", "user=Alice@Example.com", "alice", 235, "alice@example.com", ""},
	    /* somebody else's token */
	    {"XOAUTH2", "user=boss@example.com", "alice", 535, "", "another"},
	    {"OAUTHBEARER", "n,a=boss,", "alice", 535, "", "another"},
	    {"OAUTHBEARER", "n,,", "bad", 535, "", "no such token"},
	    {"OAUTHBEARER", "n,a=alice,", "bad", 535, "", "no such token"},
	    {"XOAUTH2", "user=alice", "bad", 535, "", "no such token"},
	    {"XOAUTH2", "user=alice", "down", 454, "", ""},
	    {"OAUTHBEARER", "n,a=alice,", "mute", 454, "", "whose token"},
	    /* S14, also where only the token tells */
	    {"OAUTHBEARER", "n,a=ceo@example.com,", "ceo", 535, "", "rule S14"},
	    {"OAUTHBEARER", "n,,", "ceo", 535, "", "rule S14"},
	};
	size_t n, i;
	struct auth_source *s = auth_setup_sources(&n);
	const struct authbackend *kind = s[n - 1].kind;

	(void)state;
	begin("enc", true, "192.0.2.1", "XOAUTH2", NULL); /* not without such a backend */
	wait_answer();
	assert_int_equal(answer.m.code, 504);
	assert_true(span_eq(answer.m.text, "Mechanism not available; offered are PLAIN LOGIN"));
	s[n - 1].kind = &tokens;
	begin("clear", false, "192.0.2.1", "XOAUTH2", NULL); /* nor without TLS */
	wait_answer();
	assert_int_equal(answer.m.code, 504);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		char text[200];
		struct span initial;
		int64_t began = auth_clock_ms();

		(void)str_printf(
		    text, sizeof(text), "%s\1auth=Bearer %s\1\1", cases[i].user, cases[i].token);
		initial = span_of(text);
		begin("enc", true, "192.0.2.1", cases[i].mech, &initial);
		wait_answer();
		struct ipc_audit_auth r = last_record();
		if (cases[i].code == 535) {
			assert_int_equal(answer.m.more, 1);
			assert_true(span_starts_nocase(answer.m.challenge, "{\"status\":\""));
			assert_true(auth_clock_ms() - began >= DELAY_MS);
			respond(i % 2 == 0 ? "\1" : "");
		}
		char reason[200];
		(void)str_copy_span(reason, sizeof(reason), r.reason);
		if (answer.m.more != 0 || answer.m.code != cases[i].code ||
		    !span_eq(answer.m.principal, cases[i].principal) ||
		    strstr(reason, cases[i].reason) == NULL)
			fail_msg("case %zu: %d (%s)", i, answer.m.code, reason);
		assert_true(span_eq(r.mech, cases[i].mech));
		assert_int_equal(auth_session_stats()->open, 0);
	}
	assert_null(memmem(buf_data(&records), buf_len(&records), "mute", 4));
	/* told no, and gone without a word */
	static const struct span bad = {"n,,\1auth=Bearer bad\1\1", 21};
	begin("enc", true, "192.0.2.1", "OAUTHBEARER", &bad);
	wait_answer();
	assert_int_equal(answer.m.more, 1);
	assert_int_equal(auth_session_cancel(front, last_sid), 0);
	assert_int_equal(auth_session_stats()->open, 0);
	s[n - 1].kind = kind;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_tokens),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
