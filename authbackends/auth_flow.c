/* SPDX-License-Identifier: ISC */
/*
 * The chain of backends of one login (S17, C2): asks them in order, at once where
 * the answer is known without waiting, else on a worker of the backend's own pool.
 * Process auth, in the loop. Must never answer later than the deadline of the flow,
 * and must never turn "could not find out" into a yes or a no.
 */
#include "authbackends/auth_flow.h"

#include "base/log.h"
#include "base/str.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MARGIN_MS 100

struct flow_job {
	struct auth_job job;  /* first */
	struct auth_run *run; /* NULL: nobody waits any more */
	struct auth_source *source;
	bool burn;         /* only to take as long as a real check does */
	atomic_bool begun; /* a worker has it */
	enum verdict verdict;
	struct auth_check check;
};

enum auth_step
auth_flow_judge(const struct auth_flow *f, bool knows_users, enum verdict v, struct auth_seen *seen,
    enum verdict *final)
{
	switch (v) {
	case V_OK:
		seen->user_known = true;
		*final = V_OK;
		return STEP_END;
	case V_PERM:
	case V_NEXT:
		if (knows_users) {
			if (v == V_NEXT)
				return STEP_NEXT;
			/* a known user with a wrong password never falls through */
			seen->user_known = true;
			*final = V_PERM;
			return STEP_END;
		}
		if (!f->stop_on_no)
			return STEP_NEXT;
		/* C2: 535 only if somebody knew the user or all said no */
		*final = seen->unavailable ? V_TEMP : V_PERM;
		return STEP_END;
	case V_TEMP:
	case V__MAX:
		break;
	}
	seen->unavailable = true;
	if (f->next_on_unavailable)
		return STEP_NEXT;
	*final = V_TEMP;
	return STEP_END;
}

enum verdict
auth_flow_verdict(const struct auth_seen *seen)
{
	return seen->unavailable ? V_TEMP : V_PERM;
}

bool
auth_source_serves(const struct auth_source *s, const struct conf_ou *ou)
{
	size_t i;

	if (s->ous == NULL)
		return true;
	for (i = 0; ou != NULL && i < s->n_ous; i++)
		if (s->ous[i] == ou)
			return true;
	return false;
}

static void run_on_timer(void *);
static void run_ask(struct auth_run *);
static void run_end(struct auth_run *);

static void
job_free(struct flow_job *j)
{
	secret_clear(&j->check.password);
	buf_clear(&j->check.own);
	buf_clear(&j->check.trace);
	explicit_bzero(j, sizeof(*j));
	free(j);
}

/* The worker that has the job keeps it; nobody waits for its answer. */
static void
run_detach(struct auth_run *r)
{
	if (r->job != NULL)
		r->job->run = NULL;
	r->job = NULL;
	ev_timer_clear(&r->timer);
}

/* Grows when any backend of the chain got new data: then even an earlier one may object. */
static uint64_t
flow_changes(const struct auth_flow *f)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < f->n; i++)
		if (f->chain[i]->kind->changes != NULL)
			sum += f->chain[i]->kind->changes(f->chain[i]->self);
	return sum;
}

/* C2: the same question was answered with a yes a moment ago. */
static bool
run_cached(struct auth_run *r)
{
	const struct auth_flow *f = r->flow;
	const struct auth_cache_answer *a;
	struct auth_cache_question q = {
	    f->title, r->check.login, r->check.address, &r->check.client, &r->check.password};

	r->cached = f->cache != NULL && r->check.cred == CRED_PASSWORD && r->on_step == NULL;
	if (!r->cached)
		return false;
	auth_cache_key(f->cache, &q, r->cache_key);
	r->cache_stamp = flow_changes(f);
	a = auth_cache_find(f->cache, r->cache_key, r->cache_stamp, r->started_ms);
	if (a == NULL)
		return false;
	r->cached = false; /* it is not to live longer */
	r->source = a->source;
	(void)str_copy(r->check.name, sizeof(r->check.name), a->name);
	buf_add_span(&r->check.own, a->own);
	r->seen.user_known = true;
	if (log_tracing(TRACE_AUTH))
		log_trace(TRACE_AUTH, "backend %s said yes before", r->source->title);
	return true;
}

