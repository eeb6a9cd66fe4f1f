/* SPDX-License-Identifier: ISC */
/*
 * SASLprep by libidn's stringprep (RFC 4013, RFC 3454). Used by auth, in the loop,
 * by ledger and by submitctl. ASCII never reaches the library.
 */
#include "base/saslprep.h"

#include "base/list.h"
#include "base/str.h"

#include <stringprep.h>
#include <string.h>

/* Longest that is worked on: the library's tables may make three octets of one. */
#define WORK 4096u

/* What the fast path takes: no controls, and no NUL. */
static bool
is_plain(struct span s)
{
	return s.n > 0 && str_is_ascii(s) && !str_has_control(s);
}

/* out has WORK octets. */
static int
prepare(struct span s, char out[WORK])
{
	if (s.n == 0 || s.n >= WORK || memchr(s.p, '\0', s.n) != NULL || !utf8_valid(s))
		return -1;
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	if (stringprep(out, WORK, STRINGPREP_NO_UNASSIGNED, stringprep_saslprep) != STRINGPREP_OK)
		return -1;
	return out[0] == '\0' ? -1 : 0;
}

int
saslprep_text(char *text, size_t size)
{
	char work[WORK];
	int result = -1;

	if (is_plain(span_of(text)))
		return 0;
	if (prepare(span_of(text), work) == 0 && strlen(work) < size) {
		memcpy(text, work, strlen(work) + 1);
		result = 0;
	}
	explicit_bzero(work, sizeof(work));
	return result;
}

int
saslprep_secret(struct secret *s, size_t max)
{
	char work[WORK];
	int result = -1;

	if (is_plain((struct span){s->data, s->len}))
		return s->len <= max ? 0 : -1;
	if (s->data != NULL && prepare((struct span){s->data, s->len}, work) == 0 &&
	    strlen(work) <= max) {
		secret_set(s, work, strlen(work));
		result = 0;
	}
	explicit_bzero(work, sizeof(work));
	return result;
}

/* nameprep (RFC 3491) without its refusals: what is only compared may be anything. */
static int
fold(char text[WORK])
{
	Stringprep_profile steps[8] = {{0}};
	size_t n = 0;

	for (const Stringprep_profile *p = stringprep_nameprep; p->operation != 0; p++)
		if ((p->operation == STRINGPREP_MAP_TABLE || p->operation == STRINGPREP_NFKC) &&
		    n < ARRAY_LEN(steps) - 1)
			steps[n++] = *p;
	return stringprep(text, WORK, 0, steps) == STRINGPREP_OK ? 0 : -1;
}

int
saslprep_fold(struct span s, char *out, size_t size)
{
	char work[WORK];

	if (s.n >= WORK || memchr(s.p == NULL ? "" : s.p, '\0', s.n) != NULL || !utf8_valid(s))
		return -1;
	(void)str_copy_span(work, sizeof(work), s);
	if (str_is_ascii(s))
		str_lower(work);
	else if (fold(work) == -1)
		return -1;
	return str_copy(out, size, work);
}
