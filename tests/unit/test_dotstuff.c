/* SPDX-License-Identifier: ISC */
/*
 * P6: line ends and dots. Each row is decoded whole, in every split into two pieces,
 * and octet by octet; all must agree. Run for the SSE2 and for the portable reading of
 * blocks (test_dotstuff_portable.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/str.h"
#include "mail/dotstuff.h"

struct row {
	const char *in;
	size_t in_len;
	unsigned flags;
	const char *out; /* NULL: of no interest, the message is refused */
	enum dot_error error;
	bool done;
	const char *rest;
};

#define IN(s) s, sizeof(s) - 1
static const struct row rows[] = {
    {IN(".\r\n"), 0, "", DOT_OK, true, ""},
    {IN("a\r\n.\r\n"), 0, "a\r\n", DOT_OK, true, ""},
    {IN("a\r\n.\r\nQUIT\r\n"), 0, "a\r\n", DOT_OK, true, "QUIT\r\n"},
    {IN("\r\n.\r\n"), 0, "\r\n", DOT_OK, true, ""},
    {IN("..\r\n.\r\n"), 0, ".\r\n", DOT_OK, true, ""},
    {IN("..a\r\n.b\r\na.\r\n...\r\n.\r\n"), 0, ".a\r\nb\r\na.\r\n..\r\n", DOT_OK, true, ""},
    /* what other servers took for an end: never */
    {IN("a\n.\nb\r\n.\r\n"), 0, NULL, DOT_BARE_LF, true, ""},
    {IN("a\r\n.\nb\r\n.\r\n"), 0, NULL, DOT_BARE_LF, true, ""},
    {IN("a\n.\r\nb\r\n.\r\n"), 0, NULL, DOT_BARE_LF, true, ""},
    {IN("a\r.\rb\r\n.\r\n"), 0, NULL, DOT_BARE_CR, true, ""},
    {IN("a\r\n.\rb\r\n.\r\n"), 0, NULL, DOT_BARE_CR, true, ""},
    {IN("a\r\n\r.\r\nb\r\n.\r\n"), 0, NULL, DOT_BARE_CR, true, ""},
    {IN("a\r\n.\r\r\nb\r\n.\r\n"), 0, NULL, DOT_BARE_CR, true, ""},
    {IN("a\r\0\n.\r\nb\r\n.\r\n"), DOT_ALLOW_NUL, NULL, DOT_BARE_CR, true, ""},
    {IN("a\r\n.\0\r\nb\r\n.\r\n"), DOT_ALLOW_NUL, "a\r\n\r\nb\r\n", DOT_OK, true, ""},
    {IN("a\r\n\0.\r\nb\r\n.\r\n"), DOT_ALLOW_NUL, "a\r\n.\r\nb\r\n", DOT_OK, true, ""},
    {IN("a\r\r\n.\r\n"), 0, NULL, DOT_BARE_CR, true, ""},
    /* bare LF normalised, and still no end */
    {IN("a\nb\r\n.\r\n"), DOT_ALLOW_BARE_LF, "a\r\nb\r\n", DOT_OK, true, ""},
    {IN("a\n.\nb\r\n.\r\n"), DOT_ALLOW_BARE_LF, "a\r\n.\r\nb\r\n", DOT_OK, true, ""},
    {IN("a\r\n.\nb\r\n.\r\n"), DOT_ALLOW_BARE_LF, "a\r\n.\r\nb\r\n", DOT_OK, true, ""},
    {IN("a\n.\r\nb\r\n.\r\n"), DOT_ALLOW_BARE_LF, "a\r\n.\r\nb\r\n", DOT_OK, true, ""},
    {IN("a\n..b\n.c\n.\r\n.\r\n"), DOT_ALLOW_BARE_LF, "a\r\n.b\r\nc\r\n.\r\n", DOT_OK, true, ""},
    {IN(".\n.\r\n"), DOT_ALLOW_BARE_LF, ".\r\n.\r\n", DOT_OK, false, ""},
    {IN("a\rb\n.\r\n\r\n.\r\n"), DOT_ALLOW_BARE_LF, NULL, DOT_BARE_CR, true, ""},
    {IN("a\0b\r\n.\r\n"), 0, NULL, DOT_NUL, true, ""},
    {IN("a\0b\r\n.\r\n"), DOT_ALLOW_NUL, "ab\r\n", DOT_OK, true, ""},
    {IN("a\r\n."), 0, "a\r\n", DOT_OK, false, ""},
    {IN("a\r\n.\r"), 0, "a\r\n", DOT_OK, false, ""},
    /* BDAT: no dots, no end */
    {IN("a\r\n.\r\n..b\r\n"), DOT_BDAT, "a\r\n.\r\n..b\r\n", DOT_OK, false, ""},
    {IN(".\r\n"), DOT_BDAT, ".\r\n", DOT_OK, false, ""},
    {IN("a\n"), DOT_BDAT, NULL, DOT_BARE_LF, false, ""},
    {IN("a\n"), DOT_BDAT | DOT_ALLOW_BARE_LF, "a\r\n", DOT_OK, false, ""},
};

