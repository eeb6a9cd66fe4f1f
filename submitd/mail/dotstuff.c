/* SPDX-License-Identifier: ISC */
/*
 * Line ends and dots, decided here and nowhere else (P6): what a client sends
 * after DATA or in BDAT becomes clean CRLF lines, and clean lines are dot-stuffed
 * for a next hop. Run by front and deliver on every octet of every message, so
 * clean input goes 64 octets at a time. Only CRLF "." CRLF may ever end the
 * data, however the octets are split among calls: anything else that looks like
 * an end to some server is how a second message is smuggled in.
 */
#include "mail/dotstuff.h"

#include <string.h>
#if defined(__SSE2__) && !defined(DOTSTUFF_PORTABLE)
#include <emmintrin.h>
#endif

#define BLOCK 64u

/* Decoder. A CR is held back until the next octet tells what it is. */
enum dec_state {
	D_BOL = 0,      /* at the start, or behind CRLF */
	D_BOL_LF = 1,   /* behind a bare LF */
	D_MID = 2,      /* within a line */
	D_CR = 3,       /* CR held back */
	D_DOT = 4,      /* CRLF "." seen, held back */
	D_DOT_CR = 5,   /* CRLF "." CR */
	D_DOT_LF = 6,   /* bare LF, "." */
	D_DOT_LF_CR = 7 /* bare LF, "." CR: no end whatever follows */
};

enum enc_state {
	E_BOL = 0,
	E_MID = 1,
	E_CR = 2, /* CR held back */
};

/* One bit per octet of a block. */
struct masks {
	uint64_t lf, cr, dot, nul, high;
};

#if defined(__SSE2__) && !defined(DOTSTUFF_PORTABLE)
static inline uint64_t
bits_equal(const __m128i v[4], char c)
{
	const __m128i want = _mm_set1_epi8(c);
	uint64_t bits = 0;

	for (int i = 3; i >= 0; i--)
		bits = bits << 16 | (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v[i], want));
	return bits;
}

static inline void
masks_read(struct masks *m, const uint8_t *p)
{
	__m128i v[4];

	for (int i = 0; i < 4; i++)
		v[i] = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
	m->high = 0;
	for (int i = 3; i >= 0; i--)
		m->high = m->high << 16 | (uint32_t)_mm_movemask_epi8(v[i]);
	m->lf = bits_equal(v, '\n');
	m->cr = bits_equal(v, '\r');
	m->nul = bits_equal(v, '\0');
	m->dot = bits_equal(v, '.');
}
#else
static inline void
masks_read(struct masks *m, const uint8_t *p)
{
	memset(m, 0, sizeof(*m));
	for (unsigned i = 0; i < BLOCK; i++) {
		m->lf |= (uint64_t)(p[i] == '\n') << i;
		m->cr |= (uint64_t)(p[i] == '\r') << i;
		m->dot |= (uint64_t)(p[i] == '.') << i;
		m->nul |= (uint64_t)(p[i] == '\0') << i;
		m->high |= (uint64_t)(p[i] >> 7) << i;
	}
}
#endif

