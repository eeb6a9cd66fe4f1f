/* SPDX-License-Identifier: ISC */
/*
 * What a chain remembers and leaves out: units' own backends (S16), breakers and the
 * cache (C2), and whose reason is told (S17).
 */
#include "tests/unit/auth_flow_test.h"

#include "authbackends/auth_scram.h"

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

/* S17: keys behind a backend that would decide about the password first log nobody in. */
static enum verdict
fake_scram(void *self, struct auth_check *c)
{
	(void)self;
	(void)str_copy(c->hash, sizeof(c->hash), "SCRAM-SHA-256$4096:c2FsdA==$a:b");
	return V_OK;
}

static const char *
fake_scram_like(const void *self)
{
	(void)self;
	return "SCRAM-SHA-256$4096:c2FsdA==$a:b";
}

static enum verdict
find_keys(const struct auth_flow *flow, const struct conf_ou *ou)
{
	struct auth_run *r = xcallocarray(1, sizeof(*r));
	enum verdict v;

	r->flow = flow;
	r->ou = ou;
	v = auth_scram_find(r);
	free(r);
	return v;
}

static void
test_scram_order(void **state)
{
	static const struct authbackend keyed = {.name = "keyed",
	    .knows_users = true,
	    .creds = CRED_BIT(CRED_PASSWORD),
	    .look = fake_look,
	    .scram = fake_scram,
	    .scram_like = fake_scram_like};
	static const struct authbackend tokens = {
	    .name = "tokens", .knows_users = true, .creds = CRED_BIT(CRED_TOKEN)};
	struct conf_ou ou, other;
	const struct conf_ou *kept[] = {&ou};
	struct auth_source directory = {.title = "d", .kind = &knowing, .knows_users = true},
			   mailbox = {.title = "m", .kind = &asking},
			   oauth = {.title = "o", .kind = &tokens, .knows_users = true},
			   file = {.title = "f", .kind = &keyed, .knows_users = true};
	struct auth_flow flow = {.title = "test", .chain = {&directory, &file}, .n = 2};

	(void)state;
	assert_int_equal(find_keys(&flow, NULL), V_PERM);
	assert_string_equal(auth_scram_like(&flow), "");
	directory.ous = kept; /* kept for one unit: names of others are the file's */
	directory.n_ous = 1;
	assert_int_equal(find_keys(&flow, &ou), V_PERM);
	assert_int_equal(find_keys(&flow, &other), V_OK);
	assert_string_not_equal(auth_scram_like(&flow), "");
	flow.chain[0] = &oauth;
	assert_int_equal(find_keys(&flow, NULL), V_OK);
	flow.chain[0] = &mailbox; /* its no to a password would lead to the file, too */
	assert_int_equal(find_keys(&flow, NULL), V_OK);
	flow.stop_on_no = true;
	assert_int_equal(find_keys(&flow, NULL), V_PERM);
	flow.chain[0] = &file;
	flow.chain[1] = &directory;
	assert_int_equal(find_keys(&flow, NULL), V_OK);
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

/* C2: a server that answers odd names with an error is not taken from the others for it. */
static void
test_breaker_answers(void **state)
{
	struct fake f = {.does = 'A'};
	struct auth_source s = {.title = "picky",
	    .kind = &asking,
	    .self = &f,
	    .pool = auth_pool_new(1, 4),
	    .timeout_ms = 1000,
	    .breaker = {.max = 2, .pause_ms = 60000}};
	struct auth_flow flow = {.title = "test", .chain = {&s}, .n = 1, .deadline_ms = 5000};
	unsigned i;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(ask(&flow, i % 2 == 1 ? "bob" : "alice", NULL, NULL), V_TEMP);
	assert_int_equal(s.breaker.state, BREAKER_CLOSED);
	f.does = 'T'; /* and silence still counts, from the first one on */
	assert_int_equal(ask(&flow, "alice", NULL, NULL), V_TEMP);
	assert_int_equal(s.breaker.state, BREAKER_CLOSED);
	assert_int_equal(ask(&flow, "bob", NULL, NULL), V_TEMP);
	assert_int_equal(s.breaker.state, BREAKER_OPEN);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_units),
	    cmocka_unit_test(test_reason),
	    cmocka_unit_test(test_scram_order),
	    cmocka_unit_test(test_breaker),
	    cmocka_unit_test(test_breaker_answers),
	    cmocka_unit_test(test_breaker_deadline),
	    cmocka_unit_test(test_cache),
	    cmocka_unit_test(test_breaker_busy),
	    cmocka_unit_test(test_breaker_forgotten),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
