/* SPDX-License-Identifier: ISC */
/*
 * The SMTP session: its states, the table of commands and who may be called when,
 * its input and its deadlines. Runs in front, one per client. It decides nothing
 * about mail (policy does), decodes no credentials (auth does) and never lets a
 * reply leave out of order: while a continuation is due no further input is read.
 */
#include "front/smtp_session.h"

#include "base/ev.h"
#include "base/log.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define LINE_MAX_COMMAND 2048u /* RFC 5321, 4.5.3.1.4 and what the extensions add */
#define LINE_MAX_AUTH 12288u   /* RFC 4954, 4 */
#define REPLIES_MAX 65536u     /* waiting for a client that does not read: no more commands */

#define IN(state) (1u << ST_##state)
#define ANY_STATE (IN(START) | IN(READY) | IN(MAIL) | IN(RCPT) | IN(BDAT))
#define CMD_SYNC 1u      /* the last of a pipelined group (RFC 2920, 3.1) */
#define CMD_NO_ARG 2u    /* an argument is an error */
#define CMD_TLS_FIRST 4u /* not before TLS where auth = encrypted */

struct smtp_cmd {
	const char *verb;
	smtp_cmd_fn *fn;
	unsigned states;
	unsigned flags;
	const char *first; /* what is missing in the other states */
};

/* clang-format off */
static const struct smtp_cmd smtp_cmds[] = {
	/* verb       handler       allowed in             flags                   else say */
	{ "MAIL",     cmd_mail,     IN(READY),             0,                      NULL },
	{ "RCPT",     cmd_rcpt,     IN(MAIL)|IN(RCPT),     0,                      "MAIL" },
	{ "DATA",     cmd_data,     IN(MAIL)|IN(RCPT),     CMD_SYNC|CMD_NO_ARG,    "MAIL" },
	{ "BDAT",     cmd_bdat,     ANY_STATE,             0,                      NULL },
	{ "EHLO",     cmd_ehlo,     ANY_STATE,             CMD_SYNC,               NULL },
	{ "HELO",     cmd_helo,     ANY_STATE,             CMD_SYNC,               NULL },
	{ "RSET",     cmd_rset,     ANY_STATE,             CMD_NO_ARG,             NULL },
	{ "AUTH",     cmd_auth,     IN(READY),             CMD_SYNC|CMD_TLS_FIRST, "EHLO" },
	{ "STARTTLS", cmd_starttls, IN(START)|IN(READY),   CMD_SYNC|CMD_NO_ARG,    NULL },
	{ "NOOP",     cmd_noop,     ANY_STATE,             0,                      NULL },
	{ "VRFY",     cmd_vrfy,     ANY_STATE,             0,                      NULL },
	{ "EXPN",     cmd_expn,     ANY_STATE,             0,                      NULL },
	{ "HELP",     cmd_help,     ANY_STATE,             0,                      NULL },
	{ "QUIT",     cmd_quit,     ANY_STATE,             CMD_SYNC|CMD_NO_ARG,    NULL },
	{ "XCLIENT",  cmd_xclient,  IN(START)|IN(READY),   CMD_SYNC,               NULL },
};

/* The legal steps: row from, bits to. CLOSED may come after each. */
static const unsigned smtp_steps[ST__MAX] = {
	[ST_NEW] = IN(START),
	[ST_START] = IN(READY) | IN(TLS) | IN(CHUNK),
	[ST_READY] = IN(MAIL) | IN(AUTH) | IN(TLS) | IN(START) | IN(CHUNK),
	[ST_TLS] = IN(START),
	[ST_AUTH] = IN(READY),
	[ST_MAIL] = IN(RCPT) | IN(READY) | IN(CHUNK),
	[ST_RCPT] = IN(DATA) | IN(CHUNK) | IN(READY),
	[ST_DATA] = IN(COMMIT) | IN(READY),
	[ST_CHUNK] = IN(BDAT) | IN(COMMIT) | IN(READY) | IN(START) | IN(MAIL),
	[ST_BDAT] = IN(CHUNK) | IN(READY),
	[ST_COMMIT] = IN(READY),
	[ST_CLOSED] = 0,
};
/* clang-format on */

