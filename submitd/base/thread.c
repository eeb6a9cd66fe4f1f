/* SPDX-License-Identifier: ISC */
/*
 * Threads beside the event loop. Every process that has some. Must never leave the
 * caller's signals blocked.
 */
#include "base/thread.h"

#include <signal.h>

int
thread_start(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int error;

	error = pthread_attr_init(&attr);
	if (error != 0)
		return error;
	if (stack != 0)
		error = pthread_attr_setstacksize(&attr, stack);
	if (error == 0) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		error = pthread_create(thread, &attr, fn, arg);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	pthread_attr_destroy(&attr);
	return error;
}
