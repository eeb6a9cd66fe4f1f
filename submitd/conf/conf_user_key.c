/* SPDX-License-Identifier: ISC */
/*
 * Under which name a user is counted (A7): the one place that says which spellings are
 * one user. Pure. Must never let two spellings that a backend may take for one user be
 * two, for each would bring guesses of its own; that two users share a count is no harm.
 */
#include "base/saslprep.h"
#include "base/str.h"
#include "conf/conf.h"
#include "mail/addr.h"

#include <string.h>

/* Blanks do not count: a directory may take a name with some more for the same one. */
static void
drop_blanks(char *s)
{
	char *to = s;

	for (; *s != '\0'; s++)
		if (*s != ' ')
			*to++ = *s;
	*to = '\0';
}

/* Behind the @ of a folded name: one kind of dots, none at the end, A-labels. */
static void
fold_domain(char *domain, size_t size)
{
	static const char wide_dot[] = "\xe3\x80\x82"; /* U+3002, RFC 3490, 3.1 */
	char ascii[ADDR_DOMAIN_MAX + 1];
	size_t n;

	for (char *at; (at = strstr(domain, wide_dot)) != NULL;) {
		*at = '.';
		memmove(at + 1, at + 3, strlen(at + 3) + 1);
	}
	for (n = strlen(domain); n > 0 && domain[n - 1] == '.'; n--)
		domain[n - 1] = '\0';
	if (addr_domain_ascii((struct span){domain, n}, ascii) == 0)
		(void)str_copy(domain, size, ascii);
}

/* Letters and blanks, until nothing changes: a letter that a blank held apart may join another. */
static void
fold_letters(char key[CONF_USER_KEY])
{
	char before[CONF_USER_KEY];

	for (unsigned i = 0; i < 4; i++) {
		memcpy(before, key, sizeof(before));
		drop_blanks(key);
		if (saslprep_fold(span_of(key), key, CONF_USER_KEY) == -1)
			str_lower(key);
		if (strcmp(before, key) == 0)
			return;
	}
}

void
conf_user_key(const struct conf *c, struct span name, char out[CONF_USER_KEY])
{
	char parent[CONF_USER_KEY];
	char *at;

	memset(out, 0, CONF_USER_KEY);
	if (name.n > 0)
		memcpy(out, name.p, name.n < CONF_USER_KEY ? name.n : CONF_USER_KEY - 1);
	fold_letters(out);
	at = strrchr(out, '@');
	if (at == NULL)
		return;
	fold_domain(at + 1, CONF_USER_KEY - (size_t)(at + 1 - out));
	if (conf_alias_address(c, out, parent, sizeof(parent)) == 0)
		(void)str_copy(out, CONF_USER_KEY, parent);
}
