/* SPDX-License-Identifier: ISC */
#ifndef TESTS_LIB_SMTPLOAD_H
#define TESTS_LIB_SMTPLOAD_H

#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum load_tls { LOAD_TLS_NONE = 0, LOAD_TLS_STARTTLS, LOAD_TLS_IMPLICIT };
/* NOOP instead of AUTH: what a command costs that asks nobody. */
enum load_auth { LOAD_AUTH_NONE = 0, LOAD_AUTH_PLAIN, LOAD_AUTH_LOGIN, LOAD_AUTH_NOOP };

struct load_options {
	const char *host, *port, *user, *password, *from, *to_domain, *acked;
	int connections, threads, rcpts, domains, idle, pause_ms;
	long messages, per_connection, size;
	double duration_s, timeout_s;
	enum load_tls tls;
	enum load_auth auth;
	bool pipelining, bdat, retry, logins;
};

/* What all threads share. */
struct load_run {
	struct load_options opt;
	struct sockaddr_storage addr;
	socklen_t addr_len;
	SSL_CTX *tls;
	char *body; /* body of every message, dot-stuffed, with the final CRLF */
	size_t body_len;
	uint64_t run_id;
	int acked_fd; /* -1: none */
	int64_t end_ns;
	atomic_long claimed, ok, refused_temp, refused_perm, lost, connect_errors, sessions,
	    unfinished;
	atomic_int logged_in;
	atomic_bool stop;
};

/* Latencies in microseconds. */
struct load_samples {
	uint32_t *v;
	size_t n, cap;
};

enum step {
	STEP_CLOSED = 0, /* connect at `when` */
	STEP_CONNECT,
	STEP_HANDSHAKE,
	STEP_BANNER,
	STEP_EHLO,
	STEP_STARTTLS,
	STEP_AUTH,
	STEP_AUTH_USER,
	STEP_AUTH_PASSWORD,
	STEP_MAIL,
	STEP_RCPT,
	STEP_DATA,
	STEP_END, /* the reply to the whole message */
	STEP_QUIT,
	STEP_PAUSE, /* the next message at `when` */
	STEP_IDLE,
	STEP_DONE, /* nothing left to do */
};

#define LOAD_IN 4096
#define LOAD_OUT 24576

struct load_conn {
	int fd;
	SSL *ssl;
	enum step step;
	bool encrypted, greeted, want_write, rejected;
	int rcpts_left, rcpts_ok, worst; /* of this message; worst refusal code */
	long sent;                       /* messages in this session */
	int64_t when, active, started, mail_at;
	uint64_t seq;
	size_t in_len, out_len, out_off, body_off;
	bool body_on; /* the shared body follows what is in out */
	bool end_on;  /* and then the final dot */
	char *in, *out;
};

struct load_worker {
	struct load_run *run;
	int index, first, count; /* its share of the connections */
	struct load_samples login, message;
	char error[240]; /* one of the unexpected replies */
	struct load_conn *conns;
	int epoll;
	uint64_t seq;
};

/* smtpload_smtp.c: the protocol. */
void load_put(struct load_conn *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void load_next(struct load_worker *, struct load_conn *); /* the next message, or the end */
bool load_more(struct load_run *);                        /* messages are left to be sent */
/* One whole reply line. -1: the session failed, 1: it ended in good order. */
int load_reply(struct load_worker *, struct load_conn *, const char *line, size_t len);

int64_t load_now(void); /* CLOCK_MONOTONIC, ns */
/* Runs its connections until all messages are done, the time is up or run->stop. */
void load_worker_run(struct load_worker *);

#endif
