/* SPDX-License-Identifier: ISC */
/*
 * Whole logins as a front sees them (P3, S14, S17, S18, A1, RFC 7628): messages in, replies,
 * audit records and their times out; with the real configuration, policy, SASL
 * library, backends and workers.
 */
#include "authbackends/auth_report.h"
#include "authbackends/auth_sasl.h"
#include "authbackends/auth_session.h"
#include "authbackends/auth_setup.h"
#include "base/ev.h"
#include "base/list.h"
#include "base/log.h"

#include "conf_test.h"

#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SHA                                                                                        \
	"$6$rounds=1000$abc$"                                                                      \
	"zaWpAwySRl8PX4W2aEMJwxpN82bCKtDZP0RBdOD6W7BQlilBqAsWnAZuS10iUyJZneS8Ob1gxs1BZkqJi1nTi."
#define DELAY_MS 60

static char dir[] = "/tmp/submitd-test-XXXXXX";
static struct conf *conf;
static struct ipc_peer *front, *ledger;
static int front_fd, ledger_fd; /* our ends */
static uint64_t last_sid;

/* ---- the front's end of the socket ----------------------------------------------------------- */

static struct {
	bool there;
	struct ipc_auth_res m;
	uint8_t frame[4096];
	int64_t ms;
} answer;
static struct buf records; /* all that the ledger was sent */

static void
on_front(int fd, short what, void *arg)
{
	ssize_t n = read(fd, answer.frame, sizeof(answer.frame));
	struct ipc_in in = {.type = IPC_AUTH_RES, .fd = -1};

	(void)what;
	(void)arg;
	assert_true(n > (ssize_t)IPC_HEADER);
	in.body = answer.frame + IPC_HEADER;
	in.len = (size_t)n - IPC_HEADER;
	assert_int_equal(ipc_decode_auth_res(&in, &answer.m), 0);
	assert_int_equal(answer.m.sid, last_sid);
	answer.there = true;
	answer.ms = auth_clock_ms();
	ev_stop();
}

static void
read_records(void)
{
	uint8_t part[4096];
	ssize_t n;

	ipc_flush_all();
	while ((n = recv(ledger_fd, part, sizeof(part), MSG_DONTWAIT)) > 0)
		buf_add(&records, part, (size_t)n);
}

/* The last AUDIT_AUTH; spans live until the next record comes. */
static struct ipc_audit_auth
last_record(void)
{
	struct ipc_audit_auth m;
	const uint8_t *p;
	size_t left, len;
	struct ipc_in in = {.type = IPC_AUDIT_AUTH, .fd = -1};

	read_records();
	memset(&m, 0, sizeof(m));
	p = buf_data(&records);
	for (left = buf_len(&records); left >= IPC_HEADER; left -= len, p += len) {
		len = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16;
		assert_in_range(len, IPC_HEADER, left);
		in.body = p + IPC_HEADER;
		in.len = len - IPC_HEADER;
		assert_int_equal(ipc_decode_audit_auth(&in, &m), 0);
	}
	return m;
}

static void
give_up(void *arg)
{
	(void)arg;
	ev_stop();
}

/* Runs the loop until the answer is there, or 2 s. */
static void
wait_answer(void)
{
	struct ev_timer t = {0};

	ev_timer_set(&t, 2000, give_up, NULL);
	ev_restart();
	ev_run();
	ev_timer_clear(&t);
	assert_true(answer.there);
}

static void
begin(const char *listener, bool tls, const char *client, const char *mech,
    const struct span *initial)
{
	struct ipc_auth_start m = {.sid = ++last_sid,
	    .listener = span_of(listener),
	    .helo = span_of("client.example"),
	    .tls = tls,
	    .tls_version = span_of(tls ? "TLSv1.3" : ""),
	    .mech = span_of(mech)};

	assert_int_equal(net_addr_parse_ip(span_of(client), &m.client), 0);
	if (initial != NULL) {
		m.has_initial = 1;
		m.initial = *initial;
	}
	answer.there = false;
	assert_int_equal(auth_session_start(conf, front, &m), 0);
}

