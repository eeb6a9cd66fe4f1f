/* SPDX-License-Identifier: ISC */
/*
 * Whatever a server sends as the answer to a bind or a search: an answer, or none, by
 * the deadline. First octet: which of the two. The server is this thread: connections
 * wait in the backlog, and the whole answer is there before it is asked for.
 */
#include "authbackends/ldap_conn.h"
#include "base/net.h"
#include "base/str.h"
#include "base/stream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static int listener = -1;
static struct ldap_server server = {
    .text = "ldap://127.0.0.1", .connect_ms = 5000, .request_ms = 5000};

static void
start(void)
{
	struct net_addr a;

	if (net_addr_parse(span_of("127.0.0.1:0"), &a) == -1)
		abort();
	listener = net_listen(&a, 16);
	if (listener == -1 || net_local(listener, &a) == -1)
		abort();
	ldap_conn_init();
	(void)str_copy(server.uri.host, sizeof(server.uri.host), "127.0.0.1");
	server.uri.port = a.port;
}

static void
check_reply(const struct ldap_reply *r, int code)
{
	if (r->code != code || memchr(r->text, '\0', sizeof(r->text)) == NULL ||
	    str_has_control(span_of(r->text)) || !utf8_valid(span_of(r->text)))
		abort();
}

static void
check_entry(const struct ldap_entry *e, const struct ldap_reply *r)
{
	size_t i;

	if (r->code == 0 && e->n == 1 && e->dn[0] == '\0')
		abort();
	for (i = 0; i < 2; i++) {
		struct span v = buf_span(&e->values[i]);

		if (v.n > 0 && (v.p[v.n - 1] != '\0' || v.p[0] == '\0' || v.n > 65536))
			abort();
	}
}

static void
drop_line(void *arg, const char *line)
{
	*(size_t *)arg += strlen(line);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct ldap_find find = {
	    .base = "dc=x", .filter = "(a=b)", .attrs = {"mail", "proxyAddresses"}};
	struct secret password = {NULL, 0};
	struct ldap_entry entry = {0};
	struct ldap_reply r;
	struct ldap_conn *c;
	struct net_addr peer;
	size_t said = 0;
	int fd;

	if (n < 1)
		return 0;
	if (listener == -1)
		start();
	struct ldap_ask ask = {
	    .deadline_ms = stream_clock_ms() + 5000, .say = drop_line, .arg = &said};
	c = ldap_conn_open(&server, &ask);
	if (c == NULL)
		abort();
	while ((fd = net_accept(listener, &peer)) == -1)
		;
	if (send(fd, data + 1, n - 1, MSG_NOSIGNAL) != (ssize_t)n - 1 ||
	    shutdown(fd, SHUT_WR) == -1)
		abort();
	if ((data[0] & 1) != 0) {
		secret_set(&password, "secret", 6);
		check_reply(&r, ldap_conn_bind(c, &ask, "cn=x", &password, &r));
		secret_clear(&password);
	} else {
		check_reply(&r, ldap_conn_find(c, &ask, &find, &entry, &r));
		check_entry(&entry, &r);
		ldap_entry_clear(&entry);
	}
	if (said == 0)
		abort();
	ldap_conn_close(c);
	close(fd);
	return 0;
}
