/* SPDX-License-Identifier: ISC */
/*
 * Cyrus SASL as a library of several threads: its locks, and its plug-ins opened by
 * name (LIBRARIES 2). Runs in auth, before it gives up its rights. Must never let
 * the library search a directory by itself.
 */
#include "base/sasl_lib.h"

#include "base/str.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void *
lock_new(void)
{
	pthread_mutex_t *m = xcallocarray(1, sizeof(*m));

	if (pthread_mutex_init(m, NULL) == 0)
		return m;
	free(m);
	return NULL;
}

static int
lock_take(void *m)
{
	return pthread_mutex_lock(m) == 0 ? SASL_OK : SASL_FAIL;
}

static int
lock_give(void *m)
{
	return pthread_mutex_unlock(m) == 0 ? SASL_OK : SASL_FAIL;
}

static void
lock_free(void *m)
{
	if (m == NULL)
		return;
	(void)pthread_mutex_destroy(m);
	free(m);
}

void
sasl_lib_init(void)
{
	/* the same four again change nothing */
	sasl_set_mutex(lock_new, lock_take, lock_give, lock_free);
}

/* Plug-ins lie in sasl2/ beside the library itself. */
void *
sasl_lib_plugin(const char *file)
{
	char path[4096];
	const char *slash;
	Dl_info info;
	void *h;

	if (dladdr((void *)(uintptr_t)sasl_set_mutex, &info) == 0 || info.dli_fname == NULL ||
	    (slash = strrchr(info.dli_fname, '/')) == NULL)
		return NULL;
	if (str_printf(path, sizeof(path), "%.*s/sasl2/%s", (int)(slash - info.dli_fname),
		info.dli_fname, file) == 0 &&
	    (h = dlopen(path, RTLD_NOW | RTLD_LOCAL)) != NULL)
		return h;
	/* /lib that is no link to /usr/lib */
	if (str_printf(path, sizeof(path), "/usr%.*s/sasl2/%s", (int)(slash - info.dli_fname),
		info.dli_fname, file) == 0)
		return dlopen(path, RTLD_NOW | RTLD_LOCAL);
	return NULL;
}

int
sasl_lib_getpath(void *context, const char **path)
{
	(void)context;
	*path = "/nonexistent"; /* plug-ins are given to the library one by one */
	return SASL_OK;
}

int
sasl_lib_getconfpath(void *context, char **path)
{
	(void)context;
	*path = strdup("/nonexistent"); /* freed by the library */
	return *path == NULL ? SASL_NOMEM : SASL_OK;
}

int
sasl_lib_verifyfile(void *context, const char *file, sasl_verify_type_t type)
{
	(void)context;
	(void)file;
	(void)type;
	return SASL_CONTINUE; /* skip: nothing is to be loaded by name */
}
