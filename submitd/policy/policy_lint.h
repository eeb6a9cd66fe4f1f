/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_POLICY_POLICY_LINT_H
#define SUBMITD_POLICY_POLICY_LINT_H

#include "conf/conf.h"

/* Contradictions (errors) and unwise settings (warnings) of what the policy reads. Part of
 * policy_prove(). */
void policy_lint(const struct conf *, struct conf_findings *);

#endif
