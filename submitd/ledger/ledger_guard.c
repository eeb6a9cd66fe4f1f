/* SPDX-License-Identifier: ISC */
/*
 * The brake against guessed passwords (A7) as process ledger runs it: answers auth
 * before any backend is asked, is told how it went, keeps the counts in a file. Must
 * never make a login wait for the disk longer than one write of what changed.
 */
#include "ledger/ledger_guard.h"

#include "base/ev.h"
#include "base/log.h"
#include "base/str.h"
#include "ledger/guard.h"
#include "ledger/guard_store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS 1000
#define BUCKETS 4096u
#define HELD_MAX 60000u   /* attempts under way; above AUTH_SESSIONS_MAX of auth */
#define WAITING_MAX 1024u /* of them in line behind guesses that are under way */
#define LINE_MS 10        /* the line is looked at so often at most: it may be long */
#define LINE_OLD_MS 200   /* and at least so often: what takes long holds up nobody */
#define IN_LINE_MS 5000   /* then GUARD_BUSY; auth waits a little longer */

/* An attempt: in line (waiting), or let go and to be followed by a note. */
struct held {
	LIST_ENTRY(held) link;
	TAILQ_ENTRY(held) line;
	struct ipc_peer *peer;
	uint64_t call;
	struct guard_query q;
	int64_t since_ms; /* ev_now_ms() */
	bool waiting;
};

static const struct conf *conf; /* in force */
static struct guard *guard;
static struct guard_store *store;
static LIST_HEAD(, held) held[BUCKETS];
static TAILQ_HEAD(, held) line = TAILQ_HEAD_INITIALIZER(line);
static size_t n_held, n_waiting;
static struct ev_timer tick_timer, line_timer;
static bool failing, line_is_soon;
static uint64_t n_asked, n_busy;

/* ---- the log --------------------------------------------------------------------------------- */

static void
log_lock(const struct guard_row *r, bool locked)
{
	struct buf key = BUF_INIT;
	struct log_line l;

	guard_row_key(r, &key);
	log_begin(&l, locked ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, EV_GUARD);
	log_str(&l, LK_STATE, locked ? "locked" : "unlocked");
	log_str(&l, LK_KIND, guard_kind_name((enum guard_kind)r->key.kind));
	log_span(&l, LK_KEY, buf_span(&key));
	if (locked) {
		log_u64(&l, LK_COUNT, guard_row_failures(guard, r, ev_wall_ms()));
		log_i64(&l, LK_NEXT, (r->until_ms - ev_wall_ms()) / 1000);
		log_str(&l, LK_LOGIN, r->name);
	}
	log_end(&l);
	buf_clear(&key);
}

static void
log_store(enum log_level level, const char *state, const char *text)
{
	struct log_line l;

	log_begin(&l, level, EV_GUARD);
	log_str(&l, LK_STATE, state);
	log_str(&l, LK_TEXT, text);
	log_end(&l);
}

/* ---- attempts -------------------------------------------------------------------------------- */

static size_t
bucket_of(const struct ipc_peer *p, uint64_t call)
{
	uint64_t h = (call ^ (uint64_t)(uintptr_t)p) * UINT64_C(0x9e3779b97f4a7c15);

	return (size_t)(h >> 40) % BUCKETS;
}

static struct held *
held_find(const struct ipc_peer *p, uint64_t call)
{
	struct held *h;

	LIST_FOREACH(h, &held[bucket_of(p, call)], link)
	if (h->peer == p && h->call == call)
		return h;
	return NULL;
}

static void
held_add(struct held *h, struct ipc_peer *p, uint64_t call)
{
	h->peer = p;
	h->call = call;
	h->since_ms = ev_now_ms();
	LIST_INSERT_HEAD(&held[bucket_of(p, call)], h, link);
	n_held++;
}

static void
held_leave_line(struct held *h)
{
	TAILQ_REMOVE(&line, h, line);
	n_waiting--;
	h->waiting = false;
}

static void
held_free(struct held *h)
{
	LIST_REMOVE(h, link);
	if (h->waiting)
		held_leave_line(h);
	n_held--;
	free(h);
}

static void
answer(struct ipc_peer *p, uint64_t call, const struct guard_answer *a)
{
	struct ipc_guard_res m = {.call = call,
	    .verdict = (uint8_t)a->verdict,
	    .kind = (uint8_t)a->kind,
	    .delay_ms = (uint32_t)a->delay_ms};

	if (a->verdict == GUARD_BUSY)
		n_busy++;
	(void)ipc_send_guard_res(p, -1, &m);
}