static size_t session_on_data(void *, const uint8_t *, size_t);
static void session_on_event(void *, enum io_event);
static const struct io_ops session_io_ops = {session_on_data, session_on_event};

void
smtp_session_enter(struct smtp_session *s, enum smtp_state to)
{
	if (s->state == (unsigned)to)
		return;
	invariant(to == ST_CLOSED || (smtp_steps[s->state] & (1u << to)) != 0);
	if (log_tracing(TRACE_SMTP))
		log_trace(TRACE_SMTP, "sid=%016llx state %u -> %u", (unsigned long long)s->sid,
		    (unsigned)s->state, (unsigned)to);
	s->state = (uint8_t)to;
}

const struct tls_facts *
smtp_session_tls(const struct smtp_session *s)
{
	const struct tls_facts *tls = io_tls_facts(s->io);

	return tls != NULL && tls->on ? tls : NULL;
}

bool
smtp_session_idle(const struct smtp_session *s)
{
	return !s->blocked && (s->state == ST_START || s->state == ST_READY);
}

/* ---- life ---------------------------------------------------------------------------------------
 */

static void
session_log(
    const struct smtp_session *s, enum log_level level, enum log_event event, const char *reason)
{
	const struct tls_facts *tls = s->io == NULL ? NULL : smtp_session_tls(s);
	struct log_line l;
	char sid[17];

	if (!log_enabled(level))
		return;
	str_printf(sid, sizeof(sid), "%016llx", (unsigned long long)s->sid);
	log_begin(&l, level, event);
	log_str(&l, LK_SID, sid);
	log_str(&l, LK_LISTENER, s->l->conf->title);
	log_addr(&l, LK_CLIENT, &s->client);
	if (event != EV_CONNECT)
		log_str(&l, LK_HELO, s->helo);
	if (tls != NULL) {
		log_str(&l, LK_TLS_VERSION, tls->version);
		log_str(&l, LK_CIPHER, tls->cipher);
		log_str(&l, LK_SNI, tls->sni[0] == '\0' ? NULL : tls->sni);
	}
	if (event == EV_DISCONNECT) {
		log_str(&l, LK_LOGIN, s->auth == NULL ? NULL : s->auth->login);
		log_u64(&l, LK_MESSAGES, s->messages);
		log_u64(&l, LK_ERRORS, s->errors);
		log_i64(&l, LK_MS, ev_now_ms() - s->started_ms);
	}
	log_str(&l, LK_REASON, reason);
	log_end(&l);
}

static void
session_destroy(struct smtp_session *s)
{
	if (s->auth_asked)
		s->front->link->auth_cancel(s->sid);
	smtp_tx_free(s);
	if (s->finish)
		io_finish(s->io);
	else
		io_free(s->io);
	front_slot_release(s->front, s->sid);
	admit_release(&s->front->admit, &s->counted);
	s->l->sessions--;
	free(s->helo);
	free(s->auth);
	free(s);
}

void
smtp_session_end(struct smtp_session *s, bool finish)
{
	if (s->state == ST_CLOSED)
		return;
	session_log(s, s->errors > 0 ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, EV_DISCONNECT, NULL);
	smtp_session_enter(s, ST_CLOSED);
	s->finish = finish;
	if (!s->inside)
		session_destroy(s);
}

struct smtp_session *
smtp_session_new(struct front *front, struct front_listener *l, int fd,
    const struct net_addr *client, const struct net_addr *counted)
{
	struct smtp_session *s = xcallocarray(1, sizeof(*s));

	s->front = front;
	s->l = l;
	s->client = *client;
	s->counted = *counted;
	s->started_ms = ev_now_ms();
	s->sid = front_slot_take(front, s);
	s->io = io_new(fd, false, &session_io_ops, s);
	l->sessions++;
	front->stats.connections++;
	session_log(s, LOG_LEVEL_DEBUG, EV_CONNECT, NULL);
	s->inside = true;
	if (l->conf->tls == LISTENER_TLS_IMPLICIT && l->n_ctxs > 0) {
		if (io_tls_accept(s->io, l->ctxs[0]) == -1)
			smtp_session_end(s, false);
	} else {
		smtp_session_greet(s);
	}
	s->inside = false;
	if (s->state == ST_CLOSED) {
		session_destroy(s);
		return NULL;
	}
	smtp_session_arm(s);
	return s;
}

