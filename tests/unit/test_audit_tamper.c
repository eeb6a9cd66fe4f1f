/* SPDX-License-Identifier: ISC */
/*
 * Somebody tampers with a record of several files (A4): whatever is removed, moved,
 * repeated, replaced or cut, across files and beside checkpoints too, is found, and the
 * record that it happened to is named.
 */
#include "audit/audit_verify.h"

#include "audit_record_test.h"

#include "base/list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES 3
#define PER_FILE 6
#define LINES (FILES * PER_FILE)
#define MORE (LINES + 2)

static struct audit_key *key, *pub;
static struct chain c;
static struct span lines[LINES];

/* What somebody made of it: lines in files. */
struct copy {
	size_t n;
	struct {
		unsigned file;
		struct span line;
	} at[MORE];
};

static void
copy_it(struct copy *x)
{
	x->n = LINES;
	for (unsigned i = 0; i < LINES; i++) {
		x->at[i].file = i / PER_FILE;
		x->at[i].line = lines[i];
	}
}

static void
take_out(struct copy *x, size_t i)
{
	x->n--;
	memmove(&x->at[i], &x->at[i + 1], (x->n - i) * sizeof(x->at[0]));
}

/* In front of what stands at i, in that file. */
static void
put_in(struct copy *x, size_t i, unsigned file, struct span line)
{
	memmove(&x->at[i + 1], &x->at[i], (x->n - i) * sizeof(x->at[0]));
	x->n++;
	x->at[i].file = file;
	x->at[i].line = line;
}

/* ---- what the verifier says ------------------------------------------------------------------ */

static uint64_t wanted;
static bool named;

/* The number stands there as a word. */
static bool
speaks_of(const char *text, uint64_t seq)
{
	for (const char *p = text; *p != '\0'; p++) {
		char *end;

		if (*p < '0' || *p > '9')
			continue;
		if (strtoull(p, &end, 10) == seq)
			return true;
		p = end - 1;
	}
	return false;
}

static void
found(void *arg, const struct audit_finding *f)
{
	(void)arg;
	if (f->kind == AUDIT_PROBLEM)
		named = named || f->seq == wanted || speaks_of(f->text, wanted);
}

/* How many problems; named: one of them is about the record of that number. */
static uint64_t
verify(const struct copy *x, uint64_t seq)
{
	static const char *const names[FILES] = {"one", "two", "three"};
	struct audit_verify *v = audit_verify_new(pub, found, NULL);
	struct audit_summary sum;
	size_t i = 0;

	wanted = seq;
	named = false;
	for (unsigned f = 0; f < FILES; f++) {
		audit_verify_file(v, names[f]);
		for (; i < x->n && x->at[i].file == f; i++)
			audit_verify_line(v, x->at[i].line, true);
	}
	audit_verify_end(v, &sum);
	audit_verify_free(v);
	return sum.problems;
}

static void
must_name(const struct copy *x, uint64_t seq, const char *what)
{
	if (verify(x, seq) == 0)
		fail_msg("record %" PRIu64 " %s: not found", seq, what);
	if (!named)
		fail_msg("record %" PRIu64 " %s: not named", seq, what);
}

/* ---- tampering ------------------------------------------------------------------------------- */

static void
test_good(void **state)
{
	struct copy x;

	(void)state;
	copy_it(&x);
	assert_int_equal(verify(&x, 0), 0);
	/* the order is what counts, not which file a line stands in */
	x.at[PER_FILE].file = 0;
	assert_int_equal(verify(&x, 0), 0);
}

static void
test_removed(void **state)
{
	struct copy x;

	(void)state;
	/* the last one nobody can miss */
	for (size_t i = 0; i + 1 < LINES; i++) {
		copy_it(&x);
		take_out(&x, i);
		must_name(&x, i + 1, "removed");
	}
	for (size_t i = 0; i < LINES; i++) {
		for (size_t n = 2; i + n < LINES; n++) {
			copy_it(&x);
			for (size_t k = 0; k < n; k++)
				take_out(&x, i);
			if (i == 0 && n % PER_FILE == 0)
				continue; /* whole files, the first ones: said, but no problem */
			must_name(&x, i == 0 ? n : i + 1, "and others behind or before it removed");
		}
	}
}

