/* SPDX-License-Identifier: ISC */
/*
 * The plain words of a delivery report. Pure; run by the queue. It speaks to the
 * sender, who knows nothing of SMTP: first what happened, then what was tried, the
 * other server's own words, and what to do. Remote words are quoted as one wrapped
 * paragraph and can therefore not pretend to be ours.
 */
#include "mail/dsn_text.h"
#include "base/list.h"
#include "base/str.h"
#include "mail/header.h"

#include <string.h>

#define COLUMNS 72u
#define WORD_MAX 200u
/* So many recipients are told about at length, the others in short. */
#define TOLD_AT_LENGTH 50u
#define ANY UINT16_MAX

/* RFC 3463 codes in plain words; the first row that fits counts. */
struct advice {
	uint16_t subject, detail;
	const char *what, *todo;
};

#define ASK_OTHER_WAY "Check the address for typing mistakes, or ask the recipient in another way."
#define SHOW_ADMIN                                                                                 \
	"If the message is legitimate, reach the recipient in another way and show them the "      \
	"server's words."

static const struct advice advices[] = {
    {1, 10, "The domain of this address says that it takes no mail at all.", ASK_OTHER_WAY},
    {1, 2, "The domain of this address does not exist or takes no mail.", ASK_OTHER_WAY},
    {1, 8, "The recipient's server does not accept your sender address.",
	"Check that your own address is right and that its domain exists."},
    {1, 7, "The recipient's server does not accept your sender address.",
	"Check that your own address is right and that its domain exists."},
    {1, 6, "The mailbox has moved, and its server does not know where to.", ASK_OTHER_WAY},
    {1, ANY, "The recipient's server does not know this address.", ASK_OTHER_WAY},
    {2, 1, "The mailbox is switched off and takes no mail.", "Reach the recipient in another way."},
    {2, 2, "The recipient's mailbox is full.",
	"Try again later, or tell the recipient in another way that the mailbox is full."},
    {2, 3, "The message is too large for the recipient's mailbox.",
	"Send a smaller message, for instance with a link instead of an attachment."},
    {2, ANY, "The recipient's mailbox cannot take the message now.",
	"Try again later, or reach the recipient in another way."},
    {3, 4, "The message is too large for the recipient's server.",
	"Send a smaller message, for instance with a link instead of an attachment."},
    {3, ANY, "The recipient's server has a problem of its own.", "Try again later."},
    {4, 6, "The message went in a circle between mail servers.",
	"Tell your administrator: the mail routing of the recipient's domain is wrong."},
    {4, 7, "The message could not be delivered in the time that is allowed for it.",
	"Send it again later, or reach the recipient in another way."},
    {4, 3, "The name service did not tell where to deliver mail for this domain.",
	"Check the part behind the @ for typing mistakes, and try again later."},
    {4, 4, "No way to the recipient's server is known.",
	"Check the part behind the @ for typing mistakes, and try again later."},
    {4, ANY, "The recipient's server could not be reached.",
	"Try again later, or reach the recipient in another way."},
    {5, 3, "The message has too many recipients for the other server.",
	"Send it to fewer recipients at a time."},
    {5, ANY, "The two mail servers did not understand each other.",
	"Tell your administrator, with this report."},
    {6, 7, "The recipient's server cannot take addresses with characters outside ASCII.",
	"Use an address in plain ASCII for this recipient."},
    {6, ANY, "The recipient's server cannot take this kind of message.",
	"Send it in another form, for instance as plain text."},
    {7, ANY, "The recipient's server refused the message by its rules.", SHOW_ADMIN},
    {ANY, ANY, "The recipient's server refused the message.", SHOW_ADMIN},
};

