/* SPDX-License-Identifier: ISC */
/*
 * Who somebody is whom a backend accepted, for logins and for auth-test. Pure; process auth, in
 * the loop. Must never make a user of what no backend said.
 */
#include "authbackends/auth_principal.h"

#include "base/str.h"
#include "mail/addr.h"
#include "policy/policy.h"

/* Whether two names mean one user, whatever the form of letters and the alias of the domain. */
static bool
same_user(const struct conf *c, const char *a, const char *b)
{
	const struct conf_user *u = conf_user_find(c, a);

	return addr_user_same(span_of(a), span_of(b)) || (u != NULL && u == conf_user_find(c, b));
}

enum verdict
auth_principal(const struct conf *c, const struct conf_listener *l, const struct auth_check *check,
    char principal[ADDR_TEXT], const char **why)
{
	const char *login = check->login, *name = check->name;
	bool by_itself = check->cred != CRED_PASSWORD;
	char claimed[ADDR_TEXT];

	if (by_itself && name[0] == '\0') {
		*why = "the backend does not say whose token or certificate it is";
		return V_TEMP;
	}
	if (policy_principal(c, l, name[0] == '\0' ? login : name, principal) == -1) {
		*why = "the name has no form as an address";
		return V_PERM;
	}
	if (by_itself && login[0] != '\0' &&
	    (policy_principal(c, l, login, claimed) == -1 || !same_user(c, claimed, principal))) {
		*why = "the token or certificate is another user's";
		return V_PERM;
	}
	return V_OK;
}
