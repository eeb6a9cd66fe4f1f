/* SPDX-License-Identifier: ISC */
#ifndef TESTS_UNIT_QUEUE_RIG_H
#define TESTS_UNIT_QUEUE_RIG_H

/*
 * Runs the whole queue role in a child process on a spool of its own; the test plays
 * front, deliver, ledger and control over the real socketpairs. So a test can kill it
 * at any file call and look at what a restart brings back.
 */
#include "base/ev.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "conf/conf.h"
#include "ipc/audit_outbox.h"
#include "ipc/ipc.h"
#include "mail/envelope.h"
#include "mail/job.h"
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* RIG_AGAIN is a second socket of RIG_FRONT, RIG_OTHER is another front. */
enum { RIG_FRONT, RIG_DELIVER, RIG_LEDGER, RIG_CONTROL, RIG_AGAIN, RIG_OTHER, RIG_PEERS };

struct rig {
	char dir[64];          /* the spool is dir/spool */
	const char *transport; /* options of transport "out" */
	pid_t pid;
	int fd[RIG_PEERS];
	struct buf in[RIG_PEERS];
	struct buf frame; /* the last one received, body only */
	int got_fd;
	struct rusage usage; /* of the child that ended last */
	bool gone;
};

/* proc.c is not linked: it would bring all roles along */
void proc_exit(int code);
void
proc_exit(int code)
{
	ipc_flush_all();
	log_flush();
	_exit(code);
}

