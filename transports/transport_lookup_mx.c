/* SPDX-License-Identifier: ISC */
/*
 * Transport `lookup-mx` (S59 to S61): the mail exchangers of the destination's domain, or of
 * <domain>.<zone> with zone=, asked of the system's name servers or those of query=. First the MX
 * question, then the addresses of the best exchangers all at once. Runs in process `deliver`; the
 * decisions are in mx.c.
 */
#include "transports/transport.h"

#include "base/enc.h"
#include "base/ev.h"
#include "base/str.h"
#include "transports/host_lookup.h"

#include <stdlib.h>
#include <string.h>

struct transport_lookup {
	const struct conf_transport *conf;
	transport_fn *fn;
	void *arg;
	char domain[DNS_NAME_TEXT * 2]; /* what is asked */
	struct ev_timer timer;
	struct resolver *resolver;
	struct resolver_query *query; /* MX */
	unsigned pending;             /* hosts */
	struct mx_list list;
	struct host_lookup hosts[MX_HOSTS_MAX];
	struct transport_hosts result;
};

static void
lookup_free(struct transport_lookup *l)
{
	ev_timer_clear(&l->timer);
	status_clear(&l->result.failure);
	free(l);
}

static void
lookup_answer(void *arg)
{
	struct transport_lookup *l = arg;

	l->fn(l->arg, &l->result);
	lookup_free(l);
}

static void
lookup_finish(struct transport_lookup *l)
{
	uint16_t port = (uint16_t)l->conf->port;

	if (mx_finish(&l->list, l->domain, port, transport_self(), &l->result.failure) == 0)
		for (size_t i = 0; i < l->list.n; i++)
			for (size_t j = 0; j < l->list.v[i].n_addrs; j++)
				transport_hosts_add(
				    &l->result, l->list.v[i].name, &l->list.v[i].addrs[j], port);
	lookup_answer(l);
}

static void
on_host(void *arg)
{
	struct transport_lookup *l = arg;

	if (--l->pending == 0)
		lookup_finish(l);
}

static void
on_mx(void *arg, const struct dns_answer *a)
{
	struct transport_lookup *l = arg;

	l->query = NULL;
	if (mx_from_answer(a, l->domain, random_below, &l->list, &l->result.failure) == -1) {
		lookup_answer(l);
		return;
	}
	l->pending = (unsigned)l->list.n;
	for (size_t i = 0; i < l->list.n; i++)
		host_lookup_start(&l->hosts[i], l->resolver, &l->list.v[i], on_host, l);
}

/* "[192.0.2.1]" and "[IPv6:2001:db8::1]" need no look-up (RFC 5321, 4.1.3). */
static bool
take_literal(struct transport_lookup *l, const char *dest)
{
	struct span s = span_of(dest);
	struct net_addr a;

	if (s.n < 3 || s.p[0] != '[' || s.p[s.n - 1] != ']')
		return false;
	s.p++;
	s.n -= 2;
	if (span_starts_nocase(s, "IPv6:")) {
		s.p += 5;
		s.n -= 5;
	}
	if (net_addr_parse_ip(s, &a) == -1) {
		status_set(&l->result.failure, V_PERM, 0, "5.1.2",
		    "the address literal %s cannot be read", dest);
		return true;
	}
	l->list.n = 1;
	str_copy(l->list.v[0].name, sizeof(l->list.v[0].name), dest);
	l->list.v[0].n_addrs = 1;
	l->list.v[0].addrs[0] = a;
	if (mx_finish(&l->list, dest, (uint16_t)l->conf->port, transport_self(),
		&l->result.failure) == 0) {
		char text[NET_ADDR_TEXT];

		net_addr_format_ip(&a, text);
		transport_hosts_add(&l->result, text, &a, (uint16_t)l->conf->port);
	}
	return true;
}

static struct transport_lookup *
lookup_mx_find(const struct conf_transport *t, const char *dest, transport_fn *fn, void *arg)
{
	struct transport_lookup *l = xcallocarray(1, sizeof(*l));

	l->conf = t;
	l->fn = fn;
	l->arg = arg;
	if (take_literal(l, dest)) {
		ev_timer_set(&l->timer, 0, lookup_answer, l);
		return l;
	}
	l->resolver = resolver_get(t->mx_servers, t->n_mx_servers);
	if (str_printf(l->domain, sizeof(l->domain), "%s%s%s", dest, t->mx_zone == NULL ? "" : ".",
		t->mx_zone == NULL ? "" : t->mx_zone) == -1 ||
	    strlen(l->domain) > (DNS_NAME_TEXT - 1)) {
		status_set(&l->result.failure, V_PERM, 0, "5.1.2",
		    "the domain name is too long to be looked up");
		ev_timer_set(&l->timer, 0, lookup_answer, l);
	} else if (l->resolver == NULL) {
		status_set(
		    &l->result.failure, V_TEMP, 0, "4.4.3", "the DNS resolver cannot be started");
		ev_timer_set(&l->timer, 0, lookup_answer, l);
	} else {
		l->query = resolver_ask(l->resolver, l->domain, DNS_TYPE_MX, on_mx, l);
	}
	return l;
}

static void
lookup_mx_cancel(struct transport_lookup *l)
{
	if (l == NULL)
		return;
	resolver_cancel(l->query);
	for (size_t i = 0; i < MX_HOSTS_MAX; i++)
		host_lookup_cancel(&l->hosts[i]);
	lookup_free(l);
}

const struct transport transport_lookup_mx = {"lookup-mx", lookup_mx_find, lookup_mx_cancel};
