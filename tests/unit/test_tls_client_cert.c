/* SPDX-License-Identifier: ISC */
/*
 * Fingerprints of clients' certificates as people write them (RFC 4422, P3). Handshakes
 * are in tests/e2e/24-sasl.t.
 */
#include "base/tls_client_cert.h"

#include "base/list.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define HEX8 "01234567"
#define PAIRS8 "01:23:45:67:89:AB:CD:EF"

static void
test_fingerprint(void **state)
{
	static const struct {
		const char *text;
		int want;
	} cases[] = {
	    {HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8, 0},
	    {PAIRS8 ":" PAIRS8 ":" PAIRS8 ":" PAIRS8, 0},
	    {"sha256 Fingerprint=" PAIRS8 ":" PAIRS8 ":" PAIRS8 ":" PAIRS8, 0}, /* openssl 3 */
	    {"SHA256 Fingerprint=" PAIRS8 ":" PAIRS8 ":" PAIRS8 ":" PAIRS8, 0}, /* openssl 1 */
	    {"SHA1 Fingerprint=" PAIRS8 ":" PAIRS8 ":" PAIRS8 ":" PAIRS8, -1},
	    {"sha256 Fingerprint=", -1},
	    {"", -1},
	    {HEX8, -1},
	    {HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 "0123456g", -1},
	    {HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 "0", -1},
	    {PAIRS8 ":" PAIRS8 ":" PAIRS8 ":" PAIRS8 ":", -1},
	    {PAIRS8 "::" PAIRS8 ":" PAIRS8 ":01:23:45:67:89:AB:CD:E", -1},
	    {PAIRS8 ":" PAIRS8 ":" PAIRS8 " " PAIRS8, -1},
	};
	char out[TLS_FINGERPRINT];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++)
		if (tls_fingerprint_parse(span_of(cases[i].text), out) != cases[i].want)
			fail_msg("%s", cases[i].text);
	assert_int_equal(tls_fingerprint_parse(span_of(cases[1].text), out), 0);
	assert_string_equal(
	    out, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
}

/* Clear text, and a connection that asked for nothing, have nobody's certificate. */
static void
test_nobody(void **state)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	SSL *ssl = SSL_new(ctx);
	char err[200];

	(void)state;
	assert_false(tls_client_verified(NULL));
	assert_false(tls_client_verified(ssl));
	SSL_free(ssl);
	assert_int_equal(tls_ask_client(ctx, "no certificate", err, sizeof(err)), -1);
	assert_non_null(strstr(err, "client_ca"));
	assert_int_equal(SSL_CTX_get_verify_mode(ctx), SSL_VERIFY_NONE);
	SSL_CTX_free(ctx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fingerprint),
	    cmocka_unit_test(test_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