/* A whole PLAIN login; gives the milliseconds it took. */
static int64_t
plain(const char *listener, const char *client, const char *name, const char *password)
{
	struct buf b = BUF_INIT;
	struct span s;
	int64_t began = auth_clock_ms();

	buf_add_byte(&b, 0);
	buf_add_str(&b, name);
	buf_add_byte(&b, 0);
	buf_add_str(&b, password);
	s = buf_span(&b);
	begin(listener, true, client, "PLAIN", &s);
	buf_clear(&b);
	wait_answer();
	assert_int_equal(answer.m.more, 0);
	return answer.ms - began;
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
	    {"alice", "y", "192.0.2.1", 535, "", "internal", "wrong password"},
	    {"dora", "plain", "192.0.2.1", 235, "dora@example.com", "files", ""},
	    {"dora", "plai", "192.0.2.1", 535, "", "files", "wrong password"},
	    {"nobody", "x", "192.0.2.1", 535, "", "", "unknown user"},
	    /* S17: known here, so the file is never asked */
	    {"both@example.com", "infile", "192.0.2.1", 535, "", "internal", "wrong password"},
	    /* S18 */
	    {"off@example.com", "x", "192.0.2.1", 535, "", "internal", "smtp_auth"},
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

/* S14, S15: a refused name contacts no backend. */
static void
test_no_backend(void **state)
{
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

/* ---- tokens -----------------------------------------------------------------------------------
 */

/* A token says whose it is: its own text is the local part. */
static enum verdict
token_check(void *self, struct auth_check *c)
{
	(void)self;
	if (c->cred != CRED_TOKEN)
		return V_TEMP;
	if (strcmp(c->password.data, "down") == 0)
		return V_TEMP;
	if (strcmp(c->password.data, "bad") == 0)
		return V_PERM;
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
	    {"OAUTHBEARER", "n,,", "bad", 535, "", "unknown user"},
	    {"OAUTHBEARER", "n,a=alice,", "bad", 535, "", "unknown user"},
	    {"XOAUTH2", "user=alice", "bad", 535, "", "unknown user"},
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

/* ---- set-up ---------------------------------------------------------------------------------- */

static void
write_file(const char *name, const char *text)
{
	char path[100];
	FILE *f;

	(void)str_printf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int
setup(void **state)
{
	static const struct ipc_handler handlers[] = {{IPC_NONE, NULL}};
	static const struct ipc_role_ops ops = {.handlers = handlers};
	static struct ev_watch watch;
	struct buf b = BUF_INIT;
	char err[400] = "";
	int f[2], l[2];

	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	write_file("hash", SHA "\n");
	write_file("users", "dora plain\nboth@example.com infile\nceo@example.com boss\n");
	buf_addf(&b,
	    "server { hostname = \"mail.example.com\" }\n"
	    "log { level = error }\n"
	    "audit { file = \"%s/audit\" }\n"
	    "tls \"t\" { certificate = \"/c\" key = \"/k\" }\n"
	    "backend \"files\" { type = file path = \"%s/users\" allow_plain = true }\n"
	    "auth_flow \"people\" { chain = {\"internal\", \"files\"} fail_delay = \"%dms\" }\n"
	    "ou \"hq\" { domains = {\"example.com\"} auth_user_mode = deny"
	    " auth_user_filter = {\"ceo@*\"} }\n",
	    dir, dir, DELAY_MS);
	static const char *const users[][2] = {{"alice", "smtp_auth = matching_sender"},
	    {"both", "smtp_auth = matching_sender"}, {"off", ""},
	    {"netted", "smtp_auth = matching_sender clients = {\"10.0.0.0/8\"}"}};
	for (size_t i = 0; i < ARRAY_LEN(users); i++)
		buf_addf(&b, "user \"%s@example.com\" { secret = \"file:%s/hash\" %s }\n",
		    users[i][0], dir, users[i][1]);
	buf_add_str(&b,
	    "listener \"clear\" { bind = {\"127.0.0.1:0\"} tls = off auth = on auth_flow = "
	    "\"people\""
	    " default_domain = \"example.com\" relay_ou = {\"hq\"} }\n"
	    "listener \"enc\" { bind = {\"127.0.0.1:0\"} tls = starttls tls_profile = {\"t\"}"
	    " auth_flow = \"people\" default_domain = \"example.com\" }\n"
	    "listener \"off\" { bind = {\"127.0.0.1:0\"} tls = off role = relay auth = off }\n"
	    "domain \"example.com\" { transport = \"out\" }\n"
	    "domain \"any\" { transport = \"out\" }\n"
	    "transport \"out\" { method = static hosts = {\"127.0.0.1:2525\"} }\n");
	conf = conf_test_good(buf_cstr(&b));
	buf_clear(&b);
	struct log_options quiet = {.level = LOG_LEVEL_ERROR};
	static const char *const target[] = {"stderr"};
	quiet.targets = target;
	quiet.n_targets = 1;
	(void)log_open(&quiet, err, sizeof(err));
	auth_report_init();
	if (auth_sasl_open("mail.example.com", err, sizeof(err)) == -1 ||
	    auth_setup_open(conf, err, sizeof(err)) == -1) {
		print_error("%s\n", err);
		return -1;
	}
	if (ev_init() == -1)
		return -1;
	auth_setup_start();
	ipc_init(ROLE_AUTH, &ops);
	if (net_socketpair(f) == -1 || net_socketpair(l) == -1)
		return -1;
	front_fd = f[1];
	ledger_fd = l[1];
	front = ipc_peer_new(f[0], ROLE_FRONT, 0, 1);
	ledger = ipc_peer_new(l[0], ROLE_LEDGER, 0, 1);
	ev_watch_set(&watch, front_fd, EV_READ | EV_PERSIST, on_front, NULL);
	return 0;
}

static int
teardown(void **state)
{
	static const char *const files[] = {"hash", "users"};
	char path[100];
	size_t i;

	(void)state;
	auth_session_peer_down(front);
	ipc_peer_close(front);
	ipc_peer_close(ledger);
	close(front_fd);
	close(ledger_fd);
	auth_setup_close();
	auth_sasl_done();
	ev_restart();
	ev_stop();
	ev_run();
	ev_done();
	conf_free(conf);
	buf_clear(&records);
	for (i = 0; i < ARRAY_LEN(files); i++) {
		(void)str_printf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	return rmdir(dir);
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
	    cmocka_unit_test(test_tokens),
	    cmocka_unit_test(test_timing),
	    cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