struct result {
	struct dot_decoder d;
	struct buf out;
	size_t taken;
};

static void
decode_pieces(struct result *r, const char *in, size_t n, const size_t *cuts, size_t n_cuts)
{
	size_t from = 0;

	r->taken = 0;
	for (size_t i = 0; i <= n_cuts; i++) {
		size_t to = i < n_cuts ? cuts[i] : n;
		/* a copy of its own, so that ASan sees a read behind the piece */
		uint8_t *piece = xmalloc(to - from + 1);
		size_t got;

		memcpy(piece, in + from, to - from);
		got = dot_decode(&r->d, piece, to - from, &r->out);
		r->taken += got;
		free(piece);
		if (r->d.done)
			return;
		assert_int_equal(got, to - from);
		from = to;
	}
}

static void
assert_same(const struct result *a, const struct result *b)
{
	assert_int_equal(a->taken, b->taken);
	assert_int_equal(a->d.done, b->d.done);
	assert_int_equal(a->d.error, b->d.error);
	assert_int_equal(a->d.has_8bit, b->d.has_8bit);
	assert_int_equal(a->d.repaired, b->d.repaired);
	assert_int_equal(a->d.lines, b->d.lines);
	assert_int_equal(a->d.state, b->d.state);
	assert_int_equal(a->d.line_len, b->d.line_len);
	assert_int_equal(buf_len(&a->out), buf_len(&b->out));
	assert_memory_equal(buf_data(&a->out), buf_data(&b->out), buf_len(&a->out));
}

/* Every single cut, every pair of cuts for short input, and octet by octet. */
static void
all_splits(const char *in, size_t n, unsigned flags, size_t max_line, struct result *whole)
{
	struct result r = {.out = BUF_INIT};
	size_t *each = xcallocarray(n + 1, sizeof(*each));

	dot_decoder_init(&whole->d, flags, max_line);
	decode_pieces(whole, in, n, NULL, 0);
	for (size_t a = 0; a <= n; a++)
		for (size_t b = n <= 40 ? a : n; b <= n; b++) {
			size_t cuts[2] = {a, b};

			buf_reset(&r.out);
			dot_decoder_init(&r.d, flags, max_line);
			decode_pieces(&r, in, n, cuts, 2);
			assert_same(whole, &r);
		}
	for (size_t i = 0; i < n; i++)
		each[i] = i;
	buf_reset(&r.out);
	dot_decoder_init(&r.d, flags, max_line);
	decode_pieces(&r, in, n, each, n);
	assert_same(whole, &r);
	buf_clear(&r.out);
	free(each);
}

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *t = &rows[i];
		struct result r = {.out = BUF_INIT};

		all_splits(t->in, t->in_len, t->flags, 998, &r);
		if (r.d.error != t->error || r.d.done != t->done)
			fail_msg("row %zu: error %d done %d", i, (int)r.d.error, r.d.done);
		assert_int_equal(t->in_len - r.taken, strlen(t->rest));
		if (t->out != NULL && !span_eq(buf_span(&r.out), t->out))
			fail_msg("row %zu: \"%s\"", i, buf_cstr(&r.out));
		buf_clear(&r.out);
	}
}

/* The same rows behind 0 to 130 octets of clean text: they cross blocks at each place. */
static void
test_rows_at_each_place_of_a_block(void **state)
{
	struct buf in = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t pad = 0; pad < 131; pad++) {
			const struct row *t = &rows[i];
			struct result a = {.out = BUF_INIT}, b = {.out = BUF_INIT};
			size_t n;

			buf_reset(&in);
			for (size_t j = 0; j < pad; j++)
				buf_add_byte(&in, 'x');
			buf_add_str(&in, "\r\n");
			buf_add(&in, t->in, t->in_len);
			/* and something behind, so that the fast way is open */
			if (!t->done)
				buf_add_str(&in, "y\r\n");
			for (size_t j = 0; j < 64 && !t->done; j++)
				buf_add_byte(&in, 'z');
			n = buf_len(&in);
			dot_decoder_init(&a.d, t->flags, 998);
			decode_pieces(&a, (const char *)buf_data(&in), n, NULL, 0);
			dot_decoder_init(&b.d, t->flags, 998);
			for (size_t j = 0; j < n && !b.d.done; j++)
				b.taken += dot_decode(&b.d, buf_data(&in) + j, 1, &b.out);
			assert_same(&a, &b);
			if (t->done)
				assert_true(a.d.done);
			buf_clear(&a.out);
			buf_clear(&b.out);
		}
	buf_clear(&in);
}

