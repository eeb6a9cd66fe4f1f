/* SPDX-License-Identifier: ISC */
/* PROXY protocol v1 and v2 (P8). */
#include "base/list.h"
#include "base/str.h"
#include "front/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void
test_v1(void **state)
{
	static const struct {
		const char *in;
		enum proxy_result want;
		const char *client;
	} t[] = {
	    {"PROXY TCP4 192.0.2.1 192.0.2.2 4711 25\r\nEHLO", PROXY_OK, "192.0.2.1:4711"},
	    {"PROXY TCP6 2001:db8::1 ::1 4711 25\r\n", PROXY_OK, "[2001:db8::1]:4711"},
	    {"PROXY UNKNOWN\r\n", PROXY_LOCAL, NULL},
	    {"PROXY UNKNOWN ffff::1 x y z\r\n", PROXY_LOCAL, NULL},
	    {"", PROXY_MORE, NULL},
	    {"PRO", PROXY_MORE, NULL},
	    {"PROXY TCP4 192.0.2.1 192.0.2.2 4711 25\r", PROXY_MORE, NULL},
	    {"PROXY TCP4 192.0.2.1 192.0.2.2 4711 25\n", PROXY_BAD, NULL},
	    {"PROXY TCP4 192.0.2.1 192.0.2.2 4711 25 7\r\n", PROXY_BAD, NULL},
	    {"PROXY TCP4 192.0.2.1 192.0.2.2 99999 25\r\n", PROXY_BAD, NULL},
	    {"PROXY TCP4 ::1 ::1 1 25\r\n", PROXY_BAD, NULL},
	    {"PROXY TCP5 192.0.2.1 192.0.2.2 1 25\r\n", PROXY_BAD, NULL},
	    {"PROXY TCP4 192.0.2.1\r\n", PROXY_BAD, NULL},
	    {"EHLO x\r\n", PROXY_BAD, NULL},
	    {"PROXY TCP4 "
	     "11111111111111111111111111111111111111111111111111111111111111111111111111111"
	     "111111111111111111111111111111111111",
		PROXY_BAD, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct net_addr a = {0};
		char text[NET_ADDR_TEXT];
		size_t used = 0;

		assert_int_equal(
		    proxy_parse((const uint8_t *)t[i].in, strlen(t[i].in), &a, &used), t[i].want);
		if (t[i].client == NULL)
			continue;
		net_addr_format(&a, text);
		assert_string_equal(text, t[i].client);
		assert_int_equal(used, (size_t)(strchr(t[i].in, '\n') - t[i].in) + 1);
	}
}

static void
test_v2(void **state)
{
	static const uint8_t magic[12] = "\r\n\r\n\0\r\nQUIT\n";
	uint8_t in[64] = {0};
	struct net_addr a = {0};
	size_t used = 0;

	(void)state;
	memcpy(in, magic, 12);
	in[12] = 0x21;
	in[13] = 0x11;
	in[15] = 12;
	memcpy(in + 16, "\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x00\x19", 12);
	for (size_t n = 0; n < 28; n++)
		assert_int_equal(proxy_parse(in, n, &a, &used), PROXY_MORE);
	assert_int_equal(proxy_parse(in, sizeof(in), &a, &used), PROXY_OK);
	assert_int_equal(used, 28);
	assert_int_equal(a.family, 4);
	assert_int_equal(a.port, 4711);
	in[12] = 0x20;
	assert_int_equal(proxy_parse(in, sizeof(in), &a, &used), PROXY_LOCAL);
	in[12] = 0x31;
	assert_int_equal(proxy_parse(in, sizeof(in), &a, &used), PROXY_BAD);
	in[12] = 0x21;
	in[15] = 8; /* too short for two addresses */
	assert_int_equal(proxy_parse(in, sizeof(in), &a, &used), PROXY_BAD);
	in[14] = 0xff; /* longer than we take */
	assert_int_equal(proxy_parse(in, sizeof(in), &a, &used), PROXY_BAD);
	in[14] = 0;
	in[13] = 0x31; /* unix sockets */
	in[15] = 12;
	assert_int_equal(proxy_parse(in, sizeof(in), &a, &used), PROXY_BAD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_v1), cmocka_unit_test(test_v2)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
