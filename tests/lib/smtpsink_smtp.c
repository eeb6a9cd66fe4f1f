/* SPDX-License-Identifier: ISC */
/*
 * The protocol side of smtpsink: commands, DATA and BDAT. It keeps only the
 * beginning of a message: the header and, in a DSN, the returned header hold the
 * UUID that smtpload wrote (X-Seq).
 */
#include "smtpsink.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void
sink_reply(struct sink_conn *c, const char *fmt, ...)
{
	va_list ap;
	size_t room = sizeof(c->out) - c->out_len;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(c->out + c->out_len, room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= room)
		c->dead = true; /* a client that does not read */
	else
		c->out_len += (size_t)n;
}

static bool
drawn(int percent)
{
	return percent > 0 && random() % 100 < percent;
}

static bool
has(const char *extension)
{
	return sink_opt.without == NULL || strstr(sink_opt.without, extension) == NULL;
}

void
sink_greet(struct sink_conn *c)
{
	sink_reply(c, "220 sink.example ESMTP smtpsink\r\n");
}

static void
forget(struct sink_conn *c)
{
	c->rcpts_ok = 0;
	c->head_len = c->list_len = c->data_len = 0;
	c->head_done = c->is_dsn = c->chunking = false;
	c->uuid[0] = '\0';
}

static void
cmd_ehlo(struct sink_conn *c)
{
	static const char *const list[] = {"PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE",
	    "CHUNKING", "ENHANCEDSTATUSCODES", NULL};

	forget(c);
	sink_reply(c, "250-sink.example\r\n");
	for (size_t i = 0; list[i] != NULL; i++)
		if (has(list[i]))
			sink_reply(c, "250-%s%s\r\n", list[i],
			    strcmp(list[i], "SIZE") == 0 ? " 104857600" : "");
	if (sink_opt.cert != NULL && !c->encrypted)
		sink_reply(c, "250-STARTTLS\r\n");
	sink_reply(c, "250 HELP\r\n");
}

static void
cmd_rcpt(struct sink_conn *c, const char *arg)
{
	const char *a = strchr(arg, '<'), *b = a != NULL ? strchr(a, '>') : NULL;
	unsigned hash = 5381;
	size_t n;

	if (b == NULL) {
		sink_reply(c, "501 5.1.3 no address\r\n");
		return;
	}
	n = (size_t)(b - a) - 1;
	for (size_t i = 0; i < n; i++)
		hash = hash * 33 + (unsigned char)a[1 + i];
	if (sink_opt.permfail > 0 && (int)(hash % 100) < sink_opt.permfail) {
		sink_stats->permfailed++;
		sink_reply(c, "550 5.1.1 no such user\r\n");
	} else if (drawn(sink_opt.tempfail)) {
		sink_stats->tempfailed++;
		sink_reply(c, "451 4.2.1 try again later\r\n");
	} else {
		if (c->list_len + n + 2 < sizeof(c->list)) {
			if (c->list_len > 0)
				c->list[c->list_len++] = ',';
			memcpy(c->list + c->list_len, a + 1, n);
			c->list_len += n;
			c->list[c->list_len] = '\0';
		}
		c->rcpts_ok++;
		sink_reply(c, "250 2.1.5 ok\r\n");
	}
}

static void
cmd_bdat(struct sink_conn *c, const char *arg)
{
	char *end;

	c->chunk_left = strtoull(arg, &end, 10);
	c->chunk_last = strcasestr(end, "LAST") != NULL;
	if (c->rcpts_ok == 0)
		c->dead = true; /* nothing that we test does this */
	c->chunking = true;
	c->in_data = true;
}

static void
command(struct sink_conn *c, char *line)
{
	if (strncasecmp(line, "MAIL", 4) == 0) {
		forget(c);
		sink_reply(c, "250 2.1.0 ok\r\n");
	} else if (strncasecmp(line, "RCPT", 4) == 0) {
		cmd_rcpt(c, line + 4);
	} else if (strncasecmp(line, "DATA", 4) == 0) {
		if (c->rcpts_ok == 0) {
			sink_reply(c, "554 5.5.1 no valid recipients\r\n");
			return;
		}
		sink_reply(c, "354 go on\r\n");
		c->in_data = c->line_start = true;
	} else if (strncasecmp(line, "BDAT", 4) == 0) {
		cmd_bdat(c, line + 4);
	} else if (strncasecmp(line, "EHLO", 4) == 0 || strncasecmp(line, "HELO", 4) == 0) {
		cmd_ehlo(c);
	} else if (strncasecmp(line, "STARTTLS", 8) == 0 && sink_opt.cert != NULL &&
		   !c->encrypted) {
		sink_reply(c, "220 2.0.0 go on\r\n");
		c->handshaking = true;
	} else if (strncasecmp(line, "QUIT", 4) == 0) {
		sink_reply(c, "221 2.0.0 bye\r\n");
		c->dead = true;
	} else if (strncasecmp(line, "RSET", 4) == 0 || strncasecmp(line, "NOOP", 4) == 0) {
		if (*line == 'R' || *line == 'r')
			forget(c);
		sink_reply(c, "250 2.0.0 ok\r\n");
	} else {
		sink_reply(c, "502 5.5.2 unknown command\r\n");
	}
}