void
smtp_session_greet(struct smtp_session *s)
{
	struct policy_result r;
	struct facts f;

	r.want_notes = 0;
	smtp_session_facts(s, AT_CONNECT, &f);
	policy_decide(s->front->conf, &f, &r);
	if (r.verdict != V_OK && r.verdict != V_NEXT) {
		/* RFC 5321, 3.1: 554 instead of the greeting */
		struct refusal refusal = {.code = r.verdict == V_PERM ? 554 : 421,
		    .esc = r.verdict == V_PERM ? "5.7.1" : "4.7.0",
		    .text = r.status.text,
		    .rule = r.rule == NULL ? NULL : r.rule->id};

		s->front->stats.refused++;
		smtp_log_refused(s, &refusal);
		smtp_reply_text(s, refusal.code, refusal.esc, span_of(refusal.text));
		smtp_session_end(s, true);
	} else {
		smtp_session_enter(s, ST_START);
		smtp_reply(
		    s, 220, NULL, "%s %s", s->front->conf->server->hostname, s->l->conf->banner);
	}
	policy_result_clear(&r);
}

void
smtp_session_facts(const struct smtp_session *s, enum policy_stage stage, struct facts *f)
{
	const struct tls_facts *tls = smtp_session_tls(s);
	const struct smtp_auth *a = s->auth;

	/* the addresses are large and stay as they are where their have_ is false */
	f->stage = stage;
	f->now_ms = ev_wall_ms();
	f->listener = s->l->conf->title;
	f->client = s->client;
	f->helo = s->helo;
	f->tls = tls != NULL;
	f->tls_version = tls == NULL ? NULL : tls->version;
	f->tls_cipher = tls == NULL ? NULL : tls->cipher;
	f->authenticated = a != NULL;
	f->login = a == NULL ? NULL : a->login;
	f->principal = a == NULL ? NULL : a->principal;
	f->principal_ou = a == NULL ? NULL : a->ou;
	f->backend = a == NULL ? NULL : a->backend;
	f->mech = a == NULL ? NULL : a->mech;
	f->own = a == NULL ? (struct span){NULL, 0} : a->own;
	f->have_sender = false;
	f->have_rcpt = false;
	f->n_rcpts = 0;
	f->size = 0;
	f->have_header_from = false;
	f->n_header_from = 0;
	if (s->tx != NULL && s->tx->msg != NULL) {
		f->have_sender = true;
		f->sender = s->tx->msg->sender;
		f->n_rcpts = (uint32_t)s->tx->msg->n_rcpts;
		f->size = s->tx->declared;
	}
}

void
smtp_session_reset_tx(struct smtp_session *s)
{
	smtp_tx_free(s);
	if (s->state != ST_START && s->state != ST_CLOSED)
		smtp_session_enter(s, ST_READY);
	if (s->front->closing && smtp_session_idle(s) && s->input_left == 0)
		smtp_reply_close(s, "4.3.2", "this process is being replaced; connect again");
}

void
smtp_session_forget(struct smtp_session *s)
{
	smtp_tx_free(s);
	free(s->helo);
	s->helo = NULL;
	free(s->auth);
	s->auth = NULL;
	s->esmtp = false;
}

/* ---- commands -----------------------------------------------------------------------------------
 */

static const struct smtp_cmd *
cmd_find(struct span verb)
{
	for (size_t i = 0; i < ARRAY_LEN(smtp_cmds); i++) {
		if (span_eq_nocase(verb, smtp_cmds[i].verb))
			return &smtp_cmds[i];
	}
	return NULL;
}

/* Words of other protocols: what follows is no SMTP, and may be what a browser was tricked into. */
static bool
cmd_is_foreign(struct span verb)
{
	static const char *const words[] = {
	    "GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "Host:", "User-Agent:"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (span_eq_nocase(verb, words[i]))
			return true;
	}
	return false;
}

