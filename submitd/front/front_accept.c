/* SPDX-License-Identifier: ISC */
/*
 * Takes connections from the listening sockets that the supervisor opened, lets in
 * as many as the limits allow, and reads the PROXY header of listed peers. Runs in
 * front. Turns nobody away without a word, except where TLS comes first.
 */
#include "base/ev.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "front/front.h"
#include "front/proxy.h"
#include "front/smtp_session.h"
#include "proc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_BATCH 32
#define ACCEPT_PAUSE_MS 200 /* out of descriptors */
#define PROXY_TIMEOUT_MS 5000
#define PROXY_WAITING_MAX 1000u

struct acceptor {
	struct front *front;
	struct front_listener *listener;
	int fd;
	struct ev_watch watch;
	struct ev_timer pause;
};
static struct acceptor *acceptors; /* the process's listening sockets */
static size_t n_acceptors;
static unsigned n_proxy_waiting;

/* A connection of a balancer before its header is complete. */
struct proxy_wait {
	struct acceptor *acceptor;
	int fd;
	struct net_addr peer;
	struct ev_watch watch;
	struct ev_timer timer;
};

static void
refuse(const struct acceptor *a, int fd, const struct net_addr *client, const char *why)
{
	char text[400];
	struct log_line l;

	a->front->stats.refused++;
	log_begin(&l, LOG_LEVEL_INFO, EV_REFUSED);
	log_str(&l, LK_LISTENER, a->listener->conf->title);
	log_addr(&l, LK_CLIENT, client);
	log_u64(&l, LK_CODE, 421);
	log_str(&l, LK_REPLY, why);
	log_end(&l);
	if (a->listener->conf->tls != LISTENER_TLS_IMPLICIT) {
		(void)str_printf(text, sizeof(text), "421 4.7.0 %.200s: %s\r\n",
		    a->front->conf->server->hostname, why);
		(void)send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	close(fd);
}

static void
admit(struct acceptor *a, int fd, const struct net_addr *client, const struct net_addr *counted)
{
	struct front *f = a->front;

	switch (admit_take(&f->admit, a->listener->limit, a->listener->sessions, counted)) {
	case ADMIT_OK:
		(void)smtp_session_new(f, a->listener, fd, client, counted);
		break;
	case ADMIT_LISTENER_FULL:
		refuse(a, fd, client, "too many connections, try again later");
		break;
	case ADMIT_ADDRESS_FULL:
		refuse(a, fd, client, "too many connections from your address");
		break;
	case ADMIT_NETWORK_FULL:
		refuse(a, fd, client, "too many connections from your network");
		break;
	case ADMIT__MAX:
		break;
	}
}

static bool
in_nets(const struct net_cidr *nets, size_t n, const struct net_addr *a)
{
	for (size_t i = 0; i < n; i++) {
		if (net_cidr_match(&nets[i], a))
			return true;
	}
	return false;
}

/* ---- PROXY protocol
 * ------------------------------------------------------------------------------- */

static void
proxy_done(struct proxy_wait *w)
{
	ev_watch_clear(&w->watch);
	ev_timer_clear(&w->timer);
	n_proxy_waiting--;
	free(w);
}

static void
proxy_bad(struct proxy_wait *w, const char *why)
{
	log_note(LOG_LEVEL_WARN, "listener %s: a proxy's connection was closed: %s",
	    w->acceptor->listener->conf->title, why);
	close(w->fd);
	proxy_done(w);
}

static void
proxy_timeout(void *arg)
{
	proxy_bad(arg, "its PROXY header did not come in time");
}

/* The bytes are only looked at until the header is whole: what follows belongs to the session. */
static void
proxy_readable(int fd, short what, void *arg)
{
	struct proxy_wait *w = arg;
	struct acceptor *a = w->acceptor;
	struct net_addr client = w->peer, counted;
	uint8_t head[PROXY_MAX];
	size_t used = 0;
	ssize_t n = recv(fd, head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);

	(void)what;
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close(fd);
		proxy_done(w);
		return;
	}
	switch (proxy_parse(head, (size_t)n, &client, &used)) {
	case PROXY_MORE:
		if ((size_t)n == sizeof(head))
			proxy_bad(w, "its PROXY header is too long");
		return;
	case PROXY_BAD:
	case PROXY__MAX:
		proxy_bad(w, "it does not begin with a PROXY header");
		return;
	case PROXY_LOCAL:
		client = w->peer;
		break;
	case PROXY_OK:
		break;
	}
	if (recv(fd, head, used, MSG_DONTWAIT) != (ssize_t)used) {
		proxy_bad(w, "its PROXY header could not be read");
		return;
	}
	proxy_done(w);
	counted = client;
	admit(a, fd, &client, &counted);
}

static void
proxy_begin(struct acceptor *a, int fd, const struct net_addr *peer)
{
	struct proxy_wait *w;

	if (n_proxy_waiting >= PROXY_WAITING_MAX) {
		close(fd);
		return;
	}
	n_proxy_waiting++;
	w = xcallocarray(1, sizeof(*w));
	w->acceptor = a;
	w->fd = fd;
	w->peer = *peer;
	/* edges: half a header stays in the socket, and must not wake us until more comes */
	ev_watch_set(&w->watch, fd, EV_READ | EV_ET, proxy_readable, w);
	ev_timer_set(&w->timer, PROXY_TIMEOUT_MS, proxy_timeout, w);
}

/* ---- accepting
 * ------------------------------------------------------------------------------------ */

static void on_acceptable(int fd, short what, void *arg);

static void
accept_again(void *arg)
{
	struct acceptor *a = arg;

	ev_watch_set(&a->watch, a->fd, EV_READ, on_acceptable, a);
}

static void
on_acceptable(int fd, short what, void *arg)
{
	struct acceptor *a = arg;
	const struct conf_listener *c = a->listener->conf;

	(void)what;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		struct net_addr peer;
		int s = net_accept(fd, &peer);

		if (s == -1) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			    errno == ENOMEM) {
				log_note(LOG_LEVEL_ERROR,
				    "listener %s: no connection can be taken: %s", c->title,
				    strerror(errno));
				ev_watch_clear(&a->watch);
				ev_timer_set(&a->pause, ACCEPT_PAUSE_MS, accept_again, a);
				return;
			}
			if (errno == EAGAIN)
				return;
			continue; /* that client went away already */
		}
		if (in_nets(c->proxy_nets, c->n_proxy_nets, &peer))
			proxy_begin(a, s, &peer);
		else
			admit(a, s, &peer, &peer);
	}
}

int
front_accept_start(struct front *f)
{
	const struct proc_socket *sockets = proc_sockets(&n_acceptors);

	acceptors = xcallocarray(n_acceptors, sizeof(*acceptors));
	for (size_t i = 0; i < n_acceptors; i++) {
		struct acceptor *a = &acceptors[i];

		if (sockets[i].listener >= f->n_listeners)
			return -1;
		a->front = f;
		a->listener = &f->listeners[sockets[i].listener];
		a->fd = sockets[i].fd;
		ev_watch_set(&a->watch, a->fd, EV_READ, on_acceptable, a);
	}
	return 0;
}

void
front_accept_stop(void)
{
	for (size_t i = 0; i < n_acceptors; i++) {
		ev_watch_clear(&acceptors[i].watch);
		ev_timer_clear(&acceptors[i].pause);
	}
	/* waiting balancers keep pointing to them: they stay until the process ends */
}
