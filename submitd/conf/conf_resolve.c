/* SPDX-License-Identifier: ISC */
/*
 * References between blocks, `like` of listeners, and defaults that depend on
 * other options.
 *
 * Pure. References are checked where they stand, before `like` copies them, so
 * that each is complained of once.
 */
#include "conf/conf_internal.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define NEAREST_MAX 500 /* blocks that are searched for a similar name */

static void *
resolve_title(const struct conf_builder *b, enum conf_kind kind, const char *title)
{
	return conf_map_get(&b->conf->index->titles, kind, title);
}

static void
resolve_mark(struct conf_builder *b, enum conf_kind kind, const void *block)
{
	const char *first = conf_block_at(b->conf, kind, 0);

	b->referenced[kind][(size_t)((const char *)block - first) / conf_blocks[kind].size] = true;
}

/* The block, or NULL after an error. */
static void *
resolve_ref(struct conf_builder *b, enum conf_kind from, void *block,
    const struct conf_option_def *d, enum conf_kind to, const char *title, struct conf_where where)
{
	size_t i, n = conf_block_count(b->conf, to);
	char label[CONF_LABEL], shown[CONF_SHOWN];
	const char **titles, *near;
	void *target = resolve_title(b, to, title);

	if (target != NULL) {
		resolve_mark(b, to, target);
		return target;
	}
	if (n > NEAREST_MAX)
		n = NEAREST_MAX;
	titles = xcallocarray(n + 1, sizeof *titles);
	for (i = 0; i < n; i++)
		titles[i] = *conf_block_title(to, conf_block_at(b->conf, to, i));
	near = conf_nearest(span_of(title), titles, n);
	conf_label(from, *conf_block_title(from, block), NULL, label);
	conf_error(b, where, "%s: %s = \"%s\": there is no such %s block%s%s%s", label, d->name,
	    conf_shown(span_of(title), shown), conf_blocks[to].name,
	    near != NULL ? "; did you mean \"" : "", near != NULL ? near : "",
	    near != NULL ? "\"?" : "");
	free(titles);
	return NULL;
}

static void
resolve_list(struct conf_builder *b, enum conf_kind kind, void *block,
    const struct conf_option_def *d, enum conf_kind to, const struct conf_list *l)
{
	char label[CONF_LABEL], shown[CONF_SHOWN];
	size_t i, j;

	for (i = 0; i < l->n; i++) {
		(void)resolve_ref(b, kind, block, d, to, l->v[i], l->where);
		for (j = 0; j < i && i < NEAREST_MAX; j++) {
			if (strcmp(l->v[i], l->v[j]) != 0)
				continue;
			conf_label(kind, *conf_block_title(kind, block), NULL, label);
			conf_error(b, l->where, "%s: %s names \"%s\" twice; keep one", label,
			    d->name, conf_shown(span_of(l->v[i]), shown));
			break;
		}
	}
}

static void
resolve_references(struct conf_builder *b)
{
	size_t i, j, k, n;

	for (i = 0; i < CONF_BLOCK__MAX; i++) {
		const struct conf_block_def *d = &conf_blocks[i];
		enum conf_kind kind = (enum conf_kind)i;

		for (j = 0; j < d->n_opts; j++) {
			const struct conf_option_def *o = &d->opts[j];

			if ((o->type != CONF_TYPE_REF && o->type != CONF_TYPE_REFLIST) ||
			    kind == CONF_BLOCK_domain_alias) /* may name an alias: conf_find.c */
				continue;
			n = conf_block_count(b->conf, kind);
			for (k = 0; k < n; k++) {
				void *block = conf_block_at(b->conf, kind, k);
				void *field = (char *)block + o->offset;
				enum conf_kind to = (enum conf_kind)o->min;

				if (o->type == CONF_TYPE_REFLIST)
					resolve_list(b, kind, block, o, to, field);
				else if (*(char **)field != NULL)
					(void)resolve_ref(b, kind, block, o, to, *(char **)field,
					    conf_option_where(kind, block, (unsigned)j));
			}
		}
	}
}

static void
resolve_chains(struct conf_builder *b)
{
	const struct conf_option_def *d =
	    &conf_blocks[CONF_BLOCK_auth_flow].opts[CONF_OPT_auth_flow_chain];
	size_t i;

	for (i = 0; i < b->conf->n_auth_flow; i++)
		resolve_list(b, CONF_BLOCK_auth_flow, &b->conf->auth_flow_blocks[i], d,
		    CONF_BLOCK_backend, &b->conf->auth_flow_blocks[i].chain);
}

/* state: 0 untouched, 1 under way, 2 done. */
static void
resolve_like(struct conf_builder *b, size_t i, uint8_t *state, unsigned depth)
{
	const struct conf_block_def *d = &conf_blocks[CONF_BLOCK_listener];
	struct conf_listener *l = &b->conf->listener_blocks[i], *base;
	size_t j, k;

	if (state[i] != 0)
		return;
	state[i] = 1;
	base = l->like != NULL ? resolve_title(b, CONF_BLOCK_listener, l->like) : NULL;
	if (base != NULL) {
		k = (size_t)(base - b->conf->listener_blocks);
		if (state[k] == 1 || depth > 100) {
			conf_error(b, CONF_WHERE(l, listener, like),
			    "listener \"%s\": like = \"%s\" goes in a circle; one of them must "
			    "stand "
			    "alone",
			    l->title, l->like);
			state[i] = 2;
			return;
		}
		resolve_like(b, k, state, depth + 1);
		for (j = 0; j < d->n_opts; j++) {
			if (j == CONF_OPT_listener_like || j == CONF_OPT_listener_bind ||
			    l->option_where[j].line != 0 || base->option_where[j].line == 0)
				continue;
			l->option_where[j] = base->option_where[j];
			memcpy((char *)l + d->opts[j].offset, (char *)base + d->opts[j].offset,
			    conf_type_size(d->opts[j].type));
			b->inherited[i] |= UINT64_C(1) << j;
		}
	}
	state[i] = 2;
}

