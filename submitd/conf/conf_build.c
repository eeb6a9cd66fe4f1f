/* SPDX-License-Identifier: ISC */
/*
 * Raw form to structs.
 *
 * Runs in every process and gives the same result in each: it touches nothing but
 * its arguments. Order: blocks and values, doubles and missing ones, references
 * and defaults that depend on others (conf_resolve.c), derived fields
 * (conf_derive.c), look-up tables (conf_find.c), cross checks (conf_check*.c).
 * Later steps run even after errors, so that all are reported at once.
 */
#include "conf/conf_internal.h"

#include "base/str.h"
#include "mail/pattern.h"

#include <stdlib.h>
#include <string.h>

#define TITLE_MAX 255

void *
conf_block_at(const struct conf *c, enum conf_kind kind, size_t i)
{
	const struct conf_block_def *d = &conf_blocks[kind];
	char *array;

	memcpy(&array, (const char *)c + d->array_at, sizeof array);
	return array + i * d->size;
}

size_t
conf_block_count(const struct conf *c, enum conf_kind kind)
{
	size_t n;

	memcpy(&n, (const char *)c + conf_blocks[kind].count_at, sizeof n);
	return n;
}

static void
block_set_array(struct conf *c, enum conf_kind kind, void *array, size_t n)
{
	memcpy((char *)c + conf_blocks[kind].array_at, &array, sizeof array);
	memcpy((char *)c + conf_blocks[kind].count_at, &n, sizeof n);
}

struct conf_where *
conf_block_where(enum conf_kind kind, void *block)
{
	(void)kind; /* the first member of all of them */
	return block;
}

char **
conf_block_title(enum conf_kind kind, void *block)
{
	return (void *)((char *)block + conf_blocks[kind].title_at);
}

struct conf_where **
conf_block_options(enum conf_kind kind, void *block)
{
	return (void *)((char *)block + conf_blocks[kind].options_at);
}

bool
conf_option_given(enum conf_kind kind, const void *block, unsigned opt)
{
	const struct conf_where *w;

	memcpy(&w, (const char *)block + conf_blocks[kind].options_at, sizeof w);
	return w[opt].line != 0;
}

struct conf_where
conf_option_where(enum conf_kind kind, const void *block, unsigned opt)
{
	const struct conf_where *w;
	struct conf_where at;

	memcpy(&w, (const char *)block + conf_blocks[kind].options_at, sizeof w);
	if (w[opt].line != 0)
		return w[opt];
	memcpy(&at, block, sizeof at);
	return at;
}

struct build_raw {
	char **files; /* in the arena */
	size_t n_files;
	size_t count[CONF_BLOCK__MAX];
	void *template[CONF_BLOCK__MAX]; /* with all defaults */
};

/* Counts the blocks and checks the whole raw form once. -1: damaged. */
static int
build_count(struct conf_builder *b, struct build_raw *raw, struct rd *r)
{
	struct conf_raw_head h;
	struct conf_raw_opt o;
	struct span *files, text;
	uint32_t line, k;
	size_t i;
	unsigned j;

	if (conf_raw_read_files(r, &files, &raw->n_files) == -1)
		return -1;
	raw->files = conf_alloc(b->arena, raw->n_files, sizeof *raw->files);
	for (i = 0; i < raw->n_files; i++)
		raw->files[i] = conf_dup(b->arena, files[i]);
	free(files);
	while (conf_raw_more(r)) {
		if (conf_raw_read_block(r, raw->n_files, &h) == -1)
			return -1;
		raw->count[h.kind]++;
		for (j = 0; j < h.n_opts; j++) {
			if (conf_raw_read_option(r, h.kind, &o) == -1)
				return -1;
			for (k = 0; k < o.n_values; k++)
				if (conf_raw_read_value(r, &line, &text) == -1)
					return -1;
		}
	}
	return r->bad ? -1 : 0;
}

static void
build_templates(struct conf_builder *b, struct build_raw *raw)
{
	size_t i, j;

	for (i = 0; i < CONF_BLOCK__MAX; i++) {
		const struct conf_block_def *d = &conf_blocks[i];

		raw->template[i] = conf_alloc(b->arena, 1, d->size);
		for (j = 0; j < d->n_opts; j++)
			conf_value_default(
			    b->arena, &d->opts[j], (char *)raw->template[i] + d->opts[j].offset);
	}
}

