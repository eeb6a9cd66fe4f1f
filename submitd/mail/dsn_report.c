/* SPDX-License-Identifier: ISC */
/*
 * Delivery reports as whole messages: multipart/report of RFC 6522 with the words
 * for people, the fields of RFC 3464 for programs, and the original or its header.
 * Pure; run by the queue. Everything quoted here may be hostile: header fields
 * get one clean folded line, and the boundary occurs in no part.
 */
#include "mail/dsn_report.h"
#include "base/str.h"
#include "mail/dsn_text.h"
#include "mail/header.h"
#include "mail/smtp_params.h"

#include <stdlib.h>
#include <string.h>

#define FOLD_AT 72u
#define FOLD_HARD 200u

static const struct status no_status = {0};

static const struct status *
status_of(const struct dsn_rcpt *d)
{
	return d->status != NULL ? d->status : &no_status;
}

/*
 * A field, folded at blanks, or hard where there is none for long. Control bytes become
 * blanks; what is not ASCII becomes "?" unless the form allows UTF-8.
 */
static void
add_field(struct buf *out, const char *name, struct span value, bool utf8)
{
	size_t column = strlen(name) + 2;

	utf8 = utf8 && utf8_valid(value);
	buf_addf(out, "%s: ", name);
	value = span_trim(value);
	for (size_t i = 0; i < value.n; i++) {
		uint8_t c = (uint8_t)value.p[i];

		if (c < 0x20 || c == 0x7f)
			c = ' ';
		if (c >= 0x80 && !utf8)
			c = '?';
		if ((column >= FOLD_AT && c == ' ') ||
		    (column >= FOLD_HARD && (c < 0x80 || c >= 0xc0))) {
			buf_add_str(out, "\r\n ");
			column = 1;
			if (c == ' ')
				continue;
		}
		buf_add_byte(out, c);
		column++;
	}
	buf_add_str(out, "\r\n");
}

static void
add_date(struct buf *out, const char *name, int64_t ms)
{
	char date[HEADER_DATE_TEXT];

	if (ms == 0)
		return;
	header_format_date(ms, date);
	buf_addf(out, "%s: %s\r\n", name, date);
}

/* RFC 6533, 3: utf-8-addr-xtext, for reports that must stay ASCII. */
static void
add_unicode_xtext(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.n;) {
		uint8_t c = (uint8_t)s.p[i++];
		uint32_t u = c;

		if (c >= 0xf0)
			u = c & 0x07u;
		else if (c >= 0xe0)
			u = c & 0x0fu;
		else if (c >= 0xc0)
			u = c & 0x1fu;
		while (c >= 0xc0 && i < s.n && ((uint8_t)s.p[i] & 0xc0) == 0x80)
			u = u << 6 | ((uint8_t)s.p[i++] & 0x3fu);
		if (u <= ' ' || u >= 0x7f || u == '+' || u == '=' || u == '\\')
			buf_addf(out, "\\x{%02X}", u);
		else
			buf_add_byte(out, c);
	}
}

static void
add_recipient_field(
    struct buf *out, const char *name, const char *type, struct span address, bool utf8)
{
	struct buf value = BUF_INIT;

	buf_addf(&value, "%s; ", type);
	if (!utf8 && span_eq_nocase(span_of(type), "utf-8"))
		add_unicode_xtext(&value, address);
	else
		buf_add_span(&value, address);
	add_field(out, name, buf_span(&value), utf8);
	buf_clear(&value);
}

static void
add_addresses(struct buf *out, const struct rcpt *r, bool utf8)
{
	struct buf given = BUF_INIT;
	char text[ADDR_TEXT], *type;
	struct span rest;

	if (r->orcpt != NULL && orcpt_decode(span_of(r->orcpt), &given) == 0) {
		rest = buf_span(&given);
		type = span_dup(span_cut(&rest, ';'));
		add_recipient_field(out, "Original-Recipient", type, rest, utf8);
		free(type);
	}
	buf_clear(&given);
	if (addr_format_ascii(&r->addr, text) == 0)
		add_recipient_field(out, "Final-Recipient", "rfc822", span_of(text), utf8);
	else {
		addr_format(&r->addr, text);
		add_recipient_field(out, "Final-Recipient", "utf-8", span_of(text), utf8);
	}
}

static const char *
action_name(enum dsn_action a)
{
	switch (a) {
	case DSN_FAILED:
		return "failed";
	case DSN_DELAYED:
		return "delayed";
	case DSN_DELIVERED:
		return "delivered";
	case DSN_RELAYED:
		return "relayed";
	case DSN_EXPANDED:
		return "expanded";
	}
	return "failed";
}

/* RFC 3464, 2.3.4: the class agrees with the action. */
static void
format_status(const struct dsn_rcpt *d, char out[STATUS_ESC_TEXT])
{
	bool failed = d->action == DSN_FAILED || d->action == DSN_DELAYED;

	status_esc(status_of(d), out);
	if (failed && out[0] == '2')
		(void)str_copy(out, STATUS_ESC_TEXT, d->action == DSN_FAILED ? "5.0.0" : "4.0.0");
	else if (!failed && out[0] != '2')
		(void)str_copy(out, STATUS_ESC_TEXT, "2.0.0");
}

