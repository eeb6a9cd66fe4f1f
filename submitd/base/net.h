/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_NET_H
#define SUBMITD_BASE_NET_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* An IPv4 or IPv6 address with a port; family 0 is "none". IPv4-mapped IPv6 is made IPv4. */
struct net_addr {
	uint8_t family; /* 0, 4 or 6 */
	uint8_t ip[16]; /* network order; IPv4 uses the first four */
	uint16_t port;  /* host order */
};
#define NET_ADDR_TEXT 64

struct net_cidr {
	struct net_addr addr;
	uint8_t bits;
};

int net_addr_from_sockaddr(struct net_addr *, const struct sockaddr *);
socklen_t net_addr_to_sockaddr(const struct net_addr *, struct sockaddr_storage *);
/* "192.0.2.1", "2001:db8::1": numeric only, no port. -1 where it is neither. */
int net_addr_parse_ip(struct span, struct net_addr *);
/* "192.0.2.1:25", "[::1]:25". */
int net_addr_parse(struct span, struct net_addr *);
void net_addr_format_ip(const struct net_addr *, char out[NET_ADDR_TEXT]);
void net_addr_format(const struct net_addr *, char out[NET_ADDR_TEXT]); /* with port */
bool net_addr_equal_ip(const struct net_addr *, const struct net_addr *);
bool net_addr_is_loopback(const struct net_addr *);
/* The network that abuse is counted by: /24 or /64 of the address, port 0. */
struct net_addr net_addr_network(const struct net_addr *);

int net_cidr_parse(struct span, struct net_cidr *); /* a bare address is /32 or /128 */
bool net_cidr_match(const struct net_cidr *, const struct net_addr *);

/* Non-blocking, close-on-exec; listen sets SO_REUSEADDR and IPV6_V6ONLY. -1 with errno. */
int net_listen(const struct net_addr *, int backlog);
/* Starts a connect (EINPROGRESS is success); source may be NULL. TCP_NODELAY is set. */
int net_connect_start(const struct net_addr *, const struct net_addr *source);
/* The next connection, non-blocking with TCP_NODELAY; -1 with errno (EAGAIN: none). */
int net_accept(int listen_fd, struct net_addr *peer);
int net_local(int fd, struct net_addr *);

int net_socketpair(int fds[2]); /* AF_UNIX stream, non-blocking, close-on-exec */

#endif
