/* SPDX-License-Identifier: ISC */
#ifndef TRANSPORTS_MX_H
#define TRANSPORTS_MX_H

#include "base/net.h"
#include "mail/status.h"
#include "transports/dns_packet.h"

#include <stdbool.h>

/*
 * Which hosts take the mail of a domain, and in which order: RFC 5321, 5.1 and RFC 7505
 * as pure functions.
 */
#define MX_HOSTS_MAX 10u     /* exchangers that are looked at, the best first */
#define MX_HOST_ADDRS_MAX 4u /* addresses per exchanger */

struct mx_host {
	uint16_t pref;
	char name[DNS_NAME_TEXT];
	/* filled after the address look-ups, best first */
	enum dns_result result; /* worst of the two look-ups while there is no address */
	size_t n_addrs;
	struct net_addr addrs[MX_HOST_ADDRS_MAX];
};
struct mx_list {
	bool implicit; /* no MX record: the domain itself */
	size_t n;
	struct mx_host v[MX_HOSTS_MAX];
};

/* What belongs to this machine, for loops: addresses with the ports submitd listens on. */
struct mx_self {
	const char *hostname;
	const struct net_addr *addrs;
	size_t n_addrs;
};

/* A number below n, n > 0. */
typedef uint32_t mx_random_fn(uint32_t n);

/*
 * The exchangers of `domain` from the answer to its MX question, best first, shuffled
 * within one preference. -1 with st filled: no such domain, null MX (RFC 7505), or temporary.
 */
int mx_from_answer(const struct dns_answer *, const char *domain, mx_random_fn *, struct mx_list *,
    struct status *st);

/* Adds the A or AAAA answer to a host. Addresses alternate between IPv4 and IPv6. */
void mx_add_addrs(struct mx_host *, const struct dns_answer *);

/*
 * Drops hosts without address, and, when one of the hosts is ourselves, all that are not
 * better than it (RFC 5321, 5.1). port: where the transport connects to.
 * -1 with st filled when none is left: 5.4.6 loop, 5.4.4 no address, 4.4.3 not known now.
 */
int mx_finish(
    struct mx_list *, const char *domain, uint16_t port, const struct mx_self *, struct status *st);

#endif
