/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_QUEUE_QUEUE_BODY_INTERNAL_H
#define SUBMITD_QUEUE_QUEUE_BODY_INTERNAL_H

#include "queue/queue_body.h"

/* Between queue_body.c, queue_body_read.c and queue_body_scan.c only. */
struct queue_body {
	int spool_fd; /* borrowed */
	int seg_fd, big_fd, aside_fd;
	uint64_t last_seg;
	/* the segment that is being written */
	int fd;
	uint64_t seg, off;
	uint64_t before; /* off before the last batch */
	uint8_t key[16];
	uint8_t *heads; /* record headers of one batch */
	struct iovec *iov;
	size_t cap;
};

struct body_record {
	uint16_t flags;
	uint32_t head_crc, body_crc, head_len;
	uint64_t body_len;
	struct uuid mid;
	uint64_t qid;
};
#define BODY_NO_BODY_CRC 1u /* large files: written by the front, checked by their length only */

void queue_body_record_encode(
    uint8_t out[QUEUE_BODY_RECORD], const struct body_record *, const uint8_t key[16]);
/* -1: no record of ours. */
int queue_body_record_decode(
    const uint8_t in[QUEUE_BODY_RECORD], struct body_record *, const uint8_t key[16]);
/* Reads and checks the first octets of a segment. */
int queue_body_read_key(int fd, uint8_t key[16]);
void queue_body_segment_name(uint64_t seg, char out[32]);
extern const uint8_t queue_body_big_key[16];
extern const char queue_body_magic[8];

#endif
