/* SPDX-License-Identifier: ISC */
/*
 * The relay rule (DESIGN 5; S7, S8, S49): who may send out of our domains. Nobody
 * without a grant, and nobody at all without AUTH. Pure. "External" is a recipient
 * whose domain is not ours, or ours but taken by domain "any" only.
 */
#include "policy/rule.h"

#include <string.h>

enum verdict
policy_unauthenticated(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	const struct conf_listener *l = r->ctx.listener;
	const char *spoof = "";
	char shown[POLICY_SHOWN];

	(void)conf;
	if (f->authenticated) {
		policy_note(r, "authenticated");
		return V_NEXT;
	}
	if (!r->ctx.external) {
		policy_note(r, "the recipient's domain is ours");
		return V_OK;
	}
	POLICY_AT(r, l, listener, auth);
	if (f->have_sender && f->sender.ascii_domain[0] != '\0' &&
	    conf_domain_is_internal(conf, f->sender.ascii_domain))
		spoof =
		    "; the sender claims a domain of ours without AUTH and counts as external (S8)";
	policy_show(f->rcpt.domain[0] == '\0' ? "that recipient" : f->rcpt.domain, shown);
	if (r->internal) {
		policy_note(r, "only domain any takes %s here, never without AUTH%s", shown, spoof);
		return policy_refuse(
		    r, 550, "5.7.1", "mail for %s is not taken here without authentication", shown);
	}
	policy_note(r, "%s is not ours%s", shown, spoof);
	if (l->auth == LISTENER_AUTH_OFF)
		return policy_refuse(
		    r, 550, "5.7.1", "%s is not a domain of ours; relaying is refused", shown);
	return policy_refuse(r, 550, "5.7.1",
	    "relaying to %s is refused; log in with AUTH to send to other domains", shown);
}

enum verdict
policy_relay_any(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	const struct conf_listener *l = r->ctx.listener;

	(void)conf;
	if (!f->authenticated || !r->ctx.external) {
		policy_note(r, r->ctx.external
				   ? "not authenticated"
				   : "the recipient's domain is ours: no grant is needed");
		return V_NEXT;
	}
	POLICY_AT(r, l, listener, relay_any_authenticated);
	if (!l->relay_any_authenticated) {
		policy_note(r, "relay_any_authenticated = false");
		return V_NEXT;
	}
	r->ctx.granted = true;
	policy_note(r, "any authenticated user may send to anywhere");
	return V_OK;
}

/* The grant to the principal's unit: to whom, not as whom. */
enum verdict
policy_relay_ou(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	const struct conf_listener *l = r->ctx.listener;
	const struct conf_ou *ou = r->ctx.ou;
	char shown[POLICY_SHOWN];

	(void)conf;
	if (!f->authenticated || !r->ctx.external || r->ctx.granted) {
		policy_note(r, r->ctx.granted ? "granted already (S7)" : "no grant is needed");
		return V_NEXT;
	}
	POLICY_AT(r, l, listener, relay_ou);
	for (size_t i = 0; ou != NULL && i < l->relay_ou.n; i++) {
		if (strcmp(l->relay_ou.v[i], ou->title) == 0) {
			policy_note(r, "relay_ou names %s", ou->title);
			return V_OK;
		}
	}
	policy_show(f->rcpt.domain, shown);
	if (ou == NULL) {
		policy_note(r, "the user belongs to no ou, so relay_ou cannot name it");
		return policy_refuse(r, 550, "5.7.1",
		    "you may not send to %s: your account belongs to no unit with that right",
		    shown);
	}
	policy_note(r, "relay_ou does not name %s", ou->title);
	return policy_refuse(r, 550, "5.7.1",
	    "you may not send to %s: your unit has no right to send to other domains here", shown);
}

enum verdict
policy_relay_sender(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	const struct conf_ou *ou = r->ctx.ou;
	char shown[POLICY_SHOWN];
	enum pattern_result m;

	if (!f->authenticated || !r->ctx.external || r->ctx.granted || ou == NULL) {
		policy_note(r, "relay_ou is not what grants this");
		return V_NEXT;
	}
	POLICY_AT(r, ou, ou, domains);
	if (!f->have_sender || addr_is_null(&f->sender)) {
		policy_note(r, "the sender is empty");
		return V_OK;
	}
	if (r->ctx.sender_ou == ou) {
		policy_note(r, "the sender is of the user's ou %s", ou->title);
		return V_OK;
	}
	if (policy_is_own(f, &f->sender)) {
		policy_note(r, "the sender is the user");
		return V_OK;
	}
	m = policy_user_grants(conf, r, &f->sender);
	if (m == PATTERN_BAD)
		return policy_unknown(r, "the user's senders cannot be used");
	if (m == PATTERN_YES) {
		policy_note(r, "the user's senders cover the foreign sender (S18)");
		return V_OK;
	}
	policy_show_addr(&f->sender, shown);
	policy_note(r, "%s is not of ou %s and no pattern of senders covers it", shown, ou->title);
	return policy_refuse(r, 550, "5.7.1",
	    "to other domains you may not send as %s; use an address of your organisation", shown);
}
