/* SPDX-License-Identifier: ISC */
/* Answers of name servers as bytes (S59, S60): order, aliases, compression, and what is not to be
 * trusted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/list.h"
#include "transports/dns_packet.h"

static struct buf pkt;
static struct dns_answer answer;

static void
name(const char *s)
{
	while (*s != '\0') {
		size_t n = strcspn(s, ".");

		buf_add_byte(&pkt, (uint8_t)n);
		buf_add(&pkt, s, n);
		s += n + (s[n] == '.');
	}
	buf_add_byte(&pkt, 0);
}

static void
u16(unsigned v)
{
	buf_add_byte(&pkt, (uint8_t)(v >> 8));
	buf_add_byte(&pkt, (uint8_t)v);
}

static void
header(unsigned flags, unsigned answers, const char *qname, unsigned type)
{
	buf_reset(&pkt);
	u16(1);
	u16(flags);
	u16(1);
	u16(answers);
	u16(0);
	u16(0);
	name(qname);
	u16(type);
	u16(1);
}

/* owner NULL: a pointer to the question. */
static void
rr(const char *owner, unsigned type, unsigned ttl, unsigned len)
{
	if (owner == NULL)
		u16(0xc00c);
	else
		name(owner);
	u16(type);
	u16(1);
	u16(0);
	u16(ttl);
	u16(len);
}

static void
mx(const char *owner, unsigned pref, const char *host)
{
	rr(owner, DNS_TYPE_MX, 300, 2 + (unsigned)strlen(host) + (host[0] == '\0' ? 1 : 2));
	u16(pref);
	name(host);
}

static enum dns_result
parse(unsigned type)
{
	dns_packet_parse(buf_data(&pkt), buf_len(&pkt), (uint16_t)type, &answer);
	return answer.result;
}

static void
test_mx(void **state)
{
	(void)state;
	header(0x8180, 2, "B.example", DNS_TYPE_MX);
	mx(NULL, 20, "MX2.b.example");
	mx("b.EXAMPLE", 10, "mx1.b.example");
	assert_int_equal(parse(DNS_TYPE_MX), DNS_OK);
	assert_int_equal(answer.n, 2);
	assert_string_equal(answer.v[0].name, "mx2.b.example");
	assert_int_equal(answer.v[0].pref, 20);
	assert_string_equal(answer.v[1].name, "mx1.b.example");
	assert_int_equal(answer.ttl, 300);
	/* another name's records are not ours */
	header(0x8180, 1, "b.example", DNS_TYPE_MX);
	mx("c.example", 10, "evil.example");
	assert_int_equal(parse(DNS_TYPE_MX), DNS_NODATA);
}

static void
test_null_mx(void **state)
{
	(void)state;
	header(0x8180, 1, "b.example", DNS_TYPE_MX);
	mx(NULL, 0, "");
	assert_int_equal(parse(DNS_TYPE_MX), DNS_OK);
	assert_int_equal(answer.n, 1);
	assert_string_equal(answer.v[0].name, "");
}

static void
test_addresses(void **state)
{
	(void)state;
	header(0x8180, 2, "b.example", DNS_TYPE_A);
	rr(NULL, DNS_TYPE_A, 60, 4);
	buf_add(&pkt, "\xc0\x00\x02\x07", 4);
	rr(NULL, DNS_TYPE_A, 30, 4);
	buf_add(&pkt, "\xc0\x00\x02\x08", 4);
	assert_int_equal(parse(DNS_TYPE_A), DNS_OK);
	assert_int_equal(answer.n, 2);
	assert_int_equal(answer.ttl, 30);
	assert_int_equal(answer.v[1].addr.ip[3], 8);
	header(0x8180, 1, "b.example", DNS_TYPE_A);
	rr(NULL, DNS_TYPE_A, 60, 5);
	buf_add(&pkt, "\xc0\x00\x02\x07\x00", 5);
	assert_int_equal(parse(DNS_TYPE_A), DNS_TEMP);
	/* the answer to another question */
	header(0x8180, 0, "b.example", DNS_TYPE_AAAA);
	assert_int_equal(parse(DNS_TYPE_A), DNS_TEMP);
}

