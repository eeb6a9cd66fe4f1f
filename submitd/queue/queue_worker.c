/* SPDX-License-Identifier: ISC */
/*
 * Threads of process queue for what takes long and is no commit: files of large bodies,
 * lists for operators. Jobs run one after the other and come back to the event thread.
 */
#include "queue/queue_internal.h"

#include "base/thread.h"

static void *
worker_main(void *arg)
{
	struct qworker *w = arg;
	struct qwork *job;

	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		job = TAILQ_FIRST(&w->todo);
		if (job == NULL) {
			pthread_cond_wait(&w->cond, &w->lock);
			continue;
		}
		TAILQ_REMOVE(&w->todo, job, entry);
		pthread_mutex_unlock(&w->lock);
		job->fn(job);
		pthread_mutex_lock(&w->lock);
		TAILQ_INSERT_TAIL(&w->finished, job, entry);
		ev_wake_fire(w->wake);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void
worker_finished(void *arg)
{
	struct qworker *w = arg;
	struct qwork_list list = TAILQ_HEAD_INITIALIZER(list);
	struct qwork *job;

	pthread_mutex_lock(&w->lock);
	TAILQ_CONCAT(&list, &w->finished, entry);
	pthread_mutex_unlock(&w->lock);
	while ((job = TAILQ_FIRST(&list)) != NULL) {
		TAILQ_REMOVE(&list, job, entry);
		job->done(job);
	}
}

int
qworker_start(struct qworker *w)
{
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->cond, NULL);
	TAILQ_INIT(&w->todo);
	TAILQ_INIT(&w->finished);
	w->stop = false;
	w->wake = ev_wake_new(worker_finished, w);
	w->started = thread_start(&w->thread, 0, worker_main, w) == 0;
	return w->started ? 0 : -1;
}

void
qworker_push(struct qworker *w, struct queue *q, struct qwork *job)
{
	job->q = q;
	pthread_mutex_lock(&w->lock);
	TAILQ_INSERT_TAIL(&w->todo, job, entry);
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

void
qworker_stop(struct qworker *w)
{
	if (!w->started)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	w->started = false;
	ev_wake_free(w->wake);
}
