/* SPDX-License-Identifier: ISC */
/*
 * AUTH (RFC 4954). Runs in front, which only carries the octets of the exchange
 * between client and the auth role: it takes off the base64, and knows neither
 * names nor passwords. Never logs a line of an exchange; wipes what it decoded.
 */
#include "base/enc.h"
#include "base/ev.h"
#include "base/str.h"
#include "base/tls_client_cert.h"
#include "front/smtp_session.h"

#include <stdlib.h>
#include <string.h>

#define NO_ANSWER "no answer" /* of the auth role */

/* The password stood in the input buffer that all sessions share. */
static void
wipe_input(struct span line)
{
	if (line.n > 0)
		explicit_bzero((void *)(uintptr_t)line.p, line.n);
}

static enum cmd_result
auth_unavailable(struct smtp_session *s, const char *why)
{
	front_audit_auth(s, V_TEMP, (struct span){NULL, 0}, why);
	s->auth_asked = false;
	if (s->state == ST_AUTH)
		smtp_session_enter(s, ST_READY);
	smtp_reply(s, 454, "4.7.0", "Authentication is temporarily unavailable, try again later");
	return CMD_DONE;
}

/* Base64 without a copy that realloc could leave behind. */
static int
auth_decode(struct buf *out, struct span b64)
{
	buf_reserve(out, b64.n + 4);
	return base64_decode(out, b64);
}

static bool
mech_is_offered(const char *mechs, struct span mech)
{
	struct span rest = span_of(mechs);

	while (rest.p != NULL && rest.n > 0) {
		struct span word = span_cut(&rest, ' ');

		if (word.n == mech.n && word.n > 0 && strncasecmp(word.p, mech.p, mech.n) == 0)
			return true;
	}
	return false;
}

/* The certificate that the client proved to have, if there is one; never that of a proxy. */
static void
auth_add_cert(struct smtp_session *s, struct tls_client_cert *c, struct ipc_auth_start *m)
{
	const SSL *ssl = io_ssl(s->io);

	if (!smtp_session_has_cert(s) || tls_client_cert(ssl, c) == -1)
		return;
	m->cert_sha256 = span_of(c->sha256);
	m->cert_subject = span_of(c->subject);
	for (size_t i = 0; i < s->l->n_ctxs; i++)
		if (s->l->ctxs[i] == SSL_get_SSL_CTX(ssl) &&
		    s->l->conf->tls_blocks[i]->client_email)
			m->cert_emails = (struct span){c->emails, c->emails_len};
}

static enum cmd_result
auth_start(struct smtp_session *s, struct span mech, const struct span *initial)
{
	const struct tls_facts *tls = smtp_session_tls(s);
	struct ipc_auth_start m = {.sid = s->sid,
	    .listener = span_of(s->l->conf->title),
	    .client = s->client,
	    .helo = span_of(s->helo),
	    .tls = tls != NULL,
	    .tls_version = span_of(tls == NULL ? NULL : tls->version),
	    .tls_cipher = span_of(tls == NULL ? NULL : tls->cipher),
	    .mech = mech,
	    .has_initial = initial != NULL};
	struct tls_client_cert cert;

	auth_add_cert(s, &cert, &m);
	if (initial != NULL)
		m.initial = *initial;
	if (s->front->link->auth_start(&m) == -1)
		return auth_unavailable(s, NO_ANSWER);
	s->auth_asked = true;
	s->auth_told = false;
	smtp_session_enter(s, ST_AUTH);
	return CMD_WAIT;
}

void
smtp_auth_refuse_clear(struct smtp_session *s, struct span arg)
{
	struct span rest = arg, mech = span_cut(&rest, ' ');
	struct refusal refusal = {
	    .code = 538, .esc = "5.7.11", .text = "AUTH without TLS", .rule = "S1"};

	smtp_log_refused(s, &refusal);
	front_audit_auth(s, V_PERM, mech, "AUTH without TLS");
	wipe_input(rest);
	smtp_reply(s, 538, "5.7.11", "Encryption required for authentication: %s",
	    s->l->n_ctxs > 0 ? "use STARTTLS first" : "this port offers no TLS");
}

