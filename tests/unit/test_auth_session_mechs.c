/* SPDX-License-Identifier: ISC */
/*
 * Logins by other mechanisms than PLAIN and LOGIN, as a front sees them (P3, RFC 7628).
 */
#include "auth_session_test.h"

#include "base/enc.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#define CERT_C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

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
	assert_true(span_eq(answer.m.text, "Mechanism not available; offered are PLAIN LOGIN "
					   "SCRAM-SHA-256"));
	s[n - 1].kind = &tokens;
	begin("clear", false, "192.0.2.1", "XOAUTH2", NULL); /* nor without TLS */
	wait_answer();
	assert_int_equal(answer.m.code, 504);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		char text[200];
		struct span initial;
		int64_t began_us = clock_us();

		(void)str_printf(
		    text, sizeof(text), "%s\1auth=Bearer %s\1\1", cases[i].user, cases[i].token);
		initial = span_of(text);
		begin("enc", true, "192.0.2.1", cases[i].mech, &initial);
		wait_answer();
		struct ipc_audit_auth r = last_record();
		if (cases[i].code == 535) {
			assert_int_equal(answer.m.more, 1);
			assert_true(span_starts_nocase(answer.m.challenge, "{\"status\":\""));
			assert_true(clock_us() - began_us >= DELAY_MS * 1000);
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
	uint64_t denied = auth_session_stats()->denied;

	begin("enc", true, "192.0.2.1", "OAUTHBEARER", &bad);
	wait_answer();
	assert_int_equal(answer.m.more, 1);
	assert_int_equal(auth_session_cancel(front, last_sid), 0);
	assert_int_equal(auth_session_stats()->open, 0);
	assert_int_equal(auth_session_stats()->denied, denied + 1); /* it was an attempt (A7) */
	s[n - 1].kind = kind;
}

/* ---- SCRAM-SHA-256 ----------------------------------------------------------------------------
 */

static struct buf first_sent; /* client-first-message-bare */
static struct buf server_first;

/* Begins; the server's first message is in server_first. */
static void
scram_begin(const char *header, const char *name)
{
	struct buf b = BUF_INIT;
	struct span s;

	buf_reset(&first_sent);
	buf_addf(&first_sent, "n=%s,r=rOprNGfwEbeRWgbNEkqO", name);
	buf_add_str(&b, header);
	buf_add_span(&b, buf_span(&first_sent));
	s = buf_span(&b);
	begin("enc", true, "192.0.2.1", "SCRAM-SHA-256", &s);
	buf_clear(&b);
	wait_answer();
	buf_reset(&server_first);
	if (answer.m.more != 0)
		buf_add_span(&server_first, answer.m.challenge);
}

/* The value of an attribute of the server's message. */
static struct span
attribute(char name)
{
	struct span rest = buf_span(&server_first), a;

	do
		a = span_cut(&rest, ',');
	while (a.n > 1 && a.p[0] != name);
	assert_true(a.n > 2 && a.p[1] == '=');
	return (struct span){a.p + 2, a.n - 2};
}

/* Sends the proof of a password; binding: base64 of the header. */
static void
scram_prove(const char *password, const char *binding)
{
	struct buf salt = BUF_INIT, final = BUF_INIT, message = BUF_INIT;
	uint8_t salted[32], client[32], stored[32], signature[32];
	uint64_t iterations;
	struct span s;
	unsigned len;
	size_t i;

	assert_int_equal(base64_decode(&salt, attribute('s')), 0);
	assert_int_equal(span_to_u64(attribute('i'), 4096, 1000000, &iterations), 0);
	PKCS5_PBKDF2_HMAC(password, (int)strlen(password), buf_data(&salt), (int)buf_len(&salt),
	    (int)iterations, EVP_sha256(), 32, salted);
	HMAC(EVP_sha256(), salted, 32, (const uint8_t *)"Client Key", 10, client, &len);
	SHA256(client, 32, stored);
	s = attribute('r');
	buf_addf(&final, "c=%s,r=%.*s", binding, (int)s.n, s.p);
	buf_add_span(&message, buf_span(&first_sent));
	buf_add_byte(&message, ',');
	buf_add_span(&message, buf_span(&server_first));
	buf_add_byte(&message, ',');
	buf_add_span(&message, buf_span(&final));
	HMAC(EVP_sha256(), stored, 32, buf_data(&message), buf_len(&message), signature, &len);
	for (i = 0; i < 32; i++)
		client[i] ^= signature[i];
	buf_add_str(&final, ",p=");
	base64_encode(&final, client, 32);
	respond(buf_cstr(&final));
	buf_clear(&salt);
	buf_clear(&final);
	buf_clear(&message);
}

