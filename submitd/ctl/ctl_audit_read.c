/* SPDX-License-Identifier: ISC */
/*
 * Reads the files of an audit record in lines, as they are or compressed by gzip, and
 * whatever somebody wrote into them: memory is bounded by the longest line. Runs in
 * submitctl. Must never give a part of a file for the whole.
 */
#include "ctl/ctl_audit.h"

#include "base/list.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define CHUNK (256u << 10)
#define LINE_MAX_OCTETS (4u << 20)
#define TAIL_TRIES 20 /* a line that is being written is waited for, 50 ms each */

struct input {
	const char *path;
	int fd;        /* -1: it is gz's */
	gzFile gz;     /* NULL: not compressed */
	bool is_stdin; /* stays open */
	off_t size;    /* as it is on disk */
	char why[200];
};

/* By its content, logrotate's compressext may be anything. NULL: it is not compressed. */
static const char *
packer(int fd, const struct stat *st)
{
	static const struct {
		const char *name, *magic;
		size_t n;
	} known[] = {{"gzip", "\x1f\x8b", 2}, {"zstd", "\x28\xb5\x2f\xfd", 4},
	    {"xz", "\xfd\x37\x7a\x58\x5a", 5}, {"bzip2", "BZh", 3}};
	char magic[6];
	ssize_t n = S_ISREG(st->st_mode) ? pread(fd, magic, sizeof(magic), 0) : 0;

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (n >= (ssize_t)known[i].n && memcmp(magic, known[i].magic, known[i].n) == 0)
			return known[i].name;
	return NULL;
}

static int
input_open(struct input *in, const char *path)
{
	const char *how;
	struct stat st;

	memset(in, 0, sizeof(*in));
	in->path = path;
	in->is_stdin = strcmp(path, "-") == 0;
	in->fd = in->is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (in->fd == -1 || fstat(in->fd, &st) == -1)
		goto fail;
	if (S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		goto fail;
	}
	in->size = st.st_size;
	how = in->is_stdin ? NULL : packer(in->fd, &st);
	if (how == NULL)
		return 0;
	if (strcmp(how, "gzip") != 0) {
		(void)str_printf(in->why, sizeof(in->why),
		    "compressed by %s: unpack it first (only what gzip made is read as it is)",
		    how);
		goto out;
	}
	in->gz = gzdopen(in->fd, "rb");
	if (in->gz == NULL) {
		errno = ENOMEM;
		goto fail;
	}
	in->fd = -1;
	return 0;
fail:
	(void)str_copy(in->why, sizeof(in->why), strerror(errno));
out:
	if (in->fd != -1 && !in->is_stdin)
		close(in->fd);
	return -1;
}

/* As read(2); -1: why is set. */
static ssize_t
input_read(struct input *in, void *p, size_t n)
{
	const char *text;
	int got, error;

	if (in->gz == NULL) {
		ssize_t r;

		do
			r = read(in->fd, p, n);
		while (r == -1 && errno == EINTR);
		if (r == -1)
			(void)str_copy(in->why, sizeof(in->why), strerror(errno));
		return r;
	}
	got = gzread(in->gz, p, (unsigned)n);
	if (got > 0)
		return got;
	/* an end in the middle is told by the state only */
	text = gzerror(in->gz, &error);
	if (error == Z_OK || error == Z_STREAM_END)
		return 0;
	(void)str_printf(in->why, sizeof(in->why), "compressed data are damaged or cut: %.100s",
	    error == Z_ERRNO ? strerror(errno) : text);
	return -1;
}

static void
input_close(struct input *in)
{
	if (in->gz != NULL)
		(void)gzclose_r(in->gz);
	else if (!in->is_stdin)
		close(in->fd);
}

static void
progress(const struct input *in, off_t done, bool end)
{
	static int64_t last;
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	if (isatty(STDERR_FILENO) != 1 || (!end && ts.tv_sec == last))
		return;
	if (in->gz != NULL)
		done = gzoffset(in->gz);
	if (last != 0 || !end)
		(void)fprintf(stderr, end ? "\r\033[K" : "\r%lld of %lld MiB",
		    (long long)(done >> 20), (long long)(in->size >> 20));
	last = end ? 0 : ts.tv_sec;
}

/* Gives the whole lines of b; what is left stays. */
static void
give_lines(struct buf *b, ctl_audit_line_fn *fn, void *arg)
{
	for (;;) {
		const char *p = (const char *)buf_data(b);
		const char *lf = buf_len(b) == 0 ? NULL : memchr(p, '\n', buf_len(b));

		if (lf == NULL && buf_len(b) < LINE_MAX_OCTETS)
			return;
		size_t n = lf == NULL ? buf_len(b) : (size_t)(lf - p);
		fn(arg, (struct span){p, n}, true);
		buf_consume(b, lf == NULL ? n : n + 1);
	}
}

int
ctl_audit_read(const char *path, ctl_audit_line_fn *fn, void *arg)
{
	struct buf b = BUF_INIT;
	struct input in;
	unsigned tries = 0;
	off_t done = 0;
	ssize_t n;

	if (input_open(&in, path) == -1) {
		ctl_error("%s: %s", path, in.why);
		return -1;
	}
	for (;;) {
		n = input_read(&in, buf_reserve(&b, CHUNK), CHUNK);
		if (n == 0 && buf_len(&b) > 0 && in.gz == NULL && !in.is_stdin &&
		    tries++ < TAIL_TRIES) {
			(void)usleep(50000);
			continue;
		}
		if (n <= 0)
			break;
		buf_commit(&b, (size_t)n);
		done += n;
		give_lines(&b, fn, arg);
		progress(&in, done, false);
	}
	progress(&in, 0, true);
	if (buf_len(&b) > 0)
		fn(arg, buf_span(&b), false);
	if (n == -1)
		ctl_error("%s: %s", path, in.why);
	buf_clear(&b);
	input_close(&in);
	return n == -1 ? -1 : 0;
}

size_t
ctl_audit_peek(const char *path, char *out, size_t n)
{
	struct input in;
	size_t have = 0;
	ssize_t got;

	if (strcmp(path, "-") == 0 || input_open(&in, path) == -1)
		return 0;
	while (have < n && (got = input_read(&in, out + have, n - have)) > 0)
		have += (size_t)got;
	input_close(&in);
	return have;
}

bool
ctl_audit_is_packed(const char *path)
{
	struct input in;
	bool is;

	if (strcmp(path, "-") == 0 || input_open(&in, path) == -1)
		return false;
	is = in.gz != NULL;
	input_close(&in);
	return is;
}
