/* SPDX-License-Identifier: ISC */
/*
 * The connections of smtpload: per thread one epoll loop over non-blocking
 * sockets, plain or TLS. What is said on them is in smtpload_smtp.c.
 */
#include "smtpload.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static void
watch(struct load_worker *w, struct load_conn *c, bool write)
{
	struct epoll_event ev = {.events = EPOLLIN | (write ? EPOLLOUT : 0u), .data.ptr = c};

	if (c->want_write == write)
		return;
	c->want_write = write;
	epoll_ctl(w->epoll, EPOLL_CTL_MOD, c->fd, &ev);
}

/* The session ends; the next one begins after a pause when this one failed. */
static void
conn_close(struct load_worker *w, struct load_conn *c, bool failed)
{
	struct load_run *r = w->run;
	bool in_message = c->step >= STEP_MAIL && c->step <= STEP_END;

	if (in_message) {
		atomic_fetch_add(&r->lost, 1);
		if (r->opt.retry)
			atomic_fetch_sub(&r->claimed, 1);
	}
	if (c->ssl != NULL && !failed)
		SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	c->ssl = NULL;
	if (c->fd != -1)
		close(c->fd);
	c->fd = -1;
	c->step = STEP_CLOSED;
	c->when = failed ? load_now() + 50000000 : 0;
	if (failed && !in_message && !r->opt.retry &&
	    atomic_fetch_add(&r->connect_errors, 1) > 10 * r->opt.connections + 100)
		atomic_store(&r->stop, true);
	else if (failed && !in_message && r->opt.retry)
		atomic_fetch_add(&r->connect_errors, 1);
}

/* Writes what waits. -1: the session is over. */
static int
flush(struct load_worker *w, struct load_conn *c)
{
	for (;;) {
		const char *p = c->out + c->out_off;
		size_t n = c->out_len - c->out_off;
		ssize_t done;

		if (n == 0 && c->body_on) {
			p = w->run->body + c->body_off;
			n = w->run->body_len - c->body_off;
		}
		if (n == 0) {
			c->out_len = c->out_off = 0;
			if (c->body_on && c->end_on) {
				c->body_on = c->end_on = false;
				load_put(c, ".\r\n");
				continue;
			}
			c->body_on = false;
			watch(w, c, false);
			return 0;
		}
		if (c->encrypted) {
			int e, k;

			ERR_clear_error();
			k = SSL_write(c->ssl, p, n > 65536 ? 65536 : (int)n);

			done = k;
			if (k <= 0) {
				e = SSL_get_error(c->ssl, k);
				if (e != SSL_ERROR_WANT_WRITE && e != SSL_ERROR_WANT_READ)
					return -1;
				watch(w, c, true);
				return 0;
			}
		} else if ((done = send(c->fd, p, n, MSG_NOSIGNAL)) == -1) {
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				return -1;
			watch(w, c, true);
			return 0;
		}
		if (c->out_off < c->out_len)
			c->out_off += (size_t)done;
		else
			c->body_off += (size_t)done;
	}
}

static int
handshake(struct load_worker *w, struct load_conn *c)
{
	int n, e;

	if (c->ssl == NULL) {
		if ((c->ssl = SSL_new(w->run->tls)) == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
			return -1;
		SSL_set_connect_state(c->ssl);
		c->in_len = 0;
	}
	ERR_clear_error();
	n = SSL_do_handshake(c->ssl);
	if (n == 1) {
		c->encrypted = true;
		if (w->run->opt.tls == LOAD_TLS_IMPLICIT) {
			c->step = STEP_BANNER;
		} else {
			load_put(c, "EHLO load.example\r\n");
			c->step = STEP_EHLO;
		}
		watch(w, c, false);
		return flush(w, c);
	}
	e = SSL_get_error(c->ssl, n);
	if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
		return -1;
	watch(w, c, e == SSL_ERROR_WANT_WRITE);
	return 0;
}

/* Takes the complete lines of the input. */
static int
take_lines(struct load_worker *w, struct load_conn *c)
{
	size_t from = 0;
	char *nl;

	while (c->fd != -1 && (nl = memchr(c->in + from, '\n', c->in_len - from)) != NULL) {
		size_t len = (size_t)(nl - (c->in + from));

		if (len > 0 && c->in[from + len - 1] == '\r')
			len--;
		switch (load_reply(w, c, c->in + from, len)) {
		case -1:
			return -1;
		case 1:
			conn_close(w, c, false);
			return 0;
		default:
			break;
		}
		from = (size_t)(nl - c->in) + 1;
	}
	if (c->fd == -1)
		return 0;
	memmove(c->in, c->in + from, c->in_len - from);
	c->in_len -= from;
	return c->in_len == LOAD_IN ? -1 : flush(w, c);
}

static int
readable(struct load_worker *w, struct load_conn *c)
{
	for (;;) {
		ssize_t n;

		if (c->step == STEP_HANDSHAKE)
			return handshake(w, c);
		if (c->encrypted) {
			ERR_clear_error();
			n = SSL_read(c->ssl, c->in + c->in_len, (int)(LOAD_IN - c->in_len));
			if (n <= 0) {
				int e = SSL_get_error(c->ssl, (int)n);

				return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0
				                                                             : -1;
			}
		} else {
			n = recv(c->fd, c->in + c->in_len, LOAD_IN - c->in_len, 0);
			if (n == 0)
				return -1;
			if (n == -1)
				return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
		}
		c->in_len += (size_t)n;
		if (take_lines(w, c) == -1)
			return -1;
		if (c->fd == -1)
			return 0;
	}
}

static void
conn_open(struct load_worker *w, struct load_conn *c)
{
	struct load_run *r = w->run;
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
	int one = 1;

	c->in_len = c->out_len = c->out_off = 0;
	c->encrypted = c->body_on = c->end_on = c->rejected = false;
	c->sent = 0;
	c->started = c->active = load_now();
	c->fd = socket(r->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd == -1)
		goto fail;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(c->fd, (struct sockaddr *)&r->addr, r->addr_len) == -1 && errno != EINPROGRESS)
		goto fail;
	c->step = STEP_CONNECT;
	c->want_write = true;
	if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, c->fd, &ev) == -1)
		goto fail;
	return;
