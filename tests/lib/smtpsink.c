/* SPDX-License-Identifier: ISC */
/*
 * smtpsink - the project's own next hop for load and crash tests. One thread, one
 * epoll loop; it takes mail, counts it, writes down whose it was, and throws it
 * away. The protocol is in smtpsink_smtp.c.
 *
 * A line of --log is written before the 250, so that what the log lacks was
 * never acknowledged: UUID, "mail" or "dsn", recipients, octets, separated by tabs.
 */
#include "smtpsink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct sink_options sink_opt = {.listen = "127.0.0.1"};
struct sink_stats *sink_stats;

static int epoll_fd, log_fd = -1, save_count;
static SSL_CTX *tls;
static struct sink_conn *delayed_first, **delayed_last = &delayed_first;

static const char usage_text[] =
    "usage: smtpsink [--listen A] [--port N, 0: a free one] [--log FILE] [--stats FILE]\n"
    "    [--tempfail %] [--permfail %] [--dotfail %] [--drop %] [--delay MS]\n"
    "    [--without EXT,EXT] [--cert F --key F] [--save DIR: heads of messages]\n"
    "prints `port N` when it listens; the counters on USR1 and at the end.\n";

int64_t
sink_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void
die(const char *what)
{
	fprintf(stderr, "smtpsink: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
print_stats(void)
{
	printf("{\"messages\": %lu, \"rcpts\": %lu, \"tempfailed\": %lu, \"permfailed\": %lu, "
	       "\"connections\": %lu, \"bytes\": %lu}\n",
	    sink_stats->messages, sink_stats->rcpts, sink_stats->tempfailed, sink_stats->permfailed,
	    sink_stats->connections, sink_stats->bytes);
	fflush(stdout);
}

void
sink_record(struct sink_conn *c)
{
	char line[sizeof(c->list) + 128], path[4096];
	int n, fd;

	if (log_fd != -1) {
		n = snprintf(line, sizeof(line), "%s\t%s\t%s\t%zu\n",
		    c->uuid[0] != '\0' ? c->uuid : "-", c->is_dsn ? "dsn" : "mail", c->list,
		    c->data_len);
		if (n < 0 || (size_t)n >= sizeof(line) || write(log_fd, line, (size_t)n) != n)
			die("log");
	}
	if (sink_opt.save != NULL) {
		snprintf(path, sizeof(path), "%s/%06d", sink_opt.save, save_count++);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		if (fd == -1 || write(fd, c->head, c->head_len) != (ssize_t)c->head_len)
			die(path);
		close(fd);
	}
}

void
sink_delay(struct sink_conn *c)
{
	c->delayed = true;
	c->due = sink_now() + (int64_t)sink_opt.delay_ms * 1000000;
	c->next_delayed = NULL;
	*delayed_last = c;
	delayed_last = &c->next_delayed;
}

static void
conn_free(struct sink_conn *c)
{
	struct sink_conn **p = &delayed_first;

	while (c->delayed && *p != NULL && *p != c)
		p = &(*p)->next_delayed;
	if (c->delayed && *p == c) {
		*p = c->next_delayed;
		if (delayed_last == &c->next_delayed)
			delayed_last = p;
	}
	SSL_free(c->ssl);
	close(c->fd);
	free(c);
}

static void
watch(struct sink_conn *c, bool write)
{
	struct epoll_event ev = {
	    .events = (c->delayed ? 0u : EPOLLIN) | (write ? EPOLLOUT : 0u), .data.ptr = c};

	c->want_write = write;
	epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
}

/* -1: gone. */
static int
conn_flush(struct sink_conn *c)
{
	while (c->out_off < c->out_len && !c->delayed) {
		ssize_t n;

		if (c->encrypted) {
			ERR_clear_error();
			n = SSL_write(c->ssl, c->out + c->out_off, (int)(c->out_len - c->out_off));
			if (n <= 0 && SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_WRITE) {
				watch(c, true);
				return 0;
			}
			if (n <= 0)
				return -1;
		} else {
			n = send(c->fd, c->out + c->out_off, c->out_len - c->out_off, MSG_NOSIGNAL);
			if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
				watch(c, true);
				return 0;
			}
			if (n == -1)
				return -1;
		}
		c->out_off += (size_t)n;
	}
	if (!c->delayed)
		c->out_off = c->out_len = 0;
	if (c->want_write || c->delayed)
		watch(c, false);
	return c->dead && !c->delayed ? -1 : 0;
}

static int
conn_handshake(struct sink_conn *c)
{
	int n, e;

	if (c->ssl == NULL) {
		if ((c->ssl = SSL_new(tls)) == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
			return -1;
		SSL_set_accept_state(c->ssl);
	}
	ERR_clear_error();
	if ((n = SSL_do_handshake(c->ssl)) == 1) {
		c->handshaking = false;
		c->encrypted = true;
		return 0;
	}
	e = SSL_get_error(c->ssl, n);
	return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 1 : -1;
}

/* 0: nothing more for now, -1: gone. */
static int
conn_read(struct sink_conn *c)
{
	for (;;) {
		ssize_t n;

		if (c->handshaking) {
			int r = conn_handshake(c);

			if (r != 0)
				return r == 1 ? 0 : -1;
		}
		if (c->in_len == SINK_IN || c->delayed)
			return c->delayed ? 0 : -1;
		if (c->encrypted) {
			ERR_clear_error();
			n = SSL_read(c->ssl, c->in + c->in_len, (int)(SINK_IN - c->in_len));
			if (n <= 0)
				return SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_READ ? 0
				                                                            : -1;
		} else {
			n = recv(c->fd, c->in + c->in_len, SINK_IN - c->in_len, 0);
			if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
				return 0;
			if (n <= 0)
				return -1;
		}
		c->in_len += (size_t)n;
		sink_input(c);
		if (conn_flush(c) == -1)
			return -1;
	}
}

static void
accept_all(int listen_fd)
{
	int fd, one = 1;

	while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1) {
		struct sink_conn *c = calloc(1, sizeof(*c));
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

		if (c == NULL)
			die("memory");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c->fd = fd;
		sink_stats->connections++;
		sink_greet(c);
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) == -1 || conn_flush(c) == -1)
			conn_free(c);
	}
}

