/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_TESTS_LIB_FAKE_FRONT_H
#define SUBMITD_TESTS_LIB_FAKE_FRONT_H

/*
 * A front without a network: the real session code on an io of memory, an auth and
 * a queue that answer at the end of each turn. Included once by a test or a fuzz
 * target; its io_ functions take the place of base/io.c at link time.
 */
#include "base/ev.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "conf/conf.h"
#include "front/front.h"
#include "front/smtp_offer.h"
#include "front/smtp_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct io {
	const struct io_ops *ops;
	void *arg;
	struct tls_facts tls;
	bool paused, resumed, over, finished, handshake;
};

static struct {
	struct front front;
	struct conf *conf;
	struct smtp_session *session;
	struct io *io;   /* of the newest session; NULL when it was closed */
	struct buf out;  /* all that the client was told */
	struct buf kept; /* input that was not taken */
	size_t unread;   /* replies that the client leaves lying */
	int64_t deadline;
	/* the other roles */
	bool auth_gone, queue_gone, auth_silent, queue_silent, busy;
	unsigned open_code, res_code; /* 0: 250 */
	int auth_step;                /* 1: a first answer is due, 2: a second */
	bool auth_login, auth_has_initial;
	struct buf auth_said;
	uint64_t auth_sid;
	unsigned cancels, drops, offers, opens;
	struct buf open_mid, head, body; /* of the offer that comes in */
	struct uuid mid;
	uint32_t head_size;
	uint64_t body_size;
	bool large, offer_due;
	int file;                        /* a copy of the descriptor handed out */
	struct buf last_head, last_body; /* of the last complete offer */
} fake;

/* ---- io ----------------------------------------------------------------------------------------
 */

struct io *
io_new(int fd, bool connecting, const struct io_ops *ops, void *arg)
{
	struct io *io = xcallocarray(1, sizeof(*io));

	(void)fd;
	(void)connecting;
	io->ops = ops;
	io->arg = arg;
	fake.io = io;
	return io;
}

void
io_free(struct io *io)
{
	if (io == NULL)
		return;
	if (fake.io == io)
		fake.io = NULL;
	free(io);
}

void
io_finish(struct io *io)
{
	io_free(io);
}

int
io_fd(const struct io *io)
{
	(void)io;
	return -1;
}

void
io_write(struct io *io, const void *p, size_t n)
{
	(void)io;
	buf_add(&fake.out, p, n);
}

void
io_write_buf(struct io *io, struct buf *b)
{
	io_write(io, buf_data(b), buf_len(b));
	buf_reset(b);
}

size_t
io_pending(const struct io *io)
{
	(void)io;
	return fake.unread;
}

void
io_want_drained(struct io *io)
{
	(void)io;
}

void
io_pause(struct io *io)
{
	io->paused = true;
}

void
io_resume(struct io *io)
{
	io->paused = false;
	io->resumed = true;
}

size_t
io_kept(const struct io *io)
{
	(void)io;
	return buf_len(&fake.kept);
}

void
io_drop_kept(struct io *io)
{
	(void)io;
	buf_reset(&fake.kept);
}

void
io_deadline(struct io *io, int64_t ms)
{
	(void)io;
	fake.deadline = ms;
}

int
io_tls_accept(struct io *io, SSL_CTX *ctx)
{
	(void)ctx;
	io->handshake = true;
	return 0;
}

int
io_tls_connect(struct io *io, SSL_CTX *ctx, const char *host)
{
	(void)io;
	(void)ctx;
	(void)host;
	return -1;
}

const struct tls_facts *
io_tls_facts(const struct io *io)
{
	return &io->tls;
}

const SSL *
io_ssl(const struct io *io)
{
	(void)io;
	return NULL;
}

const char *
io_error_text(const struct io *io)
{
	(void)io;
	return "";
}

/* ---- auth: alice@example.com and secret
 * ---------------------------------------------------------- */

static int
fake_auth_start(const struct ipc_auth_start *m)
{
	if (fake.auth_gone)
		return -1;
	fake.auth_sid = m->sid;
	fake.auth_login = span_eq(m->mech, "LOGIN");
	fake.auth_has_initial = m->has_initial;
	buf_reset(&fake.auth_said);
	buf_add_span(&fake.auth_said, m->initial);
	fake.auth_step = 1;
	return 0;
}