static void
test_scram(void **state)
{
	static const struct {
		const char *header, *name, *password, *binding;
		unsigned code;
		const char *principal, *reason;
	} cases[] = {
	    {"n,,", "sara@example.com", "x", "biws", 235, "sara@example.com", ""},
	    {"y,,", "SARA", "x", "eSws", 235, "sara@example.com", ""},
	    {"n,a=sara,", "sara", "x", "bixhPXNhcmEs", 235, "sara@example.com", ""},
	    {"n,,", "boss", "x", "biws", 235, "boss@example.com",
		""}, /* with a colon in the file */
	    {"n,,", "lost", "x", "biws", 535, "", "locked"},
	    {"n,,", "sara", "y", "biws", 535, "", "wrong password"},
	    {"n,,", "nobody", "x", "biws", 535, "", "unknown user"},
	    {"n,,", "dora", "plain", "biws", 535, "", "no SCRAM keys"},
	    {"n,,", "alice", "x", "biws", 535, "", "no SCRAM keys"}, /* S17: known to internal */
	    {"n,,", "off", "x", "biws", 535, "", "smtp_auth"},       /* S18 */
	    {"n,,", "netted", "x", "biws", 535, "", "client"},
	    {"n,,", "ceo", "x", "biws", 535, "", "rule S14"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t began_us;

		scram_begin(cases[i].header, cases[i].name);
		if (answer.m.more == 0)
			fail_msg("case %zu: %d at once", i, answer.m.code);
		assert_true(span_starts_nocase(buf_span(&server_first), "r=rOprNGfwEbeRWgbNEkqO"));
		assert_true(span_eq(attribute('i'), "4096"));
		assert_int_equal(attribute('s').n, strlen(SCRAM_SALT));
		began_us = clock_us();
		scram_prove(cases[i].password, cases[i].binding);
		if (answer.m.more != 0) {
			assert_true(span_starts_nocase(answer.m.challenge, "v="));
			respond("");
		} else {
			assert_true(clock_us() - began_us >= DELAY_MS * 1000);
		}
		struct ipc_audit_auth r = last_record();
		char reason[200];
		(void)str_copy_span(reason, sizeof(reason), r.reason);
		if (answer.m.code != cases[i].code ||
		    !span_eq(answer.m.principal, cases[i].principal) ||
		    strstr(reason, cases[i].reason) == NULL)
			fail_msg("case %zu: %d (%s)", i, answer.m.code, reason);
		assert_true(span_eq(r.mech, "SCRAM-SHA-256"));
		assert_int_equal(auth_session_stats()->open, 0);
	}
}

/* S5, S6: an excluded name meets made-up keys; what cannot be found out is a 454 at once. */
/* A7: to look at a salt is no attempt; a password that was found right leaves a record. */
static void
test_scram_leave(void **state)
{
	struct auth_session_stats before = *auth_session_stats();
	size_t old;

	(void)state;
	read_records();
	old = buf_len(&records);
	scram_begin("n,,", "sara");
	assert_int_equal(auth_session_cancel(front, last_sid), 0);
	scram_begin("n,,", "nobody");
	auth_session_peer_down(front);
	read_records();
	assert_int_equal(buf_len(&records), old);
	assert_int_equal(auth_session_stats()->denied, before.denied);
	for (int i = 0; i < 2; i++) {
		scram_begin("n,,", "sara");
		scram_prove("x", "biws");
		assert_int_equal(answer.m.more, 1);
		if (i == 0)
			assert_int_equal(auth_session_cancel(front, last_sid), 0);
		else
			auth_session_peer_down(front);
		assert_int_equal(auth_session_stats()->open, 0);
		read_records();
		assert_true(buf_len(&records) > old);
		old = buf_len(&records);
		struct ipc_audit_auth r = last_record();
		assert_int_equal(r.verdict, V_TEMP);
		assert_true(span_eq(r.login, "sara"));
		assert_true(
		    span_eq(r.reason, "the client proved to have the password and went away"));
	}
	assert_int_equal(auth_session_stats()->accepted, before.accepted);
	assert_int_equal(auth_session_stats()->temporary, before.temporary + 2);
}

static void
test_scram_filtered(void **state)
{
	static const struct {
		const char *first;
		unsigned code; /* 0: a challenge */
	} cases[] = {
	    {"n,,n=bob,r=rOprNGfwEbeRWgbNEkqO", 0},
	    {"n,,n=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!,r=rOprNGfwEbeRWgbNEkqO", 454},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct span s = span_of(cases[i].first);

		begin("filtered", true, "192.0.2.1", "SCRAM-SHA-256", &s);
		wait_answer();
		assert_int_equal(answer.m.more, cases[i].code == 0);
		if (cases[i].code == 0) {
			buf_reset(&first_sent);
			buf_add_str(&first_sent, cases[i].first + 3);
			buf_reset(&server_first);
			buf_add_span(&server_first, answer.m.challenge);
			scram_prove("x", "biws");
			assert_int_equal(answer.m.code, 535);
			assert_true(span_eq(last_record().reason, "rule S5 auth_user"));
		} else {
			assert_int_equal(answer.m.code, cases[i].code);
			assert_true(span_eq(last_record().reason, "rule S5 auth_user"));
		}
		assert_int_equal(auth_session_stats()->open, 0);
	}
}

/* P3: the salt of a name that nobody has is as lasting as a user's. */
static void
test_scram_fakes(void **state)
{
	static const char *const names[] = {"nobody", "nobody@example.com", "NoBody", "other",
	    "nobody@alias.example", "scott", "scott@alias.example"};
	char salt[ARRAY_LEN(names)][100];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(names); i++) {
		scram_begin("n,,", names[i]);
		assert_int_equal(answer.m.more, 1);
		(void)str_copy_span(salt[i], sizeof(salt[i]), attribute('s'));
		assert_int_equal(auth_session_cancel(front, last_sid), 0);
	}
	assert_string_equal(salt[0], salt[1]);
	assert_string_equal(salt[0], salt[2]);
	assert_string_not_equal(salt[0], salt[3]);
	assert_string_not_equal(salt[0], SCRAM_SALT);
	/* S57: by an alias of his domain a user's is the same */
	assert_string_equal(salt[0], salt[4]);
	assert_string_equal(salt[5], SCRAM_SALT);
	assert_string_equal(salt[6], SCRAM_SALT);
}

