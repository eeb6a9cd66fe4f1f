/* SPDX-License-Identifier: ISC */
/*
 * What a directory may say to libldap (S17, C2): answers to the request just made pass
 * whole, in pieces of any size; everything else is refused before its octet is delivered.
 */
#include "authbackends/ldap_gate.h"
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ID 5

struct octets {
	size_t n;
	const char *p;
};
#define OCTETS(text)                                                                               \
	{                                                                                          \
		sizeof(text) - 1, text                                                             \
	}

#define BIND "\x30\x0c\x02\x01\x05\x61\x07\x0a\x01\x00\x04\x00\x04\x00"
#define ENTRY "\x30\x09\x02\x01\x05\x64\x04\x04\x00\x30\x00"
#define REFERENCE "\x30\x0c\x02\x01\x05\x73\x07\x04\x05ldap:"
#define DONE "\x30\x0c\x02\x01\x05\x65\x07\x0a\x01\x00\x04\x00\x04\x00"
#define EXTENDED "\x30\x0c\x02\x01\x05\x78\x07\x0a\x01\x00\x04\x00\x04\x00"
/* with lengths as Active Directory writes them, a long number, and controls behind */
#define WIDE                                                                                       \
	"\x30\x84\x00\x00\x00\x1b\x02\x04\x00\x00\x00\x05\x61\x84\x00\x00\x00\x07\x0a\x01\x31"     \
	"\x04\x00\x04\x00\xa0\x84\x00\x00\x00\x02\x30\x00"

/* How many octets pass when they come one by one; *g is as they left it. */
static size_t
passed(struct ldap_gate *g, enum ldap_awaited awaited, const struct octets *o)
{
	size_t i;

	memset(g, 0, sizeof(*g));
	ldap_gate_expect(g, awaited, ID);
	for (i = 0; i < o->n; i++)
		if (ldap_gate_pass(g, o->p + i, 1) == -1)
			break;
	return i;
}

static void
test_good(void **state)
{
	static const struct {
		enum ldap_awaited awaited;
		struct octets o;
		bool more; /* may follow */
	} cases[] = {
	    {LDAP_AWAIT_BIND, OCTETS(BIND), false},
	    {LDAP_AWAIT_BIND, OCTETS(WIDE), false},
	    {LDAP_AWAIT_EXTENDED, OCTETS(EXTENDED), false},
	    {LDAP_AWAIT_SEARCH, OCTETS(DONE), false},
	    {LDAP_AWAIT_SEARCH, OCTETS(ENTRY REFERENCE ENTRY DONE), false},
	    {LDAP_AWAIT_SEARCH, OCTETS(ENTRY REFERENCE), true},
	};
	struct ldap_gate g;
	size_t i, cut;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		const struct octets *o = &cases[i].o;

		assert_int_equal(passed(&g, cases[i].awaited, o), o->n);
		assert_int_equal(g.step, LDAP_GATE_MESSAGE);
		assert_int_equal(g.awaited, cases[i].more ? cases[i].awaited : LDAP_AWAIT_NOTHING);
		/* in two pieces, and so also in one */
		for (cut = 0; cut <= o->n; cut++) {
			memset(&g, 0, sizeof(g));
			ldap_gate_expect(&g, cases[i].awaited, ID);
			assert_int_equal(ldap_gate_pass(&g, o->p, cut), 0);
			assert_int_equal(ldap_gate_pass(&g, o->p + cut, o->n - cut), 0);
			assert_int_equal(g.step, LDAP_GATE_MESSAGE);
		}
	}
}

