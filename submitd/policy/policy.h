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

/* Whose setting it is: who may write it, and which address selects it. */
enum policy_scope {
	SCOPE_LISTENER = 0, /* every connection, whatever OU the addresses belong to */
	SCOPE_OU = 1,
	SCOPE_USER = 2,
	SCOPE_DOMAIN = 3,
	SCOPE__MAX
};
struct policy_rule {
	const char *id;   /* requirement, "S11" */
	const char *name; /* "match_from" */
	enum policy_scope scope;
	enum policy_stage stage;
	const char *help;
	enum verdict (*fn)(const struct conf *, const struct facts *, struct policy_result *);
};
struct policy_step {
	const struct policy_rule *rule;
	enum verdict verdict;    /* V_NEXT: the rule has no opinion on these facts */
	struct conf_where where; /* the line of the configuration that decided; line 0: none */
	char note[200];          /* what was compared with what; empty unless wanted */
};

/* Looked up once per decision, for the rules. */
struct policy_ctx {
	const struct conf_listener *listener;
	const struct conf_user *user; /* block of the principal or, at AUTH, of the name; or NULL */
	const struct conf_ou *ou;     /* the principal's; at AUTH that of the name's domain */
	const struct conf_ou *sender_ou; /* of the sender's domain; NULL: foreign or <> */
	bool is_any;                     /* only domain "any" takes the recipient */
	bool external;                   /* the way out of our domains: needs a grant */
	bool granted;                    /* to anywhere as anybody (S7) */
};

#define POLICY_MAX_STEPS 32
struct policy_result {
	bool want_notes;      /* set by policy_decide_noted() */
	enum verdict verdict; /* V_OK or V_PERM or V_TEMP */
	struct status status; /* the reply where it is not V_OK; text names the rule's id */
	const struct policy_rule *rule; /* that decided, NULL when nothing objected */
	struct policy_step steps[POLICY_MAX_STEPS];
	size_t n_steps;
	/* AT_RCPT, on V_OK: the way the mail goes */
	const struct conf_domain *domain;
	const struct conf_transport *transport;
	bool internal; /* the recipient's domain is ours */
	struct policy_ctx ctx;
};

/*
 * Overwrites the whole result. Allocates nothing unless it refuses: the reply is then freed
 * by policy_result_clear(); clear a result before it is used again.
 */
void policy_decide(const struct conf *, const struct facts *, struct policy_result *);
/* The same, and fills the notes of the steps: for explain and traces. */
void policy_decide_noted(const struct conf *, const struct facts *, struct policy_result *);
void policy_result_clear(struct policy_result *);

const char *policy_stage_name(enum policy_stage); /* "connect", "ehlo", "auth", … */
const char *policy_scope_name(enum policy_scope);
/* The table of rules.def, in order; for lists and tests. */
const struct policy_rule *policy_rules(size_t *n);

/*
 * What AUTH answers for a name that must not be told from a wrong password (P3):
 * the auth role uses the same words.
 */
#define POLICY_AUTH_FAILED "user name or password is wrong"

/*
 * A principal from a login: completed by default_domain, domain in its lower-case ASCII form and
 * checked. Without any domain it stays a bare name. -1: no canonical form.
 */
int policy_principal(
    const struct conf *, const struct conf_listener *, const char *login, char out[ADDR_TEXT]);
/* Title of the OU of a principal (user block, else its domain), or NULL. */
const struct conf_ou *policy_principal_ou(const struct conf *, const char *principal);

/*
 * The proof of `submitd -t` (S49, C6): runs policy_decide over every class of listener, client,
 * sender and recipient; adds an error for each unauthenticated path to a foreign recipient, and
 * warnings.
 */
void policy_prove(const struct conf *, struct conf_findings *);
/* The same with another engine: tests show that a wrong one is found out. */
typedef void policy_decide_fn(const struct conf *, const struct facts *, struct policy_result *);
void policy_prove_with(const struct conf *, struct conf_findings *, policy_decide_fn *);

#endif
