/* SPDX-License-Identifier: ISC */
/*
 * Verification of the audit record (A4): every kind of tampering that can be found is
 * found and named, what stands is let stand, and keys and signatures hold.
 */
#include "audit/audit_verify.h"

#include "audit_record_test.h"

#include "base/fs.h"
#include "base/list.h"
#include "base/str.h"

#include <inttypes.h>
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

#define LINES 12

static struct audit_key *key, *pub, *other;

/* begin, records, a checkpoint at the end: LINES lines. */
static void
make(struct chain *c)
{
	memset(c, 0, sizeof(*c));
	add_begin(c);
	while (c->seq < LINES - 1)
		add(c, "auth", ",\"login\":\"a\"");
	add_checkpoint(c, key);
}

/* ---- the verifier over a text ---------------------------------------------------------------- */

static char first[400]; /* the first problem: "line/seq: text" */
static unsigned notes;

static void
found(void *arg, const struct audit_finding *f)
{
	(void)arg;
	notes += f->kind == AUDIT_NOTE;
	if (f->kind == AUDIT_PROBLEM && first[0] == '\0')
		(void)snprintf(first, sizeof(first), "%s%" PRIu64 "/%" PRIu64 ": %s", f->file,
		    f->line, f->seq, f->text);
}

static struct audit_summary sum;

static uint64_t
verify(struct span one, struct span two, const char *const *outside, size_t n)
{
	struct audit_verify *v = audit_verify_new(pub, found, NULL);
	struct span files[] = {one, two};
	char err[200];

	first[0] = '\0';
	notes = 0;
	for (size_t i = 0; i < n; i++)
		assert_int_equal(
		    audit_verify_checkpoint(v, span_of(outside[i]), err, sizeof(err)), 0);
	for (size_t i = 0; i < 2 && files[i].p != NULL; i++) {
		struct span rest = files[i];

		audit_verify_file(v, i == 0 ? "" : "second ");
		while (rest.p != NULL && rest.n > 0) {
			struct span line = span_cut(&rest, '\n');

			audit_verify_line(v, line, rest.p != NULL);
		}
	}
	audit_verify_end(v, &sum);
	audit_verify_free(v);
	return sum.problems;
}

static const struct span none = {NULL, 0};

/* Line i of the text, with its LF. */
static struct span
line(const struct chain *c, size_t i)
{
	struct span rest = buf_span(&c->text), l = none;

	for (size_t k = 0; k <= i; k++) {
		l = span_cut(&rest, '\n');
		l.n++;
	}
	return l;
}

/* The lines in that order; ends with -1. */
static uint64_t
verify_order(const struct chain *c, const int *order)
{
	struct buf b = BUF_INIT;
	uint64_t n;

	for (; *order != -1; order++)
		buf_add_span(&b, line(c, (size_t)*order));
	n = verify(buf_span(&b), none, NULL, 0);
	buf_clear(&b);
	return n;
}

static void
test_good(void **state)
{
	struct chain c;

	(void)state;
	make(&c);
	assert_int_equal(verify(buf_span(&c.text), none, NULL, 0), 0);
	assert_int_equal(sum.records, LINES);
	assert_int_equal(sum.first_seq, 1);
	assert_int_equal(sum.last_seq, LINES);
	assert_int_equal(sum.checkpoints, 1);
	assert_int_equal(sum.sealed, LINES - 1);
	assert_int_equal(sum.sealed_ms, 1764072000000);
	assert_int_equal(notes, 0);
	buf_clear(&c.text);
}

/* A4: any octet changed is found. */
static void
test_flip(void **state)
{
	struct chain c;
	size_t n;

	(void)state;
	make(&c);
	n = buf_len(&c.text);
	for (size_t i = 0; i < n; i++) {
		uint8_t *p = &c.text.mem[c.text.start + i], was = *p;
		static const uint8_t masks[] = {0x01, 0x20, 0x80};

		for (size_t k = 0; k < ARRAY_LEN(masks); k++) {
			*p = was ^ masks[k];
			if (verify(buf_span(&c.text), none, NULL, 0) == 0)
				fail_msg("octet %zu, mask %02x: not found", i, masks[k]);
		}
		*p = was;
	}
	assert_int_equal(verify(buf_span(&c.text), none, NULL, 0), 0);
	buf_clear(&c.text);
}