static int
fake_auth_step(const struct ipc_auth_step *m)
{
	if (fake.auth_gone)
		return -1;
	buf_add_byte(&fake.auth_said, '|');
	buf_add_span(&fake.auth_said, m->response);
	fake.auth_step = 2;
	return 0;
}

static void
fake_auth_cancel(uint64_t sid)
{
	(void)sid;
	fake.cancels++;
	fake.auth_step = 0;
}

static void
fake_auth_answer(void)
{
	struct ipc_auth_res m = {.sid = fake.auth_sid};
	struct smtp_session *s = front_session(&fake.front, fake.auth_sid);
	struct span said = buf_span(&fake.auth_said);
	int step = fake.auth_step;

	fake.auth_step = 0;
	if (s == NULL)
		return;
	if ((step == 1 && !fake.auth_has_initial) ||
	    (fake.auth_login && memchr(said.p, '@', said.n) != NULL &&
		memchr(said.p + 1, '|', said.n > 0 ? said.n - 1 : 0) == NULL)) {
		m.more = 1;
		m.challenge = span_of(fake.auth_login ? "Username:" : "");
	} else if ((said.n == 25 && memcmp(said.p, "\0alice@example.com\0secret", 25) == 0) ||
		   (said.n == 26 && memcmp(said.p, "|\0alice@example.com\0secret", 26) == 0) ||
		   span_eq(said, "|alice@example.com|secret") ||
		   span_eq(said, "alice@example.com|secret")) {
		m.verdict = V_OK;
		m.login = m.principal = span_of("alice@example.com");
		m.ou = span_of("staff");
		m.backend = span_of("files");
		m.mech = span_of("PLAIN");
	} else if (memmem(said.p, said.n, "later", 5) != NULL) {
		m.verdict = V_TEMP;
		m.code = 454;
		m.esc = span_of("4.7.0");
		m.text = span_of("try later");
	} else {
		m.verdict = V_PERM;
		m.code = 535;
		m.esc = span_of("5.7.8");
		m.text = span_of("user name or password is wrong");
	}
	smtp_auth_on_res(s, &m);
}

/* ---- queue
 * --------------------------------------------------------------------------------------- */

static int
fake_body_open(const struct ipc_body_open *m)
{
	fake.opens++;
	if (fake.queue_gone)
		return -1;
	buf_reset(&fake.open_mid);
	buf_add_span(&fake.open_mid, m->mid);
	return 0;
}

static void
fake_body_drop(const struct ipc_body_drop *m)
{
	(void)m;
	fake.drops++;
}

static void
fake_take(struct span head, struct span body)
{
	buf_add_span(&fake.head, head);
	buf_add_span(&fake.body, body);
	invariant(buf_len(&fake.head) <= fake.head_size && buf_len(&fake.body) <= fake.body_size);
	if (buf_len(&fake.head) < fake.head_size ||
	    (!fake.large && buf_len(&fake.body) < fake.body_size))
		return;
	fake.offers++;
	fake.offer_due = true;
	buf_reset(&fake.last_head);
	buf_reset(&fake.last_body);
	buf_add_span(&fake.last_head, buf_span(&fake.head));
	if (fake.large) {
		uint8_t *p = buf_reserve(&fake.last_body, fake.body_size + 1);
		ssize_t n = pread(fake.file, p, fake.body_size + 1, 0);

		invariant(n == (ssize_t)fake.body_size);
		buf_commit(&fake.last_body, (size_t)n);
	} else {
		buf_add_span(&fake.last_body, buf_span(&fake.body));
	}
}

static int
fake_msg_offer(const struct ipc_msg_offer *m)
{
	if (fake.queue_gone)
		return -1;
	buf_reset(&fake.head);
	buf_reset(&fake.body);
	memcpy(fake.mid.b, m->mid.p, 16);
	fake.head_size = m->head_size;
	fake.body_size = m->body_size;
	fake.large = m->large;
	fake_take(m->head, m->body);
	return 0;
}

static int
fake_msg_more(const struct ipc_msg_more *m)
{
	if (fake.queue_gone)
		return -1;
	fake_take(m->head, m->body);
	return 0;
}

static bool
fake_busy(void)
{
	return fake.busy;
}

