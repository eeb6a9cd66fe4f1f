/* SPDX-License-Identifier: ISC */
/* Which spellings of a name are one user to the brake against guessed passwords (A7, S57). */
#include "conf_test.h"

#include "base/list.h"

static struct conf *conf;

static const struct {
	const char *in, *key;
} cases[] = {
    {"", ""},
    {"ann", "ann"},
    {"Ann@Example.COM", "ann@example.com"},
    {"  ann @ example.com ", "ann@example.com"},
    {"ann@example.com.", "ann@example.com"},
    {"ann@example.com...", "ann@example.com"},
    {"ann@", "ann@"},
    {"ann@.", "ann@"},
    {"ann.", "ann."},
    {"a@b@example.com.", "a@b@example.com"},
    /* S57: an alias of the domain, however it is spelt */
    {"ann@alias.example", "ann@example.com"},
    {"ann@ALIAS.example.", "ann@example.com"},
    {"ann@b\xc3\xbc"
     "cher.example",
	"ann@example.com"},
    {"ann@B\xc3\x9c"
     "CHER.example",
	"ann@example.com"},
    {"ann@bu\xcc\x88"
     "cher.example",
	"ann@example.com"},
    {"ann@XN--BCHER-KVA.example.", "ann@example.com"},
    {"ann@b\xc3\xbc"
     "cher\xe3\x80\x82"
     "example",
	"ann@example.com"}, /* U+3002 */
    {"ann@b\xc3\xbc"
     "cher\xef\xbc\x8e"
     "example",
	"ann@example.com"}, /* U+FF0E */
    {"ann@alias\xef\xbd\xa1"
     "example\xef\xbd\xa1",
	"ann@example.com"}, /* U+FF61 */
    {"ann@other.example.", "ann@other.example"},
    {"ann@[192.0.2.1]", "ann@[192.0.2.1]"},
    {"ann@no_domain..at all", "ann@no_domain..atall"},
    /* case and form of letters beyond ASCII */
    {"J\xc3\x96RG", "j\xc3\xb6rg"},
    {"jo\xcc\x88rg", "j\xc3\xb6rg"},
    {"JO\xcc\x88RG", "j\xc3\xb6rg"},
    {"stra\xc3\x9f"
     "e",
	"strasse"},
    {"STRA\xe1\xba\x9e"
     "E",
	"stra\xe1\xba\x9e"
	"e"}, /* younger than Unicode 3.2 */
    {"\xce\xa3\xce\xaf\xcf\x83\xcf\x85\xcf\x86\xce\xbf\xcf\x82",
	"\xcf\x83\xce\xaf\xcf\x83\xcf\x85\xcf\x86\xce\xbf\xcf\x83"}, /* both small sigmas */
    {"\xd0\x98\xd0\x92\xd0\x90\xd0\x9d", "\xd0\xb8\xd0\xb2\xd0\xb0\xd0\xbd"},
    {"\xef\xbc\xa1nn", "ann"},      /* a wide A */
    {"an\xc2\xadn", "ann"},         /* a soft hyphen */
    {"an\xe2\x80\x8dn", "ann"},     /* a zero width joiner */
    {"a\xc2\xa0nn", "ann"},         /* a blank that does not break */
    {"e \xcc\x81va", "\xc3\xa9va"}, /* a blank between letter and accent */
    /* these are others */
    {"\xd0\xb0nn", "\xd0\xb0nn"}, /* a Cyrillic letter */
    {"\xc3\xa4nn", "\xc3\xa4nn"},
    /* what is no UTF-8 reaches no backend, and is folded as far as it goes */
    {"A\xff N", "a\xffn"},
    {"ann@example.com\xff", "ann@example.com\xff"},
};

static void
test_cases(void **state)
{
	char key[CONF_USER_KEY], again[CONF_USER_KEY];
	size_t bad = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		conf_user_key(conf, span_of(cases[i].in), key);
		if (strcmp(key, cases[i].key) != 0) {
			print_error("%s: got %s, want %s\n", cases[i].in, key, cases[i].key);
			bad++;
		}
		conf_user_key(conf, span_of(key), again); /* what is listed may be cleared */
		assert_string_equal(again, key);
	}
	assert_int_equal(bad, 0);
}

static void
test_bounds(void **state)
{
	char in[3 * CONF_USER_KEY], key[CONF_USER_KEY], other[CONF_USER_KEY];

	(void)state;
	memset(in, 'A', sizeof(in));
	conf_user_key(conf, (struct span){in, sizeof(in)}, key);
	assert_int_equal(strlen(key), CONF_USER_KEY - 1);
	in[CONF_USER_KEY] = 'b'; /* what is cut makes no other name */
	conf_user_key(conf, (struct span){in, sizeof(in)}, other);
	assert_string_equal(other, key);
	/* the longest name there can be, of the letter that grows most */
	for (size_t i = 0; i + 1 < 255; i += 2)
		memcpy(in + i, "\xce\x90", 2);
	conf_user_key(conf, (struct span){in, 254}, key);
	assert_in_range(strlen(key), 254, CONF_USER_KEY - 2);
	/* a NUL ends it */
	conf_user_key(conf, (struct span){"Ann\0@x", 6}, key);
	assert_string_equal(key, "ann");
	conf_user_key(conf, (struct span){NULL, 0}, key);
	assert_string_equal(key, "");
}

static int
set_up(void **state)
{
	(void)state;
	conf = conf_test_good(
	    CONF_TEST_BASE "domain_alias \"alias.example\" { parent = \"example.com\" }\n"
			   "domain_alias \"b\xc3\xbc"
			   "cher.example\" { parent = \"example.com\" }\n");
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	conf_free(conf);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cases),
	    cmocka_unit_test(test_bounds),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("conf_user_key", tests, set_up, tear_down);
}
