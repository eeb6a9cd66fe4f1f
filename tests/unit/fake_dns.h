/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_TESTS_UNIT_FAKE_DNS_H
#define SUBMITD_TESTS_UNIT_FAKE_DNS_H

/*
 * A name server on loopback, a port of the kernel's choice, within the event loop of a test:
 * answers from the table below. Domains: b.net with two exchangers (the better one, 127.0.0.9, is
 * off), plain.net without MX, alias.net, null.net, gone.net, fail.net, and x.org below the zone
 * b.net.
 */
#include "base/buf.h"
#include "base/ev.h"
#include "base/list.h"
#include "base/net.h"

#include <string.h>
#include <sys/socket.h>

static int dns_fd;
static uint16_t dns_port;
static struct ev_watch dns_watch;

/* clang-format off */
static const struct {
	const char *name;
	uint8_t type, rcode;
	const char *rdata;
	size_t n;
} zone[] = {
	{ "\1b\3net", 15, 0, "\0\12\3mx0\300\14", 8 },	/* first: 127.0.0.9, nobody there */
	{ "\1b\3net", 15, 0, "\0\24\3mx1\300\14", 8 },
	{ "\3mx0\1b\3net", 1, 0, "\177\0\0\11", 4 },
	{ "\3mx1\1b\3net", 1, 0, "\177\0\0\1", 4 },
	{ "\5plain\3net", 1, 0, "\177\0\0\1", 4 },
	{ "\5alias\3net", 5, 0, "\1b\3net", 7 },
	{ "\4null\3net", 15, 0, "\0\0", 3 },
	{ "\4gone\3net", 0, 3, NULL, 0 },
	{ "\4fail\3net", 0, 2, NULL, 0 },
	{ "\1x\3org\1b\3net", 15, 0, "\0\12\3mx1\300\22", 8 },
};
/* clang-format on */

static inline void
dns_answer(int fd, short what, void *arg)
{
	uint8_t q[600];
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(fd, q, 500, 0, (struct sockaddr *)&from, &len);
	struct buf out = BUF_INIT;
	size_t name_len;
	unsigned count = 0, rcode = 0;

	(void)what;
	(void)arg;
	if (n < 17)
		return;
	name_len = strnlen((char *)q + 12, (size_t)n - 12) + 1;
	for (size_t i = 12; i < 12 + name_len; i++)
		if (q[i] >= 'A' && q[i] <= 'Z')
			q[i] = (uint8_t)(q[i] + 32);
	buf_add(&out, q, 12 + name_len + 4);
	unsigned type = q[12 + name_len + 1];

	for (size_t i = 0; i < ARRAY_LEN(zone); i++) {
		if (strcmp(zone[i].name, (char *)q + 12) != 0)
			continue;
		rcode |= zone[i].rcode;
		if (zone[i].type != type && zone[i].type != 5)
			continue;
		count++;
		buf_add(&out, "\300\14\0", 3);
		buf_add_byte(&out, zone[i].type);
		buf_add(&out, "\0\1\0\0\0\74\0", 7);
		buf_add_byte(&out, (uint8_t)zone[i].n);
		buf_add(&out, zone[i].rdata, zone[i].n);
	}
	out.mem[2] = 0x81;
	out.mem[3] = (uint8_t)(0x80 | rcode);
	memset(out.mem + 6, 0, 6);
	out.mem[7] = (uint8_t)count;
	(void)sendto(fd, buf_data(&out), buf_len(&out), 0, (struct sockaddr *)&from, len);
	buf_clear(&out);
}

static inline void
dns_open(void)
{
	struct net_addr a;
	struct sockaddr_storage ss;
	socklen_t len;

	assert_int_equal(net_addr_parse(span_of("127.0.0.1:0"), &a), 0);
	len = net_addr_to_sockaddr(&a, &ss);
	dns_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(dns_fd, (struct sockaddr *)&ss, len), 0);
	assert_int_equal(net_local(dns_fd, &a), 0);
	dns_port = a.port;
}

#endif
