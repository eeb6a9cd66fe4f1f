/* SPDX-License-Identifier: ISC */
/*
 * Writes the audit file: numbers, batches, rotation, retries and gaps. Process
 * ledger. Must never block beyond one write(2), never lose a record without
 * counting it, and never write half a line in front of another.
 */
#include "ledger/audit_file.h"

#include "base/enc.h"
#include "base/fs.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TAIL_BYTES (512 * 1024) /* more than the longest record: a frame of 64 KiB, escaped */

void
audit_file_init(struct audit_file *a, const char *path)
{
	memset(a, 0, sizeof(*a));
	a->fd = -1;
	a->path = xstrdup(path);
}

static void
add_time(struct buf *b, int64_t ms)
{
	time_t t = (time_t)(ms / 1000);
	char text[40];
	struct tm tm;

	if (ms < 0 || gmtime_r(&t, &tm) == NULL)
		memset(&tm, 0, sizeof(tm));
	if (strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		text[0] = '\0';
	buf_addf(b, "\"%s.%03dZ\"", text, ms < 0 ? 0 : (int)(ms % 1000));
}

static void
add_record(struct audit_file *a, int64_t time_ms, const char *kind, struct span members)
{
	buf_addf(&a->out, "{\"seq\":%" PRIu64 ",\"time\":", ++a->seq);
	add_time(&a->out, time_ms);
	buf_add_str(&a->out, ",\"kind\":");
	json_add_str(&a->out, span_of(kind));
	buf_add_span(&a->out, members);
	buf_add_str(&a->out, "}\n");
	a->out_records++;
}

/* Records that were dropped leave a gap in the record, not in the numbers. */
static void
tell_gap(struct audit_file *a, int64_t now_ms)
{
	struct buf m = BUF_INIT;

	if (a->dropped_untold == 0)
		return;
	buf_addf(&m, ",\"lost\":%" PRIu64 ",\"since\":", a->dropped_untold);
	add_time(&m, a->dropped_since_ms);
	add_record(a, now_ms, "gap", buf_span(&m));
	buf_clear(&m);
	a->dropped_untold = 0;
}

void
audit_file_add(struct audit_file *a, int64_t time_ms, const char *kind, struct span members)
{
	if (a->path == NULL)
		return;
	/* once one was dropped all are, until writing works: the gap is told where it is */
	if (a->dropped_untold > 0 || buf_len(&a->out) + members.n + 200 > AUDIT_PENDING_MAX) {
		if (a->dropped_untold++ == 0)
			a->dropped_since_ms = time_ms;
		a->dropped++;
		return;
	}
	add_record(a, time_ms, kind, members);
}

/* The number of the last whole line, 0 when there is none; *torn: the file does not end in LF. */
static int
read_tail(int fd, off_t size, uint64_t *seq, bool *torn)
{
	size_t n = size < TAIL_BYTES ? (size_t)size : TAIL_BYTES;
	char *tail = xmalloc(n + 1);
	ssize_t got = fs_pread(fd, tail, n, size - (off_t)n);
	size_t end, begin;

	*seq = 0;
	*torn = false;
	if (got == -1) {
		free(tail);
		return -1;
	}
	end = (size_t)got;
	*torn = end > 0 && tail[end - 1] != '\n';
	/* from the back: the first line that has a number */
	while (end > 0 && *seq == 0) {
		struct span digits;
		size_t i;

		for (begin = end; begin > 0 && tail[begin - 1] != '\n'; begin--)
			;
		if (end - begin > 7 && memcmp(tail + begin, "{\"seq\":", 7) == 0) {
			for (i = begin + 7; i < end && tail[i] >= '0' && tail[i] <= '9'; i++)
				;
			digits = (struct span){tail + begin + 7, i - begin - 7};
			if (i < end)
				(void)span_to_u64(digits, 1, UINT64_MAX - 1, seq);
		}
		end = begin == 0 ? 0 : begin - 1;
	}
	free(tail);
	return 0;
}

int
audit_file_open(struct audit_file *a, uid_t owner, gid_t group, int64_t now_ms)
{
	struct stat st;
	bool torn = false;
	uint64_t seq;
	int fd, error;

	/* not to hang on a FIFO, and not to follow a link that somebody left there */
	fd = fs_open(
	    a->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == -1)
		goto fail;
	if (!S_ISREG(st.st_mode)) {
		errno = EINVAL;
		goto fail;
	}
	if (owner != (uid_t)-1 && st.st_uid != owner && fchown(fd, owner, group) == -1)
		goto fail;
	if (read_tail(fd, st.st_size, &seq, &torn) == -1)
		goto fail;
	a->fd = fd;
	a->dev = st.st_dev;
	a->ino = st.st_ino;
	a->seq = seq;
	if (torn) {
		buf_add_byte(&a->out, '\n');
		add_record(a, now_ms, "repair", span_of(",\"reason\":\"the last line was torn\""));
	}
	return 0;
fail:
	error = errno;
	fs_close(fd);
	errno = error;
	return -1;
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

int
audit_file_flush(struct audit_file *a, int64_t now_ms)
{
	ssize_t n;

	while (buf_len(&a->out) > 0 && a->fd != -1) {
		n = write(a->fd, buf_data(&a->out), buf_len(&a->out));
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			a->failing = true;
			if (n == 0)
				errno = ENOSPC;
			return -1;
		}
		/* a part may be written at a full disk: the rest follows it later */
		buf_consume(&a->out, (size_t)n);
		if (buf_len(&a->out) == 0)
			tell_gap(a, now_ms);
	}
	if (a->fd == -1 && buf_len(&a->out) > 0) {
		a->failing = true;
		errno = EBADF;
		return -1;
	}
	a->written += a->out_records;
	a->out_records = 0;
	a->failing = false;
	return 0;
}

bool
audit_file_moved(const struct audit_file *a)
{
	struct stat st;

	if (a->path == NULL)
		return false;
	if (stat(a->path, &st) == -1)
		return errno == ENOENT;
	return a->fd == -1 || st.st_dev != a->dev || st.st_ino != a->ino;
}

int
audit_file_switch(struct audit_file *a, const char *path, int64_t now_ms)
{
	struct audit_file fresh;

	audit_file_init(&fresh, path);
	if (audit_file_open(&fresh, (uid_t)-1, (gid_t)-1, now_ms) == -1) {
		int error = errno;

		audit_file_close(&fresh);
		errno = error;
		return -1;
	}
	/* what has a number of the old file belongs there; a rest that does not go is a gap in the
	 * new one */
	if (audit_file_flush(a, now_ms) == -1) {
		fresh.dropped_untold = a->dropped_untold + a->out_records;
		fresh.dropped_since_ms = a->dropped_untold > 0 ? a->dropped_since_ms : now_ms;
		a->dropped += a->out_records;
	} else {
		fresh.dropped_untold = a->dropped_untold;
		fresh.dropped_since_ms = a->dropped_since_ms;
	}
	fresh.written = a->written;
	fresh.dropped = a->dropped;
	audit_file_close(a);
	*a = fresh;
	tell_gap(a, now_ms);
	return 0;
}
