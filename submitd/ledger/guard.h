/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LEDGER_GUARD_H
#define SUBMITD_LEDGER_GUARD_H

#include "base/list.h"
#include "base/net.h"
#include "conf/conf.h"
#include "ipc/ipc_guard.h"
#include "ledger/guard_key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The brake against guessed passwords (A7): failures per client address, network and
 * user name; delays that grow; lock-outs that end by themselves. Pure: the time comes
 * in as an argument (milliseconds since 1970), nothing goes out but answers.
 *
 * A user who logged in from a network within `remember` is a known pair with it. From
 * there only the pair's own failures count against him, so that nobody else can lock
 * him out of his usual place, neither under his name nor from a neighbour's machine.
 * The very address he logged in from is his home: what others of that network fail under
 * his name does not hold there either.
 *
 * A success takes back what the user failed at that address, but not without end: else
 * whoever shares an address with him could guess at his name after each of his logins.
 *
 * What is counted is guesses: the same wrong password for the same user counts once a
 * day and key, so devices that try an old password for ever stay what they are, a
 * nuisance. Guesses that are under way count as failures until they are decided; for an
 * address or network no longer than GUARD_PENDING_MS, so that a slow backend holds up only
 * those who need it.
 */
const char *guard_kind_name(enum guard_kind);

/* Failures in a window that slides: those of this and of the one before, which fades. */
struct guard_window {
	int64_t start_ms;
	uint32_t now, before;
};

struct guard_pending {
	uint64_t guess;
	int64_t since_ms;
	uint32_t refs;
};

struct guard_row {
	struct guard_key key;
	struct guard_window w[CONF_RATES_MAX]; /* as the rates of its kind */
	int64_t since_ms, last_ms;             /* first and last counted failure */
	int64_t until_ms;                      /* locked out until; 0: not */
	int64_t known_ms;                      /* pairs, homes: the last success */
	char *name;                            /* last name tried, as it may be shown; or NULL */
	struct guard_pending *pending;         /* guesses under way, each once */
	uint32_t n_pending, cap_pending;
	uint32_t tries; /* while locked out */
	bool stored;    /* the file has it */
	bool dirty;     /* the file has it otherwise */
	struct guard_row *chain;
	TAILQ_ENTRY(guard_row) age, locked, change;
};
TAILQ_HEAD(guard_rows, guard_row);

/* Rows of each kind; the one that changed least recently goes first. */
#define GUARD_ROWS_MAX 65536u
#define GUARD_PAIRS_MAX 131072u /* and as many homes */
#define GUARD_REPEAT_MS INT64_C(86400000)
#define GUARD_FORGIVE_MAX 10u /* failures of a user at an address that a day's logins take back */
#define GUARD_PENDING_MS 1000
#define GUARD_PENDING_MAX 256u /* guesses under way of one key */

struct guard_options {
	struct conf_rates rates[GUARD_KIND__MAX]; /* pairs and homes have those of users */
	int64_t lockout_ms, tarpit_ms, remember_ms;
};
void guard_options_from(struct guard_options *, const struct conf_auth_guard *);

struct guard_stats {
	uint64_t go, locked, failures, repeats, successes, lockouts, evicted;
	size_t rows[GUARD_KIND__MAX], locked_now;
};

struct guard;
/* secret: 32 octets, the same over restarts: names are kept as a hash keyed by it. */
struct guard *guard_new(const struct guard_options *, const uint8_t secret[32]);
void guard_free(struct guard *);
/* Counts stay where a window has the same length as before. */
void guard_set_options(struct guard *, const struct guard_options *);
/* Called at each lock-out and at its end. */
void guard_on_lock(struct guard *, void (*fn)(const struct guard_row *, bool locked));
const struct guard_stats *guard_stats(const struct guard *);

/* One attempt. user: as conf_user_key() makes it; guess: a keyed hash of it and the password. */
struct guard_query {
	struct guard_key key[GUARD_KIND__MAX];
	uint64_t guess;
	bool named;        /* false: a token that names nobody: neither user nor pair */
	unsigned reserved; /* bits of the kinds on which guard_ask() put it */
};
void guard_query_make(struct guard *, struct guard_query *, const struct net_addr *client,
    struct span user, uint64_t guess);

struct guard_answer {
	enum guard_verdict verdict;
	enum guard_kind kind; /* LOCKED, BUSY: by which key */
	int64_t until_ms;     /* LOCKED */
	int64_t delay_ms;     /* a refusal is to come so much later */
};
/* GUARD_GO: the guess is under way until guard_note() of the same query. */
void guard_ask(struct guard *, int64_t now, struct guard_query *, struct guard_answer *);
/* It was let go at that time already, by a guard that a restart ended. */
void guard_under_way(struct guard *, int64_t now, int64_t since, struct guard_query *);
/* name: as it may be shown; "" is fine. */
void guard_note(
    struct guard *, int64_t now, struct guard_query *, enum guard_outcome, struct span name);
/* Every second or so: lets go of what is over. */
void guard_tick(struct guard *, int64_t now);

/* ---- for the operator ---- */
/* "192.0.2.1", "192.0.2.0/24", "ann@example.com"; of a pair or home the place: its name is the
 * user. */
void guard_row_key(const struct guard_row *, struct buf *out);
/* How many failures its windows hold, the largest of them. */
uint32_t guard_row_failures(const struct guard *, const struct guard_row *, int64_t now);
bool guard_row_is_locked(const struct guard_row *, int64_t now);
/* Latest change first, kind after kind. Ends when fn says false. */
void guard_each(struct guard *, bool (*fn)(const struct guard_row *, void *arg), void *arg);
/* Forgets failures and lock-outs of an address ("192.0.2.1"), a network ("192.0.2.0/24") or a
 * name, of which user is the form as conf_user_key() makes it; all of them with NULL. Known pairs
 * stay known. Gives how many keys had any. */
size_t guard_forget(struct guard *, int64_t now, const char *key, struct span user);

/* ---- for the file ---- */
struct guard_saved_window {
	int64_t ms, start_ms;
	uint32_t now, before;
};
struct guard_saved {
	struct guard_key key;
	struct guard_saved_window w[CONF_RATES_MAX];
	size_t n_w;
	int64_t since_ms, last_ms, until_ms, known_ms;
	struct span name;
};
/* From the file; oldest first. */
void guard_load(struct guard *, int64_t now, const struct guard_saved *);
/* Is there anything that the file does not have so? */
bool guard_is_dirty(const struct guard *);
/* Rows that the file does not have, or otherwise; ends with -1 when fn says so. */
int guard_each_dirty(
    const struct guard *, int (*fn)(const struct guard_saved *, void *arg), void *arg);
/* Keys that the file has and we have not. *all: too many to tell; every row is dirty then. */
const struct guard_key *guard_dead(const struct guard *, size_t *n, bool *all);
void guard_written(struct guard *);   /* the file has it all now */
void guard_unwritten(struct guard *); /* it is another file, which has nothing */

#endif
