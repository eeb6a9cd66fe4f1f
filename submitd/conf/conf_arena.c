/* SPDX-License-Identifier: ISC */
/*
 * Memory that lives exactly as long as a configuration, and the map over it.
 *
 * Every process builds its configuration from the raw form; with 100,000 domains
 * that must be quick, so nothing here is freed one by one. A map is sized once
 * and never grows.
 */
#include "conf/conf_internal.h"

#include "base/log.h"
#include "base/str.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 65536u

struct chunk {
	struct chunk *next;
	size_t used, cap;
	alignas(max_align_t) char mem[];
};
struct conf_arena {
	struct chunk *first;
};

struct conf_arena *
conf_arena_new(void)
{
	return xcallocarray(1, sizeof(struct conf_arena));
}

void
conf_arena_free(struct conf_arena *a)
{
	struct chunk *c, *next;

	if (a == NULL)
		return;
	for (c = a->first; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	free(a);
}

void *
conf_alloc(struct conf_arena *a, size_t n, size_t size)
{
	const size_t align = alignof(max_align_t);
	struct chunk *c = a->first;
	size_t bytes = 0, cap;

	if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX / 2)
		bytes = SIZE_MAX / 2; /* xcallocarray ends the process */
	bytes = (bytes + align - 1) / align * align;
	if (c == NULL || c->cap - c->used < bytes) {
		cap = bytes > CHUNK ? bytes : CHUNK;
		c = xcallocarray(1, sizeof *c + cap);
		c->cap = cap;
		if (bytes > CHUNK && a->first != NULL) {
			/* big pieces stand behind the first, whose rest stays usable */
			c->next = a->first->next;
			a->first->next = c;
		} else {
			c->next = a->first;
			a->first = c;
		}
	}
	c->used += bytes;
	return c->mem + (c->used - bytes);
}

char *
conf_dup(struct conf_arena *a, struct span s)
{
	char *p = conf_alloc(a, s.n + 1, 1);

	if (s.n != 0)
		memcpy(p, s.p, s.n);
	return p;
}

static uint32_t
map_hash(uint32_t tag, const char *key)
{
	uint32_t h = 2166136261u ^ (tag * 0x9e3779b1u);

	for (; *key != '\0'; key++)
		h = (h ^ (uint8_t)*key) * 16777619u;
	h ^= h >> 15;
	return h;
}

void
conf_map_init(struct conf_map *m, struct conf_arena *a, size_t n)
{
	size_t size = 16;

	while (size < n * 2)
		size *= 2;
	m->slots = conf_alloc(a, size, sizeof *m->slots);
	m->mask = size - 1;
	m->used = 0;
}

static struct conf_map_slot *
map_slot(const struct conf_map *m, uint32_t tag, const char *key, uint32_t hash)
{
	size_t i = hash & m->mask;

	while (m->slots[i].key != NULL) {
		if (m->slots[i].hash == hash && m->slots[i].tag == tag &&
		    strcmp(m->slots[i].key, key) == 0)
			break;
		i = (i + 1) & m->mask;
	}
	return &m->slots[i];
}

void *
conf_map_get(const struct conf_map *m, uint32_t tag, const char *key)
{
	if (m->slots == NULL || key == NULL)
		return NULL;
	return map_slot(m, tag, key, map_hash(tag, key))->value;
}

void *
conf_map_put(struct conf_map *m, uint32_t tag, const char *key, void *value)
{
	uint32_t hash = map_hash(tag, key);
	struct conf_map_slot *s = map_slot(m, tag, key, hash);

	if (s->key != NULL)
		return s->value;
	invariant(m->used < m->mask);
	*s = (struct conf_map_slot){.key = key, .value = value, .hash = hash, .tag = tag};
	m->used++;
	return NULL;
}
