/* SPDX-License-Identifier: ISC */
/*
 * One outgoing SMTP connection of process `deliver`: connects, drives the client machine
 * (smtp_client), makes the TLS handshake, writes messages with back-pressure, and goes on with the
 * next job of its destination in the same turn. Every wait has a deadline that bytes alone do not
 * move: only a whole reply does. It never decides what becomes of a destination (deliver_dest).
 */
#include "transports/deliver.h"

#include "base/log.h"
#include "base/str.h"
#include "mail/dotstuff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PIECE 65536u        /* of a body that is read from its file */
#define OUTPUT_HIGH 262144u /* octets waiting for the peer at most */
#define HANDSHAKE_MS 60000
#define SLOWEST_PER_MS 1u /* a body must go at 1 octet in a millisecond, 1 kB/s */

static struct buf out; /* commands and encoded text on their way to io */
static size_t n_conns;

static size_t conn_on_data(void *arg, const uint8_t *p, size_t n);
static void conn_on_event(void *arg, enum io_event);
static const struct io_ops conn_ops = {conn_on_data, conn_on_event};

size_t
deliver_conn_count(void)
{
	return n_conns;
}

/* ---- opening and closing --------------------------------------------------------------------- */

static enum smtp_client_tls
tls_mode(const struct deliver_conn *c)
{
	switch (c->dest->conf->tls) {
	case TRANSPORT_TLS_REQUIRE:
	case TRANSPORT_TLS_REQUIRE_VERIFY:
		return SMTP_CLIENT_TLS_MUST;
	case TRANSPORT_TLS_IMPLICIT:
		return SMTP_CLIENT_TLS_IMPLICIT;
	case TRANSPORT_TLS_OPPORTUNISTIC:
		return c->in_clear ? SMTP_CLIENT_TLS_NONE : SMTP_CLIENT_TLS_MAY;
	default:
		return SMTP_CLIENT_TLS_NONE;
	}
}

static int
conn_connect(struct deliver_conn *c)
{
	const struct conf_transport *t = c->dest->conf;
	const struct net_addr *source = c->host.addr.family == 4 ? &t->source4 : &t->source6;
	struct smtp_client_options opt = {
	    .helo = t->helo != NULL ? t->helo : transport_self()->hostname,
	    .remote = c->host.name,
	    .remote_ip = c->ip,
	};
	int fd = net_connect_start(&c->host.addr, source->family == 0 ? NULL : source);

	if (fd == -1)
		return -1;
	opt.tls = tls_mode(c);
	c->tls[0] = '\0';
	c->connected = false;
	smtp_client_init(&c->client, &opt);
	c->io = io_new(fd, true, &conn_ops, c);
	io_deadline(c->io, t->connect_timeout);
	return 0;
}

struct deliver_conn *
deliver_conn_open(struct deliver_dest *d, const struct transport_host *host, struct status *st)
{
	struct deliver_conn *c = xcallocarray(1, sizeof(*c));

	c->dest = d;
	c->host = *host;
	TAILQ_INIT(&c->reported);
	net_addr_format_ip(&host->addr, c->ip);
	c->in_clear = deliver_host_is_clear(&host->addr);
	if (conn_connect(c) == -1) {
		status_set(st, V_TEMP, 0, "4.4.1", "connect to %s [%s]: %s", host->name, c->ip,
		    strerror(errno));
		free(c);
		return NULL;
	}
	n_conns++;
	return c;
}

/* Everything but io. */
static void
conn_free(struct deliver_conn *c)
{
	struct deliver_job *j, *next;

	TAILQ_FOREACH_SAFE (j, &c->reported, link, next)
		j->conn = NULL;
	deliver_dest_on_closed(c->dest, c);
	smtp_client_clear(&c->client);
	n_conns--;
	c->io = NULL;
	ev_free_later(c, free); /* conn_on_data() may stand on the stack */
}

void
deliver_conn_quit(struct deliver_conn *c)
{
	smtp_client_quit(&c->client, &out);
	io_write_buf(c->io, &out);
	io_finish(c->io);
	conn_free(c);
	deliver_check_done();
}

void
deliver_conn_abort(struct deliver_conn *c)
{
	io_free(c->io);
	conn_free(c);
}

