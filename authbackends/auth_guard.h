/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUTH_GUARD_H
#define SUBMITD_AUTH_GUARD_H

#include "base/buf.h"
#include "base/ev.h"
#include "base/list.h"
#include "base/net.h"
#include "conf/conf.h"
#include "ipc/ipc.h"
#include "ipc/ipc_guard.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The asking side of the brake against guessed passwords (A7): before any backend is
 * asked the ledger says whether this client may try, afterwards it is told what came
 * out. No answer of the ledger within its time is "not now", never a yes. Who logs in again
 * with the same password from the same address (auth_known.h) guesses nothing: it is not asked.
 */
enum auth_guard_answer {
	AUTH_GUARD_GO = 0,     /* ask the backends, then auth_guard_note() */
	AUTH_GUARD_LOCKED = 1, /* ask nobody: 454 */
	AUTH_GUARD_NOT_NOW = 2 /* the ledger is away or too many guesses are under way: 454 */
};

/* One attempt, part of its owner. Zero-filled is unused. */
struct auth_guard {
	/* set with the answer */
	int64_t delay_ms;   /* a refusal is to come so much later than otherwise */
	const char *reason; /* for the log, static; of a GO: "" */
	/* private */
	TAILQ_ENTRY(auth_guard) link;  /* questions without an answer */
	TAILQ_ENTRY(auth_guard) begun; /* all that is under way and not unasked */
	void (*fn)(enum auth_guard_answer, void *arg);
	void *arg;
	struct ev_timer timer;
	uint64_t call; /* 0: nothing is asked and nothing is owed */
	bool asked;    /* waits for an answer */
	bool sent;     /* the ledger has the question, or will read it */
	bool unasked;  /* was let go without it */
	int64_t since_ms, keep_ms;
	struct net_addr client;
	char user[CONF_USER_KEY];
	uint64_t guess, place;
};

/* Longest wait for the ledger: a restart of it fits in. */
#define AUTH_GUARD_WAIT_MS 6000

/* Once, before the first question. key: of guesses; the same for those who come after us. */
void auth_guard_init(const uint8_t key[32]);
/*
 * user: the canonical name; "" where a token names nobody yet. password: tells guesses apart, it
 * does not leave the process; NULL where there is none to compare (each attempt counts then). fn is
 * called once, perhaps before this returns.
 */
void auth_guard_ask(struct auth_guard *, const struct conf *, const struct net_addr *client,
    const char *user, const struct span *password, void (*fn)(enum auth_guard_answer, void *arg),
    void *arg);
/* What came out; shown: the name as it may be listed. Does nothing when nothing is owed. */
void auth_guard_note(struct auth_guard *, enum guard_outcome, const char *shown);
/* The owner goes away: fn is not called any more, what is owed is noted as GUARD_NONE. */
void auth_guard_clear(struct auth_guard *);
/* The ledger was connected (anew): tells it what is under way, asks what was not answered. */
void auth_guard_ledger_up(struct ipc_peer *);

int auth_guard_on_res(struct ipc_peer *, struct ipc_in *);

struct auth_guard_stats {
	uint64_t asked, unasked, locked, not_now, notes_lost;
	size_t waiting, notes_kept;
};
const struct auth_guard_stats *auth_guard_stats(void);

#endif
