/* SPDX-License-Identifier: ISC */
/*
 * What the answer of a directory means: result codes, the response of OpenLDAP's
 * password policy, and the codes that Active Directory writes into its diagnostic
 * text. Pure. Must never make a no out of anything but invalidCredentials or an
 * explicit word of the policy.
 */
#include "authbackends/ldap_judge.h"

#include "base/list.h"
#include "base/str.h"

#include <string.h>

#include <ldap.h>

/* Documented by Microsoft as reasons of AcceptSecurityContext; not tried against a live one. */
static const struct {
	unsigned code;
	const char *reason;
} ad_codes[] = {
    {0x525, "unknown user (AD 525)"},
    {0x52e, "wrong password (AD 52e)"},
    {0x530, "not permitted to log in at this time (AD 530)"},
    {0x531, "not permitted to log in from this host (AD 531)"},
    {0x532, "the password has expired (AD 532)"},
    {0x533, "the account is disabled (AD 533)"},
    {0x701, "the account has expired (AD 701)"},
    {0x773, "the password must be changed (AD 773)"},
    {0x775, "the account is locked (AD 775)"},
};

unsigned
ldap_judge_ad_code(const char *text)
{
	static const char mark[] = ", data ";
	const char *p = strstr(text, mark);
	unsigned code = 0, digits = 0;

	if (p == NULL)
		return 0;
	for (p += sizeof(mark) - 1; digits < 4; p++, digits++) {
		if (*p >= '0' && *p <= '9')
			code = code * 16 + (unsigned)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			code = code * 16 + (unsigned)(*p - 'a') + 10;
		else if (*p >= 'A' && *p <= 'F')
			code = code * 16 + (unsigned)(*p - 'A') + 10;
		else
			break;
	}
	return digits > 0 && *p == ',' ? code : 0;
}

static const char *
ad_reason(const char *text)
{
	unsigned code = ldap_judge_ad_code(text);
	size_t i;

	for (i = 0; i < ARRAY_LEN(ad_codes); i++)
		if (ad_codes[i].code == code)
			return ad_codes[i].reason;
	return NULL;
}

/* Cuts an element off, with a length of at most two octets; false: there is none that is whole. */
static bool
cut_element(struct span *rest, uint8_t *tag, struct span *value)
{
	const uint8_t *p = (const uint8_t *)rest->p;
	size_t head = 2, n;

	if (rest->n < head)
		return false;
	n = p[1];
	if (n == 0x81 || n == 0x82) {
		head += n & 0x7f;
		if (rest->n < head)
			return false;
		n = head == 3 ? p[2] : (size_t)p[2] << 8 | p[3];
	} else if (n >= 0x80) {
		return false;
	}
	if (n > rest->n - head)
		return false;
	*tag = p[0];
	*value = (struct span){rest->p + head, n};
	*rest = (struct span){rest->p + head + n, rest->n - head - n};
	return true;
}

/* Of one to four octets and not negative, or -1. */
static int
number_of(struct span v)
{
	int n = 0;
	size_t i;

	if (v.n == 0 || v.n > 4 || ((uint8_t)v.p[0] & 0x80) != 0)
		return -1;
	for (i = 0; i < v.n; i++)
		n = n << 8 | (uint8_t)v.p[i];
	return n;
}

/* SEQUENCE { warning [0] CHOICE { expiration [0], grace [1] } OPTIONAL, error [1] OPTIONAL } */
static bool
read_policy(struct span value, int *policy, int *grace)
{
	struct span all, v, warning;
	uint8_t tag;

	if (!cut_element(&value, &tag, &all) || tag != 0x30 || value.n > 0)
		return false;
	while (all.n > 0) {
		if (!cut_element(&all, &tag, &v))
			return false;
		if (tag == 0xa0) {
			if (!cut_element(&v, &tag, &warning) || v.n > 0 || tag < 0x80 ||
			    tag > 0x81 || number_of(warning) == -1)
				return false;
			if (tag == 0x81)
				*grace = number_of(warning);
		} else {
			*policy = number_of(v);
			if (tag != 0x81 || *policy < 0 || *policy > PP_passwordTooLong)
				return false;
		}
	}
	return true;
}