static void
set_deadline(struct deliver_conn *c)
{
	const struct conf_transport *t = c->dest->conf;
	int64_t ms = t->timeout;

	switch (c->client.state) {
	case SMTP_CLIENT_TLS:
		ms = HANDSHAKE_MS < t->timeout ? HANDSHAKE_MS : t->timeout;
		break;
	case SMTP_CLIENT_BODY:
		ms += (int64_t)(c->job->body_size / SLOWEST_PER_MS);
		break;
	case SMTP_CLIENT_FINAL:
	case SMTP_CLIENT_LONE_DOT:
		ms = t->data_timeout;
		break;
	case SMTP_CLIENT_IDLE:
		/* not idle of its own will while the queue has to commit */
		ms = c->unacked >= DELIVER_UNACKED_MAX ? t->timeout : t->idle_timeout;
		break;
	case SMTP_CLIENT_GREETING:
	case SMTP_CLIENT_EHLO:
	case SMTP_CLIENT_HELO:
	case SMTP_CLIENT_STARTTLS:
	case SMTP_CLIENT_RSET:
	case SMTP_CLIENT_MAIL:
	case SMTP_CLIENT_RCPT:
	case SMTP_CLIENT_DATA:
	case SMTP_CLIENT_OVER:
	case SMTP_CLIENT_AUTH:
	case SMTP_CLIENT__MAX:
		break;
	}
	io_deadline(c->io, ms < 1 ? 1 : ms);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static bool
has_open(const struct deliver_job *j)
{
	for (size_t i = 0; i < j->job.msg->n_rcpts; i++)
		if (j->rcpts[i].state != SMTP_RCPT_DONE)
			return true;
	return false;
}

static void
job_report(struct deliver_conn *c)
{
	struct deliver_job *j = c->job;

	c->job = NULL;
	deliver_job_report(j, c, DEST_OK);
}

/* The session is over with a job in it. */
static void
job_on_session_over(struct deliver_conn *c)
{
	struct deliver_job *j = c->job;

	if (j == NULL)
		return;
	if (has_open(j) && !c->client.replied && ++j->sessions < DELIVER_SESSIONS_MAX) {
		/* not a word about this message: another connection or host may take it */
		c->job = NULL;
		deliver_dest_add(j->dest, j, true);
		return;
	}
	smtp_client_settle(j->rcpts, j->job.msg->n_rcpts, &c->client.failure);
	job_report(c);
}

/*
 * The client's session is over (state OVER): tells the destination and ends the connection.
 * gone: nobody is there to hear our last words.
 */
static void
conn_over(struct deliver_conn *c, bool gone)
{
	bool stale = c->client.transactions > 1 || (c->ready && c->job == NULL);
	bool replied = c->job != NULL && c->client.replied;

	log_trace(TRACE_SMTP, "%s: over: %s", c->ip,
	    c->client.failure.text == NULL ? "" : c->client.failure.text);
	job_on_session_over(c);
	/* a host that closes an old session, or breaks over one message, is no bad host */
	if (!stale && !replied)
		deliver_dest_on_failed(c->dest, c, &c->client.failure);
	if (gone)
		io_free(c->io);
	else
		io_finish(c->io);
	conn_free(c);
	deliver_check_done();
}

static bool
is_used_up(const struct deliver_conn *c)
{
	const struct smtp_client *s = &c->client;

	return s->transactions >= (uint64_t)c->dest->conf->max_messages ||
	       (s->mail_max > 0 && s->transactions >= s->mail_max);
}

/* Begins with the present job, what is left of it, or the next ones. May free c. */
static void
conn_go_on(struct deliver_conn *c)
{
	c->idle = false;
	for (;;) {
		enum smtp_client_event ev;
		bool has_8bit = false;

		if (c->job != NULL && !has_open(c->job))
			job_report(c);
		if (is_used_up(c)) {
			if (c->job != NULL) {
				struct deliver_job *j = c->job;

				c->job = NULL;
				deliver_dest_add(j->dest, j, true);
			}
			deliver_conn_quit(c);
			return;
		}
		if (c->job == NULL && c->unacked < DELIVER_UNACKED_MAX)
			c->job = deliver_dest_take(c->dest);
		if (c->job == NULL)
			break;
		if (!(c->client.caps & SMTP_CAP_8BITMIME) &&
		    (c->job->job.msg->flags & MSG_8BITMIME))
			has_8bit = deliver_job_has_8bit(c->job);
		c->job->dsn_relayed &= (c->client.caps & SMTP_CAP_DSN) != 0;
		c->job->conn = c;
		ev = smtp_client_begin(&c->client, c->job->job.msg, has_8bit, c->job->rcpts,
		    c->job->job.msg->n_rcpts, &out);
		io_write_buf(c->io, &out);
		if (ev == SMTP_CLIENT_MORE) {
			set_deadline(c);
			return;
		}
	}
	if (deliver_draining()) {
		deliver_conn_quit(c);
		return;
	}
	c->idle = true;
	set_deadline(c);
}

void
deliver_conn_next(struct deliver_conn *c)
{
	if (c->idle && c->unacked < DELIVER_UNACKED_MAX)
		conn_go_on(c);
}

/* ---- the message ----------------------------------------------------------------------------- */

/* 0, or -1: the body could not be read and the connection must end without a final dot. */
static int
send_body(struct deliver_conn *c)
{
	static uint8_t piece[PIECE];
	struct deliver_job *j = c->job;

	if (j->inline_body) {
		dot_encode(&c->dots, buf_data(&j->body), buf_len(&j->body), &out);
		c->body_at = j->body_size;
	}
	while (c->body_at < j->body_size) {
		ssize_t n;

		if (io_pending(c->io) >= OUTPUT_HIGH) {
			io_want_drained(c->io);
			return 0;
		}
		n = deliver_job_read(j, c->body_at, piece, sizeof(piece));
		if (n <= 0)
			return -1;
		c->body_at += (uint64_t)n;
		dot_encode(&c->dots, piece, (size_t)n, &out);
		io_write_buf(c->io, &out);
	}
	dot_encode_finish(&c->dots, &out);
	io_write_buf(c->io, &out);
	smtp_client_sent(&c->client);
	deliver_stats.bytes += j->body_size;
	set_deadline(c);
	return 0;
}

static void
conn_send(struct deliver_conn *c)
{
	struct status st = {0};
	struct deliver_job *j = c->job;

	if (send_body(c) == 0)
		return;
	log_note(LOG_LEVEL_ERROR, "the body of qid %llu cannot be read: %s",
	    (unsigned long long)j->qid, strerror(errno));
	status_set(&st, V_TEMP, 0, "4.3.0", "the message could not be read from the spool");
	smtp_client_lost(&c->client, "4.3.0", "given up");
	smtp_client_settle(j->rcpts, j->job.msg->n_rcpts, &st);
	status_clear(&st);
	job_report(c);
	deliver_conn_abort(c);
	deliver_check_done();
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static void
start_tls(struct deliver_conn *c)
{
	set_deadline(c);
	if (io_tls_connect(c->io, deliver_tls(c->dest->conf), c->host.name) == -1) {
		smtp_client_lost(&c->client, "4.7.5", io_error_text(c->io));
		conn_over(c, true);
	}
}

/* The handshake failed. True: the connection goes on in clear, from the beginning. */
static bool
retry_in_clear(struct deliver_conn *c, const char *why)
{
	if (c->dest->conf->tls != TRANSPORT_TLS_OPPORTUNISTIC || c->in_clear)
		return false;
	/* RFC 7435: some protection where there can be, mail in any case */
	if (!deliver_host_is_clear(&c->host.addr))
		log_note(LOG_LEVEL_WARN,
		    "TLS with %s [%s] failed (%s): its mail goes in clear for ten minutes",
		    c->host.name, c->ip, why == NULL ? "" : why);
	deliver_host_set_clear(&c->host.addr);
	c->in_clear = true;
	io_free(c->io);
	c->io = NULL;
	smtp_client_clear(&c->client);
	if (conn_connect(c) == 0)
		return true;
	/* io must exist for what comes: a failed connect ends here */
	status_set(&c->client.failure, V_TEMP, 0, "4.4.1", "connect to %s [%s]: %s", c->host.name,
	    c->ip, strerror(errno));
	deliver_dest_on_failed(c->dest, c, &c->client.failure);
	conn_free(c);
	return true;
}

static void
tls_up(struct deliver_conn *c)
{
	const struct tls_facts *f = io_tls_facts(c->io);

	if (conf_transport_verifies(c->dest->conf) && !f->verified) {
		smtp_client_lost(&c->client, "4.7.5", "the server's certificate is not verified");
		conn_over(c, true);
		return;
	}
	str_printf(c->tls, sizeof(c->tls), "%s %s", f->version, f->cipher);
	deliver_stats.tls_sessions++;
	smtp_client_tls_up(&c->client, &out);
	io_write_buf(c->io, &out);
	set_deadline(c);
}

/* ---- events ---------------------------------------------------------------------------------- */

/* c may be closed afterwards: its io is another one or NULL then. */
static void
conn_on_client(struct deliver_conn *c, enum smtp_client_event ev)
{
	switch (ev) {
	case SMTP_CLIENT_MORE:
		break;
	case SMTP_CLIENT_START_TLS:
		start_tls(c);
		break;
	case SMTP_CLIENT_READY:
		c->ready = true;
		deliver_stats.sessions++;
		deliver_dest_on_ready(c->dest, c);
		conn_go_on(c);
		break;
	case SMTP_CLIENT_SEND:
		dot_encoder_init(&c->dots);
		c->body_at = 0;
		set_deadline(c);
		conn_send(c);
		break;
	case SMTP_CLIENT_DONE:
		if (c->client.state == SMTP_CLIENT_OVER)
			conn_over(c, false);
		else
			conn_go_on(c);
		break;
	case SMTP_CLIENT_FAILED:
		conn_over(c, false);
		break;
	case SMTP_CLIENT_CHALLENGE: /* nobody here says AUTH */
	case SMTP_CLIENT_AUTHED:
	case SMTP_CLIENT_NOT_AUTHED:
		break;
	}
}

static size_t
conn_on_data(void *arg, const uint8_t *p, size_t n)
{
	struct deliver_conn *c = arg;
	const struct io *io = c->io;
	size_t taken = 0;

	if (log_tracing(TRACE_SMTP))
		log_trace(
		    TRACE_SMTP, "%s: S: %.*s", c->ip, (int)(n > 500 ? 500 : n), (const char *)p);
	do {
		unsigned replies = c->client.replies;
		enum smtp_client_event ev;
		size_t used;

		ev = smtp_client_feed(&c->client, p + taken, n - taken, &used, &out);
		io_write_buf(c->io, &out);
		taken += used;
		if (ev == SMTP_CLIENT_MORE) {
			/* bytes alone move no deadline */
			if (c->client.replies != replies)
				set_deadline(c);
			break;
		}
		conn_on_client(c, ev);
	} while (c->io == io && taken < n);
	return c->io == io ? taken : n;
}

static void
lost(struct deliver_conn *c, const char *esc, const char *what, const char *why)
{
	char text[400];

	str_printf(text, sizeof(text), "%s %s [%s]: %s", what, c->host.name, c->ip,
	    why == NULL ? "" : why);
	smtp_client_lost(&c->client, esc, text);
	conn_over(c, true);
}

static void
conn_on_timeout(struct deliver_conn *c)
{
	char why[80];

	if (c->idle && c->client.state == SMTP_CLIENT_IDLE) {
		deliver_conn_quit(c);
		return;
	}
	if (!c->connected) {
		lost(c, "4.4.1", "connect to", "timeout");
		return;
	}
	str_printf(why, sizeof(why), "timeout (%s)", smtp_client_state_name(c->client.state));
	lost(c, "4.4.2", "no answer from", why);
}

static void
conn_on_error(struct deliver_conn *c, const char *text)
{
	char why[200];

	if (!c->connected) {
		lost(c, "4.4.1", "connect to", text);
		return;
	}
	if (c->client.state == SMTP_CLIENT_TLS) {
		if (!retry_in_clear(c, text))
			lost(c, "4.7.5", "TLS with", text);
		return;
	}
	str_printf(why, sizeof(why), "%.100s (%s)", text, smtp_client_state_name(c->client.state));
	lost(c, "4.4.2", "lost connection with", why);
}

static void
conn_on_event(void *arg, enum io_event what)
{
	struct deliver_conn *c = arg;

	switch (what) {
	case IO_CONNECTED:
		c->connected = true;
		if (c->client.state == SMTP_CLIENT_TLS)
			start_tls(c);
		else
			set_deadline(c);
		break;
	case IO_TLS_UP:
		tls_up(c);
		break;
	case IO_DRAINED:
		if (c->client.state == SMTP_CLIENT_BODY)
			conn_send(c);
		break;
	case IO_EOF:
		conn_on_error(c, "closed by the server");
		break;
	case IO_ERROR:
		conn_on_error(c, io_error_text(c->io) == NULL ? "error" : io_error_text(c->io));
		break;
	case IO_TIMEOUT:
		if (c->client.state == SMTP_CLIENT_TLS && retry_in_clear(c, "timeout"))
			break;
		conn_on_timeout(c);
		break;
	}
}
