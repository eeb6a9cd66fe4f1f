/* SPDX-License-Identifier: ISC */
/*
 * Reads message bodies back, checked, and walks over the body files at start and
 * rebuild. Runs in process queue on any of its threads (a reader belongs to one)
 * and in submitctl when it rebuilds. Damaged octets are reported, never believed.
 */
#include "queue/queue_body.h"

#include "base/fs.h"
#include "base/list.h"
#include "base/str.h"
#include "queue/queue_body_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define OPEN_SEGMENTS 16

struct queue_body_reader {
	const struct queue_body *body;
	struct {
		uint64_t seg, used;
		int fd;
		uint8_t key[16];
	} open[OPEN_SEGMENTS];
	uint64_t clock;
};

struct queue_body_reader *
queue_body_reader_new(const struct queue_body *b)
{
	struct queue_body_reader *r = xcallocarray(1, sizeof(*r));

	r->body = b;
	for (size_t i = 0; i < OPEN_SEGMENTS; i++)
		r->open[i].fd = -1;
	return r;
}

void
queue_body_reader_drop(struct queue_body_reader *r, uint64_t seg)
{
	for (size_t i = 0; i < OPEN_SEGMENTS; i++) {
		if (r->open[i].fd == -1 || (seg != 0 && r->open[i].seg != seg))
			continue;
		fs_close(r->open[i].fd);
		r->open[i].fd = -1;
		r->open[i].used = 0;
	}
}

void
queue_body_reader_free(struct queue_body_reader *r)
{
	if (r == NULL)
		return;
	queue_body_reader_drop(r, 0);
	free(r);
}

int
queue_body_read_key(int fd, uint8_t key[16])
{
	uint8_t head[QUEUE_BODY_SEGMENT_HEAD];
	ssize_t n = fs_pread(fd, head, sizeof(head), 0);

	if (n == -1)
		return -1;
	if (n != (ssize_t)sizeof(head) || memcmp(head, queue_body_magic, 8) != 0) {
		errno = EBADMSG;
		return -1;
	}
	memcpy(key, head + 8, 16);
	return 0;
}

/* Index into r->open, or -1. The least recently used place is taken. */
static int
reader_segment(struct queue_body_reader *r, uint64_t seg)
{
	size_t at = 0;
	char name[32];

	for (size_t i = 0; i < OPEN_SEGMENTS; i++) {
		if (r->open[i].fd != -1 && r->open[i].seg == seg) {
			r->open[i].used = ++r->clock;
			return (int)i;
		}
		if (r->open[i].used < r->open[at].used)
			at = i;
	}
	if (r->open[at].fd != -1)
		fs_close(r->open[at].fd);
	r->open[at].used = 0;
	queue_body_segment_name(seg, name);
	r->open[at].fd = fs_openat(r->body->seg_fd, name, O_RDONLY | O_NOFOLLOW, 0);
	if (r->open[at].fd == -1)
		return -1;
	r->open[at].seg = seg;
	if (queue_body_read_key(r->open[at].fd, r->open[at].key) == -1) {
		int saved = errno;
		fs_close(r->open[at].fd);
		r->open[at].fd = -1;
		errno = saved;
		return -1;
	}
	r->open[at].used = ++r->clock;
	return (int)at;
}

static int
read_exact(int fd, struct buf *out, size_t n, uint64_t off)
{
	uint8_t *at = buf_reserve(out, n);
	ssize_t got = fs_pread(fd, at, n, (off_t)off);

	if (got == -1)
		return -1;
	if ((size_t)got != n) {
		errno = EBADMSG;
		return -1;
	}
	buf_commit(out, n);
	return 0;
}

struct where {
	uint64_t rec, head, body;
};

static int
read_record(int fd, const uint8_t key[16], const struct uuid *mid, const struct body_ref *ref,
    const struct where *w, struct buf *head, struct buf *body, uint64_t max)
{
	uint8_t rec[QUEUE_BODY_RECORD];
	size_t head_at = buf_len(head), body_at = body == NULL ? 0 : buf_len(body);
	struct body_record r;
	ssize_t n = fs_pread(fd, rec, sizeof(rec), (off_t)w->rec);

	if (n == -1)
		return -1;
	if (n != (ssize_t)sizeof(rec) || queue_body_record_decode(rec, &r, key) == -1 ||
	    !uuid_equal(&r.mid, mid) || r.head_len != ref->head_len || r.body_len != ref->body_len)
		goto bad;
	if (read_exact(fd, head, r.head_len, w->head) == -1)
		goto fail;
	if (crc32c(0, buf_data(head) + head_at, r.head_len) != r.head_crc)
		goto bad;
	if (body != NULL) {
		size_t want = (size_t)(r.body_len < max ? r.body_len : max);
		if (read_exact(fd, body, want, w->body) == -1)
			goto fail;
		if (want == r.body_len && (r.flags & BODY_NO_BODY_CRC) == 0 &&
		    crc32c(0, buf_data(body) + body_at, want) != r.body_crc)
			goto bad;
	}
	return 0;
bad:
	errno = EBADMSG;
fail:
	buf_truncate(head, head_at);
	if (body != NULL)
		buf_truncate(body, body_at);
	return -1;
}

