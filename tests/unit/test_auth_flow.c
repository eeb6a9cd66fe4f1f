/* SPDX-License-Identifier: ISC */
/*
 * The chain of backends (S17, C2): what follows from each verdict, deadlines,
 * backends that hang, and that unknown users cost a hash too (P3).
 */
#include "authbackends/auth_flow.h"

#include "base/ev.h"
#include "base/list.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#define SHA                                                                                        \
	"$6$rounds=1000$abc$"                                                                      \
	"zaWpAwySRl8PX4W2aEMJwxpN82bCKtDZP0RBdOD6W7BQlilBqAsWnAZuS10iUyJZneS8Ob1gxs1BZkqJi1nTi."

/* What a backend of the table does: verdicts by letter, lower case at once, upper case on a worker.
 */
struct fake {
	char does; /* o ok, p deny, n unknown, t unavailable, H hangs for 500 ms */
	bool asked;
};

static void
nap(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
}

static enum verdict
verdict_of(char c)
{
	switch (c | 0x20) {
	case 'o':
		return V_OK;
	case 'p':
		return V_PERM;
	case 'n':
		return V_NEXT;
	default:
		return V_TEMP;
	}
}

static bool
fake_look(void *self, struct auth_check *c, enum verdict *v)
{
	struct fake *f = self;

	(void)c;
	f->asked = true;
	if (f->does < 'a')
		return false;
	*v = verdict_of(f->does);
	return true;
}

static enum verdict
fake_check(void *self, struct auth_check *c)
{
	struct fake *f = self;

	if (f->does == 'H') {
		nap(500);
		return V_OK; /* far too late: must count for nothing */
	}
	c->hashed = true;
	return verdict_of(f->does);
}

static const struct authbackend knowing = {.name = "knowing",
    .knows_users = true,
    .creds = CRED_BIT(CRED_PASSWORD),
    .look = fake_look,
    .check = fake_check};
static const struct authbackend asking = {.name = "asking",
    .knows_users = false,
    .creds = CRED_BIT(CRED_PASSWORD),
    .look = fake_look,
    .check = fake_check};

static void
on_answer(struct auth_run *r, void *arg)
{
	(void)r;
	*(bool *)arg = true;
	ev_stop();
}

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

/* One walk with what a test put together; the verdict. */
static enum verdict
ask(struct auth_flow *flow, const char *login, const struct conf_ou *ou, const char **reason)
{
	static char text[AUTH_REASON_MAX];
	struct auth_run *r = xcallocarray(1, sizeof(*r));
	bool done = false;
	enum verdict v;

	(void)str_copy(r->check.login, sizeof(r->check.login), login);
	secret_set(&r->check.password, "secret", 6);
	r->flow = flow;
	r->ou = ou;
	r->fn = on_answer;
	r->arg = &done;
	auth_run_start(r);
	while (!done) {
		ev_restart();
		ev_run();
	}
	v = r->verdict;
	(void)str_copy(text, sizeof(text), r->check.reason);
	if (reason != NULL)
		*reason = text;
	auth_run_clear(r);
	free(r);
	return v;
}

/* S16: kept for two units; others and names without a unit are not asked. */
static void
test_units(void **state)
{
	static const struct conf_ou hq, plant, other;
	const struct conf_ou *kept[] = {&hq, &plant};
	struct fake f[2] = {{.does = 'o'}, {.does = 't'}};
	struct auth_source s[2] = {
	    {.title = "kept", .kind = &asking, .self = &f[0], .ous = kept, .n_ous = 2},
	    {.title = "all", .kind = &asking, .self = &f[1]}};
	struct auth_flow flow = {
	    .title = "test", .chain = {&s[0], &s[1]}, .n = 2, .deadline_ms = 1000};
	const char *reason;

	(void)state;
	assert_int_equal(ask(&flow, "a@hq", &hq, NULL), V_OK);
	assert_int_equal(ask(&flow, "a@plant", &plant, NULL), V_OK);
	assert_int_equal(s[1].asked, 0);
	assert_int_equal(ask(&flow, "a@other", &other, NULL), V_TEMP);
	assert_int_equal(ask(&flow, "a", NULL, NULL), V_TEMP);
	assert_int_equal(s[0].asked, 2);
	flow.n = 1; /* nobody is there for such a name: that is known, and no trouble */
	assert_int_equal(ask(&flow, "a@other", &other, &reason), V_PERM);
	assert_non_null(strstr(reason, "no backend of the chain is for names"));
	f[0].does = 't';
	assert_int_equal(ask(&flow, "a@other", &other, &reason), V_PERM);
	assert_int_equal(s[0].asked, 2);
}

