/* SPDX-License-Identifier: ISC */
/*
 * Growable byte buffers and the reader of length-prefixed fields. Every process
 * uses them. A buffer never shrinks by itself: who keeps one for long clears it.
 */
#include "base/buf.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All of it: what was eaten stands there, too. */
static void
give_back(struct buf *b)
{
	if (b->wipes && b->mem != NULL)
		explicit_bzero(b->mem, b->cap);
	free(b->mem);
}

void
buf_clear(struct buf *b)
{
	bool wipes = b->wipes;

	give_back(b);
	*b = (struct buf)BUF_INIT;
	b->wipes = wipes;
}

void
buf_reset(struct buf *b)
{
	b->start = b->end = 0;
}

uint8_t *
buf_grow(struct buf *b, size_t n)
{
	size_t len = buf_len(b);
	if (b->start >= n && b->start >= len && b->mem != NULL) {
		/* as much was eaten as is left: sliding down is cheaper than growing */
		memmove(b->mem, b->mem + b->start, len);
	} else {
		size_t cap = b->cap < 64 ? 64 : b->cap;
		while (cap - len < n)
			cap *= 2;
		uint8_t *mem = xmalloc(cap);
		if (len > 0)
			memcpy(mem, b->mem + b->start, len);
		give_back(b);
		b->mem = mem;
		b->cap = cap;
	}
	b->start = 0;
	b->end = len;
	return b->mem + b->end;
}

void
buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;

	va_copy(again, ap);
	char *at = (char *)buf_reserve(b, 128);
	int n = vsnprintf(at, 128, fmt, ap);
	if (n >= 128) {
		at = (char *)buf_reserve(b, (size_t)n + 1);
		n = vsnprintf(at, (size_t)n + 1, fmt, again);
	}
	va_end(again);
	if (n > 0)
		b->end += (size_t)n;
}

void
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(b, fmt, ap);
	va_end(ap);
}

void
buf_consume(struct buf *b, size_t n)
{
	if (n >= buf_len(b))
		b->start = b->end = 0;
	else
		b->start += n;
}

void
buf_truncate(struct buf *b, size_t n)
{
	if (n < buf_len(b))
		b->end = b->start + n;
}

void
buf_move(struct buf *dst, struct buf *src)
{
	if (buf_len(dst) == 0) {
		free(dst->mem);
		*dst = *src;
		*src = (struct buf)BUF_INIT;
		return;
	}
	buf_add(dst, buf_data(src), buf_len(src));
	buf_clear(src);
}

const char *
buf_cstr(struct buf *b)
{
	*buf_reserve(b, 1) = '\0';
	return (const char *)b->mem + b->start;
}

void
buf_wipe(struct buf *b)
{
	if (b->mem != NULL)
		explicit_bzero(b->mem, b->cap);
	buf_clear(b);
}

/* Little-endian, byte by byte: the compiler makes single stores of it. */
static void
put_le(struct buf *b, uint64_t v, size_t n)
{
	uint8_t *p = buf_reserve(b, n);

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
	b->end += n;
}

void
buf_put_u8(struct buf *b, uint8_t v)
{
	buf_add_byte(b, v);
}

void
buf_put_u16(struct buf *b, uint16_t v)
{
	put_le(b, v, 2);
}

void
buf_put_u32(struct buf *b, uint32_t v)
{
	put_le(b, v, 4);
}

void
buf_put_u64(struct buf *b, uint64_t v)
{
	put_le(b, v, 8);
}

void
buf_put_bytes(struct buf *b, const void *p, size_t n)
{
	(void)buf_reserve(b, n + 4);
	put_le(b, n, 4);
	buf_add(b, p, n);
}

void
buf_put_cstr(struct buf *b, const char *s)
{
	buf_put_bytes(b, s, s == NULL ? 0 : strlen(s));
}

void
rd_init(struct rd *r, const void *p, size_t n)
{
	r->p = p;
	r->n = n;
	r->bad = false;
}

static uint64_t
get_le(struct rd *r, size_t n)
{
	uint64_t v = 0;

	if (r->bad || r->n < n) {
		r->bad = true;
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)r->p[i] << (8 * i);
	r->p += n;
	r->n -= n;
	return v;
}

uint8_t
rd_u8(struct rd *r)
{
	return (uint8_t)get_le(r, 1);
}

uint16_t
rd_u16(struct rd *r)
{
	return (uint16_t)get_le(r, 2);
}

uint32_t
rd_u32(struct rd *r)
{
	return (uint32_t)get_le(r, 4);
}

uint64_t
rd_u64(struct rd *r)
{
	return get_le(r, 8);
}

struct span
rd_bytes(struct rd *r)
{
	size_t n = (size_t)get_le(r, 4);

	if (r->bad || r->n < n) {
		r->bad = true;
		return (struct span){"", 0};
	}
	struct span s = {(const char *)r->p, n};
	r->p += n;
	r->n -= n;
	return s;
}

bool
rd_done(const struct rd *r)
{
	return !r->bad && r->n == 0;
}
