/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_IO_INTERNAL_H
#define SUBMITD_BASE_IO_INTERNAL_H

#include "base/ev.h"
#include "base/io.h"

/* Between io.c and io_tls.c. */
enum io_state {
	IO_ST_CONNECTING = 0,
	IO_ST_OPEN = 1,
	IO_ST_HANDSHAKE = 2,
	IO_ST_FINISHING = 3, /* our last words were said; the owner is gone */
	IO_ST_DEAD = 4,
};

struct io {
	int fd;
	enum io_state state;
	const struct io_ops *ops;
	void *arg;
	SSL *ssl;
	struct tls_facts *facts; /* NULL without TLS */
	struct event ev_read, ev_write;
	struct ev_timer timer;
	int64_t deadline; /* ev_now_ms() clock; 0: none */
	int64_t timer_at;
	struct ev_turn flush, resume;
	struct buf out, kept;
	size_t clear_left; /* bytes of out that were written before the handshake began */
	char *error;
	bool paused, want_drained, write_wanted, reading;
	bool read_wants_write, write_wants_read;
	bool timed_out; /* our deadline, not their fault: io_finish() still speaks */
	bool eof;       /* they said all; we may still speak */
};

static inline bool
io_is_over(const struct io *io)
{
	return io->state == IO_ST_DEAD;
}

/* io.c */
void io_set_reading(struct io *, bool on);
void io_set_writing(struct io *, bool on);
/* The last callback of this connection. */
void io_fail(struct io *, enum io_event, const char *text);
/* io_tls.c */
void io_fail_tls(struct io *, const char *what);
void io_do_handshake(struct io *);
/* io.c: writes at the end of the turn */
void io_schedule_flush(struct io *);

#endif
