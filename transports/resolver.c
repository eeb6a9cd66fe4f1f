/* SPDX-License-Identifier: ISC */
/*
 * DNS for process `deliver`: libunbound on the event loop. Each set of name servers has a context
 * of its own; every question has our deadline, because libunbound has none (a silent forwarder
 * hangs it). Bogus (DNSSEC) and unreadable answers are temporary. Answers from the cache come back
 * while the question is still being asked: they are held until the next turn, so that no caller is
 * called from within its own call.
 */
#include "transports/resolver.h"

#include "base/ev.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unbound.h>
#include <unbound-event.h>

#define SERVERS_MAX 8u
#define CONTEXTS_MAX 64u
#define HOSTS_MAX 1000u
#define SERVER_TEXT 80

struct resolver {
	struct ub_ctx *ctx;
	size_t n;
	struct net_addr servers[SERVERS_MAX];
	TAILQ_HEAD(, resolver_query) queries;
};

struct resolver_query {
	TAILQ_ENTRY(resolver_query) link;
	struct resolver *resolver;
	resolver_fn *fn;
	void *arg;
	struct ev_timer timer; /* the deadline; with done: the call that is due */
	int id;
	bool asking, done;
	uint16_t type;
	struct dns_answer answer;
};

static struct {
	size_t n_servers;
	char servers[SERVERS_MAX][SERVER_TEXT]; /* as libunbound wants them */
	size_t n_hosts;
	struct {
		struct net_addr addr;
		char *name;
	} * hosts;
	size_t n_contexts;
	struct resolver *contexts[CONTEXTS_MAX];
} self;

/* ---- the system's files ---------------------------------------------------------------------- */

static void
take_server(struct span line)
{
	struct span word = span_cut(&line, ' ');
	struct net_addr a;
	char addr[SERVER_TEXT];

	if (!span_eq(word, "nameserver") || line.p == NULL || self.n_servers == SERVERS_MAX)
		return;
	line = span_trim(line);
	word = span_cut(&line, ' ');
	struct span bare = word;
	bare = span_cut(&bare, '%'); /* a link-local address keeps its zone for libunbound */
	if (net_addr_parse_ip(bare, &a) == -1 || str_copy_span(addr, sizeof(addr), word) == -1)
		return;
	memcpy(self.servers[self.n_servers++], addr, sizeof(addr));
}

static void
take_hosts(struct span line)
{
	struct net_addr a;

	struct span comment = line;
	line = span_cut(&comment, '#');
	line = span_trim(line);
	if (net_addr_parse_ip(span_cut(&line, ' '), &a) == -1)
		return;
	while (line.p != NULL && self.n_hosts < HOSTS_MAX) {
		struct span name = span_trim(span_cut(&line, ' '));

		if (name.n == 0 || name.n >= DNS_NAME_TEXT)
			continue;
		self.hosts[self.n_hosts].addr = a;
		self.hosts[self.n_hosts].name = span_dup(name);
		self.n_hosts++;
	}
}

static void
read_lines(const char *path, void (*take)(struct span))
{
	char line[1024];
	FILE *f = fopen(path, "re");

	if (f == NULL)
		return;
	for (unsigned i = 0; i < 10000 && fgets(line, sizeof(line), f) != NULL; i++) {
		for (char *p = line; *p != '\0'; p++)
			if (*p == '\t' || *p == '\n' || *p == '\r')
				*p = ' ';
		take(span_trim(span_of(line)));
	}
	fclose(f);
}

void
resolver_prepare(const char *resolv_conf, const char *hosts)
{
	self.hosts = xcallocarray(HOSTS_MAX, sizeof(*self.hosts));
	read_lines(resolv_conf, take_server);
	read_lines(hosts, take_hosts);
}

size_t
resolver_hosts(const char *name, struct net_addr *out, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < self.n_hosts && n < max; i++)
		if (str_eq_nocase(self.hosts[i].name, name))
			out[n++] = self.hosts[i].addr;
	return n;
}

/* ---- contexts -------------------------------------------------------------------------------- */

static int
set_options(struct ub_ctx *ctx)
{
	static const char *const options[][2] = {{"module-config:", "iterator"},
	    {"do-not-query-localhost:", "no"}, {"unblock-lan-zones:", "yes"},
	    {"msg-cache-size:", "1m"}, {"rrset-cache-size:", "2m"}, {"neg-cache-size:", "256k"},
	    {"cache-max-negative-ttl:", "60"}, {"outgoing-range:", "256"},
	    {"num-queries-per-thread:", "4096"}};

	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		int rc = ub_ctx_set_option(ctx, options[i][0], options[i][1]);

		if (rc != 0) {
			log_note(LOG_LEVEL_ERROR, "libunbound refuses the option %s %s: %s",
			    options[i][0], options[i][1], ub_strerror(rc));
			return -1;
		}
	}
	return 0;
}

static int
set_server(struct ub_ctx *ctx, const char *text)
{
	int rc = ub_ctx_set_fwd(ctx, text);

	if (rc != 0)
		log_note(LOG_LEVEL_ERROR, "libunbound refuses the name server %s: %s", text,
		    ub_strerror(rc));
	return rc == 0 ? 0 : -1;
}