static const struct {
	enum ldap_awaited awaited;
	struct octets o;
	size_t at; /* the octet that is refused */
	const char *why;
} refusals[] = {
    {LDAP_AWAIT_NOTHING, OCTETS(BIND), 0, "nobody asked for"},
    {LDAP_AWAIT_BIND, OCTETS(BIND BIND), 14, "nobody asked for"},
    {LDAP_AWAIT_SEARCH, OCTETS(ENTRY DONE ENTRY), 25, "nobody asked for"},
    {LDAP_AWAIT_BIND, OCTETS("HTTP/1.1 400"), 0, "no LDAP message"},
    {LDAP_AWAIT_BIND, OCTETS("\x31\x0c"), 0, "no LDAP message"},
    {LDAP_AWAIT_SEARCH, OCTETS(ENTRY "\x00"), 11, "no LDAP message"},
    /* the length of the message */
    {LDAP_AWAIT_BIND, OCTETS("\x30\x00"), 1, "too early"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x06"), 1, "too early"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x84\x00\x00\x00\x06"), 5, "too early"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x80\x02\x01\x05"), 1, "cannot be read"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x85\x00\x00\x00\x00\x0c"), 1, "cannot be read"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\xff"), 1, "cannot be read"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x83\x04\x00\x01"), 4, "too long"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x84\xff\xff\xff\xff"), 5, "too long"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x84\x80\x00\x00\x00"), 5, "too long"},
    /* its number */
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x0a\x01\x05"), 2, "without a number"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x00\x61\x07"), 3, "no possible length"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x05\x00\x00"), 3, "no possible length"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x80\x05"), 3, "cannot be read"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x07\x02\x06"), 3, "too early"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x01\x85\x61"), 4, "negative"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x02\xff\x05\x61"), 4, "negative"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x01\x04\x61"), 4, "another request"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x02\x01\x05\x61"), 5, "another request"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x01\x00\x78"), 4, "gave notice"},
    {LDAP_AWAIT_SEARCH, OCTETS(ENTRY "\x30\x0f\x02\x04\x00\x00\x00\x00"), 18, "gave notice"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x07\x02\x04\x00\x00\x00\x05\x61"), 8, "too early"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x07\x02\x82\x00\x02\x00\x05\x61"), 8, "too early"},
    /* its operation */
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x01\x05\x65"), 5, "not answer"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x01\x05\x64"), 5, "not answer"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x01\x05\x78"), 5, "not answer"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x01\x05\x79"), 5, "not answer"},
    {LDAP_AWAIT_SEARCH, OCTETS("\x30\x0c\x02\x01\x05\x61"), 5, "not answer"},
    {LDAP_AWAIT_SEARCH, OCTETS("\x30\x0c\x02\x01\x05\x79"), 5, "not answer"},
    {LDAP_AWAIT_EXTENDED, OCTETS("\x30\x0c\x02\x01\x05\x61"), 5, "not answer"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x01\x05\x61\x08"), 6, "too early"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x01\x05\x61\x06"), 6, "too early"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x01\x05\x61\x84\xff\xff\xff\xff"), 10, "early"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x07\x02\x01\x05\x61\x84\x00\x00"), 8, "too early"},
    {LDAP_AWAIT_SEARCH, OCTETS("\x30\x09\x02\x01\x05\x64\x03"), 6, "too early"},
    {LDAP_AWAIT_SEARCH, OCTETS("\x30\x09\x02\x01\x05\x73\x01"), 6, "too early"},
    /* its result code */
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x01\x05\x61\x07\x02\x01\x00"), 7, "a code"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x01\x05\x61\x07\x0a\x00\x04"), 8, "possible"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x01\x05\x61\x07\x0a\x05\x00"), 8, "possible"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x01\x05\x61\x07\x0a\x07\x00"), 8, "too early"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x01\x05\x61\x07\x0a\x01\xff"), 9, "negative"},
    /* what is in it */
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x01\x05\x61\x07\x0a\x01\x00\x04\x03"), 11, "too early"},
    {LDAP_AWAIT_BIND, OCTETS("\x30\x0c\x02\x01\x05\x61\x07\x0a\x01\x00\x04\x01x\x04"), 13,
	"too early"},
    {LDAP_AWAIT_BIND,
	OCTETS("\x30\x0d\x02\x01\x05\x61\x07\x0a\x01\x00\x04\x00\x04\x00"
	       "\xa0"),
	14, "too early"},
    {LDAP_AWAIT_BIND,
	OCTETS("\x30\x0e\x02\x01\x05\x61\x07\x0a\x01\x00\x04\x00\x04\x00"
	       "\xa0\x01"),
	15, "too early"},
    {LDAP_AWAIT_BIND,
	OCTETS("\x30\x0e\x02\x01\x05\x61\x07\x0a\x01\x00\x04\x00\x04\x00"
	       "\xbf\x2a"),
	14, "a tag of no use"},
    {LDAP_AWAIT_SEARCH, OCTETS("\x30\x0b\x02\x01\x05\x64\x06\x04\x02uid\x01"), 12, "early"},
    {LDAP_AWAIT_SEARCH,
	OCTETS("\x30\x20\x02\x01\x05\x64\x1b\x30\x19\x30\x17\x30\x15"
	       "\x30\x13\x30\x11\x30\x0f\x30\x0d"),
	20, "too many elements"},
    /* behind its operation there is room, but not for its code */
    {LDAP_AWAIT_BIND,
	OCTETS("\x30\x11\x02\x01\x05\x61\x07\x0a\x82\x00\x04\x00\x00\x00\x00\xa0\x03"), 10,
	"too early"},
};

