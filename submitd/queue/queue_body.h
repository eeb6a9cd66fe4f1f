/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_QUEUE_QUEUE_BODY_H
#define SUBMITD_QUEUE_QUEUE_BODY_H

#include "base/buf.h"
#include "base/enc.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Where the octets of messages lie. This is one of the two borders of the spool
 * (the other is queue_store.h): put_batch, read, release.
 *
 * Small bodies: records in spool/seg/NNNNNNNN.log, appended by the commit thread.
 * Large ones: spool/big/<uuid>, written from offset 0 by the front; the record
 * follows the body, its header last.
 *
 * A record header (64 octets, little-endian): u32 magic, u16 version, u16 flags,
 * u32 CRC-32C of the header, u32 CRC of the head, u32 CRC of the body, u32 head length,
 * u64 body length, 16 mid, u64 qid, u64 zero. Then head (message_encode) and body.
 * The header's CRC starts with a random key from the segment's first 32 octets, so
 * that no sender can write something into a mail that looks like a record.
 */
#define QUEUE_BODY_SEGMENT (64u << 20)
#define QUEUE_BODY_RECORD 64u
#define QUEUE_BODY_SEGMENT_HEAD 32u
#define QUEUE_BODY_HEAD_MAX (64u << 20)

struct body_ref {
	uint64_t seg; /* 0: a file of its own */
	uint64_t off; /* of the record's header */
	uint32_t head_len;
	uint64_t body_len;
};
/* Octets that the record takes in its segment. */
uint64_t queue_body_size(const struct body_ref *);

struct body_put {
	struct uuid mid;
	uint64_t qid; /* first of the message */
	struct span head, body;
	struct body_ref ref; /* out */
};

struct queue_body; /* the writer: commit thread only */
/* Makes the directories below spool_fd where missing. NULL with a text in err. */
struct queue_body *queue_body_open(int spool_fd, char *err, size_t errsize);
void queue_body_free(struct queue_body *);
/* The next segment gets a number above this one. */
void queue_body_set_last(struct queue_body *, uint64_t seg);
uint64_t queue_body_current(const struct queue_body *); /* 0: none yet */
/*
 * Writes all records, then one fdatasync; a new segment's directory entry is synced too. -1: errno
 * ENOSPC (or EDQUOT) before any sync: nothing was kept, the caller may go on; anything else is
 * final.
 */
int queue_body_put_batch(struct queue_body *, struct body_put *const *, size_t n);
/* Nobody will refer to the last batch: its room is given back. -1: final. */
int queue_body_take_back(struct queue_body *);
/* No message of it lives any more. */
int queue_body_release(struct queue_body *, uint64_t seg);
int queue_body_release_big(struct queue_body *, const struct uuid *);

/* Large files: any thread. Created for the front to write; the descriptor may be given away. */
int queue_body_big_create(const struct queue_body *, const struct uuid *);
/* Appends the record behind body_len octets and syncs the file; not its directory. -1 with errno
 * (EBADMSG: too short). */
int queue_body_big_seal(const struct queue_body *, const struct body_put *, uint64_t body_len);
int queue_body_big_sync_dir(const struct queue_body *);
int queue_body_big_open(const struct queue_body *, const struct uuid *); /* for reading */

/* A reader keeps some segments open. One per thread. */
struct queue_body_reader;
struct queue_body_reader *queue_body_reader_new(const struct queue_body *);
void queue_body_reader_free(struct queue_body_reader *);
/* Closes what it keeps open, so that the space of removed segments comes back; seg 0: all. */
void queue_body_reader_drop(struct queue_body_reader *, uint64_t seg);
/*
 * Head and, unless body is NULL, up to max octets of the body, both appended and checked by their
 * CRC (the body only when it is read whole). -1: errno ENOENT, EBADMSG (damaged), EIO and others.
 */
int queue_body_read(struct queue_body_reader *, const struct uuid *, const struct body_ref *,
    struct buf *head, struct buf *body, uint64_t max);

/* Start and rebuild: every file of the two directories. is_big tells which; name is its name. */
typedef int queue_body_file_fn(void *arg, bool is_big, const char *name);
int queue_body_each_file(const struct queue_body *, queue_body_file_fn *, void *arg);
/* NNNNNNNN.log to its number; 0: no such name. */
uint64_t queue_body_segment_number(const char *name);
/* Is it one of our segments at all? */
bool queue_body_segment_ours(const struct queue_body *, const char *name);
int queue_body_unlink(const struct queue_body *, bool is_big, const char *name);
int queue_body_set_aside(const struct queue_body *, bool is_big, const char *name);
/* Seconds since the last write to a large file; -1: not there. */
int64_t queue_body_big_age(const struct queue_body *, const char *name, int64_t now_s);

/* What a scan finds. head is valid during the call only; a damaged stretch has bad set, and only
 * off and seg. */
struct body_found {
	struct uuid mid;
	uint64_t qid;
	struct body_ref ref;
	struct span head;
	bool bad;
};
typedef void queue_body_found_fn(void *arg, const struct body_found *);
/* All readable records of a segment, in order, skipping damaged stretches. -1: not ours or
 * unreadable. */
int queue_body_scan(const struct queue_body *, uint64_t seg, queue_body_found_fn *, void *arg);
/* The record of one large file. */
int queue_body_scan_big(
    const struct queue_body *, const char *name, queue_body_found_fn *, void *arg);

#endif
