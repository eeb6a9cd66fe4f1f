/* SPDX-License-Identifier: ISC */
/*
 * The domain object (S32, S54, S55): a recipient is taken only where a domain block
 * of this listener takes it; the block names the transport. Pure.
 */
#include "policy/rule.h"

enum verdict
policy_domain_route(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	const struct conf_domain *d = r->domain;
	char shown[POLICY_SHOWN];

	(void)conf;
	if (!f->have_rcpt || f->rcpt.ascii_domain[0] == '\0') {
		policy_note(r, "the recipient has no usable domain");
		return policy_refuse(
		    r, 550, "5.1.2", "the recipient needs a valid domain, as in name@example.com");
	}
	if (d != NULL && d->transport_block != NULL && (f->authenticated || !r->ctx.is_any)) {
		r->steps[r->n_steps - 1].where = d->where;
		policy_note(
		    r, "domain \"%s\", transport \"%s\"", d->title, d->transport_block->title);
		return V_OK;
	}
	r->steps[r->n_steps - 1].where = r->ctx.listener->where;
	policy_show(f->rcpt.domain, shown);
	policy_note(r, "no domain block of listener %s takes %s", r->ctx.listener->title, shown);
	return policy_refuse(r, 550, "5.1.2", "mail for %s is not taken here", shown);
}
