/* SPDX-License-Identifier: ISC */
/*
 * The connections of one profile: how many there are, which are kept, and who may
 * use one. Process auth (and lookup), from workers. Must never have more than max of
 * them, and closes without waiting, so that the lock is never held for long.
 */
#include "authbackends/ldap_pool.h"

#include "base/stream.h"

#include <errno.h>
#include <string.h>
#include <time.h>

void
ldap_pool_init(struct ldap_pool *p, size_t max)
{
	pthread_condattr_t attr;

	memset(p, 0, sizeof(*p));
	p->max = max;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* as stream_clock_ms() */
	pthread_cond_init(&p->freed, &attr);
	pthread_condattr_destroy(&attr);
}

void
ldap_pool_clear(struct ldap_pool *p)
{
	ldap_pool_drop_older(p, INT64_MAX);
	pthread_cond_destroy(&p->freed);
	pthread_mutex_destroy(&p->lock);
}

/* With the lock held: the oldest of the list. */
static struct ldap_conn *
take_oldest(struct ldap_conn **list)
{
	struct ldap_conn *c;

	if (*list == NULL)
		return NULL;
	while (ldap_conn_mark(*list)->next != NULL)
		list = &ldap_conn_mark(*list)->next;
	c = *list;
	*list = NULL;
	return c;
}

/* With the lock held. */
static void
drop(struct ldap_pool *p, struct ldap_conn *c)
{
	ldap_conn_close(c); /* does not wait */
	p->n_open--;
	pthread_cond_signal(&p->freed);
}

bool
ldap_pool_take(struct ldap_pool *p, enum ldap_use use, int64_t deadline_ms, struct ldap_conn **c)
{
	struct timespec until = {
	    .tv_sec = deadline_ms / 1000, .tv_nsec = (deadline_ms % 1000) * 1000000};
	enum ldap_use other = use == LDAP_AS_USER ? LDAP_AS_SERVICE : LDAP_AS_USER;
	struct ldap_conn *old;
	bool got = true;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		while ((*c = p->idle[use]) != NULL) {
			p->idle[use] = ldap_conn_mark(*c)->next;
			if (!ldap_conn_is_stale(*c))
				goto out;
			drop(p, *c);
		}
		if (p->n_open < p->max) {
			p->n_open++;
			goto out;
		}
		if ((old = take_oldest(&p->idle[other])) != NULL) {
			drop(p, old);
			continue;
		}
		if (pthread_cond_timedwait(&p->freed, &p->lock, &until) == ETIMEDOUT) {
			got = false;
			goto out;
		}
	}
out:
	pthread_mutex_unlock(&p->lock);
	return got;
}

void
ldap_pool_keep(struct ldap_pool *p, struct ldap_conn *c)
{
	struct ldap_conn_mark *m = ldap_conn_mark(c);

	pthread_mutex_lock(&p->lock);
	m->idle_ms = stream_clock_ms();
	m->next = p->idle[m->use];
	p->idle[m->use] = c;
	pthread_cond_signal(&p->freed);
	pthread_mutex_unlock(&p->lock);
}

void
ldap_pool_drop(struct ldap_pool *p, struct ldap_conn *c)
{
	pthread_mutex_lock(&p->lock);
	drop(p, c);
	pthread_mutex_unlock(&p->lock);
}

/* Closes the kept ones for which wrong() is true. */
static void
prune(struct ldap_pool *p, bool (*wrong)(const struct ldap_conn_mark *, int64_t), int64_t x)
{
	struct ldap_conn **at, *c;
	size_t i;

	pthread_mutex_lock(&p->lock);
	for (i = 0; i < LDAP_USE__MAX; i++) {
		for (at = &p->idle[i]; (c = *at) != NULL;) {
			if (!wrong(ldap_conn_mark(c), x)) {
				at = &ldap_conn_mark(c)->next;
				continue;
			}
			*at = ldap_conn_mark(c)->next;
			drop(p, c);
		}
	}
	pthread_mutex_unlock(&p->lock);
}

static bool
is_to_server(const struct ldap_conn_mark *m, int64_t server)
{
	return m->server == (size_t)server;
}

void
ldap_pool_drop_server(struct ldap_pool *p, size_t server)
{
	prune(p, is_to_server, (int64_t)server);
}

static bool
is_older(const struct ldap_conn_mark *m, int64_t before)
{
	return m->idle_ms < before;
}

void
ldap_pool_drop_older(struct ldap_pool *p, int64_t before_ms)
{
	prune(p, is_older, before_ms);
}
