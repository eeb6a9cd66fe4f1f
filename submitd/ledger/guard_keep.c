/* SPDX-License-Identifier: ISC */
/*
 * The life of guard.c's counts beside counting: made, given other options, expired,
 * listed and forgotten. Pure. Runs in ledger.
 */
#include "ledger/guard_internal.h"

#include "base/enc.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define EXPIRE_PER_TICK 2000 /* rows of each kind */

static void
set_shortest(struct guard *g)
{
	for (unsigned k = 0; k < GUARD_KIND__MAX; k++) {
		const struct conf_rates *rates = &g->options.rates[k];

		g->shortest[k] = 0;
		for (unsigned i = 1; i < rates->n; i++)
			if (rates->v[i].ms < rates->v[g->shortest[k]].ms)
				g->shortest[k] = i;
	}
}

void
guard_options_from(struct guard_options *o, const struct conf_auth_guard *c)
{
	memset(o, 0, sizeof(*o));
	o->rates[GUARD_ADDRESS] = c->address_rates;
	o->rates[GUARD_NETWORK] = c->network_rates;
	o->rates[GUARD_USER] = c->user_rates;
	o->rates[GUARD_PAIR] = c->user_rates;
	o->rates[GUARD_HOME] = c->user_rates;
	o->lockout_ms = c->lockout;
	o->tarpit_ms = c->tarpit;
	o->remember_ms = c->remember;
}

struct guard *
guard_new(const struct guard_options *o, const uint8_t secret[32])
{
	struct guard *g = xcallocarray(1, sizeof(*g));

	g->options = *o;
	set_shortest(g);
	g->names = mac_new(secret, GUARD_SECRET);
	random_bytes(&g->seed, sizeof(g->seed));
	for (unsigned i = 0; i < GUARD_KIND__MAX; i++)
		TAILQ_INIT(&g->age[i]);
	TAILQ_INIT(&g->locked);
	TAILQ_INIT(&g->dirty);
	g->seen = xcallocarray(1, sizeof(*g->seen));
	g->debts = xcallocarray(1, sizeof(*g->debts));
	return g;
}

void
guard_free(struct guard *g)
{
	struct guard_row *r;

	if (g == NULL)
		return;
	g->on_lock = NULL;
	for (unsigned i = 0; i < GUARD_KIND__MAX; i++)
		while ((r = TAILQ_FIRST(&g->age[i])) != NULL)
			guard_row_remove(g, r);
	free(g->dead);
	free(g->seen);
	free(g->debts);
	mac_free(g->names);
	free(g);
}

/* Windows of a length that stays keep their counts. */
static void
row_convert(struct guard_row *r, const struct conf_rates *from, const struct conf_rates *to)
{
	struct guard_window old[CONF_RATES_MAX];

	memcpy(old, r->w, sizeof(old));
	memset(r->w, 0, sizeof(r->w));
	for (size_t i = 0; i < to->n; i++)
		for (size_t j = 0; j < from->n; j++)
			if (to->v[i].ms == from->v[j].ms)
				r->w[i] = old[j];
}

void
guard_set_options(struct guard *g, const struct guard_options *o)
{
	struct guard_row *r;

	for (unsigned k = 0; k < GUARD_KIND__MAX; k++)
		TAILQ_FOREACH (r, &g->age[k], age)
			row_convert(r, &g->options.rates[k], &o->rates[k]);
	g->options = *o;
	set_shortest(g);
}

void
guard_on_lock(struct guard *g, void (*fn)(const struct guard_row *, bool locked))
{
	g->on_lock = fn;
}

const struct guard_stats *
guard_stats(const struct guard *g)
{
	return &g->stats;
}

