/* SPDX-License-Identifier: ISC */
/*
 * A destination in process `deliver`: the jobs that wait for it, its hosts in the order of the
 * transport, and its connections, at most as many as the queue leased to us. Hosts are tried one
 * after the other (S77); those that failed a minute ago come last. When every host failed since the
 * last session stood, all waiting jobs go back as unreachable, and the queue decides when to try
 * again: nothing here retries by itself or sleeps.
 */
#include "transports/deliver.h"

#include "base/enc.h"
#include "base/log.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024u
#define DESTS_KEPT 10000u
#define SWEEP_MS 30000
#define KEEP_MS 60000      /* an unused destination is remembered so long */
#define KEEP_BAD_MS 900000 /* and so long to be able to say that it came back */
#define SOFT_MS 60000

static struct deliver_dest *table[BUCKETS];
static TAILQ_HEAD(, deliver_dest) all = TAILQ_HEAD_INITIALIZER(all);
static size_t n_dests;
static struct ev_timer sweep_timer;

size_t
deliver_dest_count(void)
{
	return n_dests;
}

static struct deliver_dest **
slot(const struct conf_transport *conf, const char *name)
{
	uint32_t h = crc32c(0, name, strlen(name)) ^ crc32c(0, conf->title, strlen(conf->title));
	struct deliver_dest **p = &table[h % BUCKETS];

	while (*p != NULL && ((*p)->conf != conf || strcmp((*p)->name, name) != 0))
		p = &(*p)->hash_next;
	return p;
}

struct deliver_dest *
deliver_dest_get(const struct conf_transport *conf, const char *name)
{
	struct deliver_dest **p = slot(conf, name), *d = *p;

	if (d != NULL)
		return d;
	d = xcallocarray(1, sizeof(*d));
	d->conf = conf;
	d->name = xstrdup(name);
	d->conn_max = 1;
	d->used_at = ev_now_ms();
	TAILQ_INIT(&d->waiting);
	TAILQ_INIT(&d->conns);
	TAILQ_INSERT_TAIL(&all, d, link);
	*p = d;
	n_dests++;
	return d;
}

static void
drop_hosts(struct deliver_dest *d)
{
	free(d->hosts);
	free(d->failed);
	d->hosts = NULL;
	d->failed = NULL;
	d->n_hosts = 0;
}

static void
dest_free(struct deliver_dest *d)
{
	*slot(d->conf, d->name) = d->hash_next;
	TAILQ_REMOVE(&all, d, link);
	n_dests--;
	ev_turn_cancel(&d->turn);
	if (d->lookup != NULL)
		transport_of(d->conf)->cancel(d->lookup);
	drop_hosts(d);
	status_clear(&d->failure);
	free(d->name);
	free(d);
}

static void
sweep(void *arg)
{
	struct deliver_dest *d, *next;
	int64_t now = ev_now_ms();

	(void)arg;
	TAILQ_FOREACH_SAFE (d, &all, link, next) {
		int64_t keep = n_dests > DESTS_KEPT ? 0 : d->bad ? KEEP_BAD_MS : KEEP_MS;

		if (d->n_jobs == 0 && d->n_conns == 0 && d->lookup == NULL &&
		    now - d->used_at >= keep)
			dest_free(d);
	}
	ev_timer_set(&sweep_timer, SWEEP_MS, sweep, NULL);
}

void
deliver_dest_start(void)
{
	ev_timer_set(&sweep_timer, SWEEP_MS, sweep, NULL);
}

/* ---- waiting jobs ---------------------------------------------------------------------------- */

void
deliver_dest_add(struct deliver_dest *d, struct deliver_job *j, bool first)
{
	if (d->n_waiting == 0 && d->n_conns == 0)
		for (size_t i = 0; i < d->n_hosts; i++)
			d->failed[i] = false; /* a new round */
	j->state = DELIVER_JOB_WAITING;
	j->conn = NULL;
	if (first)
		TAILQ_INSERT_HEAD(&d->waiting, j, link);
	else
		TAILQ_INSERT_TAIL(&d->waiting, j, link);
	d->n_waiting++;
	deliver_dest_kick(d);
}

