/* SPDX-License-Identifier: ISC */
/*
 * Blocking TCP and TLS with one deadline for all, for worker threads (process auth). The socket
 * never blocks: poll() waits, and only as long as there is time. Must never be used in an event
 * loop, and never put what the peer said into an error text.
 */
#include "base/stream.h"

#include "base/str.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <resolv.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>

int64_t
stream_clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- names ----------------------------------------------------------------------------------- */

/* getaddrinfo() cannot be interrupted, but the resolver of each thread can be told to be quick. */
void
stream_limit_lookups(int64_t deadline_ms)
{
	int64_t servers, seconds;

	if (res_init() == -1)
		return;
	servers = _res.nscount > 0 ? _res.nscount : 1;
	seconds = (deadline_ms - stream_clock_ms()) / 1000 / servers;
	_res.retrans = (int)(seconds < 1 ? 1 : seconds > 30 ? 30 : seconds);
	_res.retry = 1;
	_res.options &= ~(unsigned long)(RES_DNSRCH | RES_DEFNAMES);
}

size_t
stream_resolve(const char *host, uint16_t port, int64_t deadline_ms, struct net_addr *out,
    size_t max, char *err, size_t errsize)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	int64_t left = deadline_ms - stream_clock_ms();
	size_t n = 0;
	int rc;

	if (max > 0 && net_addr_parse_ip(span_of(host), &out[0]) == 0) {
		out[0].port = port;
		return 1;
	}
	if (left <= 0) {
		(void)str_printf(err, errsize, "no time left to look up its address");
		return 0;
	}
	stream_limit_lookups(deadline_ms);
	rc = getaddrinfo(host, NULL, &hints, &list);
	for (struct addrinfo *a = list; rc == 0 && a != NULL && n < max; a = a->ai_next) {
		if (net_addr_from_sockaddr(&out[n], a->ai_addr) == -1)
			continue;
		out[n++].port = port;
	}
	if (list != NULL)
		freeaddrinfo(list);
	if (n == 0)
		(void)str_printf(err, errsize, "address: %s", rc == 0 ? "none" : gai_strerror(rc));
	return n;
}

/* ---- waiting --------------------------------------------------------------------------------- */

static int
fail(struct stream *s, const char *text)
{
	/* cut where it does not fit: it is for people */
	(void)snprintf(s->error, sizeof(s->error), "%s", text);
	return -1;
}

/* events: POLLIN or POLLOUT. */
static int
wait_for(struct stream *s, short events, const char *what)
{
	struct pollfd p = {.fd = s->fd, .events = events};
	char text[128];

	for (;;) {
		int64_t left = s->deadline_ms - stream_clock_ms();
		int rc;

		if (left <= 0) {
			(void)str_printf(text, sizeof(text), "%s: no answer in time", what);
			return fail(s, text);
		}
		rc = poll(&p, 1, left > 60000 ? 60000 : (int)left);
		if (rc > 0)
			return 0;
		if (rc == -1 && errno != EINTR)
			return fail(s, strerror(errno));
	}
}

int
stream_connect(
    struct stream *s, const struct net_addr *to, const struct net_addr *source, int64_t deadline_ms)
{
	int error = 0;
	socklen_t len = sizeof(error);

	s->ssl = NULL;
	s->deadline_ms = deadline_ms;
	memset(&s->facts, 0, sizeof(s->facts));
	s->error[0] = '\0';
	s->fd = net_connect_start(to, source);
	if (s->fd == -1)
		return fail(s, strerror(errno));
	if (wait_for(s, POLLOUT, "connect") == -1)
		return -1;
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		error = errno;
	return error == 0 ? 0 : fail(s, strerror(error));
}

/* ---- TLS ------------------------------------------------------------------------------------- */

/*
 * After a call of OpenSSL that gave rc: 0 try again, -1 failed, 1 the peer closed.
 */
