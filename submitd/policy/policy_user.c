/* SPDX-License-Identifier: ISC */
/*
 * Rules of the user's scope: whether he may log in at all, as whom a user block lets
 * him send (S18), and how many recipients his empty sender may have (S11). Pure.
 */
#include "policy/rule.h"

/* Not only where backend internal is asked: a directory or a token may be his, too. */
enum verdict
policy_user_smtp_auth(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	const struct conf_user *u = r->ctx.user;

	(void)conf;
	(void)f;
	if (u == NULL) {
		policy_note(r, "no user block");
		return V_NEXT;
	}
	POLICY_AT(r, u, user, smtp_auth);
	if (u->smtp_auth != SMTP_AUTH_OFF) {
		policy_note(r, "smtp_auth is not off");
		return V_OK;
	}
	policy_note(r, "smtp_auth = off");
	return policy_refuse_login(r);
}

static enum verdict
any_sender(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	const struct conf_user *u = r->ctx.user;
	char shown[POLICY_SHOWN];

	if (u->senders.n != 0)
		POLICY_AT(r, u, user, senders);
	switch (policy_user_grants(conf, r, &f->sender)) {
	case PATTERN_BAD:
		return policy_unknown(r, "the user's senders cannot be used");
	case PATTERN_YES:
		policy_note(r, "smtp_auth = any_sender covers the sender");
		return V_OK;
	case PATTERN_NO:
		break;
	}
	policy_show_addr(&f->sender, shown);
	policy_note(r, "smtp_auth = any_sender, and %s is outside of %s", shown,
	    u->senders.n != 0 ? "senders" : "the user's unit");
	return policy_refuse(
	    r, 550, "5.7.1", "this account may not send as %s; it is not among its senders", shown);
}

enum verdict
policy_user_senders(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	const struct conf_user *u = r->ctx.user;
	char shown[POLICY_SHOWN];

	if (!f->authenticated || !f->have_sender || u == NULL) {
		policy_note(r, !f->authenticated ? "not authenticated" : "no user block");
		return V_NEXT;
	}
	POLICY_AT(r, u, user, smtp_auth);
	if (addr_is_null(&f->sender) || u->smtp_auth == SMTP_AUTH_OFF) {
		policy_note(r, addr_is_null(&f->sender) ? "the sender is empty"
							: "smtp_auth = off: nothing is granted");
		return V_NEXT;
	}
	if (policy_is_own(f, &f->sender)) {
		policy_note(r, "the sender is the user");
		return V_OK;
	}
	if (u->smtp_auth == SMTP_AUTH_ANY_SENDER)
		return any_sender(conf, f, r);
	policy_show_addr(&f->sender, shown);
	policy_note(r, "smtp_auth = matching_sender, and %s is not %.80s", shown, f->principal);
	return policy_refuse(r, 550, "5.7.1", "this account may send as %.100s only, not as %s",
	    f->principal, shown);
}

enum verdict
policy_null_sender(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	(void)conf;
	if (!f->authenticated || !f->have_sender || !addr_is_null(&f->sender)) {
		policy_note(r, !f->authenticated ? "not authenticated" : "the sender is not empty");
		return V_NEXT;
	}
	if (f->n_rcpts == 0) {
		policy_note(r, "the first recipient");
		return V_OK;
	}
	policy_note(r, "recipient %u of a message with an empty sender", f->n_rcpts + 1);
	return policy_refuse(r, 550, "5.7.1",
	    "a message with an empty sender may have one recipient; send it once for each");
}