static void
test_refused(void **state)
{
	struct ldap_gate g;
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(refusals); i++) {
		const struct octets *o = &refusals[i].o;

		n = passed(&g, refusals[i].awaited, o);
		if (n != refusals[i].at || g.refused == NULL ||
		    strstr(g.refused, refusals[i].why) == NULL)
			fail_msg("case %zu: octet %zu of %zu: %s", i, n, o->n,
			    g.refused == NULL ? "passed" : g.refused);
		assert_int_equal(g.over, strstr(g.refused, "gave notice") != NULL);
		/* for ever, whatever is awaited next */
		ldap_gate_expect(&g, LDAP_AWAIT_BIND, ID);
		assert_int_equal(ldap_gate_pass(&g, BIND, sizeof(BIND) - 1), -1);
		/* in one piece: none of it */
		memset(&g, 0, sizeof(g));
		ldap_gate_expect(&g, refusals[i].awaited, ID);
		assert_int_equal(ldap_gate_pass(&g, o->p, o->n), -1);
	}
}

/* Only the number of the request passes. */
static void
test_numbers(void **state)
{
	struct ldap_gate g;
	uint8_t m[] = {0x30, 0x0f, 0x02, 0x04, 0, 0, 0, 0};
	static const int ids[] = {1, 127, 128, 255, 256, 65535, 65536, 0x7fffffff};
	size_t i, k, j;

	(void)state;
	for (i = 0; i < ARRAY_LEN(ids); i++)
		for (k = 0; k < ARRAY_LEN(ids); k++) {
			for (j = 0; j < 4; j++)
				m[4 + j] = (uint8_t)(ids[k] >> (24 - 8 * j));
			memset(&g, 0, sizeof(g));
			ldap_gate_expect(&g, LDAP_AWAIT_BIND, ids[i]);
			assert_int_equal(ldap_gate_pass(&g, m, sizeof(m)), i == k ? 0 : -1);
		}
}