/* A block with its defaults, not given anywhere. */
static void
build_blank(struct conf_builder *b, struct build_raw *raw, enum conf_kind kind, void *block,
    uint32_t file, uint32_t line)
{
	memcpy(block, raw->template[kind], conf_blocks[kind].size);
	*conf_block_where(kind, block) = (struct conf_where){raw->files[file], line};
	*conf_block_options(kind, block) =
	    conf_alloc(b->arena, conf_blocks[kind].n_opts, sizeof(struct conf_where));
}

static void
build_title(struct conf_builder *b, enum conf_kind kind, void *block, struct span title)
{
	struct conf_where where = *conf_block_where(kind, block);
	const struct conf_block_def *d = &conf_blocks[kind];

	if (!d->titled)
		return;
	if (title.n == 0)
		conf_error(b, where, "%s needs a name: write %s \"name\" {", d->name, d->name);
	else if (title.n > TITLE_MAX || str_has_control(title) || !utf8_valid(title))
		conf_error(b, where,
		    "%s: its name is longer than %d octets, has a control character or is not "
		    "UTF-8",
		    d->name, TITLE_MAX);
	else {
		*conf_block_title(kind, block) = conf_dup(b->arena, title);
		return;
	}
	*conf_block_title(kind, block) = conf_dup(b->arena, span_of("?"));
}

/* The raw form was checked by build_count. */
static void
build_blocks(struct conf_builder *b, struct build_raw *raw, struct rd *r)
{
	size_t at[CONF_BLOCK__MAX] = {0}, cap = 0;
	struct conf_value *v = NULL;
	struct conf_raw_head h;
	struct conf_raw_opt o;
	struct span *files;
	size_t n_files;
	uint32_t k;
	unsigned j;
	void *block;

	if (conf_raw_read_files(r, &files, &n_files) == -1)
		return;
	free(files);
	while (conf_raw_more(r) && conf_raw_read_block(r, n_files, &h) == 0) {
		block = conf_block_at(b->conf, h.kind, at[h.kind]++);
		build_blank(b, raw, h.kind, block, h.file, h.line);
		build_title(b, h.kind, block, h.title);
		for (j = 0; j < h.n_opts; j++) {
			if (conf_raw_read_option(r, h.kind, &o) == -1)
				goto out;
			if (o.n_values > cap) {
				cap = o.n_values;
				v = xreallocarray(v, cap, sizeof *v);
			}
			for (k = 0; k < o.n_values; k++)
				(void)conf_raw_read_value(r, &v[k].line, &v[k].text);
			conf_value_set(b, h.kind, block, o.opt, &o, v);
		}
	}
out:
	free(v);
}

/* How often a block may stand, and options that must be given. */
static void
build_check_counts(struct conf_builder *b, struct build_raw *raw)
{
	struct conf_where top = {raw->files[0], 0};
	size_t i, j, k;

	for (i = 0; i < CONF_BLOCK__MAX; i++) {
		const struct conf_block_def *d = &conf_blocks[i];
		enum conf_kind kind = (enum conf_kind)i;

		if (raw->count[i] < d->min) {
			conf_error(b, top, "there is no %s block; one is needed: %s %s{ ... }",
			    d->name, d->name, d->titled ? "\"name\" " : "");
			continue;
		}
		if (raw->count[i] > d->max) {
			struct conf_where first =
			    *conf_block_where(kind, conf_block_at(b->conf, kind, 0));

			if (d->max == 1)
				conf_error(b,
				    *conf_block_where(kind, conf_block_at(b->conf, kind, 1)),
				    "the %s block is given twice, first in %s:%u; make one of them",
				    d->name, first.file, first.line);
			else
				conf_error(b, first,
				    "there are %zu %s blocks; at most %u are possible",
				    raw->count[i], d->name, d->max);
		}
		for (j = 0; j < d->n_opts; j++) {
			if (d->opts[j].def != conf_required ||
			    (kind == CONF_BLOCK_listener && j == CONF_OPT_listener_bind))
				continue;
			for (k = 0; k < raw->count[i]; k++) {
				void *block = conf_block_at(b->conf, kind, k);
				char label[CONF_LABEL];

				if (conf_option_given(kind, block, (unsigned)j))
					continue;
				conf_label(kind, *conf_block_title(kind, block), NULL, label);
				conf_error(b, *conf_block_where(kind, block),
				    "%s: %s is missing, it must be given (%s)", label,
				    d->opts[j].name, d->opts[j].help);
			}
		}
	}
}

