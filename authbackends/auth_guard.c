/* SPDX-License-Identifier: ISC */
/*
 * Asks the ledger before a password is checked, and tells it what came of it (A7).
 * Process auth, in the loop. A ledger that is restarted is asked again and gets what
 * it was not told; without an answer in time nobody is let through and nobody counted.
 * A password never leaves here: a hash under a key of auth's own tells repeats.
 */
#include "authbackends/auth_guard.h"

#include "authbackends/auth_known.h"
#include "base/enc.h"
#include "base/log.h"
#include "base/mac.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_MAX 10000u       /* notes for a ledger that is away, about 4 MiB */
#define TOLD_AGAIN_MS 3600000 /* the ledger hears of a known login so often at most */

struct kept {
	struct buf body; /* a GUARD_NOTE */
	TAILQ_ENTRY(kept) link;
};

static TAILQ_HEAD(, auth_guard) asked = TAILQ_HEAD_INITIALIZER(asked);
static TAILQ_HEAD(, auth_guard) begun = TAILQ_HEAD_INITIALIZER(begun);
static TAILQ_HEAD(, kept) kept = TAILQ_HEAD_INITIALIZER(kept);
static struct auth_guard_stats stats;
static uint64_t last_call;
static struct mac *guesses; /* under a key of this process */

void
auth_guard_init(const uint8_t guess_key[32])
{
	guesses = mac_new(guess_key, MAC_SIZE);
	auth_known_init();
}

static uint64_t
guess_of(const char *user, const struct span *password)
{
	uint8_t mac[MAC_SIZE];
	struct buf b = BUF_INIT;
	uint64_t guess;

	if (password == NULL) { /* what cannot be compared is never a repeat */
		random_bytes(&guess, sizeof(guess));
		return guess;
	}
	b.wipes = true;
	buf_add(&b, user, strlen(user) + 1);
	buf_add_span(&b, *password);
	mac_of(guesses, buf_span(&b), mac);
	memcpy(&guess, mac, sizeof(guess));
	buf_wipe(&b);
	return guess;
}

static bool
is_exempt(const struct conf *c, const struct net_addr *client)
{
	const struct conf_auth_guard *g = c->auth_guard;

	for (size_t i = 0; i < g->n_exempt_nets; i++)
		if (net_cidr_match(&g->exempt_nets[i], client))
			return true;
	return g->address_rates.n + g->network_rates.n + g->user_rates.n == 0;
}

/* One that does not read is asked no more than it can be expected to answer in time. */
static void
send_ask(struct auth_guard *g, struct ipc_peer *ledger)
{
	struct ipc_guard_ask m = {
	    .call = g->call, .client = g->client, .user = span_of(g->user), .guess = g->guess};

	g->sent =
	    ipc_peer_backlog(ledger) <= IPC_BACKLOG_SOFT && ipc_send_guard_ask(ledger, -1, &m) == 0;
}

static void
end_ask(struct auth_guard *g)
{
	ev_timer_clear(&g->timer);
	TAILQ_REMOVE(&asked, g, link);
	stats.waiting--;
	g->asked = false;
}

/* It is under way no more, or its question was refused. */
static void
leave(struct auth_guard *g)
{
	if (!g->unasked)
		TAILQ_REMOVE(&begun, g, begun);
	g->call = 0;
}

/* It was let go, but not by this ledger. */
static void
tell(struct auth_guard *g, struct ipc_peer *ledger)
{
	struct ipc_guard_begun m = {.call = g->call,
	    .client = g->client,
	    .user = span_of(g->user),
	    .guess = g->guess,
	    .age_ms = (uint32_t)(ev_now_ms() - g->since_ms)};

	g->sent = true;
	(void)ipc_send_guard_begun(ledger, -1, &m);
}

static void
send_note(struct auth_guard *g, enum guard_outcome outcome, const char *shown)
{
	struct ipc_peer *ledger = ipc_role_peer(ROLE_LEDGER, 0);
	struct ipc_guard_note m = {.call = g->call,
	    .outcome = (uint8_t)outcome,
	    .client = g->client,
	    .user = span_of(g->user),
	    .guess = g->guess,
	    .shown = span_of(shown)};
	struct kept *k;

	leave(g);
	if (ledger != NULL && ipc_send_guard_note(ledger, -1, &m) == 0)
		return;
	if (outcome == GUARD_NONE) /* a new ledger knows of nothing under way */
		return;
	if (stats.notes_kept >= KEPT_MAX) {
		stats.notes_lost++;
		return;
	}
	k = xcallocarray(1, sizeof(*k));
	ipc_encode_guard_note(&k->body, &m);
	TAILQ_INSERT_TAIL(&kept, k, link);
	stats.notes_kept++;
}

/* Nothing is known of the attempt: what the ledger was not asked it need not be told. */
static void
withdraw(struct auth_guard *g)
{
	if (g->sent)
		send_note(g, GUARD_NONE, "");
	else
		leave(g);
}

static void
no_answer(void *arg)
{
	struct auth_guard *g = arg;

	end_ask(g);
	withdraw(g);
	stats.not_now++;
	g->reason = "the ledger does not answer";
	g->fn(AUTH_GUARD_NOT_NOW, g->arg);
}