static void
add_rcpt_fields(struct buf *out, const struct dsn_rcpt *d, bool utf8)
{
	const struct status *st = status_of(d);
	char esc[STATUS_ESC_TEXT];
	struct buf value = BUF_INIT;

	add_addresses(out, d->rcpt, utf8);
	format_status(d, esc);
	buf_addf(out, "Action: %s\r\nStatus: %s\r\n", action_name(d->action), esc);
	if (st->remote != NULL)
		buf_addf(&value, "dns; %s", st->remote);
	else if (st->remote_ip != NULL)
		buf_addf(&value, "dns; [%s]", st->remote_ip);
	if (buf_len(&value) > 0)
		add_field(out, "Remote-MTA", buf_span(&value), utf8);
	buf_reset(&value);
	if (st->text != NULL || (st->origin == ORIGIN_REMOTE && st->code != 0)) {
		/* RFC 3464, 2.3.6: the server's words as smtp, our own as a type of ours */
		buf_add_str(&value, st->origin == ORIGIN_REMOTE ? "smtp; " : "x-submitd; ");
		dsn_text_said(&value, st);
		add_field(out, "Diagnostic-Code", buf_span(&value), utf8);
	}
	buf_clear(&value);
	add_date(out, "Last-Attempt-Date", d->last_attempt_ms);
	if (d->action == DSN_DELAYED)
		add_date(out, "Will-Retry-Until", d->will_retry_until_ms);
	if (d->qid != 0)
		buf_addf(out, "X-submitd-Queue-ID: %llu\r\n", (unsigned long long)d->qid);
}

static void
build_status(struct buf *out, const struct message *m, const struct dsn_rcpt *rcpts, size_t n,
    const struct dsn_options *o, bool utf8)
{
	struct buf value = BUF_INIT;
	char mid[UUID_TEXT];

	buf_addf(&value, "dns; %s", o->hostname);
	add_field(out, "Reporting-MTA", buf_span(&value), utf8);
	buf_reset(&value);
	/* RFC 3461, 6.3: ENVID without its xtext encoding */
	if (m->envid != NULL && xtext_decode(span_of(m->envid), &value) == 0)
		add_field(out, "Original-Envelope-Id", buf_span(&value), utf8);
	add_date(out, "Arrival-Date", m->received_ms);
	uuid_format(&m->mid, mid);
	buf_addf(out, "X-submitd-Message-ID: %s\r\n", mid);
	for (size_t i = 0; i < n; i++) {
		buf_add_str(out, "\r\n");
		add_rcpt_fields(out, &rcpts[i], utf8);
	}
	buf_clear(&value);
}

/* RFC 2045, 6.7, for CRLF text: soft line ends, blanks at line ends encoded. */
static void
add_quoted_printable(struct buf *out, struct span s)
{
	size_t column = 0;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = (uint8_t)s.p[i];
		bool at_end = i + 1 == s.n || s.p[i + 1] == '\r';
		bool plain = c >= 0x20 && c < 0x7f && c != '=' && !(c == ' ' && at_end);

		if (c == '\r' && i + 1 < s.n && s.p[i + 1] == '\n') {
			buf_add_str(out, "\r\n");
			column = 0;
			i++;
			continue;
		}
		if (column + (plain ? 1 : 3) > 75) {
			buf_add_str(out, "=\r\n");
			column = 0;
		}
		if (plain)
			buf_add_byte(out, c);
		else
			buf_addf(out, "=%02X", c);
		column += plain ? 1 : 3;
	}
}

