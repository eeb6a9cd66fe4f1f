/* SPDX-License-Identifier: ISC */
/*
 * Which SASL mechanisms a listener offers: those that prove what a backend of its
 * flow can judge (P3). Process auth, in the loop. Must never name one that can only
 * fail there.
 */
#include "authbackends/auth_mechs.h"

#include "base/list.h"
#include "base/str.h"

/* In the order in which they are offered: the stronger ones first, clients take the first they
 * know. */
static const struct {
	enum auth_mech mech;
	const char *name;
	enum auth_cred cred;
	bool tls; /* never without TLS, not even where the listener says auth = on */
} mechs[] = {
    {MECH_PLAIN, "PLAIN", CRED_PASSWORD, false},
    {MECH_LOGIN, "LOGIN", CRED_PASSWORD, false},
    /* RFC 7628, 3: TLS is a must */
    {MECH_OAUTHBEARER, "OAUTHBEARER", CRED_TOKEN, true},
    {MECH_XOAUTH2, "XOAUTH2", CRED_TOKEN, true},
};

const char *
auth_mech_name(enum auth_mech mech)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(mechs); i++)
		if (mechs[i].mech == mech)
			return mechs[i].name;
	return "";
}

enum auth_mech
auth_mech_find(struct span name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(mechs); i++)
		if (span_eq_nocase(name, mechs[i].name))
			return mechs[i].mech;
	return MECH_NONE;
}

enum auth_cred
auth_mech_cred(enum auth_mech mech)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(mechs); i++)
		if (mechs[i].mech == mech)
			return mechs[i].cred;
	return CRED_PASSWORD;
}

/* The kinds of credentials that some backend of the flow judges. */
static unsigned
flow_creds(const struct auth_flow *f)
{
	unsigned creds = 0;
	size_t i;

	for (i = 0; i < f->n; i++)
		creds |= f->chain[i]->kind->creds;
	return creds;
}

unsigned
auth_mechs_offered(const struct conf_listener *l, const struct auth_flow *f, bool tls)
{
	unsigned creds, set = 0;
	size_t i;

	/* S1: in clear only where the listener says so */
	if (f == NULL || l->auth == LISTENER_AUTH_OFF || (l->auth != LISTENER_AUTH_ON && !tls))
		return 0;
	creds = flow_creds(f);
	for (i = 0; i < ARRAY_LEN(mechs); i++)
		if ((creds & CRED_BIT(mechs[i].cred)) != 0 && (tls || !mechs[i].tls))
			set |= MECH_BIT(mechs[i].mech);
	return set;
}

void
auth_mechs_list(unsigned set, struct buf *out)
{
	const char *blank = "";
	size_t i;

	for (i = 0; i < ARRAY_LEN(mechs); i++)
		if ((set & MECH_BIT(mechs[i].mech)) != 0) {
			buf_addf(out, "%s%s", blank, mechs[i].name);
			blank = " ";
		}
}
