/* SPDX-License-Identifier: ISC */
/*
 * Writes the audit file: numbers, hashes, batches, rotation, retries. Process ledger.
 * Must never block beyond one write(2), never drop a record, and never write half a
 * line in front of another.
 */
#include "ledger/audit_file.h"

#include "base/enc.h"
#include "base/fs.h"
#include "base/str.h"
#include "ledger/audit_tail.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void
audit_file_init(struct audit_file *a, const char *path)
{
	memset(a, 0, sizeof(*a));
	a->fd = -1;
	a->path = xstrdup(path);
	a->time_s = -1;
}

/* ---- records --------------------------------------------------------------------------------- */

static void
add_time(struct audit_file *a, int64_t ms)
{
	time_t t = (time_t)(ms < 0 ? 0 : ms / 1000);
	unsigned rest = ms < 0 ? 0 : (unsigned)(ms % 1000);
	char text[7] = {'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10),
	    (char)('0' + rest % 10), 'Z', '"', '\0'};
	struct tm tm;

	if (t != a->time_s) {
		if (gmtime_r(&t, &tm) == NULL || tm.tm_year > 8099 ||
		    strftime(a->time_text, sizeof(a->time_text), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
			(void)str_copy(a->time_text, sizeof(a->time_text), "1970-01-01T00:00:00");
		a->time_s = t;
	}
	buf_add_byte(&a->out, '"');
	buf_add_str(&a->out, a->time_text);
	buf_add(&a->out, text, 6);
}

void
audit_file_add(struct audit_file *a, int64_t time_ms, const char *kind, struct span members)
{
	size_t start = buf_len(&a->out);
	char hex[AUDIT_HASH_TEXT];

	if (a->path == NULL)
		return;
	buf_add_str(&a->out, "{\"seq\":");
	dec_add_u64(&a->out, ++a->seq);
	buf_add_str(&a->out, ",\"time\":");
	add_time(a, time_ms);
	buf_add_str(&a->out, ",\"kind\":");
	json_add_str(&a->out, span_of(kind));
	buf_add_span(&a->out, members);
	if (a->chain) {
		struct span body = buf_span(&a->out);

		body.p += start;
		body.n -= start;
		audit_hash_next(&a->head, body, &a->head);
		audit_hash_format(&a->head, hex);
		buf_add_str(&a->out, ",\"hash\":\"");
		buf_add(&a->out, hex, AUDIT_HASH_TEXT - 1);
		buf_add(&a->out, "\"}\n", 3);
	} else {
		buf_add(&a->out, "}\n", 2);
	}
	a->out_records++;
}

/* What is left of a line that a crash tore. */
static void
add_torn(struct buf *m, const struct audit_tail *t)
{
	char hex[AUDIT_HASH_TEXT];

	audit_hash_format(&t->torn_hash, hex);
	buf_addf(m, ",\"torn\":%" PRIu64 ",\"torn_hash\":\"%s\"", t->torn, hex);
}

/* The first record of a file, or of a chain: where the one before ended. */
static void
add_begin(struct audit_file *a, int64_t now_ms, const char *before, struct span members)
{
	struct buf m = BUF_INIT;
	char hex[AUDIT_HASH_TEXT];

	audit_hash_format(&a->head, hex);
	buf_addf(&m, ",\"format\":1,\"prev_seq\":%" PRIu64 ",\"prev_hash\":\"%s\"", a->seq, hex);
	if (before != NULL) {
		buf_add_str(&m, ",\"prev_file\":");
		json_add_str(&m, span_of(before));
	}
	buf_add_span(&m, members);
	audit_file_add(a, now_ms, "begin", buf_span(&m));
	buf_clear(&m);
}

int
audit_file_checkpoint(struct audit_file *a, const struct audit_key *key, int64_t now_ms,
    const char *reason, struct audit_checkpoint *out)
{
	char hex[AUDIT_HASH_TEXT];
	struct buf m = BUF_INIT;

	if (!a->chain || key == NULL)
		return -1;
	out->seq = a->seq;
	out->hash = a->head;
	if (audit_key_sign(key, a->seq, &a->head, now_ms, out->sig) == -1)
		return -1;
	audit_hash_format(&a->head, hex);
	buf_addf(&m,
	    ",\"reason\":\"%s\",\"upto\":%" PRIu64 ",\"upto_hash\":\"%s\",\"key\":\"%s\","
	    "\"sig\":\"%s\"",
	    reason, a->seq, hex, audit_key_id(key), out->sig);
	audit_file_add(a, now_ms, "checkpoint", buf_span(&m));
	buf_clear(&m);
	return 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Not to hang on a FIFO, and not to follow a link that somebody left there. -1 with errno. */
static int
open_path(const char *path, uid_t owner, gid_t group, struct stat *st)
{
	int fd =
	    fs_open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	int error;

	if (fd == -1)
		return -1;
	if (fstat(fd, st) == -1)
		goto fail;
	if (!S_ISREG(st->st_mode)) {
		errno = EINVAL;
		goto fail;
	}
	if (owner != (uid_t)-1 && st->st_uid != owner) {
		if (st->st_nlink > 1) { /* another name of somebody else's file */
			errno = EMLINK;
			goto fail;
		}
		if (fchown(fd, owner, group) == -1)
			goto fail;
	}
	return fd;
fail:
	error = errno;
	fs_close(fd);
	errno = error;
	return -1;
}

/* The octets from off to end, where they are. */
static int
copy_onto_itself(int fd, off_t off, off_t end)
{
	static char chunk[256u << 10];
	ssize_t n = 1;

	for (; off < end && n > 0; off += n) {
		n = fs_pread(fd, chunk,
		    end - off < (off_t)sizeof(chunk) ? (size_t)(end - off) : sizeof(chunk), off);
		if (n == -1 || (n > 0 && fs_pwrite(fd, chunk, (size_t)n, off) == -1))
			return -1;
	}
	return 0;
}

/*
 * Whoever wrote the end of the file may have been killed when a sync had failed and nobody knew:
 * then the page cache has what the disk has not, and no later sync would write it. So it is
 * written again as it stands, for the next sync to tell whether it is there. How many octets; -1:
 * it is not known to be safe. A file that may only grow (chattr +a) is taken as it is.
 */
static ssize_t
write_again(int fd)
{
	int flags = fcntl(fd, F_GETFL), rc;
	struct stat st;
	off_t off;

	if (flags == -1 || fstat(fd, &st) == -1)
		return -1;
	off = st.st_size < (off_t)AUDIT_FILE_TAIL ? 0 : st.st_size - (off_t)AUDIT_FILE_TAIL;
	/* with O_APPEND an offset counts for nothing */
	if (fcntl(fd, F_SETFL, flags & ~O_APPEND) == -1)
		return errno == EPERM ? 0 : -1;
	rc = copy_onto_itself(fd, off, st.st_size);
	if (fcntl(fd, F_SETFL, flags) == -1)
		return -1;
	return rc == -1 ? -1 : (ssize_t)(st.st_size - off);
}

/*
 * The end of the file whose chain goes on in this one; it may be gone. Nobody syncs it later, and
 * what is not safe there must come again, here.
 */
static void
take_before(struct audit_file *a, const char *before, const struct audit_file_options *o,
    struct audit_tail *t)
{
	int fd = fs_open(before, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
	bool is_safe = fd != -1 && write_again(fd) != -1 && fs_fdatasync(fd) == 0;

	if (fd == -1)
		fd = fs_open(before, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd == -1)
		return;
	if (audit_tail_read(fd, is_safe ? o->line : NULL, o->arg, t) == -1)
		*t = (struct audit_tail){.seq = 0};
	a->seq = t->seq;
	if (t->chained)
		a->head = t->hash;
	fs_close(fd);
}

/*
 * A new file goes on with the chain of the one that is named, or of what was rotated away
 * while nobody wrote. Its name, which the caller frees; NULL: a chain begins here.
 */
static char *
find_before(struct audit_file *a, const struct audit_file_options *o, struct audit_tail *t)
{
	char *before = o->before != NULL ? xstrdup(o->before) : audit_tail_rotated(a->path);

	if (before != NULL)
		take_before(a, before, o, t);
	if (a->seq == 0 && o->before == NULL) {
		free(before);
		return NULL;
	}
	return before;
}

static void
add_repair(struct audit_file *a, const struct audit_tail *t, int64_t now_ms)
{
	struct buf m = BUF_INIT;

	if (!t->torn_ended)
		buf_add_byte(&a->out, '\n');
	buf_add_str(&m, ",\"reason\":\"the last line was torn\"");
	add_torn(&m, t);
	audit_file_add(a, now_ms, "repair", buf_span(&m));
	buf_clear(&m);
}

int
audit_file_open(struct audit_file *a, const struct audit_file_options *o, int64_t now_ms)
{
	struct audit_tail t, earlier = {.seq = 0};
	struct buf members = BUF_INIT;
	struct stat st;
	char *before = NULL;
	int fd = open_path(a->path, o->owner, o->group, &st);
	ssize_t again;

	if (fd == -1)
		return -1;
	again = write_again(fd);
	if ((st.st_size == 0 && fs_sync_parent(a->path) == -1) ||
	    audit_tail_read(fd, again == -1 ? NULL : o->line, o->arg, &t) == -1) {
		int error = errno;

		fs_close(fd);
		errno = error;
		return -1;
	}
	a->fd = fd;
	a->dev = st.st_dev;
	a->ino = st.st_ino;
	a->chain = o->chain;
	a->unsynced = again > 0 ? (size_t)again : 0;
	a->seq = t.seq;
	if (t.chained)
		a->head = t.hash;
	if (t.lf_is_missing)
		buf_add_byte(&a->out, '\n');
	if (t.seq == 0)
		before = find_before(a, o, &earlier);
	if (t.is_torn)
		add_repair(a, &t, now_ms);
	/* that file is not written to any more: its torn line is told of in this one */
	if (earlier.is_torn)
		add_torn(&members, &earlier);
	if (t.seq == 0 || t.chained != o->chain)
		add_begin(a, now_ms, before, buf_span(&members));
	buf_clear(&members);
	free(before);
	return 0;
}

void
audit_file_close(struct audit_file *a)
{
	if (a->fd != -1)
		fs_close(a->fd);
	a->fd = -1;
	buf_clear(&a->out);
	free(a->path);
	a->path = NULL;
}

/* ---- writing --------------------------------------------------------------------------------- */

/*
 * Half a line would stand in front of the next start's first one: it is taken back. The
 * size is asked for, somebody may have made the file shorter.
 */
static void
wrote(struct audit_file *a, size_t n)
{
	const uint8_t *p = buf_data(&a->out);
	size_t whole = n;

	if (n < buf_len(&a->out)) {
		while (whole > 0 && p[whole - 1] != '\n')
			whole--;
		off_t end = whole < n ? lseek(a->fd, 0, SEEK_END) : 0;

		if (whole < n && (end < (off_t)(n - whole) ||
				     fs_ftruncate(a->fd, end - (off_t)(n - whole)) == -1))
			whole = n; /* the rest of it follows */
	}
	a->unsynced += whole;
	buf_consume(&a->out, whole);
}

int
audit_file_flush(struct audit_file *a, int64_t now_ms)
{
	ssize_t n;

	(void)now_ms;
	while (buf_len(&a->out) > 0) {
		size_t all = buf_len(&a->out);

		n = a->fd == -1 ? -1 : write(a->fd, buf_data(&a->out), buf_len(&a->out));
		if (n == -1 && a->fd != -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			a->failing = true;
			if (a->fd == -1)
				errno = EBADF;
			else if (n == 0)
				errno = ENOSPC;
			return -1;
		}
		wrote(a, (size_t)n);
		if ((size_t)n < all) { /* again at once it would write the same half line */
			a->failing = true;
			errno = ENOSPC;
			return -1;
		}
	}
	a->written += a->out_records;
	a->out_records = 0;
	a->failing = false;
	if (a->out.cap > 4u << 20)
		buf_clear(&a->out);
	return 0;
}

void
audit_file_synced(struct audit_file *a, size_t octets)
{
	a->unsynced -= octets < a->unsynced ? octets : a->unsynced;
}

bool
audit_file_moved(const struct audit_file *a, bool *unknown)
{
	struct stat st;

	*unknown = false;
	if (a->path == NULL)
		return false;
	if (stat(a->path, &st) == -1) {
		*unknown = errno != ENOENT;
		return errno == ENOENT;
	}
	return a->fd == -1 || st.st_dev != a->dev || st.st_ino != a->ino;
}

bool
audit_file_is(const struct audit_file *a, int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_dev == a->dev && st.st_ino == a->ino;
}

int
audit_file_rotate(struct audit_file *a, int fd, int64_t now_ms, struct span members)
{
	struct stat st;

	if (fstat(fd, &st) == -1 || (st.st_dev == a->dev && st.st_ino == a->ino)) {
		fs_close(fd);
		return -1;
	}
	if (a->fd != -1)
		fs_close(a->fd);
	a->fd = fd;
	a->dev = st.st_dev;
	a->ino = st.st_ino;
	a->unsynced = 0;
	/* lines that the old file did not take any more have their places in the chain already */
	if (buf_len(&a->out) == 0)
		add_begin(a, now_ms, a->path, members);
	return 0;
}
