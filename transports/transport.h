/* SPDX-License-Identifier: ISC */
#ifndef TRANSPORTS_TRANSPORT_H
#define TRANSPORTS_TRANSPORT_H

#include "base/net.h"
#include "conf/conf.h"
#include "mail/status.h"
#include "transports/dns_packet.h"
#include "transports/mx.h"

#include <stddef.h>

/*
 * A transport finds the hosts of a destination, in the order in which they are to be
 * tried; the delivery itself is the same for all (deliver_dest, deliver_conn).
 */
#define TRANSPORT_HOSTS_MAX 40u

struct transport_host {
	char name[DNS_NAME_TEXT]; /* for TLS names and people; the address as text where there is
	                             none */
	struct net_addr addr;     /* with port */
};
struct transport_hosts {
	size_t n;
	struct transport_host v[TRANSPORT_HOSTS_MAX];
	struct status failure; /* why n is 0 */
};

struct transport_lookup;
/* The hosts are valid during the call only. Never called from within find(). */
typedef void transport_fn(void *arg, const struct transport_hosts *);

struct transport {
	const char *name;
	struct transport_lookup *(*find)(
	    const struct conf_transport *, const char *dest, transport_fn *, void *arg);
	void (*cancel)(struct transport_lookup *); /* NULL is fine; the callback will not run */
};

#define TRANSPORT(stem) extern const struct transport transport_##stem;
#include "transports/transports.def"
#undef TRANSPORT

const struct transport *transport_of(const struct conf_transport *);
/* What belongs to this machine: set once in prepare, for loops. */
void transport_prepare(const struct conf *);
const struct mx_self *transport_self(void);
void transport_done(void);
/* Adds one; full lists and doubles are left as they are. */
void transport_hosts_add(
    struct transport_hosts *, const char *name, const struct net_addr *, uint16_t port);

#endif
