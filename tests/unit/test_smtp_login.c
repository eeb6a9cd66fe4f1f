/* SPDX-License-Identifier: ISC */
/*
 * One login at an SMTP server (S16, S42) in clear, as tls = none allows: what is said, what a
 * verdict is made of, and the trace for `submitctl auth-test`, which never holds a password.
 */
#include "script_test.h"

#include "authbackends/smtp_login.h"
#include "base/list.h"
#include "base/sasl_login.h"
#include "base/stream.h"

#include <signal.h>

#define LONG_MS 20000
#define SHORT_MS 500
#define EHLO "220 hi", "250-hi\r\n250 AUTH "

struct result {
	enum verdict verdict;
	struct smtp_login login;
	struct buf heard, trace;
};

static void
login(struct result *r, const char *const *lines, const char *password, int64_t ms)
{
	struct auth_check c = {.want_trace = true};
	struct script server;
	int64_t now = stream_clock_ms();

	script_start(&server, lines);
	(void)str_copy(c.login, sizeof(c.login), "alice@example.com");
	secret_set(&c.password, password, strlen(password));
	r->login = (struct smtp_login){.helo = "us.example.com",
	    .host = "localhost",
	    .addr = server.addr,
	    .tls = SMTP_CLIENT_TLS_NONE,
	    .connect_until_ms = now + ms,
	    .deadline_ms = now + ms};
	r->verdict = smtp_login_try(&r->login, &c);
	r->heard = script_end(&server);
	r->trace = c.trace;
	assert_string_equal(c.tls_peer, "");
	secret_clear(&c.password);
	buf_clear(&c.own);
}

static void
result_clear(struct result *r)
{
	buf_clear(&r->heard);
	buf_clear(&r->trace);
}

static void
test_yes(void **state)
{
	static const char *const lines[] = {EHLO "PLAIN", "235 2.7.0 welcome", "221 bye", NULL};
	static const char *const want[] = {"connect to localhost (127.0.0.1:", "S: 220 hi",
	    "C: EHLO us.example.com", "S: 250-hi", "S: 250 AUTH PLAIN", "C: AUTH PLAIN ***",
	    "S: 235 2.7.0 welcome", "C: QUIT"};
	struct result r;
	const char *at;

	(void)state;
	login(&r, lines, "secret", LONG_MS);
	assert_int_equal(r.verdict, V_OK);
	assert_true(r.login.answered);
	assert_false(r.login.misconfigured);
	assert_string_equal(buf_cstr(&r.heard),
	    "EHLO us.example.com\r\n"
	    "AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA==\r\nQUIT\r\n");
	at = buf_cstr(&r.trace);
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		at = strstr(at, want[i]);
		if (at == NULL)
			fail_msg("no %s, or not in its place, in\n%s", want[i], buf_cstr(&r.trace));
	}
	result_clear(&r);
}

/* The words of the server are shown, but never what it was sent: it may repeat that. */
static void
test_echo(void **state)
{
	static const char *const echoes[] = {
	    "535 5.7.8 wrong: secret!",
	    "535 5.7.8 AGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA==",
	    "535-5.7.8 first\r\n535 5.7.8 alice secret!",
	    "501 cannot decode AGFsaWNlQGV4YW1wbGUuY29tAHN",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(echoes); i++) {
		const char *lines[] = {EHLO "PLAIN", echoes[i], NULL};
		struct result r;

		login(&r, lines, "secret!", LONG_MS);
		assert_int_equal(r.verdict, echoes[i][2] == '5' ? V_PERM : V_TEMP);
		assert_null(strstr(buf_cstr(&r.trace), "secret"));
		assert_null(strstr(buf_cstr(&r.trace), "AGFsaWN"));
		assert_non_null(strstr(buf_cstr(&r.trace), " ***\n"));
		assert_null(strstr(r.login.why, "secret"));
		result_clear(&r);
	}
}

