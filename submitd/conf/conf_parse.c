/* SPDX-License-Identifier: ISC */
/*
 * Text to raw form, with libconfuse.
 *
 * Runs in the unprivileged child that reads the configuration (libconfuse leaks
 * when a text is wrong), in `submitd -t` and in tests. Every option is a list of
 * texts for libconfuse, so that types are checked by conf_build, which reports
 * all errors. Files are read once, scanned by conf_scan.c, then parsed one after
 * the other: an included file comes after the one that names it.
 */
#include "conf/conf_internal.h"

#include "base/fs.h"
#include "base/str.h"

#include <confuse.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct parse_file {
	char *path;
	char *real;    /* NULL for texts */
	size_t parent; /* SIZE_MAX: the main file */
	struct conf_where included_at;
	unsigned depth;
	bool failed; /* could not be read */
};
struct parse {
	struct parse_file *files;
	size_t n_files;
	struct buf blocks; /* raw form without its head */
	struct conf_findings *f;
	bool broken; /* a file could not be scanned or parsed */
	/* of the file that libconfuse reads */
	struct conf_scan scan;
	size_t file, next_block;
	bool mismatch;
};
/* libconfuse's callbacks have no argument of ours; one thread parses at a time. */
static struct parse *parse_current;

static struct conf_where
parse_where(const struct parse *p, uint32_t line)
{
	return (struct conf_where){p->files[p->file].path, line};
}

static void __attribute__((format(printf, 2, 0)))
parse_on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	struct parse *p = parse_current;

	p->broken = true;
	conf_findings_vadd(
	    p->f, true, parse_where(p, cfg->line > 0 ? (uint32_t)cfg->line : 0), fmt, ap);
}

static void
parse_add_file(struct parse *p, const char *path, size_t parent, struct conf_where at)
{
	p->files = xreallocarray(p->files, p->n_files + 1, sizeof *p->files);
	p->files[p->n_files++] = (struct parse_file){
	    .path = xstrdup(path),
	    .parent = parent,
	    .included_at = at,
	    .depth = parent == SIZE_MAX ? 0 : p->files[parent].depth + 1,
	};
}

/* include("path"): the file is read after this one. */
static int
parse_on_include(cfg_t *cfg, cfg_opt_t *opt, int argc, const char **argv)
{
	struct parse *p = parse_current;
	const struct parse_file *from = &p->files[p->file];
	struct conf_where at = parse_where(p, (uint32_t)cfg->line);
	const char *slash = strrchr(from->path, '/');
	char *path;

	(void)opt;
	if (argc != 1 || argv[0][0] == '\0') {
		conf_findings_add(p->f, true, at, "include needs the name of a file");
		return 0;
	}
	if (from->depth + 1 > CONF_INCLUDE_DEPTH || p->n_files >= CONF_FILES_MAX) {
		conf_findings_add(p->f, true, at,
		    "include(\"%s\"): too deep or too many; at most %u levels and %u files are "
		    "read",
		    argv[0], CONF_INCLUDE_DEPTH, CONF_FILES_MAX);
		return 0;
	}
	if (argv[0][0] == '/' || slash == NULL)
		path = xstrdup(argv[0]);
	else
		path = xasprintf("%.*s/%s", (int)(slash - from->path), from->path, argv[0]);
	parse_add_file(p, path, p->file, at);
	free(path);
	return 0;
}

static void
parse_emit_option(struct parse *p, cfg_opt_t *copt, const struct conf_scan_opt *o)
{
	unsigned i, n = cfg_opt_size(copt);
	uint32_t line;
	const char *text;

	conf_raw_option(&p->blocks, o->opt, o->line, o->braces, n);
	for (i = 0; i < n; i++) {
		line = n == o->n_values ? p->scan.lines[o->first + i] : o->line;
		text = cfg_opt_getnstr(copt, i);
		conf_raw_value(&p->blocks, line, span_of(text));
	}
}

/* A block is complete: into the raw form, and out of libconfuse, whose search for titles is slow.
 */
