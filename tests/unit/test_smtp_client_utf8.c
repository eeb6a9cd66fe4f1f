/* SPDX-License-Identifier: ISC */
/*
 * P4, RFC 6531: addresses beyond ASCII towards servers with and without SMTPUTF8: as they are,
 * as A-labels, or refused one by one.
 */
#include "smtp_client_test.h"

#define UTF8_OPEN OPEN "S:250-mx\nS:250-PIPELINING\nS:250 SMTPUTF8\n=ready\n!begin\n"
#define NO_UTF8_OPEN PIPE "!begin\n"
#define UTF8_FLAGS (MSG_SMTPUTF8 | MSG_UTF8_NEEDED)

static void
test_idn(void **state)
{
	static const struct {
		struct dialogue d;
		const char *names[3];
	} t[] = {
	    {{"SMTPUTF8: as they are", 0, UTF8_FLAGS | MSG_HEADER_ASCII, 0, 1,
		 UTF8_OPEN
		 "C:MAIL FROM:<s@a.example> SMTPUTF8\nC:RCPT TO:<x@b\xc3\xbc.example>\nC:DATA\n",
		 "MAIL open"},
		{"s@a.example", "x@b\xc3\xbc.example"}},
	    {{"none: A-labels, sender too", 0, UTF8_FLAGS | MSG_HEADER_ASCII, 0, 2,
		 NO_UTF8_OPEN "C:MAIL FROM:<s@xn--b-eha.example>\nC:RCPT TO:<x@xn--b-eha.example>\n"
			      "C:RCPT TO:<y@b.example>\nC:DATA\n",
		 "MAIL open open"},
		{"s@b\xc3\xbc.example", "x@b\xc3\xbc.example", "y@b.example"}},
	    {{"none: only the one that needs it", 0, UTF8_FLAGS | MSG_HEADER_ASCII, 0, 2,
		 NO_UTF8_OPEN "C:MAIL FROM:<s@a.example>\nC:RCPT TO:<y@b.example>\nC:DATA\n",
		 "MAIL perm/553/5.6.7 open"},
		{"s@a.example", "\xc3\xbc@b.example", "y@b.example"}},
	    {{"none: the sender needs it", 0, UTF8_FLAGS | MSG_HEADER_ASCII, 0, 1,
		 NO_UTF8_OPEN "=done\n", "idle perm/550/5.6.7"},
		{"\xc3\xbc@a.example", "y@b.example"}},
	    {{"none: the header needs it", 0, UTF8_FLAGS, 0, 1, NO_UTF8_OPEN "=done\n",
		 "idle perm/550/5.6.7"},
		{"s@a.example", "x@b\xc3\xbc.example"}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		run(&t[i].d, t[i].names, false);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_idn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
