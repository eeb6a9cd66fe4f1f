/* SPDX-License-Identifier: ISC */
/*
 * Finds out where an audit file ends: the last whole record, and what a crash left
 * behind it. Process ledger, at its start. Must never change the file.
 */
#include "ledger/audit_tail.h"

#include "base/fs.h"
#include "base/str.h"

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
		struct span line = {s.p, lf == NULL ? 0 : (size_t)(lf - s.p)};

		if (lf == NULL)
			break;
		s.n -= line.n + 1;
		s.p = lf + 1;
		if (audit_line_parse(line, &l) == -1)
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
