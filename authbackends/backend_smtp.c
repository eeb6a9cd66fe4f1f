/* SPDX-License-Identifier: ISC */
/*
 * Backend "smtp": logs in at the hosts of a static transport with the credentials that a client
 * gave (S16, S42). It knows no users: a no may mean either. Hosts are asked in the transport's
 * order, each with its share of the time; one that did not answer goes to the end for a while.
 * Process auth. Must never ask a host that does not stand in the configuration, and never take
 * silence for an answer.
 */
#include "authbackends/authbackend.h"
#include "authbackends/backend_alarm.h"
#include "authbackends/smtp_login.h"

#include "base/list.h"
#include "base/log.h"
#include "base/sasl_login.h"
#include "base/str.h"
#include "base/stream.h"
#include "base/tls.h"
#include "base/tls_pin.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ADDRS_MAX 8u /* of one host */
#define BAD_MS 10000 /* a host that did not answer is asked after the others so long */
#define MARGIN_MS 50 /* so that our reason is there before the flow gives up */

struct host {
	const struct conf_host *conf;
	int64_t bad_until_ms;
	struct backend_alarm alarm;
};

struct smtp {
	const struct conf_backend *block;
	const struct conf_transport *transport;
	const char *helo;
	SSL_CTX *ctx;
	pthread_mutex_t lock; /* over what changes in hosts */
	struct host *hosts;
	size_t n_hosts;
};

/* ---- hosts ----------------------------------------------------------------------------------- */

/* The good ones in the order listed, then the others. */
static void
order_hosts(struct smtp *b, size_t *order)
{
	int64_t now = stream_clock_ms();
	size_t n = 0;

	pthread_mutex_lock(&b->lock);
	for (unsigned bad = 0; bad < 2; bad++)
		for (size_t i = 0; i < b->n_hosts; i++)
			if ((b->hosts[i].bad_until_ms > now) == (bad == 1))
				order[n++] = i;
	pthread_mutex_unlock(&b->lock);
}

static void
note_result(struct smtp *b, struct host *h, bool answered)
{
	int64_t now = stream_clock_ms();

	pthread_mutex_lock(&b->lock);
	h->bad_until_ms = answered ? 0 : now + BAD_MS;
	pthread_mutex_unlock(&b->lock);
}

/* In the loop. */
static void
smtp_tick(void *self, void (*want_file)(const char *path))
{
	struct smtp *b = self;

	(void)want_file;
	for (size_t i = 0; i < b->n_hosts; i++)
		backend_alarm_tick(&b->hosts[i].alarm, b->block->title);
}

/* ---- one question ---------------------------------------------------------------------------- */

static int
compare_addr(const void *p, const void *q)
{
	const struct net_addr *x = p, *y = q;

	if (x->family != y->family)
		return x->family < y->family ? -1 : 1;
	return memcmp(x->ip, y->ip, sizeof(x->ip));
}

/* until_ms: when it is the next host's turn. */
static enum verdict
ask_host(struct smtp *b, struct host *h, int64_t until_ms, struct auth_check *c)
{
	const struct conf_transport *t = b->transport;
	struct net_addr addrs[ADDRS_MAX];
	struct smtp_login l = {.helo = b->helo,
	    .host = h->conf->host,
	    .ctx = b->ctx,
	    .tls = b->ctx == NULL                     ? SMTP_CLIENT_TLS_NONE
	           : t->tls == TRANSPORT_TLS_IMPLICIT ? SMTP_CLIENT_TLS_IMPLICIT
	                                              : SMTP_CLIENT_TLS_MUST,
	    .why = "no time left for it"};
	enum verdict v = V_TEMP;
	size_t n;

	n = stream_resolve(
	    l.host, h->conf->port, until_ms, addrs, ARRAY_LEN(addrs), l.why, sizeof(l.why));
	if (n == 0)
		auth_check_trace(c, "%s: %s", l.host, l.why);
	if (t->order == TRANSPORT_ORDER_NUMERIC)
		qsort(addrs, n, sizeof(addrs[0]), compare_addr);
	for (size_t i = 0; i < n && v == V_TEMP; i++) {
		int64_t now = stream_clock_ms(), left = until_ms - now;
		const struct net_addr *source = addrs[i].family == 4 ? &t->source4 : &t->source6;

		if (left <= 0)
			break;
		l.addr = addrs[i];
		l.source = source->family == 0 ? NULL : source;
		l.deadline_ms = now + left / (int64_t)(n - i);
		l.connect_until_ms = now + t->connect_timeout;
		if (l.connect_until_ms > l.deadline_ms)
			l.connect_until_ms = l.deadline_ms;
		v = smtp_login_try(&l, c);
	}
	note_result(b, h, l.answered);
	if (v != V_OK && str_printf(c->reason, sizeof(c->reason), "%s: %s", l.host, l.why) == -1)
		(void)str_copy(c->reason, sizeof(c->reason), l.why);
	if (l.misconfigured)
		backend_alarm_raise(&h->alarm, c->reason);
	return v;
}

