/* SPDX-License-Identifier: ISC */
/*
 * Lines of the audit record and their hashes (A4). Pure; used by the ledger, which
 * writes them, and by submitctl, which trusts no octet of them.
 */
#include "audit/audit_chain.h"

#include "base/str.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* One context and one fetched method per thread: the look-up costs more than a short hash. */
static EVP_MD_CTX *
context(void)
{
	static __thread EVP_MD_CTX *ctx;
	static __thread EVP_MD *md;

	if (ctx == NULL) {
		ctx = EVP_MD_CTX_new();
		md = EVP_MD_fetch(NULL, "SHA256", NULL);
		if (ctx == NULL || md == NULL || EVP_DigestInit_ex2(ctx, md, NULL) != 1)
			abort(); /* no memory, or a library without SHA-256 */
	}
	if (EVP_DigestInit_ex2(ctx, NULL, NULL) != 1)
		abort();
	return ctx;
}

void
audit_hash_next(const struct audit_hash *prev, struct span body, struct audit_hash *out)
{
	EVP_MD_CTX *ctx = context();

	if (EVP_DigestUpdate(ctx, prev->b, sizeof(prev->b)) != 1 ||
	    EVP_DigestUpdate(ctx, body.p, body.n) != 1 ||
	    EVP_DigestFinal_ex(ctx, out->b, NULL) != 1)
		abort();
}

void
audit_hash_of(struct span s, struct audit_hash *out)
{
	EVP_MD_CTX *ctx = context();

	if (EVP_DigestUpdate(ctx, s.p, s.n) != 1 || EVP_DigestFinal_ex(ctx, out->b, NULL) != 1)
		abort();
}

bool
audit_hash_equal(const struct audit_hash *a, const struct audit_hash *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

void
audit_hash_format(const struct audit_hash *h, char out[AUDIT_HASH_TEXT])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < sizeof(h->b); i++) {
		out[2 * i] = digits[h->b[i] >> 4];
		out[2 * i + 1] = digits[h->b[i] & 15];
	}
	out[AUDIT_HASH_TEXT - 1] = '\0';
}

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; /* one spelling only */
}

int
audit_hash_parse(struct span s, struct audit_hash *out)
{
	struct audit_hash h;

	if (s.n != AUDIT_HASH_TEXT - 1)
		return -1;
	for (size_t i = 0; i < sizeof(h.b); i++) {
		int hi = digit(s.p[2 * i]), lo = digit(s.p[2 * i + 1]);

		if (hi == -1 || lo == -1)
			return -1;
		h.b[i] = (uint8_t)(hi << 4 | lo);
	}
	*out = h;
	return 0;
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* Eats the words at the front of *s. -1: they do not stand there. */
static int
eat(struct span *s, const char *words)
{
	size_t n = strlen(words);

	if (s->n < n || memcmp(s->p, words, n) != 0)
		return -1;
	s->p += n;
	s->n -= n;
	return 0;
}

static int
eat_number(struct span *s, uint64_t *out)
{
	size_t n = 0;

	while (n < s->n && n < 20 && s->p[n] >= '0' && s->p[n] <= '9')
		n++;
	if (n == 0 || (n > 1 && s->p[0] == '0') ||
	    span_to_u64((struct span){s->p, n}, 0, UINT64_MAX - 1, out) == -1)
		return -1;
	s->p += n;
	s->n -= n;
	return 0;
}

/* Up to the quote that ends it; our own texts, without escapes. */
static int
eat_plain(struct span *s, struct span *out)
{
	const char *q = memchr(s->p, '"', s->n);

	if (q == NULL)
		return -1;
	*out = (struct span){s->p, (size_t)(q - s->p)};
	s->n -= out->n + 1;
	s->p = q + 1;
	return 0;
}

int
audit_line_parse(struct span line, struct audit_line *out)
{
	struct audit_line l = {.chained = false};
	struct span rest = line, tail;

	if (line.n < 3 || line.p[line.n - 1] != '}' || memchr(line.p, '\0', line.n) != NULL)
		return -1;
	l.body = (struct span){line.p, line.n - 1};
	if (line.n > AUDIT_HASH_TAIL) {
		tail = (struct span){line.p + line.n - AUDIT_HASH_TAIL, AUDIT_HASH_TAIL - 2};
		if (eat(&tail, ",\"hash\":\"") == 0) {
			if (line.p[line.n - 2] != '"' || audit_hash_parse(tail, &l.hash) == -1)
				return -1;
			l.chained = true;
			l.body.n = line.n - AUDIT_HASH_TAIL;
		}
	}
	rest.n = l.body.n;
	if (eat(&rest, "{\"seq\":") == -1 || eat_number(&rest, &l.seq) == -1 || l.seq == 0 ||
	    eat(&rest, ",\"time\":\"") == -1 || eat_plain(&rest, &l.time) == -1 ||
	    eat(&rest, ",\"kind\":\"") == -1 || eat_plain(&rest, &l.kind) == -1)
		return -1;
	l.members = rest;
	*out = l;
	return 0;
}

bool
audit_line_is_part(const struct audit_line *l, bool before_is_chained)
{
	return before_is_chained && !l->chained && !span_eq(l->kind, "begin");
}

int
audit_line_get(const struct audit_line *l, const char *name, struct span *value)
{
	char key[40];
	const char *at;
	struct span rest;
	size_t n;

	/* quotes within texts are escaped: these octets stand at a real member only */
	if (str_printf(key, sizeof(key), ",\"%s\":", name) == -1)
		return -1;
	at = l->members.n == 0 ? NULL : memmem(l->members.p, l->members.n, key, strlen(key));
	if (at == NULL)
		return -1;
	rest.p = at + strlen(key);
	rest.n = (size_t)(l->members.p + l->members.n - rest.p);
	if (rest.n > 0 && rest.p[0] == '"') {
		rest.p++;
		rest.n--;
		return eat_plain(&rest, value);
	}
	for (n = 0; n < rest.n && rest.p[n] != ','; n++)
		;
	*value = (struct span){rest.p, n};
	return n == 0 ? -1 : 0;
}

int
audit_line_u64(const struct audit_line *l, const char *name, uint64_t *value)
{
	struct span s;

	if (audit_line_get(l, name, &s) == -1)
		return -1;
	return span_to_u64(s, 0, UINT64_MAX - 1, value);
}
