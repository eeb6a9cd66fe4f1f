/* SPDX-License-Identifier: ISC */
/*
 * Streams in the event loop: one read event, one write event while output waits,
 * and OpenSSL in between once TLS is up. All connections of a process share one
 * read buffer; an idle connection owns none. Runs in front, deliver and control.
 * Must never call back after it said IO_EOF, IO_ERROR or IO_TIMEOUT.
 */
#include "base/io.h"
#include "base/io_internal.h"
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#define READ_SIZE 65536u
#define FINISH_MS 1000

static uint8_t shared[READ_SIZE];

static void io_do_read(struct io *);
static void io_do_write(struct io *);

void
io_set_reading(struct io *io, bool on)
{
	if (io->reading == on)
		return;
	io->reading = on;
	if (on)
		event_add(&io->ev_read, NULL);
	else
		event_del(&io->ev_read);
}

void
io_set_writing(struct io *io, bool on)
{
	if (io->write_wanted == on)
		return;
	io->write_wanted = on;
	if (on)
		event_add(&io->ev_write, NULL);
	else
		event_del(&io->ev_write);
}

static void
really_free(void *arg)
{
	struct io *io = arg;

	SSL_free(io->ssl);
	buf_clear(&io->out);
	buf_wipe(&io->kept); /* may hold a password line */
	free(io->facts);
	free(io->error);
	free(io);
}

void
io_free(struct io *io)
{
	if (io == NULL || io->state == IO_ST_DEAD)
		return;
	io->state = IO_ST_DEAD;
	io_set_reading(io, false);
	io_set_writing(io, false);
	ev_timer_clear(&io->timer);
	ev_turn_cancel(&io->flush);
	ev_turn_cancel(&io->resume);
	close(io->fd);
	io->fd = -1;
	/* the caller may stand on our stack, with our buffers in its hands */
	ev_free_later(io, really_free);
}

void
io_fail(struct io *io, enum io_event what, const char *text)
{
	io->eof = what == IO_EOF;
	if (io->state == IO_ST_FINISHING) {
		if (io->eof && buf_len(&io->out) > 0)
			io_set_reading(io, false); /* io_do_write() ends it */
		else
			io_free(io);
		return;
	}
	io_set_reading(io, false);
	io_set_writing(io, false);
	ev_timer_clear(&io->timer);
	ev_turn_cancel(&io->resume);
	io->paused = true;
	free(io->error);
	io->error = xstrdup(text);
	log_trace(TRACE_IO, "fd %d: %s", io->fd, text);
	io->ops->on_event(io->arg, what);
}

static void
on_timer(void *arg)
{
	struct io *io = arg;
	int64_t now = ev_now_ms();

	if (io->deadline == 0)
		return;
	/* the deadline moved on since the timer was set: 5 ms for the coarse clock */
	if (now + 5 < io->deadline) {
		io->timer_at = io->deadline;
		ev_timer_set(&io->timer, io->deadline - now, on_timer, io);
		return;
	}
	io->timed_out = true;
	io_fail(io, IO_TIMEOUT, "timeout");
}

void
io_deadline(struct io *io, int64_t ms)
{
	if (io_is_over(io))
		return;
	if (ms <= 0) {
		io->deadline = 0;
		return;
	}
	io->deadline = ev_now_ms() + ms;
	if (!ev_timer_pending(&io->timer) || io->timer_at > io->deadline) {
		io->timer_at = io->deadline;
		ev_timer_set(&io->timer, ms, on_timer, io);
	}
}

static void
on_connected(struct io *io)
{
	int err = 0;
	socklen_t len = sizeof(err);

	io_set_writing(io, false);
	if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1)
		err = errno;
	if (err != 0) {
		io_fail(io, IO_ERROR, strerror(err));
		return;
	}
	io->state = IO_ST_OPEN;
	io_set_reading(io, !io->paused);
	io->ops->on_event(io->arg, IO_CONNECTED);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct io *io = arg;

	(void)fd;
	(void)what;
	if (io->state == IO_ST_HANDSHAKE)
		io_do_handshake(io);
	else if (io->write_wants_read)
		io_do_write(io);
	/* most pauses are over before the next bytes come, and cost no system call */
	if (io->paused && io->state == IO_ST_OPEN && !io->write_wants_read)
		io_set_reading(io, false);
	else if (io->state == IO_ST_OPEN || io->state == IO_ST_FINISHING)
		io_do_read(io);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct io *io = arg;

	(void)fd;
	(void)what;
	if (io->state == IO_ST_CONNECTING) {
		on_connected(io);
	} else if (io->state == IO_ST_HANDSHAKE) {
		io_do_handshake(io);
	} else {
		if (io->read_wants_write)
			io_do_read(io);
		if (!io_is_over(io))
			io_do_write(io);
	}
}