/* Steps out of order, other headers and nonces, names with escapes. */
static void
test_scram_hostile(void **state)
{
	static const struct {
		const char *first;
		unsigned code;
	} firsts[] = {
	    {"p=tls-unique,,n=sara,r=abc", 535},
	    {"p,,n=sara,r=abc", 501},
	    {"n,,n=sara", 501},
	    {"n,,r=abc,n=sara", 501},
	    {"n,,m=x,n=sara,r=abc", 535},
	    {"n,,n=sara,r=", 501},
	    {"n,,n=sa=2cra,r=abc", 501},
	    {"n,,n=,r=abc", 535},
	    {"n,a=boss,n=sara,r=abc", 535},
	    {"n,a=sara=3D,n=sara,r=abc", 535},
	    {"n,,n=sara ,r=abc", 535},
	    {"n,,n=sa\nra,r=abc", 535},
	    {"", 501},
	    {"n,,", 501},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(firsts); i++) {
		struct span s = span_of(firsts[i].first);

		begin("enc", true, "192.0.2.1", "SCRAM-SHA-256", &s);
		wait_answer();
		if (answer.m.more != 0 || answer.m.code != firsts[i].code)
			fail_msg("first %zu: %d", i, answer.m.code);
	}
	static const char *const finals[] = {"", "n,,n=sara,r=abc", "c=biws,r=abc,p=AAAA",
	    "c=eSws,r=rOprNGfwEbeRWgbNEkqO,p=AAAA", "c=biws,p=AAAA", "p=AAAA", "v=AAAA"};
	for (i = 0; i < ARRAY_LEN(finals); i++) {
		scram_begin("n,,", "sara");
		assert_int_equal(answer.m.more, 1);
		respond(finals[i]);
		/* RFC 5802: another's nonce, another header: no; what is no such message: malformed
		 */
		if (answer.m.more != 0 ||
		    answer.m.code !=
			(finals[i][0] == 'c' && strstr(finals[i], ",r=") != NULL ? 535 : 501))
			fail_msg("final %zu: %d", i, answer.m.code);
	}
	scram_begin("n,,", "sara"); /* another header than in the first message */
	scram_prove("x", "eSws");
	assert_int_equal(answer.m.code, 535);
	scram_begin("n,,", "sara");
	scram_prove("x", "biws");
	assert_int_equal(answer.m.more, 1);
	respond("and more");
	assert_int_equal(answer.m.code, 501);
	scram_begin("n,,", "a=2Cb=3D"); /* a,b= */
	assert_int_equal(answer.m.more, 1);
	assert_int_equal(auth_session_cancel(front, last_sid), 0);
	assert_int_equal(auth_session_stats()->open, 0);
}

