/* SPDX-License-Identifier: ISC */
/*
 * Whole logins as a front sees them (P3, S14, S17, S18, A1): verdicts, replies, records
 * and times.
 */
#include "auth_session_test.h"

#include "ipc/audit_outbox.h"

/* A whole PLAIN login; gives the whole milliseconds it took. */
static int64_t
plain(const char *listener, const char *client, const char *name, const char *password)
{
	struct buf b = BUF_INIT;
	struct span s;
	int64_t began_us = clock_us();

	buf_add_byte(&b, 0);
	buf_add_str(&b, name);
	buf_add_byte(&b, 0);
	buf_add_str(&b, password);
	s = buf_span(&b);
	begin(listener, true, client, "PLAIN", &s);
	buf_clear(&b);
	wait_answer();
	assert_int_equal(answer.m.more, 0);
	return (answer.us - began_us) / 1000;
}

/* ---- what is tested -------------------------------------------------------------------------- */

static void
test_logins(void **state)
{
	static const struct {
		const char *name, *password, *client;
		unsigned code;
		const char *principal, *backend, *reason; /* parts of the record */
	} cases[] = {
	    {"alice@example.com", "x", "192.0.2.1", 235, "alice@example.com", "internal", ""},
	    {"ALICE@Example.com", "x", "192.0.2.1", 235, "alice@example.com", "internal", ""},
	    {"alice", "x", "192.0.2.1", 235, "alice@example.com", "internal",
		""}, /* default_domain */
	    {"alice@alias.example", "x", "192.0.2.1", 235, "alice@example.com", "internal", ""},
	    {"off@alias.example", "x", "192.0.2.1", 535, "", "", "rule S18"},
	    {"alice", "y", "192.0.2.1", 535, "", "internal", "wrong password"},
	    {"dora", "plain", "192.0.2.1", 235, "dora@example.com", "files", ""},
	    {"dora", "plai", "192.0.2.1", 535, "", "files", "wrong password"},
	    {"nobody", "x", "192.0.2.1", 535, "", "", "unknown user"},
	    /* S17: known here, so the file is never asked */
	    {"both@example.com", "infile", "192.0.2.1", 535, "", "internal", "wrong password"},
	    /* S18 */
	    {"off@example.com", "x", "192.0.2.1", 535, "", "", "rule S18 user_smtp_auth"},
	    {"infile@example.com", "infile", "192.0.2.1", 235, "infile@example.com", "files", ""},
	    /* another backend has his password: he is out all the same */
	    {"gone@example.com", "gone", "192.0.2.1", 535, "", "", "rule S18 user_smtp_auth"},
	    {"netted@example.com", "x", "10.1.2.3", 235, "netted@example.com", "internal", ""},
	    {"netted@example.com", "x", "192.0.2.1", 535, "", "", "client"},
	    /* S14 */
	    {"ceo@example.com", "boss", "192.0.2.1", 535, "", "", "rule S14"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t ms = plain("clear", cases[i].client, cases[i].name, cases[i].password);
		struct ipc_audit_auth r = last_record();

		if (answer.m.code != cases[i].code ||
		    !span_eq(answer.m.principal, cases[i].principal) ||
		    !span_eq(r.principal, cases[i].principal))
			fail_msg("%s: %d %.*s (%.*s), %.*s", cases[i].name, answer.m.code,
			    (int)answer.m.text.n, answer.m.text.p, (int)answer.m.principal.n,
			    answer.m.principal.p, (int)r.reason.n, r.reason.p);
		assert_true(span_eq(answer.m.esc, cases[i].code == 235 ? "2.7.0" : "5.7.8"));
		if (cases[i].code == 535) {
			/* nothing tells one no from another */
			assert_true(span_eq(answer.m.text, "user name or password is wrong"));
			assert_int_equal(answer.m.login.n + answer.m.backend.n, 0);
			assert_true(ms >= DELAY_MS);
		} else {
			assert_true(span_eq(answer.m.backend, cases[i].backend));
			assert_true(span_eq(answer.m.ou, "hq"));
			assert_true(span_eq(answer.m.login, cases[i].name));
		}
		if (cases[i].backend[0] != '\0')
			assert_true(span_eq(r.backend, cases[i].backend));
		char reason[200];
		(void)str_copy_span(reason, sizeof(reason), r.reason);
		if (strstr(reason, cases[i].reason) == NULL)
			fail_msg("%s: reason %s", cases[i].name, reason);
	}
	assert_int_equal(auth_session_stats()->open, 0);
}

/* S3, S5, S14, S15: a refused name or address contacts no backend. */
static void
test_no_backend(void **state)
{
	static const struct {
		const char *client, *name;
		unsigned code;
		const char *esc, *reason;
	} cases[] = {
	    {"192.0.2.1", "bob", 535, "5.7.8", "rule S5 auth_user"},
	    {"198.51.100.1", "alice", 503, "5.5.1", "rule S3 auth_ip"},
	    {"192.0.2.1", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", 454, "4.7.0",
		"rule S5 auth_user"},
	};
	struct auth_source *s;
	uint64_t before = 0, after = 0;
	size_t n, i;

	(void)state;
	s = auth_setup_sources(&n);
	assert_int_equal(n, 2);
	for (i = 0; i < n; i++)
		before += s[i].asked;
	plain("clear", "192.0.2.1", "ceo@example.com", "boss");
	plain("clear", "192.0.2.1", "nob\xff", "boss");
	plain("clear", "192.0.2.1", "nobody", " boss");
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t ms = plain("filtered", cases[i].client, cases[i].name, "x");
		struct ipc_audit_auth r = last_record();

		if (answer.m.code != cases[i].code || !span_eq(answer.m.esc, cases[i].esc))
			fail_msg("%s: %u %.*s", cases[i].name, answer.m.code, (int)answer.m.text.n,
			    answer.m.text.p);
		assert_true(span_eq(r.reason, cases[i].reason));
		assert_true(cases[i].code == 503 || ms >= DELAY_MS);
	}
	for (i = 0; i < n; i++)
		after += s[i].asked;
	assert_int_equal(before, after);
}

