/* SPDX-License-Identifier: ISC */
/*
 * The certificates of all listeners. Runs in front, before it gives up the
 * supervisor's rights: keys are readable for nobody later. Never keeps or says
 * anything of a key; a reload forks new fronts, which read the files anew.
 */
#include "base/fs.h"
#include "base/str.h"
#include "front/front.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEM_MAX (1u << 20)

static SSL_CTX *
load_one(const struct conf_tls *t, char *err, size_t errsize)
{
	static const char *const versions[] = {CONF_ENUM_tls_min_version};
	struct buf cert = BUF_INIT, key = BUF_INIT, ca = BUF_INIT;
	struct tls_server_options o = {
	    .min_version = versions[t->min_version], .ciphers = t->ciphers};
	SSL_CTX *ctx = NULL;
	char why[256];

	if (fs_read_file(t->certificate, PEM_MAX, &cert) == -1) {
		snprintf(
		    err, errsize, "tls \"%s\": %s: %s", t->title, t->certificate, strerror(errno));
		goto out;
	}
	/* room first, so that no growing leaves a copy of the key behind */
	buf_reserve(&key, PEM_MAX + 1);
	if (fs_read_file(t->key, PEM_MAX, &key) == -1) {
		snprintf(err, errsize, "tls \"%s\": %s: %s", t->title, t->key, strerror(errno));
		goto out;
	}
	if (t->client_ca != NULL) {
		if (fs_read_file(t->client_ca, PEM_MAX, &ca) == -1) {
			snprintf(err, errsize, "tls \"%s\": %s: %s", t->title, t->client_ca,
			    strerror(errno));
			goto out;
		}
		o.client_ca_pem = buf_cstr(&ca);
	}
	o.cert_pem = buf_cstr(&cert);
	o.key_pem = buf_cstr(&key);
	ctx = tls_server_new(&o, why, sizeof(why));
	if (ctx == NULL)
		snprintf(err, errsize, "tls \"%s\": %s", t->title, why);
out:
	buf_clear(&cert);
	buf_clear(&ca);
	buf_wipe(&key);
	return ctx;
}

/* An earlier listener with the same certificates, whose contexts do for this one too. */
static const struct front_listener *
same_list(const struct front *f, size_t i)
{
	const struct conf_listener *c = f->listeners[i].conf;

	for (size_t j = 0; j < i; j++) {
		const struct conf_listener *d = f->listeners[j].conf;

		if (f->listeners[j].n_ctxs > 0 && d->n_tls_blocks == c->n_tls_blocks &&
		    memcmp(d->tls_blocks, c->tls_blocks,
			c->n_tls_blocks * sizeof(c->tls_blocks[0])) == 0)
			return &f->listeners[j];
	}
	return NULL;
}

int
front_tls_load(struct front *f, char *err, size_t errsize)
{
	for (size_t i = 0; i < f->n_listeners; i++) {
		struct front_listener *l = &f->listeners[i];
		const struct front_listener *same;

		if (l->conf->tls == LISTENER_TLS_OFF || l->conf->n_tls_blocks == 0)
			continue;
		same = same_list(f, i);
		if (same != NULL) {
			l->ctxs = same->ctxs;
			l->n_ctxs = same->n_ctxs;
			l->ctxs_shared = true;
			continue;
		}
		l->ctxs = xcallocarray(l->conf->n_tls_blocks, sizeof(SSL_CTX *));
		for (size_t k = 0; k < l->conf->n_tls_blocks; k++) {
			l->ctxs[k] = load_one(l->conf->tls_blocks[k], err, errsize);
			if (l->ctxs[k] == NULL)
				return -1;
			l->n_ctxs++;
		}
		tls_server_set_sni(l->ctxs, l->n_ctxs);
	}
	return 0;
}

void
front_tls_free(struct front *f)
{
	for (size_t i = 0; i < f->n_listeners; i++) {
		struct front_listener *l = &f->listeners[i];

		if (!l->ctxs_shared) {
			for (size_t k = 0; k < l->n_ctxs; k++)
				SSL_CTX_free(l->ctxs[k]);
			free(l->ctxs);
		}
		l->ctxs = NULL;
		l->n_ctxs = 0;
	}
}
