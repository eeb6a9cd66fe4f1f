/* SPDX-License-Identifier: ISC */
#ifndef TESTS_UNIT_SMTP_CLIENT_TEST_H
#define TESTS_UNIT_SMTP_CLIENT_TEST_H

/* What the tests of the SMTP client share: dialogues without network and time. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/str.h"
#include "mail/smtp_client.h"

/*
 * A script, line by line:  S: the server says   C: we must have sent exactly this   = what happened
 *   !begin !sent !tls !lost !quit: what the caller does
 * The end: state, then for each recipient verdict, code and enhanced code, or "open".
 */
struct dialogue {
	const char *name;
	enum smtp_client_tls tls;
	unsigned flags; /* of the message */
	bool has_8bit;
	unsigned rcpts;
	const char *script, *end;
};

#define OPEN "S:220 hi\nC:EHLO us.example\n"
#define PIPE OPEN "S:250-mx\nS:250 PIPELINING\n=ready\n"
#define PLAIN OPEN "S:250 mx\n=ready\n"
#define TX2                                                                                        \
	"C:MAIL FROM:<s@a.example>\nC:RCPT TO:<r0@b.example>\nC:RCPT TO:<r1@b.example>\nC:DATA\n"
#define TX1 "C:MAIL FROM:<s@a.example>\nC:RCPT TO:<r0@b.example>\nC:DATA\n"

struct fixture {
	struct smtp_client c;
	struct smtp_client_rcpt rcpts[2];
	struct message *msg;
	struct buf out, in;
	enum smtp_client_event ev;
	bool bytewise;
};

static const char *const event_names[] = {
    "more", "tls", "ready", "send", "done", "failed", "challenge", "authed", "refused"};

static inline void
fixture_start(struct fixture *f, const struct dialogue *d)
{
	struct smtp_client_options opt = {"us.example", "mx.example", "192.0.2.7", d->tls};

	memset(f, 0, sizeof(*f));
	smtp_client_init(&f->c, &opt);
	f->msg = message_new();
	f->msg->flags = d->flags;
	f->msg->size = 1000;
	f->msg->ret = RET_HDRS;
	f->msg->envid = xstrdup("E+201");
	assert_int_equal(addr_parse(span_of("s@a.example"), 0, &f->msg->sender), ADDR_OK);
	for (unsigned i = 0; i < d->rcpts; i++) {
		struct rcpt *r = message_add_rcpt(f->msg);
		char text[40];

		str_printf(text, sizeof(text), "r%u@b.example", i);
		assert_int_equal(addr_parse(span_of(text), 0, &r->addr), ADDR_OK);
		r->notify = NOTIFY_SUCCESS | NOTIFY_FAILURE;
		r->orcpt = xstrdup("rfc822;x@y");
	}
	for (unsigned i = 0; i < d->rcpts; i++)
		f->rcpts[i].rcpt = &f->msg->rcpts[i];
}

static inline void
fixture_end(struct fixture *f)
{
	for (size_t i = 0; i < ARRAY_LEN(f->rcpts); i++)
		status_clear(&f->rcpts[i].status);
	smtp_client_clear(&f->c);
	message_free(f->msg);
	buf_clear(&f->out);
	buf_clear(&f->in);
}

/* What was not taken is shown again with more behind it, as io does. */
static inline void
feed(struct fixture *f, const char *p, size_t n)
{
	size_t used;

	for (size_t i = 0; i < n; i += f->bytewise ? 1 : n) {
		buf_add(&f->in, p + i, f->bytewise ? 1 : n);
		f->ev = smtp_client_feed(&f->c, buf_data(&f->in), buf_len(&f->in), &used, &f->out);
		buf_consume(&f->in, used);
	}
}

static inline void
say(struct fixture *f, struct span line)
{
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < line.n; i++) {
		if (line.n - i >= 4 && memcmp(line.p + i, "\\r\\n", 4) == 0) {
			buf_add_str(&b, "\r\n");
			i += 3;
		} else {
			buf_add_byte(&b, (uint8_t)line.p[i]);
		}
	}
	buf_add_str(&b, "\r\n");
	feed(f, (const char *)buf_data(&b), buf_len(&b));
	buf_clear(&b);
}

