/* SPDX-License-Identifier: ISC */
/*
 * Keyed hashes under a key that is kept: the same as those that begin from nothing.
 */
#include "base/mac.h"

#include "base/enc.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static void
test_same_as_hmac(void **state)
{
	uint8_t key[32], other_key[7], out[MAC_SIZE], again[MAC_SIZE], want[EVP_MAX_MD_SIZE];
	char text[300];
	struct mac *m, *other;
	unsigned len = 0;

	(void)state;
	random_bytes(key, sizeof(key));
	random_bytes(other_key, sizeof(other_key));
	random_bytes(text, sizeof(text));
	m = mac_new(key, sizeof(key));
	other = mac_new(other_key, sizeof(other_key));
	for (size_t n = 0; n <= sizeof(text); n++) {
		mac_of(m, (struct span){text, n}, out);
		mac_of(other, (struct span){text, sizeof(text) - n}, again);
		assert_non_null(
		    HMAC(EVP_sha256(), key, sizeof(key), (const uint8_t *)text, n, want, &len));
		assert_int_equal(len, MAC_SIZE);
		assert_memory_equal(out, want, MAC_SIZE);
		assert_non_null(HMAC(EVP_sha256(), other_key, sizeof(other_key),
		    (const uint8_t *)text, sizeof(text) - n, want, &len));
		assert_memory_equal(again, want, MAC_SIZE);
	}
	mac_of(m, (struct span){NULL, 0}, again); /* no text is the empty one */
	mac_of(m, span_of(""), out);
	assert_memory_equal(out, again, MAC_SIZE);
	mac_free(m);
	mac_free(other);
	mac_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_same_as_hmac),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("mac", tests, NULL, NULL);
}
