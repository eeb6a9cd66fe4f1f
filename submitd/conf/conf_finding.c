/* SPDX-License-Identifier: ISC */
/*
 * The list of what is wrong with a configuration.
 *
 * Pure. Errors come all at once, so the list is bounded: after CONF_FINDINGS_MAX
 * the rest is only counted. File names are kept here because the findings outlive
 * a configuration that could not be built.
 */
#include "conf/conf_internal.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *
finding_file(struct conf_findings *f, const char *file)
{
	size_t i;

	if (file == NULL)
		return NULL;
	for (i = f->n_files; i > 0; i--)
		if (f->files[i - 1] == file || strcmp(f->files[i - 1], file) == 0)
			return f->files[i - 1];
	f->files = xreallocarray(f->files, f->n_files + 1, sizeof *f->files);
	f->files[f->n_files] = xstrdup(file);
	return f->files[f->n_files++];
}

void
conf_findings_vadd(
    struct conf_findings *f, bool error, struct conf_where where, const char *fmt, va_list ap)
{
	struct conf_finding *x;
	struct buf text = BUF_INIT;

	if (error)
		f->errors++;
	if (f->n > CONF_FINDINGS_MAX)
		return;
	if (f->n == f->cap) {
		f->cap = f->cap == 0 ? 16 : f->cap * 2;
		f->v = xreallocarray(f->v, f->cap, sizeof *f->v);
	}
	x = &f->v[f->n++];
	x->error = error;
	x->where = (struct conf_where){finding_file(f, where.file), where.line};
	if (f->n > CONF_FINDINGS_MAX)
		buf_add_str(&text, "there is more, which is not shown; correct these first");
	else
		buf_vaddf(&text, fmt, ap);
	x->text = xstrdup(buf_cstr(&text));
	buf_clear(&text);
}

void
conf_findings_add(
    struct conf_findings *f, bool error, struct conf_where where, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	conf_findings_vadd(f, error, where, fmt, ap);
	va_end(ap);
}

void
conf_error(struct conf_builder *b, struct conf_where where, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	conf_findings_vadd(b->f, true, where, fmt, ap);
	va_end(ap);
}

void
conf_warn(struct conf_builder *b, struct conf_where where, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	conf_findings_vadd(b->f, false, where, fmt, ap);
	va_end(ap);
}

static size_t
finding_rank(const struct conf_findings *f, const struct conf_finding *x)
{
	size_t i;

	for (i = 0; i < f->n_files; i++)
		if (f->files[i] == x->where.file)
			return i;
	return f->n_files;
}

/* Few and nearly sorted: an insertion sort keeps equal lines in the order they were found. */
void
conf_findings_sort(struct conf_findings *f)
{
	struct conf_finding x;
	size_t i, j, end = f->n > CONF_FINDINGS_MAX ? CONF_FINDINGS_MAX : f->n;

	for (i = 1; i < end; i++) {
		x = f->v[i];
		for (j = i; j > 0; j--) {
			size_t a = finding_rank(f, &f->v[j - 1]), b = finding_rank(f, &x);

			if (a < b || (a == b && f->v[j - 1].where.line <= x.where.line))
				break;
			f->v[j] = f->v[j - 1];
		}
		f->v[j] = x;
	}
	/* a block that several others use is checked once for each */
	for (i = 1; i < end;) {
		struct conf_finding *a = &f->v[i - 1], *b = &f->v[i];

		if (a->error || b->error || a->where.file != b->where.file ||
		    a->where.line != b->where.line || strcmp(a->text, b->text) != 0) {
			i++;
			continue;
		}
		free(b->text);
		memmove(b, b + 1, (f->n - i - 1) * sizeof(*b));
		f->n--;
		end--;
	}
}

void
conf_findings_clear(struct conf_findings *f)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		free(f->v[i].text);
	for (i = 0; i < f->n_files; i++)
		free(f->files[i]);
	free(f->v);
	free(f->files);
	memset(f, 0, sizeof *f);
}

void
conf_finding_format(const struct conf_finding *x, struct buf *out)
{
	if (x->where.file != NULL)
		buf_addf(out, "%s:", x->where.file);
	if (x->where.file != NULL && x->where.line != 0)
		buf_addf(out, "%u:", x->where.line);
	buf_addf(out, "%s%s: %s", x->where.file != NULL ? " " : "", x->error ? "error" : "warning",
	    x->text);
}

const char *
conf_shown(struct span s, char out[CONF_SHOWN])
{
	size_t i, n = s.n < CONF_SHOWN - 4 ? s.n : CONF_SHOWN - 4;

	for (i = 0; i < n; i++)
		out[i] = (uint8_t)s.p[i] < 0x20 || s.p[i] == 0x7f ? '.' : s.p[i];
	/* not in the middle of a UTF-8 character */
	while (n < s.n && i > 0 && ((uint8_t)s.p[i] & 0xc0) == 0x80)
		i--;
	(void)str_copy(out + i, CONF_SHOWN - i, n < s.n ? "..." : "");
	return out;
}

void
conf_label(
    enum conf_kind kind, const char *title, const struct conf_option_def *opt, char out[CONF_LABEL])
{
	char shown[CONF_SHOWN];
	const struct conf_block_def *b = &conf_blocks[kind];

	if (title != NULL)
		(void)str_printf(out, CONF_LABEL, "%s \"%s\"%s%s", b->name,
		    conf_shown(span_of(title), shown), opt != NULL ? ": " : "",
		    opt != NULL ? opt->name : "");
	else
		(void)str_printf(out, CONF_LABEL, "%s%s%s", b->name, opt != NULL ? ": " : "",
		    opt != NULL ? opt->name : "");
}
