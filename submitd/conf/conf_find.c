/* SPDX-License-Identifier: ISC */
/*
 * Look-ups in a built configuration, by hash.
 *
 * Any process, several times per message: no allocation, no walk over blocks.
 */
#include "conf/conf_internal.h"

#include "base/str.h"
#include "mail/addr.h"

#include <string.h>

const struct conf_listener *
conf_listener_find(const struct conf *c, const char *title)
{
	return conf_map_get(&c->index->titles, CONF_BLOCK_listener, title);
}

bool
conf_transport_verifies(const struct conf_transport *t)
{
	return t->tls == TRANSPORT_TLS_REQUIRE_VERIFY || t->tls == TRANSPORT_TLS_IMPLICIT;
}

const struct conf_transport *
conf_transport_find(const struct conf *c, const char *title)
{
	return conf_map_get(&c->index->titles, CONF_BLOCK_transport, title);
}

const struct conf_ou *
conf_ou_find(const struct conf *c, const char *title)
{
	return conf_map_get(&c->index->titles, CONF_BLOCK_ou, title);
}

const struct conf_backend *
conf_backend_find(const struct conf *c, const char *title)
{
	return conf_map_get(&c->index->titles, CONF_BLOCK_backend, title);
}

const struct conf_user *
conf_user_find(const struct conf *c, const char *address)
{
	char key[ADDR_FOLDED], parent[ADDR_TEXT];
	const struct conf_user *u;

	if (address == NULL || addr_fold(span_of(address), key, sizeof key) == -1)
		return NULL;
	u = conf_map_get(&c->index->users, 0, key);
	if (u == NULL && conf_alias_address(c, address, parent, sizeof parent) == 0 &&
	    addr_fold(span_of(parent), key, sizeof key) == 0)
		u = conf_map_get(&c->index->users, 0, key);
	return u;
}

int
conf_alias_address(const struct conf *c, const char *address, char *out, size_t size)
{
	const char *at = strrchr(address, '@');
	const struct conf_domain_info *info;

	info = at == NULL ? NULL : conf_map_get(&c->index->domains, 0, at + 1);
	if (info == NULL || info->alias == NULL || info->alias->parent_block == NULL)
		return -1;
	return str_printf(out, size, "%.*s@%s", (int)(at - address), address,
	    info->alias->parent_block->ascii_name);
}

const struct conf_ou *
conf_ou_of_domain(const struct conf *c, const char *ascii_domain)
{
	const struct conf_domain_info *info = conf_map_get(&c->index->domains, 0, ascii_domain);

	return info == NULL ? NULL : info->ou;
}

bool
conf_domain_is_internal(const struct conf *c, const char *ascii_domain)
{
	return conf_map_get(&c->index->domains, 0, ascii_domain) != NULL;
}

const struct conf_domain *
conf_domain_route(
    const struct conf *c, const char *listener, const char *ascii_domain, bool *is_any)
{
	const struct conf_domain_info *info = conf_map_get(&c->index->domains, 0, ascii_domain);
	const struct conf_listener *l = conf_listener_find(c, listener);
	const struct conf_map *routes = &c->index->routes;
	uint32_t tag = l == NULL ? 0 : (uint32_t)(l - c->listener_blocks) + 1;
	const struct conf_domain *d;

	if (info != NULL && info->alias != NULL && info->alias->parent_block != NULL)
		ascii_domain = info->alias->parent_block->ascii_name;
	for (;; tag = 0) {
		d = conf_map_get(routes, tag, ascii_domain);
		if (d == NULL)
			d = conf_map_get(routes, tag, "*");
		if (d != NULL || tag == 0)
			break;
	}
	if (d != NULL)
		*is_any = d->is_any;
	return d;
}
