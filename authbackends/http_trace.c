/* SPDX-License-Identifier: ISC */
/*
 * What auth-test shows of an HTTP server: never a password, also where the server
 * sends it back. Process auth, on workers. Pure but for the trace it adds to.
 */
#include "authbackends/http_trace.h"

#include "base/enc.h"
#include "base/list.h"
#include "base/str.h"
#include "base/url.h"

#include <openssl/bio.h>
#include <openssl/x509.h>
#include <string.h>

#define FORMS 4 /* of a password: as it is, in a URL, in JSON, in Basic */

void
http_trace_peer(const SSL *ssl, char *out, size_t size)
{
	X509 *cert = SSL_get1_peer_certificate(ssl);
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL;
	long n = 0;
	char subject[160] = "";

	if (cert != NULL && bio != NULL &&
	    X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) != -1)
		n = BIO_get_mem_data(bio, &text);
	if (n > 0) {
		size_t fits = (size_t)n < sizeof(subject) - 1 ? (size_t)n : sizeof(subject) - 1;

		(void)str_copy_span(subject, sizeof(subject), (struct span){text, fits});
	}
	(void)str_printf(out, size, "%s %s", SSL_get_version(ssl), subject);
	BIO_free(bio);
	X509_free(cert);
}

static void
make_forms(struct buf forms[FORMS], const struct auth_check *c)
{
	struct span password = {c->password.data, c->password.len}, s;
	struct buf quoted = BUF_INIT;

	buf_add_span(&forms[0], password);
	url_encode(&forms[1], password);
	json_add_str(&quoted, password);
	s = buf_span(&quoted);
	buf_add(&forms[2], s.p + 1, s.n - 2);
	buf_wipe(&quoted);
	buf_addf(&quoted, "%s:", c->login);
	buf_add_span(&quoted, password);
	base64_encode(&forms[3], buf_data(&quoted), buf_len(&quoted));
	buf_wipe(&quoted);
}

/* Octets of a form of the password at the front of s, 0: none. */
static size_t
form_at(const struct buf forms[FORMS], struct span s)
{
	size_t i, longest = 0;

	for (i = 0; i < FORMS; i++) {
		struct span f = buf_span(&forms[i]);

		if (f.n > longest && f.n <= s.n && memcmp(s.p, f.p, f.n) == 0)
			longest = f.n;
	}
	return longest;
}

void
http_trace_shown(struct buf *out, struct span said, const struct auth_check *c)
{
	struct buf forms[FORMS] = {BUF_INIT, BUF_INIT, BUF_INIT, BUF_INIT};
	size_t before = buf_len(out), i, n;

	if (c->password.len > 0)
		make_forms(forms, c);
	for (i = 0; i < said.n; i++) {
		unsigned char ch = (unsigned char)said.p[i];

		if (buf_len(out) - before >= HTTP_SHOWN_MAX) {
			buf_add_str(out, "...");
			break;
		}
		n = form_at(forms, (struct span){said.p + i, said.n - i});
		if (n > 0) {
			buf_add_str(out, "***");
			i += n - 1;
		} else if (ch == '\n') {
			buf_add_str(out, "\\n");
		} else if (ch < 0x20 || ch >= 0x7f || ch == '\\') {
			buf_addf(out, "\\x%02x", ch);
		} else {
			buf_add_byte(out, ch);
		}
	}
	for (i = 0; i < FORMS; i++)
		buf_wipe(&forms[i]);
}

void
http_trace_answer(struct auth_check *c, const struct http_request *r, const struct http_answer *a,
    const struct http_facts *f)
{
	struct buf shown = BUF_INIT;

	if (!c->want_trace)
		return;
	auth_check_trace(c, "%s %.*s%s", r->post ? "POST" : "GET", (int)r->shown_url.n,
	    r->shown_url.p, r->user != NULL ? " with Basic authentication" : "");
	if (f->peer[0] != '\0')
		auth_check_trace(c, "TLS: %s%s", f->peer, f->kept ? " (a kept connection)" : "");
	if (a->status == 0) {
		auth_check_trace(c, "no answer after %lld ms: %s", (long long)f->ms, a->error);
		return;
	}
	http_trace_shown(&shown, buf_span(&a->body), c);
	auth_check_trace(c, "status %ld after %lld ms, %zu octets: %s", a->status, (long long)f->ms,
	    buf_len(&a->body), buf_cstr(&shown));
	buf_wipe(&shown);
}
