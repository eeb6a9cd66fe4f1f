/* SPDX-License-Identifier: ISC */
#ifndef TRANSPORTS_HOST_LOOKUP_H
#define TRANSPORTS_HOST_LOOKUP_H

#include "transports/mx.h"
#include "transports/resolver.h"

/* The A and the AAAA question for one host, asked together. Starts zeroed; owned by who asks. */
struct host_lookup {
	struct mx_host *host; /* borrowed; takes the addresses */
	struct resolver_query *queries[2];
	unsigned pending;
	void (*done)(void *arg);
	void *arg;
};

/* done(arg) when both are answered, never before this returns. */
void host_lookup_start(
    struct host_lookup *, struct resolver *, struct mx_host *, void (*done)(void *arg), void *arg);
/* No done() any more. Fine for one that was never started, or is done. */
void host_lookup_cancel(struct host_lookup *);

#endif
