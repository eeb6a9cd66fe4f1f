/* SPDX-License-Identifier: ISC */
/*
 * Connections of a profile (S17, DESIGN promises 4 and 7): never more than `pool` of them,
 * kept and used again, another server when one is dead, and no wait beyond the deadline.
 * The server is a thread that says yes to each bind.
 */
#include "authbackends/ldap_profile.h"
#include "authbackends/ldap_wire.h"
#include "base/net.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>
#include <ldap.h>

#define CLIENTS_MAX 64
#define THREADS 8
#define ROUNDS 40

struct server {
	pthread_t thread;
	int listener, stop[2];
	uint16_t port;
	pthread_mutex_t lock; /* for the counters */
	unsigned open, most, accepted, answered;
	bool mute;  /* reads and says nothing */
	bool leave; /* hangs up after each answer */
	bool drip;  /* says one octet of each answer */
};

/* The wall clock, as libldap sees it: set back by an hour whenever somebody looks. */
static atomic_long wall_s = 2000000000;

int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	(void)tz;
	*tv = (struct timeval){.tv_sec = atomic_fetch_sub(&wall_s, 3600)};
	return 0;
}

static void
answer(struct server *s, int fd, const uint8_t *in, ssize_t n)
{
	/* a LDAPMessage of a short request: 30 LL 02 LL ID...; the id may have several octets */
	uint8_t out[32] = {0x30, 0}, id = 2;

	if (n < 8 || in[0] != 0x30 || in[2] != 0x02)
		return;
	id = in[3];
	memcpy(out + 2, in + 2, 2u + id);
	memcpy(out + 4 + id, "\x61\x07\x0a\x01\x00\x04\x00\x04\x00", 9);
	out[1] = (uint8_t)(2 + id + 9);
	pthread_mutex_lock(&s->lock);
	s->answered++;
	pthread_mutex_unlock(&s->lock);
	(void)send(fd, out, s->drip ? 1u : 2u + out[1], MSG_NOSIGNAL);
}

static void
count_open(struct server *s, int change)
{
	pthread_mutex_lock(&s->lock);
	s->open += (unsigned)change;
	s->accepted += change > 0;
	if (s->open > s->most)
		s->most = s->open;
	pthread_mutex_unlock(&s->lock);
}

static unsigned
counted(struct server *s, const unsigned *counter)
{
	unsigned n;

	pthread_mutex_lock(&s->lock);
	n = *counter;
	pthread_mutex_unlock(&s->lock);
	return n;
}

static void *
serve(void *arg)
{
	struct server *s = arg;
	struct pollfd p[CLIENTS_MAX + 2] = {
	    {.fd = s->stop[0], .events = POLLIN}, {.fd = s->listener, .events = POLLIN}};
	struct net_addr peer;
	nfds_t n = 2, i;
	uint8_t in[512];
	ssize_t got;

	while (poll(p, n, -1) > 0 && p[0].revents == 0) {
		if (p[1].revents != 0 && n < CLIENTS_MAX + 2 &&
		    (p[n].fd = net_accept(s->listener, &peer)) != -1) {
			p[n].revents = 0;
			p[n++].events = POLLIN;
			count_open(s, 1);
		}
		for (i = 2; i < n; i++) {
			if (p[i].revents == 0)
				continue;
			got = recv(p[i].fd, in, sizeof(in), 0);
			if (got > 0 && !s->mute)
				answer(s, p[i].fd, in, got);
			if (got > 0 && !s->leave)
				continue;
			close(p[i].fd);
			p[i--] = p[--n];
			count_open(s, -1);
		}
	}
	for (i = 2; i < n; i++)
		close(p[i].fd);
	return NULL;
}

