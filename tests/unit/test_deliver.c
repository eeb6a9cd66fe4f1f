/* SPDX-License-Identifier: ISC */
/*
 * The whole deliver role in a child process, with this process as the queue and as its next hops
 * (on loopback, ports of the kernel's choice). S59, S77 (next host), S78 (reuse), D1, and what
 * becomes of each recipient when hosts refuse, break or stall. Waits for results, never for a time.
 */
#include "conf_test.h"
#include "fake_dns.h"

#include "base/ev.h"
#include "base/io.h"
#include "base/list.h"
#include "base/log.h"
#include "ipc/ipc.h"
#include "mail/job.h"
#include "proc.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define S_OFF 1u        /* nobody listens */
#define S_421 2u        /* greeting */
#define S_PLAIN 4u      /* no PIPELINING */
#define S_DROP_MAIL 8u  /* closes at MAIL */
#define S_STALE 16u     /* closes at the second MAIL of a session */
#define S_BADTLS 32u    /* offers STARTTLS, then talks rubbish */
#define S_STALL 64u     /* never greets */
#define S_DROP_END 128u /* closes after the message, without a word */
#define S_NO8BIT 256u

#define HOPS 2u
#define JOBS_MAX 40u

static const struct deliver_case {
	const char *name, *transport; /* further options; of a lookup-mx: its zone */
	unsigned hops[HOPS];
	unsigned jobs;
	size_t size; /* of the body */
	bool by_fd;
	const char *rcpts; /* local parts; the server answers as their first three digits say */
	const char *want;  /* of every job: dest_result, then verdict/code of each recipient */
	unsigned messages[HOPS], sessions[HOPS]; /* sessions 0: not compared */
	const char *dest;
} cases[] = {
    {"one message", "", {0, S_OFF}, 1, 10000, false, "a", "0 ok/250", {1, 0}, {1, 0}, NULL},
    {"many messages over one connection (S78)", "per_domain = 1", {0, S_OFF}, 40, 3000, false, "a",
	"0 ok/250", {40, 0}, {1, 0}, NULL},
    {"one by one", "", {S_PLAIN, S_OFF}, 3, 3000, false, "a 550x b", "0 ok/250 perm/550 ok/250",
	{3, 0}, {0, 0}, NULL},
    {"mixed answers", "", {0, S_OFF}, 1, 100, false, "a 550x 450y b",
	"0 ok/250 perm/550 temp/450 ok/250", {1, 0}, {1, 0}, NULL},
    {"all refused, then the next", "per_domain = 1", {0, S_OFF}, 3, 100, false, "550x",
	"0 perm/550", {0, 0}, {1, 0}, NULL},
    {"large, from a file", "", {0, S_OFF}, 2, 3000000, true, "a", "0 ok/250", {2, 0}, {0, 0}, NULL},
    {"next host when the first is off (S77)", "", {S_OFF, 0}, 3, 100, false, "a", "0 ok/250",
	{0, 3}, {0, 0}, NULL},
    {"next host after 421 (S77)", "", {S_421, 0}, 1, 100, false, "a", "0 ok/250", {0, 1}, {1, 1},
	NULL},
    {"next host when the first breaks at MAIL", "", {S_DROP_MAIL, 0}, 1, 100, false, "a",
	"0 ok/250", {0, 1}, {1, 1}, NULL},
    {"no host", "", {S_OFF, S_OFF}, 3, 100, false, "a b", "1 temp/0 temp/0", {0, 0}, {0, 0}, NULL},
    {"all hosts refuse the session", "", {S_421, S_421}, 2, 100, false, "a", "1 temp/421", {0, 0},
	{0, 0}, NULL},
    {"an old session ends at MAIL", "per_domain = 1", {S_STALE, S_OFF}, 5, 100, false, "a",
	"0 ok/250", {5, 0}, {5, 0}, NULL},
    {"a handshake that fails: in clear (RFC 7435)", "tls = opportunistic", {S_BADTLS, S_OFF}, 2,
	100, false, "a", "0 ok/250", {2, 0}, {0, 0}, NULL},
    {"TLS required, handshake fails (S65)", "tls = require", {S_BADTLS, S_OFF}, 1, 100, false, "a",
	"1 temp/0", {0, 0}, {0, 0}, NULL},
    {"TLS required, not offered (S65)", "tls = require", {0, 0}, 1, 100, false, "a", "1 temp/0",
	{0, 0}, {1, 1}, NULL},
    {"silent host", "timeout = \"1s\"", {S_STALL, 0}, 1, 100, false, "a", "0 ok/250", {0, 1},
	{1, 1}, NULL},
    {"lost after the end", "", {S_DROP_END, 0}, 1, 100, false, "a", "0 temp/0", {1, 0}, {1, 0},
	NULL},
    {"8-bit text, no 8BITMIME", "", {S_NO8BIT, 0}, 2, 100, false, "a", "0 perm/550", {0, 0}, {0, 0},
	NULL},
    {"lookup-mx, the best exchanger is off", "", {0, S_OFF}, 3, 100, false, "a", "0 ok/250", {3, 0},
	{0, 0}, "b.net"},
    {"no MX: the domain itself", "", {0, S_OFF}, 1, 100, false, "a", "0 ok/250", {1, 0}, {1, 0},
	"plain.net"},
    {"alias of a domain", "", {0, S_OFF}, 1, 100, false, "a", "0 ok/250", {1, 0}, {1, 0},
	"alias.net"},
    {"address literal", "", {0, S_OFF}, 1, 100, false, "a", "0 ok/250", {1, 0}, {1, 0},
	"[127.0.0.1]"},
    {"null MX", "", {0, S_OFF}, 1, 100, false, "a b", "0 perm/556 perm/556", {0, 0}, {0, 0},
	"null.net"},
    {"no such domain", "", {0, S_OFF}, 2, 100, false, "a", "0 perm/0", {0, 0}, {0, 0}, "gone.net"},
    {"name server fails", "", {0, S_OFF}, 2, 100, false, "a", "1 temp/0", {0, 0}, {0, 0},
	"fail.net"},
    {"zone (S60)", "zone=b.net;", {0, S_OFF}, 1, 100, false, "a", "0 ok/250", {1, 0}, {1, 0},
	"x.org"},
};