void
guard_tick(struct guard *g, int64_t now)
{
	struct guard_row *r;
	unsigned k, n;

	while ((r = TAILQ_FIRST(&g->locked)) != NULL) {
		guard_row_bound(g, r, now);
		if (r->until_ms > now)
			break;
		guard_row_unlock(g, r);
		guard_row_changed(g, r);
	}
	for (k = 0; k < GUARD_KIND__MAX; k++)
		for (n = 0; n < EXPIRE_PER_TICK; n++) {
			r = TAILQ_FIRST(&g->age[k]);
			if (r == NULL || !guard_row_drop_empty(g, r, now))
				break;
		}
}

void
guard_each(struct guard *g, bool (*fn)(const struct guard_row *, void *arg), void *arg)
{
	struct guard_row *r;

	for (unsigned k = 0; k < GUARD_KIND__MAX; k++)
		TAILQ_FOREACH_REVERSE(r, &g->age[k], guard_rows, age)
	if (!fn(r, arg))
		return;
}

void
guard_row_key(const struct guard_row *r, struct buf *out)
{
	struct net_addr a = {.family = r->key.family};
	char ip[NET_ADDR_TEXT];

	if (r->key.kind == GUARD_USER) {
		if (r->name != NULL)
			buf_add_str(out, r->name);
		else
			hex_encode(out, r->key.user, 8);
		return;
	}
	memcpy(a.ip, r->key.ip, sizeof(a.ip));
	net_addr_format_ip(&a, ip);
	buf_add_str(out, ip);
	if (r->key.kind != GUARD_ADDRESS && r->key.kind != GUARD_HOME)
		buf_add_str(out, a.family == 4 ? "/24" : "/64");
}

/* ---- forgetting ------------------------------------------------------------------------------ */

static size_t
forget_row(struct guard *g, int64_t now, struct guard_row *r)
{
	size_t had;

	if (r == NULL)
		return 0;
	had = guard_row_failures(g, r, now) != 0 || r->until_ms != 0;
	if (!had)
		return 0;
	guard_row_unlock(g, r);
	memset(r->w, 0, sizeof(r->w));
	guard_row_changed(g, r);
	(void)guard_row_drop_empty(g, r, now);
	return 1;
}

/* Rows of the kind that are the user's, by name or by what is shown instead of it. */
static size_t
forget_user(
    struct guard *g, int64_t now, enum guard_kind kind, const uint8_t hash[16], const char *shown)
{
	struct guard_row *r, *next;
	size_t n = 0;

	TAILQ_FOREACH_SAFE (r, &g->age[kind], age, next)
		if (hash == NULL || memcmp(r->key.user, hash, 16) == 0 ||
		    (r->name != NULL && strcmp(r->name, shown) == 0))
			n += forget_row(g, now, r);
	return n;
}

size_t
guard_forget(struct guard *g, int64_t now, const char *key, struct span user)
{
	struct guard_query q;
	struct net_addr addr;
	struct net_cidr net;
	size_t n = 0;

	if (key == NULL) {
		for (unsigned k = 0; k < GUARD_KIND__MAX; k++)
			n += forget_user(g, now, (enum guard_kind)k, NULL, "");
		return n;
	}
	if (net_addr_parse_ip(span_of(key), &addr) == 0) {
		guard_query_make(g, &q, &addr, span_of(""), 0);
		return forget_row(g, now, guard_row_find(g, &q.key[GUARD_ADDRESS]));
	}
	if (net_cidr_parse(span_of(key), &net) == 0) {
		if (net.bits != (net.addr.family == 4 ? 24 : 64))
			return 0;
		guard_query_make(g, &q, &net.addr, span_of(""), 0);
		return forget_row(g, now, guard_row_find(g, &q.key[GUARD_NETWORK]));
	}
	memset(&addr, 0, sizeof(addr));
	guard_query_make(g, &q, &addr, user, 0);
	n = forget_user(g, now, GUARD_USER, q.key[GUARD_USER].user, key);
	n += forget_user(g, now, GUARD_PAIR, q.key[GUARD_USER].user, key);
	return n + forget_user(g, now, GUARD_HOME, q.key[GUARD_USER].user, key);
}