static enum verdict
smtp_check(void *self, struct auth_check *c)
{
	struct smtp *b = self;
	size_t *order = xcallocarray(b->n_hosts, sizeof(*order));
	int64_t until = c->deadline_ms - MARGIN_MS;
	enum verdict v = V_TEMP;

	order_hosts(b, order);
	/* what libraries look up on this thread ends in time, too */
	stream_limit_lookups(until);
	for (size_t i = 0; i < b->n_hosts && v == V_TEMP; i++) {
		int64_t now = stream_clock_ms(), left = until - now;

		if (left <= 0)
			break;
		v = ask_host(b, &b->hosts[order[i]], now + left / (int64_t)(b->n_hosts - i), c);
	}
	free(order);
	return v;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
smtp_close(void *self)
{
	struct smtp *b = self;

	if (b == NULL)
		return;
	SSL_CTX_free(b->ctx);
	for (size_t i = 0; i < b->n_hosts; i++)
		backend_alarm_clear(&b->hosts[i].alarm);
	pthread_mutex_destroy(&b->lock);
	free(b->hosts);
	free(b);
}

static int
compare_host(const void *p, const void *q)
{
	const struct host *x = p, *y = q;
	struct net_addr a, b;
	bool is_a = net_addr_parse_ip(span_of(x->conf->host), &a) == 0;
	bool is_b = net_addr_parse_ip(span_of(y->conf->host), &b) == 0;
	int c;

	/* addresses by number, and before names, which keep their order */
	if (!is_a || !is_b)
		return is_a != is_b ? (is_a ? -1 : 1) : x->conf < y->conf ? -1 : 1;
	c = compare_addr(&a, &b);
	return c != 0 ? c : (int)x->conf->port - (int)y->conf->port;
}

static void
take_hosts(struct smtp *b)
{
	const struct conf_transport *t = b->transport;

	b->n_hosts = t->n_hosts;
	b->hosts = xcallocarray(t->n_hosts, sizeof(*b->hosts));
	for (size_t i = 0; i < t->n_hosts; i++)
		b->hosts[i].conf = &t->host_list[i];
	if (t->order == TRANSPORT_ORDER_NUMERIC)
		qsort(b->hosts, b->n_hosts, sizeof(*b->hosts), compare_host);
	for (size_t i = 0; i < b->n_hosts; i++)
		backend_alarm_init(&b->hosts[i].alarm);
}

static int
smtp_open(const struct conf *conf, const struct conf_backend *block, void **self, char *err,
    size_t errsize)
{
	const struct conf_transport *t = block->transport_block;
	struct smtp *b = xcallocarray(1, sizeof(*b));
	char text[200];

	pthread_mutex_init(&b->lock, NULL);
	b->block = block;
	b->transport = t;
	b->helo = t->helo != NULL ? t->helo : conf->server->hostname;
	take_hosts(b);
	if (sasl_login_open(text, sizeof(text)) == -1)
		goto fail;
	if (block->tls != BACKEND_TLS_NONE) {
		bool verify = block->tls == BACKEND_TLS_REQUIRE_VERIFY;

		b->ctx = tls_pin_or_client_new(
		    t->pinned.v, t->pinned.n, t->ca_file, verify, text, sizeof(text));
		if (b->ctx == NULL)
			goto fail;
		/* without verification, too: passwords deserve it */
		SSL_CTX_set_min_proto_version(b->ctx, TLS1_2_VERSION);
	}
	*self = b;
	return 0;
fail:
	(void)str_printf(err, errsize, "backend \"%s\": %s", block->title, text);
	smtp_close(b);
	return -1;
}

const struct authbackend authbackend_smtp = {
    .name = "smtp",
    .remote = true,
    .creds = CRED_BIT(CRED_PASSWORD),
    .open = smtp_open,
    .check = smtp_check,
    .close = smtp_close,
    .tick = smtp_tick,
};
