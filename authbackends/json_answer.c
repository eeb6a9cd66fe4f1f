/* SPDX-License-Identifier: ISC */
/*
 * Reads JSON that an HTTP server or a token holds. Process auth, on workers. Pure.
 */
#include "authbackends/json_answer.h"

#include "base/str.h"

#include <string.h>

#define NAME_MAX_OCTETS 300u
#define DEPTH_MAX 32

/* jansson recurses: an answer deeper than anything sensible is not even begun. */
static bool
is_shallow(struct span s)
{
	bool in_string = false;
	size_t i;
	int depth = 0;

	for (i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > DEPTH_MAX)
				return false;
		} else if (c == '}' || c == ']') {
			depth--;
		}
	}
	return true;
}

json_t *
json_answer_parse(struct span s)
{
	json_t *j;

	if (!is_shallow(s))
		return NULL;
	j = json_loadb(s.n == 0 ? "" : s.p, s.n, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(j))
		return j;
	json_decref(j);
	return NULL;
}

const json_t *
json_answer_member(const json_t *object, const char *name)
{
	const json_t *j = json_object_get(object, name);
	struct span rest = span_of(name), part;
	char key[NAME_MAX_OCTETS + 1];

	if (j != NULL)
		return j;
	j = object;
	while (j != NULL && rest.p != NULL) {
		part = span_cut(&rest, '.');
		if (str_copy_span(key, sizeof(key), part) == -1)
			return NULL;
		j = json_object_get(j, key);
	}
	return j;
}

int
json_answer_text(const json_t *value, char *out, size_t size)
{
	if (json_is_string(value))
		return str_copy_span(
		    out, size, (struct span){json_string_value(value), json_string_length(value)});
	if (json_is_boolean(value))
		return str_copy(out, size, json_is_true(value) ? "true" : "false");
	if (json_is_integer(value))
		return str_printf(out, size, "%lld", (long long)json_integer_value(value));
	return -1;
}

int
json_answer_user(const json_t *object, const char *name, char out[ADDR_TEXT])
{
	const json_t *value = json_answer_member(object, name);
	char text[AUTH_NAME_MAX + 1];

	if (json_is_boolean(value) || json_answer_text(value, text, sizeof(text)) == -1 ||
	    text[0] == '\0' || str_has_control(span_of(text)))
		return -1;
	return str_copy(out, ADDR_TEXT, text);
}

void
json_answer_addresses(const json_t *object, const char *name, struct auth_check *c)
{
	const json_t *value = json_answer_member(object, name), *one;
	size_t i;

	if (json_is_string(value))
		auth_check_add_own(
		    c, (struct span){json_string_value(value), json_string_length(value)});
	for (i = 0; i < json_array_size(value); i++)
		if (json_is_string(one = json_array_get(value, i)))
			auth_check_add_own(
			    c, (struct span){json_string_value(one), json_string_length(one)});
}
