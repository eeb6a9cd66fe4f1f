/* SPDX-License-Identifier: ISC */
/*
 * Rules of the OU's scope: which of its names may log in (S14, S15), and that a
 * user sends as himself (S11, C8). What binds is the stricter of two units: the
 * user's own, and the one that owns the address he wants to use. Pure.
 */
#include "policy/rule.h"

#include "base/str.h"

enum verdict
policy_ou_auth_user(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	const struct conf_ou *ou = r->ctx.ou;
	char whose[POLICY_SHOWN + 3];

	if (f->login == NULL || ou == NULL) {
		policy_note(r, f->login == NULL ? "the name is not known yet"
						: "the name's domain belongs to no ou");
		return V_NEXT;
	}
	if (ou->auth_user_mode == FILTER_OFF)
		POLICY_AT(r, ou, ou, auth_user_mode);
	else
		POLICY_AT(r, ou, ou, auth_user_filter);
	(void)str_printf(whose, sizeof(whose), "ou %.*s", POLICY_SHOWN - 1, ou->title);
	return policy_name_filter(conf, f, r, ou->auth_user_mode, ou->auth_user_patterns, whose);
}

/* C4. The reply says nothing that a wrong password would not get (P3). */
enum verdict
policy_user_clients(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	const struct conf_user *u = r->ctx.user;
	char ip[NET_ADDR_TEXT];

	(void)conf;
	if (u == NULL || u->n_client_nets == 0) {
		policy_note(r, u == NULL ? "no user block" : "the user has no list of clients");
		return V_NEXT;
	}
	POLICY_AT(r, u, user, clients);
	net_addr_format_ip(&f->client, ip);
	for (size_t i = 0; i < u->n_client_nets; i++) {
		if (net_cidr_match(&u->client_nets[i], &f->client)) {
			policy_note(r, "%s is in the user's clients", ip);
			return V_OK;
		}
	}
	policy_note(r, "%s is not in the user's clients", ip);
	return policy_refuse_login(r);
}

enum pattern_result
policy_user_grants(
    const struct conf *conf, const struct policy_result *r, const struct addr *sender)
{
	const struct conf_user *u = r->ctx.user;
	const struct conf_ou *owner;

	if (u == NULL || u->smtp_auth != SMTP_AUTH_ANY_SENDER)
		return PATTERN_NO;
	/* another unit's addresses are not this unit's to give */
	owner = conf_ou_of_domain(conf, sender->ascii_domain);
	if (owner != NULL && owner != r->ctx.ou && (owner->match_from || owner->match_header_from))
		return PATTERN_NO;
	if (u->senders.n != 0)
		return policy_list_match_addr(u->sender_patterns, sender);
	return owner != NULL && owner == r->ctx.ou ? PATTERN_YES : PATTERN_NO;
}

/* The unit whose option binds here: the user's, else the address's; NULL: neither has it on. */
static const struct conf_ou *
strict_from(const struct conf_ou *own, const struct conf_ou *other)
{
	if (own != NULL && own->match_from)
		return own;
	return other != NULL && other->match_from ? other : NULL;
}

enum verdict
policy_match_from(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	const struct conf_ou *ou = strict_from(r->ctx.ou, r->ctx.sender_ou);
	char shown[POLICY_SHOWN];
	enum pattern_result m;

	if (!f->authenticated || !f->have_sender) {
		policy_note(r, "not authenticated");
		return V_NEXT;
	}
	if (ou == NULL) {
		policy_note(r, r->ctx.ou == NULL && r->ctx.sender_ou == NULL
				   ? "neither the user nor the sender belongs to an ou"
				   : "match_from = false");
		return V_NEXT;
	}
	POLICY_AT(r, ou, ou, match_from);
	if (addr_is_null(&f->sender)) {
		policy_note(r, "the sender is empty");
		return V_OK;
	}
	if (policy_is_own(f, &f->sender)) {
		policy_note(r, "ou %s: the sender is the user", ou->title);
		return V_OK;
	}
	m = policy_user_grants(conf, r, &f->sender);
	if (m == PATTERN_BAD)
		return policy_unknown(r, "the user's senders cannot be used");
	if (m == PATTERN_YES) {
		policy_note(r,
		    "ou %s: match_from is on, but the user's smtp_auth = any_sender wins (S18)",
		    ou->title);
		return V_OK;
	}
	policy_show_addr(&f->sender, shown);
	policy_note(r, "ou %s: %s is not the user %.80s", ou->title, shown,
	    f->principal == NULL ? "?" : f->principal);
	return policy_refuse(
	    r, 550, "5.7.1", "you may not send as %s; use an address of your own", shown);
}

/* True where one header address must be the user's own. An empty envelope sender counts as
 * match_from. */
static const struct conf_ou *
strict_header(
    const struct conf *conf, const struct facts *f, const struct policy_result *r, uint32_t i)
{
	bool null = f->have_sender && addr_is_null(&f->sender);
	const struct conf_ou *all[3] = {r->ctx.ou, r->ctx.sender_ou, NULL};

	if (i < f->n_header_from && f->header_from[i].ascii_domain[0] != '\0')
		all[2] = conf_ou_of_domain(conf, f->header_from[i].ascii_domain);
	for (size_t k = 0; k < 3; k++) {
		if (all[k] != NULL && (all[k]->match_header_from || (null && all[k]->match_from)))
			return all[k];
	}
	/* what cannot be read may show anybody's address to a mail reader */
	for (size_t k = 0; i < f->n_header_from && all[2] == NULL && k < conf->n_ou; k++) {
		if (f->header_from[i].ascii_domain[0] == '\0' &&
		    conf->ou_blocks[k].match_header_from)
			return &conf->ou_blocks[k];
	}
	return NULL;
}

static enum verdict
header_unreadable(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	const struct conf_ou *ou = strict_header(conf, f, r, UINT32_MAX);

	if (ou == NULL) {
		policy_note(r, "From and Sender could not be read; nothing asks for them");
		return V_NEXT;
	}
	POLICY_AT(r, ou, ou, match_header_from);
	policy_note(r, "ou %s: From and Sender could not be read", ou->title);
	return policy_refuse(r, 550, "5.7.1",
	    "the header fields From and Sender must be readable addresses of your own");
}

enum verdict
policy_match_header_from(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	char shown[POLICY_SHOWN];
	enum pattern_result m;
	bool asked = false;

	if (!f->authenticated) {
		policy_note(r, "not authenticated");
		return V_NEXT;
	}
	if (!f->have_header_from)
		return header_unreadable(conf, f, r);
	for (uint32_t i = 0; i < f->n_header_from && i < FACTS_MAX_HEADER_ADDRS; i++) {
		const struct addr *a = &f->header_from[i];
		const struct conf_ou *ou = strict_header(conf, f, r, i);

		if (ou == NULL)
			continue;
		asked = true;
		POLICY_AT(r, ou, ou, match_header_from);
		m = policy_is_own(f, a) ? PATTERN_YES : policy_user_grants(conf, r, a);
		if (m == PATTERN_BAD)
			return policy_unknown(r, "the user's senders cannot be used");
		if (m == PATTERN_YES)
			continue;
		policy_show_addr(a, shown);
		policy_note(r, "ou %s: header address %s is not the user %.80s", ou->title, shown,
		    f->principal == NULL ? "?" : f->principal);
		return policy_refuse(r, 550, "5.7.1",
		    "you may not write From or Sender %s in the header; use an address of your own",
		    shown);
	}
	policy_note(r, asked ? "every From and Sender address is the user's"
			     : "no unit asks for it, or there is no From");
	return asked ? V_OK : V_NEXT;
}
