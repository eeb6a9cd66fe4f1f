/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUTH_FLOW_H
#define SUBMITD_AUTH_FLOW_H

#include "authbackends/auth_breaker.h"
#include "authbackends/auth_cache.h"
#include "authbackends/auth_worker.h"
#include "authbackends/authbackend.h"
#include "base/ev.h"

#include <stdbool.h>
#include <stdint.h>

/* One backend as it runs: shared by all flows that name it. */
struct auth_source {
	const char *title; /* lives as long as the source */
	const struct authbackend *kind;
	void *self;
	bool knows_users; /* S17, of this block: kind->knows() where there is one */
	struct auth_pool *pool;
	int64_t timeout_ms;
	struct auth_breaker breaker; /* max 0: has none */
	const struct conf_ou **ous;  /* S16: asked for their names only; NULL: for all */
	size_t n_ous;
	uint64_t asked, accepted, denied, unknown, unavailable;
	uint64_t spared; /* not asked, because the breaker was open */
};
/* Is it there for the names of that unit? NULL: for names of none. */
bool auth_source_serves(const struct auth_source *, const struct conf_ou *);

#define AUTH_CHAIN_MAX 20u
struct auth_flow {
	const char *title;
	struct auth_source *chain[AUTH_CHAIN_MAX];
	size_t n;
	bool stop_on_no;          /* S17: on_no = stop */
	bool next_on_unavailable; /* S17: on_unavailable = next */
	int64_t deadline_ms;
	struct auth_cache *cache; /* shared with other flows; NULL: none */
	int64_t cache_ms;
};

/*
 * S17 as a pure function: what follows from the answer of one backend. *seen
 * gathers, over the chain, what was answered before; zero it at the start.
 */
struct auth_seen {
	bool unavailable, user_known;
};
enum auth_step {
	STEP_NEXT = 0, /* ask the next backend; after the last one auth_flow_verdict() tells */
	STEP_END = 1,  /* *final is the answer */
};
enum auth_step auth_flow_judge(const struct auth_flow *, bool knows_users, enum verdict,
    struct auth_seen *seen, enum verdict *final);
/* After the last backend, and nobody ended the chain: C2. */
enum verdict auth_flow_verdict(const struct auth_seen *);

/*
 * One walk along a chain. The owner fills flow, check (the question), ou, fn and
 * arg, and gets one call of fn from the loop, perhaps before auth_run_start()
 * returns, and never later than the flow's deadline.
 */
struct auth_run {
	const struct auth_flow *flow;
	struct auth_check check;
	const struct conf_ou *ou; /* that owns the domain of check.address, or NULL */
	void (*fn)(struct auth_run *, void *arg);
	void *arg;
	/*
	 * `submitctl auth-test` only, else NULL: called with the answer of each backend.
	 * Breakers are then neither asked nor told.
	 */
	void (*on_step)(
	    struct auth_run *, const struct auth_source *, enum verdict, int64_t ms, void *arg);
	/* the answer */
	enum verdict verdict;             /* V_OK, V_PERM or V_TEMP */
	const struct auth_source *source; /* that decided, NULL when none did */
	bool user_known;                  /* a backend knows the name: A1 */
	bool asked;                       /* any backend was */
	int64_t ms;
	/* private */
	size_t pos;
	struct auth_seen seen;
	int64_t started_ms, asked_ms, deadline_ms;
	enum breaker_pass pass; /* of the backend that is being asked */
	uint8_t cache_key[AUTH_CACHE_KEY];
	uint64_t cache_stamp;
	bool cached; /* cache_key is set, and the answer is wanted there */
	const struct auth_source *temp_source; /* the first that was unavailable, and why */
	char temp_reason[AUTH_REASON_MAX];
	struct flow_job *job;
	struct auth_source *dummy_source;
	struct ev_timer timer;
	bool running, burning;
};
void auth_run_start(struct auth_run *);
/* Forgets a walk without an answer, and wipes the password. Fine on a finished one. */
void auth_run_clear(struct auth_run *);

#endif
