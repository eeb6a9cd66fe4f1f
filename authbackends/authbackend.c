/* SPDX-License-Identifier: ISC */
/*
 * The kinds of backends that were compiled in, made from backends.def. Process
 * auth. Holds no state.
 */
#include "authbackends/authbackend.h"

#include "base/list.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TRACE_MAX (64u << 10)

static const struct authbackend *const kinds[] = {
#define BACKEND(kind) &authbackend_##kind,
#include "authbackends/backends.def"
#undef BACKEND
};

/* The option's words come from the configuration's table: both must have the same order. */
static const char *const kind_words[] = {CONF_ENUM_backend_type};
_Static_assert(ARRAY_LEN(kinds) == ARRAY_LEN(kind_words), "backends.def and backend.type differ");

const struct authbackend *
authbackend_kind(int type)
{
	if (type < 0 || (size_t)type >= ARRAY_LEN(kinds))
		return NULL;
	return authbackend_kind_by_name(kind_words[type]);
}

const struct authbackend *
authbackend_kind_by_name(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i]->name, name) == 0)
			return kinds[i];
	return NULL;
}

enum verdict
auth_check_hash(void *self, struct auth_check *c)
{
	(void)self;
	c->hashed = true;
	if (passwd_hash_verify(c->hash, &c->password))
		return V_OK;
	(void)str_copy(c->reason, sizeof(c->reason), "wrong password");
	return V_PERM;
}

void
auth_check_add_own(struct auth_check *c, struct span address)
{
	char text[ADDR_TEXT];
	struct addr a;
	size_t n = 0, i;

	for (i = 0; i < buf_len(&c->own); i++)
		n += buf_data(&c->own)[i] == '\0';
	if (n >= AUTH_OWN_MAX || buf_len(&c->own) + address.n + 1 > AUTH_OWN_BYTES ||
	    address.n >= sizeof(text) || addr_parse(address, ADDR_ALLOW_UTF8, &a) != ADDR_OK ||
	    addr_is_null(&a))
		return;
	buf_add_span(&c->own, address);
	buf_add_byte(&c->own, '\0');
}

void
auth_check_trace(struct auth_check *c, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	if (!c->want_trace || buf_len(&c->trace) > TRACE_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap); /* cut: it is for eyes only */
	va_end(ap);
	buf_add_str(&c->trace, line);
	buf_add_byte(&c->trace, '\n');
}