static void
resolve_listener_tls(struct conf_builder *b, struct conf_listener *l)
{
	struct conf *c = b->conf;
	size_t i;

	l->tls_blocks = conf_alloc(b->arena, l->tls_profile.n + 1, sizeof *l->tls_blocks);
	for (i = 0; i < l->tls_profile.n; i++) {
		struct conf_tls *t = resolve_title(b, CONF_BLOCK_tls, l->tls_profile.v[i]);

		if (t != NULL)
			l->tls_blocks[l->n_tls_blocks++] = t;
	}
	if (l->tls == LISTENER_TLS_OFF || CONF_GIVEN(l, listener, tls_profile)) {
		if (l->tls != LISTENER_TLS_OFF && l->tls_profile.n == 0)
			conf_error(b, CONF_WHERE(l, listener, tls_profile),
			    "listener \"%s\": tls_profile is empty; name a tls block", l->title);
		return;
	}
	if (c->n_tls == 1) {
		l->tls_profile.v = conf_alloc(b->arena, 1, sizeof *l->tls_profile.v);
		l->tls_profile.v[0] = c->tls_blocks[0].title;
		l->tls_profile.n = 1;
		l->tls_blocks[l->n_tls_blocks++] = &c->tls_blocks[0];
		b->referenced[CONF_BLOCK_tls][0] = true;
		return;
	}
	conf_error(b, l->where, "listener \"%s\": tls = %s needs a certificate, and %s; %s",
	    l->title, l->tls == LISTENER_TLS_IMPLICIT ? "implicit" : "starttls",
	    c->n_tls == 0 ? "there is no tls block" : "there are several tls blocks",
	    c->n_tls == 0 ? "add tls \"name\" { certificate = ... key = ... }"
			  : "say which with tls_profile = \"name\"");
}

static void
resolve_listener(struct conf_builder *b, struct conf_listener *l, struct conf_limit *limit)
{
	struct conf *c = b->conf;

	if (!CONF_GIVEN(l, listener, bind))
		conf_error(b, l->where,
		    "listener \"%s\": bind is missing%s; write bind = {\"0.0.0.0:587\"}", l->title,
		    l->like != NULL ? " (like does not take it over)" : "");
	if (!CONF_GIVEN(l, listener, require_auth))
		l->require_auth = l->role == LISTENER_SUBMISSION;
	resolve_listener_tls(b, l);
	if (l->limit != NULL)
		l->limit_block = resolve_title(b, CONF_BLOCK_limit, l->limit);
	if (l->limit_block == NULL)
		l->limit_block = limit;
	if (l->auth_flow != NULL) {
		l->flow_block = resolve_title(b, CONF_BLOCK_auth_flow, l->auth_flow);
	} else if (l->auth != LISTENER_AUTH_OFF && c->n_auth_flow == 1) {
		l->flow_block = &c->auth_flow_blocks[0];
		l->auth_flow = l->flow_block->title;
		b->referenced[CONF_BLOCK_auth_flow][0] = true;
	}
}

void
conf_resolve(struct conf_builder *b, const struct conf_limit *defaults)
{
	struct conf *c = b->conf;
	struct conf_limit *limit = conf_alloc(b->arena, 1, sizeof *limit);
	uint8_t *state;
	size_t i;

	*limit = *defaults;
	limit->where = (struct conf_where){c->file, 0};
	limit->title = conf_dup(b->arena, span_of("default"));
	limit->option_where =
	    conf_alloc(b->arena, CONF_OPT_limit__MAX, sizeof *limit->option_where);
	resolve_references(b);
	resolve_chains(b);
	state = xcallocarray(c->n_listener + 1, 1);
	b->inherited = conf_alloc(b->arena, c->n_listener, sizeof *b->inherited);
	for (i = 0; i < c->n_listener; i++)
		resolve_like(b, i, state, 0);
	free(state);
	for (i = 0; i < c->n_listener; i++)
		resolve_listener(b, &c->listener_blocks[i], limit);
	for (i = 0; i < c->n_backend; i++) {
		struct conf_backend *k = &c->backend_blocks[i];

		if (k->profile != NULL)
			k->profile_block = resolve_title(b, CONF_BLOCK_ldap, k->profile);
		if (k->transport != NULL)
			k->transport_block = resolve_title(b, CONF_BLOCK_transport, k->transport);
	}
	for (i = 0; i < c->n_domain; i++) {
		struct conf_domain *d = &c->domain_blocks[i];

		if (d->name == NULL)
			d->name = d->title;
		if (d->transport != NULL)
			d->transport_block = resolve_title(b, CONF_BLOCK_transport, d->transport);
		if (d->ou != NULL)
			d->ou_block = resolve_title(b, CONF_BLOCK_ou, d->ou);
	}
	if (c->server->postmaster == NULL && c->server->hostname != NULL) {
		char text[512];

		if (str_printf(text, sizeof text, "postmaster@%s", c->server->hostname) == 0)
			c->server->postmaster = conf_dup(b->arena, span_of(text));
	}
}
