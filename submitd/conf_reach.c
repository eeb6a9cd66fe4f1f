/* SPDX-License-Identifier: ISC */
/*
 * Whether the servers that backends need can be reached, for `submitd -t` only: a server that is
 * down is a warning, because it may be up when it is needed. Runs in the command, never in the
 * service. It must not say a word to them.
 */
#include "conf_reach.h"

#include "base/ldap_text.h"
#include "base/list.h"
#include "base/stream.h"
#include "base/str.h"
#include "base/url.h"

#define ADDRS_MAX 8u

struct reach {
	struct conf_findings *findings;
	int64_t until_ms;
	size_t untried;
	struct conf_where untried_at;
};

/* what: "backend \"b\": transport \"t\"". */
static void
try_host(
    struct reach *r, struct conf_where where, const char *what, const char *host, uint16_t port)
{
	int64_t now = stream_clock_ms(), until = now + CONF_REACH_EACH_MS;
	struct net_addr addrs[ADDRS_MAX];
	struct stream s = STREAM_INIT;
	char why[sizeof(s.error)];
	size_t n;
	bool up = false;

	if (now >= r->until_ms) {
		r->untried++;
		r->untried_at = where;
		return;
	}
	n = stream_resolve(host, port, until, addrs, ARRAY_LEN(addrs), why, sizeof(why));
	for (size_t i = 0; i < n && !up; i++) {
		int64_t left = until - stream_clock_ms();

		up = stream_connect(
			 &s, &addrs[i], NULL, stream_clock_ms() + left / (int64_t)(n - i)) == 0;
		(void)str_copy(why, sizeof(why), s.error);
		stream_close(&s);
	}
	if (!up)
		conf_findings_add(r->findings, false, where,
		    "%s: %s port %u cannot be reached now: %s", what, host, port, why);
}

static void
try_url(struct reach *r, const struct conf_backend *b, unsigned option, const char *text)
{
	char what[300], host[256];
	struct url u;

	if (text == NULL || url_parse(span_of(text), &u) != NULL ||
	    str_copy_span(host, sizeof(host), u.host) == -1 ||
	    str_printf(what, sizeof(what), "backend \"%s\"", b->title) == -1)
		return;
	try_host(r, b->option_where[option], what, host, u.port);
}

static void
try_directory(struct reach *r, const struct conf_ldap *d)
{
	char what[300];
	struct ldap_uri u;

	for (size_t i = 0; i < d->uri.n; i++)
		if (ldap_uri_parse(d->uri.v[i], &u) == NULL &&
		    str_printf(what, sizeof(what), "ldap \"%s\"", d->title) == 0)
			try_host(r, d->uri.where, what, u.host, u.port);
}

static void
try_transport(struct reach *r, const struct conf_backend *b)
{
	const struct conf_transport *t = b->transport_block;
	char what[600];

	for (size_t i = 0; t != NULL && i < t->n_hosts; i++)
		if (str_printf(what, sizeof(what), "backend \"%s\": transport \"%s\"", b->title,
			t->title) == 0)
			try_host(
			    r, t->hosts.where, what, t->host_list[i].host, t->host_list[i].port);
}

void
conf_reach(const struct conf *c, struct conf_findings *f)
{
	struct reach r = {.findings = f, .until_ms = stream_clock_ms() + CONF_REACH_ALL_MS};

	for (size_t i = 0; i < c->n_ldap; i++)
		try_directory(&r, &c->ldap_blocks[i]);
	for (size_t i = 0; i < c->n_backend; i++) {
		const struct conf_backend *b = &c->backend_blocks[i];

		try_transport(&r, b);
		try_url(&r, b, CONF_OPT_backend_url, b->url);
		try_url(&r, b, CONF_OPT_backend_introspection_url, b->introspection_url);
		try_url(&r, b, CONF_OPT_backend_jwks_url, b->jwks_url);
	}
	if (r.untried > 0)
		conf_findings_add(f, false, r.untried_at,
		    "%zu server%s of backends %s not tried: the others took too long", r.untried,
		    r.untried == 1 ? "" : "s", r.untried == 1 ? "was" : "were");
	conf_findings_sort(f);
}
