/* SPDX-License-Identifier: ISC */
/*
 * The audit file (A1, A3, A4): numbers, hashes, a torn end, rotation, a full disk, who
 * sent what.
 */
#include "audit_file_test.h"

#include "ledger/audit_file.h"
#include "ledger/audit_senders.h"

#include "audit/audit_verify.h"

#include "base/fs.h"
#include "base/list.h"
#include "base/str.h"

#include <fcntl.h>
#include <jansson.h>
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

/* Line n (from 0) of the file as JSON; NULL: there is none. */
static json_t *
line_of(const char *file, size_t n)
{
	struct buf b = BUF_INIT;
	struct span rest, line = {NULL, 0};
	json_t *j = NULL;
	size_t i;

	assert_int_equal(fs_read_file(file, 1u << 24, &b), 0);
	rest = buf_span(&b);
	for (i = 0; i <= n && rest.p != NULL && rest.n > 0; i++)
		line = span_cut(&rest, '\n');
	if (i == n + 1 && line.n > 0) {
		j = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, NULL);
		if (j == NULL)
			j = json_null();
	}
	buf_clear(&b);
	return j;
}

static void
expect(const char *file, size_t n, uint64_t seq, const char *kind)
{
	json_t *j = line_of(file, n);

	assert_non_null(j);
	assert_int_equal(json_integer_value(json_object_get(j, "seq")), seq);
	assert_string_equal(json_string_value(json_object_get(j, "kind")), kind);
	json_decref(j);
}

static const struct audit_file_options chained = {
    .owner = (uid_t)-1, .group = (gid_t)-1, .chain = true};

static void
open_it(struct audit_file *a, const struct audit_file_options *o)
{
	audit_file_init(a, path);
	assert_int_equal(audit_file_open(a, o, NOW), 0);
}

static void
close_it(struct audit_file *a)
{
	assert_int_equal(audit_file_flush(a, NOW), 0);
	audit_file_close(a);
}

static bool quiet;

static void
nothing(void *arg, const struct audit_finding *f)
{
	(void)arg;
	if (f->kind == AUDIT_PROBLEM && !quiet)
		print_error("%s:%u: %s\n", f->file, (unsigned)f->line, f->text);
}

/* Problems that the verifier finds in the files, oldest first. */
static uint64_t
problems(const char *one, const char *two)
{
	const char *const files[] = {one, two};
	struct audit_verify *v = audit_verify_new(NULL, nothing, NULL);
	struct audit_summary sum;

	for (size_t i = 0; i < 2 && files[i] != NULL; i++) {
		struct buf b = BUF_INIT;
		struct span rest, line;

		assert_int_equal(fs_read_file(files[i], 1u << 24, &b), 0);
		audit_verify_file(v, files[i]);
		rest = buf_span(&b);
		while (rest.p != NULL && rest.n > 0) {
			line = span_cut(&rest, '\n');
			audit_verify_line(v, line, rest.p != NULL);
		}
		buf_clear(&b);
	}
	audit_verify_end(v, &sum);
	audit_verify_free(v);
	return sum.problems;
}

static void
test_numbers(void **state)
{
	struct audit_file a;
	struct stat st;
	FILE *f;

	(void)state;
	open_it(&a, &chained);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	audit_file_add(&a, NOW, "auth", span_of(",\"sid\":\"1\""));
	audit_file_add(&a, -5, "auth", span_of(""));
	audit_file_add(&a, INT64_MAX, "accept", span_of(""));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 0); /* written together */
	assert_int_equal(audit_file_flush(&a, NOW), 0);
	assert_int_equal(a.written, 4);
	audit_file_close(&a);
	expect(path, 0, 1, "begin");
	expect(path, 1, 2, "auth");
	expect(path, 2, 3, "auth");
	expect(path, 3, 4, "accept");
	json_t *j = line_of(path, 1);
	assert_string_equal(
	    json_string_value(json_object_get(j, "time")), "2026-11-22T15:06:40.123Z");
	json_decref(j);

	/* goes on counting; a torn line is ended and told */
	f = fopen(path, "a");
	assert_non_null(f);
	fputs("{\"seq\":5,\"time\":\"2026-1", f);
	fclose(f);
	open_it(&a, &chained);
	audit_file_add(&a, NOW, "auth", span_of(""));
	close_it(&a);
	expect(path, 5, 5, "repair");
	expect(path, 6, 6, "auth");
	assert_null(line_of(path, 7));
	assert_int_equal(problems(path, NULL), 0);
	unlink(path);
}

