/* SPDX-License-Identifier: ISC */
/*
 * Cross checks of listeners: lock-outs, passwords in clear, old TLS without a
 * fence, trust in everybody, addresses bound twice.
 *
 * Pure. That nobody relays without a grant is proved elsewhere, by the policy
 * itself (policy_prove); here is what a listener says about itself.
 */
#include "conf/conf_internal.h"

#include "base/list.h"
#include "base/str.h"
#include "mail/addr.h"

#include <string.h>

static const char *const auth_words[] = {CONF_ENUM_listener_auth};

/* AUTH that can never succeed, or that is needed and off (S1, S2). */
static void
listener_check_auth(struct conf_builder *b, const struct conf_listener *l)
{
	const char *by_default = CONF_GIVEN(l, listener, auth) ? "" : " (the default)";

	if (l->auth == LISTENER_AUTH_OFF) {
		if (l->require_auth)
			conf_error(b, CONF_WHERE(l, listener, auth),
			    "listener \"%s\": auth = off with require_auth = true%s lets nobody "
			    "send; "
			    "write auth = encrypted, or require_auth = false",
			    l->title,
			    CONF_GIVEN(l, listener, require_auth)
				? ""
				: " (the default of role = submission)");
		if (l->relay_any_authenticated || l->relay_ou.n != 0)
			conf_warn(b,
			    l->relay_ou.n != 0 ? l->relay_ou.where
					       : CONF_WHERE(l, listener, relay_any_authenticated),
			    "listener \"%s\": a relay grant for authenticated users does nothing "
			    "while "
			    "auth = off",
			    l->title);
		return;
	}
	if (l->auth == LISTENER_AUTH_ENCRYPTED && l->tls == LISTENER_TLS_OFF)
		conf_error(b, CONF_WHERE(l, listener, auth),
		    "listener \"%s\": auth = encrypted%s with tls = off lets nobody log in; write "
		    "tls "
		    "= starttls, or auth = off",
		    l->title, by_default);
	if (l->flow_block == NULL && l->auth_flow == NULL)
		conf_error(b, CONF_WHERE(l, listener, auth),
		    "listener \"%s\": auth = %s%s needs auth_flow, and %s; write auth_flow = "
		    "\"name\", "
		    "or auth = off",
		    l->title, auth_words[l->auth], by_default,
		    b->conf->n_auth_flow == 0 ? "there is no auth_flow block"
					      : "there are several auth_flow blocks");
	if (l->auth == LISTENER_AUTH_ON)
		conf_warn(b, CONF_WHERE(l, listener, auth),
		    "listener \"%s\": auth = on takes passwords without TLS: whoever listens on "
		    "the "
		    "network reads them; write auth = encrypted",
		    l->title);
}

/* The mechanisms, and the type of backend without which nobody could log in by one. */
static const struct {
	const char *name, *type, *other; /* NULL: any */
} mechanisms[] = {
    {"PLAIN", NULL, NULL},
    {"LOGIN", NULL, NULL},
    {"SCRAM-SHA-256", "internal", "file"},
    {"OAUTHBEARER", "oauth", NULL},
    {"XOAUTH2", "oauth", NULL},
    {"EXTERNAL", "internal", NULL},
};

static bool
flow_has_type(const struct conf_builder *b, const struct conf_auth_flow *f, const char *type)
{
	static const char *const words[] = {CONF_ENUM_backend_type};
	size_t i, k;

	for (i = 0; type != NULL && i < f->chain.n; i++) {
		if (str_eq_nocase(f->chain.v[i], type))
			return true; /* internal, without a block */
		for (k = 0; k < b->conf->n_backend; k++) {
			const struct conf_backend *x = &b->conf->backend_blocks[k];

			if (strcmp(x->title, f->chain.v[i]) == 0 && x->type >= 0 &&
			    (size_t)x->type < ARRAY_LEN(words) && strcmp(words[x->type], type) == 0)
				return true;
		}
	}
	return false;
}

/* For certificates of clients. */
static bool
listener_asks(const struct conf_listener *l)
{
	size_t i;

	for (i = 0; l->tls != LISTENER_TLS_OFF && i < l->n_tls_blocks; i++)
		if (l->tls_blocks[i]->client_ca != NULL)
			return true;
	return false;
}

