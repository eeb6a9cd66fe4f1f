/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_CTL_CTL_H
#define SUBMITD_CTL_CTL_H

#include "base/secret.h"
#include "conf/conf.h"

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

/* Exit codes of submitctl (DESIGN 7). */
#define CTL_OK 0
#define CTL_FAILED 1
#define CTL_USAGE 2

#define CTL_DEFAULT_CONF "/etc/submitd/submitd.conf"
#define CTL_DEFAULT_SOCKET "/run/submitd/control.sock"

/* What the options before the command said. */
struct ctl {
	const char *conf_path; /* -f, or NULL */
	const char *socket;    /* --socket, or NULL */
	bool json;
};

/* One command: a row in submitctl.c. fn gets its name as argv[0]. */
struct ctl_command {
	const char *name;
	int (*fn)(struct ctl *, int argc, char **argv);
	const char *usage;   /* behind "submitctl NAME", may have several lines */
	const char *summary; /* one line */
	const char *help;    /* options, a few lines, or NULL */
};
const struct ctl_command *ctl_command_find(const char *name);
void ctl_print_help(const struct ctl_command *);

int ctl_queue(struct ctl *, int argc, char **argv);
int ctl_history(struct ctl *, int argc, char **argv);
int ctl_audit(struct ctl *, int argc, char **argv);
int ctl_log(struct ctl *, int argc, char **argv);
int ctl_stats(struct ctl *, int argc, char **argv);
int ctl_state(struct ctl *, int argc, char **argv);
int ctl_reload(struct ctl *, int argc, char **argv);
int ctl_explain(struct ctl *, int argc, char **argv);
int ctl_account(struct ctl *, int argc, char **argv);
int ctl_passwd(struct ctl *, int argc, char **argv);
int ctl_auth_test(struct ctl *, int argc, char **argv);

/* ---- ctl_util.c ---- */
/* "submitctl: …" to stderr. */
void ctl_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The configuration file, or NULL with the errors printed (quiet: not printed). */
struct conf *ctl_conf_load(const struct ctl *, bool quiet);
/* "90s", "2h", "1d" to seconds. -1: not an age. */
int ctl_parse_age(const char *, int64_t *seconds);
/* 3725 is "1h 2m". */
#define CTL_AGE_TEXT 32
const char *ctl_format_age(int64_t seconds, char out[CTL_AGE_TEXT]);
/* Milliseconds since 1970 as local time. */
const char *ctl_format_time(int64_t seconds, char out[CTL_AGE_TEXT]);
/* Members of a row as text; "" where missing. Numbers are formatted into hold. */
const char *ctl_text(const json_t *row, const char *key);
int64_t ctl_int(const json_t *row, const char *key, int64_t fallback);
void ctl_print_json(const json_t *);
/* Prints a text without control characters and broken UTF-8: it may come from anywhere. */
void ctl_print_clean(const char *);
bool ctl_is_tty(void); /* stdout */
bool ctl_colour(void); /* a terminal, and NO_COLOR is not set */
int ctl_columns(void); /* width of the terminal; 0: not one */
/* Who runs this, for the record: "root", "root (sudo alice)". */
const char *ctl_user(void);

/* ---- ctl_conn.c: the control socket ---- */
/* Sends the request (taken); row for each object before the last. Exit code; errors are printed. */
typedef void ctl_row_fn(void *arg, const json_t *row);
int ctl_request(struct ctl *, json_t *request, ctl_row_fn *row, void *arg);
/* The same with octets behind the request, which says their number in "secret". */
int ctl_request_secret(
    struct ctl *, json_t *request, const struct secret *, ctl_row_fn *row, void *arg);
/* True where a submitd answers at the socket. */
bool ctl_daemon_is_up(struct ctl *);

/* ---- ctl_secret.c: passwords from people; never an argument, never printed ---- */
#define CTL_SECRET_MAX 1024u /* a password */
#define CTL_TOKEN_MAX 8192u
/*
 * Up to the end of the line. -1: nothing came. What is longer than max, which is at most
 * CTL_TOKEN_MAX, is cut behind it.
 */
int ctl_secret_read(int fd, size_t max, struct secret *);
/* From the terminal on standard input, without echo. -1: no terminal, or nothing came. */
int ctl_secret_ask(const char *prompt, size_t max, struct secret *);

/* ---- ctl_cert.c ---- */
#define CTL_CERT_MAX 32768u
/* The first certificates of a file as PEM, never its key. -1: said why. */
int ctl_cert_read(const char *path, struct secret *);

/* ---- ctl_table.c ---- */
#define CTL_TABLE_COLUMNS 12
struct ctl_column {
	const char *name;
	bool right;
	bool shrink; /* may be cut when the terminal is narrow */
};
struct ctl_table {
	const struct ctl_column *columns;
	size_t n_columns;
	char ***rows;
	size_t n_rows, printed;
	size_t width[CTL_TABLE_COLUMNS];
};
void ctl_table_init(struct ctl_table *, const struct ctl_column *, size_t n);
/* The cells are copied; rows leave in batches. */
void ctl_table_add(struct ctl_table *, const char *const *cells);
void ctl_table_end(struct ctl_table *); /* prints the rest and frees */

#endif
