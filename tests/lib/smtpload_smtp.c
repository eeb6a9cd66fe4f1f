/* SPDX-License-Identifier: ISC */
/*
 * The protocol side of smtpload: what a session says next, and what the replies
 * to it mean. Bytes are moved in smtpload_conn.c.
 */
#include "smtpload.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
sample(struct load_samples *s, int64_t since)
{
	int64_t us = (load_now() - since) / 1000;

	if (s->n == s->cap) {
		s->cap = s->cap == 0 ? 1024 : s->cap * 2;
		s->v = realloc(s->v, s->cap * sizeof(*s->v));
		if (s->v == NULL)
			abort();
	}
	s->v[s->n++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

void
load_put(struct load_conn *c, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(c->out + c->out_len, LOAD_OUT - c->out_len, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= LOAD_OUT - c->out_len)
		abort(); /* the longest group of commands fits */
	c->out_len += (size_t)n;
}

static void
uuid_of(const struct load_worker *w, uint64_t seq, char out[37])
{
	uint64_t r = w->run->run_id;

	snprintf(out, 37, "%08x-%04x-4%03x-8%03x-%04x%08x", (unsigned)(r >> 32),
	    (unsigned)(r >> 16) & 0xffffu, (unsigned)(r >> 4) & 0xfffu, (unsigned)w->index & 0xfffu,
	    (unsigned)(seq >> 32) & 0xffffu, (unsigned)seq);
}

bool
load_more(struct load_run *r)
{
	return !atomic_load(&r->stop) && r->opt.idle == 0 &&
	       atomic_load(&r->claimed) < r->opt.messages;
}

/* Takes one of the messages that are to be sent. */
static bool
claim(struct load_run *r)
{
	if (!load_more(r))
		return false;
	if (atomic_fetch_add(&r->claimed, 1) < r->opt.messages)
		return true;
	atomic_fetch_sub(&r->claimed, 1);
	return false;
}

static void
put_base64(struct load_conn *c, const char *data, size_t n)
{
	unsigned char text[1024];

	if (n > 700)
		abort();
	EVP_EncodeBlock(text, (const unsigned char *)data, (int)n);
	load_put(c, "%s\r\n", (char *)text);
}

static void
send_auth(struct load_worker *w, struct load_conn *c)
{
	const struct load_options *o = &w->run->opt;
	char plain[700];
	int n;

	if (o->auth == LOAD_AUTH_LOGIN) {
		load_put(c, "AUTH LOGIN\r\n");
		c->step = STEP_AUTH_USER;
		return;
	}
	if (o->auth == LOAD_AUTH_NOOP) {
		load_put(c, "NOOP\r\n");
		c->step = STEP_AUTH;
		return;
	}
	n = snprintf(plain, sizeof(plain), "%c%s%c%s", '\0', o->user, '\0', o->password);
	load_put(c, "AUTH PLAIN ");
	put_base64(c, plain, (size_t)n);
	c->step = STEP_AUTH;
}

static void
send_message(struct load_worker *w, struct load_conn *c)
{
	const struct load_run *r = w->run;
	char uuid[37], head[400];
	size_t room;
	int n;

	uuid_of(w, c->seq, uuid);
	n = snprintf(head, sizeof(head),
	    "Message-ID: <%s@load.example>\r\nX-Seq: %s\r\nFrom: <%s>\r\nTo: <u0@%s>\r\n"
	    "Subject: load %s\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n\r\n",
	    uuid, uuid, r->opt.from, r->opt.to_domain, uuid);
	if (r->opt.bdat)
		load_put(c, "BDAT %zu LAST\r\n", (size_t)n + r->body_len);
	load_put(c, "%s", head);
	room = LOAD_OUT - c->out_len;
	c->body_off = room > r->body_len ? r->body_len : room;
	memcpy(c->out + c->out_len, r->body, c->body_off);
	c->out_len += c->body_off;
	if (c->body_off == r->body_len && !r->opt.bdat && LOAD_OUT - c->out_len >= 4) {
		load_put(c, ".\r\n");
	} else {
		c->body_on = true;
		c->end_on = !r->opt.bdat;
	}
	c->step = STEP_END;
}

static void
put_rcpt(struct load_worker *w, struct load_conn *c, int i)
{
	const struct load_options *o = &w->run->opt;

	if (o->domains > 0)
		load_put(c, "RCPT TO:<u%d@d%d.%s>\r\n", i,
		    (int)((c->seq + (unsigned)i) % (unsigned)o->domains), o->to_domain);
	else
		load_put(c, "RCPT TO:<u%d@%s>\r\n", i, o->to_domain);
}

/* Ready for a transaction: the next one, or the end. */
void
load_next(struct load_worker *w, struct load_conn *c)
{
	struct load_run *r = w->run;

	if (r->opt.idle > 0) {
		c->step = STEP_IDLE;
		return;
	}
	if (r->opt.logins && claim(r))
		atomic_fetch_add(&r->ok, 1); /* the session was all */
	if (r->opt.logins || c->sent >= r->opt.per_connection || !claim(r)) {
		load_put(c, "QUIT\r\n");
		c->step = STEP_QUIT;
		return;
	}
	c->sent++;
	c->seq = w->seq++;
	c->mail_at = load_now();
	c->rcpts_left = r->opt.rcpts;
	c->rcpts_ok = c->worst = 0;
	load_put(c, "MAIL FROM:<%s>%s\r\n", r->opt.from, r->opt.pipelining ? " BODY=8BITMIME" : "");
	c->step = STEP_MAIL;
	if (r->opt.pipelining) {
		for (int i = 0; i < r->opt.rcpts; i++)
			put_rcpt(w, c, i);
		if (!r->opt.bdat)
			load_put(c, "DATA\r\n");
	}
}

/* A message was not taken. The session goes on with RSET's effect: the server has forgotten it. */
static void
message_refused(struct load_worker *w, struct load_conn *c)
{
	struct load_run *r = w->run;
	bool temp = c->worst < 500;

	atomic_fetch_add(temp ? &r->refused_temp : &r->refused_perm, 1);
	if (r->opt.retry && temp)
		atomic_fetch_sub(&r->claimed, 1);
	c->step = STEP_QUIT; /* a new session, so that no state is left over */
	load_put(c, "QUIT\r\n");
}

static void
message_taken(struct load_worker *w, struct load_conn *c)
{
	struct load_run *r = w->run;
	char line[40];

	sample(&w->message, c->mail_at);
	if (r->acked_fd != -1) {
		uuid_of(w, c->seq, line);
		line[36] = '\n';
		if (write(r->acked_fd, line, 37) != 37)
			abort();
	}
	atomic_fetch_add(&r->ok, 1);
	if (r->opt.pause_ms > 0) {
		c->step = STEP_PAUSE;
		c->when = load_now() + (int64_t)r->opt.pause_ms * 1000000;
	} else {
		load_next(w, c);
	}
}

static void
logged_in(struct load_worker *w, struct load_conn *c)
{
	sample(&w->login, c->started);
	atomic_fetch_add(&w->run->sessions, 1);
	if (atomic_fetch_add(&w->run->logged_in, 1) + 1 == w->run->opt.idle) {
		printf("idle %d\n", w->run->opt.idle);
		fflush(stdout);
	}
	load_next(w, c);
}

static void
after_ehlo(struct load_worker *w, struct load_conn *c)
{
	const struct load_options *o = &w->run->opt;

	if (o->tls == LOAD_TLS_STARTTLS && !c->encrypted) {
		load_put(c, "STARTTLS\r\n");
		c->step = STEP_STARTTLS;
	} else if (o->auth != LOAD_AUTH_NONE) {
		send_auth(w, c);
	} else {
		logged_in(w, c);
	}
}

static void
transaction_step(struct load_worker *w, struct load_conn *c, int code)
{
	const struct load_options *o = &w->run->opt;
	bool good = code / 100 == 2;

	if (!good && code / 100 != 3 && (c->worst == 0 || code < c->worst))
		c->worst = code;
	if (c->step == STEP_MAIL) {
		c->step = STEP_RCPT;
		if (!o->pipelining && !good)
			message_refused(w, c);
		else if (!o->pipelining)
			put_rcpt(w, c, 0);
		return;
	}
	if (c->step == STEP_RCPT) {
		c->rcpts_ok += good;
		if (--c->rcpts_left > 0) {
			if (!o->pipelining)
				put_rcpt(w, c, o->rcpts - c->rcpts_left);
			return;
		}
		if (o->bdat || (c->rcpts_ok == 0 && !o->pipelining)) {
			if (c->rcpts_ok == o->rcpts)
				send_message(w, c);
			else
				message_refused(w, c);
			return;
		}
		c->step = STEP_DATA;
		if (!o->pipelining)
			load_put(c, "DATA\r\n");
		return;
	}
	/* STEP_DATA: with a refused recipient the message does not count; it is cut off. */
	if (code != 354)
		message_refused(w, c);
	else if (c->rcpts_ok == o->rcpts)
		send_message(w, c);
	else
		c->rejected = true;
}

static void
step_forward(struct load_worker *w, struct load_conn *c, int code)
{
	const struct load_options *o = &w->run->opt;

	switch (c->step) {
	case STEP_BANNER:
		load_put(c, "EHLO load.example\r\n");
		c->step = STEP_EHLO;
		break;
	case STEP_EHLO:
		after_ehlo(w, c);
		break;
	case STEP_STARTTLS:
		c->step = STEP_HANDSHAKE;
		break;
	case STEP_AUTH_USER:
		put_base64(c, o->user, strlen(o->user));
		c->step = STEP_AUTH_PASSWORD;
		break;
	case STEP_AUTH_PASSWORD:
		put_base64(c, o->password, strlen(o->password));
		c->step = STEP_AUTH;
		break;
	case STEP_AUTH:
		logged_in(w, c);
		break;
	case STEP_MAIL:
	case STEP_RCPT:
	case STEP_DATA:
		transaction_step(w, c, code);
		break;
	case STEP_END:
		if (code == 250) {
			message_taken(w, c);
		} else {
			c->worst = code;
			message_refused(w, c);
		}
		break;
	case STEP_CLOSED:
	case STEP_CONNECT:
	case STEP_HANDSHAKE:
	case STEP_QUIT:
	case STEP_PAUSE:
	case STEP_IDLE:
	case STEP_DONE:
		break;
	}
}

int
load_reply(struct load_worker *w, struct load_conn *c, const char *line, size_t len)
{
	int code;
	bool in_message = c->step >= STEP_MAIL && c->step <= STEP_END;

	if (len < 3)
		return -1;
	code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
	if (len > 3 && line[3] == '-')
		return 0;
	if (code >= 400)
		snprintf(w->error, sizeof(w->error), "%.*s", (int)len, line);
	if (c->step == STEP_QUIT && (code == 221 || code == 421))
		return 1;
	if (code == 421 || (code >= 400 && !in_message && c->step != STEP_QUIT))
		return -1;
	step_forward(w, c, code);
	return c->rejected ? -1 : 0;
}