static void
mechanism_check(struct conf_builder *b, const struct conf_listener *l, const char *word)
{
	struct conf_where where = CONF_WHERE(l, listener, auth_mechanisms);
	char shown[CONF_SHOWN];
	size_t i;

	for (i = 0; i < ARRAY_LEN(mechanisms); i++)
		if (str_eq_nocase(word, mechanisms[i].name))
			break;
	if (i == ARRAY_LEN(mechanisms)) {
		conf_error(b, where,
		    "listener \"%s\": auth_mechanisms: there is no \"%s\"; right are PLAIN, "
		    "LOGIN, SCRAM-SHA-256, OAUTHBEARER, XOAUTH2 and EXTERNAL",
		    l->title, conf_shown(span_of(word), shown));
		return;
	}
	if (str_eq_nocase(word, "EXTERNAL") && !listener_asks(l))
		conf_warn(b, where,
		    "listener \"%s\": auth_mechanisms: nobody can log in by EXTERNAL, for no tls "
		    "block of the listener has client_ca = \"/PATH\"",
		    l->title);
	if (l->flow_block == NULL || mechanisms[i].type == NULL ||
	    flow_has_type(b, l->flow_block, mechanisms[i].type) ||
	    flow_has_type(b, l->flow_block, mechanisms[i].other))
		return;
	conf_warn(b, where,
	    "listener \"%s\": auth_mechanisms: nobody can log in by %s, for auth_flow \"%s\" has "
	    "no backend with type = %s%s%s",
	    l->title, mechanisms[i].name, l->flow_block->title, mechanisms[i].type,
	    mechanisms[i].other != NULL ? " or " : "",
	    mechanisms[i].other != NULL ? mechanisms[i].other : "");
}

static void
listener_check_mechanisms(struct conf_builder *b, const struct conf_listener *l)
{
	size_t i;

	for (i = 0; i < l->auth_mechanisms.n; i++)
		mechanism_check(b, l, l->auth_mechanisms.v[i]);
	if (l->auth == LISTENER_AUTH_OFF && l->auth_mechanisms.n > 0)
		conf_warn(b, CONF_WHERE(l, listener, auth_mechanisms),
		    "listener \"%s\": auth_mechanisms does nothing while auth = off", l->title);
}

/* What came by like is complained of where it stands. */
static void
listener_check_filters(struct conf_builder *b, const struct conf_listener *l, uint64_t inherited)
{
	const uint64_t ip =
	    1ull << CONF_OPT_listener_auth_ip_mode | 1ull << CONF_OPT_listener_auth_ip_filter;
	const uint64_t user =
	    1ull << CONF_OPT_listener_auth_user_mode | 1ull << CONF_OPT_listener_auth_user_filter;
	char label[CONF_LABEL];

	conf_label(CONF_BLOCK_listener, l->title, NULL, label);
	if ((inherited & ip) == 0)
		conf_check_filter(b, label, "auth_ip", l->auth_ip_mode,
		    CONF_WHERE(l, listener, auth_ip_mode), &l->auth_ip_filter);
	if ((inherited & user) == 0)
		conf_check_filter(b, label, "auth_user", l->auth_user_mode,
		    CONF_WHERE(l, listener, auth_user_mode), &l->auth_user_filter);
}

static void
listener_check_tls(struct conf_builder *b, const struct conf_listener *l, bool own_profile)
{
	size_t i;

	if (l->tls == LISTENER_TLS_OFF) {
		if (own_profile)
			conf_warn(b, CONF_WHERE(l, listener, tls_profile),
			    "listener \"%s\": tls_profile is not used while tls = off", l->title);
		return;
	}
	for (i = 0; i < l->n_tls_blocks; i++) {
		const struct conf_tls *t = l->tls_blocks[i];

		/* 2 is TLSv1.2 (C5) */
		if (t->min_version < 2 && l->clients.n == 0)
			conf_error(b, CONF_WHERE(l, listener, tls_profile),
			    "listener \"%s\": tls \"%s\" takes TLS older than 1.2 (%s:%u), which "
			    "needs "
			    "clients = {\"NETWORK\"} on the listener, so that only the old devices "
			    "reach it",
			    l->title, t->title, CONF_WHERE(t, tls, min_version).file,
			    CONF_WHERE(t, tls, min_version).line);
		if (t->min_version < 2 && t->ciphers == NULL)
			conf_warn(b, CONF_WHERE(t, tls, min_version),
			    "tls \"%s\": TLS older than 1.2 usually needs ciphers = "
			    "\"DEFAULT:@SECLEVEL=0\"",
			    t->title);
	}
}

static void
listener_check_trust(struct conf_builder *b, const struct conf_listener *l, const char *option,
    const struct net_cidr *nets, size_t n, struct conf_where where)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (nets[i].bits == 0)
			conf_error(b, where,
			    "listener \"%s\": %s believes everybody, so anyone could claim any "
			    "address; "
			    "name the hosts of your own",
			    l->title, option);
}