/* A kill can leave the LF of the torn line, or the torn line twice. */
static void
test_torn_twice(void **state)
{
	static const char *const ends[] = {"\n", "x\n", "{\"seq\":\n{\"se", "\n\n\n", "x\ny\nz"};
	struct audit_file a;
	FILE *f;

	(void)state;
	open_it(&a, &chained);
	close_it(&a);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		f = fopen(path, "a");
		assert_non_null(f);
		fputs(ends[i], f);
		fclose(f);
		open_it(&a, &chained);
		audit_file_add(&a, NOW, "auth", span_of(""));
		close_it(&a);
		assert_int_equal(problems(path, NULL), 0);
	}
	unlink(path);
}

/* A crash cuts anywhere: what is left verifies after the next start, and goes on. */
static void
test_cut_anywhere(void **state)
{
	struct audit_file a;
	struct buf b = BUF_INIT;
	FILE *f;

	(void)state;
	open_it(&a, &chained);
	audit_file_add(&a, NOW, "auth", span_of(",\"sid\":\"1\""));
	audit_file_add(&a, NOW, "config", span_of(",\"data\":{\"by\":{\"x\":\"y\"}}"));
	close_it(&a);
	assert_int_equal(fs_read_file(path, 1u << 20, &b), 0);
	for (size_t n = 0; n <= buf_len(&b); n++) {
		f = fopen(path, "w");
		assert_non_null(f);
		assert_int_equal(fwrite(buf_data(&b), 1, n, f), n);
		fclose(f);
		open_it(&a, &chained);
		audit_file_add(&a, NOW, "auth", span_of(""));
		close_it(&a);
		if (problems(path, NULL) != 0)
			fail_msg("cut behind octet %zu", n);
	}
	buf_clear(&b);
	unlink(path);
}

static void
write_file(const char *file, const struct buf *b, size_t n)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(buf_data(b), 1, n, f), n);
	fclose(f);
}

/* The octet there is the end of a record's line: with it or without, it is the same record. */
static bool
lf_only(const struct buf *b, size_t n)
{
	return buf_data(b)[n] == '\n';
}

/*
 * The same file is renamed before the next start: the first record of the next one tells of
 * the torn line; also when a crash tears that one's own first line.
 */
static void
test_cut_and_rotated(void **state)
{
	struct audit_file a;
	struct buf b = BUF_INIT, second = BUF_INIT;
	char old[80];

	(void)state;
	(void)str_printf(old, sizeof(old), "%s.1", path);
	open_it(&a, &chained);
	audit_file_add(&a, NOW, "config", span_of(",\"data\":{\"by\":{\"x\":\"y\"}}"));
	close_it(&a);
	assert_int_equal(fs_read_file(path, 1u << 20, &b), 0);
	for (size_t n = 0; n <= buf_len(&b); n++) {
		unlink(path);
		write_file(old, &b, n);
		open_it(&a, &chained);
		audit_file_add(&a, NOW, "auth", span_of(""));
		close_it(&a);
		if (problems(old, path) != 0)
			fail_msg("cut behind octet %zu, then renamed", n);
		buf_clear(&second);
		assert_int_equal(fs_read_file(path, 1u << 20, &second), 0);
		for (size_t m = 1; m < buf_len(&second); m += n == buf_len(&b) / 2 ? 1 : 97) {
			write_file(path, &second, m);
			open_it(&a, &chained);
			close_it(&a);
			if (problems(old, path) != 0)
				fail_msg("cut behind octet %zu, renamed, behind %zu", n, m);
		}
	}
	/* what is cut afterwards, changed or put there is found */
	for (size_t n = 1; n < buf_len(&b); n++) {
		unlink(path);
		write_file(old, &b, n);
		open_it(&a, &chained);
		audit_file_add(&a, NOW, "auth", span_of(""));
		close_it(&a);
		quiet = true;
		write_file(old, &b, n - 1);
		if (n != buf_len(&b) && problems(old, path) == 0 && !lf_only(&b, n - 1))
			fail_msg("cut behind octet %zu, then behind %zu: not found", n, n - 1);
		write_file(old, &b, n + 1);
		if (problems(old, path) == 0 && !lf_only(&b, n))
			fail_msg("cut behind octet %zu, then made whole: not found", n);
		quiet = false;
	}
	buf_clear(&second);
	buf_clear(&b);
	unlink(old);
	unlink(path);
}