/* A4: lines removed, swapped, repeated: found, and where it was is named. */
static void
test_lines(void **state)
{
	struct chain c;

	(void)state;
	make(&c);
	for (int i = 0; i < LINES - 1; i++) {
		int removed[LINES], swapped[LINES + 1], twice[LINES + 2], k = 0;
		char want[40];

		for (int j = 0; j < LINES; j++)
			if (j != i)
				removed[k++] = j;
		removed[k] = -1;
		assert_int_not_equal(verify_order(&c, removed), 0);
		/* the line that stands in its place */
		(void)snprintf(want, sizeof(want), "%d/%d: ", i + 1, i + 2);
		assert_memory_equal(first, want, strlen(want));
		for (int j = 0; j < LINES; j++)
			swapped[j] = j == i ? i + 1 : j == i + 1 ? i : j;
		swapped[LINES] = -1;
		assert_int_not_equal(verify_order(&c, swapped), 0);
		assert_memory_equal(first, want, strlen(want));
		for (int j = 0; j <= LINES; j++)
			twice[j] = j <= i ? j : j - 1;
		twice[LINES + 1] = -1;
		assert_int_not_equal(verify_order(&c, twice), 0);
		(void)snprintf(want, sizeof(want), "%d/%d: ", i + 2, i + 1);
		assert_memory_equal(first, want, strlen(want));
	}
	buf_clear(&c.text);
}

/* Somebody puts a record in, with a hash that fits its place. */
static void
test_inserted(void **state)
{
	struct chain c, forged = {.seq = 0};
	struct buf b = BUF_INIT;

	(void)state;
	make(&c);
	add_begin(&forged);
	add(&forged, "auth", ",\"login\":\"a\"");
	add(&forged, "auth", ",\"login\":\"mallory\"");
	for (size_t i = 0; i < 2; i++)
		buf_add_span(&b, line(&c, i));
	buf_add_span(&b, line(&forged, 2));
	for (size_t i = 2; i < LINES; i++)
		buf_add_span(&b, line(&c, i));
	/* the true one of the same number stands behind it: one of the two is not ours */
	assert_int_equal(verify(buf_span(&b), none, NULL, 0), 1);
	assert_non_null(strstr(first, "4/3: record 3 stands behind record 3"));
	buf_clear(&b);

	/* a whole chain made anew: hashes fit, the signature cannot be made */
	buf_clear(&forged.text);
	forged = (struct chain){.seq = 0};
	add_begin(&forged);
	while (forged.seq < LINES - 1)
		add(&forged, "auth", ",\"login\":\"mallory\"");
	buf_add_span(&forged.text, line(&c, LINES - 1)); /* with the old checkpoint */
	assert_int_not_equal(verify(buf_span(&forged.text), none, NULL, 0), 0);
	buf_truncate(&forged.text, buf_len(&forged.text) - line(&c, LINES - 1).n);
	add_checkpoint(&forged, other);
	assert_int_not_equal(verify(buf_span(&forged.text), none, NULL, 0), 0);
	assert_non_null(strstr(first, "the checkpoint names key"));
	/* without any checkpoint only those that left the machine tell */
	const char *outside[] = {c.checkpoint};
	forged.text.end = forged.text.start;
	forged.seq = 0;
	memset(&forged.head, 0, sizeof(forged.head));
	add_begin(&forged);
	while (forged.seq < LINES + 3)
		add(&forged, "auth", ",\"login\":\"mallory\"");
	assert_int_equal(verify(buf_span(&forged.text), none, NULL, 0), 0);
	assert_int_equal(sum.sealed, 0);
	assert_int_equal(verify(buf_span(&forged.text), none, outside, 1), 1);
	assert_non_null(strstr(first, "has another hash"));
	buf_clear(&forged.text);
	buf_clear(&c.text);
}

