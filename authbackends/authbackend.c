/* SPDX-License-Identifier: ISC */
/*
 * The kinds of backends that were compiled in, made from backends.def. Process
 * auth. Holds no state.
 */
#include "authbackends/authbackend.h"

#include "base/list.h"

#include <string.h>

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
