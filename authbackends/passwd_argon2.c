/* SPDX-License-Identifier: ISC */
/*
 * Hashes of argon2id, as libargon2 writes them: $argon2id$v=19$m=..,t=..,p=..$salt$hash.
 * Process auth: verify on workers only. The cost stands in the text and is bounded
 * here: m is the memory in KiB that each check takes.
 */
#include "authbackends/passwd_kinds.h"

#include "base/enc.h"
#include "base/str.h"

#include <argon2.h>
#include <string.h>

#define PREFIX "$argon2id$"
#define MEMORY_MAX (256u << 10) /* KiB */
#define PASSES_MAX 20u
#define LANES_MAX 4u
#define WORK_MAX (2u << 20) /* KiB over all passes: about four seconds */

/* "m=19456,t=2,p=1": the order is fixed (the reference code reads no other). */
static const char *
check_cost(struct span s)
{
	static const struct {
		const char *name;
		uint64_t min, max;
		const char *wrong;
	} limits[] = {
	    {"m=", 8, MEMORY_MAX, "m of argon2id must be 8 to 262144 (KiB)"},
	    {"t=", 1, PASSES_MAX, "t of argon2id must be 1 to 20"},
	    {"p=", 1, LANES_MAX, "p of argon2id must be 1 to 4"},
	};
	uint64_t v[3];
	size_t i;

	for (i = 0; i < 3; i++) {
		struct span part = span_cut(&s, ',');

		if (!span_starts_nocase(part, limits[i].name))
			return "the hash is cut short or malformed";
		part = (struct span){part.p + 2, part.n - 2};
		if (span_to_u64(part, limits[i].min, limits[i].max, &v[i]) == -1)
			return limits[i].wrong;
	}
	if (s.p != NULL)
		return "the hash is cut short or malformed";
	if (v[0] < 8 * v[2])
		return "m of argon2id must be at least 8 for each p";
	if (v[0] * v[1] > WORK_MAX)
		return "the cost of argon2id is too high (m times t over 2097152)";
	return NULL;
}

/* Base64 without padding, of min to max octets. */
static bool
is_part(struct span s, size_t min, size_t max)
{
	struct buf text = BUF_INIT, out = BUF_INIT;
	bool good;

	if (s.p == NULL || s.n == 0 || s.n > 100)
		return false;
	buf_add_span(&text, s);
	while (buf_len(&text) % 4 != 0)
		buf_add_byte(&text, '=');
	good = base64_decode(&out, buf_span(&text)) == 0 && buf_len(&out) >= min &&
	       buf_len(&out) <= max;
	buf_wipe(&text);
	buf_wipe(&out);
	return good;
}

const char *
passwd_argon2_check(struct span s, enum passwd_kind *kind)
{
	const char *wrong;
	struct span version, cost, salt;

	if (s.n >= 8 && memcmp(s.p, "$argon2", 7) == 0 && !span_starts_nocase(s, PREFIX))
		return "of the argon2 kinds only argon2id is taken";
	if (!span_starts_nocase(s, PREFIX) || memcmp(s.p, PREFIX, strlen(PREFIX)) != 0)
		return PASSWD_UNKNOWN;
	s = (struct span){s.p + strlen(PREFIX), s.n - strlen(PREFIX)};
	version = span_cut(&s, '$');
	if (!span_eq(version, "v=19"))
		return "of argon2id only version 19 is taken";
	cost = span_cut(&s, '$');
	if ((wrong = check_cost(cost)) != NULL)
		return wrong;
	salt = span_cut(&s, '$');
	if (!is_part(salt, 8, 64) || !is_part(s, 16, 64))
		return "the hash is cut short or malformed";
	*kind = PASSWD_ARGON2ID;
	return NULL;
}

bool
passwd_argon2_verify(const char *hash, const struct secret *password)
{
	return argon2_verify(hash, password->data, password->len, Argon2_id) == ARGON2_OK;
}
