/* SPDX-License-Identifier: ISC */
/*
 * Lets libldap speak over a stream of ours: each wait has a deadline, what is read is
 * bounded and looked at, TLS is the same as everywhere. Process auth (and lookup), on
 * workers. Must never wait in a read, and never leave a request, which may hold a
 * password, in memory that it has sent.
 */
#include "authbackends/ldap_wire.h"

#include "base/str.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

#include <openssl/err.h>

#define ADDRESSES_MAX 8u

int
ldap_wire_connect(struct ldap_wire *w, const struct ldap_uri *uri, int64_t deadline_ms)
{
	struct net_addr to[ADDRESSES_MAX];
	char text[NET_ADDR_TEXT], why[sizeof(w->s.error)];
	size_t n, i;

	*w = (struct ldap_wire){.s = STREAM_INIT};
	n = stream_resolve(
	    uri->host, uri->port, deadline_ms, to, ADDRESSES_MAX, w->s.error, sizeof(w->s.error));
	for (i = 0; i < n; i++) {
		if (stream_connect(&w->s, &to[i], NULL, deadline_ms) == 0)
			return 0;
		(void)str_copy(why, sizeof(why), w->s.error);
		net_addr_format(&to[i], text);
		(void)str_printf(
		    w->s.error, sizeof(w->s.error), "connect to %s: %.150s", text, why);
		stream_close(&w->s);
	}
	return -1;
}

int
ldap_wire_tls(struct ldap_wire *w, SSL_CTX *ctx, const char *host)
{
	if (stream_start_tls(&w->s, ctx, host) == -1)
		return -1;
	/* libldap polls the socket: what OpenSSL had read ahead would not show there */
	SSL_set_read_ahead(w->s.ssl, 0);
	/* one record a turn: endless tickets or key updates end at the deadline, too */
	SSL_clear_mode(w->s.ssl, SSL_MODE_AUTO_RETRY);
	tls_peer_text(w->s.ssl, w->peer, sizeof(w->peer));
	return 0;
}

void
ldap_wire_close(struct ldap_wire *w)
{
	stream_close(&w->s);
}

/* What OpenSSL has decrypted already shows in no poll(). */
static bool
is_decrypted(const struct ldap_wire *w)
{
	return w->s.ssl != NULL && SSL_pending(w->s.ssl) > 0;
}

bool
ldap_wire_is_stale(const struct ldap_wire *w)
{
	struct pollfd p = {.fd = w->s.fd, .events = POLLIN};

	return is_decrypted(w) || poll(&p, 1, 0) != 0;
}

bool
ldap_wire_wait(const struct ldap_wire *w)
{
	struct pollfd p = {.fd = w->s.fd, .events = POLLIN};
	int64_t left;
	int rc;

	do {
		left = w->s.deadline_ms - stream_clock_ms();
		if (left <= 0)
			return false;
		if (is_decrypted(w))
			return true;
		rc = poll(&p, 1, left < INT_MAX ? (int)left : INT_MAX);
	} while (rc == 0 || (rc == -1 && errno == EINTR));
	return true; /* what is wrong shows in the read */
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
	(void)d, (void)arg;
	/* "yes", so that it reads at once and never polls: ldap_wire_wait() does */
	return opt == LBER_SB_OPT_DATA_READY;
}

/* As recv(): -1 with EAGAIN when there is nothing yet. */
static ssize_t
read_tls(SSL *ssl, void *p, size_t n)
{
	int got, what;

	ERR_clear_error();
	errno = 0;
	got = SSL_read(ssl, p, n > 65536 ? 65536 : (int)n);
	if (got > 0)
		return got;
	what = SSL_get_error(ssl, got);
	if (what == SSL_ERROR_ZERO_RETURN || (what == SSL_ERROR_SYSCALL && errno == 0))
		return 0;
	if (what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE)
		errno = EAGAIN;
	else if (what != SSL_ERROR_SYSCALL)
		errno = ECONNRESET;
	ERR_clear_error();
	return -1;
}

/* Never waits. What libldap must not see it does not get, and nothing behind that. */
static ber_slen_t
wire_read(Sockbuf_IO_Desc *d, void *p, ber_len_t n)
{
	struct ldap_wire *w = d->sbiod_pvt;
	ssize_t got;

	if (n > w->budget)
		n = w->budget;
	if (n == 0 || stream_clock_ms() >= w->s.deadline_ms) {
		errno = n == 0 ? EMSGSIZE : ETIMEDOUT;
		return -1;
	}
	got = w->s.ssl == NULL ? recv(w->s.fd, p, n, 0) : read_tls(w->s.ssl, p, n);
	if (got > 0)
		w->budget -= (size_t)got;
	else if (got == 0 || errno != EAGAIN)
		(void)str_copy(w->s.error, sizeof(w->s.error), "the connection is over");
	if (got <= 0 || ldap_gate_pass(&w->gate, p, (size_t)got) == 0)
		return got;
	(void)str_copy(w->s.error, sizeof(w->s.error), w->gate.refused);
	errno = EPROTO;
	return -1;
}

/*
 * What was sent is wiped where it stood: the request of a bind holds a password, libldap
 * frees it as it is, and without referrals never looks at it again.
 */
static ber_slen_t
wire_write(Sockbuf_IO_Desc *d, void *p, ber_len_t n)
{
	struct ldap_wire *w = d->sbiod_pvt;
	int rc = stream_write(&w->s, p, n);

	explicit_bzero(p, n);
	if (rc == 0)
		return (ber_slen_t)n;
	errno = ETIMEDOUT;
	return -1;
}

static int
wire_close(Sockbuf_IO_Desc *d)
{
	(void)d; /* ldap_wire_close() does */
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
