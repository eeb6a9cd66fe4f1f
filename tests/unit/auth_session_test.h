/* SPDX-License-Identifier: ISC */
#ifndef AUTH_SESSION_TEST_H
#define AUTH_SESSION_TEST_H

/*
 * Logins as a front sees them, for the tests of sessions: messages in, replies, audit
 * records and their times out; with the real configuration, policy, SASL library,
 * backends and workers.
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
#define SCRAM_SALT "W22ZaJ0SNY7soEsUEjb6gQ=="
#define SCRAM                                                                                      \
	"SCRAM-SHA-256$4096:" SCRAM_SALT "$NPykTmxhvQ4QydY34wnid8tcnX02Uktf4GdWbwjc/ek=:"          \
	"g6cZ2zK7Tpo5G+CkYlHdz2+Dr5MuBzOBweZ2KXlXybI="
/* both of the password "x" */
#define CERT_A "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define CERT_B                                                                                     \
	"AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:AA:"  \
	"AA:AA:AA"
#define DELAY_MS 60

static char dir[] = "/tmp/submitd-test-XXXXXX";
static struct conf *conf;
static struct ipc_peer *front, *ledger;
static int front_fd, ledger_fd; /* our ends */
static uint64_t last_sid;

/* Finer than auth_clock_ms(): a no must not come a part of a millisecond early. */
static int64_t
clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- the front's end of the socket ----------------------------------------------------------- */

static struct {
	bool there;
	struct ipc_auth_res m;
	uint8_t frame[4096];
	int64_t us; /* when it came */
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
	answer.us = clock_us();
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

/* Of the certificate that the next client shows. */
static struct span cert_sha256, cert_emails;

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
	m.cert_sha256 = cert_sha256;
	m.cert_emails = cert_emails;
	answer.there = false;
	assert_int_equal(auth_session_start(conf, front, &m), 0);
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
	write_file("keys", SCRAM "\n");
	write_file("users", "dora plain\nboth@example.com infile\nceo@example.com boss\n"
			    "sara@example.com " SCRAM "\nboss:" SCRAM "\nlost !" SCRAM "\n"
			    "infile@example.com infile\ngone@example.com gone\n");
	buf_addf(&b,
	    "server { hostname = \"mail.example.com\" }\n"
	    "log { level = error }\n"
	    "audit { file = \"%s/audit\" }\n"
	    "tls \"t\" { certificate = \"/c\" key = \"/k\" }\n"
	    "backend \"files\" { type = file path = \"%s/users\" allow_plain = true }\n"
	    "auth_flow \"people\" { chain = {\"internal\", \"files\"} }\n"
	    "auth_guard { fail_delay = \"%dms\" exempt = {\"0.0.0.0/0\", \"::/0\"} }\n"
	    "ou \"hq\" { domains = {\"example.com\"} auth_user_mode = deny"
	    " auth_user_filter = {\"ceo@*\"} }\n",
	    dir, dir, DELAY_MS);
	static const char *const users[][2] = {
	    {"alice", "smtp_auth = matching_sender client_cert_sha256 = {\"" CERT_A "\"}"},
	    {"both", "smtp_auth = matching_sender"}, {"off", ""},
	    {"j\xc3\xb6rg", "smtp_auth = matching_sender"},
	    {"netted", "smtp_auth = matching_sender clients = {\"10.0.0.0/8\"}"
		       " client_cert_sha256 = {\"" CERT_B "\"}"}};
	for (size_t i = 0; i < ARRAY_LEN(users); i++)
		buf_addf(&b, "user \"%s@example.com\" { secret = \"file:%s/hash\" %s }\n",
		    users[i][0], dir, users[i][1]);
	buf_addf(&b,
	    "user \"scott@example.com\" { secret = \"file:%s/keys\" smtp_auth = matching_sender "
	    "}\n",
	    dir);
	buf_add_str(&b, "user \"infile@example.com\" { smtp_auth = matching_sender }\n"
			"user \"gone@example.com\" { }\n");
	buf_add_str(&b,
	    "listener \"clear\" { bind = {\"127.0.0.1:0\"} tls = off auth = on auth_flow = "
	    "\"people\""
	    " default_domain = \"example.com\" relay_ou = {\"hq\"} }\n"
	    "listener \"enc\" { bind = {\"127.0.0.1:0\"} tls = starttls tls_profile = {\"t\"}"
	    " auth_flow = \"people\" default_domain = \"example.com\" }\n"
	    "listener \"filtered\" { like = \"clear\" bind = {\"127.0.0.1:0\"}\n"
	    " auth_ip_mode = deny auth_ip_filter = {\"198.51.100.*\"}\n"
	    " auth_user_mode = deny auth_user_filter = {\"bob@*\", '/^(a+)+$/'} }\n"
	    "listener \"off\" { bind = {\"127.0.0.1:0\"} tls = off role = relay auth = off }\n"
	    "domain \"example.com\" { transport = \"out\" }\n"
	    "domain_alias \"alias.example\" { parent = \"example.com\" }\n"
	    "domain \"any\" { transport = \"out\" }\n"
	    "transport \"out\" { method = static hosts = {\"127.0.0.1:2525\"} }\n");
	conf = conf_test_good(buf_cstr(&b));
	buf_clear(&b);
	struct log_options quiet = {.level = LOG_LEVEL_ERROR};
	static const char *const target[] = {"stderr"};
	quiet.targets = target;
	quiet.n_targets = 1;
	(void)log_open(&quiet, err, sizeof(err));
	if (auth_report_init(conf, err, sizeof(err)) == -1 ||
	    auth_sasl_open("mail.example.com", err, sizeof(err)) == -1 ||
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
	static const char *const files[] = {"hash", "keys", "users", "audit.names"};
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

#endif
