/* SPDX-License-Identifier: ISC */
/*
 * Whether the servers that backends need can be reached and trusted, for `submitd -t` only: a
 * server that is down is a warning, because it may be up when it is needed. Runs in the child of
 * conf_probe(), never in the service. It goes no further than TLS: no name, no password.
 */
#include "conf_reach.h"

#include "authbackends/ldap_conn.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/str.h"
#include "base/stream.h"
#include "base/tls_pin.h"
#include "base/url.h"
#include "mail/smtp_client.h"

#include <signal.h>
#include <string.h>

#define ADDRS_MAX 8u
#define PIECE 4096u

/* What is done behind the connection. */
enum ask { ASK_NOTHING = 0, ASK_TLS = 1, ASK_SMTP = 2 };

struct target {
	struct conf_where where;
	char what[600]; /* "backend \"b\": transport \"t\"" */
	const char *host;
	uint16_t port;
	enum ask ask;
	SSL_CTX *ctx; /* borrowed; NULL: not further than the connection */
};

struct reach {
	struct conf_findings *findings;
	const char *helo;
	int64_t until_ms;
	size_t untried;
	struct conf_where untried_at;
};

static int
fail(struct stream *s, const char *text)
{
	if (s->error[0] == '\0')
		(void)str_copy(s->error, sizeof(s->error), text);
	return -1;
}

/* EHLO and STARTTLS, as the backend will say them. */
static int
ask_smtp(const struct reach *r, struct stream *s, const struct target *t)
{
	struct smtp_client_options opt = {
	    .helo = r->helo, .remote = t->host, .remote_ip = "", .tls = SMTP_CLIENT_TLS_MUST};
	enum smtp_client_event ev = SMTP_CLIENT_MORE;
	struct buf in = BUF_INIT, out = BUF_INIT;
	struct smtp_client c;
	char text[80];
	int rc = -1;

	smtp_client_init(&c, &opt);
	while (ev == SMTP_CLIENT_MORE) {
		size_t used;
		ssize_t n;

		ev = smtp_client_feed(&c, buf_data(&in), buf_len(&in), &used, &out);
		buf_consume(&in, used);
		if (buf_len(&out) > 0 && stream_write(s, buf_data(&out), buf_len(&out)) == -1)
			goto out;
		buf_reset(&out);
		if (ev != SMTP_CLIENT_MORE || used > 0)
			continue;
		n = stream_read(s, buf_reserve(&in, PIECE), PIECE);
		if (n <= 0) {
			(void)fail(s, "the server closed the connection");
			goto out;
		}
		buf_commit(&in, (size_t)n);
	}
	(void)str_printf(text, sizeof(text), "the server says %u", c.failure.code);
	rc = ev == SMTP_CLIENT_START_TLS ? stream_start_tls(s, t->ctx, t->host)
	     : c.failure.code != 0       ? fail(s, text)
	                                 : fail(s, "the server offers no STARTTLS");
out:
	smtp_client_clear(&c);
	buf_clear(&in);
	buf_clear(&out);
	return rc;
}

/* met: it can be reached, whatever comes then. */
static int
try_address(const struct reach *r, struct stream *s, const struct target *t,
    const struct net_addr *a, int64_t until, bool *met)
{
	if (stream_connect(s, a, NULL, until) == -1)
		return -1;
	*met = true;
	if (t->ctx == NULL)
		return 0;
	switch (t->ask) {
	case ASK_NOTHING:
		return 0;
	case ASK_TLS:
		return stream_start_tls(s, t->ctx, t->host);
	case ASK_SMTP:
		return ask_smtp(r, s, t);
	}
	return 0;
}

/* False, and counted: those before took all of the time. */
static bool
is_time_left(struct reach *r, const struct target *t)
{
	if (stream_clock_ms() < r->until_ms)
		return true;
	r->untried++;
	r->untried_at = t->where;
	return false;
}

static void
report(const struct reach *r, const struct target *t, bool met, const char *why)
{
	if (strstr(why, "certificate:") != NULL)
		conf_findings_add(r->findings, false, t->where,
		    "%s: %s port %u is not trusted: %s; see ca_file, and which name the "
		    "certificate is for",
		    t->what, t->host, t->port, why);
	else
		conf_findings_add(r->findings, false, t->where,
		    "%s: %s port %u cannot be %s now: %s", t->what, t->host, t->port,
		    met ? "used" : "reached", why);
}

