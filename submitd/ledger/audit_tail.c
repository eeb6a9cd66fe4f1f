/* SPDX-License-Identifier: ISC */
/*
 * Finds out where an audit file ends: the last whole record, and what a crash left
 * behind it. Process ledger, at its start. Must never change the file.
 */
#include "ledger/audit_tail.h"

#include "base/fs.h"
#include "base/list.h"
#include "base/str.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The text from its first whole line on: a tail begins in the middle of one. */
static struct span
whole_lines(const struct buf *b, bool from_start)
{
	struct span s = buf_span(b);
	const char *lf;

	if (from_start || s.n == 0)
		return s;
	lf = memchr(s.p, '\n', s.n);
	if (lf == NULL)
		return (struct span){s.p + s.n, 0};
	s.n -= (size_t)(lf + 1 - s.p);
	s.p = lf + 1;
	return s;
}

/*
 * A crash took the LF only: behind the record that stands before it, or as the first, it
 * cannot be a part of another one.
 */
static bool
is_whole(const struct audit_tail *t, const struct audit_line *l)
{
	struct audit_hash h;

	if (!l->chained || (t->seq == 0 ? !span_eq(l->kind, "begin") : !t->chained))
		return false;
	if (t->seq == 0)
		return true;
	audit_hash_next(&t->hash, l->body, &h);
	return audit_hash_equal(&h, &l->hash);
}

int
audit_tail_read(int fd, audit_file_line_fn *fn, void *arg, struct audit_tail *out)
{
	struct audit_tail t = {.seq = 0};
	struct buf b = BUF_INIT;
	struct audit_line l;
	struct stat st;
	struct span s, rest;
	size_t n;
	ssize_t got;

	if (fstat(fd, &st) == -1)
		return -1;
	n = st.st_size < (off_t)AUDIT_FILE_TAIL ? (size_t)st.st_size : AUDIT_FILE_TAIL;
	got = fs_pread(fd, buf_reserve(&b, n + 1), n, st.st_size - (off_t)n);
	if (got == -1) {
		buf_clear(&b);
		return -1;
	}
	buf_commit(&b, (size_t)got);
	s = rest = whole_lines(&b, (off_t)n == st.st_size);
	while (s.n > 0) {
		const char *lf = memchr(s.p, '\n', s.n);
		struct span line = {s.p, lf == NULL ? s.n : (size_t)(lf - s.p)};
		bool is_record = audit_line_parse(line, &l) == 0;

		if (lf == NULL && !(is_record && is_whole(&t, &l)))
			break;
		t.lf_is_missing = lf == NULL;
		s.n -= line.n + (lf != NULL);
		s.p += line.n + (lf != NULL);
		if (!is_record || audit_line_is_part(&l, t.chained))
			continue;
		t.seq = l.seq;
		t.chained = l.chained;
		t.hash = l.hash;
		if (fn != NULL)
			fn(arg, &l);
		rest = s;
	}
	/* what is left behind the last record */
	if (rest.n > 0) {
		t.is_torn = true;
		t.torn_ended = rest.p[rest.n - 1] == '\n';
		t.torn = rest.n - t.torn_ended;
		audit_hash_of((struct span){rest.p, rest.n - t.torn_ended}, &t.torn_hash);
	}
	buf_clear(&b);
	*out = t;
	return 0;
}

/* ---- rotated away ---------------------------------------------------------------------------- */

static char *
glob_pattern(const char *path, const char *tail)
{
	struct buf b = BUF_INIT;
	char *p;

	for (; *path != '\0'; path++) {
		if (strchr("*?[\\", *path) != NULL)
			buf_add_byte(&b, '\\');
		buf_add_byte(&b, (uint8_t)*path);
	}
	buf_add_str(&b, tail);
	p = xstrdup(buf_cstr(&b));
	buf_clear(&b);
	return p;
}

static bool
is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

/* The newest of those that match, if newer than *found; takes its place. */
static void
look(const char *pattern, char **found, struct timespec *newest)
{
	struct stat st;
	glob_t g;

	if (glob(pattern, GLOB_NOSORT, NULL, &g) != 0)
		return;
	for (size_t i = 0; i < g.gl_pathc; i++) {
		if (lstat(g.gl_pathv[i], &st) == -1 || !S_ISREG(st.st_mode) ||
		    (*found != NULL && !is_later(&st.st_mtim, newest)))
			continue;
		*newest = st.st_mtim;
		free(*found);
		*found = xstrdup(g.gl_pathv[i]);
	}
	globfree(&g);
}

char *
audit_tail_rotated(const char *path)
{
	static const char *const tails[] = {".[0-9]*", "-[0-9]*"};
	struct timespec newest = {0};
	char *found = NULL, *pattern;

	for (size_t t = 0; t < ARRAY_LEN(tails); t++) {
		pattern = glob_pattern(path, tails[t]);
		look(pattern, &found, &newest);
		free(pattern);
	}
	return found;
}