/* True: this address may not use AUTH (S3), which it was told before it sent a password. */
static bool
auth_is_refused(struct smtp_session *s, struct span mech)
{
	struct policy_result r;
	enum verdict v = smtp_auth_allowed(s, &r);

	if (v == V_PERM) {
		struct refusal refusal = {
		    .code = r.status.code, .text = r.status.text, .rule = r.rule->id};

		smtp_log_refused(s, &refusal);
		front_audit_auth(s, V_PERM, mech, "rule S3 auth_ip");
		smtp_reply_status(s, &r.status);
	} else if (v != V_OK) {
		(void)auth_unavailable(s, "rule S3 auth_ip cannot be judged now");
	}
	policy_result_clear(&r);
	return v != V_OK;
}

enum cmd_result
cmd_auth(struct smtp_session *s, struct span arg)
{
	struct span rest = arg, mech = span_cut(&rest, ' '), initial = span_trim(rest);
	const char *mechs = smtp_auth_mechs(s);
	char name[32];
	struct buf decoded = BUF_INIT;
	enum cmd_result result;

	if (s->l->conf->auth == LISTENER_AUTH_OFF) {
		smtp_reply(s, 502, "5.5.1", "AUTH is not offered here");
		goto out;
	}
	if (s->auth != NULL) {
		smtp_reply(s, 503, "5.5.1", "Already authenticated");
		goto out;
	}
	if (auth_is_refused(s, mech))
		goto out;
	if (mechs == NULL) {
		wipe_input(initial);
		return auth_unavailable(s, NO_ANSWER);
	}
	if (mech.n == 0) {
		smtp_reply(s, 501, "5.5.4", "Syntax: AUTH and one of %s", mechs);
		goto out;
	}
	if (!mech_is_offered(mechs, mech) || str_copy_span(name, sizeof(name), mech) == -1) {
		front_audit_auth(s, V_PERM, mech, "mechanism not offered");
		smtp_reply(
		    s, 504, "5.5.4", "Unknown authentication mechanism; offered are %s", mechs);
		goto out;
	}
	for (char *p = name; *p != '\0'; p++)
		*p = *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
	if (initial.n == 0)
		return auth_start(s, span_of(name), NULL);
	/* LOGIN has no initial response by the book (RFC 4954, 4), but stock clients send the name
	 */
	if (span_eq(initial, "="))
		initial.n = 0;
	else if (auth_decode(&decoded, initial) == -1 && strcmp(name, "LOGIN") == 0 &&
		 (s->l->conf->tolerated & CONF_TOLERATE_AUTH_INLINE) != 0) {
		buf_add_span(&decoded, initial); /* devices that send the bare name */
	} else if (buf_len(&decoded) == 0) {
		front_audit_auth(s, V_PERM, mech, "no base64");
		smtp_reply(s, 501, "5.5.2", "The response is not valid base64");
		buf_wipe(&decoded);
		goto out;
	}
	wipe_input(initial);
	initial = buf_span(&decoded);
	result = auth_start(s, span_of(name), &initial);
	buf_wipe(&decoded);
	return result;
out:
	wipe_input(initial);
	return CMD_DONE;
}

static void
auth_leave(struct smtp_session *s)
{
	if (s->auth_asked)
		s->front->link->auth_cancel(s->sid);
	s->auth_asked = false;
	smtp_session_enter(s, ST_READY);
}

/* Behind the reply to a failed AUTH. */
static void
auth_close_if_too_many(struct smtp_session *s)
{
	if (s->auth_failures >= s->l->limit->max_auth_failures)
		smtp_reply_close(s, "4.7.0", "too many failed logins");
}

static enum cmd_result
auth_cancel(struct smtp_session *s, unsigned code, const char *esc, const char *text)
{
	auth_leave(s);
	smtp_reply(s, code, esc, "%s", text);
	if (s->auth_told) /* to hang up on a no does not undo it */
		auth_close_if_too_many(s);
	return CMD_DONE;
}

