/* SPDX-License-Identifier: ISC */
/*
 * Writes message bodies: batches into the current segment, and the records of
 * large files. Runs in process queue, on the commit thread (segments) and the
 * maintenance thread (sealing large files). A sync that failed is never repeated:
 * the caller ends the process.
 */
#include "queue/queue_body.h"

#include "base/fs.h"
#include "base/str.h"
#include "queue/queue_body_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORD_MAGIC 0x31425153u /* "SQB1" */
#define RECORD_VERSION 1u

const uint8_t queue_body_big_key[16] = "submitd big file";
const char queue_body_magic[8] = {'S', 'U', 'B', 'M', 'S', 'E', 'G', '1'};

static void
put_le(uint8_t *at, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		at[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t
get_le(const uint8_t *at, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)at[i] << (8 * i);
	return v;
}

static uint32_t
header_crc(const uint8_t *rec, const uint8_t key[16])
{
	uint32_t crc = crc32c(0, key, 16);

	crc = crc32c(crc, rec, 8);
	return crc32c(crc, rec + 12, QUEUE_BODY_RECORD - 12);
}

void
queue_body_record_encode(
    uint8_t out[QUEUE_BODY_RECORD], const struct body_record *r, const uint8_t key[16])
{
	memset(out, 0, QUEUE_BODY_RECORD);
	put_le(out, RECORD_MAGIC, 4);
	put_le(out + 4, RECORD_VERSION, 2);
	put_le(out + 6, r->flags, 2);
	put_le(out + 12, r->head_crc, 4);
	put_le(out + 16, r->body_crc, 4);
	put_le(out + 20, r->head_len, 4);
	put_le(out + 24, r->body_len, 8);
	memcpy(out + 32, r->mid.b, 16);
	put_le(out + 48, r->qid, 8);
	put_le(out + 8, header_crc(out, key), 4);
}

int
queue_body_record_decode(
    const uint8_t in[QUEUE_BODY_RECORD], struct body_record *r, const uint8_t key[16])
{
	if (get_le(in, 4) != RECORD_MAGIC || get_le(in + 4, 2) != RECORD_VERSION ||
	    get_le(in + 8, 4) != header_crc(in, key))
		return -1;
	r->flags = (uint16_t)get_le(in + 6, 2);
	r->head_crc = (uint32_t)get_le(in + 12, 4);
	r->body_crc = (uint32_t)get_le(in + 16, 4);
	r->head_len = (uint32_t)get_le(in + 20, 4);
	r->body_len = get_le(in + 24, 8);
	memcpy(r->mid.b, in + 32, 16);
	r->qid = get_le(in + 48, 8);
	return r->head_len > QUEUE_BODY_HEAD_MAX || r->body_len > INT64_MAX / 2 ? -1 : 0;
}

uint64_t
queue_body_size(const struct body_ref *ref)
{
	return QUEUE_BODY_RECORD + (uint64_t)ref->head_len + ref->body_len;
}

void
queue_body_segment_name(uint64_t seg, char out[32])
{
	(void)str_printf(out, 32, "%08llu.log", (unsigned long long)seg);
}

uint64_t
queue_body_segment_number(const char *name)
{
	char again[32];
	uint64_t seg;
	size_t n = strspn(name, "0123456789");

	if (n < 8 || strcmp(name + n, ".log") != 0 ||
	    span_to_u64((struct span){name, n}, 1, INT64_MAX, &seg) == -1)
		return 0;
	queue_body_segment_name(seg, again);
	return strcmp(again, name) == 0 ? seg : 0;
}

static int
open_dir(int spool_fd, const char *name, bool *made)
{
	if (fs_mkdirat(spool_fd, name, 0700) == 0)
		*made = true;
	else if (errno != EEXIST)
		return -1;
	return fs_openat(spool_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}

struct queue_body *
queue_body_open(int spool_fd, char *err, size_t errsize)
{
	struct queue_body *b = xcallocarray(1, sizeof(*b));
	bool made = false;

	b->spool_fd = spool_fd;
	b->fd = b->big_fd = b->aside_fd = -1;
	b->seg_fd = open_dir(spool_fd, "seg", &made);
	if (b->seg_fd != -1)
		b->big_fd = open_dir(spool_fd, "big", &made);
	if (b->big_fd != -1)
		b->aside_fd = open_dir(spool_fd, "aside", &made);
	if (b->aside_fd == -1 || (made && fs_fsync(spool_fd) == -1)) {
		(void)str_printf(err, errsize, "directories of the spool: %s", strerror(errno));
		queue_body_free(b);
		return NULL;
	}
	return b;
}

void
queue_body_free(struct queue_body *b)
{
	if (b == NULL)
		return;
	if (b->fd != -1)
		fs_close(b->fd);
	if (b->seg_fd != -1)
		fs_close(b->seg_fd);
	if (b->big_fd != -1)
		fs_close(b->big_fd);
	if (b->aside_fd != -1)
		fs_close(b->aside_fd);
	free(b->heads);
	free(b->iov);
	free(b);
}

void
queue_body_set_last(struct queue_body *b, uint64_t seg)
{
	b->last_seg = seg;
}

uint64_t
queue_body_current(const struct queue_body *b)
{
	return b->fd == -1 ? 0 : b->seg;
}

/* A fresh file with its head written; its name becomes durable with the batch that uses it. */
static int
segment_new(struct queue_body *b)
{
	uint8_t head[QUEUE_BODY_SEGMENT_HEAD] = {0};
	char name[32];
	int fd, saved;

	queue_body_segment_name(b->last_seg + 1, name);
	fd = fs_openat(b->seg_fd, name, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd == -1)
		return -1;
	random_bytes(b->key, sizeof(b->key));
	memcpy(head, queue_body_magic, sizeof(queue_body_magic));
	memcpy(head + 8, b->key, sizeof(b->key));
	put_le(head + 24, b->last_seg + 1, 8);
	if (fs_pwrite(fd, head, sizeof(head), 0) == -1) {
		saved = errno;
		fs_close(fd);
		(void)fs_unlinkat(b->seg_fd, name);
		errno = saved;
		return -1;
	}
	if (b->fd != -1)
		fs_close(b->fd);
	b->fd = fd;
	b->seg = ++b->last_seg;
	b->off = QUEUE_BODY_SEGMENT_HEAD;
	return 0;
}

static void
segment_drop(struct queue_body *b)
{
	char name[32];

	queue_body_segment_name(b->seg, name);
	fs_close(b->fd);
	b->fd = -1;
	(void)fs_unlinkat(b->seg_fd, name);
}

static void
reserve(struct queue_body *b, size_t n)
{
	if (n <= b->cap)
		return;
	b->cap = n < 256 ? 256 : n;
	b->heads = xreallocarray(b->heads, b->cap, QUEUE_BODY_RECORD);
	b->iov = xreallocarray(b->iov, b->cap * 3, sizeof(*b->iov));
}

static struct iovec
iov_of(const void *p, size_t n)
{
	union {
		const void *in;
		void *out;
	} u = {.in = p}; /* iovec has no const form */

	return (struct iovec){u.out, n};
}

int
queue_body_put_batch(struct queue_body *b, struct body_put *const *puts, size_t n)
{
	uint64_t total = 0, off;
	bool new_file = false;
	int saved;

	for (size_t i = 0; i < n; i++)
		total += QUEUE_BODY_RECORD + puts[i]->head.n + puts[i]->body.n;
	if (b->fd == -1 ||
	    (b->off > QUEUE_BODY_SEGMENT_HEAD && b->off + total > QUEUE_BODY_SEGMENT)) {
		if (segment_new(b) == -1)
			return -1;
		new_file = true;
	}
	reserve(b, n);
	off = b->off;
	for (size_t i = 0; i < n; i++) {
		struct body_put *p = puts[i];
		struct body_record r = {.head_crc = crc32c(0, p->head.p, p->head.n),
		    .body_crc = crc32c(0, p->body.p, p->body.n),
		    .head_len = (uint32_t)p->head.n,
		    .body_len = p->body.n,
		    .mid = p->mid,
		    .qid = p->qid};
		uint8_t *rec = b->heads + i * QUEUE_BODY_RECORD;

		queue_body_record_encode(rec, &r, b->key);
		b->iov[i * 3] = iov_of(rec, QUEUE_BODY_RECORD);
		b->iov[i * 3 + 1] = iov_of(p->head.p, p->head.n);
		b->iov[i * 3 + 2] = iov_of(p->body.p, p->body.n);
		p->ref = (struct body_ref){b->seg, off, r.head_len, r.body_len};
		off += queue_body_size(&p->ref);
	}
	if (fs_pwritev(b->fd, b->iov, (int)(n * 3), (off_t)b->off) == -1) {
		saved = errno;
		/* records that nobody refers to must not stand before good ones */
		if (new_file)
			segment_drop(b); /* its name was not synced: another one next time */
		else if (fs_ftruncate(b->fd, (off_t)b->off) == -1)
			saved = EIO;
		errno = saved;
		return -1;
	}
	if (fs_fdatasync(b->fd) == -1 || (new_file && fs_fsync(b->seg_fd) == -1)) {
		errno = EIO;
		return -1;
	}
	b->before = b->off;
	b->off = off;
	return 0;
}

int
queue_body_take_back(struct queue_body *b)
{
	if (fs_ftruncate(b->fd, (off_t)b->before) == -1)
		return -1;
	b->off = b->before;
	return 0;
}

int
queue_body_release(struct queue_body *b, uint64_t seg)
{
	char name[32];

	queue_body_segment_name(seg, name);
	return fs_unlinkat(b->seg_fd, name) == -1 && errno != ENOENT ? -1 : 0;
}

int
queue_body_release_big(struct queue_body *b, const struct uuid *mid)
{
	char name[UUID_TEXT];

	uuid_format(mid, name);
	return fs_unlinkat(b->big_fd, name) == -1 && errno != ENOENT ? -1 : 0;
}

/* ---- large files ----------------------------------------------------------------------------- */

int
queue_body_big_create(const struct queue_body *b, const struct uuid *mid)
{
	char name[UUID_TEXT];

	uuid_format(mid, name);
	return fs_openat(b->big_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
}

int
queue_body_big_open(const struct queue_body *b, const struct uuid *mid)
{
	char name[UUID_TEXT];

	uuid_format(mid, name);
	return fs_openat(b->big_fd, name, O_RDONLY | O_NOFOLLOW, 0);
}

int
queue_body_big_sync_dir(const struct queue_body *b)
{
	return fs_fsync(b->big_fd);
}

int
queue_body_big_seal(const struct queue_body *b, const struct body_put *p, uint64_t body_len)
{
	struct body_record r = {.flags = BODY_NO_BODY_CRC,
	    .head_crc = crc32c(0, p->head.p, p->head.n),
	    .head_len = (uint32_t)p->head.n,
	    .body_len = body_len,
	    .mid = p->mid,
	    .qid = p->qid};
	uint8_t rec[QUEUE_BODY_RECORD];
	struct iovec iov[2];
	char name[UUID_TEXT];
	struct stat st;
	int fd, rc = -1, saved;

	uuid_format(&p->mid, name);
	fd = fs_openat(b->big_fd, name, O_RDWR | O_NOFOLLOW, 0);
	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == -1)
		goto out;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < body_len) {
		errno = EBADMSG;
		goto out;
	}
	if ((uint64_t)st.st_size > body_len && fs_ftruncate(fd, (off_t)body_len) == -1)
		goto out;
	queue_body_record_encode(rec, &r, queue_body_big_key);
	iov[0] = iov_of(p->head.p, p->head.n);
	iov[1] = iov_of(rec, sizeof(rec));
	if (fs_pwritev(fd, iov, 2, (off_t)body_len) == -1)
		goto out;
	rc = fs_fdatasync(fd);
	if (rc == -1)
		errno = EIO;
out:
	saved = errno;
	fs_close(fd);
	errno = saved;
	return rc;
}