static void
test_long_lines(void **state)
{
	static const size_t limits[] = {10, 63, 64, 65, 127, 128, 129, 200, 998};
	struct buf in = BUF_INIT;

	(void)state;
	for (size_t l = 0; l < ARRAY_LEN(limits); l++)
		for (int over = -1; over <= 1; over++)
			for (int lead = 0; lead < 3; lead++) {
				struct result r = {.out = BUF_INIT};
				size_t n = limits[l] + (size_t)over;

				buf_reset(&in);
				for (int i = 0; i < lead * 50; i++)
					buf_add_str(&in, "a\r\n");
				for (size_t i = 0; i < n; i++)
					buf_add_byte(&in, 'x');
				buf_add_str(&in, "\r\nshort\r\n.\r\n");
				all_splits(
				    (const char *)buf_data(&in), buf_len(&in), 0, limits[l], &r);
				assert_true(r.d.done);
				assert_int_equal(r.d.error, over > 0 ? DOT_LONG_LINE : DOT_OK);
				buf_clear(&r.out);
				r = (struct result){.out = BUF_INIT};
				all_splits((const char *)buf_data(&in), buf_len(&in),
				    DOT_ALLOW_LONG, limits[l], &r);
				assert_int_equal(r.d.error, DOT_OK);
				assert_int_equal(buf_len(&r.out), buf_len(&in) - 3);
				buf_clear(&r.out);
			}
	buf_clear(&in);
}

static void
test_8bit(void **state)
{
	(void)state;
	for (size_t at = 0; at < 200; at++) {
		struct result r = {.out = BUF_INIT};
		char in[260];

		memset(in, 'a', sizeof(in));
		memcpy(in + 255, "\r\n.\r\n", 5);
		in[at] = (char)0xe4;
		dot_decoder_init(&r.d, 0, 998);
		decode_pieces(&r, in, sizeof(in), NULL, 0);
		assert_true(r.d.done);
		assert_true(r.d.has_8bit);
		assert_int_equal(r.d.lines, 1);
		buf_clear(&r.out);
	}
}

static void
test_bdat_finish(void **state)
{
	static const struct {
		const char *in, *out;
		enum dot_error error;
		bool repaired;
	} t[] = {
	    {"", "", DOT_OK, false},
	    {"a\r\n", "a\r\n", DOT_OK, false},
	    {"a", "a\r\n", DOT_OK, true},
	    {"a\r", "a\r\r\n", DOT_BARE_CR, false},
	    {".", ".\r\n", DOT_OK, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct result r = {.out = BUF_INIT};

		all_splits(t[i].in, strlen(t[i].in), DOT_BDAT, 998, &r);
		dot_decode_finish(&r.d, &r.out);
		assert_int_equal(r.d.error, t[i].error);
		assert_int_equal(r.d.repaired, t[i].repaired);
		assert_string_equal(buf_cstr(&r.out), t[i].out);
		buf_clear(&r.out);
	}
}

static void
encode(const char *in, size_t n, size_t cut, struct buf *out)
{
	struct dot_encoder e;

	dot_encoder_init(&e);
	dot_encode(&e, (const uint8_t *)in, cut, out);
	dot_encode(&e, (const uint8_t *)in + cut, n - cut, out);
	dot_encode_finish(&e, out);
}

static void
test_encode(void **state)
{
	static const struct {
		const char *in, *out;
	} t[] = {
	    {"", ".\r\n"},
	    {"a\r\n", "a\r\n.\r\n"},
	    {"a", "a\r\n.\r\n"},
	    {".\r\n", "..\r\n.\r\n"},
	    {".a\r\n..\r\nb.\r\n", "..a\r\n...\r\nb.\r\n.\r\n"},
	    {"\r\n.\r\n\r\n", "\r\n..\r\n\r\n.\r\n"},
	    {"a\r", "a\r\n.\r\n"},
	    /* never in the spool; must not become an end of data anywhere */
	    {"a\n.\nb\r\n", "a\r\n..\r\nb\r\n.\r\n"},
	    {"a\r.\rb\r\n", "a . b\r\n.\r\n"},
	};
	struct buf in = BUF_INIT, want = BUF_INIT, out = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		for (size_t pad = 0; pad < 131; pad++) {
			buf_reset(&in);
			buf_reset(&want);
			for (size_t j = 0; j < pad; j++) {
				buf_add_byte(&in, 'x');
				buf_add_byte(&want, 'x');
			}
			if (pad > 0) {
				buf_add_str(&in, "\r\n");
				buf_add_str(&want, "\r\n");
			}
			buf_add_str(&in, t[i].in);
			buf_add_str(&want, t[i].out);
			for (size_t cut = 0; cut <= buf_len(&in); cut++) {
				buf_reset(&out);
				encode((const char *)buf_data(&in), buf_len(&in), cut, &out);
				assert_int_equal(buf_len(&out), buf_len(&want));
				assert_memory_equal(
				    buf_data(&out), buf_data(&want), buf_len(&want));
			}
		}
	buf_clear(&in);
	buf_clear(&want);
	buf_clear(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_rows_at_each_place_of_a_block),
	    cmocka_unit_test(test_long_lines),
	    cmocka_unit_test(test_8bit),
	    cmocka_unit_test(test_bdat_finish),
	    cmocka_unit_test(test_encode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