/* The reason of a temporary failure is that of the one that failed, not of the last one asked. */
static void
test_reason(void **state)
{
	struct fake f[2] = {{.does = 'H'}, {.does = 'p'}};
	struct auth_source s[2] = {{.title = "hangs",
				       .kind = &asking,
				       .self = &f[0],
				       .pool = auth_pool_new(1, 4),
				       .timeout_ms = 50},
	    {.title = "says no", .kind = &asking, .self = &f[1]}};
	struct auth_flow flow = {.title = "test",
	    .chain = {&s[0], &s[1]},
	    .n = 2,
	    .deadline_ms = 5000,
	    .next_on_unavailable = true};
	const char *reason;

	(void)state;
	assert_int_equal(ask(&flow, "alice", NULL, &reason), V_TEMP);
	assert_string_equal(reason, "no answer in time");
	auth_pool_free(s[0].pool);
}

/* C2: a backend that hangs costs its timeout a few times, then nothing, until a probe is answered.
 */
static void
test_breaker(void **state)
{
	struct fake f = {.does = 'H'};
	struct auth_source s = {.title = "hangs",
	    .kind = &asking,
	    .self = &f,
	    .pool = auth_pool_new(8, 16),
	    .timeout_ms = 40,
	    .breaker = {.max = 3, .pause_ms = 60000}};
	struct auth_flow flow = {
	    .title = "test", .chain = {&s}, .n = 1, .deadline_ms = 5000, .stop_on_no = true};
	const char *reason;
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_int_equal(ask(&flow, i == 1 ? "bob" : "alice", NULL, &reason), V_TEMP);
	assert_string_equal(reason, "no answer in time");
	assert_int_equal(s.breaker.state, BREAKER_OPEN);
	assert_int_equal(ask(&flow, "alice", NULL, &reason), V_TEMP);
	assert_string_equal(reason, "breaker open");
	assert_int_equal(s.spared, 1);
	assert_int_equal(s.asked, 3);
	s.breaker.until_ms = 0; /* the pause is over */
	f.does = 'P';
	assert_int_equal(ask(&flow, "alice", NULL, &reason), V_PERM); /* a no is an answer */
	assert_int_equal(s.breaker.state, BREAKER_CLOSED);
	auth_pool_free(s.pool);
}

/* The chain's deadline counts for the one that was waited for, and only for it. */
static void
test_breaker_deadline(void **state)
{
	struct fake f[2] = {{.does = 'n'}, {.does = 'H'}};
	struct auth_source s[2] = {{.title = "quick",
				       .kind = &knowing,
				       .knows_users = true,
				       .self = &f[0],
				       .breaker = {.max = 1, .pause_ms = 60000}},
	    {.title = "hangs",
		.kind = &asking,
		.self = &f[1],
		.pool = auth_pool_new(4, 4),
		.timeout_ms = 9000,
		.breaker = {.max = 2, .pause_ms = 60000}}};
	struct auth_flow flow = {
	    .title = "test", .chain = {&s[0], &s[1]}, .n = 2, .deadline_ms = 60};

	(void)state;
	assert_int_equal(ask(&flow, "alice", NULL, NULL), V_TEMP);
	assert_int_equal(ask(&flow, "bob", NULL, NULL), V_TEMP);
	assert_int_equal(s[0].breaker.state, BREAKER_CLOSED);
	assert_int_equal(s[1].breaker.state, BREAKER_OPEN);
	auth_pool_free(s[1].pool);
}

/* The file of a backend that was read again. */
static uint64_t changes;
static uint64_t
fake_changes(const void *self)
{
	(void)self;
	return changes;
}

