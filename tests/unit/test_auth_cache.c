/* SPDX-License-Identifier: ISC */
/*
 * The positive cache (C2): what makes two questions the same, when an answer ends,
 * and that it stays within its bounds.
 */
#include "authbackends/auth_cache.h"

#include "base/list.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const int ad, files; /* two backends */

static void
key(const struct auth_cache *c, const char *flow, const char *login, const char *address,
    const char *ip, const char *password, uint8_t out[AUTH_CACHE_KEY])
{
	struct secret s = {0};
	struct net_addr client;
	struct auth_cache_question q = {flow, login, address, &client, &s};

	assert_int_equal(net_addr_parse_ip(span_of(ip), &client), 0);
	secret_set(&s, password, strlen(password));
	auth_cache_key(c, &q, out);
	secret_clear(&s);
}

/* Every part counts, and none can be shifted into the next. */
static void
test_key(void **state)
{
	static const char *const questions[][5] = {
	    {"f", "alice", "alice@a", "192.0.2.1", "pw"},
	    {"g", "alice", "alice@a", "192.0.2.1", "pw"},
	    {"f", "alicf", "alice@a", "192.0.2.1", "pw"},
	    {"f", "alice", "alice@b", "192.0.2.1", "pw"},
	    {"f", "alice", "alice@a", "192.0.2.2", "pw"},
	    {"f", "alice", "alice@a", "2001:db8::1", "pw"},
	    {"f", "alice", "alice@a", "192.0.2.1", "px"},
	    {"f", "alice", "alice@a", "192.0.2.1", "pw "},
	    {"f", "alicea", "lice@a", "192.0.2.1", "pw"},
	    {"fa", "lice", "alice@a", "192.0.2.1", "pw"},
	};
	struct auth_cache *c = auth_cache_new(4, 4096), *other = auth_cache_new(4, 4096);
	uint8_t k[ARRAY_LEN(questions)][AUTH_CACHE_KEY], again[AUTH_CACHE_KEY];
	size_t i, j;

	(void)state;
	for (i = 0; i < ARRAY_LEN(questions); i++) {
		const char *const *q = questions[i];

		key(c, q[0], q[1], q[2], q[3], q[4], k[i]);
		key(c, q[0], q[1], q[2], q[3], q[4], again);
		assert_memory_equal(k[i], again, AUTH_CACHE_KEY);
		key(other, q[0], q[1], q[2], q[3], q[4], again); /* another process */
		assert_memory_not_equal(k[i], again, AUTH_CACHE_KEY);
		for (j = 0; j < i; j++)
			assert_memory_not_equal(k[i], k[j], AUTH_CACHE_KEY);
	}
	auth_cache_free(c);
	auth_cache_free(other);
}

static void
add(struct auth_cache *c, uint8_t k, uint64_t stamp, const void *source, int64_t expires_ms)
{
	uint8_t mac[AUTH_CACHE_KEY] = {k};
	struct auth_cache_answer a = {source, "Alice@a", {"x@a\0y@a", 8}};

	auth_cache_add(c, mac, stamp, &a, expires_ms);
}

static const struct auth_cache_answer *
get(struct auth_cache *c, uint8_t k, uint64_t stamp, int64_t now_ms)
{
	uint8_t mac[AUTH_CACHE_KEY] = {k};

	return auth_cache_find(c, mac, stamp, now_ms);
}

static void
test_life(void **state)
{
	struct auth_cache *c = auth_cache_new(10, 4096);
	const struct auth_cache_answer *a;

	(void)state;
	assert_null(get(c, 1, 7, 0));
	add(c, 1, 7, &ad, 1000);
	a = get(c, 1, 7, 999);
	assert_non_null(a);
	assert_ptr_equal(a->source, &ad);
	assert_string_equal(a->name, "Alice@a");
	assert_int_equal(a->own.n, 8);
	assert_memory_equal(a->own.p, "x@a\0y@a", 8);
	assert_null(get(c, 2, 7, 999));
	/* over, and gone for good, whatever the clock says */
	assert_null(get(c, 1, 7, 1000));
	assert_null(get(c, 1, 7, 1));
	/* a backend may answer otherwise now */
	add(c, 1, 7, &ad, 1000);
	assert_null(get(c, 1, 8, 1));
	assert_null(get(c, 1, 7, 1));
	/* the newer answer wins */
	add(c, 1, 8, &ad, 1000);
	add(c, 1, 8, &files, 2000);
	assert_ptr_equal(get(c, 1, 8, 1500)->source, &files);
	assert_int_equal(auth_cache_stats(c)->entries, 1);
	assert_int_equal(auth_cache_stats(c)->hits, 2);
	assert_int_equal(auth_cache_stats(c)->misses, 6);
	auth_cache_free(c);
}

/* Bounded by number: who was used last stays. */
static void
test_entries(void **state)
{
	struct auth_cache *c = auth_cache_new(3, 1u << 20);
	uint8_t k;

	(void)state;
	for (k = 1; k <= 3; k++)
		add(c, k, 0, &ad, 1000);
	assert_non_null(get(c, 1, 0, 0));
	add(c, 4, 0, &ad, 1000); /* pushes out 2 */
	assert_null(get(c, 2, 0, 0));
	assert_non_null(get(c, 1, 0, 0));
	assert_non_null(get(c, 3, 0, 0));
	assert_non_null(get(c, 4, 0, 0));
	assert_int_equal(auth_cache_stats(c)->entries, 3);
	auth_cache_free(c);
}

/* Bounded by bytes: a large answer pushes out several, one that is too large none. */
static void
test_bytes(void **state)
{
	enum { MAX = 4096 };
	struct auth_cache *c = auth_cache_new(1000, MAX);
	static char many[MAX];
	struct auth_cache_answer large = {&ad, "a", {many, MAX / 2}},
				 too_large = {&ad, "a", {many, MAX}};
	uint8_t mac[AUTH_CACHE_KEY] = {200};
	size_t before;
	uint8_t k;

	(void)state;
	for (k = 0; k < 100; k++) {
		add(c, k, 0, &ad, 1000);
		assert_in_range(auth_cache_stats(c)->bytes, 1, MAX);
	}
	before = auth_cache_stats(c)->entries;
	assert_in_range(before, 3, 99);
	auth_cache_add(c, mac, 0, &large, 1000);
	assert_in_range(auth_cache_stats(c)->bytes, MAX / 2, MAX);
	assert_in_range(auth_cache_stats(c)->entries, 2, before - 1);
	assert_non_null(auth_cache_find(c, mac, 0, 0));
	auth_cache_add(c, mac, 0, &too_large, 1000);
	assert_null(auth_cache_find(c, mac, 0, 0)); /* nor is the old answer kept */
	assert_non_null(get(c, 99, 0, 0));
	auth_cache_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_key),
	    cmocka_unit_test(test_life),
	    cmocka_unit_test(test_entries),
	    cmocka_unit_test(test_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
