/* SPDX-License-Identifier: ISC */
/* base/fs.c: files of secrets that are made once and must be good at every later start. */
#include "base/fs.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <seccomp.h>

static char dir[64], path[128];

static int
make_dir(void **state)
{
	(void)state;
	(void)str_copy(dir, sizeof(dir), "/tmp/submitd-test-fs-XXXXXX");
	return mkdtemp(dir) == NULL || str_printf(path, sizeof(path), "%s/key", dir) == -1 ? -1 : 0;
}

/* How many names the directory holds; they are removed. */
static int
empty_dir(void)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	int n = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			n += unlinkat(dirfd(d), e->d_name, 0) == 0;
	closedir(d);
	return n;
}

static int
remove_dir(void **state)
{
	(void)state;
	(void)empty_dir();
	return rmdir(dir);
}

static void
made_once_and_kept(void **state)
{
	char text[16] = "";
	struct stat st;
	int fd;

	(void)state;
	assert_int_equal(fs_make_file(path, 0600, "first", 5), 0);
	assert_int_equal(fs_make_file(path, 0600, "second", 6), 0);
	fd = fs_open_private(path);
	assert_true(fd != -1);
	assert_int_equal(read(fd, text, sizeof(text)), 5);
	assert_string_equal(text, "first");
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	close(fd);
	assert_int_equal(empty_dir(), 1);
}

static void
others_files_are_not_secrets(void **state)
{
	char other[140];

	(void)state;
	assert_int_equal(fs_make_file(path, 0600, "x", 1), 0);
	assert_int_equal(str_printf(other, sizeof(other), "%s.other", path), 0);
	assert_int_equal(link(path, other), 0);
	assert_int_equal(fs_open_private(path), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(unlink(other), 0);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(fs_open_private(path), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(fs_open_private(path), -1);
	assert_int_equal(errno, ELOOP);
	assert_int_equal(empty_dir(), 2);
}

/* A supervisor that gives up kills its processes; one was just making its key. */
static void
a_maker_that_dies_bars_no_later_start(void **state)
{
	int status, fd;
	pid_t pid;

	(void)state;
	pid = fork();
	assert_true(pid != -1);
	if (pid == 0) {
		/* dies where it would sync the directory: the file has just got its name */
		scmp_filter_ctx s = seccomp_init(SCMP_ACT_ALLOW);
		if (s == NULL ||
		    seccomp_rule_add(s, SCMP_ACT_KILL_PROCESS, SCMP_SYS(openat), 1,
			SCMP_A2(SCMP_CMP_MASKED_EQ, O_DIRECTORY, O_DIRECTORY)) != 0 ||
		    seccomp_load(s) != 0)
			_exit(1);
		(void)fs_make_file(path, 0600, "key", 3);
		_exit(2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
	fd = fs_open_private(path);
	assert_true(fd != -1);
	close(fd);
	assert_int_equal(empty_dir(), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(made_once_and_kept, make_dir, remove_dir),
	    cmocka_unit_test_setup_teardown(others_files_are_not_secrets, make_dir, remove_dir),
	    cmocka_unit_test_setup_teardown(
		a_maker_that_dies_bars_no_later_start, make_dir, remove_dir),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
