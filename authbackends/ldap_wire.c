/* SPDX-License-Identifier: ISC */
/*
 * Sockets and TLS for libldap, with a deadline on each wait and a bound on what is
 * read. Process auth (and lookup), on workers. Must never block longer than until
 * the deadline, and never talk to a server whose certificate is not right.
 */
#include "authbackends/ldap_wire.h"

#include "authbackends/auth_worker.h"
#include "base/net.h"
#include "base/str.h"
#include "base/tls.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

/* 0 when the socket is ready; -1 with ETIMEDOUT. Errors of the socket show at the next call. */
static int
wire_wait(const struct ldap_wire *w, short events)
{
	struct pollfd p = {.fd = w->fd, .events = events};
	int64_t left;
	int n;

	for (;;) {
		left = w->deadline_ms - auth_clock_ms();
		if (left <= 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		n = poll(&p, 1, left > 60000 ? 60000 : (int)left);
		if (n > 0)
			return 0;
		if (n == -1 && errno != EINTR)
			return -1;
	}
}

/* -1: sets err. */
static int
connect_one(struct ldap_wire *w, const struct net_addr *to, char *err, size_t errsize)
{
	char text[NET_ADDR_TEXT];
	socklen_t size = sizeof(int);
	int error = 0;

	w->fd = net_connect_start(to, NULL);
	if (w->fd == -1 || wire_wait(w, POLLOUT) == -1)
		error = errno;
	else if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &size) == -1)
		error = errno;
	if (error == 0)
		return 0;
	if (w->fd != -1)
		close(w->fd);
	w->fd = -1;
	net_addr_format(to, text);
	(void)str_printf(err, errsize, "connect to %s: %s", text, strerror(error));
	return -1;
}

