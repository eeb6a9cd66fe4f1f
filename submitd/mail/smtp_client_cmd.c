/* SPDX-License-Identifier: ISC */
/*
 * The command lines of the SMTP client, what EHLO offers, and the start of a transaction with the
 * question whether the server can take the message at all. Pure, part of smtp_client. It never
 * lets CR, LF or NUL from an envelope into a command line.
 */
#include "mail/smtp_client_cmd.h"

#include "base/str.h"

#include <string.h>

void
smtp_client_cmd_hello(const struct smtp_client *c, const char *verb, struct buf *out)
{
	buf_add_str(out, verb);
	buf_add_byte(out, ' ');
	buf_add_str(out, c->opt.helo);
	buf_add_str(out, "\r\n");
}

/* "RCPTMAX=100 MAILMAX=10 …" (RFC 9422): what cannot be read is no limit. */
static void
take_limits(struct smtp_client *c, struct span rest)
{
	while (rest.p != NULL) {
		struct span value = span_cut(&rest, ' ');
		struct span name = span_cut(&value, '=');
		uint64_t n;

		if (value.p == NULL || span_to_u64(value, 1, 999999, &n) == -1)
			continue;
		if (span_eq_nocase(name, "RCPTMAX"))
			c->rcpt_max = (unsigned)n;
		else if (span_eq_nocase(name, "MAILMAX"))
			c->mail_max = (unsigned)n;
	}
}

void
smtp_client_cmd_offer(struct smtp_client *c, struct span line)
{
	static const struct {
		const char *word;
		unsigned cap;
	} words[] = {{"PIPELINING", SMTP_CAP_PIPELINING}, {"8BITMIME", SMTP_CAP_8BITMIME},
	    {"SMTPUTF8", SMTP_CAP_SMTPUTF8}, {"DSN", SMTP_CAP_DSN}, {"SIZE", SMTP_CAP_SIZE},
	    {"STARTTLS", SMTP_CAP_STARTTLS}};
	struct span rest = line;
	struct span word = span_cut(&rest, ' ');

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_eq_nocase(word, words[i].word))
			c->caps |= words[i].cap;
	/* "AUTH=LOGIN": as some wrote it before RFC 2554, beside the proper line */
	if (span_starts_nocase(word, "AUTH="))
		smtp_client_auth_offer(c, (struct span){line.p + 5, line.n - 5});
	if (rest.p == NULL)
		return;
	if (span_eq_nocase(word, "AUTH")) {
		smtp_client_auth_offer(c, rest);
	} else if (span_eq_nocase(word, "SIZE")) {
		uint64_t n;

		if (span_to_u64(span_trim(rest), 0, UINT64_MAX, &n) == 0)
			c->size_max = n; /* RFC 1870: 0 is no fixed limit */
	} else if (span_eq_nocase(word, "LIMITS")) {
		take_limits(c, rest);
	}
}

/* The one place where text of an envelope becomes part of a command line. */
static bool
is_safe(const char *s)
{
	return !str_has_control(span_of(s)) && strchr(s, ' ') == NULL;
}

static bool
path_is_safe(const char *s)
{
	return !str_has_control(span_of(s)); /* a quoted local part may hold blanks */
}

static bool
needs_utf8(const struct smtp_client *c)
{
	return (c->msg->flags & MSG_UTF8_NEEDED) != 0;
}

/*
 * A server without SMTPUTF8 gets addresses with A-labels; where also the header is ASCII,
 * only those whose local part is not stand in the way (RFC 6531, 3.2).
 */
static bool
sends_utf8(const struct smtp_client *c)
{
	return needs_utf8(c) && (c->caps & SMTP_CAP_SMTPUTF8) != 0;
}

/* -1: the address cannot be written for this server. */
static int
format_path(const struct smtp_client *c, const struct addr *a, char out[ADDR_TEXT])
{
	if (sends_utf8(c))
		addr_format(a, out);
	else if (addr_format_ascii(a, out) == -1)
		return -1;
	return path_is_safe(out) ? 0 : -1;
}

