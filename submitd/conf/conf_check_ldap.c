/* SPDX-License-Identifier: ISC */
/*
 * Checks of ldap blocks and of the backends that use them: URIs, filters, names to
 * bind with, and that no password goes in clear over a wire. Pure, no file system,
 * no network.
 */
#include "conf/conf_internal.h"

#include "base/ldap_text.h"
#include "base/str.h"

#include <string.h>

static void
check_uris(struct conf_builder *b, const struct conf_ldap *x, const char *label)
{
	char shown[CONF_SHOWN];
	struct ldap_uri u;
	const char *wrong;
	bool clear = false, tls = false;
	size_t i;

	for (i = 0; i < x->uri.n; i++) {
		wrong = ldap_uri_parse(x->uri.v[i], &u);
		(void)conf_shown(span_of(x->uri.v[i]), shown);
		if (wrong != NULL) {
			conf_error(b, x->uri.where,
			    "%s: uri \"%s\": %s; write ldaps://dc1.example.com or "
			    "ldap://HOST:PORT",
			    label, shown, wrong);
			continue;
		}
		tls = tls || u.tls;
		clear = clear || !u.tls;
		if (!u.tls && !u.loopback && !x->starttls && !x->allow_plain)
			conf_error(b, x->uri.where,
			    "%s: uri \"%s\": passwords would cross the network in clear; write "
			    "ldaps:// "
			    "or starttls = true (or allow_plain = true, if nobody can listen)",
			    label, shown);
	}
	if (x->starttls && !clear && x->uri.n > 0)
		conf_warn(b, CONF_WHERE(x, ldap, starttls),
		    "%s: starttls is for ldap://, and every uri is ldaps://; remove it", label);
	if (x->ca_file != NULL && !tls && !x->starttls)
		conf_warn(b, CONF_WHERE(x, ldap, ca_file),
		    "%s: ca_file is not used without ldaps:// or starttls = true", label);
}

static void
check_attribute(struct conf_builder *b, struct conf_where where, const char *label,
    const char *option, const char *name)
{
	char shown[CONF_SHOWN];
	const char *p = name;

	while (p != NULL && ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
				(*p >= '0' && *p <= '9') || *p == '-' || *p == '.' || *p == ';'))
		p++;
	if (p != NULL && *p != '\0')
		conf_error(b, where,
		    "%s: %s = \"%s\" is no name of an attribute; write one like proxyAddresses",
		    label, option, conf_shown(span_of(name), shown));
}

static void
check_block(struct conf_builder *b, const struct conf_ldap *x)
{
	char label[CONF_LABEL], shown[CONF_SHOWN];
	const char *wrong;

	conf_label(CONF_BLOCK_ldap, x->title, NULL, label);
	check_uris(b, x, label);
	conf_check_absolute(b, CONF_WHERE(x, ldap, ca_file), label, "ca_file", x->ca_file);
	if (x->bind_secret != NULL &&
	    (strncmp(x->bind_secret, "file:", 5) != 0 || x->bind_secret[5] != '/'))
		/* it may be a password: never show it */
		conf_error(b, CONF_WHERE(x, ldap, bind_secret),
		    "%s: bind_secret is no \"file:/PATH\"; put the password into a file of its own",
		    label);
	if (x->bind_dn != NULL && x->bind_secret == NULL)
		conf_error(b, CONF_WHERE(x, ldap, bind_dn),
		    "%s: bind_dn needs bind_secret = \"file:/PATH\" with its password", label);
	if (x->bind_dn == NULL && x->bind_secret != NULL)
		conf_error(b, CONF_WHERE(x, ldap, bind_secret),
		    "%s: bind_secret needs bind_dn = \"...\", the account it belongs to", label);
	if (x->filter != NULL && (wrong = ldap_filter_check(x->filter)) != NULL)
		conf_error(b, CONF_WHERE(x, ldap, filter),
		    "%s: filter = \"%s\": %s; write one like (mail=%%s)", label,
		    conf_shown(span_of(x->filter), shown), wrong);
	if (x->filter != NULL && x->base == NULL)
		conf_error(b, CONF_WHERE(x, ldap, filter),
		    "%s: filter needs base = \"dc=example,dc=com\", below which is searched",
		    label);
	if (x->base != NULL && ldap_dn_check(x->base) != NULL)
		conf_error(b, CONF_WHERE(x, ldap, base),
		    "%s: base = \"%s\" is no DN; write one like dc=example,dc=com", label,
		    conf_shown(span_of(x->base), shown));
	check_attribute(b, CONF_WHERE(x, ldap, senders_attribute), label, "senders_attribute",
	    x->senders_attribute);
	check_attribute(
	    b, CONF_WHERE(x, ldap, name_attribute), label, "name_attribute", x->name_attribute);
}

