/* SPDX-License-Identifier: ISC */
#ifndef TRANSPORTS_RESOLVER_H
#define TRANSPORTS_RESOLVER_H

#include "base/net.h"
#include "transports/dns_packet.h"

#include <stddef.h>

/*
 * DNS questions in process `deliver`: libunbound in our event loop, one context for
 * each set of name servers, an own deadline for every question.
 */
#define RESOLVER_DEADLINE_MS 10000

struct resolver;
struct resolver_query;
/* a is valid during the call only. Never called from within resolver_ask(). */
typedef void resolver_fn(void *arg, const struct dns_answer *a);

/* Reads the system's name servers and hosts file; before the sandbox. Absent files are no error. */
void resolver_prepare(const char *resolv_conf, const char *hosts);
/*
 * The resolver that asks these servers; n 0: the system's, and where there are none the
 * root servers. NULL when libunbound refuses. Lives until resolver_done().
 */
struct resolver *resolver_get(const struct net_addr *servers, size_t n);
struct resolver_query *resolver_ask(
    struct resolver *, const char *name, uint16_t type, resolver_fn *, void *arg);
void resolver_cancel(struct resolver_query *); /* NULL is fine; the callback will not run */
/* The addresses of a name in the hosts file, at most max; 0 when it does not stand there. */
size_t resolver_hosts(const char *name, struct net_addr *out, size_t max);
void resolver_done(void);

#endif
