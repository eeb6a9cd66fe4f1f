/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_CTL_CTL_AUDIT_H
#define SUBMITD_CTL_CTL_AUDIT_H

#include "audit/audit_chain.h"
#include "ctl/ctl.h"

/* What the files of submitctl audit share. */

/* ---- ctl_audit_file.c: the files of a record, oldest first ---- */
#define CTL_AUDIT_FILES 4096
struct ctl_audit_files {
	char **paths; /* owned; "-" is standard input */
	size_t n;
	char *pub; /* where the public key should be; or NULL */
};
/*
 * The files named, or that of the configuration with those that were rotated away from
 * it. -1: errors were printed.
 */
int ctl_audit_files(struct ctl *, int argc, char **argv, struct ctl_audit_files *);
void ctl_audit_files_clear(struct ctl_audit_files *);

/* ---- ctl_audit_read.c: their lines; what gzip compressed is read as it is ---- */
/* Every line of a file, in pieces where one is too long. -1: not all of it, printed why. */
typedef void ctl_audit_line_fn(void *arg, struct span line, bool whole);
int ctl_audit_read(const char *path, ctl_audit_line_fn *, void *arg);
/* Its first octets; how many: 0 for standard input, and where it cannot be read. */
size_t ctl_audit_peek(const char *path, char *out, size_t n);
bool ctl_audit_is_packed(const char *path);

/* ---- ctl_audit_match.c ---- */
/* submitd-audit(7) */
#define CTL_AUDIT_KINDS                                                                            \
	"begin", "auth", "accept", "relay", "refused", "config", "operator", "died", "gap",        \
	    "repair", "sync_failed", "moved", "checkpoint"
struct ctl_audit_query {
	const char *user, *kind, *mid, *text;
	struct net_cidr net;
	bool has_net, failed;
	char since[32], until[32]; /* as the times of the record; empty: not given */
	uint64_t *strange;         /* counts lines that are no records; or NULL */
};
/* "30d" ago, or the beginning of a time like "2026-11-25T12". -1: neither. */
int ctl_audit_time(const char *, char out[32]);
/* The record's members, owned by the caller; NULL: it does not match. */
json_t *ctl_audit_match(const struct ctl_audit_query *, struct span line);
/* Says so where lines were passed over that are no records. */
void ctl_audit_tell_strange(uint64_t lines);
/* For people: time, kind, then what it says. */
void ctl_audit_format(const json_t *, struct buf *out);
/* Where it came from: the /24 or /64 as text; "" for none. */
void ctl_audit_network(const char *client, char out[NET_ADDR_TEXT]);
/* Who it was about: the principal, else the name; NULL where nobody may know. */
const char *ctl_audit_who(const json_t *);

/* ---- ctl_audit_repeat.c ---- */
#define CTL_AUDIT_SENDERS 512u
struct ctl_audit_senders { /* zero-filled: none */
	struct ctl_audit_sender {
		char src[40];
		json_int_t n, gap; /* the highest number, and that of its gaps */
	} v[CTL_AUDIT_SENDERS];
	size_t n;
};
/*
 * True: it was written again after a failed sync, and was seen before. Records are given in
 * the order of the files: all, or all that match something.
 */
bool ctl_audit_is_repeated(struct ctl_audit_senders *, const json_t *record);

int ctl_audit_verify(struct ctl *, int argc, char **argv);
int ctl_audit_search(struct ctl *, int argc, char **argv);
int ctl_audit_tail(struct ctl *, int argc, char **argv);
int ctl_audit_report(struct ctl *, int argc, char **argv);
int ctl_audit_user(struct ctl *, int argc, char **argv);

#endif
