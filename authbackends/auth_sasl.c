/* SPDX-License-Identifier: ISC */
/*
 * One SASL exchange (P3, S39): a look at all octets, then the mechanism. PLAIN,
 * LOGIN and SCRAM-SHA-256 go through Cyrus SASL, the others are ours. Process auth, in
 * the loop: nothing here blocks. Must never decide who somebody is.
 */
#include "authbackends/auth_sasl.h"

#include "authbackends/sasl_cyrus.h"
#include "authbackends/sasl_oauth.h"
#include "authbackends/sasl_precheck.h"
#include "authbackends/sasl_scram.h"
#include "base/saslprep.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

struct auth_sasl {
	struct sasl_cyrus *cyrus; /* of the mechanisms that need it */
	unsigned mechs;           /* that may be chosen */
	enum auth_mech mech;
	unsigned step;                      /* responses taken */
	bool over;                          /* no further step is taken */
	struct buf challenge, first, proof; /* SCRAM: the client's messages */
	size_t header_len;                  /* of first: its GS2 header */
	char login[AUTH_NAME_MAX + 1], authzid[AUTH_NAME_MAX + 1];
	struct secret password; /* or token */
	const char *reason;
};

int
auth_sasl_open(const char *hostname, char *err, size_t errsize)
{
	return sasl_cyrus_open(hostname, err, errsize);
}

void
auth_sasl_done(void)
{
	sasl_cyrus_done();
}

struct auth_sasl *
auth_sasl_new(unsigned mechs)
{
	struct auth_sasl *x = xcallocarray(1, sizeof(*x));

	x->mechs = mechs;
	x->reason = "";
	return x;
}

void
auth_sasl_free(struct auth_sasl *x)
{
	if (x == NULL)
		return;
	sasl_cyrus_free(x->cyrus);
	secret_clear(&x->password);
	buf_wipe(&x->challenge);
	buf_wipe(&x->first);
	buf_wipe(&x->proof);
	explicit_bzero(x, sizeof(*x));
	free(x);
}

static enum sasl_outcome
end(struct auth_sasl *x, enum sasl_outcome outcome, const char *reason)
{
	x->over = true;
	x->reason = reason;
	return outcome;
}

/* A look that was not satisfied. */
static enum sasl_outcome
end_look(struct auth_sasl *x, enum precheck result, const char *why)
{
	return end(x, result == PRE_REFUSED ? SASL_OUT_REFUSED : SASL_OUT_MALFORMED, why);
}

/*
 * Name and what proves it are there: the forms that are looked up (RFC 4013). What is
 * made of other white space, or of letters in a wide form, is looked at once more.
 */
static enum sasl_outcome
end_credentials(struct auth_sasl *x)
{
	const char *why = "";
	enum precheck look;

	if (x->login[0] != '\0') {
		if (saslprep_text(x->login, sizeof(x->login)) == -1)
			return end(x, SASL_OUT_REFUSED, "SASLprep refuses the name");
		if ((look = sasl_precheck_name(span_of(x->login), &why)) != PRE_OK)
			return end_look(x, look, why);
	}
	if (auth_mech_cred(x->mech) == CRED_PASSWORD) {
		if (saslprep_secret(&x->password, AUTH_PASSWORD_MAX) == -1)
			return end(x, SASL_OUT_REFUSED, "SASLprep refuses the password");
		look =
		    sasl_precheck_password((struct span){x->password.data, x->password.len}, &why);
		if (look != PRE_OK)
			return end_look(x, look, why);
	}
	return end(x, SASL_OUT_CREDENTIALS, "");
}

/* ---- PLAIN and LOGIN --------------------------------------------------------------------------
 */

/* Looks at a response before the library does. */
static enum precheck
look_at(struct auth_sasl *x, struct span s, const char **why)
{
	struct sasl_plain plain;
	enum precheck result;

	if (x->mech == MECH_LOGIN && x->step > 0)
		return sasl_precheck_password(s, why);
	if (x->mech == MECH_LOGIN) {
		if ((result = sasl_precheck_name(s, why)) == PRE_OK)
			(void)str_copy_span(x->login, sizeof(x->login), s);
		return result;
	}
	result = sasl_precheck_plain(s, &plain, why);
	if (result == PRE_MALFORMED)
		return result;
	/* kept for the record even when refused, unless the name itself is bad */
	if (sasl_precheck_name(plain.authcid, &(const char *){NULL}) == PRE_OK)
		(void)str_copy_span(x->login, sizeof(x->login), plain.authcid);
	if (plain.authzid.n > 0 &&
	    sasl_precheck_name(plain.authzid, &(const char *){NULL}) == PRE_OK)
		(void)str_copy_span(x->authzid, sizeof(x->authzid), plain.authzid);
	return result;
}

