/* SPDX-License-Identifier: ISC */
/*
 * What process `deliver` remembers of next hops, by address: that one failed a moment ago and is
 * the last choice, and that one failed the TLS handshake and gets its mail in clear for a while
 * where the transport is opportunistic (RFC 7435). A small table; the oldest entry makes room.
 */
#include "transports/deliver.h"

#include "base/list.h"

#define HOSTS_MAX 256u

static struct host_mark {
	struct net_addr addr;
	int64_t bad_until, clear_until;
} marks[HOSTS_MAX];

static struct host_mark *
find(const struct net_addr *a)
{
	for (size_t i = 0; i < HOSTS_MAX; i++)
		if (marks[i].addr.family != 0 && marks[i].addr.port == a->port &&
		    net_addr_equal_ip(&marks[i].addr, a))
			return &marks[i];
	return NULL;
}

static int64_t
until(const struct host_mark *m)
{
	return m->bad_until > m->clear_until ? m->bad_until : m->clear_until;
}

static struct host_mark *
find_or_make(const struct net_addr *a)
{
	struct host_mark *m = find(a);

	if (m != NULL)
		return m;
	m = &marks[0];
	for (size_t i = 1; i < HOSTS_MAX; i++)
		if (until(&marks[i]) < until(m))
			m = &marks[i];
	*m = (struct host_mark){.addr = *a};
	return m;
}

void
deliver_host_failed(const struct net_addr *a)
{
	find_or_make(a)->bad_until = ev_now_ms() + DELIVER_HOST_BAD_MS;
}

void
deliver_host_ok(const struct net_addr *a)
{
	struct host_mark *m = find(a);

	if (m != NULL)
		m->bad_until = 0;
}

bool
deliver_host_is_bad(const struct net_addr *a)
{
	const struct host_mark *m = find(a);

	return m != NULL && m->bad_until > ev_now_ms();
}

void
deliver_host_set_clear(const struct net_addr *a)
{
	find_or_make(a)->clear_until = ev_now_ms() + DELIVER_HOST_CLEAR_MS;
}

bool
deliver_host_is_clear(const struct net_addr *a)
{
	const struct host_mark *m = find(a);

	return m != NULL && m->clear_until > ev_now_ms();
}
