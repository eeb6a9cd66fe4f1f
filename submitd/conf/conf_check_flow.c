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

/* S17: a no of such a one may mean "unknown" too. backend_ldap.c and others say so themselves. */
static bool
is_guessing(const struct conf_backend *x)
{
	return x->type == BACKEND_HTTP || x->type == BACKEND_SMTP ||
	       (x->type == BACKEND_LDAP && x->bind_as != NULL);
}

static bool
is_local(const struct conf_backend *x)
{
	return x->type == BACKEND_INTERNAL || x->type == BACKEND_FILE;
}

/* Every name that the later backend is asked for, the earlier one is asked for as well. */
static bool
covers(const struct conf *c, const char *earlier, const char *later)
{
	size_t i;

	if (!is_kept(c, earlier))
		return true;
	if (!is_kept(c, later))
		return false;
	for (i = 0; i < c->n_ou; i++)
		if (list_has(&c->ou_blocks[i].backends, later) &&
		    !list_has(&c->ou_blocks[i].backends, earlier))
			return false;
	return true;
}

/*
 * on_no = stop: behind a backend that does not know its users nobody is asked: it says yes, no,
 * or nothing, and each of them is the end. With on_unavailable = next the last one is not.
 */
static void
check_stop(struct conf_builder *b, const struct conf_auth_flow *x)
{
	size_t i, k;

	if (x->on_no != FLOW_NO_STOP || x->on_unavailable != FLOW_UNAVAILABLE_TEMPFAIL)
		return;
	for (k = 1; k < x->chain.n; k++) {
		const struct conf_backend *later = conf_backend_find(b->conf, x->chain.v[k]);

		for (i = 0; i < k && later != NULL && later->type != BACKEND_OAUTH; i++) {
			const struct conf_backend *gate = conf_backend_find(b->conf, x->chain.v[i]);

			if (gate == NULL || !is_guessing(gate) ||
			    !covers(b->conf, gate->title, later->title))
				continue;
			conf_warn(b, x->chain.where,
			    "auth_flow \"%s\": backend \"%s\" is never asked: with on_no = stop "
			    "the "
			    "chain ends at \"%s\", which is asked for the same names; put it "
			    "before "
			    "that one, or write on_no = next",
			    x->title, later->title, gate->title);
			break;
		}
	}
}

static bool
takes(const struct conf_listener *l, const char *a, const char *b)
{
	size_t i;

	for (i = 0; i < l->auth_mechanisms.n; i++)
		if (str_eq_nocase(l->auth_mechanisms.v[i], a) ||
		    str_eq_nocase(l->auth_mechanisms.v[i], b))
			return true;
	return l->auth_mechanisms.n == 0;
}

/* RFC 7628, 3: tokens are taken over TLS only. */
static void
check_listener_clear(struct conf_builder *b, const struct conf_listener *l)
{
	const struct conf_list *chain = &l->flow_block->chain;
	size_t i;

	if (l->tls != LISTENER_TLS_OFF || chain->n == 0)
		return;
	for (i = 0; i < chain->n; i++) {
		const struct conf_backend *x = conf_backend_find(b->conf, chain->v[i]);

		if (x == NULL || x->type != BACKEND_OAUTH)
			return;
	}
	conf_warn(b, CONF_WHERE(l, listener, tls),
	    "listener \"%s\": nobody can log in: auth_flow \"%s\" has only backends for tokens, "
	    "which are taken over TLS only; write tls = starttls or implicit",
	    l->title, l->flow_block->title);
}

/* Backends for which the listener takes nothing that they could judge. */
static void
check_listener_mechanisms(struct conf_builder *b, const struct conf_listener *l)
{
	bool password = takes(l, "PLAIN", "LOGIN"), token = takes(l, "OAUTHBEARER", "XOAUTH2");
	bool scram = takes(l, "SCRAM-SHA-256", "SCRAM-SHA-256");
	size_t i;

	for (i = 0; i < l->flow_block->chain.n; i++) {
		const struct conf_backend *x =
		    conf_backend_find(b->conf, l->flow_block->chain.v[i]);

		if (x == NULL ||
		    (x->type == BACKEND_OAUTH ? token : password || (is_local(x) && scram)))
			continue;
		conf_warn(b, l->auth_mechanisms.where,
		    "listener \"%s\": backend \"%s\" of auth_flow \"%s\" is never asked here: "
		    "auth_mechanisms has none that gives it %s",
		    l->title, x->title, l->flow_block->title,
		    x->type == BACKEND_OAUTH ? "a token" : "a password");
	}
}

/* SCRAM was asked for, and the keys stand behind a backend that decides first (S17). */
static void
check_listener_scram(struct conf_builder *b, const struct conf_listener *l)
{
	const struct conf_auth_flow *f = l->flow_block;
	size_t i, k;

	if (l->auth_mechanisms.n == 0 || !takes(l, "SCRAM-SHA-256", "SCRAM-SHA-256"))
		return;
	for (i = 1; i < f->chain.n; i++) {
		const struct conf_backend *x = conf_backend_find(b->conf, f->chain.v[i]);

		for (k = 0; k < i && x != NULL && is_local(x); k++) {
			const struct conf_backend *gate = conf_backend_find(b->conf, f->chain.v[k]);

			if (gate == NULL || is_local(gate) || gate->type == BACKEND_OAUTH ||
			    (is_guessing(gate) && f->on_no != FLOW_NO_STOP) ||
			    !covers(b->conf, gate->title, x->title))
				continue;
			conf_warn(b, l->auth_mechanisms.where,
			    "listener \"%s\": auth_mechanisms: keys of backend \"%s\" are not used "
			    "for SCRAM-SHA-256: \"%s\" stands before it in auth_flow \"%s\", "
			    "decides "
			    "about the same names, and has none; change their order",
			    l->title, x->title, gate->title, f->title);
			break;
		}
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

	for (i = 0; i < c->n_auth_flow; i++) {
		check_flow(b, &c->auth_flow_blocks[i]);
		check_stop(b, &c->auth_flow_blocks[i]);
	}
	for (i = 0; i < c->n_ou; i++)
		check_ou_backends(b, &c->ou_blocks[i]);
	for (i = 0; i < c->n_listener; i++) {
		const struct conf_listener *l = &c->listener_blocks[i];

		if (l->auth == LISTENER_AUTH_OFF || l->flow_block == NULL)
			continue;
		check_listener_units(b, l);
		check_listener_clear(b, l);
		if ((b->inherited[i] >> CONF_OPT_listener_auth_mechanisms & 1) != 0 &&
		    (b->inherited[i] >> CONF_OPT_listener_auth_flow & 1) != 0)
			continue; /* said where they stand */
		check_listener_mechanisms(b, l);
		check_listener_scram(b, l);
	}
}