void
smtp_client_cmd_mail(const struct smtp_client *c, struct buf *out)
{
	char path[ADDR_TEXT];

	if (format_path(c, &c->msg->sender, path) == -1)
		path[0] = '\0'; /* not reached: smtp_client_begin() looked */
	buf_add_str(out, "MAIL FROM:<");
	buf_add_str(out, path);
	buf_add_byte(out, '>');
	if ((c->caps & SMTP_CAP_SIZE) && c->msg->size > 0)
		buf_addf(out, " SIZE=%llu", (unsigned long long)c->msg->size);
	if ((c->caps & SMTP_CAP_8BITMIME) && (c->msg->flags & MSG_8BITMIME))
		buf_add_str(out, " BODY=8BITMIME");
	if (sends_utf8(c))
		buf_add_str(out, " SMTPUTF8");
	if (c->caps & SMTP_CAP_DSN) {
		if (c->msg->ret == RET_FULL)
			buf_add_str(out, " RET=FULL");
		else if (c->msg->ret == RET_HDRS)
			buf_add_str(out, " RET=HDRS");
		if (c->msg->envid != NULL && c->msg->envid[0] != '\0' && is_safe(c->msg->envid)) {
			buf_add_str(out, " ENVID=");
			buf_add_str(out, c->msg->envid);
		}
	}
	buf_add_str(out, "\r\n");
}

static void
add_notify(unsigned notify, struct buf *out)
{
	static const struct {
		unsigned bit;
		const char *word;
	} words[] = {
	    {NOTIFY_SUCCESS, "SUCCESS"}, {NOTIFY_FAILURE, "FAILURE"}, {NOTIFY_DELAY, "DELAY"}};
	const char *sep = " NOTIFY=";

	if (notify & NOTIFY_NEVER) {
		buf_add_str(out, " NOTIFY=NEVER");
		return;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!(notify & words[i].bit))
			continue;
		buf_add_str(out, sep);
		buf_add_str(out, words[i].word);
		sep = ",";
	}
}

void
smtp_client_cmd_rcpt(const struct smtp_client *c, const struct smtp_client_rcpt *r, struct buf *out)
{
	char path[ADDR_TEXT];

	if (format_path(c, &r->rcpt->addr, path) == -1)
		path[0] = '\0';
	buf_add_str(out, "RCPT TO:<");
	buf_add_str(out, path);
	buf_add_byte(out, '>');
	if (c->caps & SMTP_CAP_DSN) {
		const char *orcpt = r->rcpt->orcpt;

		add_notify(r->rcpt->notify, out);
		/* RFC 6533, 3: an utf-8 ORCPT in its 8-bit form needs SMTPUTF8 */
		if (orcpt != NULL && orcpt[0] != '\0' && is_safe(orcpt) &&
		    (sends_utf8(c) || str_is_ascii(span_of(orcpt)))) {
			buf_add_str(out, " ORCPT=");
			buf_add_str(out, orcpt);
		}
	}
	buf_add_str(out, "\r\n");
}

/* ---- the start of a transaction -------------------------------------------------------------- */

static void
refuse(struct smtp_client *c, struct smtp_client_rcpt *r, unsigned code, const char *esc,
    const char *text)
{
	status_set(&r->status, V_PERM, code, esc, "%s", text);
	r->status.remote = xstrdup(c->opt.remote);
	r->status.remote_ip = xstrdup(c->opt.remote_ip);
	r->state = SMTP_RCPT_DONE;
}