void
conf_check_ldap(struct conf_builder *b)
{
	size_t i;

	for (i = 0; i < b->conf->n_ldap; i++)
		check_block(b, &b->conf->ldap_blocks[i]);
}

static bool
is_of_several_domains(const struct conf *c)
{
	size_t i, n = 0;

	for (i = 0; i < c->n_ou; i++)
		n += c->ou_blocks[i].domains.n;
	return n > 1;
}

/* uid=%n is the same entry for alice@a.example and alice@b.example. */
static void
check_domain_counts(struct conf_builder *b, const struct conf_backend *x, const char *label)
{
	if (strstr(x->bind_as, "%u") == NULL && strstr(x->bind_as, "%d") == NULL &&
	    x->profile_block->name_attribute == NULL && is_of_several_domains(b->conf))
		conf_warn(b, CONF_WHERE(x, backend, bind_as),
		    "%s: bind_as leaves out the domain, so users can log in with their name in "
		    "any domain of ours, and send as that; add name_attribute to ldap \"%s\", "
		    "or use %%u or %%d",
		    label, x->profile_block->title);
}

void
conf_check_ldap_backend(struct conf_builder *b, const struct conf_backend *x, const char *label)
{
	const struct conf_ldap *l = x->profile_block;
	char shown[CONF_SHOWN];
	const char *wrong;

	if (x->profile == NULL)
		conf_error(b, CONF_WHERE(x, backend, type),
		    "%s: type = ldap needs profile = \"NAME\" of an ldap block", label);
	if (x->bind_as != NULL && (wrong = ldap_bind_as_check(x->bind_as)) != NULL)
		conf_error(b, CONF_WHERE(x, backend, bind_as),
		    "%s: bind_as = \"%s\": %s; write %%u, %%n@corp.example or a DN with %%u or "
		    "%%n",
		    label, conf_shown(span_of(x->bind_as), shown), wrong);
	if (l == NULL) /* reported */
		return;
	if (x->bind_as == NULL && l->filter == NULL)
		conf_error(b, CONF_WHERE(x, backend, profile),
		    "%s: nothing says as whom to bind: write bind_as = \"%%u\" here, or base and "
		    "filter "
		    "in ldap \"%s\"",
		    label, l->title);
	else if (x->bind_as != NULL && l->filter == NULL && !ldap_bind_as_is_dn(x->bind_as) &&
		 (l->senders_attribute != NULL || l->name_attribute != NULL))
		conf_error(b, CONF_WHERE(x, backend, bind_as),
		    "%s: bind_as is no DN, so %s of ldap \"%s\" needs base and filter there to "
		    "find the "
		    "entry",
		    label, l->senders_attribute != NULL ? "senders_attribute" : "name_attribute",
		    l->title);
	else if (x->bind_as != NULL)
		check_domain_counts(b, x, label);
	if (x->timeout < l->timeout)
		conf_warn(b, CONF_WHERE(x, backend, timeout),
		    "%s: timeout is shorter than that of ldap \"%s\"; a silent server leaves no "
		    "time for "
		    "the next one",
		    label, l->title);
}
