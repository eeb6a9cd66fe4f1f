/* SPDX-License-Identifier: ISC */
/* The counts of the brake (A7) in their file: restarts, wrong clocks, damage, a full disk. */
#include "ledger/guard_store.h"
#include "guard_test.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/submitd-test-XXXXXX";

static struct guard_store *
open_store(bool want_damaged)
{
	char err[400] = "";
	bool damaged;
	struct guard_store *s = guard_store_open(dir, &damaged, err, sizeof(err));

	if (s == NULL)
		print_error("%s\n", err);
	assert_non_null(s);
	assert_int_equal(damaged, want_damaged);
	return s;
}

/* What a restart is to the counts. */
static void
restart(struct guard_store **s)
{
	guard_store_close(*s);
	guard_free(g);
	*s = open_store(false);
	g = guard_new(&options, guard_store_secret(*s));
	guard_on_lock(g, on_lock);
	assert_int_equal(guard_store_load(*s, g, now), 0);
}

static void
test_store(void **state)
{
	struct guard_store *s;
	struct stat st;
	char path[100];

	(void)state;
	assert_non_null(mkdtemp(dir));
	s = open_store(false);
	guard_free(g);
	g = guard_new(&options, guard_store_secret(s));
	fail_times("192.0.2.1", "a@x", 5);
	fail_times("192.0.2.2", "a@x", 3);
	(void)try("203.0.113.5", "ann@x", 1, GUARD_SUCCESS);
	(void)try("203.0.113.6", "tmp@x", 1, GUARD_FAILURE);
	assert_int_equal(guard_store_flush(s, g), 0);
	assert_false(guard_is_dirty(g));
	assert_int_equal(guard_forget(g, now, "203.0.113.6", span_of("")), 1);
	assert_int_equal(guard_store_flush(s, g), 0);
	(void)str_printf(path, sizeof(path), "%s/%s", dir, GUARD_STORE_FILE);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	restart(&s);
	assert_false(guard_is_dirty(g));
	assert_verdict("192.0.2.1", "b@x", GUARD_LOCKED);
	fail_times("192.0.2.2", "a@x", 2); /* three and two */
	assert_verdict("192.0.2.2", "b@x", GUARD_LOCKED);
	assert_int_equal(guard_stats(g)->rows[GUARD_PAIR], 1);
	assert_int_equal(guard_stats(g)->rows[GUARD_ADDRESS], 2);
	/* not written: lost, and nothing worse */
	(void)try("198.51.100.1", "a@x", 0, GUARD_FAILURE);
	restart(&s);
	assert_int_equal(guard_stats(g)->rows[GUARD_ADDRESS], 2);
	/* a clock that was years ahead once locks nobody out for years */
	now -= 1000 * DAY;
	restart(&s);
	assert_verdict("192.0.2.1", "b@x", GUARD_LOCKED);
	now += HOUR;
	assert_verdict("192.0.2.1", "b@x", GUARD_GO);
	guard_store_close(s);
}

/* Whatever stands in the file: no time of the future, no overflow. */
static void
test_store_hostile(void **state)
{
	static const int64_t times[] = {INT64_MIN, -1, 0, INT64_MAX};
	struct guard_query q = query("192.0.2.1", "a@x", 1);
	struct guard_saved s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		guard_free(g);
		(void)set_up(NULL);
		for (unsigned k = 0; k <= GUARD_KIND__MAX; k++) {
			s = (struct guard_saved){.since_ms = times[i],
			    .last_ms = times[i],
			    .until_ms = times[i],
			    .known_ms = times[i],
			    .n_w = 2,
			    .w = {{10 * MIN, times[i], UINT32_MAX, UINT32_MAX},
				{DAY, times[i], UINT32_MAX, UINT32_MAX}}};
			if (k < GUARD_KIND__MAX)
				s.key = q.key[k];
			else
				s.key.kind = 200;
			guard_load(g, now, &s);
			guard_load(g, now, &s); /* twice the same */
		}
		assert_int_equal(guard_stats(g)->rows[GUARD_ADDRESS], 1);
		(void)try("192.0.2.1", "a@x", 0, GUARD_FAILURE);
		now += 62 * DAY;
		guard_tick(g, now);
		assert_verdict("192.0.2.1", "a@x", GUARD_GO);
	}
}