void
auth_guard_ask(struct auth_guard *g, const struct conf *c, const struct net_addr *client,
    const char *user, const struct span *password, void (*fn)(enum auth_guard_answer, void *arg),
    void *arg)
{
	struct ipc_peer *ledger;

	g->delay_ms = 0;
	g->reason = "";
	g->call = 0;
	if (is_exempt(c, client)) {
		fn(AUTH_GUARD_GO, arg);
		return;
	}
	g->client = *client;
	conf_user_key(c, span_of(user), g->user);
	g->guess = guess_of(g->user, password);
	g->fn = fn;
	g->arg = arg;
	g->call = ++last_call;
	g->sent = false;
	g->since_ms = ev_now_ms();
	/* what cannot be compared, or names nobody who could be known there: 0 */
	g->keep_ms = password == NULL || g->user[0] == '\0' ? 0 : c->auth_guard->remember;
	g->place = auth_known_place(client, g->user);
	g->unasked = g->keep_ms != 0 && auth_known_is(g->place, g->guess, g->since_ms, g->keep_ms);
	if (g->unasked) {
		stats.unasked++;
		fn(AUTH_GUARD_GO, arg);
		return;
	}
	TAILQ_INSERT_TAIL(&begun, g, begun);
	g->asked = true;
	TAILQ_INSERT_TAIL(&asked, g, link);
	stats.asked++;
	stats.waiting++;
	ev_timer_set(&g->timer, AUTH_GUARD_WAIT_MS, no_answer, g);
	ledger = ipc_role_peer(ROLE_LEDGER, 0);
	if (ledger != NULL)
		send_ask(g, ledger);
}

static struct auth_guard *
find_asked(uint64_t call)
{
	struct auth_guard *g;

	/* answers come about in the order of the questions */
	TAILQ_FOREACH (g, &asked, link)
		if (g->call == call)
			return g;
	return NULL;
}

int
auth_guard_on_res(struct ipc_peer *p, struct ipc_in *in)
{
	static const char *const locked[] = {"locked out: too many failures from this address",
	    "locked out: too many failures from this network",
	    "locked out: too many failures under this name",
	    "locked out: too many failures under this name from this network",
	    "locked out: too many failures under this name from this address"};
	struct ipc_guard_res m;
	struct auth_guard *g;

	(void)p;
	if (ipc_decode_guard_res(in, &m) == -1 || m.verdict >= GUARD_VERDICT__MAX ||
	    m.kind >= ARRAY_LEN(locked))
		return -1;
	g = find_asked(m.call);
	if (g == NULL)
		return 0; /* its owner went away */
	end_ask(g);
	g->delay_ms = m.delay_ms < 60000 ? m.delay_ms : 60000;
	if (m.verdict == GUARD_GO) {
		g->fn(AUTH_GUARD_GO, g->arg);
		return 0;
	}
	leave(g);
	if (m.verdict == GUARD_LOCKED) {
		stats.locked++;
		g->reason = locked[m.kind];
		g->fn(AUTH_GUARD_LOCKED, g->arg);
	} else {
		stats.not_now++;
		g->reason = "too many attempts of this kind are under way";
		g->fn(AUTH_GUARD_NOT_NOW, g->arg);
	}
	return 0;
}

/* A login: is it news to the ledger? */
static bool
learn(struct auth_guard *g)
{
	int64_t now = ev_now_ms();

	if (g->unasked && auth_known_is(g->place, g->guess, now, TOLD_AGAIN_MS))
		return false;
	/* where a refusal would be delayed there are failures left: it is asked again */
	if (g->keep_ms != 0 && g->delay_ms == 0)
		auth_known_add(g->place, g->guess, now);
	return true;
}

void
auth_guard_note(struct auth_guard *g, enum guard_outcome outcome, const char *shown)
{
	bool news = outcome != GUARD_NONE || !g->unasked;

	if (g->call == 0 || g->asked)
		return;
	if (outcome == GUARD_FAILURE || outcome == GUARD_RULE)
		auth_known_drop(g->place);
	else if (outcome == GUARD_SUCCESS)
		news = learn(g);
	if (news)
		send_note(g, outcome, shown);
	else
		leave(g);
}

void
auth_guard_clear(struct auth_guard *g)
{
	if (g->asked)
		end_ask(g);
	if (g->call != 0)
		withdraw(g);
}

void
auth_guard_ledger_up(struct ipc_peer *ledger)
{
	struct auth_guard *g;
	struct ipc_guard_note m;
	struct ipc_in in;
	struct kept *k;

	while ((k = TAILQ_FIRST(&kept)) != NULL) {
		in = (struct ipc_in){IPC_GUARD_NOTE, buf_data(&k->body), buf_len(&k->body), -1};
		if (ipc_decode_guard_note(&in, &m) == 0 &&
		    ipc_send_guard_note(ledger, -1, &m) == -1)
			return;
		TAILQ_REMOVE(&kept, k, link);
		stats.notes_kept--;
		buf_clear(&k->body);
		free(k);
	}
	/* what was let go before is under way for this one too: no death of one frees a guess */
	TAILQ_FOREACH (g, &begun, begun)
		if (!g->asked)
			tell(g, ledger);
	TAILQ_FOREACH (g, &asked, link)
		send_ask(g, ledger);
}

const struct auth_guard_stats *
auth_guard_stats(void)
{
	return &stats;
}
