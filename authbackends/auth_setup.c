/* SPDX-License-Identifier: ISC */
/*
 * Makes the backends and flows of process auth from the configuration: opens each
 * backend once, whatever number of flows name it, and gives each its own workers.
 * Must open everything before the process gives up its rights.
 */
#include "authbackends/auth_setup.h"

#include "base/list.h"
#include "base/str.h"
#include "policy/policy.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUEUE_MAX 1000u       /* checks that wait for a worker of one backend */
#define DEFAULT_CONCURRENCY 8 /* of a backend without a block, as in conf_options.def */
#define DEFAULT_TIMEOUT_MS 5000
#define CACHE_ENTRIES 20000u /* of all flows; named in submitd.conf(5) */
#define CACHE_BYTES (16u << 20)

static const struct conf *our_conf;
static struct auth_source *sources;
static unsigned *source_threads;
static size_t n_sources;
static struct auth_flow *flows;
static struct auth_pace (*paces)[CRED__MAX]; /* of the same flows */
static struct auth_cache *cache;             /* made when a flow wants it */
static long processors = 1;

static struct auth_source *
find_source(const char *title)
{
	size_t i;

	for (i = 0; i < n_sources; i++)
		if (strcmp(sources[i].title, title) == 0)
			return &sources[i];
	return NULL;
}

/* S16: a backend that any OU lists is asked for the names of those that list it. */
static void
add_ous(struct auth_source *s)
{
	size_t i, k;

	for (i = 0; i < our_conf->n_ou; i++) {
		const struct conf_ou *ou = &our_conf->ou_blocks[i];

		for (k = 0; k < ou->backends.n; k++)
			if (strcmp(ou->backends.v[k], s->title) == 0)
				break;
		if (k == ou->backends.n)
			continue;
		if (s->ous == NULL)
			s->ous = xcallocarray(our_conf->n_ou, sizeof(*s->ous));
		s->ous[s->n_ous++] = ou;
	}
}

static const struct conf_ou *
ou_of_address(const char *address)
{
	const char *at = strrchr(address, '@');

	return at == NULL ? NULL : conf_ou_of_domain(our_conf, at + 1);
}

bool
auth_setup_serves(const struct auth_source *s, const char *principal)
{
	return auth_source_serves(s, ou_of_address(principal));
}

void
auth_setup_trim_own(const struct auth_source *s, struct buf *own)
{
	struct buf kept = BUF_INIT;
	struct span rest = buf_span(own), one;
	struct addr a;

	if (s->ous == NULL)
		return;
	while (rest.n > 0) {
		one = span_cut(&rest, '\0');
		if (addr_parse(one, ADDR_ALLOW_UTF8, &a) != ADDR_OK ||
		    !auth_source_serves(s, conf_ou_of_domain(our_conf, a.ascii_domain)))
			continue;
		buf_add_span(&kept, one);
		buf_add_byte(&kept, '\0');
	}
	buf_reset(own);
	buf_add_span(own, buf_span(&kept));
	buf_clear(&kept);
}

void
auth_setup_name(const struct conf_listener *l, const char *login, struct auth_run *r)
{
	(void)str_copy(r->check.login, sizeof(r->check.login), login);
	if (policy_principal(our_conf, l, login, r->check.address) == -1)
		r->check.address[0] = '\0';
	r->ou = ou_of_address(r->check.address);
}

static int
add_source(const char *title, const struct conf_backend *b, char *err, size_t errsize)
{
	struct auth_source *s = &sources[n_sources];
	int64_t threads = b == NULL ? DEFAULT_CONCURRENCY : b->concurrency;

	s->kind = b == NULL ? authbackend_kind_by_name(title) : authbackend_kind(b->type);
	if (s->kind == NULL) {
		(void)str_printf(err, errsize, "there is no backend \"%s\"", title);
		return -1;
	}
	s->title = title;
	s->timeout_ms = b == NULL ? DEFAULT_TIMEOUT_MS : b->timeout;
	/* what is ours alone is never away: a breaker would only make trouble worse */
	if (b != NULL && s->kind->remote)
		s->breaker = (struct auth_breaker){
		    .max = (unsigned)b->breaker_failures, .pause_ms = b->breaker_pause};
	add_ous(s);
	if (s->kind->open(our_conf, b, &s->self, err, errsize) == -1)
		return -1;
	s->knows_users = s->kind->knows != NULL ? s->kind->knows(s->self) : s->kind->knows_users;
	/* More threads than processors would only make each hash slower, and the loop too. */
	if (s->kind->cpu_bound && threads > processors)
		threads = processors;
	source_threads[n_sources++] = (unsigned)threads;
	return 0;
}

