/* SPDX-License-Identifier: ISC */
/*
 * The audit file (A1, A3): numbers, batches, a torn end, rotation, a full disk and
 * the gap that is told; and that no text of a client leaves its place in a record.
 */
#include "ledger/audit_file.h"
#include "ledger/audit_record.h"

#include "base/fs.h"
#include "base/list.h"
#include "base/str.h"

#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define NOW INT64_C(1795360000123)

static char dir[] = "/tmp/submitd-test-XXXXXX";
static char path[64], path2[64];

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

static void
test_numbers(void **state)
{
	struct audit_file a;
	struct stat st;
	FILE *f;

	(void)state;
	audit_file_init(&a, path);
	assert_int_equal(audit_file_open(&a, (uid_t)-1, (gid_t)-1, NOW), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	audit_file_add(&a, NOW, "auth", span_of(",\"sid\":\"1\""));
	audit_file_add(&a, -5, "auth", span_of(""));
	audit_file_add(&a, INT64_MAX, "accept", span_of(""));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 0); /* written together */
	assert_int_equal(audit_file_flush(&a, NOW), 0);
	assert_int_equal(a.written, 3);
	audit_file_close(&a);
	expect(path, 0, 1, "auth");
	expect(path, 1, 2, "auth");
	expect(path, 2, 3, "accept");
	json_t *j = line_of(path, 0);
	assert_string_equal(
	    json_string_value(json_object_get(j, "time")), "2026-11-22T15:06:40.123Z");
	json_decref(j);

	/* goes on counting; a torn line is ended and told */
	f = fopen(path, "a");
	assert_non_null(f);
	fputs("{\"seq\":4,\"time\":\"2026-1", f);
	fclose(f);
	audit_file_init(&a, path);
	assert_int_equal(audit_file_open(&a, (uid_t)-1, (gid_t)-1, NOW), 0);
	audit_file_add(&a, NOW, "auth", span_of(""));
	assert_int_equal(audit_file_flush(&a, NOW), 0);
	audit_file_close(&a);
	expect(path, 4, 5, "repair");
	expect(path, 5, 6, "auth");
	assert_null(line_of(path, 6));
	unlink(path);
}

static void
test_rotation(void **state)
{
	struct audit_file a;

	(void)state;
	audit_file_init(&a, path);
	assert_int_equal(audit_file_open(&a, (uid_t)-1, (gid_t)-1, NOW), 0);
	audit_file_add(&a, NOW, "auth", span_of(""));
	assert_int_equal(audit_file_flush(&a, NOW), 0);
	assert_false(audit_file_moved(&a));
	assert_int_equal(rename(path, path2), 0);
	assert_true(audit_file_moved(&a));
	audit_file_add(&a, NOW, "auth", span_of(""));
	assert_int_equal(audit_file_switch(&a, path, NOW), 0);
	assert_false(audit_file_moved(&a));
	audit_file_add(&a, NOW, "auth", span_of(""));
	assert_int_equal(audit_file_flush(&a, NOW), 0);
	audit_file_close(&a);
	expect(path2, 1, 2, "auth"); /* what had its number went to the old one */
	expect(path, 0, 1, "auth");
	unlink(path);
	unlink(path2);
}

static void
test_refused_files(void **state)
{
	struct audit_file a;

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	audit_file_init(&a, path);
	assert_int_equal(audit_file_open(&a, (uid_t)-1, (gid_t)-1, NOW), -1);
	unlink(path);
	assert_int_equal(symlink(path2, path), 0);
	assert_int_equal(audit_file_open(&a, (uid_t)-1, (gid_t)-1, NOW), -1);
	unlink(path);
	assert_int_equal(audit_file_switch(&a, dir, NOW), -1);
	audit_file_close(&a);
	/* without a path nothing is kept */
	audit_file_init(&a, NULL);
	audit_file_add(&a, NOW, "auth", span_of(""));
	assert_int_equal(buf_len(&a.out), 0);
	audit_file_close(&a);
}