struct hop {
	unsigned behaviour, messages, sessions;
	int fd;
	uint16_t port;
	struct ev_watch watch;
};
struct hop_session {
	struct hop *hop;
	struct io *io;
	bool in_data;
	unsigned mails, accepted;
	struct buf data;
};

static struct hop hops[HOPS];
static const struct deliver_case *now;
static unsigned n_results, n_open; /* n_open: sessions and the peer */
static pid_t pid;
static struct buf results, body;
static struct ev_timer limit;

static void
stop(void *arg)
{
	(void)arg;
	ev_stop();
}

/* The child is gone and all its connections too: what they hold is freed in the next turns. */
static void
one_less(void)
{
	if (--n_open == 0)
		ev_timer_set(&limit, 30, stop, NULL);
}

/* ---- next hop -------------------------------------------------------------------------------- */

static void
session_close(struct hop_session *s)
{
	io_finish(s->io);
	buf_clear(&s->data);
	ev_free_later(s, free);
	one_less();
}

static void
take_message(struct hop_session *s)
{
	struct buf want = BUF_INIT;
	/* the body is lines of ".x" with CRLF: each dot arrives doubled */
	for (size_t i = 0; i < buf_len(&body); i++) {
		if (buf_data(&body)[i] == '.')
			buf_add_byte(&want, '.');
		buf_add_byte(&want, buf_data(&body)[i]);
	}
	buf_add_str(&want, ".\r\n");
	assert_int_equal(buf_len(&want), buf_len(&s->data));
	assert_memory_equal(buf_data(&want), buf_data(&s->data), buf_len(&want));
	buf_clear(&want);
	buf_reset(&s->data);
	s->in_data = false;
	s->hop->messages++;
}