static int
make_flow(struct auth_flow *f, const struct conf_auth_flow *block, char *err, size_t errsize)
{
	size_t i;

	f->title = block->title;
	f->stop_on_no = block->on_no == FLOW_NO_STOP;
	f->next_on_unavailable = block->on_unavailable == FLOW_UNAVAILABLE_NEXT;
	f->deadline_ms = block->deadline;
	f->cache_ms = block->cache;
	if (f->cache_ms != 0 && cache == NULL)
		cache = auth_cache_new(CACHE_ENTRIES, CACHE_BYTES);
	f->cache = f->cache_ms != 0 ? cache : NULL;
	for (i = 0; i < block->chain.n && i < AUTH_CHAIN_MAX; i++) {
		const char *title = block->chain.v[i];

		if (find_source(title) == NULL &&
		    add_source(title, conf_backend_find(our_conf, title), err, errsize) == -1)
			return -1;
		f->chain[f->n++] = find_source(title);
	}
	return 0;
}

int
auth_setup_open(const struct conf *conf, char *err, size_t errsize)
{
	size_t i, most = 0;

	our_conf = conf;
	processors = sysconf(_SC_NPROCESSORS_ONLN);
	if (processors < 1)
		processors = 1;
	for (i = 0; i < conf->n_auth_flow; i++)
		most += conf->auth_flow_blocks[i].chain.n;
	/* never moved: flows point into it */
	sources = xcallocarray(most + 1, sizeof(*sources));
	source_threads = xcallocarray(most + 1, sizeof(*source_threads));
	flows = xcallocarray(conf->n_auth_flow + 1, sizeof(*flows));
	paces = xcallocarray(conf->n_auth_flow + 1, sizeof(*paces));
	for (i = 0; i < conf->n_auth_flow; i++)
		if (make_flow(&flows[i], &conf->auth_flow_blocks[i], err, errsize) == -1)
			return -1;
	return 0;
}

void
auth_setup_start(void)
{
	size_t i;

	for (i = 0; i < n_sources; i++)
		sources[i].pool = auth_pool_new(source_threads[i], QUEUE_MAX);
}

void
auth_setup_close(void)
{
	size_t i;

	for (i = 0; i < n_sources; i++) {
		auth_pool_free(sources[i].pool);
		sources[i].kind->close(sources[i].self);
		free(sources[i].ous);
	}
	free(sources);
	free(source_threads);
	free(flows);
	free(paces);
	auth_cache_free(cache);
	cache = NULL;
	sources = NULL;
	source_threads = NULL;
	flows = NULL;
	paces = NULL;
	n_sources = 0;
}

const struct conf_listener *
auth_setup_listener(const struct conf *c, struct span title)
{
	size_t i;

	for (i = 0; i < c->n_listener; i++)
		if (span_eq(title, c->listener_blocks[i].title))
			return &c->listener_blocks[i];
	return NULL;
}

const struct auth_flow *
auth_setup_flow(const struct conf_listener *l)
{
	if (l->flow_block == NULL || flows == NULL)
		return NULL;
	return &flows[l->flow_block - our_conf->auth_flow_blocks];
}

struct auth_pace *
auth_setup_pace(const struct conf_listener *l, enum auth_cred cred)
{
	if (l->flow_block == NULL || paces == NULL)
		return NULL;
	return &paces[l->flow_block - our_conf->auth_flow_blocks][cred];
}

const struct auth_cache_stats *
auth_setup_cache(void)
{
	return cache == NULL ? NULL : auth_cache_stats(cache);
}

struct auth_source *
auth_setup_sources(size_t *n)
{
	*n = n_sources;
	return sources;
}

void
auth_setup_tick(void (*want_file)(const char *path))
{
	size_t i;

	for (i = 0; i < n_sources; i++)
		if (sources[i].kind->tick != NULL)
			sources[i].kind->tick(sources[i].self, want_file);
}

void
auth_setup_on_file(const char *path, int fd, int error)
{
	size_t i;

	/* two backends may name one file: each gets a descriptor of its own */
	for (i = 0; i < n_sources; i++) {
		int copy = fd == -1 ? -1 : dup(fd);

		if (sources[i].kind->on_file == NULL ||
		    !sources[i].kind->on_file(sources[i].self, path, copy, error))
			if (copy != -1)
				close(copy);
	}
	if (fd != -1)
		close(fd);
}