/* A disk that is full: bounded memory, a count, a gap record, and everything else in its order. */
static void
test_full(void **state)
{
	struct audit_file a;
	char *big = xmalloc(100001);
	int full, keep;
	size_t i;
	json_t *j;

	(void)state;
	memset(big, 'x', 100000);
	big[100000] = '\0';
	memcpy(big, ",\"x\":\"", 6);
	big[99999] = '"';
	audit_file_init(&a, path);
	assert_int_equal(audit_file_open(&a, (uid_t)-1, (gid_t)-1, NOW), 0);
	full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	if (full == -1) {
		audit_file_close(&a);
		free(big);
		skip();
	}
	keep = a.fd;
	a.fd = full;
	for (i = 0; i < 100; i++) {
		audit_file_add(&a, NOW, "auth", span_of(big));
		assert_int_equal(audit_file_flush(&a, NOW), -1);
		assert_true(a.failing);
	}
	assert_in_range(buf_len(&a.out), 1, AUDIT_PENDING_MAX);
	assert_int_equal(a.out_records + a.dropped, 100);
	assert_true(a.dropped > 0);
	audit_file_add(&a, NOW, "auth", span_of("")); /* would fit, but stands behind the gap */
	a.fd = keep;
	close(full);
	assert_int_equal(audit_file_flush(&a, NOW), 0);
	assert_false(a.failing);
	audit_file_add(&a, NOW, "auth", span_of(""));
	assert_int_equal(audit_file_flush(&a, NOW), 0);
	i = (size_t)a.written - 2;
	expect(path, i - 1, i, "auth");
	expect(path, i, i + 1, "gap");
	expect(path, i + 1, i + 2, "auth");
	j = line_of(path, i);
	assert_int_equal(json_integer_value(json_object_get(j, "lost")), a.dropped);
	assert_int_equal(a.dropped + i, 101);
	json_decref(j);
	audit_file_close(&a);
	unlink(path);
	free(big);
}

/* ---- records --------------------------------------------------------------------------------- */

static json_t *
parse(struct buf *b)
{
	struct buf line = BUF_INIT;
	json_t *j;

	buf_add_str(&line, "{\"seq\":1");
	buf_add_span(&line, buf_span(b));
	buf_add_byte(&line, '}');
	assert_null(memchr(buf_data(&line), '\n', buf_len(&line)));
	j = json_loadb((const char *)buf_data(&line), buf_len(&line), JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(j);
	buf_clear(&line);
	buf_clear(b);
	return j;
}

static void
test_records(void **state)
{
	/* would end the text, the line and the record */
	static const char evil[] = "x\",\"verdict\":\"ok\"}\n{\"seq\":9}\xff\x01\\";
	struct ipc_audit_auth m = {.sid = 0x9f3c01,
	    .client = {4, {192, 0, 2, 1}, 4711},
	    .listener = span_of(evil),
	    .helo = span_of(evil),
	    .name_known = 1,
	    .login = span_of(evil),
	    .reason = span_of(evil),
	    .ms = 12,
	    .verdict = 3};
	struct ipc_audit_accept acc = {.sender = span_of(""), .n_rcpts = 2, .size = 99};
	struct ipc_audit_note note = {.kind = span_of("reload"), .json = span_of("{\"a\":1}")};
	struct buf b = BUF_INIT;
	json_t *j;

	(void)state;
	audit_record_auth(&b, &m);
	j = parse(&b);
	assert_string_equal(json_string_value(json_object_get(j, "sid")), "00000000009f3c01");
	assert_string_equal(json_string_value(json_object_get(j, "client")), "192.0.2.1:4711");
	assert_string_equal(json_string_value(json_object_get(j, "verdict")), "perm");
	assert_memory_equal(json_string_value(json_object_get(j, "login")), evil, 15);
	assert_null(json_object_get(j, "login_hash"));
	json_decref(j);

	/* A1: a name that nobody knows */
	m.name_known = 0;
	m.login = span_of("7:0123456789abcdef");
	m.verdict = 200;
	audit_record_auth(&b, &m);
	j = parse(&b);
	assert_null(json_object_get(j, "login"));
	assert_int_equal(json_integer_value(json_object_get(j, "login_length")), 7);
	assert_string_equal(
	    json_string_value(json_object_get(j, "login_hash")), "0123456789abcdef");
	assert_string_equal(json_string_value(json_object_get(j, "verdict")), "temp");
	json_decref(j);

	assert_int_equal(audit_record_accept(&b, &acc), -1);
	acc.mid = (struct span){"0123456789abcdef", 16};
	assert_int_equal(audit_record_accept(&b, &acc), 0);
	j = parse(&b);
	assert_string_equal(
	    json_string_value(json_object_get(j, "mid")), "30313233-3435-3637-3839-616263646566");
	assert_string_equal(json_string_value(json_object_get(j, "from")), "");
	assert_int_equal(json_integer_value(json_object_get(j, "rcpts")), 2);
	json_decref(j);

	audit_record_note(&b, &note);
	j = parse(&b);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "data"), "a")), 1);
	json_decref(j);
	note.json = span_of("{\"a\":1},\"kind\":\"x\"");
	audit_record_note(&b, &note);
	j = parse(&b);
	assert_true(json_is_string(json_object_get(j, "data")));
	json_decref(j);
	buf_clear(&b);
}

static int
setup(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)str_printf(path2, sizeof(path2), "%s/audit.1", dir);
	return str_printf(path, sizeof(path), "%s/audit", dir);
}

static int
teardown(void **state)
{
	(void)state;
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_rotation),
	    cmocka_unit_test(test_refused_files),
	    cmocka_unit_test(test_full),
	    cmocka_unit_test(test_records),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