static int
set_servers(struct resolver *r)
{
	char ip[NET_ADDR_TEXT], text[SERVER_TEXT];

	for (size_t i = 0; i < r->n; i++) {
		net_addr_format_ip(&r->servers[i], ip);
		str_printf(text, sizeof(text), "%s@%u", ip,
		    r->servers[i].port == 0 ? 53u : r->servers[i].port);
		if (set_server(r->ctx, text) == -1)
			return -1;
	}
	for (size_t i = 0; r->n == 0 && i < self.n_servers; i++)
		if (set_server(r->ctx, self.servers[i]) == -1)
			return -1;
	/* test. and invalid. are answered by libunbound itself unless taken away; this comes last
	 */
	if (r->n > 0 || self.n_servers > 0) {
		ub_ctx_zone_remove(r->ctx, "test.");
		ub_ctx_zone_remove(r->ctx, "invalid.");
	}
	return 0;
}

struct resolver *
resolver_get(const struct net_addr *servers, size_t n)
{
	struct resolver *r;

	if (n > SERVERS_MAX)
		n = SERVERS_MAX;
	for (size_t i = 0; i < self.n_contexts; i++) {
		bool same = self.contexts[i]->n == n;

		for (size_t j = 0; same && j < n; j++)
			same = net_addr_equal_ip(&self.contexts[i]->servers[j], &servers[j]) &&
			       self.contexts[i]->servers[j].port == servers[j].port;
		if (same)
			return self.contexts[i];
	}
	if (self.n_contexts == CONTEXTS_MAX)
		return NULL;
	r = xcallocarray(1, sizeof(*r));
	TAILQ_INIT(&r->queries);
	r->n = n;
	if (n > 0)
		memcpy(r->servers, servers, n * sizeof(*servers));
	r->ctx = ub_ctx_create_event(ev_base());
	if (r->ctx == NULL || set_options(r->ctx) == -1 || set_servers(r) == -1) {
		if (r->ctx != NULL)
			ub_ctx_delete(r->ctx);
		free(r);
		return NULL;
	}
	self.contexts[self.n_contexts++] = r;
	return r;
}

/* ---- questions ------------------------------------------------------------------------------- */

static void
query_free(struct resolver_query *q)
{
	ev_timer_clear(&q->timer);
	TAILQ_REMOVE(&q->resolver->queries, q, link);
	free(q);
}

static void
query_finish(void *arg)
{
	struct resolver_query *q = arg;

	if (!q->done) { /* the deadline */
		ub_cancel(q->resolver->ctx, q->id);
		q->answer.result = DNS_TEMP;
		q->answer.why = "the name server did not answer in time";
	}
	q->fn(q->arg, &q->answer);
	query_free(q);
}

static void
query_fail(struct resolver_query *q, const char *why)
{
	q->answer.result = DNS_TEMP;
	q->answer.why = why;
}

static void
query_on_answer(void *arg, int rcode, void *packet, int len, int sec, char *why_bogus, int limited)
{
	struct resolver_query *q = arg;

	(void)limited;
	(void)why_bogus;
	if (sec == 1) /* bogus comes with rcode 0 and its data */
		query_fail(q, "the answer failed its DNSSEC check");
	else if (rcode == 3)
		q->answer.result = DNS_NXDOMAIN;
	else if (rcode != 0 || packet == NULL || len <= 0)
		query_fail(q, rcode == 5 ? "the name server refused to answer"
					 : "the name server could not find out (SERVFAIL)");
	else
		dns_packet_parse(packet, (size_t)len, q->type, &q->answer);
	q->done = true;
	if (q->asking) /* from the cache, within resolver_ask() */
		return;
	query_finish(q);
}

struct resolver_query *
resolver_ask(struct resolver *r, const char *name, uint16_t type, resolver_fn *fn, void *arg)
{
	struct resolver_query *q = xmalloc(sizeof(*q));
	int rc;

	memset(q, 0, offsetof(struct resolver_query, answer));
	q->answer.result = DNS_TEMP;
	q->answer.why = NULL;
	q->answer.n = 0;
	q->answer.ttl = 0;
	q->resolver = r;
	q->type = type;
	q->fn = fn;
	q->arg = arg;
	TAILQ_INSERT_TAIL(&r->queries, q, link);
	q->asking = true;
	rc = ub_resolve_event(r->ctx, name, type, 1, q, query_on_answer, &q->id);
	q->asking = false;
	if (rc != 0 && !q->done) {
		q->done = true;
		/* "", "a..b", a label over 63 octets: no such name can exist */
		if (rc == UB_SYNTAX)
			q->answer.result = DNS_NXDOMAIN;
		else
			query_fail(q, ub_strerror(rc));
	}
	ev_timer_set(&q->timer, q->done ? 0 : RESOLVER_DEADLINE_MS, query_finish, q);
	return q;
}

void
resolver_cancel(struct resolver_query *q)
{
	if (q == NULL)
		return;
	if (!q->done)
		ub_cancel(q->resolver->ctx, q->id);
	query_free(q);
}

void
resolver_done(void)
{
	for (size_t i = 0; i < self.n_contexts; i++) {
		struct resolver *r = self.contexts[i];

		while (!TAILQ_EMPTY(&r->queries))
			resolver_cancel(TAILQ_FIRST(&r->queries));
		ub_ctx_delete(r->ctx);
		free(r);
	}
	self.n_contexts = 0;
	for (size_t i = 0; i < self.n_hosts; i++)
		free(self.hosts[i].name);
	free(self.hosts);
	self.hosts = NULL;
	self.n_hosts = self.n_servers = 0;
}
