/* SPDX-License-Identifier: ISC */
/*
 * The addresses of a host by name. Process deliver, in the loop. Must never be done
 * before both questions are answered: what one family did not have the other may.
 */
#include "transports/host_lookup.h"

static void
on_answer(struct host_lookup *h, unsigned which, const struct dns_answer *a)
{
	h->queries[which] = NULL;
	mx_add_addrs(h->host, a);
	if (--h->pending == 0)
		h->done(h->arg);
}

static void
on_a(void *arg, const struct dns_answer *a)
{
	on_answer(arg, 0, a);
}

static void
on_aaaa(void *arg, const struct dns_answer *a)
{
	on_answer(arg, 1, a);
}

void
host_lookup_start(struct host_lookup *h, struct resolver *r, struct mx_host *host,
    void (*done)(void *arg), void *arg)
{
	h->host = host;
	h->done = done;
	h->arg = arg;
	h->pending = 2;
	h->queries[0] = resolver_ask(r, host->name, DNS_TYPE_A, on_a, h);
	h->queries[1] = resolver_ask(r, host->name, DNS_TYPE_AAAA, on_aaaa, h);
}

void
host_lookup_cancel(struct host_lookup *h)
{
	resolver_cancel(h->queries[0]);
	resolver_cancel(h->queries[1]);
}
