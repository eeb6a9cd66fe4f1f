/* SPDX-License-Identifier: ISC */
/*
 * Cross checks of certificates of clients: fingerprints that are none or stand at two
 * users, and certificates that nobody is asked for. Pure, no file system.
 */
#include "conf/conf_internal.h"

#include "base/str.h"
#include "base/tls_client_cert.h"

#include <stdlib.h>
#include <string.h>

struct print {
	char sha256[TLS_FINGERPRINT];
	const struct conf_user *user;
};

static int
by_text(const void *a, const void *b)
{
	const struct print *x = a, *y = b;
	int order = strcmp(x->sha256, y->sha256);

	/* all of one array: the later one is reported */
	return order != 0 ? order : (x->user > y->user) - (x->user < y->user);
}

static size_t
take_prints(struct conf_builder *b, const struct conf_user *u, struct print *out)
{
	char label[CONF_LABEL], shown[CONF_SHOWN];
	size_t i, n = 0;

	conf_label(CONF_BLOCK_user, u->title, NULL, label);
	for (i = 0; i < u->client_cert_sha256.n; i++) {
		struct span s = span_of(u->client_cert_sha256.v[i]);

		if (tls_fingerprint_parse(s, out[n].sha256) == -1)
			conf_error(b, CONF_WHERE(u, user, client_cert_sha256),
			    "%s: client_cert_sha256: \"%s\" is no SHA-256 fingerprint; right are "
			    "64 "
			    "hex digits, as openssl x509 -fingerprint -sha256 prints them",
			    label, conf_shown(s, shown));
		else
			out[n++].user = u;
	}
	return n;
}

/* Is there a listener that asks for certificates? */
static bool
somebody_asks(const struct conf *c)
{
	size_t i, k;

	for (i = 0; i < c->n_listener; i++)
		for (k = 0; k < c->listener_blocks[i].n_tls_blocks; k++)
			if (c->listener_blocks[i].tls != LISTENER_TLS_OFF &&
			    c->listener_blocks[i].tls_blocks[k]->client_ca != NULL)
				return true;
	return false;
}

static void
check_prints(struct conf_builder *b)
{
	const struct conf *c = b->conf;
	struct print *v;
	size_t i, n = 0;

	for (i = 0; i < c->n_user; i++)
		n += c->user_blocks[i].client_cert_sha256.n;
	if (n == 0)
		return;
	v = xcallocarray(n, sizeof(*v));
	n = 0;
	for (i = 0; i < c->n_user; i++)
		n += take_prints(b, &c->user_blocks[i], v + n);
	qsort(v, n, sizeof(*v), by_text);
	for (i = 1; i < n; i++)
		if (strcmp(v[i].sha256, v[i - 1].sha256) == 0)
			conf_error(b, CONF_WHERE(v[i].user, user, client_cert_sha256),
			    "user \"%s\": client_cert_sha256: %.16s... stands at user \"%s\" too; "
			    "a "
			    "certificate is of one user",
			    v[i].user->title, v[i].sha256, v[i - 1].user->title);
	if (n > 0 && !somebody_asks(c))
		conf_warn(b, CONF_WHERE(v[0].user, user, client_cert_sha256),
		    "user \"%s\": client_cert_sha256 does nothing: no listener's tls block has "
		    "client_ca, so clients are not asked for certificates",
		    v[0].user->title);
	free(v);
}

void
conf_check_certs(struct conf_builder *b)
{
	const struct conf *c = b->conf;
	char label[CONF_LABEL];
	size_t i;

	for (i = 0; i < c->n_tls; i++) {
		const struct conf_tls *t = &c->tls_blocks[i];

		conf_label(CONF_BLOCK_tls, t->title, NULL, label);
		conf_check_absolute(
		    b, CONF_WHERE(t, tls, client_ca), label, "client_ca", t->client_ca);
		if (t->client_email && t->client_ca == NULL)
			conf_error(b, CONF_WHERE(t, tls, client_email),
			    "%s: client_email = true needs client_ca = \"/PATH\" of the "
			    "authorities "
			    "that are believed",
			    label);
	}
	check_prints(b);
}
