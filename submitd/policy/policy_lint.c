/* SPDX-License-Identifier: ISC */
/*
 * Settings that open more than they seem to, or can never have an effect (C6), as
 * far as the meaning of a rule is needed to see it; the rest is in conf_check.c.
 * Part of `submitd -t`. Pure. Errors only where the configuration says something
 * that submitd will not do.
 */
#include "policy/policy_lint.h"

#include "base/str.h"
#include "mail/addr.h"
#include "policy/rule.h"

#include <string.h>

static struct conf_where
place(const struct conf_where *options, unsigned option, struct conf_where block)
{
	return options != NULL && options[option].line != 0 ? options[option] : block;
}
#define PLACE(block, kind, option)                                                                 \
	place((block)->option_where, CONF_OPT_##kind##_##option, (block)->where)

static bool
can_log_in(const struct conf_listener *l)
{
	return l->auth == LISTENER_AUTH_ON ||
	       (l->auth == LISTENER_AUTH_ENCRYPTED && l->tls != LISTENER_TLS_OFF);
}

static void
lint_listener(const struct conf_listener *l, struct conf_findings *f)
{
	if (!can_log_in(l) && (l->relay_any_authenticated || l->relay_ou.n != 0))
		conf_findings_add(f, false,
		    l->relay_ou.n != 0 ? PLACE(l, listener, relay_ou)
				       : PLACE(l, listener, relay_any_authenticated),
		    "listener \"%s\" has a relay grant, but nobody can log in there: it has no "
		    "effect "
		    "(S7, S8)",
		    l->title);
	if (l->relay_any_authenticated && can_log_in(l))
		conf_findings_add(f, false, PLACE(l, listener, relay_any_authenticated),
		    "listener \"%s\": every user who can log in may send to anywhere, and as "
		    "anybody "
		    "unless match_from of an ou forbids it (S7); relay_ou grants less",
		    l->title);
}

/* A pattern with a domain that no name of this unit has can never match (S15). */
static bool
never_matches(const struct conf *conf, const struct conf_ou *ou, const char *pattern)
{
	char ascii[ADDR_DOMAIN_MAX + 1];
	const char *at;

	if (pattern[0] == '!')
		pattern++;
	if (pattern[0] == '/')
		return false;
	at = strrchr(pattern, '@');
	if (at == NULL || at[1] == '\0' || strpbrk(at, "*?") != NULL)
		return false;
	return addr_domain_ascii(span_of(at + 1), ascii) == -1 ||
	       conf_ou_of_domain(conf, ascii) != ou;
}

static void
lint_ou(const struct conf *conf, const struct conf_ou *ou, struct conf_findings *f)
{
	struct conf_where where = PLACE(ou, ou, auth_user_filter);

	for (size_t i = 0; i < ou->auth_user_filter.n; i++) {
		if (never_matches(conf, ou, ou->auth_user_filter.v[i]))
			conf_findings_add(f, false, where,
			    "ou \"%s\": \"%s\" never matches: the filter sees names of the unit's "
			    "own "
			    "domains only (S15)",
			    ou->title, ou->auth_user_filter.v[i]);
	}
}

static void
lint_user(const struct conf_user *u, struct conf_findings *f)
{
	struct conf_where where = PLACE(u, user, senders);

	if (u->smtp_auth != SMTP_AUTH_ANY_SENDER)
		return;
	if (u->ou_block != NULL && u->ou_block->match_from)
		conf_findings_add(f, false, PLACE(u, user, smtp_auth),
		    "user \"%s\": smtp_auth = any_sender overrides match_from of ou \"%s\" within "
		    "%s (S18)",
		    u->title, u->ou_block->title,
		    u->senders.n != 0 ? "its senders" : "the unit's domains");
	for (size_t i = 0; i < u->senders.n; i++) {
		const char *p = u->senders.v[i];

		if (strcmp(p, "*") == 0 || strcmp(p, "*@*") == 0 || strcmp(p, "/.*/") == 0)
			conf_findings_add(f, false, where,
			    "user \"%s\": senders \"%s\" lets this account send as any foreign "
			    "address (S18)",
			    u->title, p);
	}
}

/* S49: domain any is for authenticated mail only; naming a listener without AUTH for it says
 * otherwise. */
static void
lint_any(const struct conf *conf, const struct conf_domain *d, struct conf_findings *f)
{
	for (size_t i = 0; i < d->listeners.n; i++) {
		const struct conf_listener *l = conf_listener_find(conf, d->listeners.v[i]);

		if (l != NULL && !can_log_in(l))
			conf_findings_add(f, true, PLACE(d, domain, listeners),
			    "domain \"%s\" (any) names listener \"%s\", where nobody can log in: "
			    "that would be "
			    "an open relay; take the listener out, or switch its auth on (S49)",
			    d->title, l->title);
	}
	if (d->ou != NULL)
		conf_findings_add(f, true, PLACE(d, domain, ou),
		    "domain \"%s\" (any) belongs to no ou: it stands for the domains of others "
		    "(S56)",
		    d->title);
}

void
policy_lint(const struct conf *conf, struct conf_findings *f)
{
	for (size_t i = 0; i < conf->n_listener; i++)
		lint_listener(&conf->listener_blocks[i], f);
	for (size_t i = 0; i < conf->n_ou; i++)
		lint_ou(conf, &conf->ou_blocks[i], f);
	for (size_t i = 0; i < conf->n_user; i++)
		lint_user(&conf->user_blocks[i], f);
	for (size_t i = 0; i < conf->n_domain; i++) {
		if (conf->domain_blocks[i].is_any)
			lint_any(conf, &conf->domain_blocks[i], f);
	}
}