/* False: the session was closed. */
static bool
command(struct hop_session *s, struct span line)
{
	unsigned b = s->hop->behaviour;
	const char *reply = "250 2.0.0 ok\r\n";
	char text[64];

	if (span_starts_nocase(line, "EHLO")) {
		str_printf(text, sizeof(text), "250-hop\r\n%s%s%s250 DSN\r\n",
		    (b & S_PLAIN) ? "" : "250-PIPELINING\r\n",
		    (b & S_BADTLS) ? "250-STARTTLS\r\n" : "",
		    (b & S_NO8BIT) ? "" : "250-8BITMIME\r\n");
		reply = text;
	} else if (span_starts_nocase(line, "STARTTLS")) {
		reply = "220 go\r\nrubbish";
		io_write(s->io, reply, 8);
		reply = "";
	} else if (span_starts_nocase(line, "MAIL")) {
		s->accepted = 0;
		s->mails++;
		if ((b & S_DROP_MAIL) || ((b & S_STALE) && s->mails == 2)) {
			session_close(s);
			return false;
		}
	} else if (span_starts_nocase(line, "RCPT TO:<4") ||
		   span_starts_nocase(line, "RCPT TO:<5")) {
		str_printf(text, sizeof(text), "%.3s no\r\n", line.p + 9);
		reply = text;
	} else if (span_starts_nocase(line, "RCPT")) {
		s->accepted++;
	} else if (span_starts_nocase(line, "DATA")) {
		s->in_data = s->accepted > 0;
		reply = s->in_data ? "354 go\r\n" : "554 nobody\r\n";
	} else if (span_starts_nocase(line, "QUIT")) {
		io_write(s->io, "221 bye\r\n", 9);
		session_close(s);
		return false;
	} else if (!span_starts_nocase(line, "RSET")) {
		reply = "rubbish\r\n"; /* a TLS hello */
	}
	io_write(s->io, reply, strlen(reply));
	return true;
}

static size_t
hop_on_data(void *arg, const uint8_t *p, size_t n)
{
	struct hop_session *s = arg;
	size_t at = 0;

	while (at < n) {
		const uint8_t *nl = memchr(p + at, '\n', n - at);
		struct span line = {
		    (const char *)p + at, nl == NULL ? 0 : (size_t)(nl - p) - at + 1};

		if (nl == NULL)
			return (s->hop->behaviour & S_BADTLS) != 0 ? n : at;
		at += line.n;
		if (!s->in_data) {
			if (!command(s, line))
				return n;
			continue;
		}
		buf_add_span(&s->data, line);
		if (line.n != 3 || memcmp(line.p, ".\r\n", 3) != 0)
			continue;
		take_message(s);
		if (s->hop->behaviour & S_DROP_END) {
			session_close(s);
			return n;
		}
		io_write(s->io, "250 2.0.0 taken\r\n", 17);
	}
	return at;
}

static void
hop_on_event(void *arg, enum io_event what)
{
	if (what != IO_DRAINED)
		session_close(arg);
}

static const struct io_ops hop_ops = {hop_on_data, hop_on_event};

static void
hop_accept(int fd, short what, void *arg)
{
	struct hop_session *s = xcallocarray(1, sizeof(*s));
	struct net_addr peer;

	(void)what;
	s->hop = arg;
	s->io = io_new(net_accept(fd, &peer), false, &hop_ops, s);
	s->hop->sessions++;
	n_open++;
	if (s->hop->behaviour & S_421)
		io_write(s->io, "421 busy\r\n", 10);
	else if (!(s->hop->behaviour & S_STALL))
		io_write(s->io, "220 hop\r\n", 9);
}

/* ---- queue ----------------------------------------------------------------------------------- */

