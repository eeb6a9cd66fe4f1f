/* SPDX-License-Identifier: ISC */
/*
 * The client side of SMTP (RFC 5321, 2920, 3207, 3461, 9422) as a state machine: reply bytes in,
 * command bytes and events out. Used by the transports in process `deliver`. It does no I/O, has
 * no clock and never decides that something unclear is permanent: a reply that makes no sense, or
 * none at all, is temporary. The commands themselves are made in smtp_client_cmd.c.
 */
#include "mail/smtp_client.h"

#include "base/list.h"
#include "base/str.h"
#include "mail/smtp_client_cmd.h"

#include <string.h>

typedef enum smtp_client_event reply_fn(struct smtp_client *, struct buf *out);

static reply_fn on_greeting, on_ehlo, on_ehlo_refused, on_helo, on_session_refused, on_starttls,
    on_starttls_refused, on_rset, on_mail, on_mail_refused, on_rcpt, on_data, on_data_refused,
    on_final, on_lone_dot, on_early;

/* State, class of the reply hoped for, what to do then and otherwise. */
/* clang-format off */
static const struct step {
	const char *name;
	unsigned expect;
	reply_fn *hoped, *other;
} steps[SMTP_CLIENT__MAX] = {
	[SMTP_CLIENT_GREETING] = { "greeting",	  2, on_greeting, on_session_refused },
	[SMTP_CLIENT_EHLO]     = { "EHLO",	  2, on_ehlo,	  on_ehlo_refused },
	[SMTP_CLIENT_HELO]     = { "HELO",	  2, on_helo,	  on_session_refused },
	[SMTP_CLIENT_STARTTLS] = { "STARTTLS",	  2, on_starttls, on_starttls_refused },
	[SMTP_CLIENT_TLS]      = { "handshake",	  0, smtp_client_unasked,  smtp_client_unasked },
	[SMTP_CLIENT_IDLE]     = { "idle",	  0, smtp_client_unasked,  smtp_client_unasked },
	[SMTP_CLIENT_RSET]     = { "RSET",	  2, on_rset,	  smtp_client_unasked },
	[SMTP_CLIENT_MAIL]     = { "MAIL",	  2, on_mail,	  on_mail_refused },
	[SMTP_CLIENT_RCPT]     = { "RCPT",	  2, on_rcpt,	  on_rcpt },
	[SMTP_CLIENT_DATA]     = { "DATA",	  3, on_data,	  on_data_refused },
	[SMTP_CLIENT_BODY]     = { "message",	  0, on_early,	  on_early },
	[SMTP_CLIENT_FINAL]    = { "end of data", 2, on_final,	  on_final },
	[SMTP_CLIENT_LONE_DOT] = { "end of data", 2, on_lone_dot, on_lone_dot },
	[SMTP_CLIENT_OVER]     = { "over",	  0, smtp_client_unasked,  smtp_client_unasked },
	[SMTP_CLIENT_AUTH]     = { "AUTH",	  3, smtp_client_on_challenge, smtp_client_on_auth },
};
/* clang-format on */

const char *
smtp_client_state_name(enum smtp_client_state state)
{
	return steps[state].name;
}

bool
smtp_client_in_transaction(const struct smtp_client *c)
{
	return c->msg != NULL;
}

void
smtp_client_init(struct smtp_client *c, const struct smtp_client_options *opt)
{
	memset(c, 0, offsetof(struct smtp_client, text));
	c->opt = *opt;
	if (opt->tls == SMTP_CLIENT_TLS_IMPLICIT)
		c->state = SMTP_CLIENT_TLS;
}

void
smtp_client_clear(struct smtp_client *c)
{
	status_clear(&c->failure);
	c->msg = NULL;
	c->state = SMTP_CLIENT_OVER;
}

/* ---- statuses -------------------------------------------------------------------------------- */

static void
status_add_remote(const struct smtp_client *c, struct status *st)
{
	st->remote = xstrdup(c->opt.remote);
	st->remote_ip = xstrdup(c->opt.remote_ip);
}

