/* SPDX-License-Identifier: ISC */
/*
 * The tables behind the look-ups: domains, who owns them, their routes, users.
 *
 * Pure. Finds on the way what cannot be put into one table: a domain of two
 * units, two blocks for one domain on one listener, aliases that go in circles.
 */
#include "conf/conf_internal.h"

#include "base/str.h"
#include "mail/addr.h"

#include <string.h>

#define ALIAS_DEPTH 20

static const char *
index_ascii(struct conf_builder *b, struct conf_where where, const char *label, const char *domain)
{
	char ascii[ADDR_DOMAIN_MAX + 1], shown[CONF_SHOWN];

	if (addr_domain_ascii(span_of(domain), ascii) == 0)
		return conf_dup(b->arena, span_of(ascii));
	conf_error(b, where, "%s: \"%s\" is no domain%s", label, conf_shown(span_of(domain), shown),
	    strpbrk(domain, "*?!/@") != NULL ? "; patterns are not possible here, name each domain"
					     : "; write it as in example.com");
	return NULL;
}

static struct conf_domain_info *
index_info(struct conf_builder *b, const char *ascii)
{
	struct conf_map *map = &b->conf->index->domains;
	struct conf_domain_info *info = conf_map_get(map, 0, ascii);

	if (info == NULL) {
		info = conf_alloc(b->arena, 1, sizeof *info);
		info->name = ascii;
		(void)conf_map_put(map, 0, ascii, info);
	}
	return info;
}

/* The domain belongs to ou, because where says so. */
static void
index_own(struct conf_builder *b, struct conf_domain_info *info, struct conf_ou *ou,
    struct conf_where where)
{
	if (ou == NULL || ou == info->ou)
		return;
	if (info->ou == NULL) {
		info->ou = ou;
		info->ou_where = where;
		return;
	}
	conf_error(b, where,
	    "domain %s belongs to ou \"%s\" here, but to ou \"%s\" in %s:%u; a domain has one "
	    "owner",
	    info->name, ou->title, info->ou->title, info->ou_where.file, info->ou_where.line);
}

static void
index_ous(struct conf_builder *b)
{
	struct conf *c = b->conf;
	char label[CONF_LABEL];
	const char *ascii;
	size_t i, j;

	for (i = 0; i < c->n_ou; i++) {
		struct conf_ou *ou = &c->ou_blocks[i];

		conf_label(CONF_BLOCK_ou, ou->title,
		    &conf_blocks[CONF_BLOCK_ou].opts[CONF_OPT_ou_domains], label);
		for (j = 0; j < ou->domains.n; j++) {
			if (strcmp(ou->domains.v[j], "any") == 0) {
				conf_error(b, ou->domains.where,
				    "%s: \"any\" stands for every foreign domain and cannot be "
				    "owned; "
				    "remove it",
				    label);
				continue;
			}
			ascii = index_ascii(b, ou->domains.where, label, ou->domains.v[j]);
			if (ascii != NULL)
				index_own(b, index_info(b, ascii), ou, ou->domains.where);
		}
	}
}

/* One route; an error where there is one already. */
static void
index_route(struct conf_builder *b, struct conf_domain *d, uint32_t tag, const char *listener)
{
	const char *key = d->is_any ? "*" : d->ascii_name;
	struct conf_domain *old = conf_map_put(&b->conf->index->routes, tag, key, d);

	if (old == NULL || old == d)
		return;
	conf_error(b, d->where,
	    "domain \"%s\": %s stands already in domain \"%s\" (%s:%u)%s%s; give them different "
	    "listeners, or remove one",
	    d->title, d->is_any ? "any" : d->ascii_name, old->title, old->where.file,
	    old->where.line, listener != NULL ? " for listener " : " for all listeners",
	    listener != NULL ? listener : "");
}

