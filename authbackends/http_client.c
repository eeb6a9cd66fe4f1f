/* SPDX-License-Identifier: ISC */
/*
 * One HTTP server, asked with libcurl: one easy handle for each question under way,
 * kept for the next one with its connection. Process auth, on workers. Must never
 * follow a redirect, use a proxy, skip a certificate's check, or wait beyond the
 * deadline.
 */
#include "authbackends/http_client.h"

#include "authbackends/auth_worker.h"
#include "authbackends/http_trace.h"

#include "base/fs.h"
#include "base/str.h"

#include <curl/curl.h>
#include <errno.h>
#include <malloc.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CA_MAX (4u << 20)
#define CA_SYSTEM "/etc/ssl/certs/ca-certificates.crt"
#define MARGIN_MS 20   /* so that the answer is there when the deadline passes */
#define IDLE_MAX_S 60L /* names may get new addresses */
#define LIFE_MAX_S 600L

struct http_client {
	X509_STORE *store; /* read once, shared by all handles; NULL: plain HTTP */
	pthread_mutex_t lock;
	CURL **idle; /* last in, first out: the warmest connection is used next */
	size_t n_idle, cap_idle;
};

/* One question under way. */
struct asking {
	struct http_answer *answer;
	struct http_facts facts;
	CURL *curl;
	size_t head_bytes;
	bool too_large, encoded;
};

/* ---- memory of libcurl: it holds URLs, bodies and headers with passwords, so it is wiped ------
 */

static void
wiping_free(void *p)
{
	if (p == NULL)
		return;
	explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

static void *
wiping_realloc(void *p, size_t n)
{
	size_t had = p == NULL ? 0 : malloc_usable_size(p);
	void *q = malloc(n == 0 ? 1 : n);

	if (q == NULL || p == NULL)
		return q;
	memcpy(q, p, had < n ? had : n);
	wiping_free(p);
	return q;
}

static int
set_up_library(void)
{
	static bool done; /* backends are opened one after the other */

	if (done)
		return 0;
	/* libcurl would write the keys of each TLS session, and so the passwords, to that file */
	(void)unsetenv("SSLKEYLOGFILE");
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free, wiping_realloc, strdup,
		calloc) != CURLE_OK)
		return -1;
	done = true;
	return 0;
}

/* ---- authorities ------------------------------------------------------------------------------
 */

static X509_STORE *
read_store(const char *path, char *err, size_t errsize)
{
	struct buf text = BUF_INIT;
	STACK_OF(X509_INFO) *infos = NULL;
	X509_STORE *store = NULL;
	BIO *bio = NULL;
	int i, n = 0;

	if (fs_read_file(path, CA_MAX, &text) == -1) {
		(void)str_printf(err, errsize, "cannot read %s: %s", path, strerror(errno));
		goto out;
	}
	bio = BIO_new_mem_buf(buf_data(&text), (int)buf_len(&text));
	if (bio != NULL)
		infos = PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL);
	store = X509_STORE_new();
	for (i = 0; store != NULL && i < sk_X509_INFO_num(infos); i++) {
		X509 *cert = sk_X509_INFO_value(infos, i)->x509;

		if (cert != NULL && X509_STORE_add_cert(store, cert) == 1)
			n++;
	}
	if (n == 0) {
		(void)str_printf(err, errsize, "%s holds no certificate in PEM form", path);
		X509_STORE_free(store);
		store = NULL;
		goto out;
	}
	/* what stands in the file is trusted, be it a root, an authority below it or the server's
	 */
	(void)X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
out:
	sk_X509_INFO_pop_free(infos, X509_INFO_free);
	BIO_free(bio);
	buf_clear(&text);
	ERR_clear_error();
	return store;
}

struct http_client *
http_client_new(const char *ca_file, bool https, char *err, size_t errsize)
{
	struct http_client *h;
	X509_STORE *store = NULL;

	if (set_up_library() == -1) {
		(void)str_copy(err, errsize, "libcurl cannot be set up");
		return NULL;
	}
	if (https &&
	    (store = read_store(ca_file != NULL ? ca_file : CA_SYSTEM, err, errsize)) == NULL)
		return NULL;
	h = xcallocarray(1, sizeof(*h));
	h->store = store;
	pthread_mutex_init(&h->lock, NULL);
	return h;
}