/* Renamed while nobody wrote: the chain goes on, and the senders' numbers are known. */
static void
test_rotated_meanwhile(void **state)
{
	static const char *const tails[] = {".1", "-20261125"};
	char old[80];
	struct audit_file a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		open_it(&a, &chained);
		audit_file_add(&a, NOW, "auth", span_of(""));
		close_it(&a);
		(void)str_printf(old, sizeof(old), "%s%s", path, tails[i]);
		assert_int_equal(rename(path, old), 0);
		open_it(&a, &chained);
		close_it(&a);
		expect(path, 0, 3, "begin");
		json_t *j = line_of(path, 0);
		assert_string_equal(json_string_value(json_object_get(j, "prev_file")), old);
		json_decref(j);
		assert_int_equal(problems(old, path), 0);
		unlink(old);
		unlink(path);
	}
}

static void
test_rotation(void **state)
{
	struct audit_file_options o = chained;
	struct audit_file a;
	bool unknown;
	int fd;

	(void)state;
	open_it(&a, &chained);
	audit_file_add(&a, NOW, "auth", span_of(""));
	assert_int_equal(audit_file_flush(&a, NOW), 0);
	assert_false(audit_file_moved(&a, &unknown));
	assert_int_equal(rename(path, path2), 0);
	assert_true(audit_file_moved(&a, &unknown));
	audit_file_add(&a, NOW, "auth", span_of(""));
	assert_int_equal(audit_file_flush(&a, NOW), 0);
	fd = open(path2, O_WRONLY | O_APPEND);
	assert_true(audit_file_is(&a, fd));
	assert_int_equal(audit_file_rotate(&a, fd, NOW, span_of("")), -1); /* the same */
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
	assert_false(audit_file_is(&a, fd));
	assert_int_equal(audit_file_rotate(&a, fd, NOW, span_of(",\"last\":\"\"")), 0);
	assert_false(audit_file_moved(&a, &unknown));
	audit_file_add(&a, NOW, "auth", span_of(""));
	close_it(&a);
	expect(path2, 2, 3, "auth");
	expect(path, 0, 4, "begin");
	expect(path, 1, 5, "auth");
	assert_int_equal(problems(path2, path), 0);
	assert_int_equal(problems(path, NULL), 0);
	unlink(path2);

	/* a start with another file goes on with the chain of the one before */
	assert_int_equal(rename(path, path2), 0);
	o.before = path2;
	open_it(&a, &o);
	close_it(&a);
	expect(path, 0, 6, "begin");
	assert_int_equal(problems(path2, path), 0);
	unlink(path);
	unlink(path2);
}

/* A file from before there were hashes, and one that is to have none. */
static void
test_unchained(void **state)
{
	struct audit_file_options plain = chained;
	struct audit_file a;

	(void)state;
	plain.chain = false;
	open_it(&a, &plain);
	audit_file_add(&a, NOW, "auth", span_of(""));
	close_it(&a);
	json_t *j = line_of(path, 1);
	assert_null(json_object_get(j, "hash"));
	json_decref(j);
	open_it(&a, &chained);
	audit_file_add(&a, NOW, "auth", span_of(""));
	close_it(&a);
	expect(path, 2, 3, "begin");
	expect(path, 3, 4, "auth");
	assert_int_equal(problems(path, NULL), 3); /* two without hash; one behind them */
	unlink(path);
}

static void
test_refused_files(void **state)
{
	struct audit_file a;

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	audit_file_init(&a, path);
	assert_int_equal(audit_file_open(&a, &chained, NOW), -1);
	unlink(path);
	assert_int_equal(symlink(path2, path), 0);
	assert_int_equal(audit_file_open(&a, &chained, NOW), -1);
	unlink(path);
	audit_file_close(&a);
	/* somebody else's file under another name is not given away */
	if (geteuid() == 0) {
		struct audit_file_options o = chained;
		struct stat st;

		o.owner = 12345;
		o.group = 12345;
		close(open(path2, O_WRONLY | O_CREAT, 0600));
		assert_int_equal(link(path2, path), 0);
		audit_file_init(&a, path);
		assert_int_equal(audit_file_open(&a, &o, NOW), -1);
		assert_int_equal(stat(path2, &st), 0);
		assert_int_equal(st.st_uid, 0);
		unlink(path);
		unlink(path2);
		audit_file_close(&a);
	}
	/* without a path nothing is kept */
	audit_file_init(&a, NULL);
	audit_file_add(&a, NOW, "auth", span_of(""));
	assert_int_equal(buf_len(&a.out), 0);
	audit_file_close(&a);
}