/* Guesses were decided: who waited behind them is judged anew, first come, first served. */
static void
move_line(void *arg)
{
	struct guard_answer a;
	struct held *h, *next;

	(void)arg;
	line_is_soon = false;
	TAILQ_FOREACH_SAFE (h, &line, line, next) {
		guard_ask(guard, ev_wall_ms(), &h->q, &a);
		if (a.verdict == GUARD_BUSY && ev_now_ms() - h->since_ms < IN_LINE_MS)
			continue;
		answer(h->peer, h->call, &a);
		held_leave_line(h);
		if (a.verdict != GUARD_GO)
			held_free(h);
	}
	if (n_waiting != 0)
		ev_timer_set(&line_timer, LINE_OLD_MS, move_line, NULL);
}

static void
move_line_soon(void)
{
	if (n_waiting != 0 && (!ev_timer_pending(&line_timer) || !line_is_soon))
		ev_timer_set(&line_timer, LINE_MS, move_line, NULL);
	line_is_soon = n_waiting != 0;
}

int
ledger_guard_on_ask(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_guard_ask m;
	struct guard_answer a;
	struct held *h;

	if (ipc_decode_guard_ask(in, &m) == -1 || m.user.n > GUARD_USER_MAX ||
	    held_find(p, m.call) != NULL)
		return -1;
	/* asks and does not read: all that an auth can have open fits into this many times */
	if (ipc_peer_backlog(p) > IPC_BACKLOG_SOFT)
		return -1;
	n_asked++;
	h = xcallocarray(1, sizeof(*h));
	guard_query_make(guard, &h->q, &m.client, m.user, m.guess);
	guard_ask(guard, ev_wall_ms(), &h->q, &a);
	if (n_held >= HELD_MAX && a.verdict == GUARD_GO) {
		guard_note(guard, ev_wall_ms(), &h->q, GUARD_NONE, span_of(""));
		a.verdict = GUARD_BUSY;
	}
	if (a.verdict == GUARD_LOCKED ||
	    (a.verdict == GUARD_BUSY && (n_waiting >= WAITING_MAX || n_held >= HELD_MAX))) {
		answer(p, m.call, &a);
		free(h);
		return 0;
	}
	held_add(h, p, m.call);
	if (a.verdict == GUARD_GO) {
		answer(p, m.call, &a);
		return 0;
	}
	h->waiting = true;
	TAILQ_INSERT_TAIL(&line, h, line);
	n_waiting++;
	if (!ev_timer_pending(&line_timer))
		ev_timer_set(&line_timer, LINE_OLD_MS, move_line, NULL);
	return 0;
}

int
ledger_guard_on_begun(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_guard_begun m;
	struct held *h;
	int64_t now = ev_wall_ms();

	if (ipc_decode_guard_begun(in, &m) == -1 || m.user.n > GUARD_USER_MAX ||
	    held_find(p, m.call) != NULL)
		return -1;
	if (n_held >= HELD_MAX)
		return 0; /* its outcome will be counted all the same */
	h = xcallocarray(1, sizeof(*h));
	guard_query_make(guard, &h->q, &m.client, m.user, m.guess);
	guard_under_way(guard, now, now - (int64_t)m.age_ms, &h->q);
	held_add(h, p, m.call);
	return 0;
}

int
ledger_guard_on_note(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_guard_note m;
	struct guard_query q;
	struct held *h;

	if (ipc_decode_guard_note(in, &m) == -1 || m.user.n > GUARD_USER_MAX ||
	    m.shown.n > GUARD_USER_MAX || m.outcome >= GUARD_OUTCOME__MAX)
		return -1;
	h = held_find(p, m.call);
	if (h != NULL) {
		q = h->q;
		held_free(h);
	} else if (m.outcome == GUARD_NONE) {
		return 0;
	} else { /* it was let go unasked, or by one of us that died */
		guard_query_make(guard, &q, &m.client, m.user, m.guess);
	}
	guard_note(guard, ev_wall_ms(), &q, (enum guard_outcome)m.outcome, m.shown);
	move_line_soon();
	return 0;
}

void
ledger_guard_peer_down(struct ipc_peer *p)
{
	struct held *h, *next;

	if (ipc_peer_role(p) != ROLE_AUTH)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		for (h = LIST_FIRST(&held[i]); h != NULL; h = next) {
			next = LIST_NEXT(h, link);
			if (h->peer != p)
				continue;
			guard_note(guard, ev_wall_ms(), &h->q, GUARD_NONE, span_of(""));
			held_free(h);
		}
	move_line_soon();
}