/* The reply just read as a status; a class that does not fit its place is temporary. */
void
smtp_client_reply_status(const struct smtp_client *c, struct status *st)
{
	unsigned class = c->code / 100;
	enum verdict v = class == 2 ? V_OK : class == 5 ? V_PERM : V_TEMP;

	status_set(st, v, c->code, NULL, "%.*s", (int)c->text_len, c->text);
	st->origin = ORIGIN_REMOTE;
	if (status_parse_esc((struct span){c->text, c->text_len}, st) == 0 &&
	    st->esc_class != class) {
		st->esc_class = 0;
		st->esc_subject = st->esc_detail = 0;
	}
	status_add_remote(c, st);
}

static void
status_local(const struct smtp_client *c, struct status *st, enum verdict v, const char *esc,
    const char *text)
{
	status_set(st, v, 0, esc, "%s", text);
	status_add_remote(c, st);
}

/* Ends the session. Recipients that are not decided stay open, for another host. */
static enum smtp_client_event
session_over(struct smtp_client *c)
{
	c->state = SMTP_CLIENT_OVER;
	if (c->msg == NULL)
		return SMTP_CLIENT_FAILED;
	for (size_t i = 0; i < c->n_rcpts; i++)
		if (c->rcpts[i].state != SMTP_RCPT_DONE)
			c->rcpts[i].state = SMTP_RCPT_OPEN;
	c->msg = NULL;
	return SMTP_CLIENT_DONE;
}

enum smtp_client_event
smtp_client_over_reply(struct smtp_client *c)
{
	smtp_client_reply_status(c, &c->failure);
	c->failure.verdict = V_TEMP;
	return session_over(c);
}

enum smtp_client_event
smtp_client_over_local(struct smtp_client *c, const char *esc, const char *text)
{
	status_local(c, &c->failure, V_TEMP, esc, text);
	return session_over(c);
}

/* Decides those in `state` as the status says. */
static void
decide(struct smtp_client *c, enum smtp_client_rcpt_state state, const struct status *st)
{
	for (size_t i = 0; i < c->n_rcpts; i++) {
		if (c->rcpts[i].state != state)
			continue;
		status_copy(&c->rcpts[i].status, st);
		c->rcpts[i].state = SMTP_RCPT_DONE;
	}
}

static void
decide_by_reply(struct smtp_client *c, enum smtp_client_rcpt_state state)
{
	struct status st = {0};

	smtp_client_reply_status(c, &st);
	decide(c, state, &st);
	status_clear(&st);
}

static enum smtp_client_event
transaction_done(struct smtp_client *c)
{
	c->state = SMTP_CLIENT_IDLE;
	c->msg = NULL;
	return SMTP_CLIENT_DONE;
}

void
smtp_client_settle(struct smtp_client_rcpt *r, size_t n, const struct status *failure)
{
	for (size_t i = 0; i < n; i++) {
		if (r[i].state == SMTP_RCPT_DONE)
			continue;
		status_copy(&r[i].status, failure);
		r[i].status.verdict = V_TEMP;
		r[i].state = SMTP_RCPT_DONE;
	}
}

/* ---- replies that open the session ----------------------------------------------------------- */

static enum smtp_client_event
on_greeting(struct smtp_client *c, struct buf *out)
{
	smtp_client_cmd_hello(c, "EHLO", out);
	c->state = SMTP_CLIENT_EHLO;
	return SMTP_CLIENT_MORE;
}

/*
 * A 5xx greeting is permanent "for this host" (RFC 5321, 3.1), but hosts say it in passing too
 * (blocklists, overload): other hosts are asked, then it is tried again until retries run out.
 */
static enum smtp_client_event
on_session_refused(struct smtp_client *c, struct buf *out)
{
	(void)out;
	return smtp_client_over_reply(c);
}

static enum smtp_client_event
on_ready(struct smtp_client *c)
{
	if (c->opt.tls == SMTP_CLIENT_TLS_MUST && !c->tls_on)
		return smtp_client_over_local(c, "4.7.4",
		    "the transport requires TLS and the server does not offer STARTTLS");
	c->state = SMTP_CLIENT_IDLE;
	return SMTP_CLIENT_READY;
}