/* C2: a yes is remembered, until a backend has new data; nothing else is. */
static void
test_cache(void **state)
{
	static const struct authbackend filed = {.name = "filed",
	    .knows_users = true,
	    .creds = CRED_BIT(CRED_PASSWORD),
	    .look = fake_look,
	    .changes = fake_changes};
	struct fake f[2] = {{.does = 'n'}, {.does = 'o'}};
	struct auth_source s[2] = {
	    {.title = "first", .kind = &filed, .knows_users = true, .self = &f[0]},
	    {.title = "second", .kind = &asking, .self = &f[1]}};
	struct auth_flow flow = {.title = "test",
	    .chain = {&s[0], &s[1]},
	    .n = 2,
	    .deadline_ms = 1000,
	    .cache = auth_cache_new(10, 10000),
	    .cache_ms = 60000};

	(void)state;
	assert_int_equal(ask(&flow, "alice", NULL, NULL), V_OK);
	assert_int_equal(ask(&flow, "alice", NULL, NULL), V_OK);
	assert_int_equal(s[1].asked, 1);
	assert_int_equal(ask(&flow, "bob", NULL, NULL), V_OK);
	assert_int_equal(s[1].asked, 2);
	/* now the first one knows alice, with another password */
	f[0].does = 'p';
	changes++;
	assert_int_equal(ask(&flow, "alice", NULL, NULL), V_PERM);
	f[0].does = 'n';
	f[1].does = 't';
	assert_int_equal(ask(&flow, "alice", NULL, NULL), V_TEMP);
	assert_int_equal(ask(&flow, "alice", NULL, NULL), V_TEMP);
	assert_int_equal(auth_cache_stats(flow.cache)->hits, 1);
	auth_cache_free(flow.cache);
}

/* A full house is our trouble: questions that no worker took say nothing about the backend. */
static void
test_breaker_busy(void **state)
{
	struct fake f = {.does = 'O'};
	struct auth_source s = {.title = "busy",
	    .kind = &asking,
	    .self = &f,
	    .pool = auth_pool_new(1, 0),
	    .timeout_ms = 1000,
	    .breaker = {.max = 1, .pause_ms = 60000}};
	struct auth_flow flow = {.title = "test", .chain = {&s}, .n = 1, .deadline_ms = 1000};
	const char *reason;
	unsigned i;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(ask(&flow, i == 1 ? "bob" : "alice", NULL, &reason), V_TEMP);
	assert_string_equal(reason, "no worker free");
	assert_int_equal(s.breaker.state, BREAKER_CLOSED);
	auth_pool_free(s.pool);
}

/* A walk that is forgotten while it is the probe makes room for the next one. */
static void
test_breaker_forgotten(void **state)
{
	struct fake f = {.does = 'H'};
	struct auth_source s = {.title = "hangs",
	    .kind = &asking,
	    .self = &f,
	    .pool = auth_pool_new(1, 4),
	    .timeout_ms = 1000,
	    .breaker = {.max = 1, .pause_ms = 60000, .state = BREAKER_OPEN}};
	struct auth_flow flow = {.title = "test", .chain = {&s}, .n = 1, .deadline_ms = 1000};
	struct auth_run *r = xcallocarray(1, sizeof(*r));
	bool done = false;
	int64_t left;

	(void)state;
	secret_set(&r->check.password, "secret", 6);
	r->flow = &flow;
	r->fn = on_answer;
	r->arg = &done;
	auth_run_start(r);
	assert_int_equal(s.breaker.state, BREAKER_HALF_OPEN);
	auth_run_clear(r);
	assert_int_equal(auth_breaker_peek(&s.breaker, auth_clock_ms(), &left), PASS_PROBE);
	auth_pool_free(s.pool);
	assert_false(done);
	free(r);
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

static int
setup(void **state)
{
	(void)state;
	return ev_init();
}

static int
teardown(void **state)
{
	(void)state;
	ev_done();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_s17),
	    cmocka_unit_test(test_all_chains),
	    cmocka_unit_test(test_units),
	    cmocka_unit_test(test_reason),
	    cmocka_unit_test(test_breaker),
	    cmocka_unit_test(test_breaker_deadline),
	    cmocka_unit_test(test_cache),
	    cmocka_unit_test(test_breaker_busy),
	    cmocka_unit_test(test_breaker_forgotten),
	    cmocka_unit_test(test_deadline),
	    cmocka_unit_test(test_dummy),
	    cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
