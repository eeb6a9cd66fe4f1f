/* SPDX-License-Identifier: ISC */
/*
 * Streams: in clear and with TLS, pieces and bulk, pauses, deadlines and ends. Both
 * ends run in one loop over a socketpair. And the wake-up of a loop by a thread.
 */
#include "base/ev.h"
#include "base/io.h"
#include "base/net.h"
#include "base/str.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

struct end {
	struct io *io;
	struct buf got;
	size_t take_max; /* at most so many bytes per call; 0: all */
	bool up, eof, error, timeout, drained;
	char text[256];
	size_t stop_at; /* stops the loop once so much was received */
};

static size_t
on_data(void *arg, const uint8_t *p, size_t n)
{
	struct end *e = arg;

	if (e->take_max > 0 && n > e->take_max)
		n = e->take_max;
	buf_add(&e->got, p, n);
	if (e->stop_at > 0 && buf_len(&e->got) >= e->stop_at)
		ev_stop();
	if (e->take_max > 0) {
		io_pause(e->io);
		io_resume(e->io);
	}
	return n;
}

static void
on_event(void *arg, enum io_event what)
{
	struct end *e = arg;

	switch (what) {
	case IO_CONNECTED:
		break;
	case IO_TLS_UP:
		e->up = true;
		break;
	case IO_DRAINED:
		e->drained = true;
		break;
	case IO_EOF:
		e->eof = true;
		ev_stop();
		break;
	case IO_ERROR:
		e->error = true;
		ev_stop();
		break;
	case IO_TIMEOUT:
		e->timeout = true;
		ev_stop();
		break;
	}
	(void)str_copy(e->text, sizeof(e->text), io_error_text(e->io));
}

static const struct io_ops ops = {on_data, on_event};

static void
open_pair(struct end *a, struct end *b)
{
	int fds[2];

	memset(a, 0, sizeof(*a));
	memset(b, 0, sizeof(*b));
	assert_int_equal(ev_init(), 0);
	assert_int_equal(net_socketpair(fds), 0);
	a->io = io_new(fds[0], false, &ops, a);
	b->io = io_new(fds[1], false, &ops, b);
}

static void
stop_loop(void *arg)
{
	(void)arg;
	ev_stop();
}

static void
close_pair(struct end *a, struct end *b)
{
	io_free(a->io);
	io_free(b->io);
	buf_clear(&a->got);
	buf_clear(&b->got);
	/* a finished stream sees its peer go, and what waits for the end of a turn is freed */
	struct ev_timer t = {0};
	ev_timer_set(&t, 50, stop_loop, NULL);
	ev_restart();
	ev_run();
	ev_done();
}

/* ev_stop() is for good in a process: a test goes on. */
static void
ev_again(void)
{
	ev_restart();
	ev_run();
}

static void
bulk_arrives_whole(void **state)
{
	struct end a, b;
	struct buf big = BUF_INIT;

	(void)state;
	open_pair(&a, &b);
	for (uint32_t i = 0; i < 1000000; i++)
		buf_put_u32(&big, i);
	b.stop_at = buf_len(&big);
	b.take_max = 50000;
	io_write_buf(a.io, &big);
	assert_int_equal(buf_len(&big), 0);
	ev_run();
	assert_int_equal(buf_len(&b.got), 4000000);
	for (uint32_t i = 0; i < 1000000; i++)
		assert_memory_equal(buf_data(&b.got) + 4 * i, &i, 4);
	buf_clear(&big);
	close_pair(&a, &b);
}

static void
silence_meets_its_deadline(void **state)
{
	struct end a, b;

	(void)state;
	open_pair(&a, &b);
	io_deadline(a.io, 10000);
	io_deadline(a.io, 30); /* an earlier one counts too */
	ev_run();
	assert_true(a.timeout);
	close_pair(&a, &b);
}

static void
last_words_arrive(void **state)
{
	struct end a, b;

	(void)state;
	open_pair(&a, &b);
	io_write(a.io, "221 bye\r\n", 9);
	io_finish(a.io);
	a.io = NULL;
	ev_run();
	assert_true(b.eof);
	assert_true(span_eq(buf_span(&b.got), "221 bye\r\n"));
	close_pair(&a, &b);
}

/* A throw-away certificate for localhost, as PEM. */
static void
make_cert(char **cert, char **key)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	char *p;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, pkey);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
	    (const unsigned char *)"localhost", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_sign(x, pkey, EVP_sha256());
	BIO *b = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(b, x);
	long n = BIO_get_mem_data(b, &p);
	*cert = xstrndup(p, (size_t)n);
	(void)BIO_reset(b);
	PEM_write_bio_PrivateKey(b, pkey, NULL, NULL, 0, NULL, NULL);
	n = BIO_get_mem_data(b, &p);
	*key = xstrndup(p, (size_t)n);
	BIO_free(b);
	X509_free(x);
	EVP_PKEY_free(pkey);
}

