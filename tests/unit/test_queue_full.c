/* SPDX-License-Identifier: ISC */
/*
 * Promise 1: what the store says when a write of SQLite finds no room, and what a process
 * that dies then leaves: a transaction that was rolled back must not come back.
 */
#include "queue/queue_store.h"

#include "base/fs.h"
#include "base/list.h"
#include "base/str.h"

#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static char dir[40];
static char err[300];
static struct queue_store *st;

/* ---- a write that fails ---------------------------------------------------------------------- */

static const char *fail_suffix; /* of the file's name; NULL: none fails */
static int fail_errno;
static bool disk_is_full; /* each file has the room that it has */

static ssize_t
failing_pwrite(int fd, const void *p, size_t n, off_t off)
{
	char link[40], path[200];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	assert_true(len > 0);
	path[len] = '\0';
	if (fail_suffix != NULL && (size_t)len > strlen(fail_suffix) &&
	    strcmp(path + len - strlen(fail_suffix), fail_suffix) == 0) {
		errno = fail_errno;
		return -1;
	}
	if (disk_is_full) {
		struct stat file;

		assert_int_equal(fstat(fd, &file), 0);
		if (off + (off_t)n > file.st_size) {
			errno = ENOSPC;
			return -1;
		}
	}
	return pwrite(fd, p, n, off);
}

static void
fail_writes(const char *suffix, int error)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find("unix");

	fail_suffix = suffix;
	fail_errno = error;
	(void)vfs->xSetSystemCall(vfs, "pwrite", (sqlite3_syscall_ptr)failing_pwrite);
	(void)vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)failing_pwrite);
}

/* ---- a store --------------------------------------------------------------------------------- */

static void
open_in(const char *where)
{
	char path[100];
	bool damaged;

	snprintf(path, sizeof(path), "%s/queue.db", where);
	st = queue_store_open(path, STORE_WRITE, &damaged, err, sizeof(err));
	assert_non_null(st);
}

static int
setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/submitd-full-XXXXXX");
	assert_non_null(mkdtemp(dir));
	open_in(dir);
	return 0;
}

static int
teardown(void **state)
{
	char cmd[300];

	(void)state;
	fail_suffix = NULL;
	disk_is_full = false;
	queue_store_free(st);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

static int
add(uint64_t id, size_t bytes)
{
	struct store_audit a = {.id = id, .src = 1, .n = id, .count = 1};
	int rc;

	memset(buf_reserve(&a.records, bytes), 'x', bytes);
	buf_commit(&a.records, bytes);
	rc = queue_store_add_audit(st, &a);
	buf_clear(&a.records);
	return rc;
}

static uint64_t
last(void)
{
	uint64_t id = 0, bytes;

	assert_int_equal(queue_store_audit_state(st, &id, &bytes), 0);
	return id;
}

/* Somebody else's quota is as full as a disk, and an error of the disk is neither. */
static void
test_errors(void **state)
{
	static const int errors[] = {ENOSPC, EDQUOT, EIO};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		assert_int_equal(queue_store_begin(st), 0);
		assert_int_equal(add(1, 5000), 0);
		fail_writes("-wal", errors[i]);
		assert_int_equal(queue_store_commit(st), -1);
		assert_int_equal(queue_store_is_full(st), errors[i] != EIO);
		queue_store_rollback(st);
		assert_int_equal(queue_store_is_full(st), errors[i] != EIO);
		assert_int_equal(last(), 0);
		fail_suffix = NULL;
	}
	assert_int_equal(queue_store_begin(st), 0);
	assert_int_equal(add(1, 5000), 0);
	assert_int_equal(queue_store_commit(st), 0);
	assert_int_equal(last(), 1);
}

/* The log stays as it was where the database cannot grow. */
static void
test_checkpoint(void **state)
{
	static const int errors[] = {ENOSPC, EDQUOT};
	unsigned left;

	(void)state;
	assert_int_equal(queue_store_begin(st), 0);
	assert_int_equal(add(1, 50000), 0);
	assert_int_equal(queue_store_commit(st), 0);
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		fail_writes("/queue.db", errors[i]);
		assert_int_equal(queue_store_checkpoint(st, &left), 0);
		assert_int_equal(last(), 1);
	}
	fail_writes("/queue.db", EIO);
	assert_int_equal(queue_store_checkpoint(st, &left), -1);
	fail_suffix = NULL;
	assert_int_equal(queue_store_checkpoint(st, &left), 0);
	assert_int_equal(left, 0);
	assert_int_equal(last(), 1);
}

#define N_LONG 17 /* of 1 MiB: more pages than the first piece of the log's index is for */

static void
add_many(void)
{
	assert_int_equal(queue_store_begin(st), 0);
	for (uint64_t i = 1; i <= N_LONG; i++)
		assert_int_equal(add(i, 1u << 20), 0);
}

static void
test_index_reserved(void **state)
{
	(void)state;
	add_many();
	fail_writes("-shm", ENOSPC);
	assert_int_equal(queue_store_commit(st), 0);
	assert_int_equal(last(), N_LONG);
}

/*
 * Where the index could not grow the log has the transaction already, although SQLite rolls
 * it back: after a crash it is there again. So nobody may be told that it is not.
 */