static int
parse_on_block(cfg_t *cfg, cfg_opt_t *opt)
{
	struct parse *p = parse_current;
	const struct conf_scan_block *b;
	const struct conf_block_def *def;
	cfg_t *sec = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	cfg_opt_t *copt;
	uint32_t i;

	(void)cfg;
	b = p->next_block < p->scan.n_blocks ? &p->scan.blocks[p->next_block] : NULL;
	p->next_block++;
	if (b == NULL || sec == NULL || strcmp(conf_blocks[b->kind].name, opt->name) != 0) {
		p->mismatch = true;
		return -1;
	}
	def = &conf_blocks[b->kind];
	conf_raw_block(&p->blocks, b->kind, cfg_title(sec), (uint32_t)p->file, b->line, b->n_opts);
	for (i = 0; i < b->n_opts; i++) {
		const struct conf_scan_opt *o = &p->scan.opts[b->first + i];

		copt = cfg_getopt(sec, def->opts[o->opt].name);
		if (copt == NULL) {
			p->mismatch = true;
			return -1;
		}
		parse_emit_option(p, copt, o);
	}
	cfg_free_value(opt);
	return 0;
}

/* The declarations for libconfuse; freed with parse_free_options. */
static cfg_opt_t *
parse_make_options(void)
{
	cfg_opt_t *top = xcallocarray(CONF_BLOCK__MAX + 2, sizeof *top);
	const cfg_opt_t func[] = {CFG_FUNC("include", parse_on_include), CFG_END()};
	size_t i, j;

	for (i = 0; i < CONF_BLOCK__MAX; i++) {
		const struct conf_block_def *b = &conf_blocks[i];
		cfg_opt_t *sub = xcallocarray(b->n_opts + 1, sizeof *sub);

		for (j = 0; j < b->n_opts; j++) {
			const cfg_opt_t o[] = {CFG_STR_LIST(b->opts[j].name, NULL, CFGF_NODEFAULT)};

			sub[j] = o[0];
		}
		sub[j] = func[1];
		{
			const cfg_opt_t o[] = {CFG_SEC(
			    b->name, sub, CFGF_MULTI | (b->titled ? CFGF_TITLE : CFGF_NONE))};

			top[i] = o[0];
		}
	}
	top[i++] = func[0];
	top[i] = func[1];
	return top;
}

static void
parse_free_options(cfg_opt_t *top)
{
	size_t i;

	for (i = 0; i < CONF_BLOCK__MAX; i++)
		free(top[i].subopts);
	free(top);
}

/* text[n] is '\0'; it is changed. */
static void
parse_text(struct parse *p, cfg_opt_t *options, char *text, size_t n)
{
	cfg_t *cfg = NULL;
	FILE *fp = NULL;
	size_t i;

	p->next_block = 0;
	p->mismatch = false;
	if (conf_scan_text(p->files[p->file].path, text, n, &p->scan, p->f) == -1) {
		p->broken = true;
		goto out;
	}
	if (n == 0)
		goto out;
	cfg = cfg_init(options, CFGF_NONE);
	fp = fmemopen(text, n, "r");
	if (cfg == NULL || fp == NULL) {
		conf_findings_add(p->f, true, parse_where(p, 0), "%s", strerror(errno));
		p->broken = true;
		goto out;
	}
	cfg_set_error_function(cfg, parse_on_error);
	for (i = 0; i < CONF_BLOCK__MAX; i++)
		cfg_set_validate_func(cfg, conf_blocks[i].name, parse_on_block);
	cfg->filename = xstrdup(p->files[p->file].path);
	if (cfg_parse_fp(cfg, fp) != CFG_SUCCESS || p->mismatch) {
		if (!p->broken)
			conf_findings_add(p->f, true, parse_where(p, (uint32_t)cfg->line),
			    "syntax error%s", p->mismatch ? " (libconfuse read it otherwise)" : "");
		p->broken = true;
	}
out:
	if (fp != NULL)
		fclose(fp);
	if (cfg != NULL)
		cfg_free(cfg);
	conf_scan_clear(&p->scan);
}

/* Line ends of other systems; a NUL-terminated copy's length. */
static size_t
parse_unify(char *text, size_t n)
{
	size_t i, j = 0;

	if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		memcpy(text, "   ", 3); /* byte order mark */
	for (i = 0; i < n; i++)
		if (text[i] != '\r' || i + 1 == n || text[i + 1] != '\n')
			text[j++] = text[i];
	text[j] = '\0';
	return j;
}