static void
try_host(struct reach *r, const struct target *t)
{
	int64_t now = stream_clock_ms(), until = now + CONF_REACH_EACH_MS;
	struct net_addr addrs[ADDRS_MAX];
	struct stream s = STREAM_INIT;
	char why[sizeof(s.error)];
	size_t n;
	bool up = false, met = false;

	if (!is_time_left(r, t))
		return;
	n = stream_resolve(t->host, t->port, until, addrs, ARRAY_LEN(addrs), why, sizeof(why));
	for (size_t i = 0; i < n && !up; i++) {
		int64_t left = until - stream_clock_ms();

		up = try_address(r, &s, t, &addrs[i], stream_clock_ms() + left / (int64_t)(n - i),
			 &met) == 0;
		(void)str_copy(why, sizeof(why), s.error);
		stream_close(&s);
	}
	if (!up)
		report(r, t, met, why);
}

static void
try_url(struct reach *r, const struct conf_backend *b, unsigned option, const char *text)
{
	struct target t = {.where = b->option_where[option]};
	char host[256], err[256];
	struct url u;

	if (text == NULL || url_parse(span_of(text), &u) != NULL ||
	    str_copy_span(host, sizeof(host), u.host) == -1 ||
	    str_printf(t.what, sizeof(t.what), "backend \"%s\"", b->title) == -1)
		return;
	t.host = host;
	t.port = u.port;
	t.ask = u.https ? ASK_TLS : ASK_NOTHING;
	t.ctx = u.https ? tls_client_new(b->ca_file, true, err, sizeof(err)) : NULL;
	try_host(r, &t);
	SSL_CTX_free(t.ctx);
}

/* As the backend does it, up to where it would say who it is. */
static void
try_ldap(struct reach *r, const struct target *t, const struct ldap_server *server)
{
	struct ldap_ask ask = {.deadline_ms = stream_clock_ms() + CONF_REACH_EACH_MS};
	struct ldap_conn *c;

	if (!is_time_left(r, t))
		return;
	c = ldap_conn_open(server, &ask);
	if (c == NULL) /* what fails behind the connection is StartTLS or TLS */
		report(r, t, strstr(ask.why, "TLS") != NULL, ask.why);
	ldap_conn_close(c);
}

static void
try_directory(struct reach *r, const struct conf_ldap *d)
{
	char err[256];
	SSL_CTX *ctx = tls_client_new(d->ca_file, true, err, sizeof(err));

	ldap_conn_init();
	for (size_t i = 0; i < d->uri.n && ctx != NULL; i++) {
		struct ldap_server server = {.text = d->uri.v[i],
		    .ctx = ctx,
		    .starttls = d->starttls,
		    .connect_ms = CONF_REACH_EACH_MS,
		    .request_ms = CONF_REACH_EACH_MS};
		struct target t = {.where = d->uri.where, .host = server.uri.host};

		if (ldap_uri_parse(d->uri.v[i], &server.uri) != NULL ||
		    str_printf(t.what, sizeof(t.what), "ldap \"%s\"", d->title) == -1)
			continue;
		t.port = server.uri.port;
		try_ldap(r, &t, &server);
	}
	SSL_CTX_free(ctx);
}

/* As the backend makes it; NULL without TLS. */
static SSL_CTX *
transport_ctx(const struct conf_backend *b, const struct conf_transport *t)
{
	bool verify = b->tls == BACKEND_TLS_REQUIRE_VERIFY;
	char err[256];

	if (b->tls == BACKEND_TLS_NONE)
		return NULL;
	return tls_pin_or_client_new(
	    t->pinned.v, t->pinned.n, t->ca_file, verify, err, sizeof(err));
}

static void
try_transport(struct reach *r, const struct conf_backend *b)
{
	const struct conf_transport *t = b->transport_block;
	SSL_CTX *ctx;

	if (t == NULL)
		return;
	ctx = transport_ctx(b, t);
	for (size_t i = 0; i < t->n_hosts; i++) {
		struct target x = {.where = t->hosts.where,
		    .host = t->host_list[i].host,
		    .port = t->host_list[i].port,
		    .ask = t->tls == TRANSPORT_TLS_IMPLICIT ? ASK_TLS : ASK_SMTP,
		    .ctx = ctx};

		if (str_printf(x.what, sizeof(x.what), "backend \"%s\": transport \"%s\"", b->title,
			t->title) == 0)
			try_host(r, &x);
	}
	SSL_CTX_free(ctx);
}

void
conf_reach(const struct conf *c, struct conf_findings *f)
{
	struct reach r = {.findings = f,
	    .helo = c->server->hostname,
	    .until_ms = stream_clock_ms() + CONF_REACH_ALL_MS};

	(void)signal(SIGPIPE, SIG_IGN);
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
