/* SPDX-License-Identifier: ISC */
/*
 * Batches of acceptance records (A2): what is written once is read for each, and what is
 * cut off or made up is not read at all.
 */
#include "ipc/audit_batch.h"

#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct audit_batch batch;
static struct audit_batch_reader reader;

static const struct audit_accept first = {.mid = {{1, 2, 3}},
    .sid = 7,
    .time_ms = -5,
    .client = {4, {192, 0, 2, 1}, 4711},
    .n_rcpts = 3,
    .size = 1ull << 40,
    .relay = AUDIT_RELAY_ANY,
    .listener = {"submission", 10},
    .helo = {"host", 4},
    .tls_version = {"TLSv1.3", 7},
    .tls_cipher = {"TLS_AES_256_GCM_SHA384", 22},
    .mech = {"PLAIN", 5},
    .login = {"ann@example.com", 15},
    .principal = {"ann@example.com", 15},
    .backend = {"files", 5},
    .sender = {"ann@example.com", 15},
    .header_from = {"ann@example.com", 15},
    .message_id = {"<1@host>", 8}};

static void
assert_text(struct span got, struct span want)
{
	assert_int_equal(got.n, want.n);
	if (want.n > 0)
		assert_memory_equal(got.p, want.p, want.n);
}

static void
assert_next(const struct audit_accept *want)
{
	const struct audit_accept *r = &reader.now;

	assert_int_equal(audit_batch_next(&reader), 0);
	assert_true(uuid_equal(&r->mid, &want->mid));
	assert_int_equal(r->sid, want->sid);
	assert_int_equal(r->time_ms, want->time_ms);
	assert_memory_equal(&r->client, &want->client, sizeof(r->client));
	assert_int_equal(r->n_rcpts, want->n_rcpts);
	assert_int_equal(r->size, want->size);
	assert_int_equal(r->relay, want->relay);
	assert_text(r->listener, want->listener);
	assert_text(r->helo, want->helo);
	assert_text(r->tls_version, want->tls_version);
	assert_text(r->tls_cipher, want->tls_cipher);
	assert_text(r->mech, want->mech);
	assert_text(r->login, want->login);
	assert_text(r->principal, want->principal);
	assert_text(r->ou, want->ou);
	assert_text(r->backend, want->backend);
	assert_text(r->sender, want->sender);
	assert_text(r->header_from, want->header_from);
	assert_text(r->message_id, want->message_id);
}

static void
test_roundtrip(void **state)
{
	static const struct audit_accept nothing = {.sid = 0};
	struct audit_accept second = first, third = first;
	size_t before;

	(void)state;
	second.message_id = span_of("<2@host>");
	second.client = (struct net_addr){6, {0x20, 1, 0xd, 0xb8, [15] = 9}, 25};
	third.helo = span_of(""); /* one that was there and is not any more */
	third.ou = span_of("sales");
	third.relay = AUDIT_RELAY_NONE;
	audit_batch_begin(&batch);
	audit_batch_add(&batch, &first);
	before = buf_len(&batch.records);
	audit_batch_add(&batch, &second);
	/* what is as before takes no room */
	assert_in_range(buf_len(&batch.records) - before, 60, 80);
	audit_batch_add(&batch, &third);
	audit_batch_add(&batch, &nothing);
	audit_batch_add(&batch, &first);
	assert_int_equal(batch.count, 5);
	audit_batch_read(&reader, buf_span(&batch.records));
	assert_next(&first);
	assert_next(&second);
	assert_next(&third);
	assert_next(&nothing);
	assert_next(&first);
	assert_int_equal(audit_batch_next(&reader), -1);

	/* a new one knows nothing of the last */
	audit_batch_begin(&batch);
	audit_batch_add(&batch, &second);
	audit_batch_read(&reader, buf_span(&batch.records));
	assert_next(&second);
}

/* What clients may make long is cut, and no record is longer than is said. */
static void
test_long(void **state)
{
	struct audit_accept r = first;
	char *text = calloc(1, 100000);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', 100000);
	r.client.family = 6;
	r.listener = r.tls_version = r.tls_cipher = r.mech = r.login = r.principal = r.ou =
	    r.backend = r.sender = r.header_from = r.message_id = (struct span){text, 100000};
	r.helo = (struct span){text, 65536 + 4};
	audit_batch_begin(&batch);
	audit_batch_add(&batch, &r);
	assert_in_range(buf_len(&batch.records), 12 * AUDIT_TEXT_MAX, AUDIT_RECORD_MAX);
	audit_batch_read(&reader, buf_span(&batch.records));
	assert_int_equal(audit_batch_next(&reader), 0);
	assert_int_equal(reader.now.helo.n, AUDIT_TEXT_MAX);
	assert_int_equal(reader.now.message_id.n, AUDIT_TEXT_MAX);
	free(text);
}

/* Each cut in memory of its own size, so that a sanitizer sees a step beyond it. */
static void
test_damaged(void **state)
{
	size_t n, one;

	(void)state;
	audit_batch_begin(&batch);
	audit_batch_add(&batch, &first);
	one = buf_len(&batch.records);
	audit_batch_add(&batch, &first);
	n = buf_len(&batch.records);
	for (size_t cut = 0; cut < n; cut++) {
		uint8_t *copy = malloc(cut == 0 ? 1 : cut);

		assert_non_null(copy);
		memcpy(copy, buf_data(&batch.records), cut);
		audit_batch_read(&reader, (struct span){(const char *)copy, cut});
		assert_int_equal(audit_batch_next(&reader), cut >= one ? 0 : -1);
		if (cut >= one)
			assert_int_equal(audit_batch_next(&reader), -1);
		free(copy);
	}
	/* no such family, relay, text */
	static const struct {
		size_t at;
		uint8_t value;
	} bad[] = {{32, 5}, {51, 3}, {53, 0x10}};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t *p = batch.records.mem + batch.records.start + bad[i].at, was = *p;

		*p = bad[i].value | (bad[i].at == 53 ? was : 0);
		audit_batch_read(&reader, buf_span(&batch.records));
		assert_int_equal(audit_batch_next(&reader), -1);
		*p = was;
	}
	audit_batch_read(&reader, buf_span(&batch.records));
	assert_next(&first);
}

static int
forget(void **state)
{
	(void)state;
	buf_clear(&batch.records);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(test_roundtrip, forget),
	    cmocka_unit_test_teardown(test_long, forget),
	    cmocka_unit_test_teardown(test_damaged, forget),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