static enum smtp_client_event
on_ehlo(struct smtp_client *c, struct buf *out)
{
	c->caps |= SMTP_CAP_ESMTP;
	if (!c->tls_on && c->opt.tls != SMTP_CLIENT_TLS_NONE && (c->caps & SMTP_CAP_STARTTLS)) {
		buf_add_str(out, "STARTTLS\r\n");
		c->state = SMTP_CLIENT_STARTTLS;
		return SMTP_CLIENT_MORE;
	}
	return on_ready(c);
}

static enum smtp_client_event
on_ehlo_refused(struct smtp_client *c, struct buf *out)
{
	if (c->code / 100 != 5)
		return smtp_client_over_reply(c);
	c->caps = c->mechs = 0;
	smtp_client_cmd_hello(c, "HELO", out);
	c->state = SMTP_CLIENT_HELO;
	return SMTP_CLIENT_MORE;
}

static enum smtp_client_event
on_helo(struct smtp_client *c, struct buf *out)
{
	(void)out;
	return on_ready(c);
}

static enum smtp_client_event
on_starttls(struct smtp_client *c, struct buf *out)
{
	(void)out;
	c->state = SMTP_CLIENT_TLS;
	return SMTP_CLIENT_START_TLS;
}

static enum smtp_client_event
on_starttls_refused(struct smtp_client *c, struct buf *out)
{
	(void)out;
	if (c->opt.tls == SMTP_CLIENT_TLS_MUST) {
		smtp_client_over_reply(c);
		status_parse_esc(span_of("4.7.4"), &c->failure);
		return SMTP_CLIENT_FAILED;
	}
	return on_ready(c);
}

void
smtp_client_tls_up(struct smtp_client *c, struct buf *out)
{
	c->tls_on = true;
	if (c->opt.tls == SMTP_CLIENT_TLS_IMPLICIT) {
		c->state = SMTP_CLIENT_GREETING;
		return;
	}
	/* RFC 3207, 4.2: what was said before is forgotten */
	c->caps = c->mechs = 0;
	c->size_max = 0;
	c->rcpt_max = c->mail_max = 0;
	c->state = SMTP_CLIENT_EHLO;
	smtp_client_cmd_hello(c, "EHLO", out);
}

/* ---- replies within a transaction ------------------------------------------------------------ */

static enum smtp_client_event
on_rset(struct smtp_client *c, struct buf *out)
{
	c->state = SMTP_CLIENT_MAIL;
	if (!c->pipelined)
		smtp_client_cmd_mail(c, out);
	return SMTP_CLIENT_MORE;
}

static enum smtp_client_event
on_mail(struct smtp_client *c, struct buf *out)
{
	c->need_rset = true;
	c->at = 0;
	c->state = SMTP_CLIENT_RCPT;
	while (c->rcpts[c->at].state != SMTP_RCPT_SENT)
		c->at++;
	if (!c->pipelined)
		smtp_client_cmd_rcpt(c, &c->rcpts[c->at], out);
	return SMTP_CLIENT_MORE;
}

static enum smtp_client_event
on_mail_refused(struct smtp_client *c, struct buf *out)
{
	(void)out;
	if (c->code / 100 == 3)
		return smtp_client_unasked(c, out);
	decide_by_reply(c, SMTP_RCPT_SENT);
	if (!c->pipelined)
		return transaction_done(c);
	c->mail_refused = true;
	c->state = SMTP_CLIENT_RCPT;
	return SMTP_CLIENT_MORE;
}

/* RFC 5321, 4.5.3.1.10: too many for one transaction, not a refusal of this one. */
static bool
is_too_many(const struct smtp_client *c, const struct status *st)
{
	if (c->code != 452 && c->code != 552)
		return false;
	return st->esc_class == 0 || (st->esc_subject == 5 && st->esc_detail == 3);
}

static void
take_rcpt(struct smtp_client *c)
{
	struct smtp_client_rcpt *r = &c->rcpts[c->at];

	if (c->code / 100 == 2) {
		r->state = SMTP_RCPT_ACCEPTED;
		c->n_accepted++;
		return;
	}
	smtp_client_reply_status(c, &r->status);
	r->state = SMTP_RCPT_DONE;
	if (is_too_many(c, &r->status)) {
		r->status.verdict = V_TEMP;
		if (c->n_accepted > 0)
			r->state = SMTP_RCPT_OPEN; /* the next transaction takes it */
	}
}