/* A cut tail shows up to the last checkpoint that left the machine. */
static void
test_tail(void **state)
{
	const char *outside[1];
	struct chain c;

	(void)state;
	make(&c);
	outside[0] = c.checkpoint;
	assert_int_equal(verify(buf_span(&c.text), none, outside, 1), 0);
	assert_int_equal(sum.left, LINES - 1);
	for (size_t i = 1; i < LINES - 1; i++) {
		struct span cut = {
		    buf_span(&c.text).p, (size_t)(line(&c, i).p - buf_span(&c.text).p)};

		assert_int_equal(verify(cut, none, NULL, 0), 0); /* nobody can know */
		assert_int_equal(verify(cut, none, outside, 1), 1);
		assert_non_null(strstr(first, "the tail was cut"));
		cut.n--; /* its LF is nothing of a record */
		assert_int_equal(verify(cut, none, NULL, 0), 0);
		assert_int_equal(notes, 1);
		cut.n--; /* and within a line */
		assert_int_equal(verify(cut, none, NULL, 0), 1);
		assert_non_null(strstr(first, "the last line is not whole"));
	}
	/* the record itself, last of the file, is enough */
	struct span cut = {
	    buf_span(&c.text).p, (size_t)(line(&c, LINES - 1).p - buf_span(&c.text).p)};
	assert_int_equal(verify(cut, none, outside, 1), 0);
	buf_clear(&c.text);
}

static void
test_checkpoints(void **state)
{
	static const char *const bad[] = {"", "1", "1:2:3", ":::", "1:00:x"};
	struct audit_verify *v = audit_verify_new(pub, found, NULL);
	char err[200], text[400];
	struct chain c;

	(void)state;
	make(&c);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(audit_verify_checkpoint(v, span_of(bad[i]), err, sizeof(err)), -1);
	assert_int_equal(audit_verify_checkpoint(v, span_of(c.checkpoint), err, sizeof(err)), 0);
	/* every octet of it counts */
	for (size_t i = 0; c.checkpoint[i] != '\0'; i++) {
		(void)str_copy(text, sizeof(text), c.checkpoint);
		text[i] = text[i] == '1' ? '2' : '1';
		assert_int_equal(audit_verify_checkpoint(v, span_of(text), err, sizeof(err)), -1);
	}
	audit_verify_free(v);
	/* one of another key in the file */
	add_checkpoint(&c, other);
	assert_int_equal(verify(buf_span(&c.text), none, NULL, 0), 1);
	buf_clear(&c.text);
}

static void
test_rotated(void **state)
{
	struct chain c, d;
	struct buf second = BUF_INIT;

	(void)state;
	make(&c);
	d = c;
	d.text = (struct buf)BUF_INIT;
	add_begin(&d);
	add(&d, "auth", "");
	buf_add_span(&second, buf_span(&d.text));
	assert_int_equal(verify(buf_span(&c.text), buf_span(&second), NULL, 0), 0);
	assert_int_equal(sum.last_seq, LINES + 2);
	/* alone: the earlier ones are not there, which is no problem and is said */
	assert_int_equal(verify(buf_span(&second), none, NULL, 0), 0);
	assert_int_equal(notes, 1);
	/* what left the machine speaks of the record before it, too */
	char hex[AUDIT_HASH_TEXT], sig[AUDIT_SIG_TEXT], text[300];
	const char *outside[] = {text};
	struct audit_hash h = c.head;

	for (int good = 1; good >= 0; good--) {
		h.b[0] ^= !good;
		audit_hash_format(&h, hex);
		assert_int_equal(audit_key_sign(key, LINES, &h, 1764072000000, sig), 0);
		(void)str_printf(text, sizeof(text), "%d:%s:%s", LINES, hex, sig);
		assert_int_equal(verify(buf_span(&second), none, outside, 1), !good);
	}
	assert_non_null(strstr(first, "has another hash"));
	/* in the wrong order, and with the end of the first one cut */
	assert_int_not_equal(verify(buf_span(&second), buf_span(&c.text), NULL, 0), 0);
	buf_truncate(&c.text, buf_len(&c.text) - line(&c, LINES - 1).n);
	assert_int_equal(verify(buf_span(&c.text), buf_span(&second), NULL, 0), 1);
	assert_non_null(strstr(first, "second 1/13: it begins behind record 12"));
	/* without its first line */
	struct span headless = {buf_span(&second).p + line(&d, 0).n, line(&d, 1).n};
	assert_int_equal(verify(headless, none, NULL, 0), 1);
	buf_clear(&second);
	buf_clear(&d.text);
	buf_clear(&c.text);
}

