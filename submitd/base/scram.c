/* SPDX-License-Identifier: ISC */
/*
 * Keys of SCRAM-SHA-256: their text and how they come from a password (RFC 5802, 3).
 * Used by auth on workers, and by submitctl. Must never leave a password or a key
 * behind in memory.
 */
#include "base/scram.h"

#include "base/enc.h"
#include "base/str.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <string.h>

/* Exactly between min and max octets of base64. */
static int
take_base64(struct span text, uint8_t *out, size_t min, size_t max, size_t *n)
{
	struct buf b = BUF_INIT;
	int result = -1;

	if (text.n > 0 && text.n <= 4 * ((max + 2) / 3) && base64_decode(&b, text) == 0 &&
	    buf_len(&b) >= min && buf_len(&b) <= max) {
		*n = buf_len(&b);
		memcpy(out, buf_data(&b), *n);
		result = 0;
	}
	buf_wipe(&b);
	return result;
}

const char *
scram_parse(struct span s, struct scram_keys *out)
{
	struct scram_keys k = {0};
	struct span rounds, salt, stored;
	uint64_t n;
	size_t len;

	if (!span_starts_nocase(s, SCRAM_PREFIX) ||
	    memcmp(s.p, SCRAM_PREFIX, strlen(SCRAM_PREFIX)) != 0)
		return "not an entry of SCRAM-SHA-256";
	s = (struct span){s.p + strlen(SCRAM_PREFIX), s.n - strlen(SCRAM_PREFIX)};
	rounds = span_cut(&s, ':');
	if (s.p == NULL)
		return "the SCRAM entry is cut short or malformed";
	if (span_to_u64(rounds, SCRAM_ITERATIONS_MIN, SCRAM_ITERATIONS_MAX, &n) == -1)
		return "iterations of SCRAM must be 4096 to 1000000";
	k.iterations = (uint32_t)n;
	salt = span_cut(&s, '$');
	stored = s.p == NULL ? s : span_cut(&s, ':');
	if (s.p == NULL ||
	    take_base64(salt, k.salt, SCRAM_SALT_MIN, SCRAM_SALT_MAX, &k.salt_len) == -1)
		return s.p == NULL ? "the SCRAM entry is cut short or malformed"
		                   : "the salt of SCRAM must be 8 to 64 octets in base64";
	if (take_base64(stored, k.stored, SCRAM_KEY, SCRAM_KEY, &len) == -1 ||
	    take_base64(s, k.server, SCRAM_KEY, SCRAM_KEY, &len) == -1)
		return "the SCRAM entry is cut short or malformed";
	*out = k;
	explicit_bzero(&k, sizeof(k));
	return NULL;
}

void
scram_format(const struct scram_keys *k, char out[SCRAM_TEXT])
{
	struct buf b = BUF_INIT;

	buf_addf(&b, SCRAM_PREFIX "%u:", k->iterations);
	base64_encode(&b, k->salt, k->salt_len);
	buf_add_byte(&b, '$');
	base64_encode(&b, k->stored, SCRAM_KEY);
	buf_add_byte(&b, ':');
	base64_encode(&b, k->server, SCRAM_KEY);
	(void)str_copy_span(out, SCRAM_TEXT, buf_span(&b));
	buf_wipe(&b);
}

int
scram_derive(struct scram_keys *k, const void *password, size_t n)
{
	uint8_t salted[SCRAM_KEY], client[SCRAM_KEY];
	unsigned len = 0;
	int result = -1;

	if (PKCS5_PBKDF2_HMAC(password, (int)n, k->salt, (int)k->salt_len, (int)k->iterations,
		EVP_sha256(), SCRAM_KEY, salted) == 1 &&
	    HMAC(EVP_sha256(), salted, SCRAM_KEY, (const uint8_t *)"Client Key", 10, client,
		&len) != NULL &&
	    HMAC(EVP_sha256(), salted, SCRAM_KEY, (const uint8_t *)"Server Key", 10, k->server,
		&len) != NULL &&
	    SHA256(client, SCRAM_KEY, k->stored) != NULL)
		result = 0;
	explicit_bzero(salted, sizeof(salted));
	explicit_bzero(client, sizeof(client));
	return result;
}
