/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LDAP_JUDGE_H
#define SUBMITD_LDAP_JUDGE_H

#include "base/str.h"
#include "mail/status.h"

#include <stdbool.h>

#define LDAP_TEXT_MAX 256u
#define LDAP_REASON_MAX 120u

/* What came of one request. */
struct ldap_reply {
	int code;                 /* LDAP's result code; < 0: there was no answer */
	int policy;               /* error of the password policy control, LDAP_POLICY_NONE: none */
	int grace;                /* logins left with an expired password; -1: not said */
	char text[LDAP_TEXT_MAX]; /* the server's diagnostic, or ours where it did not answer:
	                             printable UTF-8, from outside */
};
#define LDAP_POLICY_NONE (-1)
#define LDAP_POLICY_UNREADABLE (-2)

struct ldap_judgement {
	enum verdict verdict;         /* V_OK, V_PERM or V_TEMP */
	bool misconfigured;           /* an operator must act: nothing was said about the user */
	char reason[LDAP_REASON_MAX]; /* ours, never the server's words; "" for a plain yes */
};

/*
 * The value of the password policy's response control: policy and grace of *r. What is no
 * whole value of known words is LDAP_POLICY_UNREADABLE, not absent.
 */
void ldap_judge_policy(struct span value, struct ldap_reply *r);
/* The answer to a bind as a user. Pure; only an explicit no is V_PERM. */
void ldap_judge_bind(const struct ldap_reply *, struct ldap_judgement *);
/* The same for the service account and for searches: V_OK, or V_TEMP with a reason. */
void ldap_judge_service(const char *what, const struct ldap_reply *, struct ldap_judgement *);
/* Active Directory's code behind "data " in its diagnostic text (hexadecimal); 0: none. */
unsigned ldap_judge_ad_code(const char *text);
/* Another server may do better: no answer, busy or unavailable. */
bool ldap_judge_elsewhere(int code);
/* A result of a server that is well, whatever it says (auth_check.answered). */
bool ldap_judge_is_answer(int code);

#endif
