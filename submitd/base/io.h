/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_IO_H
#define SUBMITD_BASE_IO_H

#include "base/buf.h"
#include "base/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A non-blocking stream in the event loop, in clear or with TLS.
 *
 * Input comes through one read buffer shared by the whole process: on_data is
 * shown the bytes and answers how many it took; what it leaves is kept and shown
 * again, in front of newer bytes, after io_resume() or with the next input. An
 * idle connection owns no buffer.
 * Output is collected and written once at the end of the loop's turn.
 *
 * After IO_EOF, IO_ERROR or IO_TIMEOUT no further callback comes; the owner calls
 * io_free(). io_free() may be called from within callbacks. After IO_TIMEOUT and IO_EOF
 * the owner may also io_write() its last words and io_finish(). IO_EOF is not said before
 * all that came was taken, nor while paused.
 */
struct io;

enum io_event {
	IO_CONNECTED = 0, /* an outgoing connect succeeded */
	IO_TLS_UP = 1,    /* the handshake is done; io_tls_facts() is filled */
	IO_DRAINED = 2,   /* all output was handed to the kernel (only after io_want_drained) */
	IO_EOF = 3,       /* the peer closed */
	IO_ERROR = 4,     /* errno-like failure or TLS failure; io_error_text() says it */
	IO_TIMEOUT = 5,   /* the deadline set with io_deadline() passed */
};

struct io_ops {
	size_t (*on_data)(void *arg, const uint8_t *p, size_t n);
	void (*on_event)(void *arg, enum io_event);
};

/* Takes the descriptor. connecting: wait for writability first, then IO_CONNECTED. */
struct io *io_new(int fd, bool connecting, const struct io_ops *, void *arg);
void io_free(struct io *); /* drops unwritten output and closes; NULL is fine */
/*
 * Writes what is left, sends close_notify and FIN, reads on for up to 1 s so that
 * the peer gets our last words, then frees. No callback comes any more.
 */
void io_finish(struct io *);
int io_fd(const struct io *);

void io_write(struct io *, const void *, size_t);
void io_write_buf(struct io *, struct buf *); /* empties it; large ones are moved, not copied */
size_t io_pending(const struct io *);         /* bytes not yet handed to the kernel */
void io_want_drained(struct io *);            /* one IO_DRAINED when the output is empty */

void io_pause(struct io *);        /* no on_data until io_resume(); the kernel's window fills */
void io_resume(struct io *);       /* also offers kept bytes again, at the end of this turn */
size_t io_kept(const struct io *); /* bytes received that on_data has not taken yet */
void io_drop_kept(struct io *);

/* One deadline per connection, from now; 0 clears it. */
void io_deadline(struct io *, int64_t ms);

/*
 * Starts a handshake; output waiting in clear is written before it. Kept input
 * must be empty (the caller checks, RFC 3207 injection) and is dropped.
 * host: for the client: SNI and, when the context verifies, the name to match.
 */
int io_tls_accept(struct io *, SSL_CTX *);
int io_tls_connect(struct io *, SSL_CTX *, const char *host);
const struct tls_facts *io_tls_facts(const struct io *); /* .on false without TLS */
const SSL *io_ssl(const struct io *);
const char *io_error_text(const struct io *);

#endif