/* ---- EXTERNAL ---------------------------------------------------------------------------------
 */

/* RFC 4422: the certificate says who it is; a name, if there is one, must be his. */
static void
test_external(void **state)
{
	static const struct {
		const char *sha256;
		struct span emails; /* where they may name users */
		const char *authzid;
		unsigned code;
		const char *principal, *reason;
	} cases[] = {
	    {CERT_A, {"", 0}, "", 235, "alice@example.com", ""},
	    {CERT_A, {"", 0}, "ALICE@example.com", 235, "alice@example.com", ""},
	    {CERT_A, {"", 0}, "alice", 235, "alice@example.com", ""},
	    {CERT_A, {"", 0}, "both@example.com", 535, "", "another"},
	    {CERT_A, {"", 0}, "ceo@example.com", 535, "", "rule S14"},
	    {CERT_A, {"", 0}, " alice", 535, "", "white space"},
	    {CERT_B, {"", 0}, "", 535, "", "client"}, /* S18: not from here */
	    {CERT_C, {"", 0}, "", 535, "", "unknown user"},
	    {CERT_C, {"", 0}, "alice", 535, "", "unknown user"},
	    {CERT_C, {"x@y.example\0both@example.com\0", 29}, "", 235, "both@example.com", ""},
	    {CERT_C, {"Both@Example.COM\0", 17}, "both", 235, "both@example.com", ""},
	    {CERT_C, {"Both@Example.COM\0", 17}, "alice", 535, "", "another"},
	    {CERT_C, {"both@example.com\0alice@example.com\0", 35}, "", 535, "", "several"},
	    {CERT_C, {"both@example.com\0alice@example.com\0", 35}, "alice", 235,
		"alice@example.com", ""},
	    /* whatever the case of a letter, and by an alias of the domain */
	    {CERT_A, {"", 0}, "ALICE@alias.example", 235, "alice@example.com", ""},
	    {CERT_C, {"both@example.com\0j\xc3\xb6rg@example.com\0", 35}, "J\xc3\x96RG@example.com",
		235, "j\xc3\xb6rg@example.com", ""},
	    {CERT_C, {"off@example.com\0", 16}, "", 535, "", "smtp_auth"}, /* S18 */
	    /* the fingerprint goes first */
	    {CERT_A, {"both@example.com\0", 17}, "", 235, "alice@example.com", ""},
	};
	static const struct span good = {"", 0};
	size_t i;

	(void)state;
	begin("enc", true, "192.0.2.1", "EXTERNAL", &good); /* without a certificate */
	wait_answer();
	assert_int_equal(answer.m.code, 504);
	cert_sha256 = span_of("no fingerprint");
	begin("enc", true, "192.0.2.1", "EXTERNAL", &good);
	wait_answer();
	assert_int_equal(answer.m.code, 504);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct span authzid = span_of(cases[i].authzid);

		cert_sha256 = span_of(cases[i].sha256);
		cert_emails = cases[i].emails;
		begin("enc", true, "192.0.2.1", "EXTERNAL", i % 2 == 0 ? &authzid : NULL);
		wait_answer();
		if (i % 2 == 1) {
			assert_int_equal(answer.m.more, 1);
			respond(cases[i].authzid);
		}
		struct ipc_audit_auth r = last_record();
		char reason[200];
		(void)str_copy_span(reason, sizeof(reason), r.reason);
		if (answer.m.more != 0 || answer.m.code != cases[i].code ||
		    !span_eq(answer.m.principal, cases[i].principal) ||
		    strstr(reason, cases[i].reason) == NULL)
			fail_msg("case %zu: %d (%s)", i, answer.m.code, reason);
		assert_true(span_eq(r.mech, "EXTERNAL"));
	}
	begin("clear", false, "192.0.2.1", "EXTERNAL", &good); /* nor without TLS */
	wait_answer();
	assert_int_equal(answer.m.code, 504);
	cert_sha256 = cert_emails = (struct span){NULL, 0};
	assert_int_equal(auth_session_stats()->open, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_tokens),
	    cmocka_unit_test(test_scram),
	    cmocka_unit_test(test_scram_fakes),
	    cmocka_unit_test(test_scram_leave),
	    cmocka_unit_test(test_scram_filtered),
	    cmocka_unit_test(test_scram_hostile),
	    cmocka_unit_test(test_external),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
