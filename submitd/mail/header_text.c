/* SPDX-License-Identifier: ISC */
/*
 * Header texts: RFC 2047 words made readable for logs and lists, dates, and our
 * own Received field. Pure; used by front, queue and reports. Names given by the
 * peer (HELO) are hostile: they must never break out of their place in the field.
 */
#include "base/list.h"
#include "base/str.h"
#include "mail/header.h"

#include <string.h>
#include <time.h>

#define HELO_SHOWN 255

/* One encoded word "=?charset?B?text?=". */
struct word {
	struct span charset, text;
	char encoding;
	size_t n; /* octets in all */
};

/* windows-1252, which also reads ISO 8859-1; iconv would open files that a role may not. */
static unsigned
from_1252(uint8_t c)
{
	static const uint16_t high[32] = {0x20ac, 0xfffd, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020,
	    0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0xfffd, 0x017d, 0xfffd, 0xfffd, 0x2018,
	    0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153,
	    0xfffd, 0x017e, 0x0178};

	return c >= 0x80 && c < 0xa0 ? high[c - 0x80] : c;
}

static bool
parse_word(struct span s, struct word *w)
{
	struct span rest = {s.p + 2, s.n - 2}, encoding;
	const char *end;

	if (s.n < 8 || s.p[0] != '=' || s.p[1] != '?')
		return false;
	w->charset = span_cut(&rest, '?');
	if (rest.p == NULL || w->charset.n == 0 || w->charset.n > 40)
		return false;
	encoding = span_cut(&rest, '?');
	if (rest.p == NULL || encoding.n != 1 || strchr("BbQq", encoding.p[0]) == NULL)
		return false;
	w->encoding = encoding.p[0] & ~0x20;
	end = memchr(rest.p, '?', rest.n);
	if (end == NULL || end + 1 >= rest.p + rest.n || end[1] != '=')
		return false;
	w->text = (struct span){rest.p, (size_t)(end - rest.p)};
	w->n = (size_t)(end + 2 - s.p);
	for (size_t i = 0; i < w->n; i++)
		if ((uint8_t)s.p[i] <= ' ')
			return false;
	for (const char *star = w->charset.p; star < w->charset.p + w->charset.n; star++)
		if (*star == '*') /* RFC 2231, 5: charset*language */
			w->charset.n = (size_t)(star - w->charset.p);
	return true;
}

static int
hex(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	                              : -1;
}

/* -1: an encoding or a character set that we do not read; out is as before. */
static int
decode_word(const struct word *w, struct buf *out)
{
	bool utf8 = span_eq_nocase(w->charset, "utf-8") || span_eq_nocase(w->charset, "us-ascii");
	bool latin =
	    span_eq_nocase(w->charset, "iso-8859-1") || span_eq_nocase(w->charset, "windows-1252");
	struct buf raw = BUF_INIT;
	int rc = -1;

	if (!utf8 && !latin)
		return -1;
	if (w->encoding == 'B') {
		if (base64_decode(&raw, w->text) == -1)
			goto out;
	} else
		for (size_t i = 0; i < w->text.n; i++) {
			char c = w->text.p[i];

			if (c == '=' && w->text.n - i >= 3 && hex(w->text.p[i + 1]) >= 0 &&
			    hex(w->text.p[i + 2]) >= 0) {
				c = (char)(hex(w->text.p[i + 1]) * 16 + hex(w->text.p[i + 2]));
				i += 2;
			} else if (c == '_')
				c = ' ';
			buf_add_byte(&raw, (uint8_t)c);
		}
	for (size_t i = 0; i < buf_len(&raw); i++)
		if (utf8)
			buf_add_byte(out, buf_data(&raw)[i]);
		else
			utf8_add(out, from_1252(buf_data(&raw)[i]));
	rc = 0;
out:
	buf_clear(&raw);
	return rc;
}

/* Valid UTF-8 without control bytes, at most max octets, cut between characters. */
static void
add_clean(struct span s, size_t max, struct buf *out)
{
	size_t used = 0, n;

	for (size_t i = 0; i < s.n; i += n) {
		uint8_t c = (uint8_t)s.p[i];
		const char *put = s.p + i;
		size_t put_n;

		n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
		if (c < 0x20 || c == 0x7f)
			put = " ";
		put_n = n;
		if (n > s.n - i || !utf8_valid((struct span){s.p + i, n})) {
			n = 1;
			put = "\xef\xbf\xbd";
			put_n = 3;
		}
		if (used + put_n > max)
			break;
		buf_add(out, put, put_n);
		used += put_n;
	}
}