void
ldap_judge_policy(struct span value, struct ldap_reply *r)
{
	int policy = LDAP_POLICY_NONE, grace = -1;

	if (read_policy(value, &policy, &grace)) {
		r->policy = policy;
		r->grace = grace;
	} else {
		r->policy = LDAP_POLICY_UNREADABLE;
	}
}

/* The policy's words that keep a user out; NULL: it has none. */
static const char *
policy_reason(int policy)
{
	switch (policy) {
	case PP_passwordExpired:
		return "the password has expired";
	case PP_accountLocked:
		return "the account is locked";
	case PP_changeAfterReset:
		return "the password must be changed";
	default:
		return NULL;
	}
}

bool
ldap_judge_elsewhere(int code)
{
	return code == LDAP_SERVER_DOWN || code == LDAP_LOCAL_ERROR || code == LDAP_TIMEOUT ||
	       code == LDAP_DECODING_ERROR || code == LDAP_CONNECT_ERROR || code == LDAP_BUSY ||
	       code == LDAP_UNAVAILABLE;
}

bool
ldap_judge_is_answer(int code)
{
	return code >= 0 && !ldap_judge_elsewhere(code) && code != LDAP_TIMELIMIT_EXCEEDED;
}

static bool
is_misconfiguration(int code)
{
	return code == LDAP_NO_SUCH_OBJECT || code == LDAP_INVALID_DN_SYNTAX ||
	       code == LDAP_INSUFFICIENT_ACCESS || code == LDAP_UNWILLING_TO_PERFORM ||
	       code == LDAP_STRONG_AUTH_REQUIRED || code == LDAP_CONFIDENTIALITY_REQUIRED;
}

static void
judge(struct ldap_judgement *j, enum verdict v, const char *reason)
{
	j->verdict = v;
	(void)str_copy(j->reason, sizeof(j->reason), reason);
}

static void
judge_trouble(const char *what, const struct ldap_reply *r, struct ldap_judgement *j)
{
	j->verdict = V_TEMP;
	if (r->code < 0)
		(void)str_printf(j->reason, sizeof(j->reason), "%s: no answer: %.60s", what,
		    r->code == LDAP_TIMEOUT ? "time is over" : ldap_err2string(r->code));
	else
		(void)str_printf(j->reason, sizeof(j->reason), "%s: result code %d: %.60s", what,
		    r->code, ldap_err2string(r->code));
}

void
ldap_judge_bind(const struct ldap_reply *r, struct ldap_judgement *j)
{
	const char *reason = policy_reason(r->policy);

	memset(j, 0, sizeof(*j));
	if (r->code == LDAP_SUCCESS) {
		if (r->policy == LDAP_POLICY_UNREADABLE)
			judge(j, V_TEMP, "the answer of the password policy cannot be read");
		else if (reason != NULL) /* a yes that is good for changing it only */
			judge(j, V_PERM, reason);
		else
			judge(j, V_OK, "");
		return;
	}
	if (r->code == LDAP_INVALID_CREDENTIALS) {
		if (reason == NULL)
			reason = ad_reason(r->text);
		judge(j, V_PERM, reason == NULL ? "wrong password" : reason);
		return;
	}
	judge_trouble("bind", r, j);
	j->misconfigured = is_misconfiguration(r->code);
}

void
ldap_judge_service(const char *what, const struct ldap_reply *r, struct ldap_judgement *j)
{
	memset(j, 0, sizeof(*j));
	if (r->code == LDAP_SUCCESS) {
		judge(j, V_OK, "");
		return;
	}
	judge_trouble(what, r, j);
	/*
	 * Here a no to the credentials says nothing about the user. Active Directory has
	 * operationsError for whoever did not log in.
	 */
	j->misconfigured = is_misconfiguration(r->code) || r->code == LDAP_INVALID_CREDENTIALS ||
	                   r->code == LDAP_INAPPROPRIATE_AUTH || r->code == LDAP_FILTER_ERROR ||
	                   r->code == LDAP_UNDEFINED_TYPE || r->code == LDAP_OPERATIONS_ERROR;
}