static void
test_cname(void **state)
{
	char owner[32], target[32];

	(void)state;
	/* in any order, up to eight */
	for (unsigned n = 1; n <= 10; n++) {
		header(0x8180, n + 1, "x0.example", DNS_TYPE_MX);
		snprintf(target, sizeof(target), "x%u.example", n);
		mx(target, 5, "mx.example");
		for (unsigned i = n; i > 0; i--) {
			snprintf(owner, sizeof(owner), "x%u.example", i - 1);
			snprintf(target, sizeof(target), "x%u.example", i);
			rr(owner, DNS_TYPE_CNAME, 60, (unsigned)strlen(target) + 2);
			name(target);
		}
		assert_int_equal(parse(DNS_TYPE_MX), n <= 8 ? DNS_OK : DNS_TEMP);
	}
	/* a ring ends */
	header(0x8180, 1, "a.example", DNS_TYPE_MX);
	rr(NULL, DNS_TYPE_CNAME, 60, 11);
	name("a.example");
	assert_int_equal(parse(DNS_TYPE_MX), DNS_TEMP);
}

static void
test_codes(void **state)
{
	(void)state;
	header(0x8183, 0, "b.example", DNS_TYPE_MX);
	assert_int_equal(parse(DNS_TYPE_MX), DNS_NXDOMAIN);
	header(0x8182, 0, "b.example", DNS_TYPE_MX);
	assert_int_equal(parse(DNS_TYPE_MX), DNS_TEMP);
	header(0x8180, 0, "b.example", DNS_TYPE_MX);
	assert_int_equal(parse(DNS_TYPE_MX), DNS_NODATA);
	header(0x8380, 0, "b.example", DNS_TYPE_MX); /* truncated */
	assert_int_equal(parse(DNS_TYPE_MX), DNS_TEMP);
	header(0x0180, 0, "b.example", DNS_TYPE_MX); /* a question */
	assert_int_equal(parse(DNS_TYPE_MX), DNS_TEMP);
}

/* Names with odd bytes are left out; pointers go back only; every cut is noticed. */
static void
test_hostile(void **state)
{
	struct buf whole = BUF_INIT;

	(void)state;
	header(0x8180, 2, "b.example", DNS_TYPE_MX);
	mx(NULL, 1, "a b.example");
	mx(NULL, 2, "good.example");
	assert_int_equal(parse(DNS_TYPE_MX), DNS_OK);
	assert_int_equal(answer.n, 1);
	assert_string_equal(answer.v[0].name, "good.example");
	/* RDATA that points to itself */
	header(0x8180, 1, "b.example", DNS_TYPE_MX);
	rr(NULL, DNS_TYPE_MX, 60, 4);
	u16(1);
	u16(0xc000u | (unsigned)buf_len(&pkt));
	assert_int_equal(parse(DNS_TYPE_MX), DNS_TEMP);
	/* a record that claims more than there is, and every shorter packet */
	header(0x8180, 1, "b.example", DNS_TYPE_MX);
	mx(NULL, 10, "mx1.b.example");
	buf_add_span(&whole, buf_span(&pkt));
	for (size_t n = 0; n < buf_len(&whole); n++) {
		dns_packet_parse(buf_data(&whole), n, DNS_TYPE_MX, &answer);
		assert_int_equal(answer.result, DNS_TEMP);
	}
	buf_clear(&whole);
	buf_clear(&pkt);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mx),
	    cmocka_unit_test(test_null_mx),
	    cmocka_unit_test(test_addresses),
	    cmocka_unit_test(test_cname),
	    cmocka_unit_test(test_codes),
	    cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
