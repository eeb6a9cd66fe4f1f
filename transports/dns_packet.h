/* SPDX-License-Identifier: ISC */
#ifndef TRANSPORTS_DNS_PACKET_H
#define TRANSPORTS_DNS_PACKET_H

#include "base/net.h"

#include <stddef.h>
#include <stdint.h>

#define DNS_TYPE_A 1u
#define DNS_TYPE_CNAME 5u
#define DNS_TYPE_MX 15u
#define DNS_TYPE_AAAA 28u

#define DNS_NAME_TEXT 256
#define DNS_RECORDS_MAX 32u
#define DNS_CNAMES_MAX 8u

/* What a look-up gave. What is not an explicit answer is DNS_TEMP. */
enum dns_result {
	DNS_TEMP = 0,
	DNS_OK = 1,     /* n > 0 */
	DNS_NODATA = 2, /* the name exists, without such records */
	DNS_NXDOMAIN = 3,
};

/* One record of the type asked for. name of an MX: lower case, no final dot, "" is the root. */
struct dns_record {
	uint16_t pref;
	char name[DNS_NAME_TEXT];
	struct net_addr addr;
};

struct dns_answer {
	enum dns_result result;
	const char *why; /* DNS_TEMP: static text for people */
	uint32_t ttl;    /* smallest of the records used */
	size_t n;
	struct dns_record v[DNS_RECORDS_MAX]; /* more are left out */
};

/*
 * Reads a whole answer (RFC 1035, 4.1) to a question of `type`: follows at most
 * DNS_CNAMES_MAX aliases from the question's name. Records with odd bytes in host
 * names are left out. DNS_TEMP where the packet makes no sense.
 */
void dns_packet_parse(const uint8_t *, size_t n, uint16_t type, struct dns_answer *out);

#endif