static void
listener_check(struct conf_builder *b, const struct conf_listener *l, uint64_t inherited)
{
	char ascii[ADDR_DOMAIN_MAX + 1], shown[CONF_SHOWN];
	struct conf_where where;

	listener_check_auth(b, l);
	if ((inherited >> CONF_OPT_listener_auth_mechanisms & 1) == 0)
		listener_check_mechanisms(b, l);
	listener_check_filters(b, l, inherited);
	listener_check_tls(b, l,
	    CONF_GIVEN(l, listener, tls_profile) &&
		(inherited >> CONF_OPT_listener_tls_profile & 1) == 0);
	if (CONF_GIVEN(l, listener, clients) && l->clients.n == 0)
		conf_error(b, CONF_WHERE(l, listener, clients),
		    "listener \"%s\": clients is empty: nobody could connect; leave it out for "
		    "everybody, or list networks",
		    l->title);
	listener_check_trust(
	    b, l, "proxy", l->proxy_nets, l->n_proxy_nets, CONF_WHERE(l, listener, proxy));
	listener_check_trust(
	    b, l, "xclient", l->xclient_nets, l->n_xclient_nets, CONF_WHERE(l, listener, xclient));
	if (l->default_domain != NULL && (inherited >> CONF_OPT_listener_default_domain & 1) == 0) {
		where = CONF_WHERE(l, listener, default_domain);
		if (addr_domain_ascii(span_of(l->default_domain), ascii) == -1)
			conf_error(b, where,
			    "listener \"%s\": default_domain = \"%s\" is no domain; write it as in "
			    "example.com",
			    l->title, conf_shown(span_of(l->default_domain), shown));
		else if (!conf_domain_is_internal(b->conf, ascii))
			conf_warn(b, where,
			    "listener \"%s\": default_domain = \"%s\" stands in no ou or domain "
			    "block, "
			    "so such users belong to no ou",
			    l->title, l->default_domain);
	}
	if (l->relay_any_authenticated && l->relay_ou.n != 0)
		conf_warn(b, l->relay_ou.where,
		    "listener \"%s\": relay_any_authenticated = true makes relay_ou needless: "
		    "every "
		    "authenticated user may send to anywhere",
		    l->title);
	if (l->banner != NULL && !str_is_ascii(span_of(l->banner)))
		conf_error(b, CONF_WHERE(l, listener, banner),
		    "listener \"%s\": banner may have ASCII only", l->title);
}

struct bind_entry {
	const struct conf_listener *listener;
	const struct net_addr *addr;
};

static bool
bind_is_any(const struct net_addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->ip, zero, a->family == 4 ? 4 : 16) == 0;
}

/* Linux opens neither an address twice nor one beside its wildcard on the same port. */
static void
bind_compare(struct conf_builder *b, const struct bind_entry *x, const struct bind_entry *y)
{
	char text[NET_ADDR_TEXT];

	if (x->addr->family != y->addr->family || x->addr->port != y->addr->port ||
	    x->addr->port == 0)
		return;
	net_addr_format(y->addr, text);
	if (net_addr_equal_ip(x->addr, y->addr))
		conf_error(b, y->listener->bind.where,
		    "listener \"%s\": bind: %s stands already in listener \"%s\" (%s:%u); an "
		    "address "
		    "belongs to one listener",
		    y->listener->title, text, x->listener->title, x->listener->bind.where.file,
		    x->listener->bind.where.line);
	else if (bind_is_any(x->addr) || bind_is_any(y->addr))
		conf_error(b, y->listener->bind.where,
		    "listener \"%s\": bind: %s overlaps with listener \"%s\" (%s:%u), and the "
		    "system "
		    "refuses to open both; name single addresses there",
		    y->listener->title, text, x->listener->title, x->listener->bind.where.file,
		    x->listener->bind.where.line);
}

void
conf_check_listeners(struct conf_builder *b)
{
	struct conf *c = b->conf;
	struct bind_entry *v;
	size_t i, j, n = 0;

	for (i = 0; i < c->n_listener; i++) {
		listener_check(b, &c->listener_blocks[i], b->inherited[i]);
		n += c->listener_blocks[i].n_binds;
	}
	if (c->n_listener > conf_blocks[CONF_BLOCK_listener].max)
		return; /* too many, which was said */
	v = conf_alloc(b->arena, n, sizeof *v);
	n = 0;
	for (i = 0; i < c->n_listener; i++)
		for (j = 0; j < c->listener_blocks[i].n_binds; j++)
			v[n++] = (struct bind_entry){
			    &c->listener_blocks[i], &c->listener_blocks[i].binds[j]};
	for (i = 0; i < n && n <= 10000; i++)
		for (j = i + 1; j < n; j++)
			bind_compare(b, &v[i], &v[j]);
}