static const struct {
	const char *name;
	const char *lines[8];
	enum verdict verdict;
	bool answered, misconfigured;
	const char *why;
} cases[] = {
    {"535", {EHLO "LOGIN", "334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "535 5.7.8 no"}, V_PERM, true,
	false, "says 535 5.7.8 to AUTH"},
    {"235", {EHLO "LOGIN", "334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 yes"}, V_OK, true, false,
	""},
    {"235 too early", {EHLO "LOGIN", "334 VXNlcm5hbWU6", "235 yes"}, V_TEMP, false, true,
	"before the exchange is over"},
    {"454", {EHLO "PLAIN", "454 4.7.0 later"}, V_TEMP, true, false, "says 454 4.7.0 to AUTH"},
    {"534", {EHLO "PLAIN", "534 5.7.9 weak"}, V_TEMP, true, true, "says 534 5.7.9 to AUTH"},
    {"421", {EHLO "PLAIN", "421 4.3.2 bye"}, V_TEMP, false, false, "session with 421 4.3.2"},
    {"no greeting", {"554 5.7.1 go away"}, V_TEMP, false, true, "session with 554 5.7.1"},
    {"busy", {"421 busy"}, V_TEMP, false, false, "session with 421"},
    {"no AUTH", {EHLO "GSSAPI", "221 bye"}, V_TEMP, false, true, "offers none of"},
    {"HELO only", {"220 hi", "500 what", "250 hi", "221 bye"}, V_TEMP, false, true,
	"offers none of"},
    {"rubbish", {"hello"}, V_TEMP, false, false, "the server's reply is not SMTP"},
    {"no base64", {EHLO "LOGIN", "334 !"}, V_TEMP, false, true, "no base64"},
};

static void
test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct result r;

		login(&r, cases[i].lines, "secret", LONG_MS);
		if (r.verdict != cases[i].verdict || r.login.answered != cases[i].answered ||
		    r.login.misconfigured != cases[i].misconfigured ||
		    strstr(r.login.why, cases[i].why) == NULL)
			fail_msg("%s: %s, answered %d, misconfigured %d, %s", cases[i].name,
			    verdict_name(r.verdict), r.login.answered, r.login.misconfigured,
			    r.login.why);
		result_clear(&r);
	}
}

/* RFC 4954, 4: a line of more than 512 octets waits for its challenge. */
static void
test_long_password(void **state)
{
	static const char *const lines[] = {EHLO "PLAIN", "334 ", "235 yes", NULL};
	static const char *const lies[] = {EHLO "PLAIN", "334 bW9yZQ==", "235 yes", NULL};
	char password[1001];
	struct result r;

	(void)state;
	memset(password, 'x', sizeof(password) - 1);
	password[sizeof(password) - 1] = '\0';
	login(&r, lines, password, LONG_MS);
	assert_int_equal(r.verdict, V_OK);
	assert_non_null(strstr(buf_cstr(&r.heard), "\r\nAUTH PLAIN\r\nAGFsaWNl"));
	assert_non_null(strstr(buf_cstr(&r.trace), "C: AUTH PLAIN\n"));
	assert_non_null(strstr(buf_cstr(&r.trace), "C: ***\n"));
	result_clear(&r);

	login(&r, lies, password, LONG_MS);
	assert_int_equal(r.verdict, V_TEMP);
	assert_null(strstr(buf_cstr(&r.heard), "eHh4")); /* xxx */
	result_clear(&r);
}

static void
test_deadline(void **state)
{
	static const char *const silent[] = {"@hang", NULL}, *const slow[] = {"@slow", NULL},
				 *const late[] = {EHLO "PLAIN", "@hang", NULL};
	const char *const *const all[] = {silent, slow, late};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		int64_t start = stream_clock_ms();
		struct result r;

		login(&r, all[i], "secret", SHORT_MS);
		assert_int_equal(r.verdict, V_TEMP);
		assert_string_equal(r.login.why, "read: no answer in time");
		assert_true(stream_clock_ms() - start < 5000);
		result_clear(&r);
	}
}

static int
set_up(void **state)
{
	char err[200];

	(void)state;
	return sasl_login_open(err, sizeof(err));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_yes),
	    cmocka_unit_test(test_echo),
	    cmocka_unit_test(test_cases),
	    cmocka_unit_test(test_long_password),
	    cmocka_unit_test(test_deadline),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("smtp_login", tests, set_up, NULL);
}
