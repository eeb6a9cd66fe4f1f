/* SPDX-License-Identifier: ISC */
/*
 * The servers of one ldap block: which of them are well, which is asked next, and
 * what an operator should know of them. Process auth (and lookup), from workers. Must
 * never wait with the lock held.
 */
#include "authbackends/ldap_profile.h"

#include "base/fs.h"
#include "base/str.h"
#include "base/stream.h"
#include "base/tls.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <ldap.h>

#define SERVERS_MAX 20u
#define SECRET_FILE_MAX 4096u
#define IDLE_MAX_MS 60000   /* a kept connection is closed then */
#define SHUN_MS 30000       /* a server that did not answer is asked last for so long */
#define TELL_AGAIN_MS 60000 /* the same misconfiguration */
#define NOTICES_MAX 8u

struct server {
	struct ldap_server s; /* first */
	int64_t shun_until_ms;
	bool down, told_down;
	char why[LDAP_TEXT_MAX];
};

struct misconfiguration {
	char text[LDAP_TEXT_MAX];
	int64_t told_ms; /* 0: never */
	unsigned count;  /* since then */
};

struct ldap_profile {
	const struct conf_ldap *conf;
	struct secret secret;
	SSL_CTX *ctx;
	struct server servers[SERVERS_MAX];
	size_t n_servers;

	struct ldap_pool pool;

	pthread_mutex_t lock; /* for what follows, and shun_until_ms, down, why of the servers */
	struct misconfiguration wrong[NOTICES_MAX];
};

/* ---- open and close -------------------------------------------------------------------------- */

/* The first line of the file. */
static int
read_secret(struct ldap_profile *p, char *err, size_t errsize)
{
	struct buf text = BUF_INIT;
	const char *path = p->conf->bind_secret + strlen("file:");
	struct span rest, line;
	int result = -1;

	if (fs_read_file(path, SECRET_FILE_MAX, &text) == -1) {
		(void)str_printf(err, errsize, "%s:%u: ldap \"%s\": cannot read %s: %s",
		    p->conf->where.file, p->conf->where.line, p->conf->title, path,
		    strerror(errno));
		goto out;
	}
	rest = buf_span(&text);
	line = span_cut(&rest, '\n');
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (line.n == 0 || memchr(line.p, '\0', line.n) != NULL) {
		(void)str_printf(err, errsize,
		    "%s:%u: ldap \"%s\": %s must hold the password of bind_dn in its first line",
		    p->conf->where.file, p->conf->where.line, p->conf->title, path);
		goto out;
	}
	secret_set(&p->secret, line.p, line.n);
	result = 0;
out:
	buf_wipe(&text);
	return result;
}

static int
make_servers(struct ldap_profile *p, char *err, size_t errsize)
{
	const struct conf_ldap *c = p->conf;
	const char *wrong;
	bool tls = c->starttls;
	size_t i;

	for (i = 0; i < c->uri.n && i < SERVERS_MAX; i++) {
		struct ldap_server *s = &p->servers[p->n_servers++].s;

		if ((wrong = ldap_uri_parse(c->uri.v[i], &s->uri)) != NULL) {
			(void)str_printf(err, errsize, "ldap \"%s\": uri: %s", c->title, wrong);
			return -1;
		}
		s->text = c->uri.v[i];
		s->starttls = c->starttls;
		s->connect_ms = c->connect_timeout;
		s->request_ms = c->timeout;
		tls = tls || s->uri.tls;
	}
	if (!tls)
		return 0;
	p->ctx = tls_client_new(c->ca_file, true, err, errsize);
	for (i = 0; i < p->n_servers; i++)
		p->servers[i].s.ctx = p->ctx;
	return p->ctx == NULL ? -1 : 0;
}