static void
run_remember(struct auth_run *r)
{
	struct auth_cache_answer a = {r->source, r->check.name, buf_span(&r->check.own)};

	/* as the backends were when they were asked: a change meanwhile makes it worthless */
	auth_cache_add(
	    r->flow->cache, r->cache_key, r->cache_stamp, &a, r->started_ms + r->flow->cache_ms);
}

static void
run_finish(struct auth_run *r, enum verdict v)
{
	run_detach(r);
	if (r->cached && v == V_OK)
		run_remember(r);
	explicit_bzero(r->cache_key, sizeof(r->cache_key));
	r->running = false;
	r->verdict = v;
	r->user_known = r->seen.user_known;
	r->ms = auth_clock_ms() - r->started_ms;
	secret_clear(&r->check.password);
	explicit_bzero(r->check.hash, sizeof(r->check.hash));
	explicit_bzero(r->check.dummy, sizeof(r->check.dummy));
	r->fn(r, r->arg);
}

static void
job_work(struct auth_job *job)
{
	struct flow_job *j = (struct flow_job *)job;

	atomic_store(&j->begun, true);
	if (j->burn)
		(void)passwd_hash_verify(j->check.dummy, &j->check.password);
	else
		j->verdict = j->source->kind->check(j->source->self, &j->check);
}

static void
count(struct auth_source *s, enum verdict v)
{
	s->asked++;
	switch (v) {
	case V_OK:
		s->accepted++;
		return;
	case V_PERM:
		s->denied++;
		return;
	case V_NEXT:
		s->unknown++;
		return;
	case V_TEMP:
	case V__MAX:
		break;
	}
	s->unavailable++;
}

static bool
judges(const struct auth_source *s, enum auth_cred cred)
{
	return (s->kind->creds & CRED_BIT(cred)) != 0;
}

/* Goes to the next backend that judges what the client gave, for that name; false: none. */
static bool
run_next(struct auth_run *r, size_t from)
{
	for (r->pos = from; r->pos < r->flow->n; r->pos++)
		if (judges(r->flow->chain[r->pos], r->check.cred) &&
		    (r->check.login[0] == '\0' || /* the backend will say whose token it is */
			auth_source_serves(r->flow->chain[r->pos], r->ou)))
			return true;
	return false;
}