/* Looks for the UUID in what has been kept. */
static void
look_into(struct sink_conn *c, bool all)
{
	const char *seq, *blank;

	if (c->uuid[0] != '\0' || c->head_len == 0)
		return;
	c->head[c->head_len] = '\0';
	seq = strstr(c->head, "X-Seq: ");
	if (seq == NULL || (!all && (size_t)(c->head + c->head_len - seq) < 7 + 36))
		return;
	blank = strstr(c->head, "\r\n\r\n");
	c->is_dsn = blank != NULL && blank < seq;
	snprintf(c->uuid, sizeof(c->uuid), "%.36s", seq + 7);
	c->uuid[strcspn(c->uuid, "\r\n ")] = '\0';
}

static void
keep(struct sink_conn *c, const char *data, size_t n)
{
	size_t room = SINK_HEAD - 1 - c->head_len;

	c->data_len += n;
	sink_stats->bytes += n;
	if (c->uuid[0] != '\0' && sink_opt.save == NULL)
		return;
	if (n > room)
		n = room;
	memcpy(c->head + c->head_len, data, n);
	c->head_len += n;
	look_into(c, false);
}

static void
message_end(struct sink_conn *c)
{
	c->in_data = c->chunking = false;
	if (drawn(sink_opt.drop)) {
		c->dead = true; /* not recorded: the client must come again */
		c->out_len = c->out_off = 0;
		return;
	}
	if (drawn(sink_opt.dotfail)) {
		sink_stats->tempfailed++;
		sink_reply(c, "451 4.3.0 try again later\r\n");
		forget(c);
		return;
	}
	look_into(c, true);
	sink_record(c);
	sink_stats->messages++;
	sink_stats->rcpts += (uint64_t)c->rcpts_ok;
	sink_stats->last_ns = (uint64_t)sink_now();
	sink_reply(c, "250 2.0.0 taken\r\n");
	forget(c);
	if (sink_opt.delay_ms > 0)
		sink_delay(c);
}

/* Takes DATA up to CRLF.CRLF; gives how much was used. */
static size_t
take_data(struct sink_conn *c, const char *p, size_t n)
{
	size_t used;
	const char *end;

	if (c->line_start && n < 3)
		return 0;
	if (c->line_start && memcmp(p, ".\r\n", 3) == 0) {
		message_end(c);
		return 3;
	}
	c->line_start = false;
	end = memmem(p, n, "\r\n.\r\n", 5);
	if (end != NULL) {
		keep(c, p, (size_t)(end - p) + 2);
		message_end(c);
		return (size_t)(end - p) + 5;
	}
	if (n < 5)
		return 0;
	used = n - 4; /* the last octets may be the beginning of the end */
	keep(c, p, used);
	return used;
}

static size_t
take_chunk(struct sink_conn *c, const char *p, size_t n)
{
	if (n > c->chunk_left)
		n = (size_t)c->chunk_left;
	keep(c, p, n);
	c->chunk_left -= n;
	if (c->chunk_left > 0)
		return n;
	if (c->chunk_last) {
		message_end(c);
	} else {
		c->in_data = false;
		sink_reply(c, "250 2.0.0 chunk taken\r\n");
	}
	return n;
}

void
sink_input(struct sink_conn *c)
{
	size_t from = 0;

	while (!c->dead && !c->handshaking && !c->delayed) {
		size_t left = c->in_len - from, n;
		char *nl;

		if (c->in_data) {
			if (left == 0 && !(c->chunking && c->chunk_left == 0))
				break;
			n = c->chunking ? take_chunk(c, c->in + from, left)
			                : take_data(c, c->in + from, left);
			if (n == 0 && c->in_data)
				break;
			from += n;
			continue;
		}
		if ((nl = memchr(c->in + from, '\n', left)) == NULL) {
			if (left > 4096)
				c->dead = true;
			break;
		}
		*nl = '\0';
		command(c, c->in + from);
		from = (size_t)(nl - c->in) + 1;
	}
	memmove(c->in, c->in + from, c->in_len - from);
	c->in_len -= from;
	if (c->handshaking)
		c->in_len = 0; /* RFC 3207: nothing from before the handshake counts */
}
