/* SPDX-License-Identifier: ISC */
/*
 * The rows that guard.c counts in: found by key, bounded per kind, and what of them
 * the file does not have yet. Pure. Runs in ledger.
 */
#include "ledger/guard_internal.h"

#include "base/enc.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define EVICT_LOOK 16 /* rows that are looked at for one that matters less */

static struct guard_row **
bucket_of(const struct guard *g, const struct guard_key *k)
{
	uint64_t h = guard_mix(g->seed, k, sizeof(*k));

	return (struct guard_row **)(uintptr_t)&g->bucket[(h >> 24) % GUARD_BUCKETS];
}

struct guard_row *
guard_row_find(const struct guard *g, const struct guard_key *k)
{
	struct guard_row *r;

	for (r = *bucket_of(g, k); r != NULL; r = r->chain)
		if (memcmp(&r->key, k, sizeof(*k)) == 0)
			return r;
	return NULL;
}

static void
add_dead(struct guard *g, const struct guard_key *k)
{
	struct guard_row *r;

	if (g->dead_all)
		return;
	if (g->n_dead == GUARD_DEAD_MAX) { /* the file is out of reach: write all when it is back */
		g->dead_all = true;
		g->n_dead = 0;
		for (unsigned i = 0; i < GUARD_KIND__MAX; i++)
			TAILQ_FOREACH (r, &g->age[i], age)
				if (!r->dirty) {
					r->dirty = true;
					TAILQ_INSERT_TAIL(&g->dirty, r, change);
				}
		return;
	}
	if (g->n_dead == g->cap_dead) {
		g->cap_dead = g->cap_dead == 0 ? 64 : g->cap_dead * 2;
		g->dead = xreallocarray(g->dead, g->cap_dead, sizeof(*g->dead));
	}
	g->dead[g->n_dead++] = *k;
}

void
guard_row_remove(struct guard *g, struct guard_row *r)
{
	struct guard_row **at = bucket_of(g, &r->key);

	while (*at != r)
		at = &(*at)->chain;
	*at = r->chain;
	if (r->until_ms != 0)
		guard_row_unlock(g, r);
	if (r->dirty)
		TAILQ_REMOVE(&g->dirty, r, change);
	TAILQ_REMOVE(&g->age[r->key.kind], r, age);
	g->stats.rows[r->key.kind]--;
	if (r->stored)
		add_dead(g, &r->key);
	free(r->name);
	free(r->pending);
	free(r);
}

/* The oldest, but rather one that is neither locked out nor under way. */
static void
evict(struct guard *g, enum guard_kind kind)
{
	struct guard_row *r, *oldest = TAILQ_FIRST(&g->age[kind]);
	unsigned looked = 0;

	TAILQ_FOREACH (r, &g->age[kind], age) {
		if (r->until_ms == 0 && r->n_pending == 0)
			break;
		if (++looked == EVICT_LOOK) {
			r = NULL;
			break;
		}
	}
	g->stats.evicted++;
	guard_row_remove(g, r == NULL ? oldest : r);
}

struct guard_row *
guard_row_get(struct guard *g, int64_t now, const struct guard_key *k)
{
	struct guard_row *r = guard_row_find(g, k), **at;

	if (r != NULL)
		return r;
	if (g->stats.rows[k->kind] >= (k->kind >= GUARD_PAIR ? GUARD_PAIRS_MAX : GUARD_ROWS_MAX))
		evict(g, (enum guard_kind)k->kind);
	r = xcallocarray(1, sizeof(*r));
	r->key = *k;
	r->since_ms = now;
	at = bucket_of(g, k);
	r->chain = *at;
	*at = r;
	TAILQ_INSERT_TAIL(&g->age[k->kind], r, age);
	g->stats.rows[k->kind]++;
	return r;
}

void
guard_row_changed(struct guard *g, struct guard_row *r)
{
	TAILQ_REMOVE(&g->age[r->key.kind], r, age);
	TAILQ_INSERT_TAIL(&g->age[r->key.kind], r, age);
	if (r->dirty)
		return;
	r->dirty = true;
	TAILQ_INSERT_TAIL(&g->dirty, r, change);
}

void
guard_row_lock(struct guard *g, struct guard_row *r, int64_t until_ms)
{
	if (r->until_ms != 0)
		return;
	r->until_ms = until_ms;
	r->tries = 0;
	TAILQ_INSERT_TAIL(&g->locked, r, locked);
	g->stats.locked_now++;
}

