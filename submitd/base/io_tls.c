/* SPDX-License-Identifier: ISC */
/*
 * TLS on a stream: the start on either side, the handshake by events, and the words
 * for its failures. Runs in front and deliver. What waits to be sent in clear
 * leaves before the first byte of the handshake.
 */
#include "base/io_internal.h"
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>

static const struct tls_facts no_tls;

void
io_fail_tls(struct io *io, const char *what)
{
	char text[256];

	tls_failure_text(io->ssl, what, text, sizeof(text));
	/* the state of a failed TLS connection must not be used again, not even to shut it down */
	io_fail(io, IO_ERROR, text);
}

/* Words in clear (220 ready) leave before the first byte of the handshake, and no others. */
static int
write_clear(struct io *io)
{
	while (io->clear_left > 0) {
		ssize_t n = write(io->fd, buf_data(&io->out), io->clear_left);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN) {
			io_set_writing(io, true);
			return -1;
		}
		if (n == -1) {
			io_fail(io, IO_ERROR, strerror(errno));
			return -1;
		}
		buf_consume(&io->out, (size_t)n);
		io->clear_left -= (size_t)n;
	}
	return 0;
}

void
io_do_handshake(struct io *io)
{
	if (write_clear(io) == -1)
		return;
	ERR_clear_error();
	int rc = SSL_do_handshake(io->ssl);
	if (rc == 1) {
		io->state = IO_ST_OPEN;
		io_set_writing(io, false);
		io->facts = xcallocarray(1, sizeof(*io->facts));
		tls_facts_from(io->facts, io->ssl);
		if (buf_len(&io->out) > 0)
			io_schedule_flush(io);
		io->ops->on_event(io->arg, IO_TLS_UP);
		if (!io_is_over(io) && !io->paused) {
			io_set_reading(io, true);
			if (SSL_has_pending(io->ssl))
				event_active(&io->ev_read, EV_READ, 0);
		}
		return;
	}
	switch (SSL_get_error(io->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		io_set_reading(io, true);
		io_set_writing(io, false);
		break;
	case SSL_ERROR_WANT_WRITE:
		io_set_writing(io, true);
		break;
	case SSL_ERROR_SYSCALL:
		io_fail(io, IO_ERROR,
		    errno == 0 ? "connection closed in the TLS handshake" : strerror(errno));
		break;
	default:
		io_fail_tls(io, "TLS handshake");
		break;
	}
}

static int
start_tls(struct io *io, SSL_CTX *ctx)
{
	if (io_is_over(io) || io->ssl != NULL)
		return -1;
	io->ssl = SSL_new(ctx);
	if (io->ssl == NULL || SSL_set_fd(io->ssl, io->fd) != 1) {
		ERR_clear_error();
		return -1;
	}
	io_drop_kept(io);
	io->state = IO_ST_HANDSHAKE;
	io_set_reading(io, true);
	io->clear_left = buf_len(&io->out);
	io_schedule_flush(io);
	return 0;
}

int
io_tls_accept(struct io *io, SSL_CTX *ctx)
{
	if (start_tls(io, ctx) == -1)
		return -1;
	SSL_set_accept_state(io->ssl);
	return 0;
}

int
io_tls_connect(struct io *io, SSL_CTX *ctx, const char *host)
{
	if (start_tls(io, ctx) == -1)
		return -1;
	SSL_set_connect_state(io->ssl);
	return tls_client_expect(io->ssl, host);
}

const struct tls_facts *
io_tls_facts(const struct io *io)
{
	return io->facts == NULL ? &no_tls : io->facts;
}

const SSL *
io_ssl(const struct io *io)
{
	return io->ssl;
}
