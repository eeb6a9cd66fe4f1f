/* SPDX-License-Identifier: ISC */
/*
 * The thread of process ledger that waits for the disk, so that the loop need not.
 * Does one thing: fdatasync() of the descriptor it is given.
 */
#include "ledger/ledger_sync.h"

#include "base/ev.h"
#include "base/fs.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

static pthread_t thread;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int todo = -1; /* a copy of the descriptor */
static bool busy;     /* from run() until done() was called */
static bool finished; /* result is there */
static int result;
static struct ev_wake *wake;
static void (*on_done)(int error);

static void *
sync_main(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&lock);
	for (;;) {
		int fd = todo, error;

		if (fd == -1) {
			pthread_cond_wait(&cond, &lock);
			continue;
		}
		pthread_mutex_unlock(&lock);
		error = fs_fdatasync(fd) == -1 ? errno : 0;
		fs_close(fd);
		pthread_mutex_lock(&lock);
		todo = -1;
		result = error;
		finished = true;
		pthread_cond_broadcast(&cond);
		ev_wake_fire(wake);
	}
	return NULL;
}

static void
on_wake(void *arg)
{
	bool was;
	int error;

	(void)arg;
	pthread_mutex_lock(&lock);
	was = finished;
	error = result;
	if (was)
		busy = finished = false;
	pthread_mutex_unlock(&lock);
	if (was)
		on_done(error);
}

int
ledger_sync_start(void (*done)(int error))
{
	int rc;

	on_done = done;
	wake = ev_wake_new(on_wake, NULL);
	rc = thread_start(&thread, 0, sync_main, NULL);
	errno = rc;
	return rc == 0 ? 0 : -1;
}

void
ledger_sync_run(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	int error = errno;

	pthread_mutex_lock(&lock);
	busy = true;
	if (copy == -1) {
		result = error;
		finished = true;
		ev_wake_fire(wake);
	} else {
		todo = copy;
		pthread_cond_broadcast(&cond);
	}
	pthread_mutex_unlock(&lock);
}

bool
ledger_sync_busy(void)
{
	return busy;
}

int
ledger_sync_wait(void)
{
	int error;

	pthread_mutex_lock(&lock);
	while (busy && !finished)
		pthread_cond_wait(&cond, &lock);
	error = busy ? result : 0;
	busy = finished = false;
	pthread_mutex_unlock(&lock);
	return error;
}