/* Words of text in lines of COLUMNS behind an indent; a word without end is cut. */
static void
add_wrapped(struct buf *out, const char *indent, const char *text)
{
	struct span rest = span_of(text);
	size_t column = 0, n;

	while (rest.p != NULL) {
		struct span word = span_cut(&rest, ' ');

		while (word.n > 0) {
			n = word.n < WORD_MAX ? word.n : WORD_MAX;
			/* not within a character */
			while (n < word.n && n > 1 && ((uint8_t)word.p[n] & 0xc0) == 0x80)
				n--;
			if (column > 0 && column + 1 + n > COLUMNS) {
				buf_add_str(out, "\r\n");
				column = 0;
			}
			if (column == 0) {
				buf_add_str(out, indent);
				column = strlen(indent);
			} else {
				buf_add_byte(out, ' ');
				column++;
			}
			for (size_t i = 0; i < n; i++) {
				uint8_t c = (uint8_t)word.p[i];

				buf_add_byte(out, c < 0x20 || c == 0x7f ? '?' : c);
			}
			column += n;
			word.p += n;
			word.n -= n;
		}
	}
	if (column > 0)
		buf_add_str(out, "\r\n");
}

void
dsn_text_said(struct buf *out, const struct status *st)
{
	struct status ignored = {0};
	char esc[STATUS_ESC_TEXT];
	size_t before = buf_len(out);

	if (st->origin == ORIGIN_REMOTE && st->code != 0) {
		buf_addf(out, "%u", st->code);
		if (st->esc_class != 0 && status_parse_esc(span_of(st->text), &ignored) == -1) {
			status_esc(st, esc);
			buf_addf(out, " %s", esc);
		}
	}
	if (st->text != NULL)
		buf_addf(out, "%s%s", buf_len(out) > before ? " " : "", st->text);
}

/* Nobody refused anything: we did not get so far. */
static const struct advice own_failure = {ANY, ANY, "The message could not be delivered.",
    "Try again later, or tell your administrator, with this report."};

static const struct advice *
find_advice(const struct status *st)
{
	size_t i;

	if (st->esc_class == 0 && st->origin == ORIGIN_LOCAL)
		return &own_failure;
	for (i = 0; i < ARRAY_LEN(advices) - 1; i++)
		if (st->esc_class != 0 && advices[i].subject == st->esc_subject &&
		    (advices[i].detail == ANY || advices[i].detail == st->esc_detail))
			break;
	return &advices[i];
}

static void
add_date(struct buf *out, int64_t ms)
{
	char date[HEADER_DATE_TEXT];

	header_format_date(ms, date);
	buf_add_str(out, date);
}

/* "12 attempts, the last one on ... with mx.example.net (192.0.2.7)." */
static void
add_tried(struct buf *out, const struct dsn_rcpt *d, const struct status *st)
{
	struct buf line = BUF_INIT;
	uint32_t tries = d->rcpt->attempts;

	buf_add_str(&line, "What was tried: ");
	if (d->last_attempt_ms == 0)
		buf_add_str(&line, "no attempt was made");
	else {
		if (tries > 1)
			buf_addf(&line, "%u attempts, the last one on ", tries);
		else
			buf_add_str(&line, "one attempt on ");
		add_date(&line, d->last_attempt_ms);
		if (st->remote != NULL)
			buf_addf(&line, " with the server %s", st->remote);
		if (st->remote_ip != NULL)
			buf_addf(&line, st->remote != NULL ? " (%s)" : " with %s", st->remote_ip);
	}
	buf_add_str(&line, ".");
	add_wrapped(out, "    ", buf_cstr(&line));
	buf_clear(&line);
}

static const char *
success_text(enum dsn_action action)
{
	switch (action) {
	case DSN_DELIVERED:
		return "The message was delivered.";
	case DSN_RELAYED:
		return "The message was handed to a server that does not report on deliveries. You "
		       "may hear nothing more of it.";
	case DSN_EXPANDED:
		return "The message was handed on to the members of a list.";
	case DSN_FAILED:
	case DSN_DELAYED:
		break;
	}
	return NULL;
}