/* Without the processor's own instruction gcc calls a table-driven function. */
static inline uint64_t
count_bits(uint64_t v)
{
	v -= v >> 1 & 0x5555555555555555u;
	v = (v & 0x3333333333333333u) + (v >> 2 & 0x3333333333333333u);
	return ((v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u >> 56;
}

void
dot_decoder_init(struct dot_decoder *d, unsigned flags, size_t max_line)
{
	memset(d, 0, sizeof(*d));
	d->flags = flags;
	d->max_line = max_line;
	d->state = D_BOL;
}

static void
dec_error(struct dot_decoder *d, enum dot_error e)
{
	if (d->error == DOT_OK)
		d->error = e;
}

/* The output of one block taken octet by octet: at most two octets for each, and what was held. */
struct out {
	uint8_t b[2 * BLOCK + 8];
	size_t n;
};

static void
dec_put(struct dot_decoder *d, struct out *o, uint8_t c)
{
	o->b[o->n++] = c;
	d->line_len++;
	if (d->line_len > d->max_line && (d->flags & DOT_ALLOW_LONG) == 0)
		dec_error(d, DOT_LONG_LINE);
}

static void
dec_end_line(struct dot_decoder *d, struct out *o, enum dec_state next)
{
	o->b[o->n++] = '\r';
	o->b[o->n++] = '\n';
	d->line_len = 0;
	d->lines++;
	d->state = (uint8_t)next;
}

static void
dec_bare_lf(struct dot_decoder *d, struct out *o)
{
	if ((d->flags & DOT_ALLOW_BARE_LF) == 0)
		dec_error(d, DOT_BARE_LF);
	else
		d->repaired = true;
	dec_end_line(d, o, D_BOL_LF);
}

/* An octet that continues a line, or begins one without a dot. */
static void
dec_plain(struct dot_decoder *d, struct out *o, uint8_t c)
{
	d->state = D_MID;
	if (c == '\r')
		d->state = D_CR;
	else if (c == '\n')
		dec_bare_lf(d, o);
	else if (c == '\0') {
		if ((d->flags & DOT_ALLOW_NUL) == 0)
			dec_error(d, DOT_NUL);
		else
			d->repaired = true;
	} else {
		d->has_8bit = d->has_8bit || c >= 0x80;
		dec_put(d, o, c);
	}
}

/* The octet behind a CR which is no LF: that CR was bare. It stays, it ends nothing. */
static void
dec_bare_cr(struct dot_decoder *d, struct out *o)
{
	dec_error(d, DOT_BARE_CR);
	dec_put(d, o, '\r');
}

static void
dec_octet(struct dot_decoder *d, struct out *o, uint8_t c)
{
	switch ((enum dec_state)d->state) {
	case D_BOL:
	case D_BOL_LF:
		if (c == '.' && (d->flags & DOT_BDAT) == 0)
			d->state = d->state == D_BOL ? D_DOT : D_DOT_LF;
		else
			dec_plain(d, o, c);
		break;
	case D_MID:
		dec_plain(d, o, c);
		break;
	case D_CR:
		if (c == '\n')
			dec_end_line(d, o, D_BOL);
		else {
			dec_bare_cr(d, o);
			dec_plain(d, o, c);
		}
		break;
	case D_DOT:
	case D_DOT_LF:
		/*
		 * RFC 5321, 4.5.2: a leading dot goes when something follows it on its line.
		 * A lone one that ends nothing, because of a bare LF at either side, is text.
		 */
		if (c == '\r')
			d->state = d->state == D_DOT ? D_DOT_CR : D_DOT_LF_CR;
		else {
			if (c == '\n')
				dec_put(d, o, '.');
			dec_plain(d, o, c);
		}
		break;
	case D_DOT_CR:
	case D_DOT_LF_CR:
		if (c != '\n') {
			dec_bare_cr(d, o);
			dec_plain(d, o, c);
		} else if (d->state == D_DOT_CR)
			d->done = true;
		else {
			dec_put(d, o, '.');
			dec_end_line(d, o, D_BOL);
		}
		break;
	}
}

/*
 * The length of the clean run at in: whole blocks in which each line ends in CRLF
 * and is short enough, without NUL or leading dot. State and counters follow;
 * a CR at the very end is held back and not counted in *copy.
 */
static size_t
dec_clean_run(struct dot_decoder *d, const uint8_t *in, size_t n, size_t *copy)
{
	const bool stuffed = (d->flags & DOT_BDAT) == 0;
	/* only the first error counts: what is already refused need not be measured */
	const bool any_length = (d->flags & DOT_ALLOW_LONG) != 0 || d->error != DOT_OK;
	const size_t limit = any_length ? SIZE_MAX : d->max_line;
	uint64_t after_lf = d->state == D_MID ? 0 : 1, after_cr = 0, high = 0, lines = 0;
	size_t len = d->line_len, i = 0;
	struct masks m;

	for (; n - i >= BLOCK; i += BLOCK) {
		size_t next_len = len + BLOCK;

		masks_read(&m, in + i);
		if (m.nul != 0 || m.lf != (m.cr << 1 | after_cr) ||
		    (stuffed && (m.dot & (m.lf << 1 | after_lf)) != 0))
			break;
		if (m.lf != 0) {
			/* a line within the block has at most 62 octets: see dot_decode() */
			size_t first = len + (size_t)__builtin_ctzll(m.lf);

			if (first - 1 > limit && first > 0)
				break;
			next_len = (size_t)__builtin_clzll(m.lf);
			lines += count_bits(m.lf);
		}
		if (next_len - (m.cr >> 63) > limit)
			break;
		len = next_len;
		high |= m.high;
		after_cr = m.cr >> 63;
		after_lf = m.lf >> 63;
	}
	if (i == 0)
		return 0;
	d->has_8bit = d->has_8bit || high != 0;
	d->lines += lines;
	/* len counts a CR at the end of the last block: it is not content yet */
	d->line_len = len - after_cr;
	d->state = (uint8_t)(after_cr ? D_CR : after_lf ? D_BOL : D_MID);
	*copy = i - after_cr;
	return i;
}

size_t
dot_decode(struct dot_decoder *d, const uint8_t *in, size_t n, struct buf *out)
{
	/* The run's arithmetic looks at first and last line of a block only. */
	const bool fast = d->max_line >= BLOCK || (d->flags & DOT_ALLOW_LONG) != 0;
	size_t i = 0;

	if (d->done || n == 0)
		return 0;
	(void)buf_reserve(out, n + 2);
	while (i < n && !d->done) {
		struct out o = {.n = 0};
		size_t stop, copy = 0, run = 0;

		if (fast && n - i >= BLOCK && (d->state == D_MID || d->state <= D_BOL_LF))
			run = dec_clean_run(d, in + i, n - i, &copy);
		if (copy > 0)
			buf_add(out, in + i, copy);
		i += run;
		stop = n - i < BLOCK ? n : i + BLOCK;
		while (i < stop && !d->done)
			dec_octet(d, &o, in[i++]);
		buf_add(out, o.b, o.n);
	}
	return i;
}

void
dot_decode_finish(struct dot_decoder *d, struct buf *out)
{
	struct out o = {.n = 0};

	if (d->done)
		return;
	switch ((enum dec_state)d->state) {
	case D_BOL:
	case D_BOL_LF:
		break;
	case D_CR:
	case D_DOT_CR:
	case D_DOT_LF_CR:
		dec_bare_cr(d, &o);
		dec_end_line(d, &o, D_BOL);
		break;
	case D_DOT:
	case D_DOT_LF:
		dec_put(d, &o, '.');
		dec_end_line(d, &o, D_BOL);
		d->repaired = true;
		break;
	case D_MID:
		dec_end_line(d, &o, D_BOL);
		d->repaired = true;
		break;
	}
	buf_add(out, o.b, o.n);
}

void
dot_encoder_init(struct dot_encoder *e)
{
	e->state = E_BOL;
}

/*
 * What is spooled is clean. Should it not be, a damaged record must not become an
 * end of data to some server: a bare LF is completed, a bare CR becomes a blank.
 */
static void
enc_octet(struct dot_encoder *e, struct out *o, uint8_t c)
{
	if (e->state == E_CR && c != '\n') {
		o->b[o->n++] = ' ';
		e->state = E_MID;
	}
	if (c == '\n') {
		o->b[o->n++] = '\r';
		o->b[o->n++] = '\n';
		e->state = E_BOL;
	} else if (c == '\r')
		e->state = E_CR;
	else {
		if (c == '.' && e->state == E_BOL)
			o->b[o->n++] = '.';
		o->b[o->n++] = c;
		e->state = E_MID;
	}
}

/* As dec_clean_run(), but a leading dot is no obstacle: it is copied and doubled. */
static size_t
enc_clean_run(struct dot_encoder *e, const uint8_t *in, size_t n, struct buf *out)
{
	uint64_t after_lf = e->state == E_BOL, after_cr = 0, dots;
	size_t i = 0, from = 0;
	struct masks m;

	for (; n - i >= BLOCK; i += BLOCK) {
		masks_read(&m, in + i);
		if (m.lf != (m.cr << 1 | after_cr))
			break;
		dots = m.dot & (m.lf << 1 | after_lf);
		for (; dots != 0; dots &= dots - 1) {
			size_t at = i + (size_t)__builtin_ctzll(dots) + 1;

			buf_add(out, in + from, at - from);
			from = at - 1;
		}
		after_cr = m.cr >> 63;
		after_lf = m.lf >> 63;
	}
	if (i > 0) {
		buf_add(out, in + from, i - from - after_cr);
		e->state = (uint8_t)(after_cr ? E_CR : after_lf ? E_BOL : E_MID);
	}
	return i;
}

void
dot_encode(struct dot_encoder *e, const uint8_t *in, size_t n, struct buf *out)
{
	size_t i = 0;

	if (n == 0)
		return;
	(void)buf_reserve(out, n + 16);
	while (i < n) {
		struct out o = {.n = 0};
		size_t stop;

		if (n - i >= BLOCK && e->state != E_CR)
			i += enc_clean_run(e, in + i, n - i, out);
		stop = n - i < BLOCK ? n : i + BLOCK;
		while (i < stop)
			enc_octet(e, &o, in[i++]);
		buf_add(out, o.b, o.n);
	}
}

void
dot_encode_finish(struct dot_encoder *e, struct buf *out)
{
	if (e->state != E_BOL)
		buf_add_str(out, "\r\n");
	buf_add_str(out, ".\r\n");
	e->state = E_BOL;
}