static enum sasl_outcome
take_cyrus(struct auth_sasl *x, enum cyrus_result r)
{
	struct secret *password;

	switch (r) {
	case CYRUS_CHALLENGE:
		return SASL_OUT_CHALLENGE;
	case CYRUS_PASSWORD:
		password = sasl_cyrus_password(x->cyrus);
		x->password = *password; /* moved */
		*password = (struct secret){NULL, 0};
		return end_credentials(x);
	case CYRUS_PROVEN:
		return x->mech == MECH_SCRAM_SHA_256
		           ? end(x, SASL_OUT_PROVEN, "")
		           : end(x, SASL_OUT_FAILED, "the SASL library said yes by itself");
	case CYRUS_REFUSED:
		/* RFC 5802, 5.1: "e=" may be left out; 535 says the same without a round more */
		return end(x, SASL_OUT_REFUSED, "wrong password");
	case CYRUS_MALFORMED:
		return end(x, SASL_OUT_MALFORMED, "the SASL library refused the message");
	case CYRUS_NO_MECH:
		return end(x, SASL_OUT_NO_MECH, "the mechanism is not available here");
	case CYRUS_FAILED:
		break;
	}
	return end(x, SASL_OUT_FAILED, "the SASL library failed");
}

static enum sasl_outcome
cyrus_start(struct auth_sasl *x, const struct span *initial)
{
	const char *why = "";
	enum precheck look;

	if ((x->cyrus = sasl_cyrus_new()) == NULL)
		return end(x, SASL_OUT_FAILED, "the SASL library failed");
	/* "=": an empty initial response (RFC 4954, 4); LOGIN has none, some clients send it */
	if (initial != NULL && initial->n == 0 && x->mech == MECH_LOGIN)
		initial = NULL;
	if (initial != NULL) {
		if ((look = look_at(x, *initial, &why)) != PRE_OK)
			return end_look(x, look, why);
		x->step++;
		sasl_cyrus_user(x->cyrus, x->login);
	}
	return take_cyrus(
	    x, sasl_cyrus_start(x->cyrus, auth_mech_name(x->mech), initial, &x->challenge));
}

static enum sasl_outcome
cyrus_step(struct auth_sasl *x, struct span response)
{
	const char *why = "";
	enum precheck look;

	if (x->step >= 2)
		return end(x, SASL_OUT_MALFORMED, "no response was asked for");
	if ((look = look_at(x, response, &why)) != PRE_OK)
		return end_look(x, look, why);
	x->step++;
	sasl_cyrus_user(x->cyrus, x->login);
	return take_cyrus(x, sasl_cyrus_step(x->cyrus, response, &x->challenge));
}

/* ---- SCRAM-SHA-256 ----------------------------------------------------------------------------
 */

static enum sasl_outcome
scram_first(struct auth_sasl *x, struct span message)
{
	struct sasl_scram m;
	const char *why = "";
	enum precheck look = sasl_scram_first(message, &m, &why);

	x->step++;
	memcpy(x->login, m.user, sizeof(x->login));
	memcpy(x->authzid, m.authzid, sizeof(x->authzid));
	if (look != PRE_OK)
		return end_look(x, look, why);
	if ((x->cyrus = sasl_cyrus_new()) == NULL)
		return end(x, SASL_OUT_FAILED, "the SASL library failed");
	sasl_cyrus_user(x->cyrus, x->login); /* as the library will see it */
	buf_add_span(&x->first, message);
	x->header_len = m.header.n;
	if (saslprep_text(x->login, sizeof(x->login)) == -1)
		return end(x, SASL_OUT_REFUSED, "SASLprep refuses the name");
	if ((look = sasl_precheck_name(span_of(x->login), &why)) != PRE_OK)
		return end_look(x, look, why);
	return SASL_OUT_NAME;
}

static enum sasl_outcome
scram_start(struct auth_sasl *x, const struct span *initial)
{
	if (initial != NULL)
		return scram_first(x, *initial);
	buf_reset(&x->challenge); /* the client speaks first: an empty one */
	return SASL_OUT_CHALLENGE;
}

enum sasl_outcome
auth_sasl_keys(struct auth_sasl *x, const char *entry)
{
	struct span first = buf_span(&x->first);

	if (x->over || x->mech != MECH_SCRAM_SHA_256 || x->step != 1)
		return end(x, SASL_OUT_FAILED, "no keys were asked for");
	x->step++;
	sasl_cyrus_scram(x->cyrus, entry);
	return take_cyrus(
	    x, sasl_cyrus_start(x->cyrus, auth_mech_name(x->mech), &first, &x->challenge));
}

/* The first message, the proof, and an empty answer to the server's own proof. */
static enum sasl_outcome
scram_step(struct auth_sasl *x, struct span response)
{
	const char *why = "";
	enum precheck look;

	if (x->step == 0)
		return scram_first(x, response);
	if (x->step == 2) {
		look =
		    sasl_scram_final(response, (struct span){buf_span(&x->first).p, x->header_len},
			buf_span(&x->challenge), &why);
		if (look != PRE_OK)
			return end_look(x, look, why);
		x->step++;
		buf_add_span(&x->proof, response);
		return SASL_OUT_PROOF;
	}
	if (x->step != 4 || response.n != 0)
		return end(x, SASL_OUT_MALFORMED, "an empty response was asked for");
	x->step++;
	return take_cyrus(x, sasl_cyrus_step(x->cyrus, response, &x->challenge));
}