/* A1: people type passwords into the name field. */
static void
test_hidden_names(void **state)
{
	static const struct {
		const char *name;
		bool shown;
	} cases[] = {
	    {"hunter2", false}, {"hunter2@elsewhere.example", false},
	    {"typo@example.com", true}, /* our domain */
	    {"dora", true},             /* a backend knows it */
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		plain("clear", "192.0.2.1", cases[i].name, "no-such-password");
		struct ipc_audit_auth r = last_record();
		assert_int_equal(r.name_known != 0, cases[i].shown);
		assert_int_equal(span_eq(r.login, cases[i].name), cases[i].shown);
	}
	assert_null(memmem(buf_data(&records), buf_len(&records), "hunter2", 7));
	assert_null(memmem(buf_data(&records), buf_len(&records), "no-such-password", 16));
}

static void
test_protocol(void **state)
{
	static const struct span bad = {"no nul", 6}, good = {"\0alice\0x", 8}, empty = {"", 0};
	struct ipc_auth_start again = {.listener = span_of("clear"), .mech = span_of("PLAIN")};
	struct ipc_auth_step step;

	(void)state;
	begin("clear", false, "192.0.2.1", "PLAIN", &bad);
	wait_answer();
	assert_int_equal(answer.m.code, 501);
	begin("clear", false, "192.0.2.1", "CRAM-MD5", NULL);
	wait_answer();
	assert_int_equal(answer.m.code, 504);
	begin("enc", false, "192.0.2.1", "PLAIN", &good); /* S1: no TLS yet */
	wait_answer();
	assert_int_equal(answer.m.code, 538);
	begin("enc", true, "192.0.2.1", "PLAIN", &good);
	wait_answer();
	assert_int_equal(answer.m.code, 235);
	begin("off", true, "192.0.2.1", "PLAIN", &good);
	wait_answer();
	assert_int_equal(answer.m.code, 503);

	/* LOGIN, in three steps */
	begin("clear", true, "192.0.2.1", "LOGIN", &empty);
	wait_answer();
	assert_int_equal(answer.m.more, 1);
	again.sid = last_sid;
	assert_int_equal(auth_session_start(conf, front, &again), -1); /* the sid is taken */
	step = (struct ipc_auth_step){.sid = last_sid, .response = span_of("alice")};
	answer.there = false;
	assert_int_equal(auth_session_step(front, &step), 0);
	wait_answer();
	assert_int_equal(answer.m.more, 1);
	step.response = span_of("x");
	answer.there = false;
	assert_int_equal(auth_session_step(front, &step), 0);
	wait_answer();
	assert_int_equal(answer.m.code, 235);

	/* begun with a process that is gone */
	step.sid = ++last_sid;
	answer.there = false;
	assert_int_equal(auth_session_step(front, &step), 0);
	wait_answer();
	assert_int_equal(answer.m.code, 454);

	again.listener = span_of("none");
	assert_int_equal(auth_session_start(conf, front, &again), -1);
	assert_int_equal(auth_session_stats()->open, 0);
}

