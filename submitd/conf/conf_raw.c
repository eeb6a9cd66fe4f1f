/* SPDX-License-Identifier: ISC */
/*
 * The raw form: blocks, options and texts with their places, as bytes.
 *
 * The unprivileged child that reads the configuration writes it, every process
 * reads it. The reader takes nothing on trust: the child parsed hostile text.
 * Layout: magic, files; then per block kind, title, place and options until the end.
 */
#include "conf/conf_internal.h"

#include "base/str.h"

#include <stdlib.h>

#define RAW_MAGIC 0x31464353u /* "SCF1" */

void
conf_raw_begin(struct buf *out, const char *const *files, size_t n_files)
{
	size_t i;

	buf_put_u32(out, RAW_MAGIC);
	buf_put_u32(out, (uint32_t)n_files);
	for (i = 0; i < n_files; i++)
		buf_put_cstr(out, files[i]);
}

void
conf_raw_block(struct buf *out, enum conf_kind kind, const char *title, uint32_t file,
    uint32_t line, unsigned n_opts)
{
	buf_put_u8(out, (uint8_t)kind);
	buf_put_cstr(out, title);
	buf_put_u32(out, file);
	buf_put_u32(out, line);
	buf_put_u16(out, (uint16_t)n_opts);
}

void
conf_raw_option(struct buf *out, unsigned opt, uint32_t line, bool braces, uint32_t n_values)
{
	buf_put_u8(out, (uint8_t)opt);
	buf_put_u32(out, line);
	buf_put_u8(out, braces);
	buf_put_u32(out, n_values);
}

void
conf_raw_value(struct buf *out, uint32_t line, struct span text)
{
	buf_put_u32(out, line);
	buf_put_bytes(out, text.p, text.n);
}

int
conf_raw_read_files(struct rd *r, struct span **files, size_t *n)
{
	struct span *v;
	uint32_t count, i;

	if (rd_u32(r) != RAW_MAGIC)
		return -1;
	count = rd_u32(r);
	if (r->bad || count == 0 || count > CONF_FILES_MAX || count > r->n / 4)
		return -1;
	v = xcallocarray(count, sizeof *v);
	for (i = 0; i < count; i++)
		v[i] = rd_bytes(r);
	if (r->bad) {
		free(v);
		return -1;
	}
	*files = v;
	*n = count;
	return 0;
}

bool
conf_raw_more(const struct rd *r)
{
	return !r->bad && r->n != 0;
}

int
conf_raw_read_block(struct rd *r, size_t n_files, struct conf_raw_head *h)
{
	unsigned kind = rd_u8(r);

	h->title = rd_bytes(r);
	h->file = rd_u32(r);
	h->line = rd_u32(r);
	h->n_opts = rd_u16(r);
	if (r->bad || kind >= CONF_BLOCK__MAX || h->file >= n_files)
		return -1;
	h->kind = (enum conf_kind)kind;
	return 0;
}

int
conf_raw_read_option(struct rd *r, enum conf_kind kind, struct conf_raw_opt *o)
{
	o->opt = rd_u8(r);
	o->line = rd_u32(r);
	o->braces = rd_u8(r) != 0;
	o->n_values = rd_u32(r);
	/* every value takes eight octets at least: no count makes us allocate much */
	if (r->bad || o->opt >= conf_blocks[kind].n_opts || o->n_values > r->n / 8)
		return -1;
	return 0;
}

int
conf_raw_read_value(struct rd *r, uint32_t *line, struct span *text)
{
	*line = rd_u32(r);
	*text = rd_bytes(r);
	return r->bad ? -1 : 0;
}