static void
test_index_is_final(void **state)
{
	struct rlimit old, few;
	char cmd[300];

	(void)state;
	queue_store_free(st);
	/* nothing can be reserved; one piece is what every database needs */
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	few = old;
	few.rlim_cur = 256 << 10;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &few), 0);
	open_in(dir);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	fail_writes("-shm", ENOSPC);
	add_many();
	assert_int_equal(queue_store_commit(st), -1);
	assert_false(queue_store_is_full(st));
	queue_store_rollback(st);
	assert_int_equal(last(), 0);
	snprintf(cmd, sizeof(cmd), "mkdir %s/after && cp %s/queue.db %s/queue.db-wal %s/after", dir,
	    dir, dir, dir);
	assert_int_equal(system(cmd), 0);
	fail_suffix = NULL;
	queue_store_free(st);
	snprintf(cmd, sizeof(cmd), "%s/after", dir);
	open_in(cmd);
	assert_int_equal(last(), N_LONG);
}

/* ---- room that is set aside ------------------------------------------------------------------ */

static off_t
size_of(const char *name)
{
	char path[100];
	struct stat file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(stat(path, &file), 0);
	assert_true(file.st_blocks * 512 >= file.st_size);
	return file.st_size;
}

/* In a transaction of its own; false: there was no room. */
static bool
commit_one(uint64_t id)
{
	assert_int_equal(queue_store_begin(st), 0);
	if (add(id, 300) == 0 && queue_store_commit(st) == 0)
		return true;
	assert_true(queue_store_is_full(st));
	queue_store_rollback(st);
	return false;
}

/*
 * The disk runs full when nothing was moved into the database yet. More than a thousand small
 * commits go on; then the log is moved, for which the database has room, and they go on again.
 */
static void
test_room(void **state)
{
	uint64_t id = 0, more;
	unsigned left;

	(void)state;
	assert_int_equal(queue_store_keep_room(st), STORE_ROOM_STANDS);
	assert_true(size_of("queue.db-wal") >= 16 << 20);
	assert_true(size_of("queue.db") >= 4 << 20);
	fail_writes(NULL, 0);
	disk_is_full = true;
	while (commit_one(id + 1))
		id++;
	assert_true(id > 1000);
	assert_int_equal(last(), id);
	assert_int_equal(queue_store_checkpoint(st, &left), 0);
	assert_int_equal(left, 0);
	assert_true(size_of("queue.db") >= 4 << 20);
	for (more = 0; more < 1000 && commit_one(id + 1); more++)
		id++;
	assert_int_equal(more, 1000);
	assert_int_equal(last(), id);
	disk_is_full = false;
	assert_int_equal(queue_store_keep_room(st), STORE_ROOM_STANDS);
	assert_true(size_of("queue.db") >= 4 << 20);
}

static void
test_room_ahead(void **state)
{
	(void)state;
	assert_int_equal(queue_store_keep_room(st), STORE_ROOM_STANDS);
	add_many();
	assert_int_equal(queue_store_commit(st), 0);
	assert_int_equal(queue_store_keep_room(st), STORE_ROOM_STANDS);
	assert_true(size_of("queue.db-wal") >= (N_LONG + 16) << 20);
	assert_true(size_of("queue.db") >= (N_LONG + 4) << 20);
	assert_int_equal(last(), N_LONG);
}

/* Most checkpoints are another connection's: they leave the room too. */
static void
test_room_beside(void **state)
{
	struct queue_store *other;
	unsigned left;
	bool damaged;
	char path[100];

	(void)state;
	snprintf(path, sizeof(path), "%s/queue.db", dir);
	other = queue_store_open(path, STORE_READ, &damaged, err, sizeof(err));
	assert_non_null(other);
	add_many();
	assert_int_equal(queue_store_commit(st), 0);
	assert_int_equal(queue_store_keep_room(st), STORE_ROOM_STANDS);
	assert_int_equal(queue_store_checkpoint(other, &left), 0);
	assert_int_equal(left, 0);
	assert_true(size_of("queue.db") >= (N_LONG + 4) << 20);
	assert_true(size_of("queue.db") < (N_LONG + 16) << 20);
	queue_store_free(other);
	assert_true(commit_one(N_LONG + 1));
	assert_int_equal(last(), N_LONG + 1);
}

static void
test_room_nowhere(void **state)
{
	struct rlimit old, few;

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	few = old;
	few.rlim_cur = 1 << 20;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &few), 0);
	assert_int_equal(queue_store_keep_room(st), STORE_ROOM_NONE);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(queue_store_keep_room(st), STORE_ROOM_NONE);
	assert_true(commit_one(1));
}

#ifdef SUBMITD_FAULTS
static void
test_room_short(void **state)
{
	(void)state;
	setenv("SUBMITD_FS_FAULT", "full:1:2", 1);
	fs_fault_init("test");
	assert_int_equal(queue_store_keep_room(st), STORE_ROOM_SHORT);
	assert_int_equal(queue_store_keep_room(st), STORE_ROOM_SHORT);
	assert_int_equal(queue_store_keep_room(st), STORE_ROOM_STANDS);
	unsetenv("SUBMITD_FS_FAULT");
	fs_fault_init("test");
}
#endif

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_errors),
	    TEST(test_checkpoint),
	    TEST(test_index_reserved),
	    TEST(test_index_is_final),
	    TEST(test_room),
	    TEST(test_room_ahead),
	    TEST(test_room_beside),
	    TEST(test_room_nowhere),
#ifdef SUBMITD_FAULTS
	    TEST(test_room_short),
#endif
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