static const struct front_link fake_link = {fake_auth_start, fake_auth_step, fake_auth_cancel,
    fake_body_open, fake_body_drop, fake_msg_offer, fake_msg_more, fake_busy};

static void
fake_queue_answer(void)
{
	if (buf_len(&fake.open_mid) > 0) {
		uint8_t mid[16];
		struct ipc_body_opened m = {
		    .code = fake.open_code == 0 ? 250 : (uint16_t)fake.open_code,
		    .mid = {(const char *)mid, 16},
		    .esc = {"4.3.1", 5},
		    .text = {"no room", 7}};
		int fd = -1;

		memcpy(mid, buf_data(&fake.open_mid), 16);
		buf_reset(&fake.open_mid);
		if (m.code == 250) {
			fd = memfd_create("body", MFD_CLOEXEC);
			if (fake.file > 0)
				close(fake.file);
			fake.file = dup(fd);
		}
		offers_on_opened(&fake.front, &m, fd);
	}
	if (fake.offer_due) {
		struct ipc_msg_res m = {.code = fake.res_code == 0 ? 250 : (uint16_t)fake.res_code,
		    .mid = {(const char *)fake.mid.b, 16},
		    .esc = span_of(fake.res_code == 0 ? "2.0.0" : "4.3.1"),
		    .text = {"said the queue", 14}};

		fake.offer_due = false;
		offers_on_res(&fake.front, &m);
	}
}

/* ---- driving
 * --------------------------------------------------------------------------------------- */

static const char fake_conf_text[] =
    "server { hostname = \"mail.example.com\"  message_size_limit = \"1M\" data_memory = \"1M\""
    " loop_limit = 5 }\n"
    "tls \"t\" { certificate = \"/c.pem\" key = \"/k.pem\" }\n"
    "backend \"files\" { type = file path = \"/users\" }\n"
    "auth_flow \"people\" { chain = {\"files\"} }\n"
    "limit \"l\" { max_recipients = 100 max_errors = 5 max_auth_failures = 3 max_messages = 3 }\n"
    "listener \"submission\" { bind = {\"127.0.0.1:587\"} tls = starttls tls_profile = {\"t\"}"
    " auth_flow = \"people\" default_domain = \"example.com\" relay_ou = {\"staff\"} limit = \"l\" "
    "}\n"
    "listener \"submissions\" { like = \"submission\" bind = {\"127.0.0.1:465\"} tls = implicit }\n"
    "listener \"mx\" { bind = {\"127.0.0.1:25\"} role = relay tls = starttls tls_profile = {\"t\"}"
    " auth = off limit = \"l\" xclient = {\"192.0.2.0/24\"} }\n"
    "listener \"old\" { like = \"submission\" bind = {\"127.0.0.1:2587\"}"
    " tolerate = {bare_lf, empty_helo, addr_space, auth_inline, early_quit, long_lines, nul} auth "
    "= on"
    " clients = {\"192.0.2.0/24\"} hide_client = true }\n"
    "ou \"staff\" { domains = {\"example.com\"} match_from = true match_header_from = true }\n"
    "domain \"example.com\" { ou = \"staff\" transport = \"inside\" }\n"
    "domain \"any\" { transport = \"outside\" }\n"
    "transport \"inside\" { method = static hosts = {\"127.0.0.1:25\"} }\n"
    "transport \"outside\" { method = \"lookup-mx\" }\n";

static inline void
fake_setup(void)
{
	static SSL_CTX *ctx[1];
	struct conf_findings findings = {0};
	struct buf raw = BUF_INIT, text = BUF_INIT;

	memset(&fake, 0, sizeof(fake));
	if (ev_base() == NULL && ev_init() == -1)
		abort();
	if (conf_parse_text("fake", fake_conf_text, &raw, &findings) == 0)
		fake.conf = conf_build(buf_span(&raw), &findings);
	buf_clear(&raw);
	for (size_t i = 0; fake.conf == NULL && i < findings.n; i++) {
		conf_finding_format(&findings.v[i], &text);
		fprintf(stderr, "%s\n", buf_cstr(&text));
		buf_reset(&text);
	}
	buf_clear(&text);
	conf_findings_clear(&findings);
	if (fake.conf == NULL)
		abort();
	const struct ipc_auth_mechs fake_mechs = {
	    .clear = span_of("PLAIN LOGIN"), .encrypted = span_of("PLAIN LOGIN")};

	front_init(&fake.front, fake.conf, &fake_link);
	for (size_t i = 0; i < fake.front.n_listeners; i++) {
		struct front_listener *l = &fake.front.listeners[i];

		l->ctxs = ctx;
		l->n_ctxs = 1;
		l->ctxs_shared = true;
		if (l->conf->auth != LISTENER_AUTH_OFF)
			front_set_mechs(&fake.front, l->conf->title, &fake_mechs);
	}
}

