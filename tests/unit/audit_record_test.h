/* SPDX-License-Identifier: ISC */
#ifndef TESTS_AUDIT_RECORD_TEST_H
#define TESTS_AUDIT_RECORD_TEST_H

/* An audit record, made by hand: what the tests of its verification share. */

#include "audit/audit_chain.h"
#include "base/buf.h"
#include "base/str.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct chain {
	struct buf text;
	struct audit_hash head;
	uint64_t seq;
	char checkpoint[300]; /* the last one, as it leaves the machine */
};

static void
add(struct chain *c, const char *kind, const char *members)
{
	size_t at = buf_len(&c->text);
	char hex[AUDIT_HASH_TEXT];
	struct span body;

	buf_addf(&c->text,
	    "{\"seq\":%" PRIu64 ",\"time\":\"2026-11-25T12:00:00.000Z\",\"kind\":\"%s\"%s",
	    ++c->seq, kind, members);
	body = buf_span(&c->text);
	audit_hash_next(&c->head, (struct span){body.p + at, body.n - at}, &c->head);
	audit_hash_format(&c->head, hex);
	buf_addf(&c->text, ",\"hash\":\"%s\"}\n", hex);
}

static void
add_begin(struct chain *c)
{
	char hex[AUDIT_HASH_TEXT], members[200];

	audit_hash_format(&c->head, hex);
	(void)str_printf(members, sizeof(members), ",\"prev_seq\":%" PRIu64 ",\"prev_hash\":\"%s\"",
	    c->seq, hex);
	add(c, "begin", members);
}

static void
add_checkpoint(struct chain *c, const struct audit_key *k)
{
	char hex[AUDIT_HASH_TEXT], sig[AUDIT_SIG_TEXT], members[400];

	assert_int_equal(audit_key_sign(k, c->seq, &c->head, 1764072000000, sig), 0);
	audit_hash_format(&c->head, hex);
	(void)str_printf(
	    c->checkpoint, sizeof(c->checkpoint), "%" PRIu64 ":%s:%s", c->seq, hex, sig);
	(void)str_printf(members, sizeof(members),
	    ",\"upto\":%" PRIu64 ",\"upto_hash\":\"%s\",\"key\":\"%s\",\"sig\":\"%s\"", c->seq, hex,
	    audit_key_id(k), sig);
	add(c, "checkpoint", members);
}

#endif
