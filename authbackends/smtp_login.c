/* SPDX-License-Identifier: ISC */
/*
 * One login at an SMTP server for backend `smtp` (S16, S42): connect, EHLO, STARTTLS, EHLO, AUTH,
 * QUIT. Process auth, on a worker thread, blocking. The session is closed whatever came of it: a
 * connection that is logged in as one user must never be there for another. Must never send a
 * credential in clear unless told to, take anything but 235 at the right moment for a yes, or
 * anything but 535 for a no.
 */
#include "authbackends/smtp_login.h"

#include "base/list.h"
#include "base/sasl_login.h"
#include "base/str.h"
#include "base/stream.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define PIECE 4096u
#define BASE64_RUN 20u /* such a word in a reply may be what we sent */
#define QUIT_MS 100    /* to write six octets; their answer is not waited for */

struct attempt {
	struct smtp_login *rules;
	struct auth_check *check;
	struct stream stream;
	struct smtp_client client;
	struct sasl_login *sasl;
	struct buf in, out;
	struct buf initial; /* secret; sent with the first, empty challenge */
	struct buf sent;    /* secret; the last line of AUTH, to know it again */
	bool initial_due, said_auth;
	int64_t started_ms;
};

static enum verdict
give_up(struct attempt *a, bool misconfigured, const char *why)
{
	struct smtp_login *l = a->rules;

	l->misconfigured = misconfigured;
	if (str_copy(l->why, sizeof(l->why), why) == -1)
		(void)str_copy_span(l->why, sizeof(l->why), (struct span){why, sizeof(l->why) - 1});
	auth_check_trace(
	    a->check, "%5lld ms  -- %s", (long long)(stream_clock_ms() - a->started_ms), l->why);
	return V_TEMP;
}

/* ---- the trace ------------------------------------------------------------------------------- */

static void
trace_line(struct attempt *a, char who, struct span line)
{
	char text[SMTP_CLIENT_TEXT];
	size_t n = line.n < sizeof(text) ? line.n : sizeof(text);

	for (size_t i = 0; i < n; i++) {
		unsigned char b = (unsigned char)line.p[i];

		text[i] = (char)(b < 0x20 || b >= 0x7f ? '?' : b);
	}
	auth_check_trace(a->check, "%5lld ms  %c: %.*s",
	    (long long)(stream_clock_ms() - a->started_ms), who, (int)n, text);
}

static bool
holds(struct span line, struct span what)
{
	return what.n > 0 && memmem(line.p, line.n, what.p, what.n) != NULL;
}

/* The server may repeat what it was sent, and a challenge is nobody's business. */
static bool
is_secret(const struct attempt *a, struct span line)
{
	const struct secret *p = &a->check->password;
	size_t run = 0;

	if (!a->said_auth)
		return false;
	if (line.n >= 3 && memcmp(line.p, "334", 3) == 0)
		return true;
	if (holds(line, (struct span){p->data, p->len}) || holds(line, buf_span(&a->sent)))
		return true;
	for (size_t i = 0; i < line.n; i++) {
		unsigned char b = (unsigned char)line.p[i];

		run = isalnum(b) || b == '+' || b == '/' || b == '=' ? run + 1 : 0;
		if (run >= BASE64_RUN)
			return true;
	}
	return false;
}

static void
trace_server(struct attempt *a, struct span text)
{
	while (a->check->want_trace && text.n > 0) {
		struct span line = span_cut(&text, '\n');

		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (is_secret(a, line)) {
			char code[24];

			(void)str_printf(
			    code, sizeof(code), "%.*s ***", (int)(line.n < 3 ? line.n : 3), line.p);
			trace_line(a, 'S', span_of(code));
		} else {
			trace_line(a, 'S', line);
		}
	}
}

/* ---- what we say ----------------------------------------------------------------------------- */

/* shown: what the trace shows instead of the octets; NULL: they are no secret. */
static int
say(struct attempt *a, const char *shown)
{
	struct span line = buf_span(&a->out);
	int rc;

	if (line.n == 0)
		return 0;
	if (shown == NULL && line.n >= 2)
		line.n -= 2;
	trace_line(a, 'C', shown != NULL ? span_of(shown) : line);
	if (shown != NULL && a->check->want_trace && line.n > 2) {
		buf_wipe(&a->sent);
		buf_add(&a->sent, line.p, line.n - 2);
	}
	rc = stream_write(&a->stream, buf_data(&a->out), buf_len(&a->out));
	buf_wipe(&a->out);
	return rc;
}

static int
answer(struct attempt *a, struct buf *response)
{
	struct span s = buf_span(response);

	smtp_client_answer(&a->client, &s, &a->out);
	buf_wipe(response);
	return say(a, "***");
}

