/* SPDX-License-Identifier: ISC */
/*
 * The texts of LDAP: URIs, filters, names to bind with, and the two escapes that
 * let a user's octets into them. Pure; used by the check of the configuration and
 * by what asks directories. Must never let an octet from outside mean anything but
 * itself.
 */
#include "base/ldap_text.h"

#include "base/net.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>

#define FILTER_DEPTH_MAX 20

/* ---- URIs ------------------------------------------------------------------------------------ */

static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static const char *
uri_host(struct span *rest, struct ldap_uri *u)
{
	struct net_addr ip;
	struct span host;
	size_t i;

	if (rest->n > 0 && rest->p[0] == '[') {
		host = (struct span){rest->p + 1, rest->n - 1};
		for (i = 0; i < host.n && host.p[i] != ']'; i++)
			;
		if (i == host.n)
			return "the ] behind the address is missing";
		host.n = i;
		rest->p += i + 2;
		rest->n -= i + 2;
		if (net_addr_parse_ip(host, &ip) == -1 || ip.family != 6)
			return "between [ and ] there must be an IPv6 address";
	} else {
		host = (struct span){rest->p, 0};
		while (host.n < rest->n && (is_alnum(host.p[host.n]) || host.p[host.n] == '.' ||
					       host.p[host.n] == '-' || host.p[host.n] == '_'))
			host.n++;
		rest->p += host.n;
		rest->n -= host.n;
	}
	if (host.n == 0)
		return "the host is missing";
	if (str_copy_span(u->host, sizeof(u->host), host) == -1)
		return "the host is too long";
	u->loopback = str_eq_nocase(u->host, "localhost") ||
	              (net_addr_parse_ip(span_of(u->host), &ip) == 0 && net_addr_is_loopback(&ip));
	return NULL;
}

const char *
ldap_uri_parse(const char *text, struct ldap_uri *out)
{
	struct span rest = span_of(text);
	struct ldap_uri u = {.port = 389};
	const char *wrong;
	uint64_t port;

	if (span_starts_nocase(rest, "ldaps://")) {
		u.tls = true;
		u.port = 636;
		rest.p += 8;
		rest.n -= 8;
	} else if (span_starts_nocase(rest, "ldap://")) {
		rest.p += 7;
		rest.n -= 7;
	} else {
		return "it must begin with ldap:// or ldaps://";
	}
	if ((wrong = uri_host(&rest, &u)) != NULL)
		return wrong;
	if (rest.n > 0 && rest.p[rest.n - 1] == '/')
		rest.n--;
	if (rest.n > 0 && rest.p[0] == ':') {
		if (span_to_u64((struct span){rest.p + 1, rest.n - 1}, 1, 65535, &port) == -1)
			return "the port must be a number from 1 to 65535";
		u.port = (uint16_t)port;
		rest.n = 0;
	}
	if (rest.n > 0)
		return "nothing but :PORT may follow the host (the base is an option of its own)";
	*out = u;
	return NULL;
}

/* ---- escapes --------------------------------------------------------------------------------- */

static void
escape(struct buf *b, struct span value, const char *plain)
{
	static const char hex[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if (is_alnum((char)c) || (c != '\0' && strchr(plain, c) != NULL)) {
			buf_add_byte(b, c);
			continue;
		}
		buf_add_byte(b, '\\');
		buf_add_byte(b, (uint8_t)hex[c >> 4]);
		buf_add_byte(b, (uint8_t)hex[c & 15]);
	}
}

void
ldap_filter_escape(struct buf *b, struct span value)
{
	escape(b, value, " !\"#$%&'+,-./:;<=>?@[]^_`{|}~");
}

void
ldap_dn_escape(struct buf *b, struct span value)
{
	escape(b, value, "@._-");
}

/* ---- filters --------------------------------------------------------------------------------- */

struct filter {
	const char *p;
	unsigned depth, holes;
	const char *wrong;
};

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool
filter_fail(struct filter *f, const char *wrong)
{
	if (f->wrong == NULL)
		f->wrong = wrong;
	return false;
}

static bool
filter_value(struct filter *f)
{
	for (; *f->p != ')'; f->p++) {
		if (*f->p == '\0')
			return filter_fail(f, "a ) is missing");
		if (*f->p == '(')
			return filter_fail(f, "a ( stands in a value; write \\28");
		if ((unsigned char)*f->p < ' ')
			return filter_fail(f, "a control character stands in a value");
		if (*f->p == '\\' && !(is_hex(f->p[1]) && is_hex(f->p[2])))
			return filter_fail(
			    f, "a \\ must be followed by two hexadecimal digits (RFC 4515)");
		if (*f->p != '%')
			continue;
		f->p++;
		if (*f->p == 's')
			f->holes++;
		else if (*f->p != '%')
			return filter_fail(f, "only %s and %% may follow a percent sign");
	}
	return true;
}

