/* SPDX-License-Identifier: ISC */
/*
 * smtpload - the project's own load generator for SMTP submission: options, the
 * threads and the one line of JSON at the end. The sessions are in
 * smtpload_conn.c.
 *
 * Each message carries a UUID (X-Seq and Message-ID). With --acked FILE the UUID
 * of every message that got its 250 is appended there before it is counted, so
 * that a crash test can compare with what arrived. With --retry a lost session or
 * a 4xx makes a new message with a new UUID: an old one is never sent again.
 */
#include "smtpload.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static struct load_run run;

static const char usage_text[] =
    "usage: smtpload [--host H] [--port P] [--tls none|starttls|implicit]\n"
    "    [--auth none|plain|login|noop] [--user U] [--password P] [--from A] [--to-domain D]\n"
    "    [--connections N] [--messages N] [--per-connection N] [--size BYTES] [--rcpts N]\n"
    "    [--domains N: recipients spread over d0.D to dN-1.D] [--threads N] [--duration S]\n"
    "    [--pause MS: between the messages of a session]\n"
    "    [--logins: no messages, --messages N sessions that log in and leave]\n"
    "    [--timeout S] [--no-pipelining] [--bdat] [--retry] [--acked FILE]\n"
    "    [--idle N: N sessions log in and stay; prints `idle N`; ends at TERM or --duration]\n";