static struct server *
server_start(bool mute, bool leave)
{
	struct server *s = xcallocarray(1, sizeof(*s));
	struct net_addr a;

	s->mute = mute;
	s->leave = leave;
	pthread_mutex_init(&s->lock, NULL);
	assert_int_equal(net_addr_parse(span_of("127.0.0.1:0"), &a), 0);
	s->listener = net_listen(&a, 64);
	assert_int_not_equal(s->listener, -1);
	assert_int_equal(net_local(s->listener, &a), 0);
	s->port = a.port;
	assert_int_equal(pipe(s->stop), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
	return s;
}

static void
server_stop(struct server *s)
{
	assert_int_equal(write(s->stop[1], "x", 1), 1);
	pthread_join(s->thread, NULL);
	close(s->stop[0]);
	close(s->stop[1]);
	close(s->listener);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* ---- profiles -------------------------------------------------------------------------------- */

static struct conf_ldap dir;
static char uris[3][64], *uri_list[3] = {uris[0], uris[1], uris[2]};

static struct ldap_profile *
profile(const struct server *a, const struct server *b, int64_t pool)
{
	char err[200] = "";
	struct ldap_profile *p;

	memset(&dir, 0, sizeof(dir));
	dir.title = uris[2];
	dir.uri.v = uri_list;
	dir.uri.n = b == NULL ? 1 : 2;
	(void)str_printf(uris[0], sizeof(uris[0]), "ldap://127.0.0.1:%u", a->port);
	if (b != NULL)
		(void)str_printf(uris[1], sizeof(uris[1]), "ldap://127.0.0.1:%u", b->port);
	dir.connect_timeout = 2000;
	dir.timeout = 300;
	dir.pool = pool;
	p = ldap_profile_open(&dir, err, sizeof(err));
	assert_string_equal(err, "");
	assert_non_null(p);
	return p;
}

static int
bind_work(struct ldap_conn *c, struct ldap_ask *a, void *arg)
{
	struct secret password = {NULL, 0};
	int code;

	secret_set(&password, "secret", 6);
	code = ldap_conn_bind(c, a, "cn=x", &password, arg);
	secret_clear(&password);
	return code;
}

/* The code, or -100 where no connection could be had. */
static int
bind_once(struct ldap_profile *p, int64_t ms)
{
	struct ldap_ask a = {.deadline_ms = stream_clock_ms() + ms};
	struct ldap_reply r, none;

	if (!ldap_profile_run(p, LDAP_AS_USER, &a, bind_work, &r, &none))
		return -100;
	return r.code;
}

static void
test_kept(void **state)
{
	struct server *s = server_start(false, false);
	struct ldap_profile *p = profile(s, NULL, 2);
	int i;

	(void)state;
	for (i = 0; i < 20; i++)
		assert_int_equal(bind_once(p, 10000), 0);
	assert_int_equal(counted(s, &s->accepted), 1);
	ldap_profile_close(p);
	server_stop(s);
}

static void *
storm(void *arg)
{
	intptr_t bad = 0;
	int i;

	for (i = 0; i < ROUNDS; i++)
		bad += bind_once(arg, 30000) != 0;
	return (void *)bad;
}

static void
test_pool(void **state)
{
	struct server *s = server_start(false, false);
	struct ldap_profile *p = profile(s, NULL, 2);
	pthread_t threads[THREADS];
	void *bad;
	int i;

	(void)state;
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, storm, p), 0);
	for (i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &bad);
		assert_int_equal((intptr_t)bad, 0);
	}
	assert_true(counted(s, &s->most) <= 2);
	assert_int_equal(counted(s, &s->answered), THREADS * ROUNDS);
	ldap_profile_close(p);
	server_stop(s);
}

/* A server that hangs up after each answer: each bind gets a new connection, none fails. */
static void
test_dead_handles(void **state)
{
	struct server *s = server_start(false, true);
	struct ldap_profile *p = profile(s, NULL, 2);
	int i;

	(void)state;
	for (i = 0; i < 20; i++)
		assert_int_equal(bind_once(p, 10000), 0);
	assert_true(counted(s, &s->accepted) >= 20);
	ldap_profile_close(p);
	server_stop(s);
}

static void
test_failover(void **state)
{
	struct server *mute = server_start(true, false), *good = server_start(false, false);
	struct ldap_profile *p = profile(mute, good, 4);
	struct ldap_notice n;
	int64_t start = stream_clock_ms(), first;

	(void)state;
	assert_int_equal(bind_once(p, 10000), 0);
	first = stream_clock_ms() - start;
	assert_true(first >= 300); /* waited for the mute one */
	assert_true(ldap_profile_next_notice(p, &n));
	assert_string_equal(n.state, "down");
	assert_string_equal(n.uri, uris[0]);
	assert_false(ldap_profile_next_notice(p, &n));
	assert_int_equal(bind_once(p, 10000), 0);
	assert_int_equal(counted(mute, &mute->accepted), 1); /* was not asked again */
	ldap_profile_close(p);
	server_stop(mute);
	server_stop(good);
}

static void
test_deadline(void **state)
{
	struct server *mute = server_start(true, false);
	struct ldap_profile *p = profile(mute, NULL, 1);
	int64_t start = stream_clock_ms();

	(void)state;
	assert_int_equal(bind_once(p, 200), LDAP_TIMEOUT);
	assert_in_range(stream_clock_ms() - start, 150, 20000);
	ldap_profile_close(p);
	server_stop(mute);
}

/* A wait goes by no clock that can be set. */
static void
test_clock(void **state)
{
	struct server *s = server_start(false, false);
	struct ldap_profile *p = profile(s, NULL, 1);
	int64_t start = stream_clock_ms();

	(void)state;
	s->drip = true;
	assert_int_equal(bind_once(p, 200), LDAP_TIMEOUT);
	assert_in_range(stream_clock_ms() - start, 150, 20000);
	ldap_profile_close(p);
	server_stop(s);
}