static void
test_lines_parsed(void **state)
{
	static const char *const bad[] = {"", "}", "{}", "{\"seq\":}",
	    "{\"seq\":0,\"time\":\"\",\"kind\":\"\"}", "{\"seq\":01,\"time\":\"\",\"kind\":\"\"}",
	    "{\"seq\":1,\"time\":\"\",\"kind\":\"}",
	    "{\"seq\":99999999999999999999,\"time\":\"\",\"kind\":\"\"}"};
	struct audit_line l;
	struct span s;
	uint64_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(audit_line_parse(span_of(bad[i]), &l), -1);
	assert_int_equal(
	    audit_line_parse(
		span_of("{\"seq\":7,\"time\":\"t\",\"kind\":\"k\",\"a\":\"b\",\"n\":12}"), &l),
	    0);
	assert_false(l.chained);
	assert_int_equal(audit_line_get(&l, "a", &s), 0);
	assert_true(span_eq(s, "b"));
	assert_int_equal(audit_line_u64(&l, "n", &n), 0);
	assert_int_equal(n, 12);
	assert_int_equal(audit_line_u64(&l, "a", &n), -1);
	assert_int_equal(audit_line_get(&l, "b", &s), -1);
}

static void
test_key_files(void **state)
{
	char dir[] = "/tmp/submitd-test-XXXXXX", path[80], public[80], away[80], err[300];
	struct audit_key *a, *b, *p;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)str_printf(path, sizeof(path), "%s/k.key", dir);
	(void)str_printf(public, sizeof(public), "%s/k.pub", dir);
	a = audit_key_open(path, public, err, sizeof(err));
	assert_non_null(a);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(public, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	b = audit_key_open(path, public, err, sizeof(err));
	assert_non_null(b);
	p = audit_key_public(public, err, sizeof(err));
	assert_non_null(p);
	assert_string_equal(audit_key_id(a), audit_key_id(b));
	assert_string_equal(audit_key_id(a), audit_key_id(p));
	assert_null(audit_key_public(path, err, sizeof(err))); /* the private one is none */
	audit_key_free(b);
	/* a public key of another one is not written over */
	assert_int_equal(unlink(path), 0);
	assert_null(audit_key_open(path, public, err, sizeof(err)));
	assert_non_null(strstr(err, "is not the public key of"));
	assert_int_equal(truncate(path, 10), 0);
	assert_null(audit_key_open(path, public, err, sizeof(err)));
	assert_non_null(strstr(err, "no Ed25519 key"));
	/* nor is one read that others may read, that has another name, or is another file */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(unlink(public), 0);
	b = audit_key_open(path, public, err, sizeof(err));
	assert_non_null(b);
	audit_key_free(b);
	assert_int_equal(chmod(path, 0640), 0);
	assert_null(audit_key_open(path, public, err, sizeof(err)));
	assert_non_null(strstr(err, "mode 0600"));
	assert_int_equal(chmod(path, 0600), 0);
	(void)str_printf(away, sizeof(away), "%s/away", dir);
	assert_int_equal(link(path, away), 0);
	assert_null(audit_key_open(path, public, err, sizeof(err)));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(away, path), 0);
	assert_null(audit_key_open(path, public, err, sizeof(err)));
	assert_non_null(strstr(err, "symbolic link"));
	unlink(away);
	audit_key_free(a);
	audit_key_free(p);
	unlink(path);
	unlink(public);
	assert_int_equal(rmdir(dir), 0); /* and nothing else is there */
}

static int
setup(void **state)
{
	(void)state;
	key = audit_key_random();
	other = audit_key_random();
	pub = key == NULL ? NULL : audit_key_public_of(key);
	return pub == NULL || other == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	audit_key_free(key);
	audit_key_free(pub);
	audit_key_free(other);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good),
	    cmocka_unit_test(test_flip),
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_inserted),
	    cmocka_unit_test(test_tail),
	    cmocka_unit_test(test_checkpoints),
	    cmocka_unit_test(test_rotated),
	    cmocka_unit_test(test_lines_parsed),
	    cmocka_unit_test(test_key_files),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
