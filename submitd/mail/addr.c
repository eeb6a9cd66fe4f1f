/* SPDX-License-Identifier: ISC */
/*
 * Mailbox addresses and domains: RFC 5321 4.1.2 and, for non-ASCII, RFC 6531.
 * Pure; used by every role that sees an address. A domain is checked by our own
 * letter-digit-hyphen rule after conversion, label by label: libidn2's STD3 mode
 * deletes what it does not like and would turn one domain into another. Nothing
 * here may accept control bytes, or let two spellings of a domain compare unequal.
 */
#include "mail/addr.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <string.h>

#include <idn2.h>

/* A name of 253 characters is the longest that DNS can carry (RFC 1035, 2.3.4). */
#define DNS_NAME_MAX 253

const char *
addr_error_text(enum addr_error e)
{
	switch (e) {
	case ADDR_OK:
		return "address is fine";
	case ADDR_SYNTAX:
		return "not a valid address";
	case ADDR_TOO_LONG:
		return "address is too long";
	case ADDR_UTF8:
		return "address with non-ASCII characters needs SMTPUTF8 and valid UTF-8";
	case ADDR_NO_DOMAIN:
		return "address lacks @ and a domain";
	case ADDR_BAD_DOMAIN:
		return "not a valid domain name in the address";
	case ADDR__MAX:
		break;
	}
	return "not a valid address";
}

