/* SPDX-License-Identifier: ISC */
/*
 * What the claims of a token mean for a login: for whom, from whom, for what, until
 * when (RFC 7519, 4.1; RFC 7662, 2.2; RFC 9068, 2.2). Process auth. Pure. Must never
 * take a token that was made for another service.
 */
#include "authbackends/token_claims.h"

#include "authbackends/json_answer.h"

#include "base/str.h"

#include <string.h>

static enum verdict
deny(struct auth_check *c, const char *why)
{
	(void)str_copy(c->reason, sizeof(c->reason), why);
	return V_PERM;
}

bool
token_claims_from(const json_t *claims, const char *issuer)
{
	const char *iss = json_string_value(json_object_get(claims, "iss"));

	return iss != NULL && strcmp(iss, issuer) == 0;
}

/* A string, or one in an array, is the text. */
static bool
has_text(const json_t *value, const char *text)
{
	const char *s = json_string_value(value);
	size_t i;

	if (s != NULL)
		return strcmp(s, text) == 0;
	for (i = 0; i < json_array_size(value); i++)
		if ((s = json_string_value(json_array_get(value, i))) != NULL &&
		    strcmp(s, text) == 0)
			return true;
	return false;
}

static bool
is_for_us(const json_t *claims, const struct conf_list *audience)
{
	const json_t *aud = json_object_get(claims, "aud");
	size_t i;

	for (i = 0; i < audience->n; i++)
		if (has_text(aud, audience->v[i]))
			return true;
	return false;
}

/* RFC 8693, 4.2: words in one string; some servers write an array, or call it scp. */
static bool
has_scope(const json_t *claims, const char *scope)
{
	static const char *const names[] = {"scope", "scp"};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const json_t *value = json_object_get(claims, names[i]);
		struct span rest = {json_string_value(value), json_string_length(value)};

		if (has_text(value, scope))
			return true;
		while (rest.p != NULL)
			if (span_eq(span_cut(&rest, ' '), scope))
				return true;
	}
	return false;
}

/* NumericDate (RFC 7519, 2): a number, perhaps with a fraction. -1: it is there and is none. */
static int
read_date(const json_t *claims, const char *name, bool *there, double *out)
{
	const json_t *j = json_object_get(claims, name);

	*there = j != NULL && !json_is_null(j);
	if (!*there)
		return 0;
	if (!json_is_number(j))
		return -1;
	*out = json_number_value(j);
	return 0;
}

static enum verdict
judge_times(const struct token_rule *r, const json_t *claims, int64_t now_s, struct auth_check *c)
{
	double exp = 0, nbf = 0, now = (double)now_s;
	bool has_exp, has_nbf;

	if (read_date(claims, "exp", &has_exp, &exp) == -1 ||
	    read_date(claims, "nbf", &has_nbf, &nbf) == -1)
		return deny(c, "the token's exp or nbf is no number");
	if (!has_exp && r->need_expiry)
		return deny(c, "the token never expires");
	if (has_exp && !(exp > now - TOKEN_LEEWAY_S))
		return deny(c, "the token has expired");
	if (has_nbf && !(nbf < now + TOKEN_LEEWAY_S))
		return deny(c, "the token is not valid yet");
	return V_OK;
}

enum verdict
token_claims_judge(
    const struct token_rule *r, const json_t *claims, int64_t now_s, struct auth_check *c)
{
	if (r->issuer != NULL && !token_claims_from(claims, r->issuer))
		return deny(c, "the token is from another issuer");
	if (r->audience->n > 0 && !is_for_us(claims, r->audience))
		return deny(c, "the token is for another audience");
	if (judge_times(r, claims, now_s, c) != V_OK)
		return V_PERM;
	if (r->scope != NULL && !has_scope(claims, r->scope))
		return deny(c, "the token lacks the scope");
	/* an address that its owner typed and never proved (OpenID Connect Core, 5.1) */
	if (strcmp(r->user, "email") == 0 && json_object_get(claims, "email_verified") != NULL &&
	    !json_is_true(json_object_get(claims, "email_verified")))
		return deny(c, "the token's email is not verified");
	if (json_answer_user(claims, r->user, c->name) == -1)
		return deny(c, "the token has no user name in username_claim");
	if (r->addresses != NULL)
		json_answer_addresses(claims, r->addresses, c);
	return V_OK;
}
