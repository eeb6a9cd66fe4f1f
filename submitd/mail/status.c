/* SPDX-License-Identifier: ISC */
/*
 * The outcome of a check, a command or a delivery try, in one struct that travels
 * unchanged from where the fact is known to the reply, the log and the DSN.
 * Pure; used by every role. Texts are made one clean line here, because they
 * may come from a hostile server; it must never pass on CR, LF or broken UTF-8.
 */
#include "mail/status.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* What one text of a status may hold; the rest is cut off at a character's border. */
#define STATUS_TEXT_MAX 2000u
#define STATUS_RECORD_VERSION 1u

const char *
verdict_name(enum verdict v)
{
	switch (v) {
	case V_TEMP:
		return "temp";
	case V_OK:
		return "ok";
	case V_NEXT:
		return "next";
	case V_PERM:
		return "perm";
	case V__MAX:
		break;
	}
	return "temp";
}

/* Octets of the UTF-8 character at p, or 0 where there is none. */
static size_t
utf8_len(const char *p, size_t n)
{
	uint8_t c = (uint8_t)p[0];
	size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	if (len > n || !utf8_valid((struct span){p, len}))
		return 0;
	return len;
}

/* A copy that is one line of valid UTF-8 within the limit; NULL where nothing is left. */
static char *
clean_line(struct span s)
{
	char *out;
	size_t i, len, o = 0;

	if (s.n == 0)
		return NULL;
	out = xmalloc((s.n < STATUS_TEXT_MAX ? s.n : STATUS_TEXT_MAX) + 1);
	for (i = 0; i < s.n; i += len) {
		uint8_t c = (uint8_t)s.p[i];
		bool bad = false;

		len = utf8_len(s.p + i, s.n - i);
		if (len == 0 || c < 0x20 || c == 0x7f) {
			bad = true;
			len = 1;
		}
		if (o + len > STATUS_TEXT_MAX)
			break;
		if (bad)
			out[o++] = c < 0x80 ? ' ' : '?';
		else {
			memcpy(out + o, s.p + i, len);
			o += len;
		}
	}
	while (o > 0 && out[o - 1] == ' ')
		o--;
	out[o] = '\0';
	if (o == 0) {
		free(out);
		out = NULL;
	}
	return out;
}

void
status_clear(struct status *s)
{
	free(s->text);
	free(s->remote);
	free(s->remote_ip);
	free(s->diagnosis);
	memset(s, 0, sizeof(*s));
}

void
status_set(struct status *s, enum verdict v, unsigned code, const char *esc, const char *fmt, ...)
{
	struct status fresh = {.verdict = v, .code = (uint16_t)code};
	struct buf text = BUF_INIT;
	va_list ap;

	/* The arguments may point into *s: clear it last. */
	va_start(ap, fmt);
	buf_vaddf(&text, fmt, ap);
	va_end(ap);
	fresh.text = clean_line(buf_span(&text));
	buf_clear(&text);
	if (esc != NULL)
		(void)status_parse_esc(span_of(esc), &fresh);
	status_clear(s);
	*s = fresh;
}

void
status_copy(struct status *dst, const struct status *src)
{
	struct status fresh = *src;

	if (dst == src)
		return;
	fresh.text = xstrdup(src->text);
	fresh.remote = xstrdup(src->remote);
	fresh.remote_ip = xstrdup(src->remote_ip);
	fresh.diagnosis = xstrdup(src->diagnosis);
	status_clear(dst);
	*dst = fresh;
}

void
status_esc(const struct status *s, char out[STATUS_ESC_TEXT])
{
	unsigned class = s->verdict == V_OK ? 2 : s->verdict == V_PERM ? 5 : 4;

	if (s->esc_class == 0)
		(void)str_printf(out, STATUS_ESC_TEXT, "%u.0.0", class);
	else
		(void)str_printf(out, STATUS_ESC_TEXT, "%u.%u.%u", s->esc_class % 10u,
		    s->esc_subject % 1000u, s->esc_detail % 1000u);
}

/* One to three digits at *i. */
static int
esc_number(struct span s, size_t *i, uint16_t *out)
{
	unsigned value = 0;
	size_t from = *i;

	while (*i < s.n && *i < from + 3 && s.p[*i] >= '0' && s.p[*i] <= '9')
		value = value * 10 + (unsigned)(s.p[(*i)++] - '0');
	if (*i == from || (*i < s.n && s.p[*i] >= '0' && s.p[*i] <= '9'))
		return -1;
	*out = (uint16_t)value;
	return 0;
}

int
status_parse_esc(struct span s, struct status *st)
{
	uint16_t subject, detail;
	size_t i = 2;

	/* RFC 3463, 2: class "." subject "." detail, here followed by the text or nothing */
	if (s.n < 5 || s.p[1] != '.' || (s.p[0] != '2' && s.p[0] != '4' && s.p[0] != '5'))
		return -1;
	if (esc_number(s, &i, &subject) == -1 || i >= s.n || s.p[i++] != '.' ||
	    esc_number(s, &i, &detail) == -1)
		return -1;
	if (i < s.n && s.p[i] != ' ' && s.p[i] != '\t')
		return -1;
	st->esc_class = (uint8_t)(s.p[0] - '0');
	st->esc_subject = subject;
	st->esc_detail = detail;
	return 0;
}

void
status_encode(struct buf *b, const struct status *s)
{
	buf_put_u8(b, STATUS_RECORD_VERSION);
	buf_put_u8(b, (uint8_t)s->verdict);
	buf_put_u16(b, s->code);
	buf_put_u8(b, s->esc_class);
	buf_put_u16(b, s->esc_subject);
	buf_put_u16(b, s->esc_detail);
	buf_put_u8(b, (uint8_t)s->origin);
	buf_put_cstr(b, s->text);
	buf_put_cstr(b, s->remote);
	buf_put_cstr(b, s->remote_ip);
	buf_put_cstr(b, s->diagnosis);
}

int
status_decode(struct rd *r, struct status *out)
{
	struct status s = {0};
	uint8_t version = rd_u8(r), verdict = rd_u8(r), origin;
	struct span text, remote, remote_ip, diagnosis;

	s.code = rd_u16(r);
	s.esc_class = rd_u8(r);
	s.esc_subject = rd_u16(r);
	s.esc_detail = rd_u16(r);
	origin = rd_u8(r);
	text = rd_bytes(r);
	remote = rd_bytes(r);
	remote_ip = rd_bytes(r);
	diagnosis = rd_bytes(r);
	if (r->bad || version != STATUS_RECORD_VERSION || verdict >= V__MAX ||
	    origin >= ORIGIN__MAX || s.code > 999 || s.esc_subject > 999 || s.esc_detail > 999 ||
	    (s.esc_class != 0 && s.esc_class != 2 && s.esc_class != 4 && s.esc_class != 5)) {
		r->bad = true;
		return -1;
	}
	s.verdict = (enum verdict)verdict;
	s.origin = (enum status_origin)origin;
	s.text = clean_line(text);
	s.remote = clean_line(remote);
	s.remote_ip = clean_line(remote_ip);
	s.diagnosis = clean_line(diagnosis);
	status_clear(out);
	*out = s;
	return 0;
}
