/* SPDX-License-Identifier: ISC */
#ifndef TESTS_LIB_SMTPSINK_H
#define TESTS_LIB_SMTPSINK_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Counters, also in the file of --stats (mapped; seven little-endian uint64). */
struct sink_stats {
	uint64_t messages, rcpts, tempfailed, permfailed, connections, bytes, last_ns;
};

struct sink_options {
	const char *listen, *log, *stats, *cert, *key, *save, *without;
	int port, tempfail, permfail, dotfail, drop, delay_ms, banner_delay_ms;
};

#define SINK_IN 65536
#define SINK_HEAD 8192

struct sink_conn {
	int fd;
	SSL *ssl;
	bool encrypted, handshaking, in_data, line_start, dead, want_write, delayed;
	bool head_done, is_dsn;
	int rcpts_ok;
	int64_t due; /* when the delayed reply goes out */
	struct sink_conn *next_delayed;
	uint64_t chunk_left; /* of a BDAT */
	bool chunk_last, chunking;
	size_t in_len, out_len, out_off, head_len, list_len, data_len;
	char uuid[40];
	char in[SINK_IN], out[8192], head[SINK_HEAD], list[8192];
};

extern struct sink_options sink_opt;
extern struct sink_stats *sink_stats;

int64_t sink_now(void);
/* The protocol: takes what is in c->in, appends replies to c->out. */
void sink_input(struct sink_conn *);
void sink_greet(struct sink_conn *);
void sink_reply(struct sink_conn *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Main: a reply that waits for --delay. */
void sink_delay(struct sink_conn *);
/* Main: one line to --log, one message to --save. */
void sink_record(struct sink_conn *);

#endif
