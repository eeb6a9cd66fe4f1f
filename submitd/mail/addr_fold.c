/* SPDX-License-Identifier: ISC */
/*
 * The form in which names of users and patterns are compared, so that no other case and no other
 * form of a letter leads past a rule. Pure. Must never make one of two domains.
 */
#include "base/saslprep.h"
#include "base/str.h"
#include "mail/addr.h"

#include <string.h>
#include <strings.h>

#define SHARP_S "\xc3\x9f"

/* Without ß: nameprep would make ss of it, and that is another name. */
static int
fold_local(struct span s, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	while (s.n > 0) {
		const char *sharp = memmem(s.p, s.n, SHARP_S, 2);
		size_t len = sharp == NULL ? s.n : (size_t)(sharp - s.p);

		if (saslprep_fold((struct span){s.p, len}, out + n, size - n) == -1)
			return -1;
		n += strlen(out + n);
		if (sharp != NULL && str_copy(out + n, size - n, SHARP_S) == -1)
			return -1;
		n += sharp == NULL ? 0 : 2;
		len += sharp == NULL ? 0 : 2;
		s = (struct span){s.p + len, s.n - len};
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