/* What the server lacks for this message, as text; NULL when nothing. */
static const char *
lacks(const struct smtp_client *c, bool has_8bit, unsigned *code, const char **esc)
{
	char path[ADDR_TEXT];

	*code = 550;
	if (needs_utf8(c) && !sends_utf8(c)) {
		*esc = "5.6.7"; /* RFC 6531, 3.5 */
		if ((c->msg->flags & MSG_HEADER_ASCII) == 0)
			return "the message needs SMTPUTF8, which the server does not offer";
		if (format_path(c, &c->msg->sender, path) == -1)
			return "the sender's address needs SMTPUTF8, which the server does not "
			       "offer";
	}
	if (has_8bit && !(c->caps & SMTP_CAP_8BITMIME)) {
		*esc = "5.6.3"; /* RFC 6152, 3 */
		return "the message has 8-bit text and the server does not offer 8BITMIME";
	}
	if (c->size_max > 0 && c->msg->size > c->size_max) {
		*code = 552; /* RFC 1870, 6.1 */
		*esc = "5.3.4";
		return "the message is larger than the server takes";
	}
	if (format_path(c, &c->msg->sender, path) == -1) {
		*esc = "5.1.7";
		return "the sender's address cannot be written in an SMTP command";
	}
	return NULL;
}

/* Marks the recipients of this transaction; those that cannot be written are refused. */
static void
choose_rcpts(struct smtp_client *c)
{
	size_t max = SMTP_CLIENT_RCPTS;

	if (c->rcpt_max > 0 && c->rcpt_max < max)
		max = c->rcpt_max;
	c->n_sent = 0;
	for (size_t i = 0; i < c->n_rcpts && c->n_sent < max; i++) {
		struct smtp_client_rcpt *r = &c->rcpts[i];
		char path[ADDR_TEXT];

		if (r->state != SMTP_RCPT_OPEN)
			continue;
		if (addr_is_null(&r->rcpt->addr) || format_path(c, &r->rcpt->addr, path) == -1) {
			bool utf8 = r->rcpt->addr.utf8 && !sends_utf8(c);
			refuse(c, r, 553, utf8 ? "5.6.7" : "5.1.3",
			    utf8 ? "the recipient's address needs SMTPUTF8, which the server does "
				   "not offer"
				 : "the recipient's address cannot be written in an SMTP command");
			continue;
		}
		r->state = SMTP_RCPT_SENT;
		c->n_sent++;
	}
}

enum smtp_client_event
smtp_client_begin(struct smtp_client *c, const struct message *msg, bool has_8bit,
    struct smtp_client_rcpt *rcpts, size_t n, struct buf *out)
{
	unsigned code;
	const char *esc = NULL;

	c->msg = msg;
	c->rcpts = rcpts;
	c->n_rcpts = n;
	c->n_accepted = 0;
	c->at = 0;
	c->pipelined = (c->caps & SMTP_CAP_PIPELINING) != 0;
	c->mail_refused = c->replied = false;
	c->dsn = (c->caps & SMTP_CAP_DSN) != 0;

	const char *why = lacks(c, has_8bit, &code, &esc);
	if (why != NULL) {
		for (size_t i = 0; i < n; i++)
			if (rcpts[i].state == SMTP_RCPT_OPEN)
				refuse(c, &rcpts[i], code, esc, why);
		c->msg = NULL;
		return SMTP_CLIENT_DONE;
	}
	choose_rcpts(c);
	if (c->n_sent == 0) {
		c->msg = NULL;
		return SMTP_CLIENT_DONE;
	}
	c->transactions++;
	c->state = c->need_rset ? SMTP_CLIENT_RSET : SMTP_CLIENT_MAIL;
	if (c->need_rset)
		buf_add_str(out, "RSET\r\n");
	c->need_rset = false;
	if (!c->pipelined) {
		if (c->state == SMTP_CLIENT_MAIL)
			smtp_client_cmd_mail(c, out);
		return SMTP_CLIENT_MORE;
	}
	smtp_client_cmd_mail(c, out);
	for (size_t i = 0; i < n; i++)
		if (rcpts[i].state == SMTP_RCPT_SENT)
			smtp_client_cmd_rcpt(c, &rcpts[i], out);
	buf_add_str(out, "DATA\r\n");
	return SMTP_CLIENT_MORE;
}
