/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_THREAD_H
#define SUBMITD_BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>

/*
 * Starts a thread that takes no signals: those are the event loop's. stack: octets, 0 for the
 * default. 0, or an errno value; then there is no thread.
 */
int thread_start(pthread_t *, size_t stack, void *(*fn)(void *), void *arg);

#endif
