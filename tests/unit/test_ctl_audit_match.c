/* SPDX-License-Identifier: ISC */
/* Whose records submitctl audit user and search show (A5): all that the service takes for him. */
#include "ctl/ctl_audit.h"

#include "base/list.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define JO "j\xc3\xb6@example.com"

static void
test_user(void **state)
{
	static const struct {
		const char *user, *members;
		bool match;
	} t[] = {
	    {"ann@example.com", "\"principal\":\"ann@example.com\"", true},
	    {"ann@example.com", "\"login\":\"ANN@example.com\"", true},
	    {"ann@example.com", "\"login\":\"joann@example.com\"", false},
	    {"ann@example.com", "\"data\":{\"login\":\"Ann@example.com\"}", true},
	    /* another case and form of a letter, and the domain's labels */
	    {JO, "\"login\":\"J\\u00d6@example.com\"", true},
	    {JO, "\"login\":\"Jo\\u0308@example.com\"", true},
	    {JO, "\"login\":\"jo@example.com\"", false},
	    {"eve@xn--bcher-kva.example", "\"login\":\"Eve@b\\u00fccher.example\"", true},
	    {"alice", "\"data\":{\"user\":\"alice (uid 0)\"}", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct ctl_audit_query q = {.user = t[i].user};
		char line[400];
		json_t *o;

		assert_int_equal(str_printf(line, sizeof(line),
				     "{\"seq\":1,\"time\":\"2026-11-25T12:00:00.000000Z\","
				     "\"kind\":\"auth\",%s}",
				     t[i].members),
		    0);
		o = ctl_audit_match(&q, span_of(line));
		if ((o != NULL) != t[i].match)
			fail_msg("%s: %s", t[i].user, t[i].members);
		json_decref(o);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_user)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
