/* SPDX-License-Identifier: ISC */
/*
 * submitctl passwd on the file: other lines stay, mode stays, the change is whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/fs.h"
#include "base/str.h"
#include "ctl/ctl_passwd_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/submitd-passwd-XXXXXX", path[64];

static void
put(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void
is(const char *text)
{
	struct buf b = BUF_INIT;

	assert_int_equal(fs_read_file(path, 10000, &b), 0);
	assert_string_equal(buf_cstr(&b), text);
	buf_clear(&b);
}

static void
test_change(void **state)
{
	char err[200] = "";
	struct stat st;

	(void)state;
	assert_int_equal(ctl_passwd_change(path, "a", NULL, err, sizeof(err)), PASSWD_FAILED);
	assert_int_equal(ctl_passwd_change(path, "a", "$y$h1", err, sizeof(err)), PASSWD_ADDED);
	is("a:$y$h1\n");
	put("# users\na $6$old\nb:$6$keep\nab:$6$other");
	assert_int_equal(chmod(path, 0604), 0);
	assert_int_equal(ctl_passwd_change(path, "A", "$y$h2", err, sizeof(err)), PASSWD_CHANGED);
	is("# users\nA:$y$h2\nb:$6$keep\nab:$6$other\n");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0604);
	assert_int_equal(ctl_passwd_change(path, "b", NULL, err, sizeof(err)), PASSWD_CHANGED);
	is("# users\nA:$y$h2\nab:$6$other\n");
	assert_int_equal(ctl_passwd_change(path, "b", NULL, err, sizeof(err)), PASSWD_ABSENT);
	/* twice the same name: one line is left */
	put("x:1\nX:2\n");
	assert_int_equal(ctl_passwd_change(path, "x", "3", err, sizeof(err)), PASSWD_CHANGED);
	is("x:3\n");
	/* whom the service finds by that name, in any spelling, and behind a mark of UTF-8 */
	put("\xef\xbb\xbfy:1\n\xc3\xb6@b\xc3\xbc.example:1\n");
	assert_int_equal(ctl_passwd_change(path, "Y", "2", err, sizeof(err)), PASSWD_CHANGED);
	assert_int_equal(
	    ctl_passwd_change(path, "\xc3\x96@xn--b-eha.example", "2", err, sizeof(err)),
	    PASSWD_CHANGED);
	is("Y:2\n\xc3\x96@xn--b-eha.example:2\n");
}

/* A link stays a link, its file is replaced. */
static void
test_link(void **state)
{
	char link[64], err[200];
	struct stat st;

	(void)state;
	put("a:1\n");
	assert_int_equal(str_printf(link, sizeof(link), "%s/link", dir), 0);
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(ctl_passwd_change(link, "a", "2", err, sizeof(err)), PASSWD_CHANGED);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	is("a:2\n");
	assert_int_equal(unlink(link), 0);
}

static int
setup(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	return str_printf(path, sizeof(path), "%s/users", dir);
}

static int
teardown(void **state)
{
	(void)state;
	(void)unlink(path);
	return rmdir(dir); /* fails where a temporary file was left behind */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_change),
	    cmocka_unit_test(test_link),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
