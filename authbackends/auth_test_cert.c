/* SPDX-License-Identifier: ISC */
/*
 * auth-test of a client's certificate: whether it would verify at a listener, by the same
 * authorities and rules as in a handshake, and whom it names. Process auth, in the loop. The
 * operator sends certificates only: there is no key, and nothing is proved.
 */
#include "authbackends/auth_test_internal.h"

#include "base/fs.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>

#define PEM_MAX (1u << 20)

static SSL_CTX **contexts; /* one for each tls block; NULL: it asks for none */
static const struct conf *our_conf;

/* As the fronts make theirs. */
static SSL_CTX *
open_block(const struct conf_tls *t, char *err, size_t errsize)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	struct buf pem = BUF_INIT;
	int rc = -1;

	if (fs_read_file(t->client_ca, PEM_MAX, &pem) == -1)
		(void)str_printf(err, errsize, "cannot read %s: %s", t->client_ca, strerror(errno));
	else if (ctx == NULL ||
		 (t->ciphers != NULL && SSL_CTX_set_cipher_list(ctx, t->ciphers) != 1))
		(void)str_copy(err, errsize, "TLS context");
	else
		rc = tls_ask_client(ctx, buf_cstr(&pem), err, errsize);
	buf_clear(&pem);
	if (rc == 0)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

int
auth_test_open(const struct conf *c, char *err, size_t errsize)
{
	char why[256] = "";

	our_conf = c;
	contexts = xcallocarray(c->n_tls + 1, sizeof(SSL_CTX *)); /* for the life of the process */
	for (size_t i = 0; i < c->n_tls; i++) {
		const struct conf_tls *t = &c->tls_blocks[i];

		if (t->client_ca == NULL)
			continue;
		contexts[i] = open_block(t, why, sizeof(why));
		if (contexts[i] == NULL) {
			(void)str_printf(err, errsize, "tls \"%s\": %s", t->title, why);
			return -1;
		}
	}
	return 0;
}

static SSL_CTX *
context_of(const struct conf_tls *t)
{
	return contexts == NULL ? NULL : contexts[t - our_conf->tls_blocks];
}

bool
test_asks_for_certs(const struct conf_listener *l)
{
	for (size_t i = 0; l->tls != LISTENER_TLS_OFF && i < l->n_tls_blocks; i++)
		if (context_of(l->tls_blocks[i]) != NULL)
			return true;
	return false;
}

/* The first block that would take it; else the first that asks says why not. */
const char *
test_take_cert(struct auth_test *t, struct span pem)
{
	const struct conf_listener *l = t->listener;
	struct auth_check *c = &t->run.check;

	for (size_t i = 0; i < l->n_tls_blocks; i++) {
		SSL_CTX *ctx = context_of(l->tls_blocks[i]);
		char why[sizeof(t->cert_problem)];
		enum tls_client_judged judged;

		if (ctx == NULL)
			continue;
		judged = tls_client_judge(ctx, pem, &t->cert, why, sizeof(why));
		if (judged == TLS_CLIENT_NO_CERT)
			return "that is no certificate in PEM form";
		if (judged == TLS_CLIENT_REFUSED && t->cert_tls != NULL)
			continue;
		t->cert_tls = l->tls_blocks[i];
		memcpy(t->cert_problem, why, sizeof(why));
		if (judged == TLS_CLIENT_GOOD)
			break;
	}
	if (t->cert_tls == NULL)
		return "that listener asks clients for no certificate: none of its tls blocks has "
		       "client_ca";
	(void)str_copy(c->cert_sha256, sizeof(c->cert_sha256), t->cert.sha256);
	if (t->cert_tls->client_email)
		memcpy(c->cert_emails, t->cert.emails, t->cert.emails_len);
	return NULL;
}