static void
index_domain(struct conf_builder *b, struct conf_domain *d)
{
	struct conf *c = b->conf;
	struct conf_domain_info *info;
	char label[CONF_LABEL];
	size_t i;

	conf_label(CONF_BLOCK_domain, d->title, NULL, label);
	d->is_any = strcmp(d->name, "any") == 0;
	if (d->is_any) {
		if (d->ou != NULL)
			conf_error(b, CONF_WHERE(d, domain, ou),
			    "%s: any stands for every foreign domain and cannot belong to an ou; "
			    "remove ou",
			    label);
	} else {
		d->ascii_name = conf_dup(b->arena, span_of(""));
		const char *ascii = index_ascii(b, CONF_WHERE(d, domain, name), label, d->name);

		if (ascii == NULL)
			return;
		d->ascii_name = conf_dup(b->arena, span_of(ascii));
		info = index_info(b, d->ascii_name);
		if (info->block == NULL)
			info->block = d;
		index_own(b, info, d->ou_block, CONF_WHERE(d, domain, ou));
	}
	if (!CONF_GIVEN(d, domain, listeners))
		index_route(b, d, 0, NULL);
	else if (d->listeners.n == 0)
		conf_error(b, d->listeners.where,
		    "%s: listeners is empty: the block would never be used; leave the option out "
		    "for "
		    "all listeners",
		    label);
	for (i = 0; i < d->listeners.n; i++) {
		struct conf_listener *l =
		    conf_map_get(&c->index->titles, CONF_BLOCK_listener, d->listeners.v[i]);

		if (l != NULL)
			index_route(b, d, (uint32_t)(l - c->listener_blocks) + 1, l->title);
	}
}

/* What an alias's parent names: a domain block by title, or a domain or alias by name. */
static struct conf_domain *
index_parent(struct conf_builder *b, const char *parent, struct conf_domain_alias **next)
{
	struct conf_index *x = b->conf->index;
	struct conf_domain *d = conf_map_get(&x->titles, CONF_BLOCK_domain, parent);
	struct conf_domain_info *info;
	char ascii[ADDR_DOMAIN_MAX + 1];

	*next = NULL;
	if (d != NULL)
		return d;
	if (addr_domain_ascii(span_of(parent), ascii) == -1)
		return NULL;
	info = conf_map_get(&x->domains, 0, ascii);
	if (info == NULL)
		return NULL;
	*next = info->alias;
	return info->block;
}

static void
index_alias_parent(struct conf_builder *b, struct conf_domain_alias *a)
{
	struct conf_where where = CONF_WHERE(a, domain_alias, parent);
	struct conf_domain_alias *next = a;
	struct conf_domain *d = NULL;
	char shown[CONF_SHOWN];
	unsigned depth;

	if (a->parent == NULL)
		return;
	for (depth = 0; depth < ALIAS_DEPTH && next != NULL && next->parent != NULL; depth++) {
		d = index_parent(b, next->parent, &next);
		if (d != NULL)
			break;
	}
	if (d == NULL) {
		conf_error(b, where, "domain_alias \"%s\": parent = \"%s\" %s", a->title,
		    conf_shown(span_of(a->parent), shown),
		    next != NULL ? "goes in a circle; an alias must end at a domain block"
				 : "is no domain block");
	} else if (d->is_any) {
		conf_error(b, where,
		    "domain_alias \"%s\": parent cannot be any; name a domain block of your own",
		    a->title);
	} else {
		a->parent_block = d;
	}
}

static void
index_aliases(struct conf_builder *b)
{
	struct conf *c = b->conf;
	struct conf_domain_info *info;
	char label[CONF_LABEL];
	const char *ascii;
	size_t i;

	for (i = 0; i < c->n_domain_alias; i++) {
		struct conf_domain_alias *a = &c->domain_alias_blocks[i];

		conf_label(CONF_BLOCK_domain_alias, a->title, NULL, label);
		a->ascii_name = conf_dup(b->arena, span_of(""));
		if (strcmp(a->title, "any") == 0) {
			conf_error(b, a->where, "%s: any cannot be an alias", label);
			continue;
		}
		ascii = index_ascii(b, a->where, label, a->title);
		if (ascii == NULL)
			continue;
		a->ascii_name = conf_dup(b->arena, span_of(ascii));
		info = index_info(b, a->ascii_name);
		if (info->block != NULL)
			conf_error(b, a->where,
			    "%s: there is also a domain block for it (%s:%u); remove one", label,
			    info->block->where.file, info->block->where.line);
		else if (info->alias != NULL)
			conf_error(b, a->where, "%s: %s stands already in %s:%u; remove one", label,
			    a->ascii_name, info->alias->where.file, info->alias->where.line);
		else
			info->alias = a;
	}
	for (i = 0; i < c->n_domain_alias; i++)
		index_alias_parent(b, &c->domain_alias_blocks[i]);
	/* an alias takes its parent's owner */
	for (i = 0; i < c->n_domain_alias; i++) {
		struct conf_domain_alias *a = &c->domain_alias_blocks[i];
		struct conf_domain_info *parent;

		if (a->parent_block == NULL)
			continue;
		info = conf_map_get(&c->index->domains, 0, a->ascii_name);
		parent = conf_map_get(&c->index->domains, 0, a->parent_block->ascii_name);
		if (info != NULL && info->alias == a && parent != NULL)
			index_own(b, info, parent->ou, CONF_WHERE(a, domain_alias, parent));
	}
}

