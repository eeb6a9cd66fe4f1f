/* SPDX-License-Identifier: ISC */
/*
 * MX order, null MX, implicit MX and loops to ourselves (RFC 5321, 5.1; RFC 7505; S59), for process
 * `deliver`. Pure: answers in, a list or a status out; the caller gives the randomness. It must
 * not take "not known now" for "does not exist".
 */
#include "transports/mx.h"

#include "base/str.h"

#include <string.h>

static void
swap(struct dns_record *a, struct dns_record *b)
{
	struct dns_record t = *a;

	*a = *b;
	*b = t;
}

/* Shuffles all, then sorts by preference without changing the order of equals. */
static void
order(struct dns_record *v, size_t n, mx_random_fn *rnd)
{
	for (size_t i = n; i > 1; i--) {
		size_t j = rnd((uint32_t)i);

		if (j != i - 1)
			swap(&v[j], &v[i - 1]);
	}
	for (size_t i = 1; i < n; i++)
		for (size_t j = i; j > 0 && v[j].pref < v[j - 1].pref; j--)
			swap(&v[j], &v[j - 1]);
}

static void
list_add(struct mx_list *l, const struct dns_record *r)
{
	struct mx_host *h;

	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i].name, r->name) == 0)
			return;
	if (l->n == MX_HOSTS_MAX)
		return;
	h = &l->v[l->n++];
	memset(h, 0, sizeof(*h));
	h->pref = r->pref;
	h->result = DNS_NODATA;
	memcpy(h->name, r->name, sizeof(h->name));
}

int
mx_from_answer(const struct dns_answer *a, const char *domain, mx_random_fn *rnd, struct mx_list *l,
    struct status *st)
{
	struct dns_record v[DNS_RECORDS_MAX], self = {0};
	size_t n = 0;

	l->n = 0;
	l->implicit = false;
	switch (a->result) {
	case DNS_TEMP:
		status_set(st, V_TEMP, 0, "4.4.3",
		    "the look-up of the mail exchangers of %s failed: %s", domain,
		    a->why == NULL ? "no answer" : a->why);
		return -1;
	case DNS_NXDOMAIN:
		status_set(st, V_PERM, 0, "5.1.2", "the domain %s does not exist", domain);
		return -1;
	case DNS_NODATA:
		if (str_copy(self.name, sizeof(self.name), domain) == -1) {
			status_set(st, V_PERM, 0, "5.1.2", "the domain name is too long");
			return -1;
		}
		l->implicit = true;
		list_add(l, &self);
		return 0;
	case DNS_OK:
		break;
	}
	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].name[0] != '\0')
			v[n++] = a->v[i];
	if (n == 0) {
		status_set(st, V_PERM, 556, "5.1.10",
		    "the domain %s takes no mail (it has a null MX record)", domain);
		return -1;
	}
	order(v, n, rnd);
	for (size_t i = 0; i < n; i++)
		list_add(l, &v[i]);
	return 0;
}

/* IPv4 at even places, IPv6 at odd ones, as long as there are both. */
static void
host_add(struct mx_host *h, const struct net_addr *a)
{
	size_t same = 0, at;

	if (h->n_addrs == MX_HOST_ADDRS_MAX)
		return;
	for (size_t i = 0; i < h->n_addrs; i++) {
		if (net_addr_equal_ip(&h->addrs[i], a))
			return;
		same += h->addrs[i].family == a->family;
	}
	at = same * 2 + (a->family == 6);
	if (at > h->n_addrs)
		at = h->n_addrs;
	memmove(&h->addrs[at + 1], &h->addrs[at], (h->n_addrs - at) * sizeof(*a));
	h->addrs[at] = *a;
	h->n_addrs++;
}

void
mx_add_addrs(struct mx_host *h, const struct dns_answer *a)
{
	if (a->result == DNS_TEMP)
		h->result = DNS_TEMP;
	/* half of the places for each family */
	for (size_t i = 0; i < a->n && i < MX_HOST_ADDRS_MAX / 2; i++)
		host_add(h, &a->v[i].addr);
}

static bool
host_is_self(const struct mx_host *h, uint16_t port, const struct mx_self *self)
{
	bool listens = false;

	for (size_t i = 0; i < self->n_addrs; i++) {
		if (self->addrs[i].port != port)
			continue;
		listens = true;
		for (size_t j = 0; j < h->n_addrs; j++)
			if (net_addr_equal_ip(&self->addrs[i], &h->addrs[j]))
				return true;
	}
	/* our name, at a port of ours: behind NAT the address is not ours to see */
	return listens && str_eq_nocase(h->name, self->hostname);
}

int
mx_finish(struct mx_list *l, const char *domain, uint16_t port, const struct mx_self *self,
    struct status *st)
{
	size_t kept = 0, usable = 0;
	bool unknown = false, loop = false;
	unsigned best_self = UINT16_MAX + 1u;

	for (size_t i = 0; i < l->n; i++) {
		if (!host_is_self(&l->v[i], port, self))
			continue;
		loop = true;
		if (l->v[i].pref < best_self)
			best_self = l->v[i].pref;
	}
	for (size_t i = 0; i < l->n; i++) {
		struct mx_host *h = &l->v[i];

		if (loop && h->pref >= best_self)
			continue;
		usable++;
		if (h->n_addrs == 0) {
			unknown |= h->result == DNS_TEMP;
			continue;
		}
		if (kept != i)
			l->v[kept] = *h;
		kept++;
	}
	l->n = kept;
	if (kept > 0)
		return 0;
	if (loop && usable == 0)
		status_set(st, V_PERM, 0, "5.4.6",
		    "the mail exchanger of %s is this server: the mail would loop", domain);
	else if (unknown)
		status_set(st, V_TEMP, 0, "4.4.3",
		    "the addresses of the mail exchangers of %s are not known now", domain);
	else if (l->implicit)
		status_set(
		    st, V_PERM, 0, "5.1.2", "the domain %s has neither MX nor address", domain);
	else
		status_set(
		    st, V_PERM, 0, "5.4.4", "no mail exchanger of %s has an address", domain);
	return -1;
}
