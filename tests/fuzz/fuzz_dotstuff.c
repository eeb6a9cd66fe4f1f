/* SPDX-License-Identifier: ISC */
/*
 * P6: the fast decoder and encoder against a slow model that reads whole lines, at
 * splits that the input chooses. Octets: flags, line limit, padding, piece length; then data.
 */
#include "base/str.h"
#include "mail/dotstuff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

struct model {
	struct buf out;
	enum dot_error error;
	bool done, has_8bit, repaired;
	uint64_t lines;
	size_t taken;
};

#define CHECK(expr)                                                                                \
	do {                                                                                       \
		if (!(expr)) {                                                                     \
			(void)fprintf(stderr, "%d: %s\n", __LINE__, #expr);                        \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static void
model_error(struct model *m, enum dot_error e)
{
	if (m->error == DOT_OK)
		m->error = e;
}

/* What lies between two LFs, without the CR that belongs to the second. */
static void
model_text(struct model *m, const uint8_t *p, size_t n, unsigned flags, size_t max_line)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\0') {
			if ((flags & DOT_ALLOW_NUL) == 0)
				model_error(m, DOT_NUL);
			else
				m->repaired = true;
			continue;
		}
		if (p[i] == '\r')
			model_error(m, DOT_BARE_CR);
		if (p[i] >= 0x80)
			m->has_8bit = true;
		buf_add_byte(&m->out, p[i]);
		if (++len > max_line && (flags & DOT_ALLOW_LONG) == 0)
			model_error(m, DOT_LONG_LINE);
	}
}

static void
model_decode(struct model *m, const uint8_t *p, size_t n, unsigned flags, size_t max_line)
{
	const bool stuffed = (flags & DOT_BDAT) == 0;
	bool after_crlf = true;

	while (m->taken < n) {
		const uint8_t *line = p + m->taken, *lf = memchr(line, '\n', n - m->taken);
		size_t len = lf == NULL ? n - m->taken : (size_t)(lf - line);
		bool cr = len > 0 && line[len - 1] == '\r';

		if (lf == NULL) {
			m->taken = n;
			if (cr)
				len--;
			if (stuffed && len > 0 && line[0] == '.') {
				line++;
				len--;
			}
			model_text(m, line, len, flags, max_line);
			return;
		}
		m->taken += len + 1;
		if (cr)
			len--;
		if (stuffed && len == 1 && line[0] == '.' && cr && after_crlf) {
			m->done = true;
			return;
		}
		if (stuffed && len > 1 && line[0] == '.') {
			line++;
			len--;
		}
		model_text(m, line, len, flags, max_line);
		if (!cr) {
			if ((flags & DOT_ALLOW_BARE_LF) == 0)
				model_error(m, DOT_BARE_LF);
			else
				m->repaired = true;
		}
		buf_add_str(&m->out, "\r\n");
		m->lines++;
		after_crlf = cr;
	}
}

static bool
same(const struct buf *a, const struct buf *b)
{
	return buf_len(a) == buf_len(b) && memcmp(buf_data(a), buf_data(b), buf_len(a)) == 0;
}

/* Pieces of their own memory, so that reading behind one is seen. */
static size_t
decode(struct dot_decoder *d, const uint8_t *p, size_t n, size_t piece, struct buf *out)
{
	size_t taken = 0;

	while (taken < n && !d->done) {
		size_t k = n - taken < piece ? n - taken : piece, got;
		uint8_t *copy = xmalloc(k);

		memcpy(copy, p + taken, k);
		got = dot_decode(d, copy, k, out);
		free(copy);
		CHECK(got == k || d->done);
		taken += got;
	}
	return taken;
}

static void
encode(const uint8_t *p, size_t n, size_t piece, struct buf *out)
{
	struct dot_encoder e;

	dot_encoder_init(&e);
	for (size_t i = 0; i < n; i += piece) {
		size_t k = n - i < piece ? n - i : piece;
		uint8_t *copy = xmalloc(k);

		memcpy(copy, p + i, k);
		dot_encode(&e, copy, k, out);
		free(copy);
	}
	dot_encode_finish(&e, out);
}

static void
check_encoder(const struct buf *in, size_t piece)
{
	struct buf a = BUF_INIT, b = BUF_INIT, back = BUF_INIT;
	struct dot_decoder d;

	encode(buf_data(in), buf_len(in), SIZE_MAX / 2, &a);
	encode(buf_data(in), buf_len(in), piece, &b);
	CHECK(same(&a, &b));
	/* whatever went in: one end of data, at the end, and no bare CR or LF before it */
	dot_decoder_init(&d, DOT_ALLOW_NUL | DOT_ALLOW_LONG, 998);
	CHECK(decode(&d, buf_data(&a), buf_len(&a), piece, &back) == buf_len(&a));
	CHECK(d.done && d.error == DOT_OK);
	buf_clear(&a);
	buf_clear(&b);
	buf_clear(&back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct model m = {.out = BUF_INIT};
	struct buf in = BUF_INIT, out = BUF_INIT, wire = BUF_INIT, back = BUF_INIT;
	struct dot_decoder d;
	size_t max_line, piece;
	unsigned flags;

	if (size < 4)
		return 0;
	flags = data[0] & 15u;
	max_line = (data[1] & 1) != 0 ? 998 : data[1];
	for (unsigned i = 0; i < data[2]; i++)
		buf_add_byte(&in, i % 40 == 38 ? '\r' : i % 40 == 39 ? '\n' : 'x');
	piece = data[3] == 0 ? SIZE_MAX / 2 : data[3];
	buf_add(&in, data + 4, size - 4);

	model_decode(&m, buf_data(&in), buf_len(&in), flags, max_line);
	dot_decoder_init(&d, flags, max_line);
	CHECK(decode(&d, buf_data(&in), buf_len(&in), piece, &out) == m.taken);
	CHECK(same(&out, &m.out));
	CHECK(d.error == m.error && d.done == m.done && d.has_8bit == m.has_8bit);
	CHECK(d.repaired == m.repaired && d.lines == m.lines);
	if (!d.done)
		dot_decode_finish(&d, &out);
	CHECK(buf_len(&out) == 0 || buf_data(&out)[buf_len(&out) - 1] == '\n');
	if (d.error == DOT_OK) {
		encode(buf_data(&out), buf_len(&out), piece, &wire);
		dot_decoder_init(&d, 0, SIZE_MAX);
		CHECK(decode(&d, buf_data(&wire), buf_len(&wire), piece, &back) == buf_len(&wire));
		CHECK(d.done && d.error == DOT_OK && !d.repaired && same(&back, &out));
	}
	check_encoder(&in, piece);
	buf_clear(&m.out);
	buf_clear(&in);
	buf_clear(&out);
	buf_clear(&wire);
	buf_clear(&back);
	return 0;
}