fail:
	conn_close(w, c, true);
}

static void
conn_event(struct load_worker *w, struct load_conn *c, uint32_t events)
{
	int e = 0;
	socklen_t len = sizeof(e);

	if (c->fd == -1)
		return;
	c->active = load_now();
	if (c->step == STEP_CONNECT && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &len);
		if (e != 0) {
			conn_close(w, c, true);
			return;
		}
		watch(w, c, false);
		c->step = w->run->opt.tls == LOAD_TLS_IMPLICIT ? STEP_HANDSHAKE : STEP_BANNER;
	}
	if (c->step != STEP_HANDSHAKE && (events & EPOLLOUT) != 0 && flush(w, c) == -1) {
		conn_close(w, c, true);
		return;
	}
	if (readable(w, c) == -1)
		conn_close(w, c, c->step != STEP_QUIT);
}

/* Opens what is due and ends what is silent for too long. False: all are done. */
static bool
tend(struct load_worker *w, int64_t now)
{
	struct load_run *r = w->run;
	bool open = false, any = r->opt.idle > 0 || load_more(r);

	for (int i = 0; i < w->count; i++) {
		struct load_conn *c = &w->conns[i];

		if (c->step == STEP_CLOSED && any && now >= c->when)
			conn_open(w, c);
		else if (c->step == STEP_PAUSE && now >= c->when) {
			load_next(w, c);
			if (flush(w, c) == -1)
				conn_close(w, c, true);
		} else if (c->fd != -1 && c->step != STEP_IDLE &&
			   now - c->active > (int64_t)(r->opt.timeout_s * 1e9))
			conn_close(w, c, true);
		open = open || c->fd != -1;
	}
	return open || any;
}

void
load_worker_run(struct load_worker *w)
{
	struct epoll_event ev[256];
	int64_t tended = 0, now;

	w->conns = calloc((size_t)w->count, sizeof(*w->conns));
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->conns == NULL || w->epoll == -1)
		abort();
	for (int i = 0; i < w->count; i++) {
		w->conns[i].fd = -1;
		w->conns[i].in = malloc(LOAD_IN);
		w->conns[i].out = malloc(LOAD_OUT);
		if (w->conns[i].in == NULL || w->conns[i].out == NULL)
			abort();
	}
	for (;;) {
		int n;

		now = load_now();
		if ((w->run->end_ns != 0 && now >= w->run->end_ns) || atomic_load(&w->run->stop))
			break;
		if (now - tended >= 5000000) {
			if (!tend(w, now))
				break;
			tended = now;
		}
		n = epoll_wait(w->epoll, ev, 256, 5);
		for (int i = 0; i < n; i++)
			conn_event(w, ev[i].data.ptr, ev[i].events);
		/* A session that ended in good order begins anew at once. */
		for (int i = 0; i < n; i++) {
			struct load_conn *c = ev[i].data.ptr;

			if (c->step == STEP_CLOSED && c->when <= now && load_more(w->run))
				conn_open(w, c);
		}
	}
	for (int i = 0; i < w->count; i++) {
		struct load_conn *c = &w->conns[i];

		/* the end of --duration is nobody's failure */
		if (c->step >= STEP_MAIL && c->step <= STEP_END)
			atomic_fetch_add(&w->run->unfinished, 1);
		c->step = STEP_DONE;
		if (c->fd != -1)
			conn_close(w, c, false);
		free(c->in);
		free(c->out);
	}
	free(w->conns);
	close(w->epoll);
}
