/* SPDX-License-Identifier: ISC */
/*
 * The files of an audit record: finds those that were rotated away, and puts them in the
 * order of their numbers. Runs in submitctl.
 */
#include "ctl/ctl_audit.h"

#include "base/list.h"
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

/* Unpacked or packed while we look, or with gzip -k: it is there twice. */
static bool
stands_unpacked(const char *path)
{
	char *plain = xasprintf("%.*s", (int)(strlen(path) - 3), path);
	struct stat st;
	bool is = ends_with(path, ".gz") && stat(plain, &st) == 0 && S_ISREG(st.st_mode);

	free(plain);
	return is;
}

static void
add_one(struct ctl_audit_files *f, const char *path)
{
	struct stat st;

	/* no FIFO that somebody left there */
	if (stat(path, &st) == -1 || !S_ISREG(st.st_mode))
		return;
	if (stands_unpacked(path)) {
		ctl_error("%s is left out: it stands there unpacked too", path);
		return;
	}
	files_add(f, path);
}

/* FILE.1, FILE-20261125: what logrotate makes of it; not our own companions of the file. */
static void
add_rotated(struct ctl_audit_files *f, const char *path)
{
	static const char *const tails[] = {".[0-9]*", "-[0-9]*"};
	struct buf pattern = BUF_INIT;
	glob_t g;

	for (size_t t = 0; t < ARRAY_LEN(tails); t++) {
		buf_reset(&pattern);
		for (const char *p = path; *p != '\0'; p++) {
			if (strchr("*?[\\", *p) != NULL)
				buf_add_byte(&pattern, '\\');
			buf_add_byte(&pattern, (uint8_t)*p);
		}
		buf_add_str(&pattern, tails[t]);
		if (glob(buf_cstr(&pattern), 0, NULL, &g) != 0)
			continue;
		for (size_t i = 0; i < g.gl_pathc && f->n < CTL_AUDIT_FILES; i++)
			add_one(f, g.gl_pathv[i]);
		globfree(&g);
	}
	buf_clear(&pattern);
}

/* The number of its first record, a torn line may stand before it; 0: none. */
static uint64_t
first_seq(const char *path)
{
	struct audit_line l = {.seq = 0};
	char text[65536];
	struct span rest = {text, ctl_audit_peek(path, text, sizeof(text))}, line;

	while (rest.p != NULL && rest.n > 0 && l.seq == 0) {
		line = span_cut(&rest, '\n');
		if (rest.p == NULL || audit_line_parse(line, &l) == -1)
			l.seq = 0;
	}
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
				    : "the configuration has no audit { file }: name the files");
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
