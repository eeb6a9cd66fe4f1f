/* SPDX-License-Identifier: ISC */
/*
 * Cross checks of authentication: chains, and the backends that units keep for
 * their own names (S16, S17). What can never be asked is a warning: it is safe, but
 * somebody expected something else. Pure, no file system.
 */
#include "conf/conf_internal.h"

#include "base/str.h"

#include <string.h>

static bool
list_has(const struct conf_list *l, const char *word)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (strcmp(l->v[i], word) == 0)
			return true;
	return false;
}

/* Any unit keeps it for itself, so that it is not asked for other names. */
static bool
is_kept(const struct conf *c, const char *backend)
{
	size_t i;

	for (i = 0; i < c->n_ou; i++)
		if (list_has(&c->ou_blocks[i].backends, backend))
			return true;
	return false;
}

/* S4: such a unit lets nobody log in, which is said where it stands. */
static bool
lets_nobody_in(const struct conf_ou *x)
{
	return x->auth_user_mode == FILTER_ALLOW && x->auth_user_filter.n == 0;
}

static void
check_flow(struct conf_builder *b, const struct conf_auth_flow *x)
{
	size_t i, k;

	for (i = 0; i < x->chain.n; i++) {
		bool kept = false, open = false;

		for (k = 0; k < b->conf->n_ou; k++) {
			const struct conf_ou *ou = &b->conf->ou_blocks[k];

			if (!list_has(&ou->backends, x->chain.v[i]))
				continue;
			kept = true;
			open = open || !lets_nobody_in(ou);
		}
		if (kept && !open)
			conf_warn(b, x->chain.where,
			    "auth_flow \"%s\": backend \"%s\" is never asked: no unit that lists "
			    "it "
			    "lets anybody log in (auth_user_mode = allow, empty auth_user_filter)",
			    x->title, x->chain.v[i]);
	}
}

/* A unit lists what no chain has. */
static void
check_ou_backends(struct conf_builder *b, const struct conf_ou *x)
{
	const struct conf *c = b->conf;
	size_t i, k;

	for (i = 0; i < x->backends.n; i++) {
		if (conf_backend_find(c, x->backends.v[i]) == NULL)
			continue; /* reported */
		for (k = 0; k < c->n_auth_flow; k++)
			if (list_has(&c->auth_flow_blocks[k].chain, x->backends.v[i]))
				break;
		if (k == c->n_auth_flow)
			conf_warn(b, x->backends.where,
			    "ou \"%s\": backends: no auth_flow has \"%s\" in its chain, so it is "
			    "never asked; add it there",
			    x->title, x->backends.v[i]);
	}
}

/* A unit whose users are meant to send here, and whom no backend of the chain is there for. */
static void
check_listener_units(struct conf_builder *b, const struct conf_listener *l)
{
	const struct conf_list *chain;
	size_t i, k;

	if (l->auth == LISTENER_AUTH_OFF || l->flow_block == NULL)
		return;
	chain = &l->flow_block->chain;
	for (i = 0; i < l->relay_ou.n; i++) {
		const struct conf_ou *ou = conf_ou_find(b->conf, l->relay_ou.v[i]);

		if (ou == NULL)
			continue;
		for (k = 0; k < chain->n; k++)
			if (!is_kept(b->conf, chain->v[k]) || list_has(&ou->backends, chain->v[k]))
				break;
		if (k == chain->n)
			conf_warn(b, l->relay_ou.where,
			    "listener \"%s\": nobody of ou \"%s\" can log in: each backend of "
			    "auth_flow \"%s\" is kept for other units (option backends of ou)",
			    l->title, ou->title, l->flow_block->title);
	}
}

void
conf_check_flows(struct conf_builder *b)
{
	struct conf *c = b->conf;
	size_t i;

	for (i = 0; i < c->n_auth_flow; i++)
		check_flow(b, &c->auth_flow_blocks[i]);
	for (i = 0; i < c->n_ou; i++)
		check_ou_backends(b, &c->ou_blocks[i]);
	for (i = 0; i < c->n_listener; i++)
		check_listener_units(b, &c->listener_blocks[i]);
}
