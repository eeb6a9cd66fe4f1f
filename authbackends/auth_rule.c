/* SPDX-License-Identifier: ISC */
/*
 * Asks the policy whether AUTH may go on. Process auth, in the loop. Decides nothing
 * by itself.
 */
#include "authbackends/auth_rule.h"

#include "base/str.h"
#include "policy/policy.h"

#include <stdlib.h>

bool
auth_rule_refuses(const struct conf *c, const struct facts *f, struct status *status,
    char reason[AUTH_REASON_MAX])
{
	struct policy_result *r = xcallocarray(1, sizeof(*r));
	bool refused;

	policy_decide(c, f, r);
	refused = r->verdict != V_OK && r->verdict != V_NEXT;
	if (refused) {
		(void)str_printf(reason, AUTH_REASON_MAX, "rule %s %s",
		    r->rule == NULL ? "?" : r->rule->id, r->rule == NULL ? "" : r->rule->name);
		status_copy(status, &r->status);
	}
	policy_result_clear(r);
	free(r);
	return refused;
}
