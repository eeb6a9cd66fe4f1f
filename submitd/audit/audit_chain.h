/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUDIT_AUDIT_CHAIN_H
#define SUBMITD_AUDIT_AUDIT_CHAIN_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * What makes the audit record stand up (A4): each line ends in the SHA-256 of the
 * hash before it and of its own bytes, and checkpoints sign a hash with Ed25519.
 * submitd-audit(7) has the format. Written by the ledger, checked by submitctl.
 */
struct audit_hash {
	uint8_t b[32];
};
#define AUDIT_HASH_TEXT 65 /* lower-case hex and a NUL */
#define AUDIT_HASH_TAIL 75 /* octets of ,"hash":"…"} at the end of a line */

/* The hash of a record: body is its line up to the comma before "hash". */
void audit_hash_next(const struct audit_hash *prev, struct span body, struct audit_hash *out);
/* SHA-256 of the bytes alone. */
void audit_hash_of(struct span, struct audit_hash *out);
bool audit_hash_equal(const struct audit_hash *, const struct audit_hash *);
void audit_hash_format(const struct audit_hash *, char out[AUDIT_HASH_TEXT]);
int audit_hash_parse(struct span, struct audit_hash *); /* -1: not 64 lower-case digits */

/* One line of the file, taken apart without trust; spans point into it. */
struct audit_line {
	uint64_t seq;
	struct span time, kind;
	struct span members; /* behind the kind, with a comma in front of each */
	struct span body;    /* what is hashed */
	bool chained;        /* it has a hash */
	struct audit_hash hash;
};
/* The line without its LF. -1: it is no record. */
int audit_line_parse(struct span line, struct audit_line *);
/*
 * Behind a record with a hash one without can only be the front of a torn line, cut
 * where an object within it ended; but for a first record, which may end the chain.
 */
bool audit_line_is_part(const struct audit_line *, bool before_is_chained);
/* A member of our own making, by its name: the text between the quotes, or the number. -1: none. */
int audit_line_get(const struct audit_line *, const char *name, struct span *value);
/* -1: none, or no number. */
int audit_line_u64(const struct audit_line *, const char *name, uint64_t *value);

/* ---- checkpoints ----------------------------------------------------------------------------- */

struct audit_key;          /* an Ed25519 key, private or public */
#define AUDIT_KEY_ID 17    /* half of the SHA-256 of the public key's 32 octets, cut to 16 digits */
#define AUDIT_SIG_TEXT 112 /* milliseconds since 1970, a dash, base64 of the signature, a NUL */

/*
 * Reads the private key (PEM), or makes it and, beside it, the public one; 0600 and
 * 0644, never replacing a file. NULL with a text.
 */
struct audit_key *audit_key_open(
    const char *path, const char *public_path, char *err, size_t errsize);
/* Reads a public key. NULL with a text. */
struct audit_key *audit_key_public(const char *path, char *err, size_t errsize);
struct audit_key *audit_key_random(void);                        /* for tests */
struct audit_key *audit_key_public_of(const struct audit_key *); /* for tests */
void audit_key_free(struct audit_key *);                         /* NULL is fine */
const char *audit_key_id(const struct audit_key *);

/* What is signed: key, number and hash of the last record that it covers, and the time. */
int audit_key_sign(const struct audit_key *, uint64_t seq, const struct audit_hash *,
    int64_t time_ms, char out[AUDIT_SIG_TEXT]);
/* True when the signature is this key's; *time_ms is what it says. */
bool audit_key_check(const struct audit_key *, uint64_t seq, const struct audit_hash *,
    struct span sig, int64_t *time_ms);

#endif