int64_t
load_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void
die(const char *what)
{
	fprintf(stderr, "smtpload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
on_signal(int sig)
{
	(void)sig;
	atomic_store(&run.stop, true);
}

enum {
	O_HOST = 1,
	O_PORT,
	O_TLS,
	O_AUTH,
	O_USER,
	O_PASSWORD,
	O_FROM,
	O_TO_DOMAIN,
	O_CONNECTIONS,
	O_MESSAGES,
	O_PER_CONNECTION,
	O_SIZE,
	O_RCPTS,
	O_DOMAINS,
	O_THREADS,
	O_DURATION,
	O_TIMEOUT,
	O_NO_PIPELINING,
	O_BDAT,
	O_RETRY,
	O_LOGINS,
	O_ACKED,
	O_IDLE,
	O_PAUSE,
};

static const struct option long_options[] = {
    {"host", 1, NULL, O_HOST},
    {"port", 1, NULL, O_PORT},
    {"tls", 1, NULL, O_TLS},
    {"auth", 1, NULL, O_AUTH},
    {"user", 1, NULL, O_USER},
    {"password", 1, NULL, O_PASSWORD},
    {"from", 1, NULL, O_FROM},
    {"to-domain", 1, NULL, O_TO_DOMAIN},
    {"connections", 1, NULL, O_CONNECTIONS},
    {"messages", 1, NULL, O_MESSAGES},
    {"per-connection", 1, NULL, O_PER_CONNECTION},
    {"size", 1, NULL, O_SIZE},
    {"rcpts", 1, NULL, O_RCPTS},
    {"domains", 1, NULL, O_DOMAINS},
    {"threads", 1, NULL, O_THREADS},
    {"duration", 1, NULL, O_DURATION},
    {"timeout", 1, NULL, O_TIMEOUT},
    {"no-pipelining", 0, NULL, O_NO_PIPELINING},
    {"bdat", 0, NULL, O_BDAT},
    {"retry", 0, NULL, O_RETRY},
    {"logins", 0, NULL, O_LOGINS},
    {"acked", 1, NULL, O_ACKED},
    {"idle", 1, NULL, O_IDLE},
    {"pause", 1, NULL, O_PAUSE},
    {NULL, 0, NULL, 0},
};

static long
number(const char *text, long min, long max)
{
	char *end;
	long v = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || v < min || v > max) {
		fprintf(stderr, "smtpload: %s is not between %ld and %ld\n", text, min, max);
		exit(2);
	}
	return v;
}

static int
word(const char *text, const char *const *words)
{
	for (int i = 0; words[i] != NULL; i++)
		if (strcmp(text, words[i]) == 0)
			return i;
	fputs(usage_text, stderr);
	exit(2);
}

static void
take_number(struct load_options *o, int c)
{
	switch (c) {
	case O_CONNECTIONS:
		o->connections = (int)number(optarg, 1, 100000);
		break;
	case O_MESSAGES:
		o->messages = number(optarg, 1, 1000000000);
		break;
	case O_PER_CONNECTION:
		o->per_connection = number(optarg, 1, 1000000000);
		break;
	case O_SIZE:
		o->size = number(optarg, 1, 1 << 30);
		break;
	case O_RCPTS:
		o->rcpts = (int)number(optarg, 1, 100);
		break;
	case O_DOMAINS:
		o->domains = (int)number(optarg, 1, 1000000);
		break;
	case O_THREADS:
		o->threads = (int)number(optarg, 1, 64);
		break;
	case O_IDLE:
		o->idle = (int)number(optarg, 1, 100000);
		break;
	case O_PAUSE:
		o->pause_ms = (int)number(optarg, 0, 100000);
		break;
	case O_DURATION:
		o->duration_s = atof(optarg);
		break;
	case O_TIMEOUT:
		o->timeout_s = atof(optarg);
		break;
	default:
		fputs(usage_text, stderr);
		exit(2);
	}
}

static void
take_options(int argc, char **argv, struct load_options *o)
{
	static const char *const tls_words[] = {"none", "starttls", "implicit", NULL};
	static const char *const auth_words[] = {"none", "plain", "login", "noop", NULL};
	int c;

	*o = (struct load_options){.host = "127.0.0.1",
	    .port = "587",
	    .user = "user",
	    .password = "password",
	    .from = "user@example.com",
	    .to_domain = "example.net",
	    .connections = 10,
	    .threads = 2,
	    .rcpts = 1,
	    .messages = 100,
	    .per_connection = 100,
	    .size = 10240,
	    .timeout_s = 60,
	    .tls = LOAD_TLS_STARTTLS,
	    .auth = LOAD_AUTH_PLAIN,
	    .pipelining = true};
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (c) {
		case O_HOST:
			o->host = optarg;
			break;
		case O_PORT:
			o->port = optarg;
			break;
		case O_TLS:
			o->tls = (enum load_tls)word(optarg, tls_words);
			break;
		case O_AUTH:
			o->auth = (enum load_auth)word(optarg, auth_words);
			break;
		case O_USER:
			o->user = optarg;
			break;
		case O_PASSWORD:
			o->password = optarg;
			break;
		case O_FROM:
			o->from = optarg;
			break;
		case O_TO_DOMAIN:
			o->to_domain = optarg;
			break;
		case O_NO_PIPELINING:
			o->pipelining = false;
			break;
		case O_BDAT:
			o->bdat = true;
			break;
		case O_RETRY:
			o->retry = true;
			break;
		case O_LOGINS:
			o->logins = true;
			break;
		case O_ACKED:
			o->acked = optarg;
			break;
		default:
			take_number(o, c);
		}
	}
	if (o->idle > 0)
		o->connections = o->idle;
	if (o->threads > o->connections)
		o->threads = o->connections;
}

/* 72 characters a line, some lines begin with a (stuffed) dot. */
static void
make_body(struct load_run *r)
{
	size_t want = (size_t)r->opt.size, n = 0, line = 0;
	char *b = malloc(want + 256);

	if (b == NULL)
		die("body");
	while (n < want) {
		size_t len = want - n < 74 ? want - n : 74;

		for (size_t i = 0; i < len; i++)
			b[n + i] = (char)('a' + (line * 7 + i * 11) % 26);
		if (line % 16 == 0 && len > 2)
			b[n] = b[n + 1] = '.';
		if (len >= 2) {
			b[n + len - 2] = '\r';
			b[n + len - 1] = '\n';
		}
		n += len;
		line++;
	}
	if (n < 2 || b[n - 2] != '\r' || b[n - 1] != '\n') {
		b[n++] = '\r';
		b[n++] = '\n';
	}
	r->body = b;
	r->body_len = n;
}

