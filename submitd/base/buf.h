/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_BUF_H
#define SUBMITD_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

/*
 * A growable run of bytes that is filled at the end and eaten from the front.
 * All functions accept an empty, zeroed struct. Memory comes from xmalloc():
 * running out of it ends the process, so nothing here reports it.
 */
struct buf {
	uint8_t *mem; /* owned */
	size_t start; /* first live byte */
	size_t end;   /* one past the last live byte */
	size_t cap;
	bool wipes; /* passwords pass through: memory is wiped before it is given back */
};

/* Bytes owned by somebody else. Never NUL terminated by contract. */
struct span {
	const char *p;
	size_t n;
};

#define BUF_INIT                                                                                   \
	{                                                                                          \
		NULL, 0, 0, 0, false                                                               \
	}

static inline const uint8_t *
buf_data(const struct buf *b)
{
	return b->mem == NULL ? (const uint8_t *)"" : b->mem + b->start;
}

static inline size_t
buf_len(const struct buf *b)
{
	return b->end - b->start;
}

static inline struct span
buf_span(const struct buf *b)
{
	return (struct span){(const char *)buf_data(b), buf_len(b)};
}

/* Frees the memory; the struct is empty and usable again. */
void buf_clear(struct buf *);
/* Empties it, keeps the memory. */
void buf_reset(struct buf *);
/* For buf_reserve(), when there is no room. */
uint8_t *buf_grow(struct buf *, size_t n);

/* Inline, here and below: texts are made of many small pieces, most of them literals. */

/* Room for n bytes behind the end; the caller writes and then calls buf_commit. */
static inline uint8_t *
buf_reserve(struct buf *b, size_t n)
{
	return b->mem != NULL && b->cap - b->end >= n ? b->mem + b->end : buf_grow(b, n);
}

static inline void
buf_commit(struct buf *b, size_t n)
{
	b->end += n;
}

static inline void
buf_add(struct buf *b, const void *p, size_t n)
{
	if (n == 0)
		return;
	memcpy(buf_reserve(b, n), p, n);
	b->end += n;
}

static inline void
buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

static inline void
buf_add_span(struct buf *b, struct span s)
{
	buf_add(b, s.p, s.n);
}

static inline void
buf_add_byte(struct buf *b, uint8_t c)
{
	*buf_reserve(b, 1) = c;
	b->end++;
}

void buf_addf(struct buf *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vaddf(struct buf *, const char *fmt, va_list) __attribute__((format(printf, 2, 0)));
/* Drops n bytes (at most all) from the front. */
void buf_consume(struct buf *, size_t n);
/* Drops everything behind the first n bytes. */
void buf_truncate(struct buf *, size_t n);
/* Moves the contents of src behind dst's; src is empty afterwards. */
void buf_move(struct buf *dst, struct buf *src);
/* Terminates the contents with a NUL that does not count; valid until the next change. */
const char *buf_cstr(struct buf *);
/* Overwrites the whole memory with zeros and frees it: for secrets. */
void buf_wipe(struct buf *);

/* Little-endian fixed-width and length-prefixed fields, for IPC and on-disk records. */
void buf_put_u8(struct buf *, uint8_t);
void buf_put_u16(struct buf *, uint16_t);
void buf_put_u32(struct buf *, uint32_t);
void buf_put_u64(struct buf *, uint64_t);
void buf_put_bytes(struct buf *, const void *, size_t n); /* u32 length, then the bytes */
void buf_put_cstr(struct buf *, const char *);            /* NULL is written as empty */

/* A reader over a span: after the first short or bad field, bad is true and all reads give 0. */
struct rd {
	const uint8_t *p;
	size_t n;
	bool bad;
};

void rd_init(struct rd *, const void *, size_t n);
uint8_t rd_u8(struct rd *);
uint16_t rd_u16(struct rd *);
uint32_t rd_u32(struct rd *);
uint64_t rd_u64(struct rd *);
struct span rd_bytes(struct rd *);
/* True when every byte was read and none was missing. */
bool rd_done(const struct rd *);

#endif