static int
release_delayed(void)
{
	int64_t now = sink_now();

	while (delayed_first != NULL && delayed_first->due <= now) {
		struct sink_conn *c = delayed_first;

		delayed_first = c->next_delayed;
		if (delayed_first == NULL)
			delayed_last = &delayed_first;
		c->delayed = false;
		watch(c, false);
		if (conn_flush(c) == -1) {
			conn_free(c);
			continue;
		}
		sink_input(c);
		if (conn_flush(c) == -1 || conn_read(c) == -1)
			conn_free(c);
	}
	return delayed_first == NULL ? -1 : (int)((delayed_first->due - now) / 1000000) + 1;
}

static int
open_listener(void)
{
	struct sockaddr_in sin = {
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)sink_opt.port)};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	if (fd == -1 || inet_pton(AF_INET, sink_opt.listen, &sin.sin_addr) != 1)
		die(sink_opt.listen);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1 || listen(fd, 1024) == -1 ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) == -1)
		die("bind");
	printf("port %u\n", ntohs(sin.sin_port));
	fflush(stdout);
	return fd;
}

static void
open_files(void)
{
	int fd = -1, flags = MAP_SHARED | MAP_ANONYMOUS;

	if (sink_opt.stats != NULL) {
		fd = open(sink_opt.stats, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		if (fd == -1 || ftruncate(fd, sizeof(*sink_stats)) == -1)
			die(sink_opt.stats);
		flags = MAP_SHARED;
	}
	sink_stats = mmap(NULL, sizeof(*sink_stats), PROT_READ | PROT_WRITE, flags, fd, 0);
	if (sink_stats == MAP_FAILED)
		die("mmap");
	if (sink_opt.log != NULL &&
	    (log_fd = open(sink_opt.log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)) == -1)
		die(sink_opt.log);
	if (sink_opt.cert == NULL)
		return;
	tls = SSL_CTX_new(TLS_server_method());
	if (tls == NULL || SSL_CTX_use_certificate_chain_file(tls, sink_opt.cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(tls, sink_opt.key, SSL_FILETYPE_PEM) != 1)
		die("certificate");
	SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

static void
take_options(int argc, char **argv)
{
	static const struct option list[] = {{"listen", 1, NULL, 'l'}, {"port", 1, NULL, 'p'},
	    {"log", 1, NULL, 'L'}, {"stats", 1, NULL, 's'}, {"tempfail", 1, NULL, 't'},
	    {"permfail", 1, NULL, 'f'}, {"dotfail", 1, NULL, 'd'}, {"drop", 1, NULL, 'D'},
	    {"delay", 1, NULL, 'w'}, {"without", 1, NULL, 'x'}, {"cert", 1, NULL, 'c'},
	    {"key", 1, NULL, 'k'}, {"save", 1, NULL, 'S'}, {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "", list, NULL)) != -1) {
		int v = optarg != NULL ? (int)strtol(optarg, NULL, 10) : 0;

		switch (c) {
		case 'l':
			sink_opt.listen = optarg;
			break;
		case 'p':
			sink_opt.port = v;
			break;
		case 'L':
			sink_opt.log = optarg;
			break;
		case 's':
			sink_opt.stats = optarg;
			break;
		case 't':
			sink_opt.tempfail = v;
			break;
		case 'f':
			sink_opt.permfail = v;
			break;
		case 'd':
			sink_opt.dotfail = v;
			break;
		case 'D':
			sink_opt.drop = v;
			break;
		case 'w':
			sink_opt.delay_ms = v;
			break;
		case 'x':
			sink_opt.without = optarg;
			break;
		case 'c':
			sink_opt.cert = optarg;
			break;
		case 'k':
			sink_opt.key = optarg;
			break;
		case 'S':
			sink_opt.save = optarg;
			break;
		default:
			fputs(usage_text, stderr);
			exit(2);
		}
	}
}

static int
open_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	if ((fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)) == -1)
		die("signalfd");
	return fd;
}

static void
on_signal(int fd)
{
	struct signalfd_siginfo si;

	while (read(fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		print_stats();
		if (si.ssi_signo != SIGUSR1)
			exit(0);
	}
}

int
main(int argc, char **argv)
{
	struct epoll_event ev[128], add = {.events = EPOLLIN};
	struct rlimit rl;
	int listen_fd, signal_fd, n;

	take_options(argc, argv);
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	signal_fd = open_signals();
	open_files();
	if ((epoll_fd = epoll_create1(EPOLL_CLOEXEC)) == -1)
		die("epoll");
	listen_fd = open_listener();
	add.data.ptr = &listen_fd;
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &add);
	add.data.ptr = &signal_fd;
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, signal_fd, &add);
	for (;;) {
		n = epoll_wait(epoll_fd, ev, 128, release_delayed());
		for (int i = 0; i < n; i++) {
			struct sink_conn *c = ev[i].data.ptr;

			if (ev[i].data.ptr == &listen_fd)
				accept_all(listen_fd);
			else if (ev[i].data.ptr == &signal_fd)
				on_signal(signal_fd);
			else if (((ev[i].events & EPOLLOUT) != 0 && conn_flush(c) == -1) ||
				 ((ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 &&
				     conn_read(c) == -1))
				conn_free(c);
		}
	}
}