static bool
cmd_allowed(struct smtp_session *s, const struct smtp_cmd *cmd, struct span arg)
{
	if ((cmd->flags & CMD_TLS_FIRST) != 0 && s->l->conf->auth == LISTENER_AUTH_ENCRYPTED &&
	    smtp_session_tls(s) == NULL) {
		smtp_auth_refuse_clear(s, arg);
		return false;
	}
	if ((cmd->states & (1u << s->state)) == 0) {
		if (s->state == ST_START)
			smtp_reply(s, 503, "5.5.1", "Send EHLO first");
		else if (s->state == ST_BDAT)
			smtp_reply(s, 503, "5.5.1",
			    "A message is being sent with BDAT: finish it with BDAT LAST, or RSET");
		else if (s->state == ST_READY && cmd->first != NULL)
			smtp_reply(s, 503, "5.5.1", "Send %s first", cmd->first);
		else
			smtp_reply(s, 503, "5.5.1",
			    "%s is not allowed within a mail transaction: send RSET first",
			    cmd->verb);
		return false;
	}
	if ((cmd->flags & CMD_NO_ARG) != 0 && arg.n > 0) {
		smtp_reply(s, 501, "5.5.4", "%s takes no argument", cmd->verb);
		return false;
	}
	return true;
}

static void
session_command(struct smtp_session *s, struct span line)
{
	struct span arg = line, verb = span_cut(&arg, ' ');
	const struct smtp_cmd *cmd = cmd_find(verb);
	uint32_t before = s->replies;
	enum cmd_result result = CMD_DONE;

	if (log_tracing(TRACE_SMTP)) {
		/* what is no command may be a password out of step */
		bool secret = cmd == NULL || cmd->fn == cmd_auth;
		struct span shown = secret ? span_of("***") : arg;

		log_trace(TRACE_SMTP, "sid=%016llx C: %s %.*s", (unsigned long long)s->sid,
		    cmd == NULL ? "?" : cmd->verb, (int)(shown.n > 500 ? 500 : shown.n),
		    shown.p == NULL ? "" : shown.p);
	}
	arg = span_trim(arg);
	if (cmd == NULL && cmd_is_foreign(verb)) {
		smtp_reply_close(s, "4.7.0", "this is an SMTP server");
		return;
	}
	if (cmd == NULL || (cmd->fn == cmd_xclient && !smtp_xclient_allowed(s)))
		/* never repeat what came: it may be a password out of step */
		smtp_reply(s, 500, "5.5.2", "Unknown command; HELP lists those there are");
	else if (cmd_allowed(s, cmd, arg))
		result = cmd->fn(s, arg);
	if (result == CMD_WAIT)
		s->blocked = true;
	else
		invariant(s->state == ST_CLOSED || s->replies == before + 1 ||
			  s->state == ST_CHUNK || s->blocked || s->front->closing);
}

static void
session_line(struct smtp_session *s, struct span line)
{
	const struct conf_limit *limit = s->l->limit;

	s->front->stats.commands++;
	if (++s->commands > limit->max_commands) {
		smtp_reply_close(s, "4.7.0", "too many commands in one session; connect again");
		return;
	}
	if (s->state == ST_AUTH) {
		if (smtp_auth_line(s, line) == CMD_WAIT)
			s->blocked = true;
	} else if (str_has_control((struct span){line.p, line.n}) &&
		   !(memchr(line.p, '\t', line.n) != NULL && span_starts_nocase(line, "NOOP"))) {
		smtp_reply(s, 500, "5.5.2",
		    "A command may not hold control characters (NUL, bare CR, TAB)");
	} else {
		session_command(s, line);
	}
	if (s->state != ST_CLOSED && s->errors >= limit->max_errors)
		smtp_reply_close(s, "4.7.0", "too many errors; connect again when they are mended");
}