static int
on_res(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_job_res m;
	struct ipc_job_ack ack;
	struct status st = {0};
	struct rd r;
	uint32_t n;

	assert_int_equal(ipc_decode_job_res(in, &m), 0);
	buf_addf(&results, "%u", m.dest_result);
	rd_init(&r, m.statuses.p, m.statuses.n);
	n = rd_u32(&r);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(rd_u64(&r), m.qid * 100 + i);
		assert_int_equal(status_decode(&r, &st), 0);
		buf_addf(&results, " %s/%u", verdict_name(st.verdict), st.code);
		status_clear(&st);
	}
	assert_true(rd_done(&r));
	buf_add_str(&results, "\n");
	ack.qid = m.qid;
	assert_int_equal(ipc_send_job_ack(p, -1, &ack), 0);
	if (++n_results == now->jobs)
		kill(pid, SIGTERM);
	return 0;
}

static void
peer_down(struct ipc_peer *p)
{
	(void)p;
	one_less();
}

static const struct ipc_handler handlers[] = {{IPC_JOB_RES, on_res}, {IPC_NONE, NULL}};
static const struct ipc_role_ops queue_ops = {handlers, NULL, peer_down};

static void
send_job(struct ipc_peer *p, uint64_t qid)
{
	struct message *m = message_new();
	struct job job = {.qid = qid, .attempt = 1, .msg = m};
	struct span rest = span_of(now->rcpts);
	struct buf head = BUF_INIT;
	int fd = -1;

	uuid_make_v7(&m->mid);
	(void)addr_parse(span_of("s@a.example"), 0, &m->sender);
	m->flags = MSG_8BITMIME;
	while (rest.p != NULL) {
		struct rcpt *r = message_add_rcpt(m);
		char text[60];

		struct span local = span_cut(&rest, ' ');

		str_printf(text, sizeof(text), "%.*s@b.net", (int)local.n, local.p);
		assert_int_equal(addr_parse(span_of(text), 0, &r->addr), ADDR_OK);
		r->id = qid * 100 + m->n_rcpts - 1;
	}
	job_encode(&head, &job);
	struct ipc_job msg = {.qid = qid,
	    .transport = span_of("t"),
	    .dest = span_of(now->dest),
	    .conn_max = strstr(now->transport, "per_domain") != NULL ? 1 : 5,
	    .head_size = (uint32_t)buf_len(&head),
	    .body_size = buf_len(&body),
	    .body_offset = UINT64_MAX,
	    .head = buf_span(&head),
	    .body = buf_span(&body)};
	if (now->by_fd) {
		FILE *f = tmpfile();

		assert_non_null(f);
		fputs("garbage", f);
		fwrite(buf_data(&body), 1, buf_len(&body), f);
		fflush(f);
		fd = dup(fileno(f));
		fclose(f);
		msg.body_offset = 7;
		msg.body = span_of("");
	}
	assert_int_equal(ipc_send_job(p, fd, &msg), 0);
	buf_clear(&head);
	message_free(m);
}

/* ---- the child ------------------------------------------------------------------------------- */

static void
child_drain(void *arg)
{
	(void)arg;
	deliver_role.drain(false);
}

static void
child(int fd, const char *text)
{
	struct conf *conf = conf_test_good(text);
	char err[200] = "";

	static const char *const target = "stderr";

	log_open(&(struct log_options){&target, 1, false, LOG_LEVEL_ERROR}, err, sizeof(err));
	if (deliver_role.prepare(conf, err, sizeof(err)) == -1 || ev_init() == -1)
		_exit(2);
	ev_signal(SIGTERM, child_drain, NULL);
	ipc_init(ROLE_DELIVER, &deliver_role.ipc);
	ipc_peer_new(fd, ROLE_QUEUE, 0, 1);
	if (deliver_role.start(conf, err, sizeof(err)) == -1)
		_exit(2);
	ev_run();
	_exit(3);
}

static void
make_body(size_t size)
{
	buf_reset(&body);
	while (buf_len(&body) < size)
		buf_add_str(&body, ".x\xc3\xa9 is a line that begins with a dot\r\n");
}