struct ldap_profile *
ldap_profile_open(const struct conf_ldap *conf, char *err, size_t errsize)
{
	struct ldap_profile *p = xcallocarray(1, sizeof(*p));

	ldap_conn_init();
	p->conf = conf;
	pthread_mutex_init(&p->lock, NULL);
	ldap_pool_init(&p->pool, (size_t)conf->pool);
	if (make_servers(p, err, errsize) == -1 ||
	    (conf->bind_secret != NULL && read_secret(p, err, errsize) == -1)) {
		ldap_profile_close(p);
		return NULL;
	}
	return p;
}

void
ldap_profile_close(struct ldap_profile *p)
{
	if (p == NULL)
		return;
	ldap_pool_clear(&p->pool);
	SSL_CTX_free(p->ctx);
	secret_clear(&p->secret);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* ---- how the servers are --------------------------------------------------------------------- */

static void
server_failed(struct ldap_profile *p, size_t i, const char *why)
{
	struct server *s = &p->servers[i];

	pthread_mutex_lock(&p->lock);
	s->shun_until_ms = stream_clock_ms() + SHUN_MS;
	s->down = true;
	(void)str_copy(s->why, sizeof(s->why), why);
	pthread_mutex_unlock(&p->lock);
}

static void
server_answered(struct ldap_profile *p, size_t i)
{
	pthread_mutex_lock(&p->lock);
	p->servers[i].shun_until_ms = 0;
	p->servers[i].down = false;
	pthread_mutex_unlock(&p->lock);
}

/* The next to ask: as listed, but those that did not answer lately come last. SIZE_MAX: none. */
static size_t
server_next(struct ldap_profile *p, uint32_t tried)
{
	int64_t now = stream_clock_ms();
	size_t i, found = SIZE_MAX;

	pthread_mutex_lock(&p->lock);
	for (i = p->n_servers; i-- > 0;) {
		if ((tried & (1u << i)) != 0)
			continue;
		if (found == SIZE_MAX || p->servers[i].shun_until_ms <= now ||
		    p->servers[found].shun_until_ms > now)
			found = i;
	}
	pthread_mutex_unlock(&p->lock);
	return found;
}

void
ldap_profile_tick(struct ldap_profile *p)
{
	ldap_pool_drop_older(&p->pool, stream_clock_ms() - IDLE_MAX_MS);
}

/* ---- questions ------------------------------------------------------------------------------- */

/* 0, or the code that keeps the connection from being used. */
static int
log_in(struct ldap_profile *p, struct ldap_conn *c, struct ldap_ask *a, struct ldap_reply *r)
{
	struct ldap_judgement j;

	if (p->conf->bind_dn == NULL)
		return LDAP_SUCCESS;
	if (ldap_conn_bind(c, a, p->conf->bind_dn, &p->secret, r) == LDAP_SUCCESS)
		return LDAP_SUCCESS;
	ldap_judge_service("bind_dn cannot log in", r, &j);
	if (j.misconfigured)
		ldap_profile_misconfigured(p, j.reason);
	return r->code;
}

/* A new connection to the next server that answers; NULL with r. The right to open is used up. */
static struct ldap_conn *
open_next(struct ldap_profile *p, enum ldap_use use, struct ldap_ask *a, uint32_t *tried,
    struct ldap_reply *r)
{
	struct ldap_conn *c;
	size_t i;

	while (stream_clock_ms() < a->deadline_ms && (i = server_next(p, *tried)) != SIZE_MAX) {
		*tried |= 1u << i;
		r->code = LDAP_SERVER_DOWN;
		c = ldap_conn_open(&p->servers[i].s, a);
		if (c == NULL) {
			(void)str_copy(r->text, sizeof(r->text), a->why);
			server_failed(p, i, a->why);
			continue;
		}
		*ldap_conn_mark(c) = (struct ldap_conn_mark){.server = i, .use = (int)use};
		if (use != LDAP_AS_SERVICE || log_in(p, c, a, r) == LDAP_SUCCESS)
			return c;
		ldap_conn_close(c);
		if (!ldap_judge_elsewhere(r->code))
			break;
		server_failed(p, i, r->text);
	}
	ldap_pool_drop(&p->pool, NULL);
	return NULL;
}

bool
ldap_profile_run(struct ldap_profile *p, enum ldap_use use, struct ldap_ask *a, ldap_work_fn *work,
    void *arg, struct ldap_reply *r)
{
	struct ldap_conn *c = NULL;
	uint32_t tried = 0;
	bool worked = false, kept;
	size_t server;
	int code;

	memset(r, 0, sizeof(*r));
	r->code = LDAP_TIMEOUT;
	(void)str_copy(r->text, sizeof(r->text), "no connection was free in time");
	/* ends: each turn uses up a server, or all that were kept to one */
	while (ldap_pool_take(&p->pool, use, a->deadline_ms, &c)) {
		kept = c != NULL;
		if (!kept && (c = open_next(p, use, a, &tried, r)) == NULL)
			return worked;
		server = ldap_conn_mark(c)->server;
		(void)str_copy(a->tls_peer, sizeof(a->tls_peer), ldap_conn_peer(c));
		if (kept)
			ldap_ask_say(a, "kept connection to %s", p->servers[server].s.text);
		code = work(c, a, arg);
		worked = true;
		if (!ldap_judge_elsewhere(code)) {
			server_answered(p, server);
			ldap_pool_keep(&p->pool, c);
			return true;
		}
		ldap_pool_drop(&p->pool, c);
		ldap_pool_drop_server(&p->pool, server);
		if (kept && code == LDAP_SERVER_DOWN)
			continue; /* it had died: once more with a new one */
		server_failed(p, server, code < 0 ? a->why : ldap_err2string(code));
		tried |= 1u << server;
		if (stream_clock_ms() >= a->deadline_ms)
			break;
	}
	return worked;
}

/* ---- what an operator should know ------------------------------------------------------------ */

void
ldap_profile_misconfigured(struct ldap_profile *p, const char *text)
{
	struct misconfiguration *m = NULL;
	size_t i;

	pthread_mutex_lock(&p->lock);
	for (i = 0; i < NOTICES_MAX && m == NULL; i++)
		if (p->wrong[i].text[0] == '\0' || strcmp(p->wrong[i].text, text) == 0)
			m = &p->wrong[i];
	if (m == NULL) { /* more kinds than anybody reads: the first gives way */
		m = &p->wrong[0];
		memset(m, 0, sizeof(*m));
	}
	(void)str_copy(m->text, sizeof(m->text), text);
	m->count++;
	pthread_mutex_unlock(&p->lock);
}

static bool
next_misconfiguration(struct ldap_profile *p, int64_t now, struct ldap_notice *n)
{
	size_t i;

	for (i = 0; i < NOTICES_MAX; i++) {
		struct misconfiguration *m = &p->wrong[i];

		if (m->count == 0 || (m->told_ms != 0 && now - m->told_ms < TELL_AGAIN_MS))
			continue;
		*n = (struct ldap_notice){
		    .level = LOG_LEVEL_ERROR, .state = "misconfigured", .count = m->count};
		(void)str_copy(n->text, sizeof(n->text), m->text);
		m->told_ms = now;
		m->count = 0;
		return true;
	}
	return false;
}

static bool
next_change(struct ldap_profile *p, struct ldap_notice *n)
{
	size_t i;

	for (i = 0; i < p->n_servers; i++) {
		struct server *s = &p->servers[i];

		if (s->down == s->told_down)
			continue;
		s->told_down = s->down;
		*n = (struct ldap_notice){
		    .level = s->down ? LOG_LEVEL_WARN : LOG_LEVEL_INFO,
		    .state = s->down ? "down" : "up",
		    .uri = s->s.text,
		    .count = 1,
		};
		if (s->down)
			(void)str_copy(n->text, sizeof(n->text), s->why);
		return true;
	}
	return false;
}

bool
ldap_profile_next_notice(struct ldap_profile *p, struct ldap_notice *n)
{
	bool found;

	pthread_mutex_lock(&p->lock);
	found = next_misconfiguration(p, stream_clock_ms(), n) || next_change(p, n);
	pthread_mutex_unlock(&p->lock);
	return found;
}