static int
tls_wait(struct stream *s, int rc, const char *what)
{
	char text[256];

	switch (SSL_get_error(s->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return wait_for(s, POLLIN, what);
	case SSL_ERROR_WANT_WRITE:
		return wait_for(s, POLLOUT, what);
	case SSL_ERROR_ZERO_RETURN:
		return 1;
	case SSL_ERROR_SYSCALL:
		if (errno == 0)
			return 1;
		(void)str_printf(text, sizeof(text), "%s: %s", what, strerror(errno));
		return fail(s, text);
	default:
		tls_failure_text(s->ssl, what, text, sizeof(text));
		return fail(s, text);
	}
}

int
stream_start_tls(struct stream *s, SSL_CTX *ctx, const char *host)
{
	int rc, again;

	s->ssl = SSL_new(ctx);
	if (s->ssl == NULL || SSL_set_fd(s->ssl, s->fd) != 1 ||
	    tls_client_expect(s->ssl, host) == -1) {
		ERR_clear_error();
		return fail(s, "TLS cannot be started");
	}
	SSL_set_connect_state(s->ssl);
	do {
		ERR_clear_error();
		errno = 0;
		rc = SSL_do_handshake(s->ssl);
		if (rc == 1) {
			tls_facts_from(&s->facts, s->ssl);
			return 0;
		}
		again = tls_wait(s, rc, "TLS handshake");
	} while (again == 0);
	return again == -1 ? -1 : fail(s, "TLS handshake: the peer closed the connection");
}

/* ---- octets ---------------------------------------------------------------------------------- */

ssize_t
stream_read(struct stream *s, void *p, size_t n)
{
	int want = n > 65536 ? 65536 : (int)n;

	for (;;) {
		if (s->deadline_ms <= stream_clock_ms())
			return fail(s, "read: no answer in time");
		ERR_clear_error();
		errno = 0;
		if (s->ssl != NULL) {
			int rc = SSL_read(s->ssl, p, want), again;

			if (rc > 0)
				return rc;
			again = tls_wait(s, rc, "read");
			if (again != 0)
				return again == -1 ? -1 : 0;
			continue;
		}
		ssize_t got = recv(s->fd, p, (size_t)want, 0);
		if (got >= 0)
			return got;
		if (errno == EAGAIN) {
			if (wait_for(s, POLLIN, "read") == -1)
				return -1;
		} else if (errno != EINTR) {
			return fail(s, strerror(errno));
		}
	}
}

/* One turn: octets written, 0: again, -1. */
static ssize_t
write_some(struct stream *s, const char *p, size_t n)
{
	int want = n > 65536 ? 65536 : (int)n, again;

	ERR_clear_error();
	errno = 0;
	if (s->ssl != NULL) {
		int rc = SSL_write(s->ssl, p, want);

		if (rc > 0)
			return rc;
		again = tls_wait(s, rc, "write");
		return again == 1 ? fail(s, "write: the peer closed the connection") : again;
	}
	ssize_t put = send(s->fd, p, (size_t)want, MSG_NOSIGNAL);
	if (put >= 0)
		return put;
	if (errno == EAGAIN)
		return wait_for(s, POLLOUT, "write");
	return errno == EINTR ? 0 : fail(s, strerror(errno));
}

int
stream_write(struct stream *s, const void *data, size_t n)
{
	const char *p = data;

	while (n > 0) {
		ssize_t put;

		if (s->deadline_ms <= stream_clock_ms())
			return fail(s, "write: no answer in time");
		put = write_some(s, p, n);
		if (put == -1)
			return -1;
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

void
stream_close(struct stream *s)
{
	if (s->ssl != NULL) {
		/* not after a failure: the state must not be used then; nobody waits for theirs */
		if (s->error[0] == '\0') {
			ERR_clear_error();
			(void)SSL_shutdown(s->ssl);
		}
		SSL_free(s->ssl);
		ERR_clear_error();
		s->ssl = NULL;
	}
	if (s->fd != -1)
		close(s->fd);
	s->fd = -1;
}
