/* SPDX-License-Identifier: ISC */
/*
 * Takes OAUTHBEARER and XOAUTH2 messages apart (RFC 7628, RFC 6750). Pure; process
 * auth, in the loop. Must never judge a token, and never copy one.
 */
#include "authbackends/sasl_oauth.h"

#include "authbackends/sasl_gs2.h"
#include "base/str.h"

#include <string.h>

#define KVSEP '\x01'
#define PAIRS_MAX 16u

/* RFC 6750, 2.1: b64token. */
static bool
is_token(struct span s)
{
	static const char set[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/";
	size_t i = 0;

	while (i < s.n && memchr(set, s.p[i], sizeof(set) - 1) != NULL)
		i++;
	if (i == 0)
		return false;
	while (i < s.n && s.p[i] == '=')
		i++;
	return i == s.n;
}

enum precheck
sasl_oauth_token(struct span token, const char **why)
{
	if (token.n > AUTH_TOKEN_MAX) {
		*why = "the token is longer than 8192 octets";
		return PRE_REFUSED;
	}
	if (!is_token(token)) {
		*why = "the token has characters that no bearer token has";
		return PRE_REFUSED;
	}
	return PRE_OK;
}

/* "Bearer TOKEN". */
static enum precheck
take_token(struct span value, struct span *token, const char **why)
{
	struct span scheme = span_cut(&value, ' ');

	if (scheme.n ==
	    0) { /* RFC 7628, 3.1: a client that wants to learn where tokens come from */
		*why = "the client sent no token";
		return PRE_REFUSED;
	}
	*token = span_trim(value);
	if (!span_eq_nocase(scheme, "Bearer")) {
		*why = "the token is none of the scheme Bearer";
		return PRE_REFUSED;
	}
	return sasl_oauth_token(*token, why);
}

/* RFC 7628, 3.1: a value has printable ASCII, blanks and line ends. */
static bool
is_value(struct span s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if ((uint8_t)s.p[i] > 0x7e ||
		    ((uint8_t)s.p[i] < 0x20 && !strchr("\t\r\n", s.p[i])) || s.p[i] == '\0')
			return false;
	return true;
}

/* key = 1*(ALPHA) */
static bool
is_key(struct span s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if ((s.p[i] | 32) < 'a' || (s.p[i] | 32) > 'z')
			return false;
	return s.n > 0;
}

/* *(key "=" value kvsep) kvsep. user is NULL where it is no key of the mechanism. */
static const char *
take_pairs(struct span rest, struct span *user, struct span *auth)
{
	unsigned n;

	for (n = 0; n < PAIRS_MAX; n++) {
		struct span value = span_cut(&rest, KVSEP), key;

		if (rest.p == NULL)
			return "the message does not end as it should";
		if (value.n == 0)
			return rest.n == 0 ? NULL : "something follows the end of the message";
		key = span_cut(&value, '=');
		if (value.p == NULL || !is_key(key))
			return "the message has a pair that is no key and value";
		if (user != NULL && span_eq(key, "user")) {
			if (user->p != NULL)
				return "the message names two users";
			*user = value;
			continue; /* UTF-8: looked at as a name */
		}
		if (!is_value(value))
			return "the message has characters that no value has";
		if (!span_eq(key, "auth"))
			continue; /* host, port and what else may come: not needed */
		if (auth->p != NULL)
			return "the message has two tokens";
		*auth = value;
	}
	return "the message has too many pairs";
}

enum precheck
sasl_oauth_bearer(struct span s, struct sasl_oauth *out, const char **why)
{
	struct span auth = {NULL, 0};
	struct sasl_gs2 gs2;
	enum precheck result;

	memset(out, 0, sizeof(*out));
	if ((result = sasl_gs2_cut(&s, &gs2, why)) != PRE_OK)
		return result;
	if (s.n == 0 || s.p[0] != KVSEP) {
		*why = "the message does not go on behind its header";
		return PRE_MALFORMED;
	}
	s = (struct span){s.p + 1, s.n - 1};
	if ((*why = take_pairs(s, NULL, &auth)) != NULL)
		return PRE_MALFORMED;
	if (auth.p == NULL) {
		*why = "the client sent no token";
		return PRE_REFUSED;
	}
	if (gs2.authzid[0] != '\0' &&
	    (result = sasl_precheck_name(span_of(gs2.authzid), why)) != PRE_OK)
		return result;
	memcpy(out->user, gs2.authzid, sizeof(out->user));
	return take_token(auth, &out->token, why);
}

enum precheck
sasl_oauth_x2(struct span s, struct sasl_oauth *out, const char **why)
{
	struct span user = {NULL, 0}, auth = {NULL, 0};
	enum precheck result;

	memset(out, 0, sizeof(*out));
	if ((*why = take_pairs(s, &user, &auth)) != NULL)
		return PRE_MALFORMED;
	if (auth.p == NULL) {
		*why = "the client sent no token";
		return PRE_REFUSED;
	}
	/* sets the text for an empty name, too */
	if ((result = sasl_precheck_name(user, why)) != PRE_OK)
		return result;
	(void)str_copy_span(out->user, sizeof(out->user), user);
	return take_token(auth, &out->token, why);
}
