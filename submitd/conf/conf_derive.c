/* SPDX-License-Identifier: ISC */
/*
 * Fields that are worked out of texts: addresses, networks, hosts, methods.
 *
 * Pure. Whoever uses a configuration never parses a text of it again.
 */
#include "conf/conf_internal.h"

#include "base/list.h"
#include "base/str.h"
#include "mail/addr.h"
#include "mail/pattern.h"

#include <string.h>

static bool
derive_is_inherited(const struct conf_builder *b, const struct conf_listener *l, unsigned opt)
{
	return (b->inherited[l - b->conf->listener_blocks] >> opt & 1) != 0;
}

/* Addresses and networks of a list; quiet where the list was inherited. */
static void
derive_nets(struct conf_builder *b, const char *label, const char *option,
    const struct conf_list *l, bool quiet, struct net_cidr **nets, size_t *n)
{
	char shown[CONF_SHOWN];
	size_t i, count = 0;
	struct net_cidr *v = conf_alloc(b->arena, l->n, sizeof *v);

	for (i = 0; i < l->n; i++) {
		if (net_cidr_parse(span_of(l->v[i]), &v[count]) == 0) {
			count++;
			continue;
		}
		if (quiet)
			continue;
		conf_error(b, l->where,
		    "%s: %s: \"%s\" is %s; write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32", label,
		    option, conf_shown(span_of(l->v[i]), shown),
		    l->v[i][0] == '!' ? "a denial, which is not possible here"
				      : "no address and no network");
	}
	*nets = v;
	*n = count;
}

struct pattern_complaint {
	struct conf_builder *b;
	const char *label, *option;
	const struct conf_list *list;
	enum pattern_subject subject;
};

static void
complain_pattern(void *arg, const char *pattern, const char *why)
{
	const struct pattern_complaint *c = arg;
	char shown[CONF_SHOWN];

	conf_error(c->b, c->list->where, "%s: %s: \"%s\" is not a usable pattern: %s; right are %s",
	    c->label, c->option, conf_shown(span_of(pattern), shown), why,
	    c->subject == PATTERN_OF_CLIENTS ? "192.0.2.1, 192.0.2.0/24, 192.0.2.* and /regex/"
					     : "an address, * and ?, and /regex/");
}

/* NULL for an empty list; quiet where it was inherited. */
static struct pattern_list *
derive_patterns(struct conf_builder *b, enum pattern_subject subject, const char *label,
    const char *option, const struct conf_list *l, bool quiet)
{
	struct pattern_complaint c = {b, label, option, l, subject};
	struct conf_patterns *p;

	if (l->n == 0)
		return NULL;
	p = conf_alloc(b->arena, 1, sizeof(*p));
	p->list = pattern_list_new(subject, l->v, l->n, quiet ? NULL : complain_pattern, &c);
	p->next = b->conf->patterns;
	b->conf->patterns = p;
	return p->list;
}

/* A pattern without @ is one of domains: "test*" matches no name, however it looks. */
static void
warn_of_words(
    struct conf_builder *b, const char *label, const char *option, const struct conf_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const char *text = l->v[i] + (l->v[i][0] == '!');
		char shown[CONF_SHOWN];

		if (text[0] != '\0' && text[0] != '/' && strcmp(text, "*") != 0 &&
		    strpbrk(text, "@.") == NULL)
			conf_warn(b, l->where,
			    "%s: %s: \"%s\" has no @, so it stands for domains; names are written "
			    "like \"test*@*\"",
			    label, option, conf_shown(span_of(text), shown));
	}
}

static void
derive_binds(struct conf_builder *b, struct conf_listener *l)
{
	char shown[CONF_SHOWN];
	size_t i;

	l->binds = conf_alloc(b->arena, l->bind.n, sizeof *l->binds);
	for (i = 0; i < l->bind.n; i++) {
		if (net_addr_parse(span_of(l->bind.v[i]), &l->binds[l->n_binds]) == 0) {
			l->n_binds++;
			continue;
		}
		conf_error(b, l->bind.where,
		    "listener \"%s\": bind: \"%s\" is no address with a port; write "
		    "\"192.0.2.1:587\", \"0.0.0.0:587\" or \"[::]:587\"",
		    l->title, conf_shown(span_of(l->bind.v[i]), shown));
	}
}

