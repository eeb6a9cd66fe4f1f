/* SPDX-License-Identifier: ISC */
/*
 * URLs that an administrator writes: strict, because what is read differently by us
 * and by the library that connects would send passwords to somebody else. Pure.
 */
#include "base/url.h"

#include "base/net.h"
#include "base/str.h"

#include <string.h>

#define HOST_MAX 253u

static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool
is_host_name(struct span s)
{
	size_t i;

	if (s.n == 0 || s.n > HOST_MAX || s.p[0] == '.' || s.p[0] == '-')
		return false;
	for (i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i]) && s.p[i] != '-' &&
		    (s.p[i] != '.' || (i + 1 < s.n && s.p[i + 1] == '.')))
			return false;
	return true;
}

/* host, host:port, [v6] or [v6]:port */
static const char *
parse_authority(struct span s, struct url *u)
{
	struct net_addr a;
	struct span port = {NULL, 0};
	uint64_t number;
	const char *end;

	if (s.n > 0 && s.p[0] == '[') {
		end = memchr(s.p, ']', s.n);
		if (end == NULL)
			return "the ] of the address is missing";
		u->host = (struct span){s.p + 1, (size_t)(end - s.p) - 1};
		if (net_addr_parse_ip(u->host, &a) == -1 ||
		    memchr(u->host.p, ':', u->host.n) == NULL)
			return "what stands in [] is no IPv6 address";
		port = (struct span){end + 1, s.n - u->host.n - 2};
		if (port.n > 0 && port.p[0] != ':')
			return "behind ] only a :PORT may stand";
		port = port.n > 0 ? (struct span){port.p + 1, port.n - 1} : (struct span){NULL, 0};
	} else {
		u->host = s;
		end = s.n == 0 ? NULL : memchr(s.p, ':', s.n);
		if (end != NULL) {
			u->host.n = (size_t)(end - s.p);
			port = (struct span){end + 1, s.n - u->host.n - 1};
		}
		if (!is_host_name(u->host))
			return "the host is neither a name nor an address";
	}
	if (port.p == NULL)
		return NULL;
	if (span_to_u64(port, 1, 65535, &number) == -1)
		return "the port is no number from 1 to 65535";
	u->port = (uint16_t)number;
	return NULL;
}

const char *
url_parse(struct span text, struct url *out)
{
	struct url u = {.https = true, .port = 443};
	struct span rest;
	const char *wrong;
	size_t i;

	if (text.n > URL_MAX)
		return "it is longer than 2000 octets";
	for (i = 0; i < text.n; i++)
		if (text.p[i] <= ' ' || text.p[i] >= 0x7f || strchr("\\\"<>^`", text.p[i]) != NULL)
			return "it has blanks or characters that must be written as %XX";
	if (text.n > 0 && memchr(text.p, '#', text.n) != NULL)
		return "a # has no place in it";
	if (span_starts_nocase(text, "https://")) {
		rest = (struct span){text.p + 8, text.n - 8};
	} else if (span_starts_nocase(text, "http://")) {
		rest = (struct span){text.p + 7, text.n - 7};
		u.https = false;
		u.port = 80;
	} else {
		return "it does not begin with https://";
	}
	for (i = 0; i < rest.n && rest.p[i] != '/' && rest.p[i] != '?'; i++)
		if (rest.p[i] == '@')
			return "a name or password in front of the host would end in logs";
	if ((wrong = parse_authority((struct span){rest.p, i}, &u)) != NULL)
		return wrong;
	u.path = (struct span){rest.p + i, rest.n - i};
	u.query = u.path;
	(void)span_cut(&u.query, '?');
	if (u.query.p != NULL)
		u.path.n -= u.query.n + 1;
	*out = u;
	return NULL;
}

bool
url_is_loopback(const struct url *u)
{
	struct net_addr a;

	return span_eq_nocase(u->host, "localhost") ||
	       (net_addr_parse_ip(u->host, &a) == 0 && net_addr_is_loopback(&a));
}

void
url_encode(struct buf *out, struct span s)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t i;

	for (i = 0; i < s.n; i++) {
		uint8_t c = (uint8_t)s.p[i];
		const char hex[3] = {'%', digits[c >> 4], digits[c & 15]};

		if (is_alnum((char)c) || c == '-' || c == '_' || c == '~' || c == '.')
			buf_add_byte(out, c);
		else
			buf_add(out, hex, sizeof(hex));
	}
}
