/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_POLICY_POLICY_H
#define SUBMITD_POLICY_POLICY_H

#include "conf/conf.h"
#include "mail/status.h"
#include "policy/facts.h"

/*
 * Decides, and says why. Pure: facts and configuration in, verdict and the list
 * of rules met out. front and `submitctl explain` call the same policy_decide().
 */
struct policy_result;
struct policy_rule {
	const char *id;	   /* requirement, "S11" */
	const char *name;  /* "match_from" */
	enum policy_stage stage;
	const char *help;
	enum verdict (*fn)(const struct conf *, const struct facts *, struct policy_result *);
};
struct policy_step {
	const struct policy_rule *rule;
	enum verdict verdict;
	struct conf_where where; /* the line of the configuration that decided; line 0: none */
	char note[200];		 /* what was compared with what */
};

#define POLICY_MAX_STEPS 32
struct policy_result {
	enum verdict verdict; /* V_OK or V_PERM or V_TEMP */
	struct status status; /* the reply where it is not V_OK; text names the rule's id */
	const struct policy_rule *rule; /* that decided, NULL when nothing objected */
	struct policy_step steps[POLICY_MAX_STEPS];
	size_t n_steps;
	/* AT_RCPT, on V_OK: the way the mail goes */
	const struct conf_domain *domain;
	const struct conf_transport *transport;
	bool internal; /* the recipient's domain is ours */
};

void policy_decide(const struct conf *, const struct facts *, struct policy_result *);
void policy_result_clear(struct policy_result *);

/* A principal from a login: completed by default_domain, domain lower case and checked. -1: no canonical form. */
int policy_principal(const struct conf *, const struct conf_listener *, const char *login, char out[ADDR_TEXT]);
/* Title of the OU of a principal (user block, else its domain), or NULL. */
const struct conf_ou *policy_principal_ou(const struct conf *, const char *principal);

/*
 * The proof of `submitd -t` (S49, C6): runs policy_decide over every class of listener, client, sender and
 * recipient; adds an error for each unauthenticated path to a foreign recipient, and warnings.
 */
void policy_prove(const struct conf *, struct conf_findings *);

#endif