void
http_client_free(struct http_client *h)
{
	size_t i;

	if (h == NULL)
		return;
	for (i = 0; i < h->n_idle; i++)
		curl_easy_cleanup(h->idle[i]);
	free(h->idle);
	X509_STORE_free(h->store);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

static CURL *
take_handle(struct http_client *h)
{
	CURL *curl = NULL;

	pthread_mutex_lock(&h->lock);
	if (h->n_idle > 0)
		curl = h->idle[--h->n_idle];
	pthread_mutex_unlock(&h->lock);
	return curl != NULL ? curl : curl_easy_init();
}

static void
give_back(struct http_client *h, CURL *curl)
{
	curl_easy_reset(curl); /* frees, and so wipes, what was asked; keeps the connection */
	pthread_mutex_lock(&h->lock);
	if (h->n_idle == h->cap_idle) {
		h->cap_idle += 8;
		h->idle = xreallocarray(h->idle, h->cap_idle, sizeof(*h->idle));
	}
	h->idle[h->n_idle++] = curl;
	pthread_mutex_unlock(&h->lock);
}

/* ---- one question -----------------------------------------------------------------------------
 */

/* Verifies against our store: nothing can be opened in the sandbox, and parsing costs. */
static CURLcode
use_store(CURL *curl, void *ctx, void *arg)
{
	struct http_client *h = arg;

	(void)curl;
	if (h->store == NULL)
		return CURLE_SSL_CACERT_BADFILE;
	SSL_CTX_set1_cert_store(ctx, h->store);
	return CURLE_OK;
}

static size_t
on_header(char *data, size_t one, size_t n, void *arg)
{
	struct asking *q = arg;
	struct curl_tlssessioninfo *tls = NULL;
	struct span line = {data, n};

	(void)one;
	if (q->head_bytes == 0 &&
	    curl_easy_getinfo(q->curl, CURLINFO_TLS_SSL_PTR, &tls) == CURLE_OK && tls != NULL &&
	    tls->backend == CURLSSLBACKEND_OPENSSL && tls->internals != NULL)
		http_trace_peer(tls->internals, q->facts.peer, sizeof(q->facts.peer));
	q->head_bytes += n;
	if (q->head_bytes > HTTP_HEAD_MAX) {
		q->too_large = true;
		return 0;
	}
	/* nothing was said to be understood: such a body could not be compared */
	q->encoded |= span_starts_nocase(line, "content-encoding:");
	return n;
}

static size_t
on_body(char *data, size_t one, size_t n, void *arg)
{
	struct asking *q = arg;

	(void)one;
	if (n > HTTP_BODY_MAX - buf_len(&q->answer->body)) {
		q->too_large = true;
		return 0;
	}
	buf_add(&q->answer->body, data, n);
	return n;
}

#define SET(option, value)                                                                         \
	do {                                                                                       \
		if (curl_easy_setopt(curl, (option), (value)) != CURLE_OK)                         \
			return -1;                                                                 \
	} while (0)

/* What is the same for all questions. -1: the library cannot do it. */
static int
set_rules(struct http_client *h, CURL *curl)
{
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, h->store != NULL ? "https" : "http");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_HTTP09_ALLOWED, 0L);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_CAINFO, NULL);
	SET(CURLOPT_CAPATH, NULL);
	SET(CURLOPT_SSL_CTX_FUNCTION, use_store);
	SET(CURLOPT_SSL_CTX_DATA, h);
	SET(CURLOPT_MAXCONNECTS, 1L);
	SET(CURLOPT_MAXAGE_CONN, IDLE_MAX_S);
	SET(CURLOPT_MAXLIFETIME_CONN, LIFE_MAX_S);
	SET(CURLOPT_TCP_NODELAY, 1L);
	SET(CURLOPT_MAXFILESIZE, (long)HTTP_BODY_MAX);
	/* a look-up that hangs must not hold the worker beyond its deadline */
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_USERAGENT, "submitd/" SUBMITD_VERSION);
	return 0;
}