static void
test_moved(void **state)
{
	struct copy x;

	(void)state;
	for (size_t i = 0; i < LINES; i++) {
		for (size_t to = 0; to < LINES; to++) {
			if (to == i)
				continue;
			copy_it(&x);
			take_out(&x, i);
			put_in(&x, to, (unsigned)(to / PER_FILE), lines[i]);
			must_name(&x, i + 1, "moved");
		}
	}
}

static void
test_repeated(void **state)
{
	struct copy x;

	(void)state;
	for (size_t i = 0; i < LINES; i++) {
		for (size_t to = 0; to <= LINES; to++) {
			copy_it(&x);
			put_in(&x, to, to == 0 ? 0 : x.at[to - 1].file, lines[i]);
			must_name(&x, i + 1, "repeated");
		}
	}
}

/* An octet of it; and all of it, with a hash that fits what stands before. */
static void
test_replaced(void **state)
{
	static char text[2000];
	struct copy x;

	(void)state;
	for (size_t i = 0; i < LINES; i++) {
		struct audit_hash h;
		struct audit_line l;
		char hex[AUDIT_HASH_TEXT];
		char *time;

		copy_it(&x);
		memcpy(text, lines[i].p, lines[i].n);
		text[lines[i].n] = '\0';
		time = strstr(text, "12:00:00");
		assert_non_null(time);
		time[1] = '3';
		x.at[i].line.p = text;
		must_name(&x, i + 1, "changed");
		if (i == 0 || i + 1 == LINES)
			continue; /* behind the last checkpoint nobody knows */
		assert_int_equal(audit_line_parse(lines[i - 1], &l), 0);
		h = l.hash;
		assert_int_equal(audit_line_parse(x.at[i].line, &l), 0);
		audit_hash_next(&h, l.body, &h);
		audit_hash_format(&h, hex);
		memcpy(text + lines[i].n - AUDIT_HASH_TAIL + 9, hex, AUDIT_HASH_TEXT - 1);
		must_name(&x, i + 1, "replaced");
	}
}

/* One of the files loses its end, at each line. */
static void
test_cut(void **state)
{
	struct copy x;

	(void)state;
	for (unsigned f = 0; f + 1 < FILES; f++) {
		for (size_t left = 0; left < PER_FILE; left++) {
			size_t at = f * PER_FILE + left;

			copy_it(&x);
			for (size_t k = left; k < PER_FILE; k++)
				take_out(&x, at);
			if (at == 0)
				continue; /* the first file is not there: that is said, no more */
			must_name(&x, (f + 1) * PER_FILE, "and those before it cut off");
		}
	}
}

static int
setup(void **state)
{
	struct span rest;

	(void)state;
	key = audit_key_random();
	pub = key == NULL ? NULL : audit_key_public_of(key);
	if (pub == NULL)
		return -1;
	for (int f = 0; f < FILES; f++) {
		add_begin(&c);
		add(&c, "auth", ",\"login\":\"a\"");
		add_checkpoint(&c, key);
		add(&c, "accept", ",\"from\":\"a\"");
		add(&c, "accept", ",\"from\":\"b\"");
		add_checkpoint(&c, key);
	}
	rest = buf_span(&c.text);
	for (int i = 0; i < LINES; i++)
		lines[i] = span_cut(&rest, '\n');
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	buf_clear(&c.text);
	audit_key_free(key);
	audit_key_free(pub);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good),
	    cmocka_unit_test(test_removed),
	    cmocka_unit_test(test_moved),
	    cmocka_unit_test(test_repeated),
	    cmocka_unit_test(test_replaced),
	    cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
