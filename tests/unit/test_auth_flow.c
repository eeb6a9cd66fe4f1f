/* SPDX-License-Identifier: ISC */
/*
 * The chain of backends (S17, C2): what follows from each verdict, deadlines,
 * backends that hang, and that unknown users cost a hash too (P3).
 */
#include "tests/unit/auth_flow_test.h"

#define SHA                                                                                        \
	"$6$rounds=1000$abc$"                                                                      \
	"zaWpAwySRl8PX4W2aEMJwxpN82bCKtDZP0RBdOD6W7BQlilBqAsWnAZuS10iUyJZneS8Ob1gxs1BZkqJi1nTi."

struct outcome {
	enum verdict verdict;
	bool known;
	char asked[AUTH_CHAIN_MAX + 1];
	int64_t ms;
};

/*
 * chain: per backend k (knows its users) or a (asks others) and what it does, as
 * "kn aP": one space between.
 */
static struct outcome
walk(const char *chain, bool stop_on_no, bool next_on_unavailable, const char *dummy)
{
	struct auth_flow flow = {.title = "test",
	    .stop_on_no = stop_on_no,
	    .next_on_unavailable = next_on_unavailable,
	    .deadline_ms = 150};
	struct auth_source sources[8];
	struct fake fakes[8];
	struct auth_run *r = xcallocarray(1, sizeof(*r));
	struct outcome out;
	bool done = false;
	size_t i;

	memset(&out, 0, sizeof(out));
	memset(sources, 0, sizeof(sources));
	for (i = 0; chain[i * 3] != '\0'; i++) {
		fakes[i] = (struct fake){.does = chain[i * 3 + 1]};
		sources[i].title = "fake";
		sources[i].kind = chain[i * 3] == 'k' ? &knowing : &asking;
		sources[i].self = &fakes[i];
		sources[i].knows_users = sources[i].kind->knows_users;
		sources[i].pool = auth_pool_new(1, 4);
		sources[i].timeout_ms = 80;
		flow.chain[flow.n++] = &sources[i];
		if (chain[i * 3 + 2] == '\0')
			break;
	}
	(void)str_copy(r->check.login, sizeof(r->check.login), "alice");
	secret_set(&r->check.password, "secret", 6);
	(void)str_copy(r->check.dummy, sizeof(r->check.dummy), dummy);
	r->flow = &flow;
	r->fn = on_answer;
	r->arg = &done;
	auth_run_start(r);
	while (!done) {
		ev_restart();
		ev_run();
	}
	assert_null(r->check.password.data); /* wiped with the answer */
	out.verdict = r->verdict;
	out.known = r->user_known;
	out.ms = r->ms;
	for (i = 0; i < flow.n; i++) {
		out.asked[i] = fakes[i].asked ? 'y' : '-';
		auth_pool_free(sources[i].pool);
	}
	auth_run_clear(r);
	free(r);
	return out;
}

static void
test_s17(void **state)
{
	static const struct {
		const char *chain;
		bool stop_on_no, next_on_unavailable;
		enum verdict verdict;
		bool known;
		const char *asked;
	} cases[] = {
	    {"ko", false, false, V_OK, true, "y"}, {"kn ko", false, false, V_OK, true, "yy"},
	    {"kn kn", false, false, V_PERM, false, "yy"},
	    /* a known user with a wrong password never falls through, whatever the options say */
	    {"kp ko", false, true, V_PERM, true, "y-"}, {"kP aO", false, false, V_PERM, true, "y-"},
	    /* a no of one that does not know its users */
	    {"ap ko", false, false, V_OK, true, "yy"}, {"ap ko", true, false, V_PERM, false, "y-"},
	    {"an ko", true, false, V_PERM, false, "y-"},
	    {"ap ap", false, false, V_PERM, false, "yy"},
	    {"kn ap", true, false, V_PERM, false, "yy"},
	    {"kN ko", true, false, V_OK, true, "yy"}, /* unknown is no "no" */
	    /* unavailable */
	    {"kt ko", false, false, V_TEMP, false, "y-"},
	    {"at ko", true, false, V_TEMP, false, "y-"}, {"kt ko", false, true, V_OK, true, "yy"},
	    {"kT kn", false, true, V_TEMP, false, "yy"}, /* C2: one was unreachable */
	    {"at ap", false, true, V_TEMP, false, "yy"}, {"at ap", true, true, V_TEMP, false, "yy"},
	    {"at kp", false, true, V_PERM, true, "yy"}, /* C2: somebody knew the user */
	    {"kn aT", false, false, V_TEMP, false, "yy"},
	    /* on workers */
	    {"kN aP kO", false, false, V_OK, true, "yyy"},
	    {"kN kP", false, false, V_PERM, true, "yy"},
	    /* hanging */
	    {"kH ko", false, false, V_TEMP, false, "y-"}, {"kH ko", false, true, V_OK, true, "yy"},
	    {"kH kH ko", false, true, V_TEMP, false, "yy-"}, /* the flow's deadline */
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct outcome o =
		    walk(cases[i].chain, cases[i].stop_on_no, cases[i].next_on_unavailable, "");

		if (o.verdict != cases[i].verdict || o.known != cases[i].known ||
		    strcmp(o.asked, cases[i].asked) != 0)
			fail_msg("%s: %s, known %d, asked %s", cases[i].chain,
			    verdict_name(o.verdict), o.known, o.asked);
	}
}

