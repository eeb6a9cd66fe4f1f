/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUTH_RULE_H
#define SUBMITD_AUTH_RULE_H

#include "authbackends/authbackend.h"
#include "mail/status.h"
#include "policy/facts.h"

#include <stdbool.h>

/*
 * The policy's rules for AUTH (S1, S3 to S6, S14, S15, C4). True: refused, by the rule in reason;
 * status is what that rule says, to be cleared by its owner.
 */
bool auth_rule_refuses(
    const struct conf *, const struct facts *, struct status *, char reason[AUTH_REASON_MAX]);

#endif