/* A number for the name that is asked for: the breaker tells one name from several. */
static uint64_t
name_number(const struct auth_check *c)
{
	const char *p = c->address[0] != '\0' ? c->address : c->login;
	uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	for (; *p != '\0'; p++)
		h = (h ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
	return h;
}

static void
log_breaker(const struct auth_source *s, const char *reason)
{
	bool open = s->breaker.state == BREAKER_OPEN;
	struct log_line l;

	log_begin(&l, open ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, EV_BACKEND);
	log_str(&l, LK_BACKEND_NAME, s->title);
	log_str(&l, LK_STATE, open ? "breaker open" : "breaker closed");
	if (open) {
		log_u64(&l, LK_COUNT, s->breaker.failures);
		log_str(&l, LK_REASON, reason);
	}
	log_end(&l);
}

/* A backend was asked, and this is what came of it. */
static void
run_answered(struct auth_run *r, struct auth_source *s, enum verdict v)
{
	bool failed = v == V_TEMP && !r->check.answered;

	count(s, v);
	if (auth_breaker_answer(
		&s->breaker, r->pass, failed, name_number(&r->check), auth_clock_ms()))
		log_breaker(s, r->check.reason);
	r->pass = PASS_NO;
}

/* It was not asked after all: no worker had time. That is our trouble, not its. */
static void
run_not_asked(struct auth_run *r, struct auth_source *s, const char *why)
{
	count(s, V_TEMP);
	auth_breaker_drop(&s->breaker, r->pass, auth_clock_ms());
	r->pass = PASS_NO;
	(void)str_copy(r->check.reason, sizeof(r->check.reason), why);
}

/* An answer is there: ends the walk (false) or lets it go on (true). */
static bool
run_take(struct auth_run *r, struct auth_source *s, enum verdict v)
{
	enum verdict final = V_TEMP;

	if (log_tracing(TRACE_AUTH))
		log_trace(TRACE_AUTH, "backend %s: %s%s%s", s->title, verdict_name(v),
		    r->check.reason[0] != '\0' ? ", " : "", r->check.reason);
	if (r->on_step != NULL)
		r->on_step(r, s, v, auth_clock_ms() - r->asked_ms, r->arg);
	if (v == V_TEMP && r->temp_source == NULL) {
		r->temp_source = s;
		memcpy(r->temp_reason, r->check.reason, sizeof(r->temp_reason));
	}
	r->source = v == V_NEXT ? NULL : s;
	if (auth_flow_judge(r->flow, s->knows_users, v, &r->seen, &final) == STEP_NEXT) {
		if (run_next(r, r->pos + 1))
			return true;
		final = auth_flow_verdict(&r->seen);
		if (final == V_PERM && r->check.reason[0] == '\0')
			(void)str_copy(r->check.reason, sizeof(r->check.reason), "unknown user");
	}
	if (final == V_TEMP && v != V_TEMP) { /* C2: for the sake of one that was asked before */
		r->source = r->temp_source;
		memcpy(r->check.reason, r->temp_reason, sizeof(r->check.reason));
	}
	r->verdict = final;
	return false;
}

static void
job_done(struct auth_job *job)
{
	struct flow_job *j = (struct flow_job *)job;
	struct auth_run *r = j->run;
	struct auth_source *s = j->source;
	enum verdict v = j->job.expired ? V_TEMP : j->verdict;

	if (r == NULL) {
		job_free(j);
		return;
	}
	r->job = NULL;
	ev_timer_clear(&r->timer);
	if (j->burn) {
		job_free(j);
		run_finish(r, r->verdict);
		return;
	}
	r->check.hashed |= j->check.hashed;
	r->check.answered = j->check.answered;
	memcpy(r->check.name, j->check.name, sizeof(r->check.name));
	memcpy(r->check.reason, j->check.reason, sizeof(r->check.reason));
	memcpy(r->check.tls_peer, j->check.tls_peer, sizeof(r->check.tls_peer));
	buf_add_span(&r->check.own, buf_span(&j->check.own));
	buf_add_span(&r->check.trace, buf_span(&j->check.trace));
	if (j->job.expired)
		run_not_asked(r, s, "no worker in time");
	else
		run_answered(r, s, v);
	job_free(j);
	if (run_take(r, s, v))
		run_ask(r);
	else
		run_end(r);
}

/* Hands the question to a worker. -1: none can take it. */
static int
run_submit(struct auth_run *r, struct auth_source *s, bool burn)
{
	struct flow_job *j = xcallocarray(1, sizeof(*j));
	int64_t now = auth_clock_ms(), until = now + s->timeout_ms, margin;

	j->check = r->check;
	j->check.password = (struct secret){NULL, 0};
	secret_set(&j->check.password, r->check.password.data, r->check.password.len);
	j->check.own = j->check.trace = (struct buf)BUF_INIT; /* its own, added to ours when done */
	if (until > r->deadline_ms)
		until = r->deadline_ms;
	/* the backend gives up a little before we do, so that it can say what it waited for */
	margin = (until - now) / 10;
	j->check.deadline_ms = until - (margin < MARGIN_MS ? margin : MARGIN_MS);
	j->job.work = job_work;
	j->job.done = job_done;
	j->job.deadline_ms = until;
	j->source = s;
	j->burn = burn;
	j->run = r;
	if (auth_pool_submit(s->pool, &j->job) == -1) {
		job_free(j);
		return -1;
	}
	r->job = j;
	ev_timer_set(&r->timer, until > now ? until - now : 0, run_on_timer, r);
	return 0;
}

/*
 * Before a no is told: where no hash was computed, compute one, so that an unknown
 * user costs what a wrong password costs (P3).
 */
static void
run_end(struct auth_run *r)
{
	if (r->verdict == V_PERM && !r->check.hashed && r->check.dummy[0] != '\0' &&
	    r->dummy_source != NULL && run_submit(r, r->dummy_source, true) == 0) {
		r->burning = true;
		return;
	}
	run_finish(r, r->verdict);
}

/* Asks backends until one must be waited for or the chain is at its end. */
static void
run_ask(struct auth_run *r)
{
	struct auth_source *s;
	enum verdict v;
	bool had_dummy;

	r->asked = true;
	do {
		s = r->flow->chain[r->pos];
		r->asked_ms = auth_clock_ms();
		if (r->asked_ms >= r->deadline_ms) {
			r->source = r->temp_source;
			(void)str_copy(r->check.reason, sizeof(r->check.reason),
			    "no time left for the rest of the chain");
			run_finish(r, V_TEMP);
			return;
		}
		r->check.reason[0] = '\0';
		r->check.name[0] = '\0';
		r->check.hash[0] = '\0';
		r->check.tls_peer[0] = '\0';
		r->check.answered = false;
		buf_reset(&r->check.own);
		had_dummy = r->check.dummy[0] != '\0';
		v = V_TEMP;
		r->pass = r->on_step != NULL ? PASS_NO : auth_breaker_ask(&s->breaker, r->asked_ms);
		if (r->on_step == NULL && r->pass == PASS_NO) {
			s->spared++;
			(void)str_copy(r->check.reason, sizeof(r->check.reason), "breaker open");
		} else if (s->kind->look != NULL && s->kind->look(s->self, &r->check, &v)) {
			run_answered(r, s, v);
		} else {
			v = V_TEMP;
			if (run_submit(r, s, false) == 0)
				return;
			run_not_asked(r, s, "no worker free");
		}
		if (!had_dummy && r->check.dummy[0] != '\0')
			r->dummy_source = s;
	} while (run_take(r, s, v));
	run_end(r);
}

static void
run_on_timer(void *arg)
{
	struct auth_run *r = arg;
	struct auth_source *s = r->flow->chain[r->pos < r->flow->n ? r->pos : r->flow->n - 1];
	bool begun = r->job != NULL && atomic_load(&r->job->begun);

	run_detach(r);
	if (r->burning) {
		run_finish(r, r->verdict);
		return;
	}
	if (begun) {
		(void)str_copy(r->check.reason, sizeof(r->check.reason), "no answer in time");
		run_answered(r, s, V_TEMP);
	} else {
		run_not_asked(r, s, "no worker in time");
	}
	/* a timer may fire a little before the clock says so */
	if (auth_clock_ms() + 5 >= r->deadline_ms) {
		if (r->on_step != NULL)
			r->on_step(r, s, V_TEMP, auth_clock_ms() - r->asked_ms, r->arg);
		r->source = s;
		run_finish(r, V_TEMP);
	} else if (run_take(r, s, V_TEMP)) {
		run_ask(r);
	} else {
		run_finish(r, r->verdict);
	}
}

/* There is no backend to ask. S16: a name that none is there for is an unknown one. */
static void
run_nobody(struct auth_run *r)
{
	bool any = false;
	size_t i;

	for (i = 0; i < r->flow->n; i++)
		any = any || judges(r->flow->chain[i], r->check.cred);
	(void)str_copy(r->check.reason, sizeof(r->check.reason),
	    any ? "no backend of the chain is for names of this domain"
		: "no backend of the chain takes this kind of credentials");
	run_finish(r, any ? V_PERM : V_TEMP);
}

void
auth_run_start(struct auth_run *r)
{
	r->running = true;
	r->burning = r->asked = false;
	r->pos = 0;
	r->seen = (struct auth_seen){false, false};
	r->source = NULL;
	r->temp_source = NULL;
	r->dummy_source = NULL;
	r->pass = PASS_NO;
	r->started_ms = auth_clock_ms();
	r->deadline_ms = r->started_ms + r->flow->deadline_ms;
	if (run_cached(r))
		run_finish(r, V_OK);
	else if (run_next(r, 0))
		run_ask(r);
	else
		run_nobody(r);
}

void
auth_run_clear(struct auth_run *r)
{
	if (r->running && !r->burning && r->pos < r->flow->n)
		auth_breaker_drop(&r->flow->chain[r->pos]->breaker, r->pass, auth_clock_ms());
	run_detach(r);
	r->running = false;
	secret_clear(&r->check.password);
	buf_clear(&r->check.own);
	buf_clear(&r->check.trace);
	explicit_bzero(&r->check, sizeof(r->check));
}