/* ---- the file -------------------------------------------------------------------------------- */

/* Memory is what counts: a file that turns out to be rubbish is written anew from it. */
static int
renew(void)
{
	log_store(LOG_LEVEL_ERROR, "damaged",
	    "the file of the counts of failed logins is damaged and written anew from memory; the "
	    "old "
	    "one is ledger.db.damaged");
	return guard_store_renew(store, guard);
}

static void
flush(void)
{
	int rc = guard_store_flush(store, guard);

	if (rc == -1 && guard_store_is_damaged(store))
		rc = renew();
	if (rc == -1) {
		if (!failing)
			log_store(LOG_LEVEL_ERROR, "failing", guard_store_error(store));
		failing = true;
		return;
	}
	if (failing)
		log_store(LOG_LEVEL_WARN, "recovered", NULL);
	failing = false;
}

static void
on_tick(void *arg)
{
	(void)arg;
	ev_timer_set(&tick_timer, TICK_MS, on_tick, NULL);
	guard_tick(guard, ev_wall_ms());
	flush();
}

int
ledger_guard_start(const struct conf *c, char *err, size_t errsize)
{
	struct guard_options o;
	bool damaged;
	char why[400] = "";

	conf = c;
	store = guard_store_open(c->server->state, &damaged, why, sizeof(why));
	if (store == NULL) {
		(void)str_printf(err, errsize, "server: state = \"%s\": %s", c->server->state, why);
		return -1;
	}
	if (damaged)
		log_store(LOG_LEVEL_ERROR, "damaged",
		    "the counts of failed logins could not be read and begin anew; the old file is "
		    "ledger.db.damaged");
	guard_options_from(&o, c->auth_guard);
	guard = guard_new(&o, guard_store_secret(store));
	if (guard_store_load(store, guard, ev_wall_ms()) == -1) {
		log_store(LOG_LEVEL_ERROR, "unreadable", guard_store_error(store));
		if (guard_store_is_damaged(store))
			(void)renew();
	}
	guard_on_lock(guard, log_lock);
	ev_timer_set(&tick_timer, TICK_MS, on_tick, NULL);
	return 0;
}

void
ledger_guard_reload(const struct conf *c)
{
	struct guard_options o;

	conf = c;
	guard_options_from(&o, c->auth_guard);
	guard_set_options(guard, &o);
}

void
ledger_guard_leave(void)
{
	struct held *h;

	flush();
	ev_timer_clear(&tick_timer);
	ev_timer_clear(&line_timer);
	for (size_t i = 0; i < BUCKETS; i++)
		while ((h = LIST_FIRST(&held[i])) != NULL)
			held_free(h);
	guard_store_close(store);
	guard_free(guard);
	store = NULL;
	guard = NULL;
}

struct guard *
ledger_guard(void)
{
	return guard;
}

const struct conf *
ledger_guard_conf(void)
{
	return conf;
}

void
ledger_guard_stats(struct buf *out)
{
	const struct guard_stats *s = guard_stats(guard);

	buf_addf(out,
	    ",\"guard\":{\"asked\":%" PRIu64 ",\"go\":%" PRIu64 ",\"locked_out\":%" PRIu64
	    ",\"busy\":%" PRIu64 ",\"failures\":%" PRIu64 ",\"repeats\":%" PRIu64
	    ",\"successes\":%" PRIu64 ",\"lockouts\":%" PRIu64 ",\"evicted\":%" PRIu64,
	    n_asked, s->go, s->locked, n_busy, s->failures, s->repeats, s->successes, s->lockouts,
	    s->evicted);
	buf_addf(out,
	    ",\"addresses\":%zu,\"networks\":%zu,\"users\":%zu,\"known\":%zu,\"homes\":%zu"
	    ",\"locked_now\":%zu,\"under_way\":%zu,\"waiting\":%zu,\"unwritten\":%s,\"failing\":%"
	    "s}",
	    s->rows[GUARD_ADDRESS], s->rows[GUARD_NETWORK], s->rows[GUARD_USER],
	    s->rows[GUARD_PAIR], s->rows[GUARD_HOME], s->locked_now, n_held, n_waiting,
	    guard_is_dirty(guard) ? "true" : "false", failing ? "true" : "false");
}