static enum smtp_client_event
on_rcpt(struct smtp_client *c, struct buf *out)
{
	if (c->code / 100 == 3)
		return smtp_client_unasked(c, out);
	if (!c->mail_refused)
		take_rcpt(c);
	if (--c->n_sent > 0) {
		if (c->mail_refused)
			return SMTP_CLIENT_MORE;
		do
			c->at++;
		while (c->rcpts[c->at].state != SMTP_RCPT_SENT);
		if (!c->pipelined)
			smtp_client_cmd_rcpt(c, &c->rcpts[c->at], out);
		return SMTP_CLIENT_MORE;
	}
	if (!c->pipelined) {
		if (c->n_accepted == 0)
			return transaction_done(c); /* RSET goes before the next one */
		buf_add_str(out, "DATA\r\n");
	}
	c->state = SMTP_CLIENT_DATA;
	return SMTP_CLIENT_MORE;
}

static enum smtp_client_event
on_data(struct smtp_client *c, struct buf *out)
{
	if (c->n_accepted == 0) {
		/* RFC 2920, 3.1: 354 in spite of all refused ends with a lone dot */
		buf_add_str(out, ".\r\n");
		c->state = SMTP_CLIENT_LONE_DOT;
		return SMTP_CLIENT_MORE;
	}
	c->state = SMTP_CLIENT_BODY;
	return SMTP_CLIENT_SEND;
}

static enum smtp_client_event
on_data_refused(struct smtp_client *c, struct buf *out)
{
	if (c->n_accepted > 0) {
		if (c->code / 100 == 2)
			return smtp_client_unasked(c, out);
		decide_by_reply(c, SMTP_RCPT_ACCEPTED);
	}
	return transaction_done(c);
}

void
smtp_client_sent(struct smtp_client *c)
{
	if (c->state == SMTP_CLIENT_BODY)
		c->state = SMTP_CLIENT_FINAL;
}

static enum smtp_client_event
on_final(struct smtp_client *c, struct buf *out)
{
	(void)out;
	decide_by_reply(c, SMTP_RCPT_ACCEPTED);
	c->need_rset = false;
	if (c->code / 100 == 3)
		return smtp_client_over_reply(c);
	return transaction_done(c);
}

static enum smtp_client_event
on_lone_dot(struct smtp_client *c, struct buf *out)
{
	(void)out;
	c->need_rset = false;
	return transaction_done(c);
}

/* A reply while the message is being written: what it refuses is refused, the session is lost. */
static enum smtp_client_event
on_early(struct smtp_client *c, struct buf *out)
{
	if (c->code / 100 < 4)
		return smtp_client_unasked(c, out);
	decide_by_reply(c, SMTP_RCPT_ACCEPTED);
	return smtp_client_over_reply(c);
}

enum smtp_client_event
smtp_client_unasked(struct smtp_client *c, struct buf *out)
{
	char text[128];

	(void)out;
	str_printf(text, sizeof(text), "the server answered %u where that makes no sense (%s)",
	    c->code, steps[c->state].name);
	return smtp_client_over_local(c, "4.5.0", text);
}

/* ---- reading replies ------------------------------------------------------------------------- */

static void
text_add(struct smtp_client *c, struct span line)
{
	struct status esc = {0};

	if (c->lines == 1) {
		c->text_len = 0;
		c->esc_seen = status_parse_esc(line, &esc) == 0;
	} else {
		if (c->esc_seen && status_parse_esc(line, &esc) == 0) {
			span_cut(&line, ' ');
			if (line.p == NULL)
				return;
		}
		if (c->text_len > 0 && c->text_len < sizeof(c->text) && line.n > 0)
			c->text[c->text_len++] = ' ';
	}
	for (size_t i = 0; i < line.n && c->text_len < sizeof(c->text); i++) {
		unsigned char b = (unsigned char)line.p[i];
		c->text[c->text_len++] = (char)(b < 0x20 || b == 0x7f ? ' ' : b);
	}
}

static void
text_finish(struct smtp_client *c)
{
	while (c->text_len > 0 && c->text[c->text_len - 1] == ' ')
		c->text_len--;
	if (utf8_valid((struct span){c->text, c->text_len}))
		return;
	for (size_t i = 0; i < c->text_len; i++)
		if ((unsigned char)c->text[i] >= 0x80)
			c->text[i] = '?';
}