/* The file is one that includes it, or was read before. */
static bool
parse_is_double(struct parse *p, struct parse_file *x)
{
	size_t i;
	bool loop = false;

	for (i = x->parent; i != SIZE_MAX; i = p->files[i].parent)
		loop = loop || (p->files[i].real != NULL && strcmp(p->files[i].real, x->real) == 0);
	if (loop) {
		conf_findings_add(p->f, true, x->included_at,
		    "include(\"%s\"): a loop, this file is being read already", x->path);
		return true;
	}
	for (i = 0; i < p->file; i++) {
		if (p->files[i].real != NULL && strcmp(p->files[i].real, x->real) == 0) {
			conf_findings_add(p->f, true, x->included_at,
			    "include(\"%s\"): included twice, first in %s:%u; keep one", x->path,
			    p->files[i].included_at.file, p->files[i].included_at.line);
			return true;
		}
	}
	return false;
}

static void
parse_file(struct parse *p, cfg_opt_t *options)
{
	struct parse_file *x = &p->files[p->file];
	struct buf text = BUF_INIT;
	struct stat st;
	const char *why = NULL;
	char *copy;

	x->real = realpath(x->path, NULL);
	if (x->real == NULL || stat(x->real, &st) == -1)
		why = strerror(errno);
	else if (!S_ISREG(st.st_mode))
		why = "it is no regular file";
	else if (parse_is_double(p, x))
		x->failed = true;
	else if (fs_read_file(x->real, CONF_FILE_MAX, &text) == -1)
		why = errno == EFBIG ? "it is larger than 64 MiB" : strerror(errno);
	if (why != NULL) {
		x->failed = true;
		p->broken = true;
		if (x->parent == SIZE_MAX)
			conf_findings_add(p->f, true, (struct conf_where){x->path, 0},
			    "the configuration cannot be read: %s%s", why,
			    x->real == NULL && errno == ENOENT
				? "; -f names another file, and "
				  "submitd.conf.minimal.sample is one to begin with"
				: "");
		else
			conf_findings_add(p->f, true, x->included_at,
			    "include(\"%s\") cannot be read: %s", x->path, why);
	}
	if (!x->failed) {
		copy = xmalloc(buf_len(&text) + 2);
		memcpy(copy, buf_data(&text), buf_len(&text));
		parse_text(p, options, copy, parse_unify(copy, buf_len(&text)));
		free(copy);
	}
	buf_clear(&text);
}

/* All files after the first, then the raw form. */
static int
parse_finish(struct parse *p, cfg_opt_t *options, struct buf *raw)
{
	const char **names;
	size_t i;
	int result;

	for (p->file++; p->file < p->n_files; p->file++)
		parse_file(p, options);
	parse_free_options(options);
	parse_current = NULL;
	names = xcallocarray(p->n_files, sizeof *names);
	for (i = 0; i < p->n_files; i++)
		names[i] = p->files[i].path;
	conf_raw_begin(raw, names, p->n_files);
	buf_move(raw, &p->blocks);
	result = p->broken ? -1 : 0;
	for (i = 0; i < p->n_files; i++) {
		free(p->files[i].path);
		free(p->files[i].real);
	}
	free(p->files);
	free(names);
	buf_clear(&p->blocks);
	return result;
}

int
conf_parse_file(const char *path, struct buf *raw, struct conf_findings *f)
{
	struct parse p = {.f = f};
	cfg_opt_t *options = parse_make_options();

	parse_current = &p;
	parse_add_file(&p, path, SIZE_MAX, (struct conf_where){NULL, 0});
	parse_file(&p, options);
	return parse_finish(&p, options, raw);
}

int
conf_parse_text(const char *name, const char *text, struct buf *raw, struct conf_findings *f)
{
	struct parse p = {.f = f};
	cfg_opt_t *options = parse_make_options();
	size_t n = strlen(text);
	char *copy = xmalloc(n + 2);

	parse_current = &p;
	memcpy(copy, text, n + 1);
	parse_add_file(&p, name, SIZE_MAX, (struct conf_where){NULL, 0});
	parse_text(&p, options, copy, parse_unify(copy, n));
	free(copy);
	return parse_finish(&p, options, raw);
}