/* A disk that is full: nothing is dropped, no line is half, and all comes when there is room. */
static void
test_full(void **state)
{
	struct rlimit had, small;
	struct audit_file a;
	struct stat st;
	char big[1000];

	(void)state;
	memset(big, 'x', sizeof(big));
	memcpy(big, ",\"x\":\"", 6);
	memcpy(big + sizeof(big) - 2, "\"", 2);
	open_it(&a, &chained);
	assert_int_equal(audit_file_flush(&a, NOW), 0);
	for (int i = 0; i < 100; i++)
		audit_file_add(&a, NOW, "auth", span_of(big));
	/* a short write, then an error: as at a full disk */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &had), 0);
	small = had;
	small.rlim_cur = 50000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(audit_file_flush(&a, NOW), -1);
	assert_true(a.failing);
	assert_int_equal(audit_file_flush(&a, NOW), -1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &had), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_in_range(st.st_size, 40000, 50000);
	assert_int_equal(problems(path, NULL), 0);
	assert_int_equal(audit_file_flush(&a, NOW), 0);
	assert_false(a.failing);
	assert_int_equal(a.written, 101);
	close_it(&a);
	expect(path, 100, 101, "auth");
	assert_int_equal(problems(path, NULL), 0);
	unlink(path);
}

/* The numbers of the senders come back from the end of the file, also from its first record. */
static void
on_line(void *arg, const struct audit_line *l)
{
	(void)arg;
	audit_senders_recover(l);
}

static void
test_senders(void **state)
{
	struct audit_file_options o = chained;
	struct audit_file a;
	struct buf m = BUF_INIT;
	uint64_t skip, missing;

	(void)state;
	audit_senders_reset();
	open_it(&a, &chained);
	audit_sender_members(&m, audit_senders_get(ROLE_QUEUE, 0xabc), 7);
	audit_file_add(&a, NOW, "accept", buf_span(&m));
	close_it(&a);
	o.line = on_line;
	open_it(&a, &o);
	audit_file_close(&a);
	struct audit_sender *s = audit_senders_get(ROLE_QUEUE, 0xabc);
	assert_int_equal(s->last, 7);
	/* another role is another sender */
	assert_int_equal(audit_senders_get(ROLE_FRONT, 0xabc)->last, 0);
	audit_sender_take(s, 6, 9, &skip, &missing);
	assert_int_equal(skip, 2);
	assert_int_equal(missing, 0);
	audit_sender_take(s, 12, 12, &skip, &missing);
	assert_int_equal(skip, 0);
	assert_int_equal(missing, 2);
	/* the first record of a rotated file has them */
	unlink(path);
	buf_reset(&m);
	audit_senders_members(&m);
	audit_senders_reset();
	audit_file_init(&a, path);
	assert_int_equal(audit_file_open(&a, &chained, NOW), 0);
	a.fd = -1;
	int fd = open(path, O_WRONLY | O_APPEND);
	buf_reset(&a.out);
	a.ino = 0;
	assert_int_equal(audit_file_rotate(&a, fd, NOW, buf_span(&m)), 0);
	close_it(&a);
	open_it(&a, &o);
	audit_file_close(&a);
	assert_int_equal(audit_senders_get(ROLE_QUEUE, 0xabc)->last, 12);
	/* more than there is room for: the oldest goes */
	for (uint64_t i = 1; i <= AUDIT_SENDERS + 10; i++)
		audit_senders_get(ROLE_AUTH, i)->last = i;
	assert_int_equal(audit_senders_get(ROLE_QUEUE, 0xabc)->last, 0);
	buf_clear(&m);
	unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_torn_twice),
	    cmocka_unit_test(test_cut_anywhere),
	    cmocka_unit_test(test_cut_and_rotated),
	    cmocka_unit_test(test_rotated_meanwhile),
	    cmocka_unit_test(test_rotation),
	    cmocka_unit_test(test_unchained),
	    cmocka_unit_test(test_senders),
	    cmocka_unit_test(test_refused_files),
	    cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, audit_dir_setup, audit_dir_teardown);
}