/* A client that goes away is recorded all the same, and its sid is free at once. */
static void
test_cancel(void **state)
{
	static const struct span wrong = {"\0alice\0y", 8}, good = {"\0alice\0x", 8};
	struct ipc_auth_step step = {.response = span_of("x")};

	(void)state;
	begin("clear", true, "192.0.2.1", "PLAIN", &wrong);
	step.sid = last_sid;
	assert_int_equal(auth_session_step(front, &step), -1); /* nothing was asked for */
	assert_int_equal(auth_session_cancel(front, last_sid), 0);
	assert_int_equal(auth_session_cancel(front, last_sid), 0);
	last_sid--;
	begin("clear", true, "192.0.2.1", "PLAIN", &good);
	wait_answer();
	assert_int_equal(answer.m.code, 235);
	while (auth_session_stats()->open > 0) {
		struct ev_timer t = {0};

		ev_timer_set(&t, 5, give_up, NULL);
		ev_restart();
		ev_run();
	}
	/* the other one was recorded too */
	read_records();
	assert_non_null(memmem(buf_data(&records), buf_len(&records), "wrong password", 14));
}

static int
by_value(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* P3: medians of a wrong name and a wrong password are within 2 ms; a busy machine is given more.
 */
static void
test_timing(void **state)
{
	enum { N = 15 };
	int64_t name[N], password[N];
	size_t i;

	(void)state;
	for (i = 0; i < N; i++) {
		password[i] = plain("clear", "192.0.2.1", "alice", "y");
		name[i] = plain("clear", "192.0.2.1", "nobody", "y");
	}
	qsort(name, N, sizeof(name[0]), by_value);
	qsort(password, N, sizeof(password[0]), by_value);
	print_message("# P3: wrong name %lld ms, wrong password %lld ms\n", (long long)name[N / 2],
	    (long long)password[N / 2]);
	assert_in_range(name[N / 2] - password[N / 2] + 20, 0, 40);
}

static void
test_speed(void **state)
{
	static const char *const names[] = {"dora", "alice"}, *const passwords[] = {"plain", "x"};
	enum { ROUNDS = 2000 };
	struct secret x = {NULL, 0};
	struct timespec a, b;
	double us[3];
	size_t k;
	int i;

	(void)state;
	secret_set(&x, "x", 1);
	for (k = 0; k < 3; k++) {
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
		for (i = 0; i < ROUNDS; i++)
			if (k == 2)
				assert_true(passwd_hash_verify(SHA, &x));
			else
				plain("clear", "192.0.2.1", names[k], passwords[k]);
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
		us[k] = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) /
		        ROUNDS / 1e3;
		read_records();
		buf_reset(&records);
	}
	secret_clear(&x);
	print_message("# a PLAIN login, one at a time, test's share included: clear text %.1f us "
		      "CPU; sha512 on a worker %.1f us + the hash's own %.1f us\n",
	    us[0], us[1] - us[2], us[2]);
}

/* A1, on_full: beyond what can be kept there is no login without its record; later there is. */
static void
test_record_full(void **state)
{
	static const struct audit_outbox_options small = {.max_bytes = 7000, .window_bytes = 100};
	struct audit_outbox_stats s;
	struct ipc_audit_ack ack = {.n = 100};
	struct buf b = BUF_INIT;
	unsigned accepted = 0;

	(void)state;
	audit_outbox_reset();
	audit_outbox_init(&small);
	for (int i = 0; i < 30 && answer.m.code != 454; i++) {
		(void)plain("clear", "192.0.2.1", "alice", "x");
		accepted += answer.m.code == 235;
	}
	assert_int_equal(answer.m.code, 454);
	assert_in_range(accepted, 1, 15);
	audit_outbox_stats(&s);
	assert_int_equal(s.records, accepted); /* each of them has its record */
	assert_int_equal(s.lost, 1);           /* the attempt that was turned away */
	ack.src = audit_outbox_src();
	ipc_encode_audit_ack(&b, &ack);
	struct ipc_in in = {IPC_AUDIT_ACK, buf_data(&b), buf_len(&b), -1};
	assert_int_equal(audit_outbox_on_ack(ledger, &in), 0);
	(void)plain("clear", "192.0.2.1", "alice", "x");
	assert_int_equal(answer.m.code, 235);
	audit_outbox_reset();
	buf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_logins),
	    cmocka_unit_test(test_no_backend),
	    cmocka_unit_test(test_hidden_names),
	    cmocka_unit_test(test_protocol),
	    cmocka_unit_test(test_cancel),
	    cmocka_unit_test(test_timing),
	    cmocka_unit_test(test_speed),
	    cmocka_unit_test(test_record_full),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
