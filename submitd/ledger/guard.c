/* SPDX-License-Identifier: ISC */
/*
 * Counts failed logins and says who must wait or is locked out (A7). Pure: facts and
 * the time in, answers out. Runs in ledger. Must never lock a user out of a place he
 * logs in from because of what others do, and never sees a password.
 */
#include "ledger/guard_internal.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define FREE_FAILURES 3u             /* before answers are delayed */
#define FIRST_DELAY_MS INT64_C(1000) /* then doubled each time */
#define KNOWN_FRESH_MS 86400000      /* a pair's last success need not be more exact */
#define KIND_BIT(kind) (1u << (kind))
#define STRANGER_KINDS (KIND_BIT(GUARD_ADDRESS) | KIND_BIT(GUARD_NETWORK) | KIND_BIT(GUARD_USER))

const char *
guard_kind_name(enum guard_kind k)
{
	static const char *const names[] = {"address", "network", "user", "known", "home"};

	return (unsigned)k < GUARD_KIND__MAX ? names[k] : "?";
}

/* ---- windows --------------------------------------------------------------------------------- */

static void
window_roll(struct guard_window *w, int64_t ms, int64_t now)
{
	if (now < w->start_ms) /* the clock went back: nothing is forgotten earlier for it */
		w->start_ms = now;
	if (now - w->start_ms >= 2 * ms || (w->now == 0 && w->before == 0))
		*w = (struct guard_window){now, 0, 0};
	else if (now - w->start_ms >= ms)
		*w = (struct guard_window){w->start_ms + ms, 0, w->now};
}

static uint32_t
window_count(const struct guard_window *at, int64_t ms, int64_t now)
{
	struct guard_window w = *at;

	window_roll(&w, ms, now);
	/* rounded up: a failure fades when its time is over, not before */
	return w.now + (uint32_t)(((int64_t)w.before * (ms - (now - w.start_ms)) + ms - 1) / ms);
}

static void
row_count(struct guard *g, struct guard_row *r, int64_t now)
{
	const struct conf_rates *rates = &g->options.rates[r->key.kind];

	if (r->last_ms == 0 || guard_row_failures(g, r, now) == 0)
		r->since_ms = now;
	for (size_t i = 0; i < rates->n; i++) {
		window_roll(&r->w[i], rates->v[i].ms, now);
		if (r->w[i].now < GUARD_COUNT_MAX)
			r->w[i].now++;
	}
	r->last_ms = now;
}

/* As if n of them had not been. */
static void
row_forgive(struct guard *g, struct guard_row *r, uint32_t n)
{
	if (r == NULL || n == 0)
		return;
	for (size_t i = 0; i < CONF_RATES_MAX; i++) {
		struct guard_window *w = &r->w[i];
		uint32_t first = n < w->now ? n : w->now, rest = n - first;

		w->now -= first;
		w->before -= rest < w->before ? rest : w->before;
	}
	guard_row_changed(g, r);
}

uint32_t
guard_row_failures(const struct guard *g, const struct guard_row *r, int64_t now)
{
	const struct conf_rates *rates = &g->options.rates[r->key.kind];
	uint32_t most = 0, n;

	for (size_t i = 0; i < rates->n; i++) {
		n = window_count(&r->w[i], rates->v[i].ms, now);
		most = n > most ? n : most;
	}
	return most;
}

bool
guard_row_is_locked(const struct guard_row *r, int64_t now)
{
	return r->until_ms > now;
}

/* How many different guesses may be under way. After a lock-out is over: one. */
static uint32_t
row_room(const struct guard *g, const struct guard_row *r, int64_t now)
{
	const struct conf_rates *rates = &g->options.rates[r->key.kind];
	uint32_t room = UINT32_MAX, n;

	for (size_t i = 0; i < rates->n; i++) {
		n = window_count(&r->w[i], rates->v[i].ms, now);
		n = n < rates->v[i].n ? rates->v[i].n - n : 1;
		room = n < room ? n : room;
	}
	return room;
}

static bool
row_is_over(const struct guard *g, const struct guard_row *r, int64_t now)
{
	const struct conf_rates *rates = &g->options.rates[r->key.kind];

	for (size_t i = 0; i < rates->n; i++)
		if (window_count(&r->w[i], rates->v[i].ms, now) >= rates->v[i].n)
			return true;
	return false;
}