enum sasl_outcome
auth_sasl_proof(struct auth_sasl *x)
{
	if (x->over || x->mech != MECH_SCRAM_SHA_256 || x->step != 3)
		return end(x, SASL_OUT_FAILED, "no proof was asked for");
	x->step++;
	return take_cyrus(x, sasl_cyrus_step(x->cyrus, buf_span(&x->proof), &x->challenge));
}

/* ---- OAUTHBEARER and XOAUTH2 ------------------------------------------------------------------
 */

static enum sasl_outcome
oauth_step(struct auth_sasl *x, struct span response)
{
	struct sasl_oauth o;
	const char *why = "";
	enum precheck look;

	if (x->step++ > 0)
		return end(x, SASL_OUT_MALFORMED, "no response was asked for");
	look = x->mech == MECH_XOAUTH2 ? sasl_oauth_x2(response, &o, &why)
	                               : sasl_oauth_bearer(response, &o, &why);
	memcpy(x->login, o.user, sizeof(x->login));
	if (look != PRE_OK)
		return end_look(x, look, why);
	secret_set(&x->password, o.token.p, o.token.n);
	return end_credentials(x);
}

static enum sasl_outcome
oauth_start(struct auth_sasl *x, const struct span *initial)
{
	if (initial != NULL)
		return oauth_step(x, *initial);
	buf_reset(&x->challenge); /* the client speaks first: an empty one */
	return SASL_OUT_CHALLENGE;
}

/* ---- EXTERNAL ---------------------------------------------------------------------------------
 */

/* RFC 4422, appendix A: the name, or nothing: TLS has proved the rest. */
static enum sasl_outcome
external_step(struct auth_sasl *x, struct span response)
{
	const char *why = "";
	enum precheck look;

	if (x->step++ > 0)
		return end(x, SASL_OUT_MALFORMED, "no response was asked for");
	if (response.n > 0) {
		if ((look = sasl_precheck_name(response, &why)) != PRE_OK)
			return end_look(x, look, why);
		(void)str_copy_span(x->login, sizeof(x->login), response);
		memcpy(x->authzid, x->login, sizeof(x->authzid));
	}
	return end_credentials(x);
}

static enum sasl_outcome
external_start(struct auth_sasl *x, const struct span *initial)
{
	if (initial != NULL)
		return external_step(x, *initial);
	buf_reset(&x->challenge);
	return SASL_OUT_CHALLENGE;
}

struct span
auth_sasl_refusal(const struct auth_sasl *x)
{
	switch (x->mech) {
	case MECH_OAUTHBEARER:
		return span_of(SASL_OAUTH_BEARER_NO);
	case MECH_XOAUTH2:
		return span_of(SASL_OAUTH_X2_NO);
	case MECH_NONE:
	case MECH_PLAIN:
	case MECH_LOGIN:
	case MECH_SCRAM_SHA_256:
	case MECH_EXTERNAL:
	case MECH__MAX:
		break;
	}
	return (struct span){"", 0};
}

/* ---- the exchange -----------------------------------------------------------------------------
 */

static const struct {
	enum sasl_outcome (*start)(struct auth_sasl *, const struct span *initial);
	enum sasl_outcome (*step)(struct auth_sasl *, struct span response);
} mechs[MECH__MAX] = {
    [MECH_PLAIN] = {cyrus_start, cyrus_step},
    [MECH_LOGIN] = {cyrus_start, cyrus_step},
    [MECH_SCRAM_SHA_256] = {scram_start, scram_step},
    [MECH_EXTERNAL] = {external_start, external_step},
    [MECH_OAUTHBEARER] = {oauth_start, oauth_step},
    [MECH_XOAUTH2] = {oauth_start, oauth_step},
};

enum sasl_outcome
auth_sasl_start(struct auth_sasl *x, struct span name, const struct span *initial)
{
	enum auth_mech mech = auth_mech_find(name);

	if (mech == MECH_NONE || (x->mechs & MECH_BIT(mech)) == 0 || x->over)
		return end(x, SASL_OUT_NO_MECH, "no such mechanism");
	x->mech = mech;
	return mechs[mech].start(x, initial);
}

enum sasl_outcome
auth_sasl_step(struct auth_sasl *x, struct span response)
{
	if (x->over || x->mech == MECH_NONE)
		return end(x, SASL_OUT_MALFORMED, "no response was asked for");
	return mechs[x->mech].step(x, response);
}

struct span
auth_sasl_challenge(const struct auth_sasl *x)
{
	return buf_span(&x->challenge);
}

const char *
auth_sasl_mech(const struct auth_sasl *x)
{
	return auth_mech_name(x->mech);
}

enum auth_cred
auth_sasl_cred(const struct auth_sasl *x)
{
	return auth_mech_cred(x->mech);
}

const char *
auth_sasl_login(const struct auth_sasl *x)
{
	return x->login;
}

const char *
auth_sasl_authzid(const struct auth_sasl *x)
{
	return x->authzid;
}

const char *
auth_sasl_reason(const struct auth_sasl *x)
{
	return x->reason;
}

struct secret *
auth_sasl_password(struct auth_sasl *x)
{
	return &x->password;
}