/* The longest message passes, in pieces; the next one is seen where it begins. */
static void
test_longest(void **state)
{
	static const uint8_t head[] = {0x30, 0x83, 0x04, 0x00, 0x00, 0x02, 0x01, ID, 0x64, 0x83,
	    0x03, 0xff, 0xf8}; /* 256 KiB less 3 and 5 octets */
	static uint8_t rest[LDAP_MESSAGE_MAX - 8];
	struct ldap_gate g;
	size_t piece, at, n;

	(void)state;
	for (piece = 1; piece < sizeof(rest) * 2; piece = piece * 7 + 1) {
		memset(&g, 0, sizeof(g));
		ldap_gate_expect(&g, LDAP_AWAIT_SEARCH, ID);
		assert_int_equal(ldap_gate_pass(&g, head, sizeof(head)), 0);
		for (at = 0; at < sizeof(rest); at += n) {
			n = sizeof(rest) - at < piece ? sizeof(rest) - at : piece;
			assert_int_equal(g.step, LDAP_GATE_REST);
			assert_int_equal(ldap_gate_pass(&g, rest + at, n), 0);
		}
		assert_int_equal(g.step, LDAP_GATE_MESSAGE);
		assert_int_equal(ldap_gate_pass(&g, DONE, sizeof(DONE) - 1), 0);
	}
}

/*
 * libldap has a message with its last octet: by then the gate has seen that all of it is
 * right, or has refused it.
 */
static void
test_last_octet(void **state)
{
	static const struct octets seeds[] = {OCTETS(WIDE), OCTETS(ENTRY), OCTETS(DONE),
	    OCTETS(REFERENCE),
	    OCTETS("\x30\x84\x00\x00\x00\x0a\x02\x04\x00\x00\x00\x05\x61\x84\x00\x00"),
	    OCTETS("\x30\x12\x02\x01\x05\x64\x0d\x04\x01u\x30\x08\x30\x06\x04\x01m\x31\x01\x00")};
	struct ldap_gate g;
	uint8_t m[64];
	size_t round, i, n, passed_whole = 0;
	uint32_t chance = 1;

	(void)state;
	for (round = 0; round < 300000; round++) {
		const struct octets *o = &seeds[round % ARRAY_LEN(seeds)];
		bool wide;

		memcpy(m, o->p, o->n);
		for (i = round % 4; i > 0; i--) {
			chance = chance * 1664525 + 1013904223;
			m[(chance >> 8) % o->n] =
			    (uint8_t)(chance >> 24 & (round % 3 ? 0x1f : 0xff));
		}
		wide = m[1] == 0x84;
		n = wide ? 6u + m[5] : 2u + m[1];
		if (m[0] != 0x30 || m[1] > 0x84 || (m[1] > 0x7f && !wide) || n > o->n ||
		    (wide && (m[2] | m[3] | m[4]) != 0))
			continue;
		memset(&g, 0, sizeof(g));
		ldap_gate_expect(&g, round % 2 ? LDAP_AWAIT_SEARCH : LDAP_AWAIT_BIND, ID);
		for (i = 0; i < n && ldap_gate_pass(&g, m + i, 1) == 0; i++)
			;
		assert_true(i < n || g.step == LDAP_GATE_MESSAGE);
		passed_whole += i == n;
	}
	assert_in_range(passed_whole, 1000, 299999);
}

static void
test_endless(void **state)
{
	struct ldap_gate g = {0};
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) { /* the count begins anew with each request */
		size_t n;

		ldap_gate_expect(&g, LDAP_AWAIT_SEARCH, ID);
		for (n = 0; n < LDAP_MESSAGES_MAX - 1; n++)
			assert_int_equal(ldap_gate_pass(&g, ENTRY, sizeof(ENTRY) - 1), 0);
		assert_int_equal(ldap_gate_pass(&g, DONE, sizeof(DONE) - 1), 0);
	}
	ldap_gate_expect(&g, LDAP_AWAIT_SEARCH, ID);
	for (i = 0; i < LDAP_MESSAGES_MAX; i++)
		assert_int_equal(ldap_gate_pass(&g, ENTRY, sizeof(ENTRY) - 1), 0);
	assert_int_equal(ldap_gate_pass(&g, ENTRY, 2), -1);
	assert_string_equal(g.refused, "too many LDAP messages");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_longest),
	    cmocka_unit_test(test_last_octet),
	    cmocka_unit_test(test_endless),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("ldap_gate", tests, NULL, NULL);
}