void
deliver_dest_remove(struct deliver_dest *d, struct deliver_job *j)
{
	TAILQ_REMOVE(&d->waiting, j, link);
	d->n_waiting--;
	d->used_at = ev_now_ms();
}

struct deliver_job *
deliver_dest_take(struct deliver_dest *d)
{
	struct deliver_job *j = TAILQ_FIRST(&d->waiting);

	if (j == NULL)
		return NULL;
	deliver_dest_remove(d, j);
	j->state = DELIVER_JOB_ACTIVE;
	if (j->began_ms == 0)
		j->began_ms = ev_now_ms();
	return j;
}

static void
log_state(const struct deliver_dest *d, const char *state)
{
	struct log_line l;

	log_begin(&l, d->bad ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, EV_DESTINATION);
	log_str(&l, LK_TRANSPORT, d->conf->title);
	if (d->name[0] != '\0')
		log_str(&l, LK_DEST, d->name);
	log_str(&l, LK_STATE, state);
	if (d->bad)
		log_str(&l, LK_REASON, d->failure.text);
	log_end(&l);
}

/* All waiting jobs end with the same status. */
static void
fail_all(struct deliver_dest *d, const struct status *st, enum dest_result result)
{
	struct deliver_job *j;

	if (result == DEST_UNREACHABLE && !d->bad) {
		d->bad = true;
		log_state(d, "unreachable");
	}
	while ((j = deliver_dest_take(d)) != NULL)
		deliver_job_fail(j, st, result);
	deliver_check_done();
}

/* ---- hosts ----------------------------------------------------------------------------------- */

static void
on_hosts(void *arg, const struct transport_hosts *h)
{
	struct deliver_dest *d = arg;

	d->lookup = NULL;
	drop_hosts(d);
	if (h->n == 0) {
		status_copy(&d->failure, &h->failure);
		/* an explicit no is about the address, not about a host that may come back */
		fail_all(d, &d->failure, d->failure.verdict == V_PERM ? DEST_OK : DEST_UNREACHABLE);
		return;
	}
	d->n_hosts = h->n;
	d->hosts = xcallocarray(h->n, sizeof(*d->hosts));
	memcpy(d->hosts, h->v, h->n * sizeof(*d->hosts));
	d->failed = xcallocarray(h->n, sizeof(*d->failed));
	d->hosts_until = ev_now_ms() + DELIVER_HOSTS_MS;
	deliver_dest_kick(d);
}

/* The next one to try: the first good one, else the first that was not tried in this round. */
static struct transport_host *
choose_host(struct deliver_dest *d)
{
	struct transport_host *second = NULL;

	for (size_t i = 0; i < d->n_hosts; i++) {
		if (d->failed[i])
			continue;
		if (!deliver_host_is_bad(&d->hosts[i].addr))
			return &d->hosts[i];
		if (second == NULL)
			second = &d->hosts[i];
	}
	return second;
}

static void
mark_failed(struct deliver_dest *d, const struct net_addr *addr)
{
	for (size_t i = 0; i < d->n_hosts; i++)
		if (d->hosts[i].addr.port == addr->port &&
		    net_addr_equal_ip(&d->hosts[i].addr, addr))
			d->failed[i] = true;
}

static size_t
conn_limit(struct deliver_dest *d)
{
	if (d->soft_max != 0 && ev_now_ms() >= d->soft_until)
		d->soft_max = 0;
	if (d->soft_max != 0 && d->soft_max < d->conn_max)
		return d->soft_max;
	return d->conn_max;
}

/* ---- connections ----------------------------------------------------------------------------- */

static void
give_to_idle(struct deliver_dest *d)
{
	struct deliver_conn *c, *next;

	TAILQ_FOREACH_SAFE (c, &d->conns, link, next) {
		if (TAILQ_EMPTY(&d->waiting))
			return;
		if (c->idle)
			deliver_conn_next(c);
	}
}