static void
set_up(struct load_run *r)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *ai;
	struct rlimit rl;
	int e;

	if ((e = getaddrinfo(r->opt.host, r->opt.port, &hints, &ai)) != 0) {
		fprintf(stderr, "smtpload: %s:%s: %s\n", r->opt.host, r->opt.port, gai_strerror(e));
		exit(1);
	}
	memcpy(&r->addr, ai->ai_addr, ai->ai_addrlen);
	r->addr_len = ai->ai_addrlen;
	freeaddrinfo(ai);
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	r->acked_fd = -1;
	if (r->opt.acked != NULL && (r->acked_fd = open(r->opt.acked,
					 O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)) == -1)
		die(r->opt.acked);
	if (getrandom(&r->run_id, sizeof(r->run_id), 0) != (ssize_t)sizeof(r->run_id))
		die("getrandom");
	if ((r->tls = SSL_CTX_new(TLS_client_method())) == NULL)
		die("SSL_CTX_new");
	SSL_CTX_set_mode(r->tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
				     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				     SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(r->tls, SSL_SESS_CACHE_OFF);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	make_body(r);
	r->end_ns = r->opt.duration_s > 0 ? load_now() + (int64_t)(r->opt.duration_s * 1e9) : 0;
}

static void *
thread_main(void *arg)
{
	load_worker_run(arg);
	return NULL;
}

static int
by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void
print_samples(const char *name, struct load_worker *w, int n, size_t offset)
{
	struct load_samples all = {0};
	double at[3] = {0, 0, 0}, sum = 0;
	static const double share[3] = {0.5, 0.99, 1.0};

	for (int i = 0; i < n; i++) {
		struct load_samples *s = (struct load_samples *)((char *)&w[i] + offset);

		all.v = realloc(all.v, (all.n + s->n + 1) * sizeof(*all.v));
		if (all.v == NULL)
			die("memory");
		if (s->n > 0)
			memcpy(all.v + all.n, s->v, s->n * sizeof(*all.v));
		all.n += s->n;
	}
	if (all.n > 0) {
		qsort(all.v, all.n, sizeof(*all.v), by_value);
		for (int i = 0; i < 3; i++)
			at[i] = all.v[(size_t)((double)(all.n - 1) * share[i])] / 1000.0;
		for (size_t i = 0; i < all.n; i++)
			sum += all.v[i] / 1000.0;
	}
	printf(
	    ", \"%s\": {\"n\": %zu, \"mean\": %.3f, \"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f}",
	    name, all.n, all.n > 0 ? sum / (double)all.n : 0, at[0], at[1], at[2]);
	free(all.v);
}

static void
print_text(const char *key, const char *text)
{
	printf(", \"%s\": \"", key);
	for (; *text != '\0'; text++)
		putchar(*text == '"' || *text == '\\' || (unsigned char)*text < ' ' ? '?' : *text);
	putchar('"');
}

int
main(int argc, char **argv)
{
	struct load_worker *w;
	pthread_t *t;
	int64_t start;
	double seconds;
	int first = 0, n;
	const char *error = "";

	take_options(argc, argv, &run.opt);
	set_up(&run);
	n = run.opt.threads;
	w = calloc((size_t)n, sizeof(*w));
	t = calloc((size_t)n, sizeof(*t));
	if (w == NULL || t == NULL)
		die("memory");
	start = load_now();
	for (int i = 0; i < n; i++) {
		w[i].run = &run;
		w[i].index = i;
		w[i].first = first;
		w[i].count = run.opt.connections / n + (i < run.opt.connections % n);
		first += w[i].count;
		if ((errno = pthread_create(&t[i], NULL, thread_main, &w[i])) != 0)
			die("pthread_create");
	}
	for (int i = 0; i < n; i++) {
		pthread_join(t[i], NULL);
		if (w[i].error[0] != '\0')
			error = w[i].error;
	}
	seconds = (double)(load_now() - start) / 1e9;
	printf("{\"ok\": %ld, \"refused_temp\": %ld, \"refused_perm\": %ld, \"lost\": %ld", run.ok,
	    run.refused_temp, run.refused_perm, run.lost);
	printf(", \"connect_errors\": %ld, \"sessions\": %ld, \"seconds\": %.3f, \"per_s\": %.1f",
	    run.connect_errors, run.sessions, seconds, (double)run.ok / seconds);
	printf(", \"unfinished\": %ld", run.unfinished);
	print_samples("login_ms", w, n, offsetof(struct load_worker, login));
	print_samples("message_ms", w, n, offsetof(struct load_worker, message));
	print_text("error", error);
	puts("}");
	return 0;
}