static inline int64_t
rig_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static inline void
rig_init(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	snprintf(r->dir, sizeof(r->dir), "/tmp/submitd-queue-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	for (int i = 0; i < RIG_PEERS; i++)
		r->fd[i] = -1;
	r->transport = "";
}

static inline struct conf *
rig_conf(const struct rig *r)
{
	struct buf raw = BUF_INIT;
	struct conf_findings f = {0};
	char *text = xasprintf("server { hostname = \"mx.test\" spool = \"%s/spool\" }\n"
			       "audit { file = \"%s/audit\" }\n"
			       "listener \"in\" { bind = {\"127.0.0.1:0\"} tls = off auth = off "
			       "require_auth = false }\n"
			       "ou \"us\" { domains = {\"sender.test\"} }\n"
			       "domain \"sender.test\" { ou = \"us\" transport = \"home\" }\n"
			       "domain \"any\" { transport = \"out\" }\n"
			       "transport \"home\" { method = static hosts = {\"127.0.0.1:1\"} }\n"
			       "transport \"out\" { method = \"lookup-mx\" %s }\n",
	    r->dir, r->dir, r->transport);
	struct conf *c = NULL;

	if (conf_parse_text("rig", text, &raw, &f) == 0)
		c = conf_build(buf_span(&raw), &f);
	for (size_t i = 0; i < f.n && c == NULL; i++)
		fprintf(stderr, "# %u: %s\n", f.v[i].where.line, f.v[i].text);
	conf_findings_clear(&f);
	buf_clear(&raw);
	free(text);
	return c;
}

/* What proc.c does for every role. */
static const struct ipc_handler rig_common[] = {
    {IPC_AUDIT_ACK, audit_outbox_on_ack}, {IPC_NONE, NULL}};

static inline void
rig_child(struct rig *r, const int fds[RIG_PEERS])
{
	static const enum role roles[] = {
	    ROLE_FRONT, ROLE_DELIVER, ROLE_LEDGER, ROLE_CONTROL, ROLE_FRONT, ROLE_FRONT};
	const char *quiet[] = {"file:/dev/null"};
	struct log_options lo = {.targets = quiet, .n_targets = 1, .level = LOG_LEVEL_INFO};
	char err[500];
	struct conf *conf;

	/* cmocka's handlers would go on with the tests in here */
	static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fs_fault_init("queue");
	if (getenv("RIG_LOG") == NULL)
		(void)log_open(&lo, err, sizeof(err));
	conf = rig_conf(r);
	if (conf == NULL || ev_init() == -1)
		_exit(90);
	ipc_set_common(rig_common);
	ipc_init(ROLE_QUEUE, &queue_role.ipc);
	if (queue_role.start(conf, err, sizeof(err)) == -1) {
		if (getenv("RIG_LOG") != NULL)
			fprintf(stderr, "# queue: %s\n", err);
		_exit(91);
	}
	for (int i = 0; i < RIG_PEERS; i++) {
		fcntl(fds[i], F_SETFL, O_NONBLOCK);
		ipc_peer_new(fds[i], roles[i], i == RIG_OTHER, 1);
	}
	ev_run();
	_exit(0);
}

static inline void
rig_start(struct rig *r)
{
	int ours[RIG_PEERS], theirs[RIG_PEERS];

	for (int i = 0; i < RIG_PEERS; i++) {
		int fds[2], size = 4 << 20;
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		ours[i] = fds[0];
		theirs[i] = fds[1];
		buf_reset(&r->in[i]);
	}
	r->gone = false;
	fflush(NULL);
	r->pid = fork();
	assert_int_not_equal(r->pid, -1);
	if (r->pid == 0) {
		for (int i = 0; i < RIG_PEERS; i++)
			close(ours[i]);
		rig_child(r, theirs);
	}
	for (int i = 0; i < RIG_PEERS; i++) {
		close(theirs[i]);
		r->fd[i] = ours[i];
	}
}

/* Kills it (sig 0: waits for its own end) and gives its wait status. */
static inline int
rig_stop(struct rig *r, int sig)
{
	int status = 0;

	if (r->pid > 0) {
		if (sig != 0)
			kill(r->pid, sig);
		while (wait4(r->pid, &status, 0, &r->usage) == -1 && errno == EINTR)
			continue;
	}
	r->pid = 0;
	for (int i = 0; i < RIG_PEERS; i++) {
		if (r->fd[i] != -1)
			close(r->fd[i]);
		r->fd[i] = -1;
		buf_clear(&r->in[i]);
	}
	return status;
}

static inline void
rig_done(struct rig *r)
{
	char cmd[100];

	rig_stop(r, SIGKILL);
	buf_clear(&r->frame);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", r->dir);
	assert_int_equal(system(cmd), 0);
}

/* false: the queue is dead. */
static inline bool
rig_send(struct rig *r, int peer, enum ipc_type type, struct buf *body)
{
	struct buf f = BUF_INIT;
	bool ok = true;

	buf_put_u32(&f, (uint32_t)(buf_len(body) + IPC_HEADER));
	buf_put_u16(&f, (uint16_t)type);
	buf_put_u16(&f, 0);
	buf_add(&f, buf_data(body), buf_len(body));
	while (ok && buf_len(&f) > 0) {
		ssize_t n = send(r->fd[peer], buf_data(&f), buf_len(&f), MSG_NOSIGNAL);
		ok = n > 0;
		if (ok)
			buf_consume(&f, (size_t)n);
	}
	buf_clear(&f);
	buf_clear(body);
	r->gone = r->gone || !ok;
	return ok;
}

static inline bool
rig_fill(struct rig *r, int peer, int timeout_ms)
{
	struct pollfd p = {.fd = r->fd[peer], .events = POLLIN};
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * 8)];
	} control;
	uint8_t chunk[65536];
	struct iovec iov = {chunk, sizeof(chunk)};
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.space,
	    .msg_controllen = sizeof(control.space)};

	if (r->gone || poll(&p, 1, timeout_ms) <= 0)
		return false;
	ssize_t n = recvmsg(r->fd[peer], &msg, MSG_CMSG_CLOEXEC);
	if (n <= 0) {
		r->gone = true;
		return false;
	}
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_type == SCM_RIGHTS)
			memcpy(&r->got_fd, CMSG_DATA(c), sizeof(int));
	buf_add(&r->in[peer], chunk, (size_t)n);
	return true;
}

/* The next frame of that peer; its body is in r->frame. IPC_NONE: none came in time. */
static inline enum ipc_type
rig_recv(struct rig *r, int peer, int timeout_ms, struct ipc_in *in)
{
	int64_t end = rig_ms() + timeout_ms;
	struct buf *b = &r->in[peer];

	for (;;) {
		if (buf_len(b) >= IPC_HEADER) {
			struct rd rd;
			rd_init(&rd, buf_data(b), buf_len(b));
			uint32_t len = rd_u32(&rd);
			enum ipc_type type = (enum ipc_type)rd_u16(&rd);
			if (buf_len(b) >= len) {
				buf_reset(&r->frame);
				buf_add(&r->frame, buf_data(b) + IPC_HEADER, len - IPC_HEADER);
				buf_consume(b, len);
				*in = (struct ipc_in){.type = type,
				    .body = buf_data(&r->frame),
				    .len = buf_len(&r->frame),
				    .fd = -1};
				return type;
			}
		}
		int64_t left = end - rig_ms();
		if (!rig_fill(r, peer, left < 0 ? 0 : (int)left) && (r->gone || rig_ms() >= end))
			return IPC_NONE;
	}
}

