/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_ENC_H
#define SUBMITD_BASE_ENC_H

#include "base/buf.h"

#include <stdint.h>

/* RFC 4648 base64 without line breaks. */
void base64_encode(struct buf *out, const void *, size_t n);
/* Strict: canonical padding, no white space. Appends; -1 on rubbish (out is then as before). */
int base64_decode(struct buf *out, struct span);
/* The same for base64url without padding (RFC 4648, 5), as JOSE writes it. */
int base64url_decode(struct buf *out, struct span);

void hex_encode(struct buf *out, const void *, size_t n);
/* Numbers, without the price of printf: in decimal, and as 16 digits. */
void dec_add_u64(struct buf *out, uint64_t);
void hex_add_u64(struct buf *out, uint64_t);

/* CRC-32C (Castagnoli), start with 0. */
uint32_t crc32c(uint32_t crc, const void *, size_t n);

/* A UUID as 16 bytes; as text 36 characters and a NUL. */
struct uuid {
	uint8_t b[16];
};
#define UUID_TEXT 37

void uuid_make_v7(struct uuid *); /* RFC 9562, 5.7: sorts by time */
void uuid_format(const struct uuid *, char out[UUID_TEXT]);
int uuid_parse(struct span, struct uuid *); /* -1 unless exactly 36 characters of a UUID */
bool uuid_equal(const struct uuid *, const struct uuid *);

/* Random bytes from the kernel; never fails after start. */
void random_bytes(void *, size_t);
uint32_t random_below(uint32_t n); /* 0 .. n-1, n > 0 */

/* Appends the bytes as a JSON string with its quotes; bytes that are no UTF-8 become U+FFFD. */
void json_add_str(struct buf *out, struct span);

#endif