/* The user is found under this spelling of his address; *old: another one is already. */
static void
index_name(struct conf_builder *b, struct conf_user *u, const char *address, struct conf_user **old)
{
	char key[ADDR_FOLDED];
	struct conf_user *found;

	if (addr_fold(span_of(address), key, sizeof key) == -1)
		return;
	found = conf_map_put(&b->conf->index->users, 0, conf_dup(b->arena, span_of(key)), u);
	if (found != NULL && found != u)
		*old = found;
}

static void
index_user(struct conf_builder *b, struct conf_user *u)
{
	struct conf *c = b->conf;
	struct conf_domain_info *info;
	struct conf_user *old = NULL;
	struct addr addr;
	enum addr_error e = addr_parse(span_of(u->title), ADDR_ALLOW_UTF8, &addr);
	char text[ADDR_TEXT];

	if (e != ADDR_OK) {
		conf_error(b, u->where,
		    "user \"%s\": its name must be a whole address, as in user "
		    "\"name@example.com\" "
		    "(%s)",
		    u->title, addr_error_text(e));
		return;
	}
	index_name(b, u, u->title, &old);
	/* the same under the canonical form, and with the A-labels of its domain */
	addr_format(&addr, text);
	index_name(b, u, text, &old);
	if (str_copy(addr.domain, sizeof addr.domain, addr.ascii_domain) == 0) {
		addr_format(&addr, text);
		index_name(b, u, text, &old);
	}
	if (old != NULL && strcmp(old->title, u->title) != 0)
		conf_error(b, u->where,
		    "user \"%s\": is the same address as \"%s\" (%s:%u); remove one", u->title,
		    old->title, old->where.file, old->where.line);
	info = conf_map_get(&c->index->domains, 0, addr.ascii_domain);
	if (u->ou != NULL)
		u->ou_block = conf_map_get(&c->index->titles, CONF_BLOCK_ou, u->ou);
	else if (info != NULL)
		u->ou_block = info->ou;
	if (u->ou_block != NULL && info != NULL && info->ou != NULL && info->ou != u->ou_block)
		conf_error(b, CONF_WHERE(u, user, ou),
		    "user \"%s\": ou = \"%s\", but its domain %s belongs to ou \"%s\" (%s:%u); "
		    "they "
		    "must agree",
		    u->title, u->ou, info->name, info->ou->title, info->ou_where.file,
		    info->ou_where.line);
	else if (u->ou != NULL && (info == NULL || info->ou == NULL) && u->ou_block != NULL)
		conf_warn(b, CONF_WHERE(u, user, ou),
		    "user \"%s\": its domain %s belongs to no ou; its own address counts as "
		    "foreign "
		    "to ou \"%s\"",
		    u->title, addr.ascii_domain, u->ou);
}

void
conf_index_domains(struct conf_builder *b)
{
	struct conf *c = b->conf;
	size_t i, n = c->n_domain + c->n_domain_alias, routes = 0;

	for (i = 0; i < c->n_ou; i++)
		n += c->ou_blocks[i].domains.n;
	for (i = 0; i < c->n_domain; i++)
		routes += c->domain_blocks[i].listeners.n + 1;
	conf_map_init(&c->index->domains, b->arena, n + 1);
	conf_map_init(&c->index->routes, b->arena, routes + 1);
	conf_map_init(&c->index->users, b->arena, c->n_user * 3 + 1);
	index_ous(b);
	for (i = 0; i < c->n_domain; i++)
		index_domain(b, &c->domain_blocks[i]);
	index_aliases(b);
	for (i = 0; i < c->n_domain; i++) {
		struct conf_domain *d = &c->domain_blocks[i];
		struct conf_domain_info *info;

		if (d->ou_block != NULL || d->is_any)
			continue;
		info = conf_map_get(&c->index->domains, 0, d->ascii_name);
		if (info != NULL)
			d->ou_block = info->ou;
	}
	for (i = 0; i < c->n_user; i++)
		index_user(b, &c->user_blocks[i]);
}