/* "!auth MECH [INITIAL]", "!answer [TEXT]", "!cancel", "!rubbish" (the challenge is) */
static inline bool
act_auth(struct fixture *f, const char *what)
{
	struct span rest = span_of(what), verb = span_cut(&rest, ' '), mech, text;
	struct buf b = BUF_INIT;
	char name[32];

	if (span_eq(verb, "!auth")) {
		mech = span_cut(&rest, ' ');
		assert_int_equal(str_copy_span(name, sizeof(name), mech), 0);
		text = rest.p != NULL && span_eq(rest, "=") ? span_of("") : rest;
		assert_true(smtp_client_auth(&f->c, name, rest.p == NULL ? NULL : &text, &f->out));
	} else if (span_eq(verb, "!answer")) {
		text = rest.p == NULL ? span_of("") : rest;
		assert_int_equal(smtp_client_challenge(&f->c, &b), 0);
		smtp_client_answer(&f->c, &text, &f->out);
	} else if (span_eq(verb, "!cancel")) {
		smtp_client_answer(&f->c, NULL, &f->out);
	} else if (span_eq(verb, "!rubbish")) {
		assert_int_equal(smtp_client_challenge(&f->c, &b), -1);
	} else {
		return false;
	}
	buf_clear(&b);
	return true;
}

static inline void
act(struct fixture *f, const struct dialogue *d, const char *what)
{
	bool begin = strcmp(what, "!begin") == 0;

	f->ev = SMTP_CLIENT_MORE;
	if (begin)
		for (unsigned i = 0; i < d->rcpts; i++)
			f->rcpts[i].state = SMTP_RCPT_OPEN;
	if (begin || strcmp(what, "!again") == 0)
		f->ev = smtp_client_begin(&f->c, f->msg, d->has_8bit, f->rcpts, d->rcpts, &f->out);
	else if (strcmp(what, "!sent") == 0)
		smtp_client_sent(&f->c);
	else if (strcmp(what, "!tls") == 0)
		smtp_client_tls_up(&f->c, &f->out);
	else if (strcmp(what, "!lost") == 0)
		f->ev = smtp_client_lost(&f->c, "4.4.2", "lost");
	else if (strcmp(what, "!quit") == 0)
		smtp_client_quit(&f->c, &f->out);
	else if (act_auth(f, what))
		return;
	else
		fail_msg("unknown action %s", what);
}

static inline void
step(struct fixture *f, const struct dialogue *d, const char *line)
{
	if (line[0] == 'S') {
		assert_int_equal(buf_len(&f->out), 0); /* all that we said was expected */
		say(f, span_of(line + 2));
	} else if (line[0] == 'C') {
		size_t n = strlen(line + 2);

		if (buf_len(&f->out) < n + 2 || memcmp(buf_data(&f->out), line + 2, n) != 0 ||
		    memcmp(buf_data(&f->out) + n, "\r\n", 2) != 0)
			fail_msg("%s: expected %s, sent %.*s", d->name, line + 2,
			    (int)buf_len(&f->out), (const char *)buf_data(&f->out));
		buf_consume(&f->out, n + 2);
	} else if (line[0] == '=') {
		if (strcmp(event_names[f->ev], line + 1) != 0)
			fail_msg("%s: expected %s, got %s (%s)", d->name, line + 1,
			    event_names[f->ev], f->c.failure.text);
	} else {
		act(f, d, line);
	}
}

static inline void
check_end(struct fixture *f, const struct dialogue *d)
{
	struct buf b = BUF_INIT;

	buf_add_str(&b, smtp_client_state_name(f->c.state));
	for (unsigned i = 0; i < d->rcpts; i++) {
		char esc[STATUS_ESC_TEXT];

		if (f->rcpts[i].state != SMTP_RCPT_DONE) {
			buf_add_str(&b, " open");
			continue;
		}
		status_esc(&f->rcpts[i].status, esc);
		buf_addf(&b, " %s/%u/%s", verdict_name(f->rcpts[i].status.verdict),
		    f->rcpts[i].status.code, esc);
	}
	if (strcmp(buf_cstr(&b), d->end) != 0)
		fail_msg("%s: ended with %s, expected %s", d->name, buf_cstr(&b), d->end);
	/* a failure is never permanent */
	assert_int_equal(f->c.failure.verdict, V_TEMP);
	assert_int_equal(buf_len(&f->out), 0);
	buf_clear(&b);
}

/* names: sender and recipients instead of the usual ones, or NULL. */
static inline void
run(const struct dialogue *d, const char *const *names, bool bytewise)
{
	struct fixture f;
	struct span rest = span_of(d->script);
	char line[512];

	/* bytes in clear behind STARTTLS only show when they come in one piece */
	if (bytewise && strstr(d->script, "evil") != NULL)
		return;
	fixture_start(&f, d);
	f.bytewise = bytewise;
	for (unsigned i = 0; names != NULL && i <= d->rcpts; i++)
		assert_int_equal(addr_parse(span_of(names[i]), ADDR_ALLOW_UTF8,
				     i == 0 ? &f.msg->sender : &f.msg->rcpts[i - 1].addr),
		    ADDR_OK);
	while (rest.p != NULL) {
		struct span s = span_cut(&rest, '\n');

		if (s.n == 0)
			continue;
		assert_int_equal(str_copy_span(line, sizeof(line), s), 0);
		step(&f, d, line);
	}
	check_end(&f, d);
	fixture_end(&f);
}

#endif