static int
hold_work(struct ldap_conn *c, struct ldap_ask *a, void *arg)
{
	(void)c, (void)a;
	assert_int_equal(bind_once(arg, 100), -100); /* pool = 1, and it is ours */
	return 0;
}

static void
test_full(void **state)
{
	struct server *s = server_start(false, false);
	struct ldap_profile *p = profile(s, NULL, 1);
	struct ldap_ask a = {.deadline_ms = stream_clock_ms() + 10000};
	struct ldap_reply none;
	int64_t start = stream_clock_ms();

	(void)state;
	assert_true(ldap_profile_run(p, LDAP_AS_SERVICE, &a, hold_work, p, &none));
	assert_true(stream_clock_ms() - start >= 100);
	/* the kept one of another use gives way */
	assert_int_equal(bind_once(p, 10000), 0);
	assert_int_equal(counted(s, &s->accepted), 2);
	ldap_profile_close(p);
	server_stop(s);
}

static void
test_nobody(void **state)
{
	struct server *s = server_start(false, false);
	struct ldap_profile *p = profile(s, NULL, 1);
	struct ldap_notice n;

	(void)state;
	server_stop(s);
	assert_int_equal(bind_once(p, 5000), -100);
	assert_true(ldap_profile_next_notice(p, &n));
	assert_string_equal(n.state, "down");
	assert_non_null(strstr(n.text, "refused"));
	ldap_profile_close(p);
}

static void
test_misconfigured(void **state)
{
	struct server *s = server_start(false, false);
	struct ldap_profile *p = profile(s, NULL, 1);
	struct ldap_notice n;
	char text[20];
	int i;

	(void)state;
	for (i = 0; i < 5; i++)
		ldap_profile_misconfigured(p, "bad base");
	assert_true(ldap_profile_next_notice(p, &n));
	assert_string_equal(n.state, "misconfigured");
	assert_string_equal(n.text, "bad base");
	assert_int_equal(n.count, 5);
	ldap_profile_misconfigured(p, "bad base");
	assert_false(ldap_profile_next_notice(p, &n)); /* was told just now */
	for (i = 0; i < 100; i++) {                    /* bounded */
		(void)str_printf(text, sizeof(text), "text %d", i);
		ldap_profile_misconfigured(p, text);
	}
	for (i = 0; ldap_profile_next_notice(p, &n); i++)
		assert_true(i < 20);
	ldap_profile_close(p);
	server_stop(s);
}

/* A password does not stay in the memory of a request. */
static void
test_wiped(void **state)
{
	char request[] = "a request with a secret";
	struct ldap_wire w = {.s = STREAM_INIT};
	Sockbuf_IO_Desc d = {.sbiod_pvt = &w};
	size_t n = sizeof(request), i;
	char got[sizeof(request)];
	int fds[2];

	(void)state;
	assert_int_equal(net_socketpair(fds), 0);
	w.s.fd = fds[0];
	w.s.deadline_ms = stream_clock_ms() + 10000;
	assert_int_equal(ldap_wire_io.sbi_write(&d, request, n), n);
	assert_int_equal(recv(fds[1], got, sizeof(got), 0), n);
	assert_string_equal(got, "a request with a secret");
	for (i = 0; i < n; i++)
		assert_int_equal(request[i], 0);
	/* nothing is read or written after the deadline, and no more than the budget */
	assert_int_equal(send(fds[1], got, n, 0), n);
	w.gate.step = LDAP_GATE_REST; /* in the last value of a message */
	w.gate.part = LDAP_GATE_VALUE;
	w.gate.more = 100;
	w.budget = 5;
	assert_int_equal(ldap_wire_io.sbi_read(&d, got, n), 5);
	assert_int_equal(ldap_wire_io.sbi_read(&d, got, n), -1);
	w.budget = 100;
	w.gate.more = 1; /* what follows is no message */
	assert_int_equal(ldap_wire_io.sbi_read(&d, got, n), -1);
	assert_int_equal(errno, EPROTO);
	assert_string_equal(w.s.error, w.gate.refused);
	w.s.deadline_ms = 0;
	assert_int_equal(ldap_wire_io.sbi_read(&d, got, n), -1);
	assert_int_equal(errno, ETIMEDOUT);
	assert_int_equal(ldap_wire_io.sbi_write(&d, got, n), -1);
	close(fds[0]);
	close(fds[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_kept),
	    cmocka_unit_test(test_pool),
	    cmocka_unit_test(test_dead_handles),
	    cmocka_unit_test(test_failover),
	    cmocka_unit_test(test_deadline),
	    cmocka_unit_test(test_clock),
	    cmocka_unit_test(test_full),
	    cmocka_unit_test(test_nobody),
	    cmocka_unit_test(test_misconfigured),
	    cmocka_unit_test(test_wiped),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("ldap_profile", tests, NULL, NULL);
}
