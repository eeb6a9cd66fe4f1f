/* SPDX-License-Identifier: ISC */
/*
 * The proof of `submitd -t` (S49, C6): asks the engine itself about every class of
 * listener, client, sender and recipient. Each unauthenticated way to a foreign
 * recipient is an error, whatever rule let it through. What is only unwise is said
 * by policy_lint.c. Pure; bounded by the caps below, so a huge file costs seconds.
 */
#include "policy/policy.h"

#include "base/list.h"
#include "base/str.h"
#include "policy/policy_lint.h"

#include <string.h>

#define MAX_SENDERS 64   /* internal senders that are tried against foreign recipients */
#define MAX_DOMAINS 2000 /* internal recipients per listener */
#define MAX_UNITS 200    /* units tried for "can accept anything" */

struct proof {
	const struct conf *conf;
	struct conf_findings *findings;
	policy_decide_fn *decide;
	const struct conf_listener *listener;
	struct facts facts;
	struct policy_result result;
	size_t reported;
};

static int
set_addr(struct addr *a, const char *local, const char *domain)
{
	memset(a, 0, sizeof(*a));
	if (str_copy(a->local, sizeof(a->local), local) == -1 ||
	    str_copy(a->domain, sizeof(a->domain), domain) == -1 ||
	    str_copy(a->ascii_domain, sizeof(a->ascii_domain), domain) == -1)
		return -1;
	return 0;
}

static bool
stage_ok(struct proof *p, enum policy_stage stage)
{
	bool ok;

	p->facts.stage = stage;
	p->decide(p->conf, &p->facts, &p->result);
	ok = p->result.verdict == V_OK;
	policy_result_clear(&p->result);
	return ok;
}

/* The way of one message up to RCPT. */
static bool
path_ok(struct proof *p)
{
	return stage_ok(p, AT_CONNECT) && stage_ok(p, AT_MAIL) && stage_ok(p, AT_RCPT);
}

static void
start(struct proof *p, bool tls)
{
	memset(&p->facts, 0, sizeof(p->facts));
	p->facts.listener = p->listener->title;
	p->facts.helo = "proof.invalid";
	p->facts.tls = tls;
	p->facts.tls_version = tls ? "TLSv1.3" : NULL;
	if (p->listener->n_client_nets != 0)
		p->facts.client = p->listener->client_nets[0].addr;
	else
		(void)net_addr_parse_ip(span_of("192.0.2.1"), &p->facts.client);
	p->facts.have_sender = true; /* <> */
}

static void
report(struct proof *p)
{
	struct conf_where where = p->listener->where;
	char from[ADDR_TEXT], to[ADDR_TEXT];

	if (p->result.domain != NULL)
		where = p->result.domain->where;
	addr_format(&p->facts.sender, from);
	addr_format(&p->facts.rcpt, to);
	conf_findings_add(p->findings, true, where,
	    "open relay: listener \"%s\" takes mail from <%s> to <%s> without authentication; "
	    "nothing may reach a foreign domain without AUTH and a grant (S49)",
	    p->listener->title, from, to);
	p->reported++;
}

/* Judged without the engine: this recipient is not ours, or only domain any takes it. */
static bool
is_foreign(const struct proof *p, const char *domain)
{
	bool is_any = false;

	if (!conf_domain_is_internal(p->conf, domain))
		return true;
	(void)conf_domain_route(p->conf, p->listener->title, domain, &is_any);
	return is_any;
}

static void
try_open(struct proof *p, const char *rcpt_domain)
{
	if (p->reported >= 3 || !is_foreign(p, rcpt_domain) ||
	    set_addr(&p->facts.rcpt, "victim", rcpt_domain) == -1)
		return;
	p->facts.have_rcpt = true;
	if (path_ok(p))
		report(p);
}

static void
try_foreign_names(struct proof *p)
{
	static const char *const names[] = {"foreign.proof.invalid", "any", "localhost",
	    "[192.0.2.1]", "[IPv6:2001:db8::1]", "com", "xn--mller-kva.invalid"};
	char name[ADDR_DOMAIN_MAX + 1];

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		try_open(p, names[i]);
	for (size_t i = 0; i < p->conf->n_domain && i < MAX_SENDERS; i++) {
		const char *own = p->conf->domain_blocks[i].ascii_name;

		if (own == NULL || p->conf->domain_blocks[i].is_any)
			continue;
		if (str_printf(name, sizeof(name), "sub.%s", own) == 0)
			try_open(p, name);
		if (str_printf(name, sizeof(name), "evil%s", own) == 0)
			try_open(p, name);
	}
}