/* attribute, then one of = ~= >= <= and the colons of an extensible match */
static bool
filter_item(struct filter *f)
{
	const char *start = f->p;

	while (is_alnum(*f->p) || (*f->p != '\0' && strchr(".;:-_", *f->p) != NULL))
		f->p++;
	if (f->p == start)
		return filter_fail(f, "between ( and = the name of an attribute is missing");
	if (*f->p == '~' || *f->p == '>' || *f->p == '<')
		f->p++;
	if (*f->p != '=')
		return filter_fail(f, "a part has no =; each is (attribute=value)");
	f->p++;
	return filter_value(f);
}

static bool
filter_read(struct filter *f)
{
	char op;

	if (*f->p != '(')
		return filter_fail(f, "each part must begin with (");
	if (++f->depth > FILTER_DEPTH_MAX)
		return filter_fail(f, "it is nested too deeply");
	op = *++f->p;
	if (op == '&' || op == '|' || op == '!') {
		f->p++;
		do {
			if (!filter_read(f))
				return false;
		} while (*f->p == '(' && op != '!');
	} else if (!filter_item(f)) {
		return false;
	}
	if (*f->p != ')')
		return filter_fail(f, "a ) is missing");
	f->p++;
	f->depth--;
	return true;
}

const char *
ldap_filter_check(const char *filter)
{
	struct filter f = {.p = filter};

	if (!filter_read(&f))
		return f.wrong;
	if (*f.p != '\0')
		return "something stands behind the last )";
	return f.holes == 0 ? "it has no %s, so it would find the same for everybody" : NULL;
}

int
ldap_filter_make(const char *filter, struct span value, char *out, size_t size)
{
	struct buf b = BUF_INIT;
	int result = -1;

	for (; *filter != '\0' && buf_len(&b) < size; filter++) {
		if (*filter != '%') {
			buf_add_byte(&b, (uint8_t)*filter);
		} else if (*++filter == 's') {
			ldap_filter_escape(&b, value);
		} else if (*filter == '%') {
			buf_add_byte(&b, '%');
		} else {
			break; /* was not checked */
		}
	}
	if (*filter == '\0')
		result = str_copy_span(out, size, buf_span(&b));
	else
		errno = ENAMETOOLONG;
	buf_clear(&b);
	return result;
}

/* ---- names to bind with ---------------------------------------------------------------------- */

bool
ldap_bind_as_is_dn(const char *bind_as)
{
	return strchr(bind_as, '=') != NULL;
}

const char *
ldap_dn_check(const char *p)
{
	const char *start;

	for (;;) {
		while (*p == ' ')
			p++;
		start = p;
		while (is_alnum(*p) || *p == '.' || *p == '-')
			p++;
		if (p == start || *p != '=')
			return "it has a =, so it must be a DN like uid=%u,ou=people,dc=example";
		start = ++p;
		for (; *p != '\0' && *p != ',' && *p != '+'; p++)
			if (*p == '\\' && p[1] != '\0')
				p++;
		if (p == start)
			return "a part of the DN has no value";
		if (*p == '\0')
			return NULL;
		p++;
	}
}

const char *
ldap_bind_as_check(const char *bind_as)
{
	const char *p;
	bool hole = false;

	for (p = bind_as; *p != '\0'; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return "a control character stands in it";
		if (*p != '%')
			continue;
		p++;
		if (*p == 'u' || *p == 'n' || *p == 'd')
			hole |= *p != 'd';
		else if (*p != '%')
			return "only %u, %n, %d and %% may follow a percent sign";
	}
	if (!hole)
		return "it has neither %u nor %n, so everybody would be the same";
	return ldap_bind_as_is_dn(bind_as) ? ldap_dn_check(bind_as) : NULL;
}

/* The login cut at its last @. */
static void
split(const char *login, const char *address, struct span *local, struct span *domain)
{
	const char *at = strrchr(login, '@');

	*local = (struct span){login, at == NULL ? strlen(login) : (size_t)(at - login)};
	if (at == NULL)
		at = strrchr(address, '@');
	*domain = span_of(at == NULL ? "" : at + 1);
}

int
ldap_bind_as_make(
    const char *bind_as, const char *login, const char *address, char *out, size_t size)
{
	bool dn = ldap_bind_as_is_dn(bind_as);
	struct buf b = BUF_INIT;
	struct span local, domain, s;
	int result = -1, error = ENAMETOOLONG;

	out[0] = '\0';
	split(login, address, &local, &domain);
	for (; *bind_as != '\0' && buf_len(&b) < size; bind_as++) {
		if (*bind_as != '%' || *++bind_as == '%') {
			buf_add_byte(&b, (uint8_t)*bind_as);
			continue;
		}
		s = *bind_as == 'u' ? span_of(login) : *bind_as == 'n' ? local : domain;
		if (s.n == 0 || str_has_control(s) || !utf8_valid(s)) {
			error = EINVAL;
			goto out;
		}
		if (dn)
			ldap_dn_escape(&b, s);
		else
			buf_add_span(&b, s);
	}
	if (*bind_as == '\0')
		result = str_copy_span(out, size, buf_span(&b));
out:
	buf_clear(&b);
	if (result == -1) {
		out[0] = '\0';
		errno = error;
	}
	return result;
}
