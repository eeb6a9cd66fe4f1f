/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_STR_H
#define SUBMITD_BASE_STR_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory that ends the process when there is none: every size was bounded before. */
void *xmalloc(size_t);
void *xcallocarray(size_t n, size_t size);
void *xreallocarray(void *, size_t n, size_t size);
char *xstrdup(const char *); /* NULL gives NULL */
char *xstrndup(const char *, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Copies; -1 with errno ENAMETOOLONG where it does not fit, dst is then the empty string. */
int str_copy(char *dst, size_t size, const char *src);
int str_copy_span(char *dst, size_t size, struct span);
int str_printf(char *dst, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Whole decimal numbers only, no sign, no space: -1 with errno EINVAL or ERANGE. */
int str_to_u64(const char *, uint64_t min, uint64_t max, uint64_t *out);
int span_to_u64(struct span, uint64_t min, uint64_t max, uint64_t *out);

struct span span_of(const char *); /* NULL gives an empty span */
bool span_eq(struct span, const char *);
bool span_eq_nocase(struct span, const char *); /* ASCII case only */
bool span_starts_nocase(struct span, const char *prefix);
struct span span_trim(struct span); /* SP and TAB at both ends */
/* Cuts the part before the first c (or everything) off *rest and returns it; sets p to NULL at the
 * end. */
struct span span_cut(struct span *rest, char c);
char *span_dup(struct span);

bool str_eq_nocase(const char *, const char *);
void str_lower(char *);                  /* ASCII, in place */
bool str_has_control(struct span);       /* bytes < 0x20 or 0x7f */
void utf8_add(struct buf *, uint32_t c); /* c: below 0x110000 and no surrogate */
bool utf8_valid(struct span);            /* RFC 3629: no surrogates, no overlong forms */
/* Octets of the valid UTF-8 sequence at the start of s (not empty); 0 when there is none. */
size_t utf8_prefix(struct span);
bool str_is_ascii(struct span);

#endif