/* The tarpit: nothing for the first few, then 1 s, 2 s, 4 s and so on. */
static int64_t
row_delay(const struct guard *g, const struct guard_row *r, int64_t now)
{
	const struct conf_rates *rates = &g->options.rates[r->key.kind];
	const struct conf_rate *rate = &rates->v[g->shortest[r->key.kind]];
	uint32_t n, free_n = FREE_FAILURES;
	int64_t ms;

	if (rates->n == 0 || r->key.kind == GUARD_USER) /* others' guesses are not his fault */
		return 0;
	n = window_count(&r->w[g->shortest[r->key.kind]], rate->ms, now) + r->tries;
	if (r->key.kind == GUARD_NETWORK && rate->n / 2 > free_n)
		free_n = rate->n / 2; /* many people live there */
	if (n < free_n)
		return 0;
	ms = FIRST_DELAY_MS << (n - free_n < 10 ? n - free_n : 10);
	return ms < g->options.tarpit_ms ? ms : g->options.tarpit_ms;
}

/* ---- guesses under way ----------------------------------------------------------------------- */

static struct guard_pending *
pending_find(const struct guard_row *r, uint64_t guess)
{
	for (uint32_t i = 0; i < r->n_pending; i++)
		if (r->pending[i].guess == guess)
			return &r->pending[i];
	return NULL;
}

/*
 * No further guess may be made here just now. Where many users are, a guess counts for a
 * while only: a backend that hangs is to hold up those who need it. One user's guesses all
 * count, however slow his backend is. One from the future is of a clock that was set back.
 */
static bool
is_full(const struct guard *g, const struct guard_row *r, int64_t now)
{
	bool shared = r->key.kind == GUARD_ADDRESS || r->key.kind == GUARD_NETWORK;
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->n_pending; i++)
		n += !shared || now - r->pending[i].since_ms < GUARD_PENDING_MS;
	return r->n_pending >= GUARD_PENDING_MAX || n >= row_room(g, r, now);
}

static void
pending_add(struct guard_row *r, uint64_t guess, int64_t now)
{
	struct guard_pending *p = pending_find(r, guess);

	if (p != NULL) {
		p->refs++;
		return;
	}
	if (r->n_pending == r->cap_pending) {
		r->cap_pending = r->cap_pending == 0 ? 2 : r->cap_pending * 2;
		r->pending = xreallocarray(r->pending, r->cap_pending, sizeof(*r->pending));
	}
	r->pending[r->n_pending++] = (struct guard_pending){guess, now, 1};
}

static void
pending_done(struct guard_row *r, uint64_t guess)
{
	struct guard_pending *p = r == NULL ? NULL : pending_find(r, guess);

	if (p != NULL && --p->refs == 0)
		*p = r->pending[--r->n_pending];
}

/* ---- asking ---------------------------------------------------------------------------------- */

void
guard_query_make(struct guard *g, struct guard_query *q, const struct net_addr *client,
    struct span user, uint64_t guess)
{
	memset(q, 0, sizeof(*q));
	q->guess = guess;
	q->named = user.n != 0;
	guard_keys_make(g->names, client, user, q->key);
}

static bool
is_known(const struct guard *g, const struct guard_row *r, int64_t now)
{
	return r != NULL && r->known_ms != 0 && now - r->known_ms < g->options.remember_ms;
}

static bool
is_known_at(const struct guard *g, const struct guard_query *q, enum guard_kind kind, int64_t now)
{
	return q->named && is_known(g, guard_row_find(g, &q->key[kind]), now);
}

static unsigned
kinds_of(const struct guard *g, const struct guard_query *q, int64_t now)
{
	unsigned kinds = STRANGER_KINDS, i;

	if (!q->named)
		kinds &= ~KIND_BIT(GUARD_USER);
	else if (is_known_at(g, q, GUARD_HOME, now))
		kinds = KIND_BIT(GUARD_HOME);
	else if (is_known_at(g, q, GUARD_PAIR, now))
		kinds = KIND_BIT(GUARD_PAIR);
	for (i = 0; i < GUARD_KIND__MAX; i++)
		if (g->options.rates[i].n == 0)
			kinds &= ~KIND_BIT(i);
	return kinds;
}

/* A login made or renewed that later than since. */
static bool
is_known_since(
    const struct guard *g, const struct guard_query *q, enum guard_kind kind, int64_t since)
{
	const struct guard_row *r = q->named ? guard_row_find(g, &q->key[kind]) : NULL;

	return r != NULL && r->known_ms >= since;
}