void
guard_row_unlock(struct guard *g, struct guard_row *r)
{
	if (r->until_ms == 0)
		return;
	if (g->on_lock != NULL)
		g->on_lock(r, false);
	r->until_ms = 0;
	r->tries = 0;
	TAILQ_REMOVE(&g->locked, r, locked);
	g->stats.locked_now--;
}

void
guard_row_bound(const struct guard *g, struct guard_row *r, int64_t now)
{
	if (r->until_ms > now + g->options.lockout_ms)
		r->until_ms = now + g->options.lockout_ms;
}

void
guard_row_name(struct guard_row *r, struct span name)
{
	if (name.n == 0 || (r->name != NULL && span_eq(name, r->name)))
		return;
	free(r->name);
	r->name = span_dup(name);
}

/* ---- the file -------------------------------------------------------------------------------- */

bool
guard_is_dirty(const struct guard *g)
{
	return !TAILQ_EMPTY(&g->dirty) || g->n_dead != 0 || g->dead_all;
}

static void
row_save(const struct guard *g, const struct guard_row *r, struct guard_saved *s)
{
	const struct conf_rates *rates = &g->options.rates[r->key.kind];

	memset(s, 0, sizeof(*s));
	s->key = r->key;
	for (size_t i = 0; i < rates->n; i++)
		s->w[s->n_w++] = (struct guard_saved_window){
		    rates->v[i].ms, r->w[i].start_ms, r->w[i].now, r->w[i].before};
	s->since_ms = r->since_ms;
	s->last_ms = r->last_ms;
	s->until_ms = r->until_ms;
	s->known_ms = r->known_ms;
	s->name = span_of(r->name);
}

int
guard_each_dirty(const struct guard *g, int (*fn)(const struct guard_saved *, void *arg), void *arg)
{
	struct guard_saved s;
	struct guard_row *r;

	TAILQ_FOREACH (r, &g->dirty, change) {
		row_save(g, r, &s);
		if (fn(&s, arg) == -1)
			return -1;
	}
	return 0;
}

const struct guard_key *
guard_dead(const struct guard *g, size_t *n, bool *all)
{
	*n = g->n_dead;
	*all = g->dead_all;
	return g->dead;
}

void
guard_written(struct guard *g)
{
	struct guard_row *r, *next;

	TAILQ_FOREACH_SAFE (r, &g->dirty, change, next) {
		TAILQ_REMOVE(&g->dirty, r, change);
		r->dirty = false;
		r->stored = true;
	}
	g->n_dead = 0;
	g->dead_all = false;
}

void
guard_unwritten(struct guard *g)
{
	struct guard_row *r;

	for (unsigned i = 0; i < GUARD_KIND__MAX; i++)
		TAILQ_FOREACH (r, &g->age[i], age) {
			r->stored = false;
			if (!r->dirty)
				TAILQ_INSERT_TAIL(&g->dirty, r, change);
			r->dirty = true;
		}
	g->n_dead = 0;
	g->dead_all = false;
}

/* A clock that was wrong once, or a file that was written to: no time of the future, no huge count.
 */
static int64_t
past(int64_t ms, int64_t now)
{
	return ms < 0 ? 0 : ms > now ? now : ms;
}

static uint32_t
bounded(uint32_t n)
{
	return n < GUARD_COUNT_MAX ? n : GUARD_COUNT_MAX;
}

void
guard_load(struct guard *g, int64_t now, const struct guard_saved *s)
{
	const struct conf_rates *rates;
	struct guard_row *r;

	if (s->key.kind >= GUARD_KIND__MAX || guard_row_find(g, &s->key) != NULL)
		return;
	rates = &g->options.rates[s->key.kind];
	r = guard_row_get(g, now, &s->key);
	r->stored = true;
	for (size_t i = 0; i < rates->n; i++)
		for (size_t j = 0; j < s->n_w; j++)
			if (s->w[j].ms == rates->v[i].ms)
				r->w[i] = (struct guard_window){past(s->w[j].start_ms, now),
				    bounded(s->w[j].now), bounded(s->w[j].before)};
	r->since_ms = past(s->since_ms, now);
	r->last_ms = past(s->last_ms, now);
	r->known_ms = past(s->known_ms, now);
	guard_row_name(r, s->name);
	/* nobody is locked out for longer than a lock-out lasts */
	if (s->until_ms > now)
		guard_row_lock(g, r,
		    s->until_ms - now > g->options.lockout_ms ? now + g->options.lockout_ms
							      : s->until_ms);
}
