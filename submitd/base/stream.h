/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_STREAM_H
#define SUBMITD_STREAM_H

#include "base/net.h"
#include "base/tls.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * A TCP connection that blocks its thread, with or without TLS: for worker threads, where the
 * event loop's io is of no use. Everything ends by one deadline on the monotonic clock
 * (stream_clock_ms(), the same as ev_now_ms()), however slowly the peer trickles.
 *
 * Calls give -1 with a text in `error`, without what the peer sent; then only stream_close()
 * is left. SIGPIPE must be ignored.
 */
struct stream {
	int fd;   /* -1: not open */
	SSL *ssl; /* NULL: in clear */
	int64_t deadline_ms;
	struct tls_facts facts; /* after stream_start_tls() */
	char error[256];
};
#define STREAM_INIT                                                                                \
	{                                                                                          \
		.fd = -1                                                                           \
	}

int64_t stream_clock_ms(void);

/*
 * The addresses of a full host name or an address literal, at most max, by /etc/hosts and the
 * system's name servers. 0 with a text in err when there is none or the servers did not answer.
 * Takes at most a second longer per name server than the deadline allows.
 */
size_t stream_resolve(const char *host, uint16_t port, int64_t deadline_ms, struct net_addr *out,
    size_t max, char *err, size_t errsize);

/*
 * All name look-ups of this thread by the C library, ours and those of other libraries, give up by
 * about the deadline: one try per name server, no search domains.
 */
void stream_limit_lookups(int64_t deadline_ms);

/* source may be NULL. The stream must be STREAM_INIT or closed. */
int stream_connect(
    struct stream *, const struct net_addr *to, const struct net_addr *source, int64_t deadline_ms);
/* The client's handshake; a context that verifies compares the certificate with host. */
int stream_start_tls(struct stream *, SSL_CTX *, const char *host);
/* At least one octet; 0: the peer closed. */
ssize_t stream_read(struct stream *, void *, size_t);
/* All of it. */
int stream_write(struct stream *, const void *, size_t);
/* Never waits; NULL-safe members, may be called twice. */
void stream_close(struct stream *);

#endif
