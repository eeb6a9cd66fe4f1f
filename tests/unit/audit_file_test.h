/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_TESTS_AUDIT_FILE_TEST_H
#define SUBMITD_TESTS_AUDIT_FILE_TEST_H

/* A directory for one audit file and the one before it. In memory where that is possible: there
 * are thousands of starts, and each syncs. */
#include "base/str.h"

#include <stdlib.h>
#include <unistd.h>

#define NOW INT64_C(1795360000123)

static char dir[64], path[80], path2[80];

static int
audit_dir_setup(void **state)
{
	static const char *const places[] = {"/dev/shm", "/tmp"};

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (str_printf(dir, sizeof(dir), "%s/submitd-test-XXXXXX", places[i]) == -1 ||
		    mkdtemp(dir) == NULL)
			continue;
		(void)str_printf(path2, sizeof(path2), "%s/audit.1", dir);
		return str_printf(path, sizeof(path), "%s/audit", dir);
	}
	return -1;
}

static int
audit_dir_teardown(void **state)
{
	(void)state;
	return rmdir(dir);
}

#endif