/* ---- messages -------------------------------------------------------------------------------- */

#define BODY "From: a@sender.test\r\nSubject: hello\r\n\r\nHello\r\n"

static inline void
rig_addr(struct addr *a, const char *text)
{
	assert_int_equal(addr_parse(span_of(text), ADDR_ALLOW_NULL | ADDR_ALLOW_UTF8, a), ADDR_OK);
}

static inline struct message *
rig_message(const char *sender, const char *const *rcpts, size_t n)
{
	struct message *m = message_new();

	uuid_make_v7(&m->mid);
	m->received_ms = (int64_t)time(NULL) * 1000;
	if (sender != NULL)
		rig_addr(&m->sender, sender);
	m->flags = MSG_AUTHENTICATED;
	m->listener = xstrdup("in");
	m->principal = xstrdup(sender);
	for (size_t i = 0; i < n; i++) {
		struct rcpt *r = message_add_rcpt(m);
		rig_addr(&r->addr, rcpts[i]);
		r->transport = xstrdup("out");
		r->dest = xstrdup(r->addr.ascii_domain);
	}
	return m;
}

static inline bool
rig_offer(struct rig *r, const struct message *m, struct span body)
{
	struct buf head = BUF_INIT, out = BUF_INIT;
	struct ipc_msg_offer o = {.mid = {(const char *)m->mid.b, 16}, .body_size = body.n};
	bool ok;

	message_encode(&head, m);
	o.head_size = (uint32_t)buf_len(&head);
	o.head = buf_span(&head);
	if (o.head.n > 16384)
		o.head.n = 16384;
	if (o.head.n == buf_len(&head))
		o.body = (struct span){body.p, body.n < 32768 ? body.n : 32768};
	ipc_encode_msg_offer(&out, &o);
	ok = rig_send(r, RIG_FRONT, IPC_MSG_OFFER, &out);
	struct span h = {(const char *)buf_data(&head) + o.head.n, buf_len(&head) - o.head.n};
	struct span b = {body.p + o.body.n, body.n - o.body.n};
	while (ok && h.n + b.n > 0) {
		struct ipc_msg_more more = {.mid = o.mid};
		more.head = (struct span){h.p, h.n < 32768 ? h.n : 32768};
		h.p += more.head.n;
		h.n -= more.head.n;
		if (h.n == 0)
			more.body = (struct span){b.p, b.n < 16384 ? b.n : 16384};
		b.p += more.body.n;
		b.n -= more.body.n;
		ipc_encode_msg_more(&out, &more);
		ok = rig_send(r, RIG_FRONT, IPC_MSG_MORE, &out);
	}
	buf_clear(&head);
	return ok;
}

/* The code of the next MSG_RES, 0 when none comes; mid may be NULL. */
static inline unsigned
rig_answer(struct rig *r, struct uuid *mid, int timeout_ms)
{
	struct ipc_in in;
	struct ipc_msg_res res;

	for (;;) {
		enum ipc_type t = rig_recv(r, RIG_FRONT, timeout_ms, &in);
		if (t == IPC_NONE)
			return 0;
		if (t != IPC_MSG_RES)
			continue;
		assert_int_equal(ipc_decode_msg_res(&in, &res), 0);
		if (mid != NULL)
			memcpy(mid->b, res.mid.p, 16);
		return res.code;
	}
}

struct rig_job {
	struct job job;
	char transport[64], dest[256];
	struct buf body;
};

static inline void
rig_job_clear(struct rig_job *j)
{
	message_free(j->job.msg);
	buf_clear(&j->body);
	memset(j, 0, sizeof(*j));
}

