/* SPDX-License-Identifier: ISC */
/*
 * Transport `static`: the hosts stand in the configuration (S59), as addresses or as names whose A
 * and AAAA records are looked up, or that stand in the hosts file. In the order listed, or by
 * address (S77). Runs in process `deliver`.
 */
#include "transports/transport.h"

#include "base/ev.h"
#include "base/list.h"
#include "base/str.h"
#include "transports/host_lookup.h"

#include <stdlib.h>
#include <string.h>

struct name_lookup {
	struct host_lookup lookup;
	struct mx_host host; /* its addresses */
};

struct transport_lookup {
	const struct conf_transport *conf;
	transport_fn *fn;
	void *arg;
	struct ev_timer timer; /* the end, when nothing is asked */
	unsigned pending;      /* names */
	size_t n;
	struct name_lookup names[];
};

static void
lookup_free(struct transport_lookup *l)
{
	ev_timer_clear(&l->timer);
	free(l);
}

static int
compare(const void *a, const void *b)
{
	const struct transport_host *x = a, *y = b;

	if (x->addr.family != y->addr.family)
		return x->addr.family < y->addr.family ? -1 : 1;
	int c = memcmp(x->addr.ip, y->addr.ip, sizeof(x->addr.ip));
	return c != 0 ? c : (int)x->addr.port - (int)y->addr.port;
}

static void
lookup_finish(void *arg)
{
	struct transport_lookup *l = arg;
	struct transport_hosts *h = xcallocarray(1, sizeof(*h));
	bool unknown = false;

	for (size_t i = 0; i < l->n; i++) {
		const struct mx_host *host = &l->names[i].host;

		unknown |= host->n_addrs == 0 && host->result == DNS_TEMP;
		for (size_t j = 0; j < host->n_addrs; j++)
			transport_hosts_add(h, host->name, &host->addrs[j],
			    l->conf->host_list[i].port != 0 ? l->conf->host_list[i].port
							    : (uint16_t)l->conf->port);
	}
	if (l->conf->order == TRANSPORT_ORDER_NUMERIC)
		qsort(h->v, h->n, sizeof(h->v[0]), compare);
	/* a wrong name in our own configuration is our fault: never a reason to bounce */
	if (h->n == 0)
		status_set(&h->failure, V_TEMP, 0, "4.4.3",
		    unknown ? "the addresses of the hosts of transport %s are not known now"
			    : "no host of transport %s has an address",
		    l->conf->title);
	l->fn(l->arg, h);
	status_clear(&h->failure);
	free(h);
	lookup_free(l);
}

static void
on_name(void *arg)
{
	struct transport_lookup *l = arg;

	if (--l->pending == 0)
		lookup_finish(l);
}

static void
start_name(struct transport_lookup *l, struct name_lookup *name, const char *host)
{
	struct resolver *r;

	name->host.result = DNS_NODATA;
	str_copy(name->host.name, sizeof(name->host.name), host);
	if (net_addr_parse_ip(span_of(host), &name->host.addrs[0]) == 0) {
		name->host.n_addrs = 1;
		return;
	}
	name->host.n_addrs = resolver_hosts(host, name->host.addrs, MX_HOST_ADDRS_MAX);
	if (name->host.n_addrs > 0)
		return;
	r = resolver_get(l->conf->mx_servers, l->conf->n_mx_servers);
	if (r == NULL) {
		name->host.result = DNS_TEMP;
		return;
	}
	l->pending++;
	host_lookup_start(&name->lookup, r, &name->host, on_name, l);
}

static struct transport_lookup *
static_find(const struct conf_transport *t, const char *dest, transport_fn *fn, void *arg)
{
	struct transport_lookup *l;
	size_t size;

	(void)dest;
	size = sizeof(*l) + t->n_hosts * sizeof(l->names[0]); /* at most 100 */
	l = xmalloc(size);
	memset(l, 0, size);
	l->conf = t;
	l->fn = fn;
	l->arg = arg;
	l->n = t->n_hosts;
	for (size_t i = 0; i < l->n; i++)
		start_name(l, &l->names[i], t->host_list[i].host);
	if (l->pending == 0)
		ev_timer_set(&l->timer, 0, lookup_finish, l);
	return l;
}

static void
static_cancel(struct transport_lookup *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < l->n; i++)
		host_lookup_cancel(&l->names[i].lookup);
	lookup_free(l);
}

const struct transport transport_static = {"static", static_find, static_cancel};