struct io *
io_new(int fd, bool connecting, const struct io_ops *ops, void *arg)
{
	struct io *io = xcallocarray(1, sizeof(*io));

	io->fd = fd;
	io->kept.wipes = true;
	io->ops = ops;
	io->arg = arg;
	event_assign(&io->ev_read, ev_base(), fd, EV_READ | EV_PERSIST, on_readable, io);
	event_assign(&io->ev_write, ev_base(), fd, EV_WRITE | EV_PERSIST, on_writable, io);
	if (connecting) {
		io->state = IO_ST_CONNECTING;
		io_set_writing(io, true);
	} else {
		io->state = IO_ST_OPEN;
		io_set_reading(io, true);
	}
	return io;
}

int
io_fd(const struct io *io)
{
	return io->fd;
}

/* ---- output ---------------------------------------------------------------------------------- */

/* One attempt. >0 written, 0 try later (events are set), -1 failed (said). */
static ssize_t
write_some(struct io *io)
{
	size_t n = buf_len(&io->out);

	if (io->ssl == NULL) {
		ssize_t done = write(io->fd, buf_data(&io->out), n);
		if (done >= 0)
			return done;
		if (errno == EINTR || errno == EAGAIN) {
			io_set_writing(io, true);
			return 0;
		}
		io_fail(io, IO_ERROR, strerror(errno));
		return -1;
	}
	size_t done = 0;
	ERR_clear_error();
	if (SSL_write_ex(io->ssl, buf_data(&io->out), n, &done) == 1)
		return (ssize_t)done;
	switch (SSL_get_error(io->ssl, 0)) {
	case SSL_ERROR_WANT_WRITE:
		io_set_writing(io, true);
		return 0;
	case SSL_ERROR_WANT_READ:
		io->write_wants_read = true;
		io_set_reading(io, true);
		return 0;
	case SSL_ERROR_SYSCALL:
		io_fail(io, IO_ERROR, errno == 0 ? "connection closed" : strerror(errno));
		return -1;
	default:
		io_fail_tls(io, "TLS write");
		return -1;
	}
}

static void
finish_output(struct io *io)
{
	if (io->ssl != NULL && SSL_is_init_finished(io->ssl)) {
		ERR_clear_error();
		(void)SSL_shutdown(io->ssl); /* one close_notify; theirs is not waited for */
		ERR_clear_error();
	}
	(void)shutdown(io->fd, SHUT_WR);
}

static void
io_do_write(struct io *io)
{
	io->write_wants_read = false;
	while (buf_len(&io->out) > 0) {
		ssize_t n = write_some(io);
		if (n < 0)
			return;
		if (n == 0)
			return;
		buf_consume(&io->out, (size_t)n);
	}
	io_set_writing(io, false);
	if (io->out.cap > 4096 || io->state == IO_ST_FINISHING)
		buf_clear(&io->out);
	if (io->state == IO_ST_FINISHING) {
		finish_output(io);
		if (io->eof)
			io_free(io);
	} else if (io->want_drained) {
		io->want_drained = false;
		io->ops->on_event(io->arg, IO_DRAINED);
	}
}

static void
flush_turn(void *arg)
{
	struct io *io = arg;

	if (io->state == IO_ST_HANDSHAKE)
		io_do_handshake(io);
	else if ((io->state == IO_ST_OPEN || io->state == IO_ST_FINISHING) && !io->write_wanted &&
		 !io->write_wants_read)
		io_do_write(io);
}

void
io_schedule_flush(struct io *io)
{
	ev_turn_schedule(&io->flush, flush_turn, io);
}

void
io_write(struct io *io, const void *p, size_t n)
{
	if (io_is_over(io) || n == 0)
		return;
	buf_add(&io->out, p, n);
	io_schedule_flush(io);
}

void
io_write_buf(struct io *io, struct buf *b)
{
	if (io_is_over(io)) {
		buf_reset(b);
		return;
	}
	if (buf_len(b) == 0)
		return;
	if (buf_len(&io->out) == 0 && buf_len(b) >= 4096) {
		buf_move(&io->out, b);
	} else {
		buf_add(&io->out, buf_data(b), buf_len(b));
		buf_reset(b);
	}
	io_schedule_flush(io);
}

size_t
io_pending(const struct io *io)
{
	return buf_len(&io->out);
}

void
io_want_drained(struct io *io)
{
	io->want_drained = true;
	io_schedule_flush(io);
}

/* ---- input ----------------------------------------------------------------------------------- */

/* How reading ended: said only after the bytes that came before it were shown. */
struct read_end {
	enum io_event what;
	const char *text; /* NULL: TLS failed, OpenSSL's queue says why */
};