void
header_decode_text(struct span raw, size_t max, struct buf *out)
{
	struct buf text = BUF_INIT;
	size_t blanks = 0; /* seen since the last encoded word */
	bool after_word = false;

	for (size_t i = 0; i < raw.n && buf_len(&text) < 4 * max + 64;) {
		struct word w;
		char c = raw.p[i];

		if (c == '\r' || c == '\n') {
			i++;
			continue;
		}
		if (c == ' ' || c == '\t') {
			buf_add_byte(&text, ' ');
			blanks++;
			i++;
			continue;
		}
		if (c == '=' && parse_word((struct span){raw.p + i, raw.n - i}, &w)) {
			size_t before = buf_len(&text);
			struct buf word = BUF_INIT;

			if (decode_word(&w, &word) == 0) {
				/* RFC 2047, 6.2: blanks between two words are not shown */
				if (after_word)
					buf_truncate(&text, before - blanks);
				buf_move(&text, &word);
				buf_clear(&word);
				after_word = true;
				blanks = 0;
				i += w.n;
				continue;
			}
		}
		buf_add_byte(&text, (uint8_t)c);
		after_word = false;
		blanks = 0;
		i++;
	}
	add_clean(span_trim(buf_span(&text)), max, out);
	buf_clear(&text);
}

void
header_format_date(int64_t now_ms, char out[HEADER_DATE_TEXT])
{
	/* strftime would follow the locale */
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t t = (time_t)(now_ms / 1000);
	struct tm tm;
	long offset;

	if (localtime_r(&t, &tm) == NULL && gmtime_r(&(time_t){0}, &tm) == NULL)
		memset(&tm, 0, sizeof(tm));
	offset = tm.tm_gmtoff / 60;
	(void)str_printf(out, HEADER_DATE_TEXT, "%.3s, %d %.3s %d %02d:%02d:%02d %c%02ld%02ld",
	    days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900,
	    tm.tm_hour, tm.tm_min, tm.tm_sec, offset < 0 ? '-' : '+',
	    (offset < 0 ? -offset : offset) / 60, (offset < 0 ? -offset : offset) % 60);
}

/* A name from outside: what no domain or address literal holds becomes "?". */
static void
add_name(struct buf *out, const char *name)
{
	size_t n = name == NULL ? 0 : strlen(name);

	if (n == 0)
		buf_add_str(out, "unknown");
	for (size_t i = 0; i < n && i < HELO_SHOWN; i++) {
		char c = name[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		             (c >= '0' && c <= '9') || (c != '\0' && strchr(".-_:[]", c) != NULL);

		buf_add_byte(out, plain ? (uint8_t)c : '?');
	}
}

static const char *
with_protocol(const struct header_received *r)
{
	/* RFC 3848 and RFC 6531, 4.3 */
	static const char *const names[2][2][2] = {
	    {{"ESMTP", "ESMTPA"}, {"ESMTPS", "ESMTPSA"}},
	    {{"UTF8SMTP", "UTF8SMTPA"}, {"UTF8SMTPS", "UTF8SMTPSA"}},
	};

	return r->esmtp ? names[r->utf8][r->tls][r->auth] : "SMTP";
}

void
header_add_received(struct buf *out, const struct header_received *r)
{
	char text[NET_ADDR_TEXT > UUID_TEXT ? NET_ADDR_TEXT : UUID_TEXT];
	struct span rcpt = span_of(r->rcpt);

	buf_add_str(out, "Received: ");
	if (r->client != NULL) {
		net_addr_format_ip(r->client, text);
		buf_add_str(out, "from ");
		add_name(out, r->helo);
		buf_addf(out, " ([%s%s])\r\n\t", r->client->family == 6 ? "IPv6:" : "", text);
	}
	buf_add_str(out, "by ");
	add_name(out, r->hostname);
	buf_addf(out, " (submitd) with %s", with_protocol(r));
	if (r->tls && r->tls_version != NULL && r->tls_cipher != NULL) {
		buf_add_str(out, "\r\n\t(");
		add_name(out, r->tls_version);
		buf_add_byte(out, ' ');
		add_name(out, r->tls_cipher);
		buf_add_byte(out, ')');
	}
	if (r->mid != NULL) {
		uuid_format(r->mid, text);
		buf_addf(out, "\r\n\tid %s", text);
	}
	/* RFC 6531, 3.7.3: a non-ASCII address only where the trace says UTF8SMTP */
	if (rcpt.n > 0 && rcpt.n <= ADDR_TEXT && !str_has_control(rcpt) &&
	    (r->utf8 ? utf8_valid(rcpt) : str_is_ascii(rcpt)))
		buf_addf(out, "\r\n\tfor <%s>", r->rcpt);
	header_format_date(r->now_ms, text);
	buf_addf(out, ";\r\n\t%s\r\n", text);
}
