/* SPDX-License-Identifier: ISC */
/*
 * Encodings: base64 (RFC 4648), hex, CRC-32C, UUID version 7 (RFC 9562), JSON
 * strings (RFC 8259), and random bytes. Pure but for the kernel's random source.
 */
#include "base/enc.h"
#include "base/str.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#ifdef __x86_64__
#include <nmmintrin.h>
#endif

static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char hexdigits[] = "0123456789abcdef";

void
base64_encode(struct buf *out, const void *data, size_t n)
{
	const uint8_t *p = data;

	for (; n >= 3; n -= 3, p += 3) {
		char q[4] = {b64[p[0] >> 2], b64[(p[0] & 3) << 4 | p[1] >> 4],
		    b64[(p[1] & 15) << 2 | p[2] >> 6], b64[p[2] & 63]};
		buf_add(out, q, 4);
	}
	if (n == 1) {
		char q[4] = {b64[p[0] >> 2], b64[(p[0] & 3) << 4], '=', '='};
		buf_add(out, q, 4);
	} else if (n == 2) {
		char q[4] = {
		    b64[p[0] >> 2], b64[(p[0] & 3) << 4 | p[1] >> 4], b64[(p[1] & 15) << 2], '='};
		buf_add(out, q, 4);
	}
}

static int
b64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int
base64_decode(struct buf *out, struct span in)
{
	size_t before = buf_len(out);

	if (in.n % 4 != 0)
		return -1;
	for (size_t i = 0; i < in.n; i += 4) {
		const char *q = in.p + i;
		bool last = i + 4 == in.n;
		int pad = last && q[3] == '=' ? (q[2] == '=' ? 2 : 1) : 0;
		int v[4] = {b64_value(q[0]), b64_value(q[1]), pad == 2 ? 0 : b64_value(q[2]),
		    pad >= 1 ? 0 : b64_value(q[3])};
		/* bits under the padding must be zero: one text per value */
		if (v[0] < 0 || v[1] < 0 || v[2] < 0 || v[3] < 0 ||
		    (pad == 2 && (v[1] & 15) != 0) || (pad == 1 && (v[2] & 3) != 0)) {
			buf_truncate(out, before);
			return -1;
		}
		uint8_t b[3] = {(uint8_t)(v[0] << 2 | v[1] >> 4), (uint8_t)(v[1] << 4 | v[2] >> 2),
		    (uint8_t)(v[2] << 6 | v[3])};
		buf_add(out, b, (size_t)(3 - pad));
	}
	return 0;
}

int
base64url_decode(struct buf *out, struct span in)
{
	struct buf plain = BUF_INIT;
	uint8_t *p;
	int rc = -1;

	if (in.n % 4 == 1)
		return -1;
	p = buf_reserve(&plain, in.n + 2);
	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] == '+' || in.p[i] == '/' || in.p[i] == '=')
			goto out;
		p[i] = (uint8_t)(in.p[i] == '-' ? '+' : in.p[i] == '_' ? '/' : in.p[i]);
	}
	buf_commit(&plain, in.n);
	while (buf_len(&plain) % 4 != 0)
		buf_add_byte(&plain, '=');
	rc = base64_decode(out, buf_span(&plain));
out:
	buf_wipe(&plain);
	return rc;
}

void
dec_add_u64(struct buf *out, uint64_t v)
{
	char text[20];
	size_t at = sizeof(text);

	do
		text[--at] = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	buf_add(out, text + at, sizeof(text) - at);
}

void
hex_add_u64(struct buf *out, uint64_t v)
{
	char text[16];

	for (size_t i = sizeof(text); i-- > 0; v >>= 4)
		text[i] = hexdigits[v & 15];
	buf_add(out, text, sizeof(text));
}

void
hex_encode(struct buf *out, const void *data, size_t n)
{
	const uint8_t *p = data;
	uint8_t *at = buf_reserve(out, 2 * n);

	for (size_t i = 0; i < n; i++) {
		at[2 * i] = (uint8_t)hexdigits[p[i] >> 4];
		at[2 * i + 1] = (uint8_t)hexdigits[p[i] & 15];
	}
	buf_commit(out, 2 * n);
}

static uint32_t
crc32c_plain(uint32_t crc, const uint8_t *p, size_t n)
{
	static uint32_t table[256];

	if (table[1] == 0) {
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t c = i;
			for (int k = 0; k < 8; k++)
				c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
			table[i] = c;
		}
	}
	while (n-- > 0)
		crc = crc >> 8 ^ table[(crc ^ *p++) & 0xff];
	return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t
crc32c_sse42(uint32_t crc, const uint8_t *p, size_t n)
{
	uint64_t c = crc;

	for (; n >= 8; n -= 8, p += 8) {
		uint64_t v;
		memcpy(&v, p, 8);
		c = _mm_crc32_u64(c, v);
	}
	crc = (uint32_t)c;
	while (n-- > 0)
		crc = _mm_crc32_u8(crc, *p++);
	return crc;
}
#endif

