/* SPDX-License-Identifier: ISC */
/*
 * Lists of patterns on what rules decide about: addresses of mail, and names given to
 * AUTH (S5, S14). Pure; matching itself is in mail/pattern.c.
 */
#include "policy/rule.h"

#include "base/str.h"

#include <string.h>

enum pattern_result
policy_list_match_addr(const struct pattern_list *list, const struct addr *a)
{
	char shown[ADDR_TEXT], other[ADDR_TEXT];
	struct addr ascii = *a; /* its domain in A-labels, whatever stands before it */

	addr_format(a, shown);
	if (a->ascii_domain[0] == '\0' || strcmp(a->domain, a->ascii_domain) == 0)
		return pattern_list_match(list, shown, NULL);
	(void)str_copy(ascii.domain, sizeof(ascii.domain), a->ascii_domain);
	addr_format(&ascii, other);
	return pattern_list_match(list, shown, other);
}

enum verdict
policy_refuse_login(struct policy_result *r)
{
	status_set(&r->status, V_PERM, 535, "5.7.8", POLICY_AUTH_FAILED);
	return V_PERM;
}

enum verdict
policy_name_filter(const struct conf *conf, const struct facts *f, struct policy_result *r,
    int mode, const struct pattern_list *list, const char *whose)
{
	char name[ADDR_TEXT], parent[ADDR_TEXT];
	const char *text = name, *other = parent;
	enum pattern_result m;

	if (mode == FILTER_OFF) {
		policy_note(r, "%s: auth_user_mode = off", whose);
		return V_NEXT;
	}
	/* a name that is no address is looked for as it was given */
	if (policy_principal(conf, r->ctx.listener, f->login, name) == -1)
		text = f->login;
	/* S57: nobody evades a filter by another name of his domain */
	if (text != name || conf_alias_address(conf, name, parent, sizeof parent) == -1)
		other = NULL;
	m = pattern_list_match(list, text, other);
	if (m == PATTERN_BAD)
		return policy_unknown(r, "auth_user_filter of %s cannot be used", whose);
	policy_note(r, "%s: auth_user_mode = %s, the list has %s%.100s", whose,
	    mode == FILTER_ALLOW ? "allow" : "deny", m == PATTERN_YES ? "" : "no pattern for ",
	    text);
	if ((m == PATTERN_YES) == (mode == FILTER_ALLOW))
		return V_OK;
	return policy_refuse_login(r);
}