/* Never waits for their 221. */
static void
say_goodbye(struct attempt *a)
{
	int64_t until = stream_clock_ms() + QUIT_MS;

	if (a->client.state == SMTP_CLIENT_OVER || a->stream.error[0] != '\0')
		return;
	/* in the middle of AUTH a line would be taken for an answer: "*" ends it */
	if (a->client.state == SMTP_CLIENT_AUTH)
		smtp_client_answer(&a->client, NULL, &a->out);
	smtp_client_quit(&a->client, &a->out);
	if (until < a->stream.deadline_ms)
		a->stream.deadline_ms = until;
	(void)say(a, "QUIT");
}

/* ---- what happens ---------------------------------------------------------------------------- */

static enum verdict
session_failed(struct attempt *a)
{
	const struct status *st = &a->client.failure;
	char why[AUTH_REASON_MAX], esc[STATUS_ESC_TEXT] = "";

	if (st->code == 0) /* our own words */
		return give_up(a, st->esc_subject == 7, st->text);
	if (st->esc_class != 0)
		status_esc(st, esc);
	(void)str_printf(why, sizeof(why), "the server ends the session with %u%s%s", st->code,
	    esc[0] != '\0' ? " " : "", esc);
	return give_up(a, st->code / 100 == 5, why);
}

static enum verdict
refused(struct attempt *a)
{
	const struct status *st = &a->client.failure;
	bool bad_credentials = st->esc_class == 5 && st->esc_subject == 7 && st->esc_detail == 8;
	char esc[STATUS_ESC_TEXT] = "";
	char why[AUTH_REASON_MAX];

	a->rules->answered = true;
	if (st->esc_class != 0)
		status_esc(st, esc);
	(void)str_printf(why, sizeof(why), "the server says %u%s%s to AUTH", st->code,
	    esc[0] != '\0' ? " " : "", esc);
	if (st->code == 535 || (st->code / 100 == 5 && bad_credentials)) {
		(void)give_up(a, false, why);
		return V_PERM;
	}
	a->check->answered = st->code / 100 == 5; /* it minds the name; others may be fine */
	return give_up(a, st->code / 100 == 5, why);
}

static enum verdict
accepted(struct attempt *a)
{
	if (!sasl_login_is_done(a->sasl))
		return give_up(a, true, "the server says yes before the exchange is over");
	a->rules->answered = true;
	return V_OK;
}

/* Strongest first. V_OK: AUTH was sent. */
static enum verdict
begin_auth(struct attempt *a)
{
	unsigned mech = SMTP_MECH_SCRAM_SHA_256;
	bool has_initial = false;
	const char *name;
	struct span initial;
	char shown[40];

	while (mech != 0 && (a->client.mechs & mech) == 0)
		mech >>= 1;
	if (mech == 0)
		return give_up(
		    a, true, "the server offers none of SCRAM-SHA-256, CRAM-MD5, PLAIN, LOGIN");
	name = smtp_client_mech_name(mech);
	a->sasl = sasl_login_new(name, a->rules->host, a->check->login, &a->check->password);
	if (a->sasl == NULL || sasl_login_start(a->sasl, &a->initial, &has_initial) == -1)
		return give_up(a, false, "the SASL library cannot begin");
	initial = buf_span(&a->initial);
	a->said_auth = true;
	a->initial_due =
	    !smtp_client_auth(&a->client, name, has_initial ? &initial : NULL, &a->out);
	if (!a->initial_due)
		buf_wipe(&a->initial);
	(void)str_printf(
	    shown, sizeof(shown), "AUTH %s%s", name, has_initial && !a->initial_due ? " ***" : "");
	return say(a, shown) == -1 ? give_up(a, false, a->stream.error) : V_OK;
}

/* V_OK: it was answered. */
static enum verdict
challenged(struct attempt *a)
{
	struct buf challenge = BUF_INIT, response = {.wipes = true};
	int rc;

	if (smtp_client_challenge(&a->client, &challenge) == -1) {
		buf_clear(&challenge);
		return give_up(a, true, "the server's challenge is no base64, or too long");
	}
	if (a->initial_due) {
		a->initial_due = false;
		rc = buf_len(&challenge) == 0 ? 0 : -1;
		buf_move(&response, &a->initial);
	} else {
		rc = sasl_login_step(a->sasl, buf_span(&challenge), &response);
	}
	buf_clear(&challenge);
	if (rc == -1) {
		const char *why = sasl_login_error(a->sasl);

		buf_wipe(&response);
		return give_up(
		    a, true, why[0] != '\0' ? why : "the server's challenge comes early");
	}
	rc = answer(a, &response);
	return rc == -1 ? give_up(a, false, a->stream.error) : V_OK;
}