static void
try_own_domains(struct proof *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->conf->n_ou; i++) {
		const struct conf_ou *ou = &p->conf->ou_blocks[i];

		for (size_t k = 0; k < ou->domains.n && n < MAX_DOMAINS; k++, n++)
			try_open(p, ou->domains.v[k]);
	}
	for (size_t i = 0; i < p->conf->n_domain && n < MAX_DOMAINS; i++, n++) {
		if (p->conf->domain_blocks[i].ascii_name != NULL)
			try_open(p, p->conf->domain_blocks[i].ascii_name);
	}
	for (size_t i = 0; i < p->conf->n_domain_alias && n < MAX_DOMAINS; i++, n++) {
		if (p->conf->domain_alias_blocks[i].ascii_name != NULL)
			try_open(p, p->conf->domain_alias_blocks[i].ascii_name);
	}
}

/* No AUTH, in clear and with TLS, from <>, a stranger and every unit. */
static void
prove_closed(struct proof *p, bool tls)
{
	const struct conf *c = p->conf;

	start(p, tls);
	try_foreign_names(p);
	try_own_domains(p);
	(void)set_addr(&p->facts.sender, "stranger", "stranger.proof.invalid");
	try_foreign_names(p);
	for (size_t i = 0; i < c->n_ou && i < MAX_SENDERS; i++) {
		if (c->ou_blocks[i].domains.n == 0 ||
		    set_addr(&p->facts.sender, "boss", c->ou_blocks[i].domains.v[0]) == -1)
			continue;
		try_open(p, "foreign.proof.invalid");
	}
}

/* ---- can this listener take anything at all? ------------------------------------------------- */

static bool
takes_some_recipient(struct proof *p)
{
	p->facts.have_rcpt = true;
	(void)set_addr(&p->facts.rcpt, "somebody", "foreign.proof.invalid");
	if (path_ok(p))
		return true;
	for (size_t i = 0; i < p->conf->n_domain && i < MAX_UNITS; i++) {
		const struct conf_domain *d = &p->conf->domain_blocks[i];

		if (d->is_any || d->ascii_name == NULL ||
		    set_addr(&p->facts.rcpt, "somebody", d->ascii_name) == -1)
			continue;
		if (path_ok(p))
			return true;
	}
	return false;
}

static bool
takes_mail_of(struct proof *p, const struct conf_ou *ou)
{
	char principal[ADDR_TEXT];
	const char *domain = ou == NULL ? "stranger.proof.invalid" : ou->domains.v[0];

	start(p, true);
	if (str_printf(principal, sizeof(principal), "somebody@%s", domain) == -1 ||
	    set_addr(&p->facts.sender, "somebody", domain) == -1)
		return false;
	p->facts.authenticated = true;
	p->facts.login = p->facts.principal = principal;
	p->facts.principal_ou = ou == NULL ? NULL : ou->title;
	return takes_some_recipient(p);
}

static bool
takes_anything(struct proof *p)
{
	start(p, p->listener->tls != LISTENER_TLS_OFF);
	(void)set_addr(&p->facts.sender, "stranger", "stranger.proof.invalid");
	if (takes_some_recipient(p))
		return true;
	if (p->listener->auth == LISTENER_AUTH_OFF ||
	    (p->listener->auth == LISTENER_AUTH_ENCRYPTED && p->listener->tls == LISTENER_TLS_OFF))
		return false;
	if (takes_mail_of(p, NULL))
		return true;
	for (size_t i = 0; i < p->conf->n_ou && i < MAX_UNITS; i++) {
		if (p->conf->ou_blocks[i].domains.n != 0 &&
		    takes_mail_of(p, &p->conf->ou_blocks[i]))
			return true;
	}
	return p->conf->n_ou > MAX_UNITS;
}

void
policy_prove_with(const struct conf *conf, struct conf_findings *findings, policy_decide_fn *decide)
{
	struct proof p = {.conf = conf, .findings = findings, .decide = decide};

	for (size_t i = 0; i < conf->n_listener; i++) {
		p.listener = &conf->listener_blocks[i];
		p.reported = 0;
		prove_closed(&p, false);
		prove_closed(&p, true);
		if (!takes_anything(&p))
			conf_findings_add(findings, false, p.listener->where,
			    "listener \"%s\" can take no mail of anybody: no domain block serves "
			    "it and "
			    "no grant (relay_ou, relay_any_authenticated) lets its users send out",
			    p.listener->title);
	}
	policy_lint(conf, findings);
}

void
policy_prove(const struct conf *conf, struct conf_findings *findings)
{
	policy_prove_with(conf, findings, policy_decide);
}
