/* SPDX-License-Identifier: ISC */
/*
 * What a start does with the end of the audit file (A1): the one that wrote it may have
 * been killed while a sync failed.
 */
#include "audit_file_test.h"

#include "ledger/audit_file.h"
#include "ledger/audit_senders.h"

#include "base/fs.h"
#include "base/str.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static void
on_line(void *arg, const struct audit_line *l)
{
	(void)arg;
	audit_senders_recover(l);
}

static const struct audit_file_options opt = {
    .owner = (uid_t)-1, .group = (gid_t)-1, .chain = true, .line = on_line};

static void
open_it(struct audit_file *a)
{
	audit_file_init(a, path);
	assert_int_equal(audit_file_open(a, &opt, NOW), 0);
}

static void
write_file(const char *file, const struct buf *b)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(buf_data(b), 1, buf_len(b), f), buf_len(b));
	fclose(f);
}

/* Old enough that a write is seen by it. */
static void
make_old(const char *file)
{
	const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};

	assert_int_equal(utimensat(AT_FDCWD, file, old, 0), 0);
}

static bool
was_written(const char *file)
{
	struct stat st;

	assert_int_equal(stat(file, &st), 0);
	return st.st_mtim.tv_sec != 1000000000;
}

/*
 * Nobody knows whether a sync had failed when the one before was killed: what it left is written
 * again as it stands, for the next sync to tell; of what cannot be, no number is known.
 */
static void
test_killed_in_a_sync(void **state)
{
	struct rlimit had, small;
	struct audit_file a;
	struct buf m = BUF_INIT, before = BUF_INIT, after = BUF_INIT;
	uint64_t last;

	(void)state;
	open_it(&a);
	audit_sender_members(&m, audit_senders_get(ROLE_QUEUE, 0xabc), 7);
	for (int i = 0; i < 5000; i++) /* more than one piece */
		audit_file_add(&a, NOW, "accept", buf_span(&m));
	assert_int_equal(audit_file_flush(&a, NOW), 0);
	audit_file_close(&a);
	assert_int_equal(fs_read_file(path, 1u << 24, &before), 0);
	assert_true(buf_len(&before) > 600000);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &had), 0);
	for (int i = 0; i < 4; i++) { /* the same file, or renamed; with room to write or without */
		bool renamed = i % 2 == 1, full = i / 2 == 1;
		const char *file = renamed ? path2 : path;

		unlink(path);
		write_file(file, &before);
		make_old(file);
		audit_senders_reset();
		small = had;
		small.rlim_cur = full ? 1000 : had.rlim_cur;
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
		open_it(&a);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &had), 0);
		assert_int_equal(a.unsynced, renamed || full ? 0 : buf_len(&before));
		assert_true(fcntl(a.fd, F_GETFL) & O_APPEND);
		last = audit_senders_get(ROLE_QUEUE, 0xabc)->last;
		assert_int_equal(last, full ? 0 : 7);
		assert_int_equal(a.seq, renamed ? 5002 : 5001);
		assert_true(was_written(file));
		audit_file_close(&a);
		buf_reset(&after);
		assert_int_equal(fs_read_file(file, 1u << 24, &after), 0);
		assert_int_equal(buf_len(&after), buf_len(&before));
		assert_memory_equal(buf_data(&after), buf_data(&before), buf_len(&before));
	}
	buf_clear(&m);
	buf_clear(&before);
	buf_clear(&after);
	unlink(path);
	unlink(path2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_killed_in_a_sync),
	};

	return cmocka_run_group_tests(tests, audit_dir_setup, audit_dir_teardown);
}