/* Fills the shared buffer from at. Bytes, or 0: nothing now, or -1: over, see *end. */
static ssize_t
read_some(struct io *io, size_t at, struct read_end *end)
{
	if (io->ssl == NULL) {
		ssize_t n = read(io->fd, shared + at, READ_SIZE - at);
		if (n > 0)
			return n;
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return 0;
		*end = n == 0 ? (struct read_end){IO_EOF, "connection closed"}
		              : (struct read_end){IO_ERROR, strerror(errno)};
		return -1;
	}
	size_t n = 0;
	io->read_wants_write = false;
	ERR_clear_error();
	if (SSL_read_ex(io->ssl, shared + at, READ_SIZE - at, &n) == 1)
		return (ssize_t)n;
	switch (SSL_get_error(io->ssl, 0)) {
	case SSL_ERROR_WANT_READ:
		return 0;
	case SSL_ERROR_WANT_WRITE:
		io->read_wants_write = true;
		io_set_writing(io, true);
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		*end = (struct read_end){IO_EOF, "connection closed"};
		return -1;
	case SSL_ERROR_SYSCALL:
		*end =
		    (struct read_end){IO_ERROR, errno == 0 ? "connection closed" : strerror(errno)};
		return -1;
	default:
		*end = (struct read_end){IO_ERROR, NULL};
		return -1;
	}
}

/*
 * Whether another read is worth its system call. When OpenSSL holds nothing and the last
 * record was not a full one, the sender had no more for now; the poll tells if he had.
 */
static bool
may_have_more(const struct io *io, ssize_t got)
{
	return io->ssl != NULL && (got >= SSL3_RT_MAX_PLAIN_LENGTH || SSL_has_pending(io->ssl));
}

/* Shows bytes to the owner and keeps what it leaves. */
static void
offer(struct io *io, const uint8_t *p, size_t n)
{
	if (buf_len(&io->kept) > 0) {
		if (p != NULL)
			buf_add(&io->kept, p, n);
		size_t had = buf_len(&io->kept);
		size_t took = io->ops->on_data(io->arg, buf_data(&io->kept), had);
		if (io_is_over(io))
			return;
		if (took == 0 && had >= 4 * READ_SIZE && !io->paused) {
			io_fail(io, IO_ERROR, "input is not taken");
			return;
		}
		/* on_data may have dropped it itself (TLS start) */
		buf_consume(&io->kept, took);
		if (buf_len(&io->kept) == 0)
			buf_wipe(&io->kept);
		return;
	}
	size_t took = io->ops->on_data(io->arg, p, n);
	if (!io_is_over(io) && took < n)
		buf_add(&io->kept, p + took, n - took);
}

static void
io_do_read(struct io *io)
{
	/* a few turns, then others: a fast sender must not keep the loop */
	for (int round = 0; round < 4; round++) {
		size_t n = 0;
		ssize_t got = 0;
		bool more;
		struct read_end end = {IO_EOF, NULL};

		if (io->paused)
			return;
		do {
			got = read_some(io, n, &end);
			if (got > 0)
				n += (size_t)got;
			more = got > 0 && may_have_more(io, got);
		} while (more && n < READ_SIZE);
		if (n > 0 && io->state == IO_ST_OPEN)
			offer(io, shared, n);
		if (got == -1 && !io_is_over(io)) {
			if (end.text == NULL)
				io_fail_tls(io, "TLS read");
			else if (end.what == IO_EOF && io->state == IO_ST_OPEN && io->paused)
				io->eof = true; /* it comes again after io_resume() */
			else
				io_fail(io, end.what, end.text);
		}
		if (got <= 0)
			return;
		if (io->state != IO_ST_OPEN && io->state != IO_ST_FINISHING)
			return;
		if (!more && n < READ_SIZE)
			return; /* the next read would most likely be EAGAIN */
	}
	/* OpenSSL may hold bytes that no descriptor event will tell of */
	if (!io->paused && io->reading)
		event_active(&io->ev_read, EV_READ, 0);
}

void
io_pause(struct io *io)
{
	if (io_is_over(io))
		return;
	io->paused = true;
	ev_turn_cancel(&io->resume);
}

static void
resume_turn(void *arg)
{
	struct io *io = arg;

	if (io->state != IO_ST_OPEN || io->paused)
		return;
	if (buf_len(&io->kept) > 0)
		offer(io, NULL, 0);
	if (io->state != IO_ST_OPEN || io->paused)
		return;
	io_set_reading(io, true);
	if (io->eof || (io->ssl != NULL && SSL_has_pending(io->ssl)))
		event_active(&io->ev_read, EV_READ, 0);
}

void
io_resume(struct io *io)
{
	if (io_is_over(io) || io->error != NULL)
		return;
	io->paused = false;
	ev_turn_schedule(&io->resume, resume_turn, io);
}

size_t
io_kept(const struct io *io)
{
	return buf_len(&io->kept);
}

void
io_drop_kept(struct io *io)
{
	buf_wipe(&io->kept);
}

const char *
io_error_text(const struct io *io)
{
	return io->error == NULL ? "" : io->error;
}

/* ---- the end --------------------------------------------------------------------------------- */

void
io_finish(struct io *io)
{
	if (io == NULL || io_is_over(io))
		return;
	if ((io->error != NULL && !io->timed_out && !io->eof) || io->state != IO_ST_OPEN) {
		io_free(io);
		return;
	}
	io->state = IO_ST_FINISHING;
	io->want_drained = false;
	io->paused = false;
	ev_turn_cancel(&io->resume);
	io_drop_kept(io);
	io_set_reading(io, !io->eof);
	io_deadline(io, FINISH_MS);
	io_schedule_flush(io);
}