static int
set_question(CURL *curl, const struct http_request *r, struct asking *q, char *errors,
    struct curl_slist *headers)
{
	int64_t left = r->deadline_ms - auth_clock_ms() - MARGIN_MS;

	SET(CURLOPT_URL, r->url);
	SET(CURLOPT_TIMEOUT_MS, (long)(left > 0 ? left : 1));
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(left > 0 ? left : 1));
	if (r->post) {
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDS, r->body.n == 0 ? "" : r->body.p);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
	}
	SET(CURLOPT_HTTPHEADER, headers);
	if (r->user != NULL) {
		SET(CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
		SET(CURLOPT_USERNAME, r->user);
		SET(CURLOPT_PASSWORD, r->password);
	}
	SET(CURLOPT_ERRORBUFFER, errors);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, q);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, q);
	return 0;
}

/* *out is the caller's also on failure. */
static int
add_header(struct curl_slist **out, const char *line)
{
	struct curl_slist *more = curl_slist_append(*out, line);

	if (more == NULL)
		return -1;
	*out = more;
	return 0;
}

static int
make_headers(const struct http_request *r, struct curl_slist **out)
{
	char type[100];

	if (r->json && add_header(out, "Accept: application/json") == -1)
		return -1;
	if (!r->post)
		return 0;
	if (str_printf(type, sizeof(type), "Content-Type: %s", r->content_type) == -1)
		return -1;
	/* an empty Expect: no wait for 100 */
	return add_header(out, type) == -1 ? -1 : add_header(out, "Expect:");
}

/* Why there is no answer: never what libcurl was given. */
static void
explain(const struct asking *q, CURLcode rc, const char *errors, struct http_answer *a)
{
	const char *why = curl_easy_strerror(rc);

	if (q->too_large || rc == CURLE_FILESIZE_EXCEEDED)
		why = "the answer is too large";
	else if (rc == CURLE_OPERATION_TIMEDOUT)
		why = "no answer in time";
	else if ((rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_CONNECT_ERROR) &&
		 errors[0] != '\0')
		why = errors;
	a->operator_must_act =
	    rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_CACERT_BADFILE;
	if (str_copy(a->error, sizeof(a->error), why) == -1)
		(void)str_copy_span(
		    a->error, sizeof(a->error), (struct span){why, sizeof(a->error) - 1});
	a->status = 0;
	buf_reset(&a->body);
}

void
http_client_ask(struct http_client *h, const struct http_request *r, struct http_answer *a,
    struct auth_check *c)
{
	struct asking q = {.answer = a};
	struct curl_slist *headers = NULL;
	char errors[CURL_ERROR_SIZE] = "";
	CURLcode rc = CURLE_OUT_OF_MEMORY;
	int64_t start = auth_clock_ms();
	long connects = 1;

	a->body.wipes = true; /* servers repeat what they were sent */
	q.curl = take_handle(h);
	if (q.curl == NULL) {
		(void)str_copy(a->error, sizeof(a->error), "libcurl has no handle");
		return;
	}
	if (make_headers(r, &headers) == 0 && set_rules(h, q.curl) == 0 &&
	    set_question(q.curl, r, &q, errors, headers) == 0)
		rc = curl_easy_perform(q.curl);
	if (rc == CURLE_OK)
		rc = curl_easy_getinfo(q.curl, CURLINFO_RESPONSE_CODE, &a->status);
	(void)curl_easy_getinfo(q.curl, CURLINFO_NUM_CONNECTS, &connects);
	give_back(h, q.curl);
	curl_slist_free_all(headers);
	if (rc != CURLE_OK || a->status == 0)
		explain(&q, rc, errors, a);
	else if (q.encoded) {
		(void)str_copy(
		    a->error, sizeof(a->error), "the answer is compressed, which nobody asked for");
		a->status = 0;
	}
	q.facts.ms = auth_clock_ms() - start;
	q.facts.kept = connects == 0;
	(void)str_copy(c->tls_peer, sizeof(c->tls_peer), q.facts.peer);
	http_trace_answer(c, r, a, &q.facts);
}

void
http_answer_clear(struct http_answer *a)
{
	buf_wipe(&a->body);
	*a = (struct http_answer){0};
}
