/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_TESTS_UNIT_SCRIPT_TEST_H
#define SUBMITD_TESTS_UNIT_SCRIPT_TEST_H

/*
 * A server on loopback in a thread, for tests of what blocks. It says the lines of its script: the
 * first at once, each other one after a line was heard. NULL ends it; what an entry says:
 *	"@hang"  nothing more, until the peer closes
 *	"@slow"  one octet every 10 ms, without end
 *	else the line, CRLF is added
 */
#include "base/net.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

struct script {
	const char *const *lines;
	int listen_fd;
	struct net_addr addr;
	struct buf heard;
	pthread_t thread;
};

static inline bool
script_wait(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	return poll(&p, 1, 60000) == 1;
}

/* false: the peer is gone. */
static inline bool
script_hear(struct script *s, int fd)
{
	char b;

	do {
		if (!script_wait(fd, POLLIN) || read(fd, &b, 1) != 1)
			return false;
		buf_add_byte(&s->heard, (uint8_t)b);
	} while (b != '\n');
	return true;
}

static inline void
script_say(int fd, const char *line)
{
	const struct timespec pause = {0, 10 * 1000000};
	struct buf b = BUF_INIT;
	char c;

	if (strcmp(line, "@hang") == 0) {
		while (script_wait(fd, POLLIN) && read(fd, &c, 1) == 1)
			;
		return;
	}
	if (strcmp(line, "@slow") == 0) {
		while (send(fd, "2", 1, MSG_NOSIGNAL) == 1)
			nanosleep(&pause, NULL);
		return;
	}
	buf_add_str(&b, line);
	buf_add_str(&b, "\r\n");
	(void)send(fd, buf_data(&b), buf_len(&b), MSG_NOSIGNAL);
	buf_clear(&b);
}

static inline void *
script_main(void *arg)
{
	struct script *s = arg;
	struct net_addr peer;
	int fd;

	if (!script_wait(s->listen_fd, POLLIN) || (fd = net_accept(s->listen_fd, &peer)) == -1)
		return NULL;
	for (size_t i = 0; s->lines[i] != NULL; i++) {
		if (i > 0 && !script_hear(s, fd))
			break;
		script_say(fd, s->lines[i]);
	}
	while (script_hear(s, fd))
		;
	close(fd);
	return NULL;
}

static inline void
script_start(struct script *s, const char *const *lines)
{
	struct net_addr any;

	memset(s, 0, sizeof(*s));
	s->lines = lines;
	assert_int_equal(net_addr_parse(span_of("127.0.0.1:0"), &any), 0);
	s->listen_fd = net_listen(&any, 5);
	assert_int_not_equal(s->listen_fd, -1);
	assert_int_equal(net_local(s->listen_fd, &s->addr), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, script_main, s), 0);
}

/* All that it heard; the caller's. */
static inline struct buf
script_end(struct script *s)
{
	pthread_join(s->thread, NULL);
	close(s->listen_fd);
	return s->heard;
}

#endif