static enum verdict
start_tls(struct attempt *a)
{
	char peer[sizeof(a->check->tls_peer)];

	if (stream_start_tls(&a->stream, a->rules->ctx, a->rules->host) == -1)
		return give_up(a, strstr(a->stream.error, "certificate:") != NULL, a->stream.error);
	tls_peer_text(a->stream.ssl, peer, sizeof(peer));
	(void)str_copy(a->check->tls_peer, sizeof(a->check->tls_peer), peer);
	auth_check_trace(a->check, "%5lld ms  -- TLS: %s, %s, %s",
	    (long long)(stream_clock_ms() - a->started_ms), peer, a->stream.facts.cipher,
	    a->stream.facts.verified ? "verified" : "not verified");
	smtp_client_tls_up(&a->client, &a->out);
	return say(a, NULL) == -1 ? give_up(a, false, a->stream.error) : V_OK;
}

/* An event of the client: true when the attempt is over, with *v. */
static bool
is_over(struct attempt *a, enum smtp_client_event ev, enum verdict *v)
{
	switch (ev) {
	case SMTP_CLIENT_MORE:
		if (say(a, NULL) == 0)
			return false;
		*v = give_up(a, false, a->stream.error);
		return true;
	case SMTP_CLIENT_START_TLS:
		*v = start_tls(a);
		return *v != V_OK;
	case SMTP_CLIENT_READY:
		*v = begin_auth(a);
		return *v != V_OK;
	case SMTP_CLIENT_CHALLENGE:
		*v = challenged(a);
		return *v != V_OK;
	case SMTP_CLIENT_AUTHED:
		*v = accepted(a);
		return true;
	case SMTP_CLIENT_NOT_AUTHED:
		*v = refused(a);
		return true;
	case SMTP_CLIENT_FAILED:
	case SMTP_CLIENT_SEND: /* these two belong to transactions */
	case SMTP_CLIENT_DONE:
		break;
	}
	*v = session_failed(a);
	return true;
}

static enum verdict
converse(struct attempt *a)
{
	enum verdict v = V_TEMP;

	for (;;) {
		size_t used;
		enum smtp_client_event ev =
		    smtp_client_feed(&a->client, buf_data(&a->in), buf_len(&a->in), &used, &a->out);
		struct span heard = {(const char *)buf_data(&a->in), used};
		ssize_t n;

		trace_server(a, heard);
		buf_consume(&a->in, used);
		if (is_over(a, ev, &v))
			return v;
		if (used > 0)
			continue; /* there may be another whole line */
		n = stream_read(&a->stream, buf_reserve(&a->in, PIECE), PIECE);
		if (n == 0)
			return give_up(a, false, "the server closed the connection");
		if (n == -1)
			return give_up(a, false, a->stream.error);
		buf_commit(&a->in, (size_t)n);
	}
}

enum verdict
smtp_login_try(struct smtp_login *l, struct auth_check *c)
{
	struct attempt a = {.rules = l,
	    .check = c,
	    .stream = STREAM_INIT,
	    .started_ms = stream_clock_ms(),
	    .in = {.wipes = true},
	    .out = {.wipes = true},
	    .initial = {.wipes = true},
	    .sent = {.wipes = true}};
	char ip[NET_ADDR_TEXT], address[NET_ADDR_TEXT];
	struct smtp_client_options opt = {
	    .helo = l->helo, .remote = l->host, .remote_ip = ip, .tls = l->tls};
	enum verdict v;

	net_addr_format_ip(&l->addr, ip);
	net_addr_format(&l->addr, address);
	l->answered = l->misconfigured = c->answered = false;
	l->why[0] = '\0';
	smtp_client_init(&a.client, &opt);
	auth_check_trace(c, "%5d ms  -- connect to %s (%s)", 0, l->host, address);
	if (stream_connect(&a.stream, &l->addr, l->source, l->connect_until_ms) == -1) {
		v = give_up(&a, false, a.stream.error);
	} else {
		a.stream.deadline_ms = l->deadline_ms;
		v = l->tls == SMTP_CLIENT_TLS_IMPLICIT ? start_tls(&a) : V_OK;
		if (v == V_OK)
			v = converse(&a);
	}
	say_goodbye(&a);
	stream_close(&a.stream);
	smtp_client_clear(&a.client);
	sasl_login_free(a.sasl);
	buf_wipe(&a.initial);
	buf_wipe(&a.sent);
	buf_wipe(&a.out);
	buf_wipe(&a.in); /* servers repeat what they were sent */
	explicit_bzero(&a, sizeof(a));
	return v;
}
