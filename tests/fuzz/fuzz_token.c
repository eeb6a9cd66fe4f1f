/* SPDX-License-Identifier: ISC */
/*
 * Bearer tokens and key sets of any content. The input is a token, or, behind a line
 * end, a key set; the token is tried with that set and with one of our own. No input
 * can hold a signature of those keys: nothing may ever verify with them.
 */
#include "authbackends/jwks.h"
#include "authbackends/jwt.h"
#include "authbackends/token_claims.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* The public keys of RFC 7515, A.3.1 and RFC 8037, A.2. */
static const char own_keys[] = "{\"keys\":[{\"kid\":\"a\",\"kty\":\"EC\",\"crv\":\"P-256\","
			       "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
			       "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
			       "{\"kid\":\"b\",\"kty\":\"OKP\",\"crv\":\"Ed25519\","
			       "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

static void
judge(const struct jwt *t)
{
	static char text[] = "mail", *values[] = {text};
	static const struct conf_list audience = {.v = values, .n = 1}, none = {.n = 0};
	const struct token_rule strict = {.issuer = "i",
	    .audience = &audience,
	    .scope = "smtp",
	    .user = "email",
	    .addresses = "mail",
	    .need_expiry = true};
	const struct token_rule loose = {.audience = &none, .user = "sub", .addresses = "a.b"};
	const struct token_rule *rules[] = {&strict, &loose};

	for (size_t i = 0; i < 2; i++) {
		struct auth_check c = {.cred = CRED_TOKEN};
		enum verdict v = token_claims_judge(rules[i], t->claims, 1000000, &c);

		if ((v == V_OK) != (c.reason[0] == '\0') || (v == V_OK && c.name[0] == '\0') ||
		    str_has_control(span_of(c.name)))
			abort();
		buf_clear(&c.own);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span rest = {(const char *)data, n}, token = span_cut(&rest, '\n');
	const char *why = NULL;
	struct jwks *own = jwks_parse(span_of(own_keys), &why);
	struct jwks *given = rest.p == NULL ? NULL : jwks_parse(rest, &why);
	struct jwt t;
	enum jwt_form form;

	if (own == NULL || jwks_count(own) != 2)
		abort();
	if (given != NULL && (jwks_count(given) == 0 || jwks_count(given) > JWKS_KEYS_MAX))
		abort();
	form = jwt_parse(token, &t, &why);
	if (why == NULL || (form == JWT_TAKEN && (t.alg >= JWT_ALG__MAX || t.claims == NULL)))
		abort();
	if (form == JWT_TAKEN) {
		judge(&t);
		if (jwks_verify(own, &t) ||
		    (given != NULL && jwks_verify(given, &t) && !jwks_has(given, &t)))
			abort();
	}
	jwt_clear(&t);
	jwks_free(given);
	jwks_free(own);
	return 0;
}