struct ldap_wire *
ldap_wire_connect(const struct ldap_uri *uri, int64_t deadline_ms, char *err, size_t errsize)
{
	struct ldap_wire *w = xcallocarray(1, sizeof(*w));
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *all, *a;
	struct net_addr to;
	char port[8];
	int rc;

	w->fd = -1;
	w->deadline_ms = deadline_ms;
	(void)str_printf(port, sizeof(port), "%u", (unsigned)uri->port);
	rc = getaddrinfo(uri->host, port, &hints, &all);
	if (rc != 0) {
		(void)str_printf(err, errsize, "%s: %s", uri->host,
		    rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
		free(w);
		return NULL;
	}
	(void)str_copy(err, errsize, "the host has no address");
	for (a = all; a != NULL && w->fd == -1; a = a->ai_next)
		if (net_addr_from_sockaddr(&to, a->ai_addr) == 0)
			(void)connect_one(w, &to, err, errsize);
	freeaddrinfo(all);
	if (w->fd != -1)
		return w;
	free(w);
	return NULL;
}

/* ---- TLS ------------------------------------------------------------------------------------- */

/* The name the certificate must have, and SNI, which takes no addresses. */
static int
set_name(SSL *ssl, const char *host)
{
	struct net_addr ip;

	if (net_addr_parse_ip(span_of(host), &ip) == 0)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1 ? 0 : -1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1 ? 0 : -1;
}

static void
note_peer(struct ldap_wire *w)
{
	X509 *cert = SSL_get1_peer_certificate(w->ssl);
	struct tls_facts f;
	char subject[120] = "";

	if (cert != NULL)
		(void)X509_NAME_oneline(X509_get_subject_name(cert), subject, (int)sizeof(subject));
	X509_free(cert);
	tls_facts_from(&f, w->ssl);
	(void)snprintf(w->peer, sizeof(w->peer), "%s %s %s", f.version, f.cipher, subject);
}

static void
handshake_error(const SSL *ssl, int what, char *err, size_t errsize)
{
	long verify = SSL_get_verify_result(ssl);
	char why[160];

	if (verify != X509_V_OK) {
		(void)str_printf(
		    err, errsize, "TLS: certificate: %s", X509_verify_cert_error_string(verify));
		ERR_clear_error();
	} else if (what == SSL_ERROR_SYSCALL || what == SSL_ERROR_ZERO_RETURN) {
		(void)str_printf(err, errsize, "TLS handshake: %s",
		    errno != 0 ? strerror(errno) : "the server closed the connection");
	} else {
		tls_error_text(why, sizeof(why));
		(void)str_printf(err, errsize, "TLS handshake: %s", why);
	}
}

int
ldap_wire_tls(struct ldap_wire *w, SSL_CTX *ctx, const char *host, char *err, size_t errsize)
{
	int rc, what;

	ERR_clear_error();
	w->ssl = SSL_new(ctx);
	if (w->ssl == NULL || set_name(w->ssl, host) == -1 || SSL_set_fd(w->ssl, w->fd) != 1) {
		tls_error_text(err, errsize);
		return -1;
	}
	for (;;) {
		errno = 0;
		rc = SSL_connect(w->ssl);
		if (rc == 1)
			break;
		what = SSL_get_error(w->ssl, rc);
		if ((what != SSL_ERROR_WANT_READ && what != SSL_ERROR_WANT_WRITE) ||
		    wire_wait(w, what == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT) == -1) {
			handshake_error(w->ssl, what, err, errsize);
			if (errno == ETIMEDOUT)
				(void)str_copy(err, errsize, "TLS handshake: no answer in time");
			return -1;
		}
	}
	note_peer(w);
	return 0;
}

/* ---- what libldap calls ---------------------------------------------------------------------- */

static int
wire_setup(Sockbuf_IO_Desc *d, void *arg)
{
	d->sbiod_pvt = arg;
	return 0;
}

static int
wire_remove(Sockbuf_IO_Desc *d)
{
	d->sbiod_pvt = NULL;
	return 0;
}

static int
wire_ctrl(Sockbuf_IO_Desc *d, int opt, void *arg)
{
	const struct ldap_wire *w = d->sbiod_pvt;

	(void)arg;
	/* what OpenSSL has decrypted already shows in no poll() */
	return opt == LBER_SB_OPT_DATA_READY && w->ssl != NULL && SSL_pending(w->ssl) > 0;
}

/* The result of a call of OpenSSL as that of read() or write(). */
static ssize_t
tls_result(struct ldap_wire *w, int n, short *wants)
{
	int what = n > 0 ? SSL_ERROR_NONE : SSL_get_error(w->ssl, n);

	if (what == SSL_ERROR_NONE)
		return n;
	if (what == SSL_ERROR_ZERO_RETURN)
		return 0;
	ERR_clear_error();
	if (what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE) {
		*wants = what == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
		errno = EAGAIN;
		return -1;
	}
	if (what != SSL_ERROR_SYSCALL || errno == 0 || errno == EAGAIN)
		errno = ECONNRESET;
	return -1;
}

/* Never waits: libldap polls and keeps the time. */
static ber_slen_t
wire_read(Sockbuf_IO_Desc *d, void *p, ber_len_t n)
{
	struct ldap_wire *w = d->sbiod_pvt;
	short wants = POLLIN;
	ssize_t got;

	if (n > w->budget)
		n = w->budget;
	if (n == 0 || auth_clock_ms() >= w->deadline_ms) {
		errno = n == 0 ? EMSGSIZE : ETIMEDOUT;
		return -1;
	}
	errno = 0;
	got = w->ssl == NULL ? recv(w->fd, p, n, 0)
	                     : tls_result(w, SSL_read(w->ssl, p, (int)n), &wants);
	if (got == -1 && errno == EAGAIN && wants == POLLOUT && wire_wait(w, POLLOUT) == 0)
		errno = EAGAIN; /* libldap looks for input only: turn once more */
	if (got > 0)
		w->budget -= (size_t)got;
	return got;
}

/*
 * What was sent is wiped where it stood: the request of a bind holds a password, libldap
 * frees it as it is, and without referrals never looks at it again.
 */
static ber_slen_t
wire_write(Sockbuf_IO_Desc *d, void *p, ber_len_t n)
{
	struct ldap_wire *w = d->sbiod_pvt;
	short wants;
	ssize_t put;

	for (;;) {
		if (auth_clock_ms() >= w->deadline_ms) {
			errno = ETIMEDOUT;
			return -1;
		}
		wants = POLLOUT;
		errno = 0;
		put = w->ssl == NULL ? send(w->fd, p, n, MSG_NOSIGNAL)
		                     : tls_result(w, SSL_write(w->ssl, p, (int)n), &wants);
		if (put > 0)
			explicit_bzero(p, (size_t)put);
		if (put != -1 || errno != EAGAIN)
			return put;
		if (wire_wait(w, wants) == -1)
			return -1;
	}
}

static int
wire_close(Sockbuf_IO_Desc *d)
{
	(void)d; /* ldap_wire_free() does */
	return 0;
}

Sockbuf_IO ldap_wire_io = {
    .sbi_setup = wire_setup,
    .sbi_remove = wire_remove,
    .sbi_ctrl = wire_ctrl,
    .sbi_read = wire_read,
    .sbi_write = wire_write,
    .sbi_close = wire_close,
};

bool
ldap_wire_is_stale(const struct ldap_wire *w)
{
	struct pollfd p = {.fd = w->fd, .events = POLLIN};

	return poll(&p, 1, 0) != 0;
}

void
ldap_wire_free(struct ldap_wire *w)
{
	if (w == NULL)
		return;
	if (w->ssl != NULL && SSL_is_init_finished(w->ssl))
		(void)SSL_shutdown(w->ssl); /* our half; an error is no news */
	ERR_clear_error();
	SSL_free(w->ssl);
	if (w->fd != -1)
		close(w->fd);
	free(w);
}