/* The next job, whole. false: none came. */
static inline bool
rig_job(struct rig *r, struct rig_job *out, int timeout_ms)
{
	struct buf head = BUF_INIT;
	struct ipc_job j;
	struct ipc_in in;
	uint64_t head_size, body_size;

	memset(out, 0, sizeof(*out));
	for (;;) {
		enum ipc_type t = rig_recv(r, RIG_DELIVER, timeout_ms, &in);
		if (t == IPC_NONE)
			return false;
		if (t == IPC_JOB)
			break;
	}
	assert_int_equal(ipc_decode_job(&in, &j), 0);
	(void)str_copy_span(out->transport, sizeof(out->transport), j.transport);
	(void)str_copy_span(out->dest, sizeof(out->dest), j.dest);
	head_size = j.head_size;
	body_size = j.body_offset == UINT64_MAX ? j.body_size : 0;
	buf_add_span(&head, j.head);
	buf_add_span(&out->body, j.body);
	while (buf_len(&head) < head_size || buf_len(&out->body) < body_size) {
		struct ipc_job_more more;
		assert_int_equal(rig_recv(r, RIG_DELIVER, timeout_ms, &in), IPC_JOB_MORE);
		assert_int_equal(ipc_decode_job_more(&in, &more), 0);
		buf_add_span(&head, more.head);
		buf_add_span(&out->body, more.body);
	}
	assert_int_equal(job_decode(buf_span(&head), &out->job), 0);
	buf_clear(&head);
	return true;
}

/* One status for every recipient; codes[i] for the i-th when codes is not NULL. */
static inline bool
rig_result(struct rig *r, const struct rig_job *j, enum dest_result dest, const unsigned *codes,
    unsigned code)
{
	struct buf st = BUF_INIT, out = BUF_INIT;
	struct ipc_job_res res = {
	    .qid = j->job.qid, .dest_result = (uint8_t)dest, .mx = span_of("mx.dest.test")};
	bool ok;

	buf_put_u32(&st, (uint32_t)j->job.msg->n_rcpts);
	for (size_t i = 0; i < j->job.msg->n_rcpts; i++) {
		struct status s = {0};
		unsigned c = codes != NULL ? codes[i] : code;
		status_set(&s,
		    c < 300   ? V_OK
		    : c < 500 ? V_TEMP
			      : V_PERM,
		    c,
		    c < 300   ? "2.0.0"
		    : c < 500 ? "4.2.0"
			      : "5.1.1",
		    "status %u", c);
		buf_put_u64(&st, j->job.msg->rcpts[i].id);
		status_encode(&st, &s);
		status_clear(&s);
	}
	res.statuses = buf_span(&st);
	ipc_encode_job_res(&out, &res);
	ok = rig_send(r, RIG_DELIVER, IPC_JOB_RES, &out);
	buf_clear(&st);
	return ok;
}

/* Waits for the JOB_ACK of that qid; jobs that come meanwhile are lost to the test. */
static inline bool
rig_ack(struct rig *r, uint64_t qid, int timeout_ms)
{
	struct ipc_in in;
	struct ipc_job_ack ack;

	while (rig_recv(r, RIG_DELIVER, timeout_ms, &in) != IPC_NONE) {
		if (in.type != IPC_JOB_ACK)
			continue;
		assert_int_equal(ipc_decode_job_ack(&in, &ack), 0);
		if (ack.qid == qid)
			return true;
	}
	return false;
}

/* A control request; all answers, one a line, in out. Gives the status. */
static inline int
rig_ctl(struct rig *r, const char *json, struct buf *out)
{
	static uint64_t request;
	struct ipc_ctl_req req = {.request = ++request, .json = span_of(json)};
	struct ipc_ctl_res res;
	struct ipc_in in;
	struct buf b = BUF_INIT;

	buf_reset(out);
	ipc_encode_ctl_req(&b, &req);
	rig_send(r, RIG_CONTROL, IPC_CTL_REQ, &b);
	for (;;) {
		if (rig_recv(r, RIG_CONTROL, 10000, &in) != IPC_CTL_RES)
			return -1;
		assert_int_equal(ipc_decode_ctl_res(&in, &res), 0);
		assert_int_equal(res.request, request);
		buf_add_span(out, res.json);
		buf_add_byte(out, '\n');
		if (!res.more)
			return res.status;
	}
}

#endif
