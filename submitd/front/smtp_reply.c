/* SPDX-License-Identifier: ISC */
/*
 * Replies: the one border through which text goes to an SMTP client. Runs in
 * front. It never lets CR, LF, NUL or other control bytes from elsewhere through,
 * and never a line of more than 512 octets (RFC 5321, 4.5.3.1.5).
 */
#include "base/log.h"
#include "base/str.h"
#include "front/smtp_session.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
smtp_reply_clean(char out[SMTP_REPLY_TEXT], struct span text, bool utf8)
{
	size_t n = text.n < SMTP_REPLY_TEXT - 1 ? text.n : SMTP_REPLY_TEXT - 1;

	utf8 = utf8 && utf8_valid(text);
	while (utf8 && n > 0 && n < text.n && ((uint8_t)text.p[n] & 0xc0) == 0x80)
		n--; /* not within a character */
	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)text.p[i];

		out[i] = c < 0x20 || c == 0x7f ? ' ' : c >= 0x80 && !utf8 ? '?' : (char)c;
	}
	out[n] = '\0';
}

static size_t
put_str(char *dst, const char *src)
{
	size_t n = strlen(src);

	memcpy(dst, src, n);
	return n;
}

void
smtp_reply_raw(struct smtp_session *s, unsigned code, const char *p, size_t n)
{
	if (code >= 500)
		s->errors++;
	s->replies++;
	if (log_tracing(TRACE_SMTP))
		log_trace(TRACE_SMTP, "sid=%016llx S: %.*s", (unsigned long long)s->sid,
		    (int)(n > 2 ? n - 2 : 0), p);
	io_write(s->io, p, n);
}

void
smtp_reply_text(struct smtp_session *s, unsigned code, const char *esc, struct span text)
{
	char line[SMTP_REPLY_TEXT + 32], clean[SMTP_REPLY_TEXT];
	size_t n = 0;
	bool utf8 = s->tx != NULL && s->tx->msg != NULL && (s->tx->msg->flags & MSG_SMTPUTF8) != 0;

	if (code < 200 || code > 599)
		code = 451;
	smtp_reply_clean(clean, text, utf8);
	line[n++] = (char)('0' + code / 100);
	line[n++] = (char)('0' + code / 10 % 10);
	line[n++] = (char)('0' + code % 10);
	line[n++] = ' ';
	if (esc != NULL && esc[0] != '\0' && strlen(esc) < 16) {
		n += put_str(line + n, esc);
		line[n++] = ' ';
	}
	n += put_str(line + n, clean);
	line[n++] = '\r';
	line[n++] = '\n';
	smtp_reply_raw(s, code, line, n);
}

void
smtp_reply(struct smtp_session *s, unsigned code, const char *esc, const char *fmt, ...)
{
	char text[SMTP_REPLY_TEXT];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	smtp_reply_text(s, code, esc,
	    (struct span){text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1});
}

void
smtp_reply_status(struct smtp_session *s, const struct status *status)
{
	unsigned code = status->code;
	char esc[STATUS_ESC_TEXT];

	if (code < 400 || code > 599)
		code = status->verdict == V_PERM ? 550 : 451;
	status_esc(status, esc);
	smtp_reply_text(s, code, esc, span_of(status->text));
}

void
smtp_reply_close(struct smtp_session *s, const char *esc, const char *text)
{
	smtp_reply(s, 421, esc, "%s: %s", s->front->conf->server->hostname, text);
	smtp_session_end(s, true);
}

void
smtp_log_refused(const struct smtp_session *s, const struct refusal *r)
{
	char sid[17], addr[ADDR_TEXT], mid[UUID_TEXT];
	struct log_line l;

	if (!log_enabled(LOG_LEVEL_INFO))
		return;
	str_printf(sid, sizeof(sid), "%016llx", (unsigned long long)s->sid);
	log_begin(&l, LOG_LEVEL_INFO, EV_REFUSED);
	log_str(&l, LK_SID, sid);
	if (r->mid != NULL) {
		uuid_format(r->mid, mid);
		log_str(&l, LK_MID, mid);
	}
	log_str(&l, LK_LISTENER, s->l->conf->title);
	log_addr(&l, LK_CLIENT, &s->client);
	log_str(&l, LK_HELO, s->helo);
	log_str(&l, LK_LOGIN, s->auth == NULL ? NULL : s->auth->login);
	if (r->from != NULL) {
		addr_format(r->from, addr);
		log_str(&l, LK_FROM, addr);
	}
	if (r->to != NULL) {
		addr_format(r->to, addr);
		log_str(&l, LK_TO, addr);
	}
	log_str(&l, LK_RULE, r->rule);
	log_u64(&l, LK_CODE, r->code);
	log_str(&l, LK_ESC, r->esc);
	log_str(&l, LK_REPLY, r->text);
	log_end(&l);
}
