/* SPDX-License-Identifier: ISC */
/*
 * Fetches and keeps the key set that tokens are verified with. Process auth, on
 * workers. Must never let tokens of anybody make it ask the server more often than
 * JWKS_MIN_AGE_MS and JWKS_RETRY_MS allow.
 */
#include "authbackends/jwks_cache.h"

#include "authbackends/auth_worker.h"
#include "authbackends/http_verdict.h"

#include "base/str.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A set and who uses it; counted under the cache's lock. */
struct shared_set {
	struct jwks *keys;
	unsigned users;
};

struct jwks_cache {
	struct http_client *client; /* NULL: fixed */
	const char *url;
	int64_t max_age_ms;
	unsigned max_waiting;
	pthread_mutex_t lock;
	pthread_cond_t fetched;
	/* all below under the lock */
	struct shared_set *set; /* NULL: none yet */
	int64_t set_ms;         /* when it came */
	int64_t next_ms;        /* no fetch before */
	uint64_t fetches;       /* so many were begun */
	uint64_t set_fetch;     /* which of them the set is from */
	bool fetching;
	unsigned waiting;            /* for the fetch under way */
	char error[AUTH_REASON_MAX]; /* of the last fetch; "": it went well */
	bool lasting;
};

static struct jwks_cache *
cache_new(void)
{
	struct jwks_cache *k = xcallocarray(1, sizeof(*k));
	pthread_condattr_t attr;

	pthread_mutex_init(&k->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&k->fetched, &attr);
	pthread_condattr_destroy(&attr);
	return k;
}

static struct shared_set *
set_share(struct jwks *keys)
{
	struct shared_set *s = xcallocarray(1, sizeof(*s));

	s->keys = keys;
	s->users = 1;
	return s;
}

/* Under the lock. */
static void
set_release(struct shared_set *s)
{
	if (s == NULL || --s->users > 0)
		return;
	jwks_free(s->keys);
	free(s);
}

struct jwks_cache *
jwks_cache_new(
    struct http_client *client, const char *url, int64_t max_age_ms, unsigned max_waiting)
{
	struct jwks_cache *k = cache_new();

	k->client = client;
	k->url = url;
	k->max_age_ms = max_age_ms;
	k->max_waiting = max_waiting;
	return k;
}

struct jwks_cache *
jwks_cache_new_fixed(struct jwks *keys)
{
	struct jwks_cache *k = cache_new();

	k->set = set_share(keys);
	return k;
}

