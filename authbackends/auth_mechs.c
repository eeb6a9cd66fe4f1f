/* SPDX-License-Identifier: ISC */
/*
 * Which SASL mechanisms a listener offers: those that prove what a backend of its
 * flow can judge (P3). Process auth, in the loop. Must never name one that can only
 * fail there.
 */
#include "authbackends/auth_mechs.h"

#include "authbackends/auth_scram.h"
#include "base/list.h"
#include "base/str.h"

/*
 * In the order in which they are offered. Many clients take the first that they know: PLAIN
 * works for every user, SCRAM only for those with keys.
 */
static const struct {
	enum auth_mech mech;
	const char *name;
	enum auth_cred cred;
	enum auth_channel least; /* also where the listener says auth = on */
} mechs[] = {
    {MECH_PLAIN, "PLAIN", CRED_PASSWORD, CHANNEL_CLEAR},
    {MECH_LOGIN, "LOGIN", CRED_PASSWORD, CHANNEL_CLEAR},
    {MECH_SCRAM_SHA_256, "SCRAM-SHA-256", CRED_PASSWORD, CHANNEL_CLEAR},
    /* RFC 7628, 3: TLS is a must */
    {MECH_OAUTHBEARER, "OAUTHBEARER", CRED_TOKEN, CHANNEL_TLS},
    {MECH_XOAUTH2, "XOAUTH2", CRED_TOKEN, CHANNEL_TLS},
    {MECH_EXTERNAL, "EXTERNAL", CRED_CERT, CHANNEL_CERT},
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

/* What the listener's list leaves; without one, all. */
static unsigned
listed(const struct conf_listener *l)
{
	unsigned set = 0;
	size_t i;

	if (l->auth_mechanisms.n == 0)
		return MECHS_ALL;
	for (i = 0; i < l->auth_mechanisms.n; i++)
		set |= MECH_BIT(auth_mech_find(span_of(l->auth_mechanisms.v[i])));
	return set;
}

unsigned
auth_mechs_offered(
    const struct conf_listener *l, const struct auth_flow *f, enum auth_channel channel)
{
	unsigned creds, set = 0;
	size_t i;

	/* S1: in clear only where the listener says so */
	if (f == NULL || l->auth == LISTENER_AUTH_OFF ||
	    (l->auth != LISTENER_AUTH_ON && channel == CHANNEL_CLEAR))
		return 0;
	creds = flow_creds(f);
	for (i = 0; i < ARRAY_LEN(mechs); i++)
		if ((creds & CRED_BIT(mechs[i].cred)) != 0 && channel >= mechs[i].least)
			set |= MECH_BIT(mechs[i].mech);
	set &= listed(l);
	/* who listed it knows that not every user has keys; else clients would be led to use it */
	if (auth_scram_like(f)[0] == '\0' ||
	    (l->auth_mechanisms.n == 0 && !auth_scram_everywhere(f)))
		set &= ~MECH_BIT(MECH_SCRAM_SHA_256);
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