static bool
is_alnum(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool
is_atext(uint8_t c)
{
	return is_alnum(c) || c >= 0x80 || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static uint8_t
lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* Bytes from outside ASCII: allowed at all, UTF-8, and no C1 control characters? */
static enum addr_error
check_utf8(struct span s, unsigned flags)
{
	if (str_is_ascii(s))
		return ADDR_OK;
	if ((flags & ADDR_ALLOW_UTF8) == 0 || !utf8_valid(s))
		return ADDR_UTF8;
	for (size_t i = 0; i + 1 < s.n; i++)
		if ((uint8_t)s.p[i] == 0xc2 && (uint8_t)s.p[i + 1] < 0xa0)
			return ADDR_SYNTAX;
	return ADDR_OK;
}

/* One label: letters, digits, inner hyphens, 1 to 63 of them. */
static bool
label_ok(const char *p, size_t n, bool *digits_only)
{
	*digits_only = true;
	if (n == 0 || n > 63 || p[0] == '-' || p[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!is_alnum((uint8_t)p[i]) && p[i] != '-')
			return false;
		if (p[i] < '0' || p[i] > '9')
			*digits_only = false;
	}
	return true;
}

/* Labels as above; the last one is not a number, which is what a bare IPv4 address would be. */
static bool
name_ok(struct span name)
{
	bool digits_only = true;

	if (name.n == 0 || name.n > DNS_NAME_MAX || name.p[name.n - 1] == '.')
		return false;
	for (struct span rest = name; rest.p != NULL;) {
		struct span label = span_cut(&rest, '.');

		if (!label_ok(label.p, label.n, &digits_only))
			return false;
	}
	return !digits_only;
}

/*
 * Each label that had non-ASCII must have become an A-label of its own place: else
 * the conversion deleted characters, or made ASCII letters or dots of look-alikes.
 */
static bool
labels_correspond(struct span given, struct span ascii)
{
	while (given.p != NULL && ascii.p != NULL) {
		struct span g = span_cut(&given, '.'), a = span_cut(&ascii, '.');

		if (!str_is_ascii(g) && !span_starts_nocase(a, "xn--"))
			return false;
	}
	return given.p == NULL && ascii.p == NULL;
}

int
addr_domain_ascii(struct span domain, char out[ADDR_DOMAIN_MAX + 1])
{
	char text[ADDR_DOMAIN_MAX + 1];
	uint8_t *ace = NULL;
	int rc = -1;

	if (domain.n == 0 || domain.n > ADDR_DOMAIN_MAX)
		return -1;
	if (str_is_ascii(domain)) {
		if (!name_ok(domain))
			return -1;
		for (size_t i = 0; i < domain.n; i++)
			out[i] = (char)lower((uint8_t)domain.p[i]);
		out[domain.n] = '\0';
		return 0;
	}
	/* a NUL would hide what is behind it from libidn2 */
	if (str_has_control(domain) || check_utf8(domain, ADDR_ALLOW_UTF8) != ADDR_OK ||
	    str_copy_span(text, sizeof(text), domain) == -1)
		return -1;
	if (idn2_lookup_u8((const uint8_t *)text, &ace, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) !=
	    IDN2_OK)
		return -1;
	if (name_ok(span_of((char *)ace)) && labels_correspond(domain, span_of((char *)ace))) {
		rc = str_copy(out, ADDR_DOMAIN_MAX + 1, (char *)ace);
		str_lower(out);
	}
	idn2_free(ace);
	return rc;
}

/* RFC 5321, 4.1.3: "[192.0.2.1]" and "[IPv6:2001:db8::1]", kept in canonical spelling. */
static enum addr_error
parse_literal(struct span d, struct addr *out)
{
	char text[INET6_ADDRSTRLEN], canon[INET6_ADDRSTRLEN];
	struct in6_addr ip;
	struct span inner = {d.p + 1, d.n - 2};
	bool six;

	if (d.n < 3 || d.p[d.n - 1] != ']' || memchr(d.p, '\0', d.n) != NULL)
		return ADDR_BAD_DOMAIN;
	six = span_starts_nocase(inner, "IPv6:");
	if (six) {
		inner.p += 5;
		inner.n -= 5;
	}
	if (str_copy_span(text, sizeof(text), inner) == -1 ||
	    inet_pton(six ? AF_INET6 : AF_INET, text, &ip) != 1 ||
	    inet_ntop(six ? AF_INET6 : AF_INET, &ip, canon, sizeof(canon)) == NULL)
		return ADDR_BAD_DOMAIN;
	(void)str_printf(out->domain, sizeof(out->domain), "[%s%s]", six ? "IPv6:" : "", canon);
	(void)str_copy(out->ascii_domain, sizeof(out->ascii_domain), out->domain);
	return ADDR_OK;
}

static enum addr_error
parse_domain(struct span d, unsigned flags, struct addr *out)
{
	enum addr_error e;

	if (d.n > ADDR_DOMAIN_MAX)
		return ADDR_TOO_LONG;
	if (d.n > 0 && d.p[0] == '[')
		return parse_literal(d, out);
	e = check_utf8(d, flags);
	if (e != ADDR_OK)
		return e;
	if (addr_domain_ascii(d, out->ascii_domain) == -1)
		return ADDR_BAD_DOMAIN;
	if (str_is_ascii(d))
		return str_copy(out->domain, sizeof(out->domain), out->ascii_domain) == -1
		           ? ADDR_TOO_LONG
		           : ADDR_OK;
	out->utf8 = true;
	(void)str_copy_span(out->domain, sizeof(out->domain), d);
	str_lower(out->domain);
	return ADDR_OK;
}

/* Dot-string at the start of *s, or a quoted string whose contents are kept without quotes. */
static enum addr_error
scan_local(struct span *s, char out[ADDR_LOCAL_MAX + 1], size_t *len, bool *quoted)
{
	size_t i = 0, o = 0;
	bool too_long = false, was_dot = true;

	*quoted = s->n > 0 && s->p[0] == '"';
	if (*quoted) {
		for (i = 1; i < s->n && s->p[i] != '"'; i++) {
			if (s->p[i] == '\\' && ++i >= s->n)
				return ADDR_SYNTAX;
			/* RFC 5321: qtextSMTP and quoted-pairSMTP are %d32-126 */
			if ((uint8_t)s->p[i] < 0x20 || s->p[i] == 0x7f)
				return ADDR_SYNTAX;
			if (o < ADDR_LOCAL_MAX)
				out[o++] = s->p[i];
			else
				too_long = true;
		}
		if (i++ >= s->n)
			return ADDR_SYNTAX;
	} else {
		for (; i < s->n && (s->p[i] == '.' || is_atext((uint8_t)s->p[i])); i++) {
			if (s->p[i] == '.' && was_dot)
				return ADDR_SYNTAX;
			was_dot = s->p[i] == '.';
			if (o < ADDR_LOCAL_MAX)
				out[o++] = s->p[i];
			else
				too_long = true;
		}
		if (was_dot)
			return ADDR_SYNTAX;
	}
	out[o] = '\0';
	*len = o;
	s->p += i;
	s->n -= i;
	return too_long ? ADDR_TOO_LONG : ADDR_OK;
}

/* A mailbox up to the byte `end`, which is left in *s; 0 for "everything". */
static enum addr_error
parse_mailbox(struct span *s, char end, unsigned flags, struct addr *out)
{
	enum addr_error e;
	struct span domain;
	const char *stop;
	size_t len = 0;
	bool quoted = false;

	e = scan_local(s, out->local, &len, &quoted);
	if (e != ADDR_OK)
		return e;
	e = check_utf8((struct span){out->local, len}, flags);
	if (e != ADDR_OK)
		return e;
	out->utf8 = !str_is_ascii((struct span){out->local, len});
	if (end == '\0' ? s->n == 0 : s->n > 0 && s->p[0] == end)
		return len == 0 ? ADDR_SYNTAX : ADDR_NO_DOMAIN;
	if (s->n == 0 || s->p[0] != '@')
		return ADDR_SYNTAX;
	domain = (struct span){s->p + 1, s->n - 1};
	if (end != '\0') {
		stop = memchr(domain.p, end, domain.n);
		if (stop == NULL)
			return ADDR_SYNTAX;
		domain.n = (size_t)(stop - domain.p);
	}
	s->p = domain.p + domain.n;
	s->n -= domain.n + 1;
	return parse_domain(domain, flags, out);
}

/* RFC 5321, 4.1.1.3 and C: "@a,@b:" is understood and ignored. */
static enum addr_error
skip_route(struct span *s, unsigned flags)
{
	const char *colon = memchr(s->p, ':', s->n);
	struct span route, domain;
	char ignored[ADDR_DOMAIN_MAX + 1];

	if (colon == NULL)
		return ADDR_SYNTAX;
	route = (struct span){s->p, (size_t)(colon - s->p)};
	s->n -= route.n + 1;
	s->p = colon + 1;
	while (route.p != NULL) {
		domain = span_cut(&route, ',');
		if (domain.n < 2 || domain.p[0] != '@')
			return ADDR_SYNTAX;
		domain.p++;
		domain.n--;
		if (check_utf8(domain, flags) != ADDR_OK ||
		    addr_domain_ascii(domain, ignored) == -1)
			return ADDR_SYNTAX;
	}
	return ADDR_OK;
}

enum addr_error
addr_parse_path(struct span s, unsigned flags, struct addr *out, struct span *rest)
{
	enum addr_error e;

	memset(out, 0, sizeof(*out));
	if ((flags & ADDR_ALLOW_SPACE) != 0)
		while (s.n > 0 && s.p[0] == ' ') {
			s.p++;
			s.n--;
		}
	if (s.n < 2 || s.p[0] != '<')
		return ADDR_SYNTAX;
	s.p++;
	s.n--;
	if (s.p[0] == '>') {
		if ((flags & ADDR_ALLOW_NULL) == 0)
			return ADDR_SYNTAX;
		e = ADDR_OK;
	} else {
		if (s.p[0] == '@') {
			e = skip_route(&s, flags);
			if (e != ADDR_OK)
				return e;
		}
		e = parse_mailbox(&s, '>', flags, out);
		if (e != ADDR_OK && e != ADDR_NO_DOMAIN)
			return e;
	}
	*rest = (struct span){s.p + 1, s.n - 1};
	return e;
}

enum addr_error
addr_parse(struct span s, unsigned flags, struct addr *out)
{
	memset(out, 0, sizeof(*out));
	if (s.n == 0 || span_eq(s, "<>"))
		return (flags & ADDR_ALLOW_NULL) != 0 ? ADDR_OK : ADDR_SYNTAX;
	return parse_mailbox(&s, '\0', flags, out);
}

bool
addr_is_null(const struct addr *a)
{
	return a->local[0] == '\0' && a->domain[0] == '\0';
}

bool
addr_equal(const struct addr *a, const struct addr *b)
{
	const char *da = a->ascii_domain[0] != '\0' ? a->ascii_domain : a->domain;
	const char *db = b->ascii_domain[0] != '\0' ? b->ascii_domain : b->domain;

	return str_eq_nocase(a->local, b->local) && str_eq_nocase(da, db);
}

static size_t
format_local(const char *local, char *out)
{
	size_t o = 0;
	bool quote = local[0] == '\0', was_dot = true;

	for (const char *p = local; *p != '\0'; p++) {
		if (*p == '.' ? was_dot : !is_atext((uint8_t)*p))
			quote = true;
		was_dot = *p == '.';
	}
	quote = quote || was_dot;
	if (quote)
		out[o++] = '"';
	for (const char *p = local; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			out[o++] = '\\';
		out[o++] = *p;
	}
	if (quote)
		out[o++] = '"';
	out[o] = '\0';
	return o;
}

static void
format_with(const char *local, const char *domain, char out[ADDR_TEXT])
{
	size_t o, n = strlen(domain);

	o = format_local(local, out);
	if (n > 0) {
		out[o++] = '@';
		memcpy(out + o, domain, n + 1);
	}
}

void
addr_format(const struct addr *a, char out[ADDR_TEXT])
{
	out[0] = '\0';
	if (!addr_is_null(a))
		format_with(a->local, a->domain, out);
}

int
addr_format_ascii(const struct addr *a, char out[ADDR_TEXT])
{
	if (!str_is_ascii(span_of(a->local)) ||
	    (a->domain[0] != '\0' && a->ascii_domain[0] == '\0'))
		return -1;
	out[0] = '\0';
	if (!addr_is_null(a))
		format_with(a->local, a->ascii_domain, out);
	return 0;
}

/* Octets of one character for '?', trusting the text to be UTF-8 but never its length. */
static size_t
char_len(const char *p)
{
	size_t n = 1;

	if ((uint8_t)p[0] >= 0xc0)
		while (((uint8_t)p[n] & 0xc0) == 0x80)
			n++;
	return n;
}

bool
addr_glob_match(const char *pattern, const char *text)
{
	const char *at = strrchr(text, '@');
	const char *star = NULL, *mark = NULL, *p = pattern, *t = text;

	/* "example.com" and "@example.com" are about the domain, "*@example.com" about all of it */
	if (at != NULL && (pattern[0] == '@' || strchr(pattern, '@') == NULL)) {
		if (pattern[0] == '@')
			p++;
		t = at + 1;
	}
	while (*t != '\0') {
		if (*p == '*') {
			star = ++p;
			mark = t;
		} else if (*p == '?') {
			p++;
			t += char_len(t);
		} else if (*p != '\0' && lower((uint8_t)*p) == lower((uint8_t)*t)) {
			p++;
			t++;
		} else if (star != NULL) {
			p = star;
			mark += char_len(mark);
			t = mark;
		} else
			return false;
	}
	while (*p == '*')
		p++;
	return *p == '\0';
}

void
addr_encode(struct buf *b, const struct addr *a)
{
	bool same = strcmp(a->domain, a->ascii_domain) == 0;

	buf_put_u8(b, (uint8_t)((a->utf8 ? 1u : 0u) | (same ? 2u : 0u)));
	buf_put_cstr(b, a->local);
	buf_put_cstr(b, a->domain);
	if (!same)
		buf_put_cstr(b, a->ascii_domain);
}

static int
decode_part(struct rd *r, char *out, size_t size, bool ascii)
{
	struct span s = rd_bytes(r);

	if (r->bad || s.n >= size || str_has_control(s) ||
	    (ascii ? !str_is_ascii(s) : !utf8_valid(s)) || str_copy_span(out, size, s) == -1) {
		r->bad = true;
		return -1;
	}
	return 0;
}

int
addr_decode(struct rd *r, struct addr *out)
{
	struct addr a = {0};
	uint8_t flags = rd_u8(r);

	if (flags > 3 || decode_part(r, a.local, sizeof(a.local), false) == -1 ||
	    decode_part(r, a.domain, sizeof(a.domain), false) == -1) {
		r->bad = true;
		return -1;
	}
	a.utf8 = (flags & 1u) != 0;
	if ((flags & 2u) != 0)
		memcpy(a.ascii_domain, a.domain, sizeof(a.ascii_domain));
	else if (decode_part(r, a.ascii_domain, sizeof(a.ascii_domain), true) == -1)
		return -1;
	if (!str_is_ascii(span_of(a.ascii_domain))) {
		r->bad = true;
		return -1;
	}
	*out = a;
	return 0;
}