/* One line, or as much of an overlong one as there is. Gives the bytes taken; 0: more is needed. */
static size_t
session_take_line(struct smtp_session *s, const uint8_t *p, size_t n)
{
	const uint8_t *lf = memchr(p, '\n', n);
	size_t len = lf == NULL ? n : (size_t)(lf - p) + 1, max = LINE_MAX_COMMAND;
	struct span line = {(const char *)p, len};

	if (s->skipping) {
		s->skipping = lf == NULL;
		return len;
	}
	if (s->state == ST_START && s->commands == 0 && n >= 3 && p[0] == 0x16 && p[1] == 3) {
		/* a TLS client hello */
		smtp_reply_close(s, "4.7.0",
		    s->l->n_ctxs > 0 ? "this port begins in clear: choose STARTTLS, not SSL/TLS"
				     : "this port does not offer TLS");
		return n;
	}
	if (s->state == ST_AUTH || span_starts_nocase(line, "AUTH "))
		max = LINE_MAX_AUTH;
	if (len > max) {
		s->skipping = lf == NULL;
		s->front->stats.commands++;
		s->commands++;
		if (s->state == ST_AUTH) {
			(void)smtp_auth_line(s, (struct span){NULL, len});
		} else {
			smtp_reply(s, 500, "5.5.2", "Line too long: at most %zu octets", max);
		}
		if (s->state != ST_CLOSED && s->errors >= s->l->limit->max_errors)
			smtp_reply_close(s, "4.7.0", "too many errors");
		return len;
	}
	if (lf == NULL)
		return 0;
	s->input_left = n - len;
	line.n--;
	if (line.n > 0 && line.p[line.n - 1] == '\r') {
		line.n--;
	} else if ((s->l->conf->tolerated & CONF_TOLERATE_BARE_LF) == 0) {
		s->commands++;
		smtp_reply(s, 500, "5.5.2", "A line must end with CR LF, this one has only LF");
		if (s->errors >= s->l->limit->max_errors)
			smtp_reply_close(s, "4.7.0", "too many errors");
		return len;
	}
	session_line(s, line);
	return len;
}

/* ---- input --------------------------------------------------------------------------------------
 */

static size_t
session_on_data(void *arg, const uint8_t *p, size_t n)
{
	struct smtp_session *s = arg;
	size_t used = 0;

	s->inside = true;
	while (used < n && !s->blocked && !s->choked && s->state != ST_CLOSED) {
		size_t took;

		if (s->state == ST_DATA || s->state == ST_CHUNK) {
			took = smtp_data_input(s, p + used, n - used);
		} else if (s->state == ST_TLS || s->state == ST_NEW) {
			break;
		} else {
			took = session_take_line(s, p + used, n - used);
			s->input_left = 0;
		}
		used += took;
		s->choked = io_pending(s->io) > REPLIES_MAX;
		if (took == 0)
			break;
	}
	s->inside = false;
	if (s->state == ST_CLOSED) {
		session_destroy(s);
		return n;
	}
	/* a client may half-close behind its last command: that waits for the reply, too */
	if ((s->blocked || s->choked) && !s->paused) {
		s->paused = true;
		io_pause(s->io);
	}
	if (s->choked)
		io_want_drained(s->io);
	smtp_session_arm(s);
	return used;
}

void
smtp_session_hold(struct smtp_session *s)
{
	invariant(!s->inside);
	s->inside = true;
	s->blocked = false; /* unless the continuation must wait again */
}

static void
session_go_on(struct smtp_session *s)
{
	if (s->paused && !s->blocked && !s->choked) {
		s->paused = false;
		io_resume(s->io);
	}
	smtp_session_arm(s);
}

void
smtp_session_resume(struct smtp_session *s)
{
	s->inside = false;
	if (s->state == ST_CLOSED)
		session_destroy(s);
	else
		session_go_on(s);
}

static void
session_on_event(void *arg, enum io_event event)
{
	struct smtp_session *s = arg;

	s->inside = true;
	switch (event) {
	case IO_TLS_UP:
		s->front->stats.tls++;
		smtp_session_tls_up(s);
		session_log(s, LOG_LEVEL_DEBUG, EV_TLS, NULL);
		break;
	case IO_TIMEOUT:
		smtp_session_timed_out(s);
		break;
	case IO_ERROR:
		if (s->state == ST_TLS || s->state == ST_NEW)
			session_log(s, LOG_LEVEL_INFO, EV_TLS, io_error_text(s->io));
		smtp_session_end(s, false);
		break;
	case IO_EOF:
		smtp_session_end(s, io_pending(s->io) > 0);
		break;
	case IO_DRAINED:
		s->choked = false;
		break;
	case IO_CONNECTED:
		break;
	}
	s->inside = false;
	if (s->state == ST_CLOSED)
		session_destroy(s);
	else
		session_go_on(s);
}
