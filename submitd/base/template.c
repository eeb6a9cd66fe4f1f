/* SPDX-License-Identifier: ISC */
/*
 * Fills a user's name and password into a text of the configuration. The one place
 * where values are escaped for a URL, a form or JSON. Pure.
 */
#include "base/template.h"

#include "base/enc.h"
#include "base/str.h"
#include "base/url.h"

#include <jansson.h>
#include <string.h>

enum place { PLACE_NONE = 0, PLACE_NAME = 1, PLACE_PASSWORD = 2 };

/* What stands at the front of s. */
static enum place
place_at(struct span s)
{
	if (s.n < 2)
		return PLACE_NONE;
	if (memcmp(s.p, "%u", 2) == 0 || memcmp(s.p, "$1", 2) == 0)
		return PLACE_NAME;
	if (memcmp(s.p, "%p", 2) == 0 || memcmp(s.p, "$2", 2) == 0)
		return PLACE_PASSWORD;
	return PLACE_NONE;
}

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static const char *
check_json(struct span text)
{
	/* outside of a string this is an error: there the quotes would not be escaped */
	static const struct span probe = {"\"x\"", 3};
	struct buf out = BUF_INIT;
	json_t *j = NULL;

	if (template_expand(&out, text, TEMPLATE_JSON, probe, probe) == 0)
		j = json_loadb(
		    (const char *)buf_data(&out), buf_len(&out), JSON_REJECT_DUPLICATES, NULL);
	buf_clear(&out);
	if (j == NULL)
		return "it is no JSON object with %u and %p inside of strings";
	json_decref(j);
	return NULL;
}

const char *
template_check(struct span text, enum template_kind kind, struct template_use *use)
{
	struct template_use u = {false, false};
	const char *wrong = NULL;
	size_t i;

	for (i = 0; i < text.n && wrong == NULL; i++) {
		struct span s = {text.p + i, text.n - i};
		enum place place = place_at(s);

		if (place != PLACE_NONE) {
			u.name |= place == PLACE_NAME;
			u.password |= place == PLACE_PASSWORD;
			i++;
		} else if (s.p[0] == '$' && s.n > 1 && s.p[1] >= '0' && s.p[1] <= '9') {
			wrong = "there are $1 (the name) and $2 (the password) only";
		} else if (s.p[0] == '%' && kind == TEMPLATE_FORM &&
			   (s.n < 3 || !is_hex(s.p[1]) || !is_hex(s.p[2]))) {
			wrong = "% is followed by u (the name), p (the password) or two digits; "
				"write %25 for itself";
		}
	}
	if (wrong == NULL && kind == TEMPLATE_JSON)
		wrong = check_json(text);
	if (wrong == NULL)
		*use = u;
	return wrong;
}

static void
add_json(struct buf *out, struct span value)
{
	struct buf quoted = BUF_INIT;
	struct span s;

	(void)buf_reserve(&quoted, 6 * value.n + 2);
	json_add_str(&quoted, value);
	s = buf_span(&quoted);
	buf_add(out, s.p + 1, s.n - 2);
	buf_wipe(&quoted);
}

int
template_expand(struct buf *out, struct span text, enum template_kind kind, struct span name,
    struct span password)
{
	size_t longest = name.n > password.n ? name.n : password.n, need = text.n, i;

	if (kind == TEMPLATE_JSON && (!utf8_valid(name) || !utf8_valid(password)))
		return -1;
	for (i = 0; i + 1 < text.n; i++)
		if (place_at((struct span){text.p + i, text.n - i}) != PLACE_NONE)
			need += 6 * longest; /* "\u001f" is the longest form of one octet */
	(void)buf_reserve(out, need);
	for (i = 0; i < text.n; i++) {
		enum place place = place_at((struct span){text.p + i, text.n - i});
		struct span value = place == PLACE_NAME ? name : password;

		if (place == PLACE_NONE) {
			buf_add_byte(out, (uint8_t)text.p[i]);
			continue;
		}
		if (kind == TEMPLATE_JSON)
			add_json(out, value);
		else
			url_encode(out, value);
		i++;
	}
	return 0;
}