int
queue_body_read(struct queue_body_reader *r, const struct uuid *mid, const struct body_ref *ref,
    struct buf *head, struct buf *body, uint64_t max)
{
	struct where w;
	int rc, saved;

	if (ref->seg != 0) {
		int at = reader_segment(r, ref->seg);
		if (at == -1)
			return -1;
		w.rec = ref->off;
		w.head = ref->off + QUEUE_BODY_RECORD;
		w.body = w.head + ref->head_len;
		return read_record(r->open[at].fd, r->open[at].key, mid, ref, &w, head, body, max);
	}
	int fd = queue_body_big_open(r->body, mid);
	if (fd == -1)
		return -1;
	w.rec = ref->off;
	w.head = ref->body_len;
	w.body = 0;
	rc = read_record(fd, queue_body_big_key, mid, ref, &w, head, body, max);
	saved = errno;
	fs_close(fd);
	errno = saved;
	return rc;
}

/* ---- files ----------------------------------------------------------------------------------- */

static int
each_in(int dir_fd, bool is_big, queue_body_file_fn *fn, void *arg)
{
	/* a descriptor of its own: closedir closes it, and the offset is not shared */
	int fd = fs_openat(dir_fd, ".", O_RDONLY | O_DIRECTORY, 0), rc = 0;
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (d == NULL) {
		if (fd != -1)
			fs_close(fd);
		return -1;
	}
	while (rc == 0 && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = fn(arg, is_big, e->d_name);
	closedir(d);
	return rc;
}

int
queue_body_each_file(const struct queue_body *b, queue_body_file_fn *fn, void *arg)
{
	if (each_in(b->seg_fd, false, fn, arg) == -1)
		return -1;
	return each_in(b->big_fd, true, fn, arg);
}

bool
queue_body_segment_ours(const struct queue_body *b, const char *name)
{
	uint8_t key[16];
	int fd = fs_openat(b->seg_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	struct stat st;
	bool ours;

	if (fd == -1)
		return false;
	/* a crash may leave one whose head was never written */
	ours = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       (st.st_size == 0 || queue_body_read_key(fd, key) == 0);
	fs_close(fd);
	return ours;
}

int
queue_body_unlink(const struct queue_body *b, bool is_big, const char *name)
{
	return fs_unlinkat(is_big ? b->big_fd : b->seg_fd, name);
}

int
queue_body_set_aside(const struct queue_body *b, bool is_big, const char *name)
{
	const char *dir = is_big ? "big" : "seg";
	char from[512], to[512];

	if (str_printf(from, sizeof(from), "%s/%s", dir, name) == -1)
		return -1;
	/* never over something that lies there already */
	for (unsigned n = 0; n < 1000; n++) {
		if (str_printf(to, sizeof(to), "aside/%lld-%u-%s-%s", (long long)time(NULL), n, dir,
			name) == -1)
			return -1;
		if (faccessat(b->spool_fd, to, F_OK, AT_SYMLINK_NOFOLLOW) == -1)
			return fs_renameat(b->spool_fd, from, to);
	}
	errno = EEXIST;
	return -1;
}

int64_t
queue_body_big_age(const struct queue_body *b, const char *name, int64_t now_s)
{
	struct stat st;

	if (fstatat(b->big_fd, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return -1;
	return st.st_mtime > now_s ? 0 : now_s - st.st_mtime;
}

/* ---- scanning -------------------------------------------------------------------------------- */

#define SCAN_STEP 65536u

/* The next place at or after off where the magic stands, or the file's end. */
static uint64_t
find_magic(int fd, uint64_t off, uint64_t size)
{
	uint8_t *chunk = xmalloc(SCAN_STEP);
	uint64_t found = size;

	while (off + QUEUE_BODY_RECORD <= size) {
		ssize_t n = fs_pread(fd, chunk, SCAN_STEP, (off_t)off);
		if (n < 4)
			break;
		const uint8_t *p = memmem(chunk, (size_t)n, "SQB1", 4);
		if (p != NULL) {
			found = off + (uint64_t)(p - chunk);
			break;
		}
		off += (uint64_t)n - 3;
	}
	free(chunk);
	return found;
}

/* One record at off; gives the offset behind it, or 0 when there is none. */
static uint64_t
scan_at(int fd, const uint8_t key[16], struct body_found *f, struct buf *head, uint64_t size)
{
	uint8_t rec[QUEUE_BODY_RECORD];
	struct body_record r;
	uint64_t off = f->ref.off;

	if (fs_pread(fd, rec, sizeof(rec), (off_t)off) != (ssize_t)sizeof(rec) ||
	    queue_body_record_decode(rec, &r, key) == -1)
		return 0;
	f->mid = r.mid;
	f->qid = r.qid;
	f->ref.head_len = r.head_len;
	f->ref.body_len = r.body_len;
	if (off + queue_body_size(&f->ref) > size)
		return 0;
	buf_reset(head);
	if (read_exact(fd, head, r.head_len, off + QUEUE_BODY_RECORD) == -1 ||
	    crc32c(0, buf_data(head), r.head_len) != r.head_crc)
		return 0;
	f->head = buf_span(head);
	/* the body too: what is damaged must not be sent */
	uint32_t crc = 0;
	uint8_t *chunk = xmalloc(SCAN_STEP);
	uint64_t at = off + QUEUE_BODY_RECORD + r.head_len, left = r.body_len;
	while (left > 0) {
		size_t want = left < SCAN_STEP ? (size_t)left : SCAN_STEP;
		if (fs_pread(fd, chunk, want, (off_t)at) != (ssize_t)want)
			break;
		crc = crc32c(crc, chunk, want);
		at += want;
		left -= want;
	}
	free(chunk);
	return left > 0 || crc != r.body_crc ? 0 : off + queue_body_size(&f->ref);
}

int
queue_body_scan(const struct queue_body *b, uint64_t seg, queue_body_found_fn *fn, void *arg)
{
	struct buf head = BUF_INIT;
	uint8_t key[16];
	char name[32];
	struct stat st;
	int rc = -1;

	queue_body_segment_name(seg, name);
	int fd = fs_openat(b->seg_fd, name, O_RDONLY | O_NOFOLLOW, 0);
	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == -1 || queue_body_read_key(fd, key) == -1)
		goto out;
	uint64_t off = QUEUE_BODY_SEGMENT_HEAD, size = (uint64_t)st.st_size;
	while (off < size) {
		struct body_found f = {.ref = {.seg = seg, .off = off}};
		uint64_t next = scan_at(fd, key, &f, &head, size);
		f.bad = next == 0;
		fn(arg, &f);
		off = next != 0 ? next : find_magic(fd, off + 1, size);
	}
	rc = 0;
out:
	buf_clear(&head);
	fs_close(fd);
	return rc;
}

int
queue_body_scan_big(
    const struct queue_body *b, const char *name, queue_body_found_fn *fn, void *arg)
{
	struct buf head = BUF_INIT;
	uint8_t rec[QUEUE_BODY_RECORD];
	struct body_record r;
	struct body_found f = {0};
	struct uuid mid;
	struct stat st;
	int rc = -1;
	int fd = fs_openat(b->big_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);

	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(rec) ||
	    uuid_parse(span_of(name), &mid) == -1)
		goto out;
	f.ref.off = (uint64_t)st.st_size - sizeof(rec);
	if (fs_pread(fd, rec, sizeof(rec), (off_t)f.ref.off) != (ssize_t)sizeof(rec) ||
	    queue_body_record_decode(rec, &r, queue_body_big_key) == -1 ||
	    !uuid_equal(&mid, &r.mid) || r.body_len + r.head_len != f.ref.off ||
	    read_exact(fd, &head, r.head_len, r.body_len) == -1 ||
	    crc32c(0, buf_data(&head), r.head_len) != r.head_crc)
		goto out;
	f.mid = r.mid;
	f.qid = r.qid;
	f.ref.head_len = r.head_len;
	f.ref.body_len = r.body_len;
	f.head = buf_span(&head);
	fn(arg, &f);
	rc = 0;
out:
	buf_clear(&head);
	fs_close(fd);
	return rc;
}
