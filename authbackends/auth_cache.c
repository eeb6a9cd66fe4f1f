/* SPDX-License-Identifier: ISC */
/*
 * The positive cache of logins (C2): a hash table with a list by last use. Process
 * auth, in the loop. Must never hold a password or anything it could be guessed
 * from without the process's own key, and never a no.
 */
#include "authbackends/auth_cache.h"

#include "base/enc.h"
#include "base/list.h"
#include "base/str.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	uint8_t key[AUTH_CACHE_KEY];
	uint64_t stamp;
	int64_t expires_ms;
	struct auth_cache_answer answer; /* its texts stand in data */
	size_t bytes;
	LIST_ENTRY(entry) in_bucket;
	TAILQ_ENTRY(entry) by_use; /* the last used first */
	char data[];
};
LIST_HEAD(bucket, entry);
TAILQ_HEAD(uses, entry);

struct auth_cache {
	uint8_t secret[32];
	size_t max_entries, max_bytes, n_buckets;
	struct bucket *buckets;
	struct uses uses;
	struct auth_cache_stats stats;
};

struct auth_cache *
auth_cache_new(size_t max_entries, size_t max_bytes)
{
	struct auth_cache *c = xcallocarray(1, sizeof(*c));

	random_bytes(c->secret, sizeof(c->secret));
	c->max_entries = max_entries;
	c->max_bytes = max_bytes;
	c->n_buckets = max_entries + 1;
	c->buckets = xcallocarray(c->n_buckets, sizeof(*c->buckets));
	TAILQ_INIT(&c->uses);
	return c;
}

static struct bucket *
bucket_of(struct auth_cache *c, const uint8_t key[AUTH_CACHE_KEY])
{
	uint64_t h;

	memcpy(&h, key, sizeof(h)); /* a MAC: any part of it is evenly spread */
	return &c->buckets[h % c->n_buckets];
}

static void
drop(struct auth_cache *c, struct entry *e)
{
	LIST_REMOVE(e, in_bucket);
	TAILQ_REMOVE(&c->uses, e, by_use);
	c->stats.entries--;
	c->stats.bytes -= e->bytes;
	explicit_bzero(e, e->bytes);
	free(e);
}

void
auth_cache_free(struct auth_cache *c)
{
	struct entry *e;

	if (c == NULL)
		return;
	while ((e = TAILQ_FIRST(&c->uses)) != NULL)
		drop(c, e);
	free(c->buckets);
	explicit_bzero(c, sizeof(*c));
	free(c);
}

/* Each part with its length in front: no two questions look the same. */
void
auth_cache_key(
    const struct auth_cache *c, const struct auth_cache_question *q, uint8_t out[AUTH_CACHE_KEY])
{
	struct buf text = BUF_INIT;
	unsigned len = 0;

	buf_reserve(&text, 2048); /* not to leave copies behind by growing */
	buf_put_cstr(&text, q->flow);
	buf_put_cstr(&text, q->login);
	buf_put_cstr(&text, q->address);
	buf_put_u8(&text, (uint8_t)q->client->family);
	buf_put_bytes(&text, q->client->ip, sizeof(q->client->ip));
	buf_put_bytes(&text, q->password->data, q->password->len);
	if (HMAC(EVP_sha256(), c->secret, sizeof(c->secret), buf_data(&text), buf_len(&text), out,
		&len) == NULL ||
	    len != AUTH_CACHE_KEY)
		random_bytes(out, AUTH_CACHE_KEY); /* nothing will be found */
	buf_wipe(&text);
}

static struct entry *
find(struct auth_cache *c, const uint8_t key[AUTH_CACHE_KEY])
{
	struct entry *e;

	LIST_FOREACH(e, bucket_of(c, key), in_bucket)
	if (memcmp(e->key, key, AUTH_CACHE_KEY) == 0)
		return e;
	return NULL;
}

const struct auth_cache_answer *
auth_cache_find(
    struct auth_cache *c, const uint8_t key[AUTH_CACHE_KEY], uint64_t stamp, int64_t now_ms)
{
	struct entry *e = find(c, key);

	if (e != NULL && (e->stamp != stamp || now_ms >= e->expires_ms)) {
		drop(c, e);
		e = NULL;
	}
	if (e == NULL) {
		c->stats.misses++;
		return NULL;
	}
	c->stats.hits++;
	TAILQ_REMOVE(&c->uses, e, by_use);
	TAILQ_INSERT_HEAD(&c->uses, e, by_use);
	return &e->answer;
}

void
auth_cache_add(struct auth_cache *c, const uint8_t key[AUTH_CACHE_KEY], uint64_t stamp,
    const struct auth_cache_answer *a, int64_t expires_ms)
{
	size_t name_n = strlen(a->name) + 1, bytes = sizeof(struct entry) + name_n + a->own.n;
	struct entry *e = find(c, key);

	if (e != NULL)
		drop(c, e);
	if (bytes > c->max_bytes || c->max_entries == 0)
		return;
	while (c->stats.entries >= c->max_entries || c->stats.bytes + bytes > c->max_bytes)
		drop(c, TAILQ_LAST(&c->uses, uses));
	e = xcallocarray(1, bytes);
	memcpy(e->key, key, AUTH_CACHE_KEY);
	e->stamp = stamp;
	e->expires_ms = expires_ms;
	e->bytes = bytes;
	memcpy(e->data, a->name, name_n);
	if (a->own.n > 0)
		memcpy(e->data + name_n, a->own.p, a->own.n);
	e->answer = (struct auth_cache_answer){a->source, e->data, {e->data + name_n, a->own.n}};
	LIST_INSERT_HEAD(bucket_of(c, key), e, in_bucket);
	TAILQ_INSERT_HEAD(&c->uses, e, by_use);
	c->stats.entries++;
	c->stats.bytes += bytes;
}

const struct auth_cache_stats *
auth_cache_stats(const struct auth_cache *c)
{
	return &c->stats;
}