void
jwks_cache_free(struct jwks_cache *k)
{
	if (k == NULL)
		return;
	set_release(k->set);
	pthread_cond_destroy(&k->fetched);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

/* NULL with a text; *lasting as in http_verdict(). Without the lock: it waits. */
static struct jwks *
fetch(struct jwks_cache *k, int64_t deadline_ms, struct auth_check *c, char *error, bool *lasting)
{
	const struct http_request r = {
	    .url = k->url, .deadline_ms = deadline_ms, .shown_url = span_of(k->url), .json = true};
	struct http_answer a = {0};
	struct jwks *keys = NULL;
	const char *why = "";

	*lasting = false;
	error[0] = '\0';
	http_client_ask(k->client, &r, &a, c);
	if (a.status == 0) {
		(void)str_printf(error, AUTH_REASON_MAX, "key set: %.100s", a.error);
		*lasting = a.operator_must_act;
	} else if (a.status != 200) {
		(void)str_printf(
		    error, AUTH_REASON_MAX, "key set: the server answered %ld", a.status);
		*lasting = http_status_is_lasting(a.status);
	} else if ((keys = jwks_parse(buf_span(&a.body), &why)) == NULL) {
		(void)str_printf(error, AUTH_REASON_MAX, "key set: %s", why);
		*lasting = true;
	}
	http_answer_clear(&a);
	return keys;
}

/* Under the lock. */
static bool
wants_fetch(const struct jwks_cache *k, const struct jwt *t, int64_t now)
{
	if (k->client == NULL || now < k->next_ms)
		return false;
	if (k->set == NULL || now - k->set_ms >= k->max_age_ms)
		return true;
	return !jwks_has(k->set->keys, t) && !jwks_names(k->set->keys, t) &&
	       now - k->set_ms >= JWKS_MIN_AGE_MS;
}

/* Under the lock: lets it go, fetches, takes it again. */
static void
fetch_now(struct jwks_cache *k, const struct jwt *t, struct auth_check *c)
{
	int64_t now = auth_clock_ms(), until = c->deadline_ms;
	uint64_t fetch_no = ++k->fetches;
	char error[AUTH_REASON_MAX];
	struct jwks *keys;
	bool lasting;

	/* where the old set would do, its time must be left */
	if (k->set != NULL && jwks_has(k->set->keys, t))
		until = now + (until - now) / 2;
	k->fetching = true;
	pthread_mutex_unlock(&k->lock);
	keys = fetch(k, until, c, error, &lasting);
	pthread_mutex_lock(&k->lock);
	k->fetching = false;
	now = auth_clock_ms();
	memcpy(k->error, error, sizeof(k->error));
	k->lasting = lasting;
	if (keys == NULL) {
		k->next_ms = now + JWKS_RETRY_MS;
	} else {
		set_release(k->set);
		k->set = set_share(keys);
		k->set_ms = now;
		k->set_fetch = fetch_no;
		k->next_ms = 0;
	}
	pthread_cond_broadcast(&k->fetched);
}

/*
 * Under the lock. False: the deadline has passed, or enough wait already while there is a set:
 * made-up key ids are not to keep all workers from tokens that it can verify.
 */
static bool
wait_for_other(struct jwks_cache *k, int64_t deadline_ms)
{
	struct timespec until = {
	    .tv_sec = deadline_ms / 1000, .tv_nsec = (long)(deadline_ms % 1000) * 1000000};
	int rc;

	if (k->set != NULL && k->waiting >= k->max_waiting)
		return false;
	k->waiting++;
	rc = pthread_cond_timedwait(&k->fetched, &k->lock, &until);
	k->waiting--;
	return rc != ETIMEDOUT;
}

/*
 * Under the lock: the set to verify with, or NULL with the verdict. An unknown key is a no only
 * by a set that was asked for after the token came (began: fetches begun by then); while the pace
 * forbids to ask, nobody knows. Such a token proves nothing and finds out nothing, so it need not
 * count as a guess (A7).
 */
static struct shared_set *
choose(struct jwks_cache *k, const struct jwt *t, uint64_t began, struct auth_check *c,
    enum verdict *v)
{
	const char *why = "key set: no answer in time";
	struct shared_set *set = k->set;

	*v = V_TEMP;
	if (set != NULL && k->client != NULL && auth_clock_ms() - k->set_ms > JWKS_STALE_MS)
		set = NULL;
	if (set != NULL && jwks_has(set->keys, t)) {
		set->users++;
		return set;
	}
	if (k->error[0] != '\0') {
		why = k->error;
	} else if (set != NULL && jwks_names(set->keys, t)) {
		why = "the key that the token names is not for its algorithm";
		*v = V_PERM;
	} else if (set != NULL && (k->client == NULL || k->set_fetch > began)) {
		why = "the token was signed with an unknown key";
		*v = V_PERM;
	} else if (set != NULL) {
		why = k->fetching
		          ? "the token's key is unknown, and new keys are being asked for"
		          : "the token's key is unknown, and it is too early to ask for new keys";
	}
	c->answered = set != NULL; /* tokens of known keys can be verified */
	(void)str_copy(c->reason, sizeof(c->reason), why);
	return NULL;
}

enum verdict
jwks_cache_verify(struct jwks_cache *k, const struct jwt *t, struct auth_check *c, bool *lasting)
{
	struct shared_set *set;
	uint64_t began;
	enum verdict v;

	pthread_mutex_lock(&k->lock);
	began = k->fetches;
	while (wants_fetch(k, t, auth_clock_ms())) {
		if (!k->fetching)
			fetch_now(k, t, c);
		else if ((k->set != NULL && jwks_has(k->set->keys, t)) ||
			 !wait_for_other(k, c->deadline_ms))
			break;
	}
	set = choose(k, t, began, c, &v);
	*lasting = set == NULL && v == V_TEMP && k->lasting;
	pthread_mutex_unlock(&k->lock);
	if (set == NULL)
		return v;
	v = V_OK;
	if (!jwks_verify(set->keys, t)) {
		(void)str_copy(c->reason, sizeof(c->reason), "the token's signature is wrong");
		v = V_PERM;
	}
	pthread_mutex_lock(&k->lock);
	set_release(set);
	pthread_mutex_unlock(&k->lock);
	return v;
}