static inline void
fake_teardown(void)
{
	front_clear(&fake.front);
	conf_free(fake.conf);
	buf_clear(&fake.out);
	buf_clear(&fake.kept);
	buf_clear(&fake.auth_said);
	buf_clear(&fake.open_mid);
	buf_clear(&fake.head);
	buf_clear(&fake.body);
	buf_clear(&fake.last_head);
	buf_clear(&fake.last_body);
	if (fake.file > 0)
		close(fake.file);
	fake.file = 0;
}

static inline void
fake_connect(const char *listener)
{
	struct net_addr client = {.family = 4, .ip = {192, 0, 2, 7}, .port = 4711};
	struct front_listener *l = NULL;

	for (size_t i = 0; i < fake.front.n_listeners; i++) {
		if (strcmp(fake.front.listeners[i].conf->title, listener) == 0)
			l = &fake.front.listeners[i];
	}
	if (l == NULL)
		abort();
	buf_reset(&fake.out);
	buf_reset(&fake.kept);
	if (admit_take(&fake.front.admit, l->limit, l->sessions, &client) != ADMIT_OK)
		abort();
	fake.session = smtp_session_new(&fake.front, l, -1, &client, &client);
	if (fake.io != NULL && fake.io->handshake) {
		fake.io->handshake = false;
		fake.io->tls = (struct tls_facts){.on = true, .version = "TLSv1.3", .cipher = "X"};
		fake.io->ops->on_event(fake.io->arg, IO_TLS_UP);
	}
}

/* Shows kept and new bytes once, in memory of exactly their size. */
static inline void
fake_show(const uint8_t *p, size_t n)
{
	size_t had = buf_len(&fake.kept), took;
	uint8_t *copy = malloc(had + n + 1);
	struct io *io = fake.io;

	if (copy == NULL)
		abort();
	if (had > 0)
		memcpy(copy, buf_data(&fake.kept), had);
	if (n > 0)
		memcpy(copy + had, p, n);
	buf_reset(&fake.kept);
	took = io->ops->on_data(io->arg, copy, had + n);
	invariant(took <= had + n);
	if (fake.io != NULL && !fake.io->handshake)
		buf_add(&fake.kept, copy + took, had + n - took);
	free(copy);
}

/* The end of a turn: answers of other roles, handshakes, input that waited. */
static inline void
fake_turn(void)
{
	for (int i = 0; i < 100000; i++) {
		if (fake.io != NULL && fake.io->handshake) {
			fake.io->handshake = false;
			fake.io->tls =
			    (struct tls_facts){.on = true, .version = "TLSv1.3", .cipher = "X"};
			fake.io->ops->on_event(fake.io->arg, IO_TLS_UP);
		} else if (fake.auth_step != 0 && !fake.auth_silent) {
			fake_auth_answer();
		} else if ((buf_len(&fake.open_mid) > 0 || fake.offer_due) && !fake.queue_silent) {
			fake_queue_answer();
		} else if (fake.io != NULL && fake.io->resumed && !fake.io->paused) {
			fake.io->resumed = false;
			if (buf_len(&fake.kept) > 0)
				fake_show(NULL, 0);
		} else {
			break;
		}
	}
}

static inline void
fake_feed(const void *p, size_t n)
{
	if (fake.io == NULL)
		return;
	if (fake.io->paused) {
		buf_add(&fake.kept, p, n);
		fake_turn();
		return;
	}
	fake_show(p, n);
	fake_turn();
}

static inline void
fake_event(enum io_event event)
{
	if (fake.io != NULL)
		fake.io->ops->on_event(fake.io->arg, event);
	fake_turn();
}

#endif