uint32_t
crc32c(uint32_t crc, const void *p, size_t n)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return ~crc32c_sse42(~crc, p, n);
#endif
	return ~crc32c_plain(~crc, p, n);
}

void
random_bytes(void *p, size_t n)
{
	uint8_t *at = p;

	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);
		if (got == -1) {
			if (errno == EINTR)
				continue;
			abort();
		}
		at += got;
		n -= (size_t)got;
	}
}

uint32_t
random_below(uint32_t n)
{
	uint32_t v, limit = UINT32_MAX - UINT32_MAX % n;

	do
		random_bytes(&v, sizeof(v));
	while (v >= limit);
	return v % n;
}

/* Random bits in stock: one system call for many ids. */
static __thread uint8_t uuid_pool[1024];
static __thread size_t uuid_left;

/* Two processes must not draw from copies of the same stock. */
static void
uuid_forget(void)
{
	uuid_left = 0;
}

static void __attribute__((constructor)) uuid_watch_fork(void)
{
	pthread_atfork(NULL, NULL, uuid_forget);
}

void
uuid_make_v7(struct uuid *u)
{
	struct timespec ts;

	if (uuid_left < 10) {
		random_bytes(uuid_pool, sizeof(uuid_pool));
		uuid_left = sizeof(uuid_pool);
	}
	clock_gettime(CLOCK_REALTIME, &ts);
	uint64_t ms = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
	for (int i = 0; i < 6; i++)
		u->b[i] = (uint8_t)(ms >> (40 - 8 * i));
	uuid_left -= 10;
	memcpy(u->b + 6, uuid_pool + uuid_left, 10);
	u->b[6] = (uint8_t)((u->b[6] & 0x0f) | 0x70);
	u->b[8] = (uint8_t)((u->b[8] & 0x3f) | 0x80);
}

void
uuid_format(const struct uuid *u, char out[UUID_TEXT])
{
	size_t at = 0;

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			out[at++] = '-';
		out[at++] = hexdigits[u->b[i] >> 4];
		out[at++] = hexdigits[u->b[i] & 15];
	}
	out[at] = '\0';
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int
uuid_parse(struct span s, struct uuid *u)
{
	struct uuid v;
	size_t at = 0;

	if (s.n != 36)
		return -1;
	for (int i = 0; i < 16; i++) {
		if ((i == 4 || i == 6 || i == 8 || i == 10) && s.p[at++] != '-')
			return -1;
		int hi = hex_value(s.p[at]), lo = hex_value(s.p[at + 1]);
		if (hi < 0 || lo < 0)
			return -1;
		v.b[i] = (uint8_t)(hi << 4 | lo);
		at += 2;
	}
	*u = v;
	return 0;
}

bool
uuid_equal(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->b, b->b, 16) == 0;
}

#define EACH(octet) ((octet)*UINT64_C(0x0101010101010101))

/* How many octets at the front stand for themselves in JSON: printable ASCII, no quote. */
static size_t
json_plain(struct span s)
{
	size_t n = 0;

	for (; s.n - n >= 8; n += 8) {
		uint64_t v, quote, slash;

		/* the high bit of an octet: it is below 0x20, above 0x7e, or the one looked for */
		memcpy(&v, s.p + n, 8);
		quote = v ^ EACH('"');
		slash = v ^ EACH('\\');
		if (((v | (v + EACH(1)) | (v - EACH(0x20)) | (quote - EACH(1)) |
			 (slash - EACH(1))) &
			EACH(0x80)) != 0)
			break;
	}
	while (n < s.n && (unsigned char)s.p[n] >= 0x20 && s.p[n] != '"' && s.p[n] != '\\' &&
	       (unsigned char)s.p[n] < 0x7f)
		n++;
	return n;
}

void
json_add_str(struct buf *out, struct span s)
{
	buf_add_byte(out, '"');
	while (s.n > 0) {
		size_t run = json_plain(s);
		buf_add(out, s.p, run);
		s.p += run;
		s.n -= run;
		if (s.n == 0)
			break;
		unsigned char c = (unsigned char)s.p[0];
		size_t len = utf8_prefix(s);
		if (c == '"' || c == '\\')
			buf_addf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			buf_addf(out, "\\u%04x", c);
		else if (len == 0)
			buf_add_str(out, "\xef\xbf\xbd");
		else if (c == 0xc2 && (unsigned char)s.p[1] < 0xa0) /* C1: terminals obey them */
			buf_addf(out, "\\u%04x", (unsigned char)s.p[1]);
		else
			buf_add(out, s.p, len);
		len = len == 0 ? 1 : len;
		s.p += len;
		s.n -= len;
	}
	buf_add_byte(out, '"');
}