static void
judge_row(struct guard *g, int64_t now, struct guard_row *r, struct guard_answer *a)
{
	int64_t delay;

	guard_row_bound(g, r, now);
	if (r->until_ms != 0 && r->until_ms <= now)
		guard_row_unlock(g, r);
	if (r->until_ms > a->until_ms) {
		a->verdict = GUARD_LOCKED;
		a->kind = (enum guard_kind)r->key.kind;
		a->until_ms = r->until_ms;
	}
	delay = row_delay(g, r, now);
	a->delay_ms = delay > a->delay_ms ? delay : a->delay_ms;
	if (r->until_ms != 0 && r->tries < 1000)
		r->tries++;
}

void
guard_ask(struct guard *g, int64_t now, struct guard_query *q, struct guard_answer *a)
{
	unsigned kinds = kinds_of(g, q, now), i;
	struct guard_row *rows[GUARD_KIND__MAX] = {NULL};

	*a = (struct guard_answer){.verdict = GUARD_GO};
	q->reserved = 0;
	for (i = 0; i < GUARD_KIND__MAX; i++) {
		if ((kinds & KIND_BIT(i)) == 0)
			continue;
		rows[i] = guard_row_find(g, &q->key[i]);
		if (rows[i] != NULL)
			judge_row(g, now, rows[i], a);
	}
	if (a->verdict == GUARD_LOCKED) {
		g->stats.locked++;
		return;
	}
	for (i = 0; i < GUARD_KIND__MAX; i++)
		if (rows[i] != NULL && pending_find(rows[i], q->guess) == NULL &&
		    is_full(g, rows[i], now)) {
			a->verdict = GUARD_BUSY;
			a->kind = (enum guard_kind)i;
			return;
		}
	for (i = 0; i < GUARD_KIND__MAX; i++)
		if ((kinds & KIND_BIT(i)) != 0)
			pending_add(guard_row_get(g, now, &q->key[i]), q->guess, now);
	q->reserved = kinds;
	g->stats.go++;
}

void
guard_under_way(struct guard *g, int64_t now, int64_t since, struct guard_query *q)
{
	/* which of them guard_ask() would have put it on before that login is not known any more */
	bool any =
	    is_known_since(g, q, GUARD_HOME, since) || is_known_since(g, q, GUARD_PAIR, since);
	unsigned kinds = kinds_of(g, q, now);
	struct guard_row *r;

	q->reserved = 0;
	for (unsigned i = 0; i < GUARD_KIND__MAX; i++) {
		if ((kinds & KIND_BIT(i)) == 0 && !(any && g->options.rates[i].n != 0))
			continue;
		r = guard_row_get(g, now, &q->key[i]);
		if (r->n_pending >= GUARD_PENDING_MAX) /* no honest auth let more of them go */
			continue;
		pending_add(r, q->guess, since);
		q->reserved |= KIND_BIT(i);
	}
	g->stats.go++;
}

/* ---- outcomes -------------------------------------------------------------------------------- */

bool
guard_row_drop_empty(struct guard *g, struct guard_row *r, int64_t now)
{
	if (r == NULL || r->n_pending != 0 || r->until_ms != 0 || is_known(g, r, now) ||
	    guard_row_failures(g, r, now) != 0)
		return false;
	guard_row_remove(g, r);
	return true;
}

static void
fail(struct guard *g, int64_t now, const struct guard_query *q, enum guard_kind kind,
    struct span name)
{
	struct guard_row *r;

	if (g->options.rates[kind].n == 0)
		return;
	r = guard_row_get(g, now, &q->key[kind]);
	row_count(g, r, now);
	guard_row_name(r, name);
	if (r->until_ms == 0 && row_is_over(g, r, now)) {
		guard_row_lock(g, r, now + g->options.lockout_ms);
		g->stats.lockouts++;
		if (g->on_lock != NULL)
			g->on_lock(r, true);
	}
	guard_row_changed(g, r);
}

/* The same guess was counted for this key within a day. Remembers it. */
static bool
is_repeat(struct guard *g, int64_t now, uint64_t guess, const struct guard_key *k)
{
	uint64_t key = k == NULL ? guess : guard_mix(guess, k, sizeof(*k));
	uint32_t *seen =
	    guard_memo_at(g->seen, key, (uint32_t)(now / 1000), (uint32_t)(GUARD_REPEAT_MS / 1000));
	bool again = *seen != 0;

	*seen = 1;
	return again;
}

