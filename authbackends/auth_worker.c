/* SPDX-License-Identifier: ISC */
/*
 * Worker threads for what blocks: password hashes, and later LDAP and HTTP. Process
 * auth. A worker must never log, send messages or touch sessions: it gets a job
 * with a copy of all it needs and hands it back to the loop.
 */
#include "authbackends/auth_worker.h"

#include "base/ev.h"
#include "base/str.h"
#include "base/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define WORKER_STACK (512u * 1024u)

TAILQ_HEAD(job_list, auth_job);

struct auth_pool {
	pthread_mutex_t lock;
	pthread_cond_t more; /* a job was queued, or stop was set */
	struct job_list queue, done;
	size_t n_queued, max_queued;
	unsigned n_threads, max_threads, idle, busy;
	size_t refused, expired;
	bool stop;
	pthread_t *threads;
	struct ev_wake *wake;
};

int64_t
auth_clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* In the loop: everything that was finished since the last time. */
static void
pool_on_wake(void *arg)
{
	struct auth_pool *p = arg;
	struct job_list done = TAILQ_HEAD_INITIALIZER(done);
	struct auth_job *j;

	pthread_mutex_lock(&p->lock);
	TAILQ_CONCAT(&done, &p->done, link);
	pthread_mutex_unlock(&p->lock);
	while ((j = TAILQ_FIRST(&done)) != NULL) {
		TAILQ_REMOVE(&done, j, link);
		j->done(j);
	}
}

static void *
worker_main(void *arg)
{
	struct auth_pool *p = arg;
	struct auth_job *j;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		while ((j = TAILQ_FIRST(&p->queue)) == NULL && !p->stop) {
			p->idle++;
			pthread_cond_wait(&p->more, &p->lock);
			p->idle--;
		}
		if (j == NULL)
			break;
		TAILQ_REMOVE(&p->queue, j, link);
		p->n_queued--;
		j->expired = p->stop || auth_clock_ms() >= j->deadline_ms;
		if (j->expired) {
			p->expired++;
		} else {
			p->busy++;
			pthread_mutex_unlock(&p->lock);
			j->work(j);
			pthread_mutex_lock(&p->lock);
			p->busy--;
		}
		bool first = TAILQ_EMPTY(&p->done);

		TAILQ_INSERT_TAIL(&p->done, j, link);
		if (!first) /* the loop was woken already and has not looked yet */
			continue;
		/* it takes the lock first thing, and is not to find us holding it */
		pthread_mutex_unlock(&p->lock);
		ev_wake_fire(p->wake);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct auth_pool *
auth_pool_new(unsigned threads, size_t max_queued)
{
	struct auth_pool *p = xcallocarray(1, sizeof(*p));

	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	TAILQ_INIT(&p->queue);
	TAILQ_INIT(&p->done);
	p->max_threads = threads == 0 ? 1 : threads;
	p->max_queued = max_queued;
	p->threads = xcallocarray(p->max_threads, sizeof(*p->threads));
	p->wake = ev_wake_new(pool_on_wake, p);
	return p;
}

int
auth_pool_submit(struct auth_pool *p, struct auth_job *j)
{
	int result = 0;

	j->expired = false;
	pthread_mutex_lock(&p->lock);
	if (p->n_queued >= p->max_queued)
		result = -1;
	else if (p->idle <= p->n_queued && p->n_threads < p->max_threads)
		/* with none at all the job is refused, below */
		p->n_threads +=
		    thread_start(&p->threads[p->n_threads], WORKER_STACK, worker_main, p) == 0;
	if (p->n_threads == 0)
		result = -1;
	if (result == 0) {
		TAILQ_INSERT_TAIL(&p->queue, j, link);
		p->n_queued++;
	} else {
		p->refused++;
	}
	pthread_mutex_unlock(&p->lock);
	/* behind the lock: the worker takes it first thing */
	if (result == 0)
		pthread_cond_signal(&p->more);
	else
		errno = EAGAIN;
	return result;
}

void
auth_pool_free(struct auth_pool *p)
{
	unsigned i;

	if (p == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
	for (i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	pool_on_wake(p);
	ev_wake_free(p->wake);
	pthread_cond_destroy(&p->more);
	pthread_mutex_destroy(&p->lock);
	free(p->threads);
	free(p);
}

void
auth_pool_stats(struct auth_pool *p, struct auth_pool_stats *s)
{
	pthread_mutex_lock(&p->lock);
	*s = (struct auth_pool_stats){.threads = p->n_threads,
	    .busy = p->busy,
	    .queued = p->n_queued,
	    .refused = p->refused,
	    .expired = p->expired};
	pthread_mutex_unlock(&p->lock);
}
