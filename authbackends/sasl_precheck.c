/* SPDX-License-Identifier: ISC */
/*
 * Looks at decoded PLAIN and LOGIN octets before the SASL library does (P3):
 * lengths, NUL, control characters, edge white space, UTF-8, authorization
 * identity. Pure; process auth. Must never copy what it was given.
 */
#include "authbackends/sasl_precheck.h"

#include "authbackends/authbackend.h"
#include "base/str.h"

#include <string.h>

static bool
is_blank_edge(struct span s)
{
	/* U+00A0 as well: invisible, and easily pasted */
	return s.p[0] == ' ' || s.p[s.n - 1] == ' ' ||
	       (s.n >= 2 &&
		   (memcmp(s.p, "\xc2\xa0", 2) == 0 || memcmp(s.p + s.n - 2, "\xc2\xa0", 2) == 0));
}

/* C0, DEL, and U+0080 to U+009F in UTF-8. */
static bool
has_control(struct span s)
{
	size_t i;

	if (str_has_control(s))
		return true;
	for (i = 0; i + 1 < s.n; i++)
		if ((uint8_t)s.p[i] == 0xc2 && (uint8_t)s.p[i + 1] < 0xa0)
			return true;
	return false;
}

enum precheck
sasl_precheck_name(struct span s, const char **why)
{
	if (s.n == 0)
		*why = "the name is empty";
	else if (s.n > AUTH_NAME_MAX)
		*why = "the name is longer than 255 octets";
	else if (!utf8_valid(s))
		*why = "the name is not UTF-8";
	else if (has_control(s))
		*why = "the name has control characters";
	else if (is_blank_edge(s))
		*why = "the name begins or ends with white space";
	else
		return PRE_OK;
	return PRE_REFUSED;
}

enum precheck
sasl_precheck_password(struct span s, const char **why)
{
	if (s.n == 0)
		*why = "the password is empty";
	else if (s.n > AUTH_PASSWORD_MAX)
		*why = "the password is longer than 1024 octets";
	else if (!utf8_valid(s))
		*why = "the password is not UTF-8";
	else if (has_control(s))
		*why = "the password has control characters";
	else if (is_blank_edge(s))
		*why = "the password begins or ends with white space";
	else
		return PRE_OK;
	return PRE_REFUSED;
}

enum precheck
sasl_precheck_plain(struct span s, struct sasl_plain *out, const char **why)
{
	struct span rest = s;
	enum precheck result;

	out->authzid = span_cut(&rest, '\0');
	if (rest.p == NULL) {
		*why = "a PLAIN message has two NULs";
		return PRE_MALFORMED;
	}
	out->authcid = span_cut(&rest, '\0');
	if (rest.p == NULL) {
		*why = "a PLAIN message has two NULs";
		return PRE_MALFORMED;
	}
	out->password = rest;
	if (rest.n > 0 && memchr(rest.p, '\0', rest.n) != NULL) {
		*why = "a PLAIN message has two NULs";
		return PRE_MALFORMED;
	}
	if ((result = sasl_precheck_name(out->authcid, why)) != PRE_OK ||
	    (result = sasl_precheck_password(out->password, why)) != PRE_OK)
		return result;
	/* RFC 4616, 2: acting as somebody else would need a right that nobody is given */
	if (out->authzid.n != 0 &&
	    (out->authzid.n != out->authcid.n ||
		memcmp(out->authzid.p, out->authcid.p, out->authzid.n) != 0)) {
		*why = "the authorization identity is not the name";
		return PRE_REFUSED;
	}
	return PRE_OK;
}
