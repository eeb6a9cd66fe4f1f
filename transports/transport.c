/* SPDX-License-Identifier: ISC */
/*
 * The table of transports, and what they share: the list of hosts, and the addresses that belong to
 * this machine. Runs in process `deliver`; the addresses are read before the sandbox closes.
 */
#include "transports/transport.h"

#include "base/list.h"
#include "base/str.h"

#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>

#define SELF_MAX 512u

static const struct transport *const transports[] = {
#define TRANSPORT(stem) &transport_##stem,
#include "transports/transports.def"
#undef TRANSPORT
};

static struct {
	struct net_addr addrs[SELF_MAX];
	struct mx_self mx;
} own;

const struct transport *
transport_of(const struct conf_transport *t)
{
	const char *name = t->is_mx ? "lookup-mx" : "static";

	for (size_t i = 0; i < ARRAY_LEN(transports); i++)
		if (strcmp(transports[i]->name, name) == 0)
			return transports[i];
	return NULL;
}

void
transport_hosts_add(
    struct transport_hosts *h, const char *name, const struct net_addr *addr, uint16_t port)
{
	struct transport_host *v;

	for (size_t i = 0; i < h->n; i++)
		if (net_addr_equal_ip(&h->v[i].addr, addr) && h->v[i].addr.port == port)
			return;
	if (h->n == TRANSPORT_HOSTS_MAX)
		return;
	v = &h->v[h->n];
	if (str_copy(v->name, sizeof(v->name), name) == -1)
		return;
	v->addr = *addr;
	v->addr.port = port;
	h->n++;
}

static void
self_add(const struct net_addr *a, uint16_t port)
{
	struct net_addr *to;

	if (own.mx.n_addrs == SELF_MAX)
		return;
	to = &own.addrs[own.mx.n_addrs++];
	*to = *a;
	to->port = port;
}

static bool
is_wildcard(const struct net_addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->ip, zero, a->family == 4 ? 4 : 16) == 0;
}

static void
self_add_bind(const struct net_addr *bind, const struct ifaddrs *all)
{
	if (!is_wildcard(bind)) {
		self_add(bind, bind->port);
		return;
	}
	for (; all != NULL; all = all->ifa_next) {
		struct net_addr a;

		if (all->ifa_addr != NULL && net_addr_from_sockaddr(&a, all->ifa_addr) == 0 &&
		    a.family == bind->family)
			self_add(&a, bind->port);
	}
}

void
transport_prepare(const struct conf *conf)
{
	struct ifaddrs *all = NULL;

	own.mx.hostname = conf->server->hostname;
	own.mx.addrs = own.addrs;
	own.mx.n_addrs = 0;
	if (getifaddrs(&all) == -1)
		all = NULL;
	for (size_t i = 0; i < conf->n_listener; i++)
		for (size_t j = 0; j < conf->listener_blocks[i].n_binds; j++)
			self_add_bind(&conf->listener_blocks[i].binds[j], all);
	if (all != NULL)
		freeifaddrs(all);
}

const struct mx_self *
transport_self(void)
{
	return &own.mx;
}

void
transport_done(void)
{
	own.mx.n_addrs = 0;
}
