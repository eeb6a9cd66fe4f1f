/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_TESTS_UNIT_HTTP_TEST_H
#define SUBMITD_TESTS_UNIT_HTTP_TEST_H

/*
 * A tiny HTTP server on a thread, for tests of what asks one: it answers every request
 * with the same text, counts them, and keeps the last one.
 */

#include "base/buf.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct http_test {
	int fd;
	char url[64];
	pthread_t thread;
	pthread_mutex_t lock;
	/* under the lock */
	int status;
	struct buf body;  /* the answer */
	struct buf last;  /* the last request, whole */
	int delay_ms;     /* before each answer; negative: none comes */
	atomic_bool hold; /* answers come when this is over */
	atomic_int asked;
	atomic_bool over;
};

static inline bool
http_test_whole(struct buf *in)
{
	const char *text = buf_cstr(in), *end = strstr(text, "\r\n\r\n");
	const char *length = strstr(text, "Content-Length: ");

	if (end == NULL)
		return false;
	return length == NULL ||
	       buf_len(in) >= (size_t)(end - text) + 4 + (size_t)strtoul(length + 16, NULL, 10);
}

/* One connection, one request: the next one comes over a new connection. */
static inline void
http_test_serve(struct http_test *h, int fd)
{
	struct buf in = BUF_INIT, out = BUF_INIT;
	ssize_t n;

	while (!http_test_whole(&in)) {
		n = recv(fd, buf_reserve(&in, 4096), 4096, 0);
		if (n <= 0)
			goto out;
		buf_commit(&in, (size_t)n);
	}
	atomic_fetch_add(&h->asked, 1);
	pthread_mutex_lock(&h->lock);
	buf_reset(&h->last);
	buf_add_span(&h->last, buf_span(&in));
	int delay = h->delay_ms;
	buf_addf(&out, "HTTP/1.1 %d x\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
	    h->status, buf_len(&h->body));
	buf_add_span(&out, buf_span(&h->body));
	pthread_mutex_unlock(&h->lock);
	if (delay < 0) {
		while (!atomic_load(&h->over) && recv(fd, (char[1]){0}, 1, 0) > 0)
			;
		goto out;
	}
	usleep((useconds_t)delay * 1000);
	while (atomic_load(&h->hold) && !atomic_load(&h->over))
		usleep(1000);
	(void)send(fd, buf_data(&out), buf_len(&out), MSG_NOSIGNAL);
out:
	close(fd);
	buf_clear(&in);
	buf_clear(&out);
}

static inline void *
http_test_run(void *arg)
{
	struct http_test *h = arg;
	struct pollfd p = {.fd = h->fd, .events = POLLIN};

	while (!atomic_load(&h->over))
		if (poll(&p, 1, 20) == 1)
			http_test_serve(h, accept(h->fd, NULL, NULL));
	return NULL;
}

static inline void
http_test_start(struct http_test *h)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);

	memset(h, 0, sizeof(*h));
	h->status = 200;
	pthread_mutex_init(&h->lock, NULL);
	h->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(h->fd, (struct sockaddr *)&a, sizeof(a)) == -1 || listen(h->fd, 50) == -1 ||
	    getsockname(h->fd, (struct sockaddr *)&a, &n) == -1 ||
	    str_printf(h->url, sizeof(h->url), "http://127.0.0.1:%u/x", ntohs(a.sin_port)) == -1 ||
	    pthread_create(&h->thread, NULL, http_test_run, h) != 0)
		abort();
}

static inline void
http_test_answer(struct http_test *h, int status, const char *body, int delay_ms)
{
	pthread_mutex_lock(&h->lock);
	h->status = status;
	h->delay_ms = delay_ms;
	buf_reset(&h->body);
	buf_add_str(&h->body, body);
	pthread_mutex_unlock(&h->lock);
}

/* Stops it; connections are refused from now on. */
static inline void
http_test_stop(struct http_test *h)
{
	atomic_store(&h->over, true);
	pthread_join(h->thread, NULL);
	close(h->fd);
	pthread_mutex_destroy(&h->lock);
	buf_clear(&h->body);
	buf_clear(&h->last);
}

#endif
