/* SPDX-License-Identifier: ISC */
/*
 * Addresses, networks and sockets. Every process; the calls that open sockets
 * only where the sandbox of the role lets them.
 */
#include "base/net.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void
set_v6(struct net_addr *a, const uint8_t ip[16])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	memset(a->ip, 0, sizeof(a->ip));
	if (memcmp(ip, mapped, 12) == 0) {
		a->family = 4;
		memcpy(a->ip, ip + 12, 4);
	} else {
		a->family = 6;
		memcpy(a->ip, ip, 16);
	}
}

int
net_addr_from_sockaddr(struct net_addr *a, const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, sa, sizeof(in));
		memset(a, 0, sizeof(*a));
		a->family = 4;
		memcpy(a->ip, &in.sin_addr, 4);
		a->port = ntohs(in.sin_port);
		return 0;
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;
		memcpy(&in6, sa, sizeof(in6));
		memset(a, 0, sizeof(*a));
		set_v6(a, in6.sin6_addr.s6_addr);
		a->port = ntohs(in6.sin6_port);
		return 0;
	}
	errno = EAFNOSUPPORT;
	return -1;
}

socklen_t
net_addr_to_sockaddr(const struct net_addr *a, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (a->family == 4) {
		struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(a->port)};
		memcpy(&in.sin_addr, a->ip, 4);
		memcpy(ss, &in, sizeof(in));
		return sizeof(in);
	}
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(a->port)};
	memcpy(&in6.sin6_addr, a->ip, 16);
	memcpy(ss, &in6, sizeof(in6));
	return sizeof(in6);
}

int
net_addr_parse_ip(struct span s, struct net_addr *a)
{
	char text[INET6_ADDRSTRLEN];
	uint8_t ip[16];

	if (s.n == 0 || str_copy_span(text, sizeof(text), s) == -1 ||
	    memchr(s.p, '\0', s.n) != NULL)
		return -1;
	if (inet_pton(AF_INET, text, ip) == 1) {
		memset(a, 0, sizeof(*a));
		a->family = 4;
		memcpy(a->ip, ip, 4);
		return 0;
	}
	if (inet_pton(AF_INET6, text, ip) == 1) {
		memset(a, 0, sizeof(*a));
		set_v6(a, ip);
		return 0;
	}
	return -1;
}

int
net_addr_parse(struct span s, struct net_addr *a)
{
	struct net_addr v;
	struct span host;
	uint64_t port;

	if (s.n > 0 && s.p[0] == '[') {
		s.p++;
		s.n--;
		host = span_cut(&s, ']');
		if (s.p == NULL || s.n < 1 || s.p[0] != ':' || memchr(host.p, ':', host.n) == NULL)
			return -1;
		s.p++;
		s.n--;
	} else {
		host = span_cut(&s, ':');
		if (s.p == NULL)
			return -1;
	}
	if (net_addr_parse_ip(host, &v) == -1 || span_to_u64(s, 0, 65535, &port) == -1)
		return -1;
	v.port = (uint16_t)port;
	*a = v;
	return 0;
}

void
net_addr_format_ip(const struct net_addr *a, char out[NET_ADDR_TEXT])
{
	if (a->family == 0)
		snprintf(out, NET_ADDR_TEXT, "none");
	else
		inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->ip, out, NET_ADDR_TEXT);
}

void
net_addr_format(const struct net_addr *a, char out[NET_ADDR_TEXT])
{
	char ip[INET6_ADDRSTRLEN] = "";

	if (a->family != 0)
		inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->ip, ip, sizeof(ip));
	snprintf(out, NET_ADDR_TEXT, a->family == 6 ? "[%s]:%u" : "%s:%u", ip, a->port);
}

bool
net_addr_equal_ip(const struct net_addr *a, const struct net_addr *b)
{
	return a->family == b->family && memcmp(a->ip, b->ip, 16) == 0;
}

bool
net_addr_is_loopback(const struct net_addr *a)
{
	static const uint8_t one[16] = {[15] = 1};

	return a->family == 4 ? a->ip[0] == 127 : a->family == 6 && memcmp(a->ip, one, 16) == 0;
}

struct net_addr
net_addr_network(const struct net_addr *a)
{
	struct net_addr n = *a;
	size_t keep = a->family == 4 ? 3 : 8;

	memset(n.ip + keep, 0, sizeof(n.ip) - keep);
	n.port = 0;
	return n;
}

int
net_cidr_parse(struct span s, struct net_cidr *c)
{
	struct net_cidr v;
	struct span host = span_cut(&s, '/');
	uint64_t bits;

	if (net_addr_parse_ip(host, &v.addr) == -1)
		return -1;
	bits = v.addr.family == 4 ? 32 : 128;
	if (s.p != NULL && span_to_u64(s, 0, bits, &bits) == -1)
		return -1;
	v.bits = (uint8_t)bits;
	*c = v;
	return 0;
}

bool
net_cidr_match(const struct net_cidr *c, const struct net_addr *a)
{
	size_t whole = c->bits / 8;
	unsigned rest = c->bits % 8;

	if (c->addr.family != a->family || memcmp(c->addr.ip, a->ip, whole) != 0)
		return false;
	if (rest == 0)
		return true;
	unsigned mask = (0xff00u >> rest) & 0xff;
	return (c->addr.ip[whole] & mask) == (a->ip[whole] & mask);
}

int
net_listen(const struct net_addr *a, int backlog)
{
	struct sockaddr_storage ss;
	socklen_t len = net_addr_to_sockaddr(a, &ss);
	const int one = 1;
	int saved;

	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == -1 ||
	    (a->family == 6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) == -1) ||
	    bind(fd, (struct sockaddr *)&ss, len) == -1 || listen(fd, backlog) == -1) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static int
no_delay(int fd)
{
	const int one = 1;

	return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

int
net_connect_start(const struct net_addr *a, const struct net_addr *source)
{
	struct sockaddr_storage ss, local;
	socklen_t len = net_addr_to_sockaddr(a, &ss);
	int saved;

	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (no_delay(fd) == -1)
		goto fail;
	if (source != NULL && source->family == a->family) {
		socklen_t n = net_addr_to_sockaddr(source, &local);
		if (bind(fd, (struct sockaddr *)&local, n) == -1)
			goto fail;
	}
	if (connect(fd, (struct sockaddr *)&ss, len) == -1 && errno != EINPROGRESS)
		goto fail;
	return fd;
fail:
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

int
net_accept(int listen_fd, struct net_addr *peer)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	int fd = accept4(listen_fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd == -1)
		return -1;
	if (net_addr_from_sockaddr(peer, (struct sockaddr *)&ss) == -1) {
		close(fd);
		errno = EAGAIN;
		return -1;
	}
	(void)no_delay(fd);
	return fd;
}

int
net_local(int fd, struct net_addr *a)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &len) == -1)
		return -1;
	return net_addr_from_sockaddr(a, (struct sockaddr *)&ss);
}

int
net_socketpair(int fds[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);
}