static void
derive_tolerate(struct conf_builder *b, struct conf_listener *l)
{
	/* bit i is 1 << i of CONF_TOLERATE_* */
	static const char *const words[] = {"bare_lf", "empty_helo", "addr_space", "auth_inline",
	    "early_quit", "long_lines", "nul"};
	char shown[CONF_SHOWN];
	const char *near;
	size_t i, j;

	for (i = 0; i < l->tolerate.n; i++) {
		for (j = 0; j < ARRAY_LEN(words); j++)
			if (strcmp(l->tolerate.v[i], words[j]) == 0)
				break;
		if (j < ARRAY_LEN(words)) {
			l->tolerated |= 1u << j;
		} else if (!derive_is_inherited(b, l, CONF_OPT_listener_tolerate)) {
			near = conf_nearest(span_of(l->tolerate.v[i]), words, ARRAY_LEN(words));
			conf_error(b, l->tolerate.where,
			    "listener \"%s\": tolerate: \"%s\" is unknown; write bare_lf, "
			    "empty_helo, "
			    "addr_space, auth_inline, early_quit, long_lines or nul%s%s%s",
			    l->title, conf_shown(span_of(l->tolerate.v[i]), shown),
			    near != NULL ? " (did you mean " : "", near != NULL ? near : "",
			    near != NULL ? "?)" : "");
		}
	}
}

static void
derive_listener(struct conf_builder *b, struct conf_listener *l)
{
	char label[CONF_LABEL];

	conf_label(CONF_BLOCK_listener, l->title, NULL, label);
	derive_binds(b, l);
	derive_tolerate(b, l);
	l->auth_ip_patterns = derive_patterns(b, PATTERN_OF_CLIENTS, label, "auth_ip_filter",
	    &l->auth_ip_filter, derive_is_inherited(b, l, CONF_OPT_listener_auth_ip_filter));
	l->auth_user_patterns = derive_patterns(b, PATTERN_OF_NAMES, label, "auth_user_filter",
	    &l->auth_user_filter, derive_is_inherited(b, l, CONF_OPT_listener_auth_user_filter));
	if (l->default_domain != NULL &&
	    !derive_is_inherited(b, l, CONF_OPT_listener_auth_user_filter))
		warn_of_words(b, label, "auth_user_filter", &l->auth_user_filter);
	derive_nets(b, label, "clients", &l->clients,
	    derive_is_inherited(b, l, CONF_OPT_listener_clients), &l->client_nets,
	    &l->n_client_nets);
	derive_nets(b, label, "proxy", &l->proxy,
	    derive_is_inherited(b, l, CONF_OPT_listener_proxy), &l->proxy_nets, &l->n_proxy_nets);
	derive_nets(b, label, "xclient", &l->xclient,
	    derive_is_inherited(b, l, CONF_OPT_listener_xclient), &l->xclient_nets,
	    &l->n_xclient_nets);
}