static void
build_index_titles(struct conf_builder *b)
{
	size_t i, k, n = 0;

	for (i = 0; i < CONF_BLOCK__MAX; i++)
		n += conf_block_count(b->conf, (enum conf_kind)i);
	conf_map_init(&b->conf->index->titles, b->arena, n + 1);
	for (i = 0; i < CONF_BLOCK__MAX; i++) {
		enum conf_kind kind = (enum conf_kind)i;

		n = conf_block_count(b->conf, kind);
		b->referenced[i] = conf_alloc(b->arena, n, sizeof(bool));
		for (k = 0; k < n && conf_blocks[i].titled; k++) {
			void *block = conf_block_at(b->conf, kind, k), *old;
			const char *title = *conf_block_title(kind, block);
			struct conf_where *w;
			char label[CONF_LABEL];

			old = conf_map_put(&b->conf->index->titles, (uint32_t)i, title, block);
			if (old == NULL || strcmp(title, "?") == 0)
				continue;
			w = conf_block_where(kind, old);
			conf_label(kind, title, NULL, label);
			conf_error(b, *conf_block_where(kind, block),
			    "%s stands twice, first in %s:%u; every name may be used once", label,
			    w->file, w->line);
		}
	}
}

static bool
names_internal(const struct conf_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (strcmp(l->v[i], "internal") == 0)
			return true;
	return false;
}

/* chain = { internal } needs no block: one more is made then. */
static bool
build_needs_internal(struct conf_builder *b)
{
	const struct conf *c = b->conf;
	size_t i;
	bool used = false;

	for (i = 0; i < c->n_backend; i++)
		if (strcmp(c->backend_blocks[i].title, "internal") == 0)
			return false;
	for (i = 0; i < c->n_auth_flow && !used; i++)
		used = names_internal(&c->auth_flow_blocks[i].chain);
	for (i = 0; i < c->n_ou && !used; i++)
		used = names_internal(&c->ou_blocks[i].backends);
	return used;
}

struct conf *
conf_build(struct span bytes, struct conf_findings *f)
{
	struct conf_arena *arena = conf_arena_new();
	struct conf_builder b = {.arena = arena, .f = f};
	struct build_raw raw = {0};
	struct conf *c = conf_alloc(arena, 1, sizeof *c);
	struct rd r;
	size_t i, n;

	c->arena = arena;
	b.conf = c;
	rd_init(&r, bytes.p, bytes.n);
	if (build_count(&b, &raw, &r) == -1) {
		conf_error(&b, (struct conf_where){NULL, 0}, "the raw form is damaged");
		conf_free(c);
		return NULL;
	}
	c->file = raw.files[0];
	c->index = conf_alloc(arena, 1, sizeof *c->index);
	build_templates(&b, &raw);
	for (i = 0; i < CONF_BLOCK__MAX; i++) {
		/* untitled blocks always exist; one spare for a backend that needs no block */
		n = raw.count[i] +
		    (conf_blocks[i].titled ? i == CONF_BLOCK_backend : raw.count[i] == 0);
		block_set_array(
		    c, (enum conf_kind)i, conf_alloc(arena, n, conf_blocks[i].size), raw.count[i]);
	}
	rd_init(&r, bytes.p, bytes.n);
	build_blocks(&b, &raw, &r);
	build_check_counts(&b, &raw);
	for (i = 0; i < CONF_BLOCK__MAX; i++) {
		if (conf_blocks[i].titled || raw.count[i] != 0)
			continue;
		build_blank(
		    &b, &raw, (enum conf_kind)i, conf_block_at(c, (enum conf_kind)i, 0), 0, 0);
		block_set_array(c, (enum conf_kind)i, conf_block_at(c, (enum conf_kind)i, 0), 1);
	}
	if (build_needs_internal(&b)) {
		struct conf_backend *x = &c->backend_blocks[c->n_backend++];

		build_blank(&b, &raw, CONF_BLOCK_backend, x, 0, 0);
		x->title = conf_dup(arena, span_of("internal"));
		x->type = 0; /* internal */
	}
	c->server = c->server_blocks;
	c->log = c->log_blocks;
	c->audit = c->audit_blocks;
	c->auth_guard = c->auth_guard_blocks;
	c->history = c->history_blocks;
	build_index_titles(&b);
	conf_resolve(&b, raw.template[CONF_BLOCK_limit]);
	conf_derive(&b);
	conf_index_domains(&b);
	conf_check(&b);
	if (f->errors != 0) {
		conf_free(c);
		return NULL;
	}
	return c;
}

void
conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	for (const struct conf_patterns *p = c->patterns; p != NULL; p = p->next)
		pattern_list_free(p->list);
	conf_arena_free(c->arena); /* c itself is in it */
}
