/* SPDX-License-Identifier: ISC */
/*
 * The files of an audit record: finds those that were rotated away, puts them in the
 * order of their numbers, and reads them in lines whatever somebody wrote into them.
 */
#include "ctl/ctl_audit.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHUNK (256u << 10)
#define LINE_MAX_OCTETS (4u << 20)
#define TAIL_TRIES 20 /* a line that is being written is waited for, 50 ms each */

void
ctl_audit_files_clear(struct ctl_audit_files *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->paths[i]);
	free(f->paths);
	free(f->pub);
	memset(f, 0, sizeof(*f));
}

static void
files_add(struct ctl_audit_files *f, const char *path)
{
	f->paths = xreallocarray(f->paths, f->n + 1, sizeof(*f->paths));
	f->paths[f->n++] = xstrdup(path);
}

static bool
ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

/* FILE.1, FILE-20261125: what logrotate makes of it; not our own companions of the file. */
static void
add_rotated(struct ctl_audit_files *f, const char *path)
{
	static const char *const tails[] = {".[0-9]*", "-[0-9]*"};
	static const char *const packed[] = {".gz", ".xz", ".bz2", ".zst"};
	struct buf pattern = BUF_INIT;
	glob_t g;

	for (size_t t = 0; t < sizeof(tails) / sizeof(tails[0]); t++) {
		buf_reset(&pattern);
		for (const char *p = path; *p != '\0'; p++) {
			if (strchr("*?[\\", *p) != NULL)
				buf_add_byte(&pattern, '\\');
			buf_add_byte(&pattern, (uint8_t)*p);
		}
		buf_add_str(&pattern, tails[t]);
		if (glob(buf_cstr(&pattern), 0, NULL, &g) != 0)
			continue;
		for (size_t i = 0; i < g.gl_pathc && f->n < CTL_AUDIT_FILES; i++) {
			bool is_packed = false;
			struct stat st;

			/* no FIFO that somebody left there */
			if (stat(g.gl_pathv[i], &st) == -1 || !S_ISREG(st.st_mode))
				continue;
			for (size_t k = 0; k < sizeof(packed) / sizeof(packed[0]); k++)
				is_packed = is_packed || ends_with(g.gl_pathv[i], packed[k]);
			if (is_packed)
				ctl_error("%s is left out: unpack it first", g.gl_pathv[i]);
			else
				files_add(f, g.gl_pathv[i]);
		}
		globfree(&g);
	}
	buf_clear(&pattern);
}

/* The number of its first record; 0: none. */
static uint64_t
first_seq(const char *path)
{
	struct audit_line l = {.seq = 0};
	char text[65536], *lf;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n;

	if (fd == -1)
		return 0;
	n = pread(fd, text, sizeof(text), 0);
	close(fd);
	lf = n <= 0 ? NULL : memchr(text, '\n', (size_t)n);
	if (lf == NULL || audit_line_parse((struct span){text, (size_t)(lf - text)}, &l) == -1)
		return 0;
	return l.seq;
}

static void
sort_files(struct ctl_audit_files *f)
{
	uint64_t *seq = xcallocarray(f->n, sizeof(*seq));

	/* few files: each goes to its place behind smaller numbers; "-" stays where it stands */
	for (size_t i = 0; i < f->n; i++) {
		uint64_t s = first_seq(f->paths[i]);
		char *path = f->paths[i];
		size_t k = i;

		for (; k > 0 && s != 0 && seq[k - 1] > s; k--) {
			seq[k] = seq[k - 1];
			f->paths[k] = f->paths[k - 1];
		}
		seq[k] = s;
		f->paths[k] = path;
	}
	free(seq);
}

static char *
public_of(const char *key)
{
	size_t n = strlen(key) - (ends_with(key, ".key") ? 4 : 0);

	return xasprintf("%.*s.pub", (int)n, key);
}

int
ctl_audit_files(struct ctl *ctl, int argc, char **argv, struct ctl_audit_files *f)
{
	struct conf *c;

	memset(f, 0, sizeof(*f));
	for (int i = 0; i < argc; i++)
		files_add(f, argv[i]);
	c = ctl_conf_load(ctl, argc > 0);
	if (c != NULL && c->audit->file != NULL) {
		f->pub = c->audit->key != NULL ? public_of(c->audit->key)
		                               : xasprintf("%s.pub", c->audit->file);
		if (argc == 0) {
			add_rotated(f, c->audit->file);
			files_add(f, c->audit->file);
		}
	}
	conf_free(c);
	if (f->n == 0) {
		ctl_error(c == NULL ? "without a usable configuration, name the files"
				    : "the configuration has no audit record: name the files");
		ctl_audit_files_clear(f);
		return -1;
	}
	sort_files(f);
	if (argc > 0) {
		/* beside the file that is named, when it is there */
		char *own = xasprintf("%s.pub", f->paths[f->n - 1]);

		if (access(own, R_OK) == 0) {
			free(f->pub);
			f->pub = own;
		} else {
			free(own);
		}
	}
	return 0;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void
progress(off_t done, off_t size, bool end)
{
	static int64_t last;
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	if (isatty(STDERR_FILENO) != 1 || (!end && ts.tv_sec == last))
		return;
	if (last != 0 || !end)
		(void)fprintf(stderr, end ? "\r\033[K" : "\r%lld of %lld MiB",
		    (long long)(done >> 20), (long long)(size >> 20));
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
	bool is_stdin = strcmp(path, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct buf b = BUF_INIT;
	unsigned tries = 0;
	struct stat st;
	off_t done = 0;
	ssize_t n;
	int error = 0;

	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		close(fd);
		errno = EISDIR;
		return -1;
	}
	for (;;) {
		n = read(fd, buf_reserve(&b, CHUNK), CHUNK);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			error = errno;
		if (n == 0 && buf_len(&b) > 0 && !is_stdin && tries++ < TAIL_TRIES) {
			(void)usleep(50000);
			continue;
		}
		if (n <= 0)
			break;
		buf_commit(&b, (size_t)n);
		done += n;
		give_lines(&b, fn, arg);
		progress(done, st.st_size, false);
	}
	progress(0, 0, true);
	if (buf_len(&b) > 0)
		fn(arg, buf_span(&b), false);
	buf_clear(&b);
	if (!is_stdin)
		close(fd);
	errno = error;
	return error == 0 ? 0 : -1;
}
