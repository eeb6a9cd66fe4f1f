/* SPDX-License-Identifier: ISC */
/*
 * Cross checks of transports: what fits their method, their TLS, and times of retries that cannot
 * be meant. Pure; in the checking child and submitd -t. Opens no file.
 */
#include "conf/conf_internal.h"

#include "base/list.h"
#include "base/str.h"
#include "mail/addr.h"

#include <string.h>

static void
check_retry(struct conf_builder *b, const struct conf_transport *x, const char *label)
{
	int64_t total = 0, i;

	if (CONF_GIVEN(x, transport, retry_delay) && (int64_t)x->retry_delay.n > x->retry_count)
		conf_warn(b, CONF_WHERE(x, transport, retry_delay),
		    "%s: retry_delay has %zu values for retry_count = %lld; the surplus is not "
		    "used "
		    "(S62)",
		    label, x->retry_delay.n, (long long)x->retry_count);
	for (i = 0; i < x->retry_count && x->retry_delay.n != 0; i++)
		total += x->retry_delay
		             .v[i < (int64_t)x->retry_delay.n ? i : (int64_t)x->retry_delay.n - 1];
	if (x->warn_after != 0 && x->warn_after >= total)
		conf_warn(b, CONF_WHERE(x, transport, warn_after),
		    "%s: warn_after = %lld is never reached, all tries are over after %lld minutes",
		    label, (long long)x->warn_after, (long long)total);
	if (total > INT64_C(14) * 24 * 60)
		conf_warn(b, CONF_WHERE(x, transport, retry_count),
		    "%s: mail is tried for %lld days; retry_delay is in MINUTES", label,
		    (long long)(total / (24 * 60)));
}

/* A backend that logs in there verifies with the same authorities. */
static bool
check_is_verified(const struct conf *c, const struct conf_transport *x)
{
	size_t i;

	for (i = 0; i < c->n_backend; i++)
		if (c->backend_blocks[i].transport_block == x &&
		    c->backend_blocks[i].tls == BACKEND_TLS_REQUIRE_VERIFY)
			return true;
	return conf_transport_verifies(x);
}

/* Whose certificates are trusted. */
static void
check_trust(struct conf_builder *b, const struct conf_transport *x, const char *label)
{
	bool verified = check_is_verified(b->conf, x);

	conf_check_absolute(b, CONF_WHERE(x, transport, ca_file), label, "ca_file", x->ca_file);
	for (size_t i = 0; i < x->pinned.n; i++)
		conf_check_absolute(
		    b, CONF_WHERE(x, transport, pinned), label, "pinned", x->pinned.v[i]);
	if (x->ca_file != NULL && !verified)
		conf_warn(b, CONF_WHERE(x, transport, ca_file),
		    "%s: ca_file is used with tls = require_verify or implicit only", label);
	if (!CONF_GIVEN(x, transport, pinned))
		return;
	if (x->pinned.n == 0)
		conf_error(b, CONF_WHERE(x, transport, pinned),
		    "%s: pinned is empty; leave it out to trust authorities", label);
	else if (!verified)
		conf_error(b, CONF_WHERE(x, transport, pinned),
		    "%s: pinned does nothing unless certificates are verified; write tls = "
		    "require_verify or implicit",
		    label);
	else if (x->ca_file != NULL)
		conf_error(b, CONF_WHERE(x, transport, ca_file),
		    "%s: with pinned nothing but its files is trusted; remove ca_file, or add it "
		    "to pinned",
		    label);
}

/* RFC 8314: TLS from the first octet is what port 465 speaks. */
static void
check_implicit(struct conf_builder *b, const struct conf_transport *x, const char *label)
{
	if (x->tls != TRANSPORT_TLS_IMPLICIT)
		return;
	if (x->is_mx)
		conf_error(b, CONF_WHERE(x, transport, tls),
		    "%s: tls = implicit is for method = static; mail exchangers know STARTTLS only",
		    label);
	for (size_t i = 0; i < x->n_hosts; i++)
		if (x->host_list[i].port == 25 || x->host_list[i].port == 587)
			conf_warn(b, x->hosts.where,
			    "%s: tls = implicit with port %u of %s: servers speak STARTTLS there, "
			    "and TLS from the first octet on 465",
			    label, x->host_list[i].port, x->host_list[i].host);
}

void
conf_check_transport(struct conf_builder *b, const struct conf_transport *x)
{
	char label[CONF_LABEL], ascii[ADDR_DOMAIN_MAX + 1];

	conf_label(CONF_BLOCK_transport, x->title, NULL, label);
	if (x->method != NULL && strcmp(x->method, "static") == 0 && x->hosts.n == 0)
		conf_error(b, CONF_WHERE(x, transport, method),
		    "%s: method = static needs hosts = {\"HOST:PORT\"}", label);
	if (x->is_mx && x->hosts.n != 0)
		conf_error(b, CONF_WHERE(x, transport, hosts),
		    "%s: hosts is for method = static; lookup-mx finds the hosts in DNS", label);
	if (x->is_mx && CONF_GIVEN(x, transport, order))
		conf_error(b, CONF_WHERE(x, transport, order),
		    "%s: order is for method = static; lookup-mx goes by preference", label);
	if (x->helo != NULL && addr_domain_ascii(span_of(x->helo), ascii) == -1)
		conf_error(b, CONF_WHERE(x, transport, helo),
		    "%s: helo is no host name; write it as in mail.example.com", label);
	check_implicit(b, x, label);
	check_trust(b, x, label);
	check_retry(b, x, label);
}