/*
 * What a user has failed at an address, to be taken back when he gets in; in the upper half
 * how much of that was taken back today.
 */
#define DEBT(v) ((v)&0xffffu)
#define FORGIVEN(v) ((v) >> 16)

static uint32_t *
debt_of(struct guard *g, int64_t now, const struct guard_query *q)
{
	return guard_memo_at(g->debts, guard_mix(g->seed, &q->key[GUARD_HOME], sizeof(q->key[0])),
	    (uint32_t)(now / 1000), (uint32_t)(GUARD_REPEAT_MS / 1000));
}

static uint32_t
take_back(uint32_t *debt)
{
	uint32_t left = GUARD_FORGIVE_MAX - FORGIVEN(*debt);
	uint32_t n = DEBT(*debt) < left ? DEBT(*debt) : left;

	*debt = (FORGIVEN(*debt) + n) << 16;
	return n;
}

static void
note_failure(struct guard *g, int64_t now, struct guard_query *q, struct span name)
{
	bool at_home = is_known_at(g, q, GUARD_HOME, now);
	bool known = is_known_at(g, q, GUARD_PAIR, now);
	bool at_user = is_repeat(g, now, q->guess, NULL);
	bool at_address = is_repeat(g, now, q->guess, &q->key[GUARD_ADDRESS]);
	bool at_network = is_repeat(g, now, q->guess, &q->key[GUARD_NETWORK]);
	uint32_t *debt = debt_of(g, now, q);

	g->stats.failures++;
	if (at_user || at_address || at_network)
		g->stats.repeats++;
	if (!at_address)
		fail(g, now, q, GUARD_ADDRESS, name);
	if (!at_address && at_home)
		fail(g, now, q, GUARD_HOME, name);
	if (!at_network)
		fail(g, now, q, GUARD_NETWORK, name);
	if (!at_network && known)
		fail(g, now, q, GUARD_PAIR, name);
	if (!at_user && !known && !at_home && q->named)
		fail(g, now, q, GUARD_USER, name);
	if (!at_address && !at_network && DEBT(*debt) < 0xffffu)
		++*debt;
}

/* He is known here from now on; the file need not have it more exactly than to a day. */
static void
remember(struct guard *g, int64_t now, const struct guard_query *q, enum guard_kind kind,
    struct span name)
{
	struct guard_row *r = guard_row_get(g, now, &q->key[kind]);

	if (now - r->known_ms < KNOWN_FRESH_MS && now >= r->known_ms)
		return;
	r->known_ms = now;
	guard_row_name(r, name);
	guard_row_changed(g, r);
}

static void
note_success(struct guard *g, int64_t now, struct guard_query *q, struct span name)
{
	uint32_t n, i;

	g->stats.successes++;
	if (!q->named)
		return;
	n = take_back(debt_of(g, now, q));
	for (i = 0; i < GUARD_KIND__MAX; i++)
		row_forgive(g, guard_row_find(g, &q->key[i]), n);
	if (g->options.remember_ms == 0)
		return;
	remember(g, now, q, GUARD_PAIR, name);
	remember(g, now, q, GUARD_HOME, name);
}

void
guard_note(struct guard *g, int64_t now, struct guard_query *q, enum guard_outcome outcome,
    struct span name)
{
	for (unsigned i = 0; i < GUARD_KIND__MAX; i++)
		if ((q->reserved & KIND_BIT(i)) != 0)
			pending_done(guard_row_find(g, &q->key[i]), q->guess);
	switch (outcome) {
	case GUARD_SUCCESS:
		note_success(g, now, q, name);
		break;
	case GUARD_FAILURE:
		note_failure(g, now, q, name);
		break;
	case GUARD_RULE:
		g->stats.failures++;
		if (!is_repeat(g, now, q->guess, &q->key[GUARD_ADDRESS]))
			fail(g, now, q, GUARD_ADDRESS, name);
		break;
	case GUARD_NONE:
	case GUARD_OUTCOME__MAX:
		break;
	}
	for (unsigned i = 0; i < GUARD_KIND__MAX; i++)
		if ((q->reserved & KIND_BIT(i)) != 0)
			(void)guard_row_drop_empty(g, guard_row_find(g, &q->key[i]), now);
	q->reserved = 0;
}