/* S17 and C2 in other words: who is asked, and what comes of it. */
static enum verdict
by_the_book(const char *chain, bool stop_on_no, bool next_on_unavailable, char *asked)
{
	bool one_was_away = false;
	size_t i;

	memcpy(asked, "---", 4);
	for (i = 0; i < 3; i++) {
		char knows = chain[i * 3], said = chain[i * 3 + 1];

		asked[i] = 'y';
		if (said == 'o')
			return V_OK;
		if (said == 't' && !next_on_unavailable)
			return V_TEMP;
		if (said == 't')
			one_was_away = true;
		else if (knows == 'k' && said == 'p')
			return V_PERM; /* somebody knew the user, and no option changes that */
		else if (knows == 'a' && stop_on_no)
			break;
	}
	return one_was_away ? V_TEMP : V_PERM;
}

/* All chains of three, with all options: 2048 of them. */
static void
test_all_chains(void **state)
{
	static const char knows[] = "ka", says[] = "opnt";
	char chain[] = "?? ?? ??", asked[4];
	unsigned n, i, left;

	(void)state;
	for (n = 0; n < 8 * 8 * 8 * 4; n++) {
		bool stop = (n & 1) != 0, next = (n & 2) != 0;

		for (i = 0, left = n >> 2; i < 3; i++, left >>= 3) {
			chain[i * 3] = knows[left & 1];
			chain[i * 3 + 1] = says[left >> 1 & 3];
		}
		enum verdict want = by_the_book(chain, stop, next, asked);
		struct outcome o = walk(chain, stop, next, "");

		if (o.verdict != want || strcmp(o.asked, asked) != 0)
			fail_msg("%s stop %d next %d: %s, asked %s; wanted %s, %s", chain, stop,
			    next, verdict_name(o.verdict), o.asked, verdict_name(want), asked);
	}
}

/* DESIGN promise 4: the answer is there by the deadline, whatever hangs. */
static void
test_deadline(void **state)
{
	struct outcome o = walk("kH kH kH", false, true, "");

	(void)state;
	assert_int_equal(o.verdict, V_TEMP);
	assert_in_range(o.ms, 140, 480); /* 150 and what a busy machine adds */
}

static void
test_dummy(void **state)
{
	(void)state;
	/* the hash of nobody: the verdict stays, a worker was busy */
	assert_int_equal(walk("kn kn", false, false, SHA).verdict, V_PERM);
	assert_int_equal(walk("kn ko", false, false, SHA).verdict, V_OK);
}

static void
on_many(struct auth_run *r, void *arg)
{
	unsigned *left = arg;

	assert_int_equal(r->verdict, V_OK);
	if (--*left == 0)
		ev_stop();
}

/* The cost of the way over a worker, without that of a hash. */
static void
test_speed(void **state)
{
	enum { AT_ONCE = 50, ROUNDS = 400 };
	struct fake fake = {.does = 'O'};
	struct auth_source source = {.title = "fake",
	    .kind = &knowing,
	    .knows_users = true,
	    .self = &fake,
	    .pool = auth_pool_new(2, 1000),
	    .timeout_ms = 5000};
	struct auth_flow flow = {.title = "test", .chain = {&source}, .n = 1, .deadline_ms = 10000};
	struct auth_run *runs = xcallocarray(AT_ONCE, sizeof(*runs));
	struct timespec a, b;
	unsigned i, k, left;

	(void)state;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	for (k = 0; k < ROUNDS; k++) {
		left = AT_ONCE;
		for (i = 0; i < AT_ONCE; i++) {
			memset(&runs[i], 0, sizeof(runs[i]));
			secret_set(&runs[i].check.password, "secret", 6);
			runs[i].flow = &flow;
			runs[i].fn = on_many;
			runs[i].arg = &left;
			auth_run_start(&runs[i]);
		}
		ev_restart();
		ev_run();
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	print_message("# one check over a worker: %.2f us CPU (%d at once)\n",
	    ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) /
		(AT_ONCE * ROUNDS) / 1e3,
	    AT_ONCE);
	auth_pool_free(source.pool);
	free(runs);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_s17),
	    cmocka_unit_test(test_all_chains),
	    cmocka_unit_test(test_deadline),
	    cmocka_unit_test(test_dummy),
	    cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