/* host, host:port, 192.0.2.1:25, [2001:db8::1]:25. */
static int
derive_host(struct conf_builder *b, struct span s, uint16_t port, struct conf_host *out)
{
	char ascii[ADDR_DOMAIN_MAX + 1], ip[NET_ADDR_TEXT];
	struct net_addr addr;
	struct span name;
	const char *colon;
	uint64_t v = port;

	if (net_addr_parse(s, &addr) == 0 && addr.port != 0) {
		net_addr_format_ip(&addr, ip);
		*out = (struct conf_host){conf_dup(b->arena, span_of(ip)), addr.port};
		return 0;
	}
	name = s;
	if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		name = (struct span){s.p + 1, s.n - 2};
	if (net_addr_parse_ip(name, &addr) == 0 && (addr.family == 4) == (name.n == s.n)) {
		net_addr_format_ip(&addr, ip);
		*out = (struct conf_host){conf_dup(b->arena, span_of(ip)), port};
		return 0;
	}
	colon = memrchr(s.p, ':', s.n);
	if (colon != NULL) {
		name = (struct span){s.p, (size_t)(colon - s.p)};
		if (span_to_u64((struct span){colon + 1, s.n - name.n - 1}, 1, 65535, &v) == -1)
			return -1;
	}
	if (memchr(name.p, ':', name.n) != NULL || addr_domain_ascii(name, ascii) == -1)
		return -1;
	*out = (struct conf_host){conf_dup(b->arena, span_of(ascii)), (uint16_t)v};
	return 0;
}

static void
derive_hosts(struct conf_builder *b, struct conf_transport *t)
{
	char shown[CONF_SHOWN];
	size_t i, j;
	uint16_t port = (uint16_t)t->port;

	if (t->tls == TRANSPORT_TLS_IMPLICIT && !CONF_GIVEN(t, transport, port))
		port = 465; /* RFC 8314, 3.3 */
	t->host_list = conf_alloc(b->arena, t->hosts.n, sizeof *t->host_list);
	for (i = 0; i < t->hosts.n; i++) {
		struct conf_host *h = &t->host_list[t->n_hosts];

		if (derive_host(b, span_of(t->hosts.v[i]), port, h) == -1) {
			conf_error(b, t->hosts.where,
			    "transport \"%s\": hosts: \"%s\" is no host; write "
			    "\"mail.example.com:25\", "
			    "\"192.0.2.1:25\" or \"[2001:db8::1]:25\"",
			    t->title, conf_shown(span_of(t->hosts.v[i]), shown));
			continue;
		}
		for (j = 0; j < t->n_hosts; j++)
			if (t->host_list[j].port == h->port &&
			    strcmp(t->host_list[j].host, h->host) == 0)
				break;
		if (j < t->n_hosts)
			conf_warn(b, t->hosts.where, "transport \"%s\": hosts names %s twice",
			    t->title, conf_shown(span_of(t->hosts.v[i]), shown));
		t->n_hosts++;
	}
}

/* query=IP,IP of lookup-mx: our own name servers, with a port where it is not 53. */
static void
derive_query(struct conf_builder *b, struct conf_transport *t, struct span list)
{
	struct conf_where where = CONF_WHERE(t, transport, method);
	char shown[CONF_SHOWN];
	struct span item;
	struct net_addr addr;

	t->mx_servers = conf_alloc(b->arena, list.n + 1, sizeof *t->mx_servers);
	while (list.p != NULL) {
		item = span_trim(span_cut(&list, ','));
		if (net_addr_parse(item, &addr) == -1) {
			if (net_addr_parse_ip(item, &addr) == -1) {
				conf_error(b, where,
				    "transport \"%s\": method: query=%s is no address; write the "
				    "addresses of name servers, as in query=192.0.2.53,192.0.2.54",
				    t->title, conf_shown(item, shown));
				continue;
			}
			addr.port = 53;
		}
		if (addr.port == 0)
			addr.port = 53;
		t->mx_servers[t->n_mx_servers++] = addr;
	}
}