static enum smtp_client_event
take_reply(struct smtp_client *c, struct buf *out)
{
	const struct step *step = &steps[c->state];

	text_finish(c);
	if (c->code == 421 && c->state != SMTP_CLIENT_FINAL && c->state != SMTP_CLIENT_BODY)
		return smtp_client_over_reply(c); /* RFC 5321, 3.8 */
	if (c->state >= SMTP_CLIENT_MAIL && c->state <= SMTP_CLIENT_FINAL)
		c->replied = true;
	if (c->code == 421) {
		decide_by_reply(c, SMTP_RCPT_ACCEPTED);
		return smtp_client_over_reply(c);
	}
	return (c->code / 100 == step->expect ? step->hoped : step->other)(c, out);
}

static enum smtp_client_event
take_line(struct smtp_client *c, struct span line, struct buf *out)
{
	uint64_t code;

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (line.n < 3 || span_to_u64((struct span){line.p, 3}, 200, 599, &code) == -1 ||
	    (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-'))
		return smtp_client_over_local(c, "4.5.0", "the server's reply is not SMTP");
	if (c->lines > 0 && code != c->code)
		return smtp_client_over_local(
		    c, "4.5.0", "the lines of one reply have different codes");
	c->code = (unsigned)code;
	if (++c->lines > SMTP_CLIENT_LINES)
		return smtp_client_over_local(c, "4.5.0", "the server's reply has too many lines");

	bool last = line.n == 3 || line.p[3] == ' ';
	struct span text =
	    line.n > 4 ? (struct span){line.p + 4, line.n - 4} : (struct span){"", 0};
	if (c->state == SMTP_CLIENT_EHLO && c->lines > 1 && code == 250)
		smtp_client_cmd_offer(c, text);
	text_add(c, text);
	if (!last)
		return SMTP_CLIENT_MORE;
	c->lines = 0;
	c->replies++;
	return take_reply(c, out);
}

enum smtp_client_event
smtp_client_feed(struct smtp_client *c, const uint8_t *p, size_t n, size_t *used, struct buf *out)
{
	enum smtp_client_event ev = SMTP_CLIENT_MORE;

	*used = 0;
	while (*used < n && ev == SMTP_CLIENT_MORE) {
		const uint8_t *line = p + *used;
		const uint8_t *nl = memchr(line, '\n', n - *used);

		if (c->state == SMTP_CLIENT_OVER) {
			*used = n;
			break;
		}
		if (nl == NULL ? n - *used >= SMTP_CLIENT_LINE_MAX
			       : (size_t)(nl - line) >= SMTP_CLIENT_LINE_MAX) {
			*used = n;
			return smtp_client_over_local(
			    c, "4.5.0", "the server's reply line is too long");
		}
		if (nl == NULL)
			break;
		*used += (size_t)(nl - line) + 1;
		ev = take_line(c, (struct span){(const char *)line, (size_t)(nl - line)}, out);
	}
	/* RFC 3207, 6: nobody may have slipped a word in before the handshake */
	if (ev == SMTP_CLIENT_START_TLS && *used < n)
		return smtp_client_over_local(
		    c, "4.7.5", "bytes in clear came behind the reply to STARTTLS");
	if (ev == SMTP_CLIENT_CHALLENGE && *used < n)
		return smtp_client_over_local(
		    c, "4.5.0", "the server went on before its challenge was answered");
	return ev;
}

enum smtp_client_event
smtp_client_lost(struct smtp_client *c, const char *esc, const char *text)
{
	if (c->state == SMTP_CLIENT_FINAL && c->msg != NULL) {
		struct status st = {0};

		/* it may or may not have been taken: RFC 1047 */
		status_local(c, &st, V_TEMP, esc, text);
		decide(c, SMTP_RCPT_ACCEPTED, &st);
		status_clear(&st);
	}
	return smtp_client_over_local(c, esc, text);
}

void
smtp_client_quit(struct smtp_client *c, struct buf *out)
{
	if (c->state != SMTP_CLIENT_OVER)
		buf_add_str(out, "QUIT\r\n");
	c->state = SMTP_CLIENT_OVER;
}