static void
add_said(struct buf *out, const struct status *st)
{
	struct buf said = BUF_INIT;

	dsn_text_said(&said, st);
	if (buf_len(&said) > 0) {
		add_wrapped(out, "    ",
		    st->origin == ORIGIN_REMOTE ? "What the other server said:" : "In detail:");
		add_wrapped(out, "        ", buf_cstr(&said));
	}
	buf_clear(&said);
}

static void
add_rcpt(struct buf *out, const struct dsn_rcpt *d, bool at_length)
{
	static const struct status none = {0};
	const struct status *st = d->status != NULL ? d->status : &none;
	const struct advice *a = find_advice(st);
	struct buf line = BUF_INIT;
	char text[ADDR_TEXT];

	addr_format(&d->rcpt->addr, text);
	buf_addf(out, "<%s>\r\n", text);
	if (success_text(d->action) != NULL) {
		add_wrapped(out, "    ", success_text(d->action));
		goto out;
	}
	if (!at_length) {
		add_said(out, st);
		goto out;
	}
	buf_addf(&line, "What happened: %s", st->diagnosis != NULL ? st->diagnosis : a->what);
	if (d->action == DSN_FAILED && st->verdict == V_TEMP && st->diagnosis == NULL &&
	    d->rcpt->attempts > 1)
		buf_add_str(&line, " We tried again until the time for it was over.");
	add_wrapped(out, "    ", buf_cstr(&line));
	add_tried(out, d, st);
	add_said(out, st);
	buf_reset(&line);
	buf_add_str(&line, "What to do: ");
	if (d->action == DSN_DELAYED) {
		buf_add_str(&line, "nothing. We go on trying");
		if (d->will_retry_until_ms != 0) {
			buf_add_str(&line, " until ");
			add_date(&line, d->will_retry_until_ms);
		}
		buf_add_str(&line, " and tell you if it fails.");
	} else
		buf_add_str(&line, a->todo);
	add_wrapped(out, "    ", buf_cstr(&line));
out:
	buf_add_str(out, "\r\n");
	buf_clear(&line);
}

static void
add_message(struct buf *out, const struct message *m)
{
	struct buf line = BUF_INIT;
	char mid[UUID_TEXT];

	buf_add_str(&line, "Sent: ");
	add_date(&line, m->received_ms);
	add_wrapped(out, "    ", buf_cstr(&line));
	if (m->subject != NULL) {
		buf_reset(&line);
		buf_addf(&line, "Subject: %s", m->subject);
		add_wrapped(out, "    ", buf_cstr(&line));
	}
	uuid_format(&m->mid, mid);
	buf_addf(out, "    Our number for it: %s\r\n\r\n", mid);
	buf_clear(&line);
}

void
dsn_text_build(struct buf *out, const struct message *m, const struct dsn_rcpt *rcpts, size_t n,
    const struct dsn_options *o)
{
	bool failed = false, delayed = false;
	struct buf line = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		failed = failed || rcpts[i].action == DSN_FAILED;
		delayed = delayed || rcpts[i].action == DSN_DELAYED;
	}
	buf_addf(&line, "This is the mail system at %s.", o->hostname);
	add_wrapped(out, "", buf_cstr(&line));
	buf_add_str(out, "\r\n");
	add_wrapped(out, "",
	    failed ? "Your message could not be delivered to the recipients below. We have given "
		     "up for them; nobody will try again."
	    : delayed
		? "Your message has not been delivered to the recipients below yet. This is a "
		  "warning only: you need not send it again."
		: "You asked for a report. Your message has reached the recipients below.");
	buf_add_str(out, "\r\n");
	add_message(out, m);
	for (size_t i = 0; i < n; i++)
		add_rcpt(out, &rcpts[i], i < TOLD_AT_LENGTH);
	add_wrapped(out, "",
	    o->original_full ? "A technical report and your message are attached."
			     : "A technical report and the header of your message are attached.");
	if (o->postmaster != NULL) {
		buf_reset(&line);
		buf_addf(&line, "If you need help, forward all of this to %s.", o->postmaster);
		add_wrapped(out, "", buf_cstr(&line));
	}
	buf_clear(&line);
}