/* static | lookup-mx | lookup-mx:zone=Z;query=IP,IP (S59 to S61) */
static void
derive_method(struct conf_builder *b, struct conf_transport *t)
{
	struct conf_where where = CONF_WHERE(t, transport, method);
	struct span rest = span_of(t->method), kind, part, name;
	char shown[CONF_SHOWN], ascii[ADDR_DOMAIN_MAX + 1];
	bool zone = false, query = false;

	kind = span_cut(&rest, ':');
	if (span_eq(kind, "static") && rest.p == NULL)
		return;
	if (!span_eq(kind, "lookup-mx")) {
		conf_error(b, where,
		    "transport \"%s\": method = \"%s\" is unknown; write static, lookup-mx or "
		    "\"lookup-mx:zone=ZONE;query=IP,IP\"%s",
		    t->title, conf_shown(span_of(t->method), shown),
		    span_eq(kind, "static") ? " (the hosts go into hosts)" : "");
		return;
	}
	t->is_mx = true;
	while (rest.p != NULL) {
		part = span_cut(&rest, ';');
		name = span_trim(span_cut(&part, '='));
		if (span_eq(name, "zone") && !zone && part.p != NULL) {
			zone = true;
			if (addr_domain_ascii(span_trim(part), ascii) == -1)
				conf_error(b, where,
				    "transport \"%s\": method: zone=%s is no domain", t->title,
				    conf_shown(part, shown));
			else
				t->mx_zone = conf_dup(b->arena, span_of(ascii));
		} else if (span_eq(name, "query") && !query && part.p != NULL) {
			query = true;
			derive_query(b, t, part);
		} else {
			conf_error(b, where,
			    "transport \"%s\": method: \"%s\" is unknown or given twice; write "
			    "zone=ZONE and query=IP,IP with ; between",
			    t->title, conf_shown(name, shown));
		}
	}
}

static void
derive_source(struct conf_builder *b, struct conf_transport *t)
{
	char shown[CONF_SHOWN];
	struct net_addr addr, *slot;
	size_t i;

	for (i = 0; i < t->source.n; i++) {
		if (net_addr_parse_ip(span_of(t->source.v[i]), &addr) == -1) {
			conf_error(b, t->source.where,
			    "transport \"%s\": source: \"%s\" is no address; write one IPv4 and "
			    "one "
			    "IPv6 address without a port",
			    t->title, conf_shown(span_of(t->source.v[i]), shown));
			continue;
		}
		slot = addr.family == 4 ? &t->source4 : &t->source6;
		if (slot->family != 0)
			conf_error(b, t->source.where,
			    "transport \"%s\": source has two addresses of one kind; write one "
			    "IPv4 "
			    "and one IPv6 address",
			    t->title);
		addr.port = 0;
		*slot = addr;
	}
}

void
conf_derive(struct conf_builder *b)
{
	struct conf *c = b->conf;
	char label[CONF_LABEL];
	size_t i;

	for (i = 0; i < c->n_listener; i++)
		derive_listener(b, &c->listener_blocks[i]);
	for (i = 0; i < c->n_user; i++) {
		struct conf_user *u = &c->user_blocks[i];

		if (u->clients.n == 0 && u->senders.n == 0)
			continue;
		conf_label(CONF_BLOCK_user, u->title, NULL, label);
		derive_nets(
		    b, label, "clients", &u->clients, false, &u->client_nets, &u->n_client_nets);
		u->sender_patterns =
		    derive_patterns(b, PATTERN_OF_NAMES, label, "senders", &u->senders, false);
		warn_of_words(b, label, "senders", &u->senders);
	}
	for (i = 0; i < c->n_ou; i++) {
		struct conf_ou *x = &c->ou_blocks[i];

		conf_label(CONF_BLOCK_ou, x->title, NULL, label);
		x->auth_user_patterns = derive_patterns(
		    b, PATTERN_OF_NAMES, label, "auth_user_filter", &x->auth_user_filter, false);
		warn_of_words(b, label, "auth_user_filter", &x->auth_user_filter);
	}
	derive_nets(b, "auth_guard", "exempt", &c->auth_guard->exempt, false,
	    &c->auth_guard->exempt_nets, &c->auth_guard->n_exempt_nets);
	conf_derive_guard(b);
	for (i = 0; i < c->n_transport; i++) {
		struct conf_transport *t = &c->transport_blocks[i];

		derive_hosts(b, t);
		derive_source(b, t);
		if (t->method != NULL)
			derive_method(b, t);
	}
}