/* The disk is full: what is counted stays in force, and is written when there is room. */
static void
test_store_full(void **state)
{
	struct rlimit r, full;
	struct guard_store *s = open_store(false);
	unsigned i;
	char user[32];

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
	full = r;
	full.rlim_cur = 8192;
	(void)signal(SIGXFSZ, SIG_IGN);
	for (i = 0; i < 500; i++) {
		(void)str_printf(user, sizeof(user), "user%u@x", i);
		(void)try("203.0.113.7", user, 3, GUARD_SUCCESS);
	}
	fail_times("192.0.2.77", "a@x", 5);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
	assert_int_equal(guard_store_flush(s, g), -1);
	assert_true(guard_is_dirty(g));
	assert_verdict("192.0.2.77", "b@x", GUARD_LOCKED);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
	assert_int_equal(guard_store_flush(s, g), 0);
	restart(&s);
	assert_verdict("192.0.2.77", "b@x", GUARD_LOCKED);
	assert_true(guard_stats(g)->rows[GUARD_PAIR] >= 500);
	guard_store_close(s);
}

static void
test_store_damaged(void **state)
{
	static const char *const kinds[] = {
	    "rubbish, and more of it, longer than a header is, "
	    "so that it is read as a database at all: no, it is not",
	    ""};
	char path[100], other[120];
	struct guard_store *s;
	FILE *f;

	(void)state;
	(void)str_printf(path, sizeof(path), "%s/%s", dir, GUARD_STORE_FILE);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		f = fopen(path, "w");
		assert_non_null(f);
		fputs(kinds[i], f);
		fclose(f);
		s = open_store(kinds[i][0] != '\0');
		assert_int_equal(guard_store_load(s, g, now), 0);
		guard_store_close(s);
		(void)unlink(path);
	}
	(void)str_printf(other, sizeof(other), "%s.damaged", path);
	assert_int_equal(unlink(other), 0);
}

/* A file that can be opened, and is rubbish further on: what was read of it is not lost. */
static void
test_store_rotten(void **state)
{
	char path[100], other[120], user[32];
	uint8_t page[4096];
	struct guard_store *s = open_store(false);
	struct stat st;
	size_t n;
	FILE *f;

	(void)state;
	guard_free(g);
	g = guard_new(&options, guard_store_secret(s));
	for (unsigned i = 0; i < 500; i++) {
		(void)str_printf(user, sizeof(user), "user%u@x", i);
		(void)try("203.0.113.7", user, 3, GUARD_SUCCESS);
	}
	assert_int_equal(guard_store_flush(s, g), 0);
	restart(&s); /* all is in the file itself now */
	assert_int_equal(guard_stats(g)->rows[GUARD_HOME], 500);
	guard_store_close(s);
	(void)str_printf(path, sizeof(path), "%s/%s", dir, GUARD_STORE_FILE);
	f = fopen(path, "r+");
	assert_non_null(f);
	assert_int_equal(stat(path, &st), 0);
	memset(page, 0xa5, sizeof(page));
	(void)fseek(f, 5L * 4096, SEEK_SET); /* behind the roots of the tables */
	for (n = 5; n < (size_t)st.st_size / 4096; n += 2) {
		assert_int_equal(fwrite(page, sizeof(page), 1, f), 1);
		(void)fseek(f, 4096, SEEK_CUR);
	}
	assert_true(n > 10);
	fclose(f);

	s = open_store(false);
	fail_times("192.0.2.77", "a@x", 5);
	guard_free(g);
	g = guard_new(&options, guard_store_secret(s));
	fail_times("192.0.2.77", "a@x", 5);
	assert_int_equal(guard_store_load(s, g, now), -1);
	assert_true(guard_store_is_damaged(s));
	n = guard_stats(g)->rows[GUARD_HOME];
	assert_in_range(n, 0, 499);
	/* no room for a new one: nothing of what is in memory is taken for written */
	(void)str_printf(other, sizeof(other), "%s.damaged", path);
	assert_int_equal(mkdir(other, 0700), 0);
	assert_int_equal(guard_store_renew(s, g), -1);
	assert_int_equal(guard_store_flush(s, g), -1);
	assert_int_equal(rmdir(other), 0);
	assert_int_equal(guard_store_renew(s, g), 0);
	assert_false(guard_is_dirty(g));
	assert_int_equal(unlink(other), 0);
	restart(&s);
	assert_verdict("192.0.2.77", "b@x", GUARD_LOCKED);
	assert_int_equal(guard_stats(g)->rows[GUARD_HOME], n);
	guard_store_close(s);
	assert_int_equal(unlink(path), 0);
	(void)rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_store),
	    T(test_store_hostile),
	    T(test_store_full),
	    T(test_store_damaged),
	    T(test_store_rotten),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("guard_store", tests, NULL, NULL);
}
