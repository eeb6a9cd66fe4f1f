/* SPDX-License-Identifier: ISC */
/*
 * Tables for people: aligned columns, cut to the width of the terminal where there
 * is one, never cut in a pipe. Rows are printed in batches, so that a million of
 * them need no memory; the first batch decides the widths.
 */
#include "ctl/ctl.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 500
#define GAP 2

/* Characters, not octets: columns are aligned for ordinary scripts. */
static size_t
text_width(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		if (((unsigned char)*s & 0xc0) != 0x80)
			n++;
	return n;
}

void
ctl_table_init(struct ctl_table *t, const struct ctl_column *columns, size_t n)
{
	memset(t, 0, sizeof(*t));
	t->columns = columns;
	t->n_columns = n < CTL_TABLE_COLUMNS ? n : CTL_TABLE_COLUMNS;
	for (size_t i = 0; i < t->n_columns; i++)
		t->width[i] = text_width(columns[i].name);
	t->rows = xcallocarray(BATCH, sizeof(*t->rows));
}

static void
fit(struct ctl_table *t)
{
	size_t max = (size_t)ctl_columns(), total = 0;

	for (size_t r = 0; r < t->n_rows; r++) {
		for (size_t i = 0; i < t->n_columns; i++) {
			size_t w = text_width(t->rows[r][i]);

			if (w > t->width[i])
				t->width[i] = w;
		}
	}
	for (size_t i = 0; i < t->n_columns; i++)
		total += t->width[i] + GAP;
	while (max != 0 && total > max + GAP) {
		size_t widest = t->n_columns;

		for (size_t i = 0; i < t->n_columns; i++) {
			if (t->columns[i].shrink && t->width[i] > 8 &&
			    (widest == t->n_columns || t->width[i] > t->width[widest]))
				widest = i;
		}
		if (widest == t->n_columns)
			return;
		t->width[widest]--;
		total--;
	}
}

/* At most width characters; the last one is "…" where something is cut. */
static void
print_cell(const char *s, size_t width, bool right, bool last)
{
	size_t w = text_width(s), pad = w < width ? width - w : 0;

	if (right)
		(void)printf("%*s", (int)pad, "");
	if (w <= width || width == 0) {
		ctl_print_clean(s);
	} else {
		char cut[1024];
		size_t chars = 0, n = 0;

		while (n < sizeof(cut) - 1 && s[n] != '\0') {
			if (((unsigned char)s[n] & 0xc0) != 0x80 && ++chars == width)
				break;
			n++;
		}
		memcpy(cut, s, n);
		cut[n] = '\0';
		ctl_print_clean(cut);
		(void)fputs("\xe2\x80\xa6", stdout);
	}
	if (!right && !last)
		(void)printf("%*s", (int)pad, "");
	if (!last)
		(void)printf("%*s", GAP, "");
}

static void
print_row(const struct ctl_table *t, const char *const *cells, bool bold)
{
	size_t n = t->n_columns;

	if (bold && ctl_colour())
		(void)fputs("\033[1m", stdout);
	while (n > 1 && cells[n - 1][0] == '\0')
		n--; /* no blanks at the end of a line */
	for (size_t i = 0; i < n; i++) {
		bool last = i + 1 == n;
		size_t width = t->width[i];

		/* later batches may hold longer texts: in a pipe they are not cut */
		if (ctl_columns() == 0 && text_width(cells[i]) > width)
			width = text_width(cells[i]);
		print_cell(cells[i], width, t->columns[i].right, last);
	}
	if (bold && ctl_colour())
		(void)fputs("\033[0m", stdout);
	(void)putchar('\n');
}

static void
flush_rows(struct ctl_table *t)
{
	if (t->printed == 0) {
		const char *names[CTL_TABLE_COLUMNS];

		fit(t);
		for (size_t i = 0; i < t->n_columns; i++)
			names[i] = t->columns[i].name;
		if (t->n_rows != 0)
			print_row(t, names, true);
	}
	for (size_t r = 0; r < t->n_rows; r++) {
		print_row(t, (const char *const *)t->rows[r], false);
		for (size_t i = 0; i < t->n_columns; i++)
			free(t->rows[r][i]);
		free(t->rows[r]);
		t->printed++;
	}
	t->n_rows = 0;
}

void
ctl_table_add(struct ctl_table *t, const char *const *cells)
{
	char **row = xcallocarray(t->n_columns, sizeof(*row));

	for (size_t i = 0; i < t->n_columns; i++)
		row[i] = xstrdup(cells[i] == NULL ? "" : cells[i]);
	t->rows[t->n_rows++] = row;
	if (t->n_rows == BATCH)
		flush_rows(t);
}

void
ctl_table_end(struct ctl_table *t)
{
	flush_rows(t);
	free(t->rows);
	t->rows = NULL;
}
