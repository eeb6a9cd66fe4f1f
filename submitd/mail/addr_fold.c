/* SPDX-License-Identifier: ISC */
/*
 * The form in which names of users and patterns are compared, so that no other case and no other
 * form of a letter leads past a rule. Pure. Must never make one of two domains, nor of a name
 * without a domain one that has it.
 */
#include "base/list.h"
#include "base/saslprep.h"
#include "base/str.h"
#include "mail/addr.h"

#include <string.h>
#include <strings.h>

/*
 * What nameprep would make another name of: ss of sharp s, and of look-alikes an @, at which
 * names are parted, and the wildcards * and ?.
 */
static const char *const kept[] = {"\xc3\x9f", "\xef\xbc\xa0", "\xef\xb9\xab", "\xef\xbc\x8a",
    "\xef\xb9\xa1", "\xef\xbc\x9f", "\xef\xb9\x96", "\xef\xb8\x96", "\xe2\x81\x87", "\xe2\x81\x88",
    "\xe2\x81\x89"};

/* Octets at the start of s that stay as they are. */
static size_t
kept_octets(struct span s)
{
	if ((uint8_t)s.p[0] < 0x80)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		if (s.n >= strlen(kept[i]) && memcmp(s.p, kept[i], strlen(kept[i])) == 0)
			return strlen(kept[i]);
	return 0;
}

static int
fold_local(struct span s, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	while (s.n > 0) {
		size_t len = 0, keep = 0;

		while (len < s.n && (keep = kept_octets((struct span){s.p + len, s.n - len})) == 0)
			len++;
		if (saslprep_fold((struct span){s.p, len}, out + n, size - n) == -1)
			return -1;
		n += strlen(out + n);
		if (str_copy_span(out + n, size - n, (struct span){s.p + len, keep}) == -1)
			return -1;
		n += keep;
		s = (struct span){s.p + len + keep, s.n - len - keep};
	}
	return 0;
}

int
addr_fold(struct span name, char *out, size_t size)
{
	const char *at = name.n == 0 ? NULL : memrchr(name.p, '@', name.n);
	size_t local = at == NULL ? name.n : (size_t)(at - name.p), n;

	if (fold_local((struct span){name.p, local}, out, size) == -1)
		return -1;
	n = strlen(out);
	if (str_copy_span(out + n, size - n, (struct span){name.p + local, name.n - local}) == -1)
		return -1;
	str_lower(out + n);
	return 0;
}

struct span
addr_user_key(struct span name, char out[ADDR_FOLDED])
{
	char ascii[ADDR_DOMAIN_MAX + 1];
	char *at;

	if (addr_fold(name, out, ADDR_FOLDED) == -1)
		return name;
	at = strrchr(out, '@');
	if (at != NULL && addr_domain_ascii(span_of(at + 1), ascii) == 0)
		(void)str_copy(at + 1, ADDR_FOLDED - (size_t)(at + 1 - out), ascii);
	return span_of(out);
}

bool
addr_user_same(struct span a, struct span b)
{
	char key_a[ADDR_FOLDED], key_b[ADDR_FOLDED];

	if (!str_is_ascii(a) || !str_is_ascii(b)) {
		a = addr_user_key(a, key_a);
		b = addr_user_key(b, key_b);
	}
	return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}
