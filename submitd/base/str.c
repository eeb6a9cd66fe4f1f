/* SPDX-License-Identifier: ISC */
/*
 * Memory that cannot fail, and the few string functions that the project uses
 * instead of strcpy, strcat, sprintf, strtok and atoi. Pure; every process.
 */
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static void __attribute__((noreturn)) out_of_memory(void)
{
	static const char text[] = "submitd: out of memory\n";

	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	abort();
}

void *
xmalloc(size_t n)
{
	void *p = malloc(n == 0 ? 1 : n);

	if (p == NULL)
		out_of_memory();
	return p;
}

void *
xcallocarray(size_t n, size_t size)
{
	void *p = calloc(n == 0 ? 1 : n, size == 0 ? 1 : size);

	if (p == NULL)
		out_of_memory();
	return p;
}

void *
xreallocarray(void *old, size_t n, size_t size)
{
	void *p = reallocarray(old, n == 0 ? 1 : n, size == 0 ? 1 : size);

	if (p == NULL)
		out_of_memory();
	return p;
}

char *
xstrdup(const char *s)
{
	return s == NULL ? NULL : xstrndup(s, strlen(s));
}

char *
xstrndup(const char *s, size_t n)
{
	char *p = xmalloc(n + 1);

	if (n > 0)
		memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

char *
xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *p;

	va_start(ap, fmt);
	if (vasprintf(&p, fmt, ap) == -1)
		out_of_memory();
	va_end(ap);
	return p;
}

int
str_copy_span(char *dst, size_t size, struct span s)
{
	if (s.n >= size) {
		if (size > 0)
			dst[0] = '\0';
		errno = ENAMETOOLONG;
		return -1;
	}
	if (s.n > 0)
		memcpy(dst, s.p, s.n);
	dst[s.n] = '\0';
	return 0;
}

int
str_copy(char *dst, size_t size, const char *src)
{
	return str_copy_span(dst, size, span_of(src));
}

int
str_printf(char *dst, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(dst, size, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= size) {
		if (size > 0)
			dst[0] = '\0';
		errno = ENAMETOOLONG;
		return -1;
	}
	return 0;
}

int
span_to_u64(struct span s, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0) {
		errno = EINVAL;
		return -1;
	}
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9') {
			errno = EINVAL;
			return -1;
		}
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v)) {
			errno = ERANGE;
			return -1;
		}
	}
	if (v < min || v > max) {
		errno = ERANGE;
		return -1;
	}
	*out = v;
	return 0;
}

int
str_to_u64(const char *s, uint64_t min, uint64_t max, uint64_t *out)
{
	return span_to_u64(span_of(s), min, max, out);
}

struct span
span_of(const char *s)
{
	return s == NULL ? (struct span){"", 0} : (struct span){s, strlen(s)};
}

bool
span_eq(struct span s, const char *t)
{
	size_t n = strlen(t);

	return s.n == n && (n == 0 || memcmp(s.p, t, n) == 0);
}

bool
span_eq_nocase(struct span s, const char *t)
{
	return s.n == strlen(t) && span_starts_nocase(s, t);
}

static char
ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool
span_starts_nocase(struct span s, const char *prefix)
{
	size_t n = strlen(prefix);

	if (s.n < n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (ascii_lower(s.p[i]) != ascii_lower(prefix[i]))
			return false;
	return true;
}

struct span
span_trim(struct span s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

struct span
span_cut(struct span *rest, char c)
{
	struct span part = *rest;
	const char *hit = rest->n == 0 ? NULL : memchr(rest->p, c, rest->n);

	if (hit == NULL) {
		rest->p = NULL;
		rest->n = 0;
		return part;
	}
	part.n = (size_t)(hit - part.p);
	rest->p = hit + 1;
	rest->n -= part.n + 1;
	return part;
}

char *
span_dup(struct span s)
{
	return xstrndup(s.p, s.n);
}

bool
str_eq_nocase(const char *a, const char *b)
{
	return span_eq_nocase(span_of(a), b);
}

void
str_lower(char *s)
{
	for (; *s != '\0'; s++)
		*s = ascii_lower(*s);
}

bool
str_has_control(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return true;
	return false;
}

bool
str_is_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

size_t
utf8_prefix(struct span s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t n;
	unsigned low = 0x80, high = 0xbf;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		n = 2;
	} else if (p[0] >= 0xe0 && p[0] <= 0xef) {
		n = 3;
		if (p[0] == 0xe0)
			low = 0xa0; /* overlong */
		if (p[0] == 0xed)
			high = 0x9f; /* surrogates */
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		n = 4;
		if (p[0] == 0xf0)
			low = 0x90;
		if (p[0] == 0xf4)
			high = 0x8f; /* above U+10FFFF */
	} else {
		return 0;
	}
	if (s.n < n || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return n;
}

void
utf8_add(struct buf *b, uint32_t c)
{
	if (c < 0x80) {
		buf_add_byte(b, (uint8_t)c);
	} else if (c < 0x800) {
		buf_add_byte(b, (uint8_t)(0xc0 | c >> 6));
		buf_add_byte(b, (uint8_t)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_add_byte(b, (uint8_t)(0xe0 | c >> 12));
		buf_add_byte(b, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buf_add_byte(b, (uint8_t)(0x80 | (c & 0x3f)));
	} else {
		buf_add_byte(b, (uint8_t)(0xf0 | c >> 18));
		buf_add_byte(b, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
		buf_add_byte(b, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buf_add_byte(b, (uint8_t)(0x80 | (c & 0x3f)));
	}
}

bool
utf8_valid(struct span s)
{
	while (s.n > 0) {
		size_t n = utf8_prefix(s);
		if (n == 0)
			return false;
		s.p += n;
		s.n -= n;
	}
	return true;
}
