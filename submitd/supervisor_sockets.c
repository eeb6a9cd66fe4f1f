/* SPDX-License-Identifier: ISC */
/*
 * Listening sockets: opened by the supervisor, inherited by every front, kept over
 * reloads and, where systemd holds them, over restarts. Never accepts.
 */
#include "supervisor_sockets.h"
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 4096
#define SD_FIRST_FD 3

/* Every socket that is open, with the address it was asked for. */
struct open_socket {
	struct net_addr addr;
	int fd;
};
static struct open_socket *open_sockets;
static size_t n_open;

static void
remember(const struct net_addr *a, int fd)
{
	open_sockets = xreallocarray(open_sockets, n_open + 1, sizeof(*open_sockets));
	open_sockets[n_open++] = (struct open_socket){*a, fd};
}

static int
find_open(const struct net_addr *a)
{
	for (size_t i = 0; i < n_open; i++)
		if (net_addr_equal_ip(&open_sockets[i].addr, a) &&
		    open_sockets[i].addr.port == a->port)
			return open_sockets[i].fd;
	return -1;
}

static bool
uses(const struct listen_set *s, int fd)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].fd == fd)
			return true;
	return false;
}

static void
close_unused(const struct listen_set *a, const struct listen_set *b)
{
	size_t kept = 0;

	for (size_t i = 0; i < n_open; i++) {
		if (uses(a, open_sockets[i].fd) || (b != NULL && uses(b, open_sockets[i].fd)))
			open_sockets[kept++] = open_sockets[i];
		else
			close(open_sockets[i].fd);
	}
	n_open = kept;
}

void
listen_adopt_systemd(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t p, n;

	if (pid != NULL && fds != NULL && str_to_u64(pid, 1, INT32_MAX, &p) == 0 &&
	    str_to_u64(fds, 1, 1000, &n) == 0 && (pid_t)p == getpid()) {
		for (int fd = SD_FIRST_FD; fd < SD_FIRST_FD + (int)n; fd++) {
			struct net_addr a;
			int type = 0;
			socklen_t len = sizeof(type);
			if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == -1 ||
			    type != SOCK_STREAM || net_local(fd, &a) == -1)
				continue;
			(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
			(void)fcntl(fd, F_SETFL, O_NONBLOCK);
			remember(&a, fd);
		}
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

int
listen_set_open(struct listen_set *s, const struct conf *c, char *err, size_t errsize)
{
	struct listen_set fresh = {NULL, 0};
	char text[NET_ADDR_TEXT];

	for (size_t i = 0; i < c->n_listener; i++) {
		const struct conf_listener *l = &c->listener_blocks[i];
		for (size_t k = 0; k < l->n_binds; k++) {
			int fd = find_open(&l->binds[k]);
			if (fd == -1) {
				fd = net_listen(&l->binds[k], BACKLOG);
				if (fd == -1) {
					net_addr_format(&l->binds[k], text);
					snprintf(err, errsize,
					    "listener \"%s\" cannot use %s: %s%s", l->title, text,
					    strerror(errno),
					    errno == EACCES ? " (ports below 1024 need root)"
					    : errno == EADDRINUSE && n_open > 0
						? " (from 0.0.0.0 to one address, or back: restart)"
						: "");
					listen_set_drop(&fresh, s);
					return -1;
				}
				remember(&l->binds[k], fd);
			}
			fresh.v = xreallocarray(fresh.v, fresh.n + 1, sizeof(*fresh.v));
			fresh.v[fresh.n++] = (struct proc_socket){fd, (unsigned)i};
		}
	}
	*s = fresh;
	return 0;
}

void
listen_set_commit(const struct listen_set *s)
{
	close_unused(s, NULL);
}

void
listen_set_drop(struct listen_set *s, const struct listen_set *keep)
{
	struct listen_set none = {NULL, 0};

	close_unused(keep, &none);
	free(s->v);
	s->v = NULL;
	s->n = 0;
}

void
listen_set_log(const struct listen_set *s, const struct conf *c)
{
	struct net_addr a;
	struct log_line l;

	for (size_t i = 0; i < s->n; i++) {
		if (net_local(s->v[i].fd, &a) == -1)
			continue;
		log_begin(&l, LOG_LEVEL_INFO, EV_START);
		log_str(&l, LK_LISTENER, c->listener_blocks[s->v[i].listener].title);
		log_addr(&l, LK_HOST, &a);
		log_end(&l);
	}
}