enum cmd_result
smtp_auth_line(struct smtp_session *s, struct span line)
{
	struct buf decoded = BUF_INIT;
	struct ipc_auth_step m = {.sid = s->sid};
	enum cmd_result result = CMD_WAIT;

	if (line.p == NULL) /* RFC 4954, 4: 12288 octets at most */
		return auth_cancel(s, 500, "5.5.6", "Authentication exchange line is too long");
	if (span_eq(line, "*"))
		return auth_cancel(s, 501, "5.7.0", "Authentication cancelled");
	if (span_eq_nocase(line, "QUIT") &&
	    (s->l->conf->tolerated & CONF_TOLERATE_EARLY_QUIT) != 0) {
		auth_leave(s);
		return cmd_quit(s, (struct span){NULL, 0});
	}
	if (!s->auth_asked) {
		/* the auth role was restarted in between and knows nothing of us */
		wipe_input(line);
		return auth_unavailable(s, NO_ANSWER);
	}
	/* an empty line by the book; curl says it as in an initial response (RFC 4954, 4) */
	if (!span_eq(line, "=") && auth_decode(&decoded, line) == -1) {
		result = auth_cancel(s, 501, "5.5.2", "The response is not valid base64");
	} else {
		m.response = buf_span(&decoded);
		if (s->front->link->auth_step(&m) == -1)
			result = auth_unavailable(s, NO_ANSWER);
	}
	buf_wipe(&decoded);
	wipe_input(line);
	return result;
}

/* One allocation: the struct and its texts. */
static struct smtp_auth *
auth_new(const struct ipc_auth_res *m)
{
	const struct span from[] = {m->login, m->principal, m->ou, m->backend, m->mech};
	const char *to[ARRAY_LEN(from)];
	struct smtp_auth *a;
	size_t n = sizeof(*a);
	char *p;

	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		n += from[i].n + 1;
	a = xmalloc(n + m->own.n);
	p = (char *)(a + 1);
	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		to[i] = from[i].n == 0 ? NULL : p;
		if (from[i].n > 0)
			memcpy(p, from[i].p, from[i].n);
		p[from[i].n] = '\0';
		p += from[i].n + 1;
	}
	*a = (struct smtp_auth){to[0], to[1], to[2], to[3], to[4], {p, 0}};
	if (m->own.n > 0 && m->own.p[m->own.n - 1] == '\0') {
		memcpy(p, m->own.p, m->own.n);
		a->own.n = m->own.n;
	}
	return a;
}

static void
auth_challenge(struct smtp_session *s, struct span challenge)
{
	struct buf line = BUF_INIT;

	buf_add_str(&line, "334 ");
	base64_encode(&line, challenge.p, challenge.n);
	buf_add_str(&line, "\r\n");
	smtp_reply_raw(s, 334, (const char *)buf_data(&line), buf_len(&line));
	buf_wipe(&line);
}

static void
auth_failed(struct smtp_session *s, const struct ipc_auth_res *m)
{
	char esc[16];
	unsigned code = m->code;

	if (code < 400 || code > 599)
		code = m->verdict == V_PERM ? 535 : 454;
	if (str_copy_span(esc, sizeof(esc), m->esc) == -1 || esc[0] == '\0')
		memcpy(esc, code >= 500 ? "5.7.8" : "4.7.0", 6);
	if (!s->auth_told) {
		s->front->stats.auth_failed++;
		if (m->verdict != V_TEMP)
			s->auth_failures++;
	}
	smtp_reply_text(s, code, esc, m->text);
	if (m->verdict != V_TEMP)
		auth_close_if_too_many(s);
}

void
smtp_auth_on_res(struct smtp_session *s, const struct ipc_auth_res *m)
{
	if (s->state != ST_AUTH || !s->blocked)
		return; /* late: we gave up on it */
	smtp_session_hold(s);
	if (m->more) {
		if (m->verdict == V_PERM && !s->auth_told) { /* RFC 7628, 3.2.2 */
			s->auth_told = true;
			s->auth_failures++;
			s->front->stats.auth_failed++;
		}
		auth_challenge(s, m->challenge);
		smtp_session_resume(s);
		return;
	}
	s->auth_asked = false;
	smtp_session_enter(s, ST_READY);
	if (m->verdict == V_OK && m->principal.n > 0) {
		s->auth = auth_new(m);
		s->front->stats.auth_ok++;
		smtp_reply(s, 235, "2.7.0", "Authentication successful");
	} else if (m->verdict == V_OK) {
		/* nobody in particular may not be anybody */
		auth_unavailable(s, "a yes that names nobody");
	} else {
		auth_failed(s, m);
	}
	smtp_session_resume(s);
}

void
smtp_auth_on_lost(struct smtp_session *s)
{
	if (s->state != ST_AUTH)
		return;
	if (!s->blocked) {
		/* the client's next line finds nobody: auth_step() says so */
		s->auth_asked = false;
		return;
	}
	smtp_session_hold(s);
	auth_unavailable(s, NO_ANSWER);
	smtp_session_resume(s);
}