static void
tls_carries_words_and_bulk(void **state)
{
	struct end a, b;
	char *cert, *key, err[200];
	struct buf big = BUF_INIT;

	(void)state;
	make_cert(&cert, &key);
	struct tls_server_options o = {.cert_pem = cert, .key_pem = key};
	SSL_CTX *server = tls_server_new(&o, err, sizeof(err));
	SSL_CTX *client = tls_client_new(NULL, false, err, sizeof(err));
	assert_non_null(server);
	assert_non_null(client);
	open_pair(&a, &b);
	/* words in clear leave before the handshake */
	io_write(a.io, "220 go\r\n", 8);
	b.stop_at = 8;
	assert_int_equal(io_tls_accept(a.io, server), 0);
	ev_run();
	assert_true(span_eq(buf_span(&b.got), "220 go\r\n"));
	buf_reset(&b.got);
	assert_int_equal(io_tls_connect(b.io, client, "localhost"), 0);
	memset(buf_reserve(&big, 3000000), 'x', 3000000);
	buf_commit(&big, 3000000);
	a.stop_at = 3000000;
	io_write_buf(b.io, &big); /* waits for the handshake */
	ev_again();
	assert_true(a.up && b.up);
	assert_string_equal(io_tls_facts(a.io)->version, "TLSv1.3");
	assert_string_equal(io_tls_facts(a.io)->sni, "localhost");
	assert_int_equal(buf_len(&a.got), 3000000);
	/* words said just before the end are heard before the end */
	b.stop_at = 0;
	io_write(a.io, "221 bye\r\n", 9);
	io_finish(a.io);
	a.io = NULL;
	ev_again();
	assert_true(b.eof);
	assert_true(span_eq(buf_span(&b.got), "221 bye\r\n"));
	close_pair(&a, &b);
	buf_clear(&big);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	free(cert);
	free(key);
}

static void
a_stranger_is_not_verified(void **state)
{
	struct end a, b;
	char *cert, *key, err[200];

	(void)state;
	make_cert(&cert, &key);
	struct tls_server_options o = {.cert_pem = cert, .key_pem = key};
	SSL_CTX *server = tls_server_new(&o, err, sizeof(err));
	SSL_CTX *client = tls_client_new(NULL, true, err, sizeof(err));
	if (client == NULL)
		skip(); /* no authorities on this machine */
	open_pair(&a, &b);
	assert_int_equal(io_tls_accept(a.io, server), 0);
	assert_int_equal(io_tls_connect(b.io, client, "localhost"), 0);
	ev_run();
	assert_true(b.error);
	assert_non_null(strstr(b.text, "certificate"));
	close_pair(&a, &b);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	free(cert);
	free(key);
}

static void
keys_must_fit(void **state)
{
	char *cert, *key, *cert2, *key2, err[200] = "";
	long long not_after = 0;

	(void)state;
	make_cert(&cert, &key);
	make_cert(&cert2, &key2);
	assert_int_equal(tls_check_pair(cert, key, &not_after, err, sizeof(err)), 0);
	assert_true(not_after > 0);
	assert_int_equal(tls_check_pair(cert, key2, &not_after, err, sizeof(err)), -1);
	assert_non_null(strstr(err, "does not belong"));
	assert_int_equal(tls_check_pair("rubbish", key2, &not_after, err, sizeof(err)), -1);
	assert_int_equal(tls_check_pair(cert, "rubbish", &not_after, err, sizeof(err)), -1);
	free(cert);
	free(key);
	free(cert2);
	free(key2);
}

#define WAKES 200u

static struct ev_wake *wake;
static unsigned n_woken;

static void *
fire(void *arg)
{
	(void)arg;
	ev_wake_fire(wake);
	return NULL;
}

static void
on_wake(void *arg)
{
	(void)arg;
	n_woken++;
	ev_stop();
}

/* Nobody reads the count: each time that somebody fires must wake the loop all the same. */
static void
each_fire_wakes_the_loop(void **state)
{
	struct ev_timer late = {0};
	pthread_t t;

	(void)state;
	n_woken = 0;
	assert_int_equal(ev_init(), 0);
	wake = ev_wake_new(on_wake, NULL);
	for (unsigned i = 1; i <= WAKES; i++) {
		ev_timer_set(&late, 20000, stop_loop, NULL);
		assert_int_equal(pthread_create(&t, NULL, fire, NULL), 0);
		ev_again();
		assert_int_equal(n_woken, i);
		pthread_join(t, NULL);
	}
	/* what is over wakes nobody, and several at once do at least once */
	ev_timer_set(&late, 30, stop_loop, NULL);
	ev_again();
	assert_int_equal(n_woken, WAKES);
	ev_wake_fire(wake);
	ev_wake_fire(wake);
	ev_timer_set(&late, 20000, stop_loop, NULL);
	ev_again();
	assert_int_equal(n_woken, WAKES + 1);
	ev_timer_clear(&late);
	ev_wake_free(wake);
	ev_done();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bulk_arrives_whole),
	    cmocka_unit_test(silence_meets_its_deadline),
	    cmocka_unit_test(last_words_arrive),
	    cmocka_unit_test(tls_carries_words_and_bulk),
	    cmocka_unit_test(a_stranger_is_not_verified),
	    cmocka_unit_test(keys_must_fit),
	    cmocka_unit_test(each_fire_wakes_the_loop),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