static void
open_more(struct deliver_dest *d)
{
	size_t limit = conn_limit(d);

	while (d->n_conns < limit && d->n_opening < d->n_waiting) {
		struct transport_host *host = choose_host(d);
		struct deliver_conn *c;
		struct status st = {0};

		if (host == NULL)
			break;
		c = deliver_conn_open(d, host, &st);
		if (c == NULL) {
			deliver_host_failed(&host->addr);
			mark_failed(d, &host->addr);
			status_copy(&d->failure, &st);
			status_clear(&st);
			continue;
		}
		TAILQ_INSERT_TAIL(&d->conns, c, link);
		d->n_conns++;
		d->n_opening++;
	}
	if (d->n_conns == 0) {
		/* every host was asked: look them up anew next time */
		drop_hosts(d);
		fail_all(d, &d->failure, DEST_UNREACHABLE);
	}
}

static void
run(void *arg)
{
	struct deliver_dest *d = arg;

	give_to_idle(d);
	if (TAILQ_EMPTY(&d->waiting) || d->lookup != NULL)
		return;
	if (d->n_conns >= conn_limit(d) || d->n_opening >= d->n_waiting)
		return;
	if (d->hosts == NULL || (ev_now_ms() >= d->hosts_until && d->n_conns == 0)) {
		d->lookup = transport_of(d->conf)->find(d->conf, d->name, on_hosts, d);
		return;
	}
	open_more(d);
}

void
deliver_dest_kick(struct deliver_dest *d)
{
	d->used_at = ev_now_ms();
	ev_turn_schedule(&d->turn, run, d);
}

void
deliver_dest_on_ready(struct deliver_dest *d, struct deliver_conn *c)
{
	d->n_opening--;
	d->n_ready++;
	deliver_host_ok(&c->host.addr);
	for (size_t i = 0; i < d->n_hosts; i++)
		d->failed[i] = false;
	if (d->bad) {
		d->bad = false;
		log_state(d, "reachable");
	}
}

void
deliver_dest_on_failed(struct deliver_dest *d, struct deliver_conn *c, const struct status *st)
{
	bool others = d->n_ready > (c->ready ? 1u : 0u);

	deliver_stats.failed_sessions++;
	status_copy(&d->failure, st);
	if (others && !c->ready) {
		/* it talks to us, but not over one more connection */
		d->soft_max = d->n_ready;
		d->soft_until = ev_now_ms() + SOFT_MS;
	} else if (!others) {
		deliver_host_failed(&c->host.addr);
		mark_failed(d, &c->host.addr);
	}
}

void
deliver_dest_on_closed(struct deliver_dest *d, struct deliver_conn *c)
{
	TAILQ_REMOVE(&d->conns, c, link);
	d->n_conns--;
	if (c->ready)
		d->n_ready--;
	else
		d->n_opening--;
	deliver_dest_kick(d);
}

/* ---- the end --------------------------------------------------------------------------------- */

void
deliver_dest_drain(void)
{
	struct deliver_dest *d, *next_dest;
	struct deliver_conn *c, *next;
	struct deliver_job *j;

	TAILQ_FOREACH_SAFE (d, &all, link, next_dest) {
		while ((j = TAILQ_FIRST(&d->waiting)) != NULL)
			deliver_job_give_back(j);
		TAILQ_FOREACH_SAFE (c, &d->conns, link, next) {
			if (c->idle)
				deliver_conn_quit(c);
			else if (!c->ready)
				deliver_conn_abort(c);
		}
	}
}

void
deliver_dest_abort_all(void)
{
	struct deliver_dest *d, *next_dest;
	struct deliver_conn *c, *next;

	TAILQ_FOREACH_SAFE (d, &all, link, next_dest)
		TAILQ_FOREACH_SAFE (c, &d->conns, link, next)
			deliver_conn_abort(c);
}

void
deliver_dest_free_all(void)
{
	struct deliver_dest *d, *next;

	deliver_dest_abort_all();
	ev_timer_clear(&sweep_timer);
	TAILQ_FOREACH_SAFE (d, &all, link, next)
		dest_free(d);
}