/* "Mail Delivery System <...>" and To, in ASCII wherever that is possible. */
static void
add_header(struct buf *out, const struct message *m, const struct dsn_rcpt *rcpts, size_t n,
    const struct dsn_options *o, bool utf8)
{
	const char *subject = "Successful mail delivery report";
	struct span id = span_of(m->message_id);
	char text[ADDR_TEXT], mid[UUID_TEXT];
	struct addr from;

	for (size_t i = 0; i < n; i++)
		if (rcpts[i].action == DSN_FAILED)
			subject = "Undelivered mail returned to sender";
		else if (rcpts[i].action == DSN_DELAYED && subject[0] == 'S')
			subject = "Delayed mail, still being tried";
	if (addr_parse(span_of(o->postmaster), ADDR_ALLOW_UTF8, &from) != ADDR_OK ||
	    addr_format_ascii(&from, text) == -1)
		(void)str_printf(text, sizeof(text), "postmaster@%s", o->hostname);
	buf_addf(out, "From: Mail Delivery System <%s>\r\n", text);
	if (addr_format_ascii(&m->sender, text) == -1)
		addr_format(&m->sender, text);
	if (addr_is_null(&m->sender))
		buf_add_str(out, "To: undisclosed-recipients:;\r\n");
	else
		buf_addf(out, "To: <%s>\r\n", text);
	buf_addf(out, "Subject: %s\r\n", subject);
	add_date(out, "Date", o->now_ms);
	uuid_format(&o->mid, mid);
	buf_addf(out, "Message-ID: <%s@%s>\r\n", mid, o->hostname);
	/* only what is one plain msg-id: threads the report with its message */
	if (id.n > 2 && id.n < 900 && id.p[0] == '<' && id.p[id.n - 1] == '>' &&
	    !str_has_control(id) && memchr(id.p, ' ', id.n) == NULL &&
	    (utf8 ? utf8_valid(id) : str_is_ascii(id)))
		buf_addf(
		    out, "In-Reply-To: %s\r\nReferences: %s\r\n", m->message_id, m->message_id);
	buf_add_str(out, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
}

/* A boundary that is in none of the parts; "=_" cannot be in quoted-printable. */
static void
choose_boundary(const struct dsn_options *o, const struct buf *parts, size_t n, char out[64])
{
	char mid[UUID_TEXT];
	bool found = true;

	uuid_format(&o->mid, mid);
	for (unsigned k = 0; found; k++) {
		(void)str_printf(out, 64, "=_%s.%u", mid, k);
		found = memmem(o->original.p, o->original.n, out, strlen(out)) != NULL;
		for (size_t i = 0; i < n && !found; i++)
			found = memmem(buf_data(&parts[i]), buf_len(&parts[i]), out, strlen(out)) !=
			        NULL;
	}
}

static const char *
original_type(const struct dsn_options *o)
{
	struct span head = o->original;
	const char *end = head.n == 0 ? NULL : memmem(head.p, head.n, "\r\n\r\n", 4);
	bool utf8;

	if (end != NULL)
		head.n = (size_t)(end - head.p);
	/* RFC 6532, 3.7 and RFC 6533, 6: header fields in UTF-8 have types of their own */
	utf8 = !str_is_ascii(head) && utf8_valid(head);
	if (o->original_full)
		return utf8 ? "message/global" : "message/rfc822";
	return utf8 ? "message/global-headers" : "text/rfc822-headers";
}

static void
add_part(struct buf *out, const char *boundary, const char *type, const char *encoding,
    const char *description)
{
	buf_addf(out, "\r\n--%s\r\nContent-Description: %s\r\nContent-Type: %s\r\n", boundary,
	    description, type);
	buf_addf(out, "Content-Transfer-Encoding: %s\r\n\r\n", encoding);
}

void
dsn_report_build(struct buf *out, const struct message *m, const struct dsn_rcpt *rcpts, size_t n,
    const struct dsn_options *o, bool *needs_utf8)
{
	char boundary[64], ascii[ADDR_TEXT];
	struct buf text = BUF_INIT, parts[2] = {BUF_INIT, BUF_INIT};
	bool utf8 = addr_format_ascii(&m->sender, ascii) == -1;
	bool eight = o->original_has_8bit || !str_is_ascii(o->original);
	bool status8, text8;

	/*
	 * The UTF-8 form of the fields only where the report must go by SMTPUTF8 anyway, for
	 * its recipient's address; other non-ASCII addresses are written in the ASCII form.
	 */
	*needs_utf8 = utf8;
	dsn_text_build(&text, m, rcpts, n, o);
	text8 = !str_is_ascii(buf_span(&text));
	if (text8)
		add_quoted_printable(&parts[0], buf_span(&text));
	else
		buf_move(&parts[0], &text);
	build_status(&parts[1], m, rcpts, n, o, utf8);
	status8 = !str_is_ascii(buf_span(&parts[1]));
	choose_boundary(o, parts, 2, boundary);

	add_header(out, m, rcpts, n, o, utf8);
	buf_addf(out,
	    "Content-Type: multipart/report; report-type=%sdelivery-status;\r\n"
	    "\tboundary=\"%s\"\r\n",
	    utf8 ? "global-" : "", boundary);
	buf_addf(out, "Content-Transfer-Encoding: %s\r\n\r\n", eight || status8 ? "8bit" : "7bit");
	buf_add_str(out, "This is a delivery report in MIME format.\r\n");
	add_part(out, boundary, "text/plain; charset=utf-8", text8 ? "quoted-printable" : "7bit",
	    "Notification");
	buf_add_span(out, buf_span(&parts[0]));
	add_part(out, boundary, utf8 ? "message/global-delivery-status" : "message/delivery-status",
	    status8 ? "8bit" : "7bit", "Delivery report");
	buf_add_span(out, buf_span(&parts[1]));
	add_part(out, boundary, original_type(o), eight ? "8bit" : "7bit",
	    o->original_full ? "Undelivered message" : "Header of the message");
	buf_add_span(out, o->original);
	if (o->original.n > 0 && o->original.p[o->original.n - 1] != '\n')
		buf_add_str(out, "\r\n");
	buf_addf(out, "\r\n--%s--\r\n", boundary);
	buf_clear(&text);
	buf_clear(&parts[0]);
	buf_clear(&parts[1]);
}