static void
start_child(int fds[2])
{
	char text[1500], method[500];

	for (size_t i = 0; i < HOPS; i++) {
		struct net_addr a;

		assert_int_equal(net_addr_parse(span_of("127.0.0.1:0"), &a), 0);
		hops[i] = (struct hop){.behaviour = now->hops[i], .fd = net_listen(&a, 100)};
		assert_int_equal(net_local(hops[i].fd, &a), 0);
		hops[i].port = a.port;
		if (now->hops[i] & S_OFF) {
			close(hops[i].fd);
			hops[i].fd = -1;
		}
	}
	dns_open();
	if (now->dest[0] != '\0')
		str_printf(method, sizeof(method),
		    "method = \"lookup-mx:%squery=127.0.0.1:%u\" port = %u", now->transport,
		    dns_port, hops[0].port);
	else
		str_printf(method, sizeof(method),
		    "method = static hosts = {\"127.0.0.1:%u\", \"127.0.0.1:%u\"} %s", hops[0].port,
		    hops[1].port, now->transport);
	str_printf(text, sizeof(text),
	    "server { hostname = \"us.example\" spool = \"/tmp\" }\n"
	    "listener \"l\" { bind = {\"127.0.0.1:1\"} role = relay tls = off auth = off }\n"
	    "ou \"o\" { domains = {\"b.net\"} }\n"
	    "domain \"b.net\" { ou = \"o\" transport = \"t\" }\n"
	    "transport \"t\" { %s %s idle_timeout = \"5s\" }\n",
	    strstr(now->transport, "tls =") != NULL ? "" : "tls = none", method);
	assert_int_equal(net_socketpair(fds), 0);
	pid = fork();
	assert_true(pid != -1);
	if (pid == 0) {
		close(fds[0]);
		child(fds[1], text);
	}
	close(fds[1]);
}

static void
check(void)
{
	struct span rest = buf_span(&results);

	if (n_results != now->jobs)
		fail_msg("%s: %u of %u results", now->name, n_results, now->jobs);
	for (unsigned i = 0; i < now->jobs; i++) {
		struct span line = span_cut(&rest, '\n');

		if (!span_eq(line, now->want))
			fail_msg(
			    "%s: got %.*s, expected %s", now->name, (int)line.n, line.p, now->want);
	}
	for (size_t i = 0; i < HOPS; i++) {
		if (hops[i].messages != now->messages[i] ||
		    (now->sessions[i] != 0 && hops[i].sessions != now->sessions[i]))
			fail_msg("%s: hop %zu had %u messages in %u sessions", now->name, i,
			    hops[i].messages, hops[i].sessions);
	}
}

static void
run_case(const struct deliver_case *c)
{
	struct ipc_peer *p;
	int fds[2], status;

	struct deliver_case copy = *c;

	if (copy.dest == NULL)
		copy.dest = "";
	now = &copy;
	n_results = 0;
	n_open = 1;
	buf_reset(&results);
	make_body(c->size);
	start_child(fds);
	assert_int_equal(ev_init(), 0);
	ipc_init(ROLE_QUEUE, &queue_ops);
	p = ipc_peer_new(fds[0], ROLE_DELIVER, 0, 1);
	for (size_t i = 0; i < HOPS; i++)
		if (hops[i].fd != -1)
			ev_watch_set(&hops[i].watch, hops[i].fd, EV_READ, hop_accept, &hops[i]);
	memset(&dns_watch, 0, sizeof(dns_watch));
	ev_watch_set(&dns_watch, dns_fd, EV_READ, dns_answer, NULL);
	for (unsigned i = 0; i < c->jobs; i++)
		send_job(p, i + 1);
	memset(&limit, 0, sizeof(limit));
	ev_timer_set(&limit, 20000, stop, NULL);
	ev_run();
	ev_timer_clear(&limit);
	if (n_open != 0)
		kill(pid, SIGKILL); /* too late */
	assert_int_equal(waitpid(pid, &status, 0), pid);
	ev_watch_clear(&dns_watch);
	close(dns_fd);
	for (size_t i = 0; i < HOPS; i++) {
		if (hops[i].fd == -1)
			continue;
		ev_watch_clear(&hops[i].watch);
		close(hops[i].fd);
	}
	ev_done();
	check();
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0); /* drained */
}

static void
test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		run_case(&cases[i]);
	buf_clear(&results);
	buf_clear(&body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cases),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
