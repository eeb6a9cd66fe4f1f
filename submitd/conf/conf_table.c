/* SPDX-License-Identifier: ISC */
/*
 * conf_options.def as data, and the search for the name that was meant.
 *
 * Pure. Parser, defaults and checks go by these tables; option names as texts
 * stand nowhere else.
 */
#include "conf/conf_internal.h"

#include "base/str.h"

#include <string.h>

const char conf_required[] = "(required)";
#define CONF_REQUIRED conf_required

#define WORDS_BOOL(block, name) NULL
#define WORDS_INT(block, name) NULL
#define WORDS_INTLIST(block, name) NULL
#define WORDS_TIME(block, name) NULL
#define WORDS_SIZE(block, name) NULL
#define WORDS_STR(block, name) NULL
#define WORDS_LIST(block, name) NULL
#define WORDS_REF(block, name) NULL
#define WORDS_REFLIST(block, name) NULL
#define WORDS_ENUM(block, name) ((const char *const[]){CONF_ENUM_##block##_##name, NULL})

#define TITLED true
#define UNTITLED false

/* clang-format off */
#define BLOCK(name, titled, min, max) static const struct conf_option_def name##_options[] = {
#define OPT(block, name, type, def, min, max, help)                                                \
	{#name, def, WORDS_##type(block, name), help, min, max,                                    \
	    offsetof(struct conf_##block, name), CONF_TYPE_##type},
#define EXTRA(...)
#define END(name) };
#include "conf/conf_options.def"
#undef BLOCK
#undef OPT
#undef EXTRA
#undef END

#define BLOCK(block, titled, min, max)                                                             \
	{#block, block##_options, CONF_OPT_##block##__MAX, sizeof(struct conf_##block),            \
	    offsetof(struct conf, block##_blocks), offsetof(struct conf, n_##block),               \
	    offsetof(struct conf_##block, title), offsetof(struct conf_##block, option_where),     \
	    min, max, titled},
#define OPT(block, name, type, def, min, max, help)
#define EXTRA(...)
#define END(name)
const struct conf_block_def conf_blocks[CONF_BLOCK__MAX] = {
#include "conf/conf_options.def"
};
#undef BLOCK
#undef OPT
#undef EXTRA
#undef END
/* clang-format on */

bool
conf_type_is_list(enum conf_type t)
{
	return t == CONF_TYPE_LIST || t == CONF_TYPE_REFLIST || t == CONF_TYPE_INTLIST;
}

size_t
conf_type_size(enum conf_type t)
{
	switch (t) {
	case CONF_TYPE_BOOL:
		return sizeof(bool);
	case CONF_TYPE_INT:
	case CONF_TYPE_TIME:
	case CONF_TYPE_SIZE:
		return sizeof(int64_t);
	case CONF_TYPE_INTLIST:
		return sizeof(struct conf_ints);
	case CONF_TYPE_STR:
	case CONF_TYPE_REF:
		return sizeof(char *);
	case CONF_TYPE_LIST:
	case CONF_TYPE_REFLIST:
		return sizeof(struct conf_list);
	case CONF_TYPE_ENUM:
		return sizeof(int);
	case CONF_TYPE__MAX:
		break;
	}
	return 0;
}

int
conf_block_index(struct span name)
{
	int i;

	for (i = 0; i < CONF_BLOCK__MAX; i++)
		if (span_eq(name, conf_blocks[i].name))
			return i;
	return -1;
}

int
conf_option_index(enum conf_kind kind, struct span name)
{
	const struct conf_block_def *b = &conf_blocks[kind];
	size_t i;

	for (i = 0; i < b->n_opts; i++)
		if (span_eq(name, b->opts[i].name))
			return (int)i;
	return -1;
}

/* Optimal string alignment distance, upper bound WORD_MAX octets each. */
#define WORD_MAX 40
static size_t
word_distance(const char *a, size_t n, const char *b, size_t m)
{
	size_t row[3][WORD_MAX + 1], i, j, best;
	size_t *old2 = row[0], *old = row[1], *cur = row[2], *tmp;

	if (n > WORD_MAX || m > WORD_MAX)
		return WORD_MAX;
	for (j = 0; j <= m; j++) {
		old[j] = j;
		old2[j] = j;
	}
	for (i = 1; i <= n; i++) {
		cur[0] = i;
		for (j = 1; j <= m; j++) {
			best = old[j - 1] + (a[i - 1] != b[j - 1]);
			if (old[j] + 1 < best)
				best = old[j] + 1;
			if (cur[j - 1] + 1 < best)
				best = cur[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    old2[j - 2] + 1 < best)
				best = old2[j - 2] + 1;
			cur[j] = best;
		}
		tmp = old2;
		old2 = old;
		old = cur;
		cur = tmp;
	}
	return old[m];
}

const char *
conf_nearest(struct span word, const char *const *words, size_t n)
{
	char lower[WORD_MAX + 1];
	const char *best = NULL;
	size_t i, d, best_d, w;

	if (str_copy_span(lower, sizeof lower, word) == -1)
		return NULL;
	str_lower(lower);
	for (i = 0; lower[i] != '\0'; i++)
		if (lower[i] == '-')
			lower[i] = '_';
	best_d = word.n <= 4 ? 1 : word.n <= 8 ? 2 : 3;
	for (i = 0; i < n; i++) {
		w = strlen(words[i]);
		d = word_distance(lower, word.n, words[i], w);
		/* "relay_any" means relay_any_authenticated */
		if (d > best_d && word.n >= 5 && w > word.n && memcmp(words[i], lower, word.n) == 0)
			d = best_d;
		if (d < best_d || (d == best_d && best == NULL)) {
			best = words[i];
			best_d = d;
		}
	}
	return best;
}
