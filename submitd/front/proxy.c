/* SPDX-License-Identifier: ISC */
/*
 * The header of the PROXY protocol that a balancer puts before a connection. Pure;
 * used by front for listed peers only. Anything that is not exactly such a header
 * is refused, never skipped.
 */
#include "front/proxy.h"

#include "base/str.h"

#include <string.h>

#define V1_MAX 107u /* with CRLF, by the protocol */
#define V2_HEAD 16u

static const uint8_t v2_magic[12] = {
    0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

/* "PROXY TCP4 src dst sport dport\r\n" or "PROXY UNKNOWN ...\r\n" */
static enum proxy_result
parse_v1(struct span line, struct net_addr *client)
{
	struct span family, source, destination, sport, dport;
	struct net_addr src, dst;
	uint64_t port, unused;

	(void)span_cut(&line, ' ');
	family = span_cut(&line, ' ');
	if (span_eq(family, "UNKNOWN"))
		return PROXY_LOCAL;
	source = span_cut(&line, ' ');
	destination = span_cut(&line, ' ');
	sport = span_cut(&line, ' ');
	dport = span_cut(&line, ' ');
	if (line.p != NULL || net_addr_parse_ip(source, &src) == -1 ||
	    net_addr_parse_ip(destination, &dst) == -1 ||
	    span_to_u64(sport, 0, 65535, &port) == -1 ||
	    span_to_u64(dport, 0, 65535, &unused) == -1)
		return PROXY_BAD;
	if (!span_eq(family, "TCP4") && !span_eq(family, "TCP6"))
		return PROXY_BAD;
	if (span_eq(family, "TCP4") && src.family != 4)
		return PROXY_BAD;
	src.port = (uint16_t)port;
	*client = src;
	return PROXY_OK;
}

static enum proxy_result
parse_v2(const uint8_t *p, size_t n, struct net_addr *client, size_t *used)
{
	struct net_addr a = {0};
	size_t len, ip;

	if (n < V2_HEAD)
		return PROXY_MORE;
	len = (size_t)p[14] << 8 | p[15];
	if ((p[12] >> 4) != 2 || (p[12] & 15) > 1 || V2_HEAD + len > PROXY_MAX)
		return PROXY_BAD;
	if (n < V2_HEAD + len)
		return PROXY_MORE;
	*used = V2_HEAD + len;
	if ((p[12] & 15) == 0)
		return PROXY_LOCAL;
	switch (p[13]) {
	case 0x11: /* TCP over IPv4 */
		a.family = 4;
		ip = 4;
		break;
	case 0x21: /* TCP over IPv6 */
		a.family = 6;
		ip = 16;
		break;
	case 0x00:
		return PROXY_LOCAL;
	default:
		return PROXY_BAD;
	}
	if (len < 2 * ip + 4)
		return PROXY_BAD;
	memcpy(a.ip, p + V2_HEAD, ip);
	a.port = (uint16_t)(p[V2_HEAD + 2 * ip] << 8 | p[V2_HEAD + 2 * ip + 1]);
	if (a.family == 6) {
		static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

		if (memcmp(a.ip, mapped, sizeof(mapped)) == 0) {
			memcpy(a.ip, a.ip + 12, 4);
			memset(a.ip + 4, 0, 12);
			a.family = 4;
		}
	}
	*client = a;
	return PROXY_OK;
}

enum proxy_result
proxy_parse(const uint8_t *p, size_t n, struct net_addr *client, size_t *used)
{
	const uint8_t *lf;
	size_t common = n < sizeof(v2_magic) ? n : sizeof(v2_magic);

	if (n > 0 && memcmp(p, v2_magic, common) == 0)
		return n < sizeof(v2_magic) ? PROXY_MORE : parse_v2(p, n, client, used);
	common = n < 6 ? n : 6;
	if (memcmp(p, "PROXY ", common) != 0)
		return PROXY_BAD;
	lf = memchr(p, '\n', n < V1_MAX ? n : V1_MAX);
	if (lf == NULL)
		return n >= V1_MAX ? PROXY_BAD : PROXY_MORE;
	if (lf == p || lf[-1] != '\r')
		return PROXY_BAD;
	*used = (size_t)(lf - p) + 1;
	return parse_v1((struct span){(const char *)p, *used - 2}, client);
}
