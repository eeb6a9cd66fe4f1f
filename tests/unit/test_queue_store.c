/* SPDX-License-Identifier: ISC */
/*
 * S62, S68, S70: rows of the queue: accepting, finishing, the schedule, destinations
 * that go and come, history, and selections that only ever bind.
 */
#include "queue/queue_select.h"
#include "queue/queue_store.h"

#include "base/str.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static char dir[64];
static struct queue_store *st;
static char err[300];

static int
setup(void **state)
{
	char path[100];
	bool damaged;

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/submitd-store-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/queue.db", dir);
	st = queue_store_open(path, STORE_WRITE, &damaged, err, sizeof(err));
	assert_non_null(st);
	assert_int_equal(queue_store_begin(st), 0);
	return 0;
}

static int
teardown(void **state)
{
	char cmd[100];

	(void)state;
	assert_int_equal(queue_store_commit(st), 0);
	queue_store_free(st);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

static struct uuid
add(uint64_t id, const char *dest, int64_t next, unsigned n_rcpts)
{
	struct store_message m = {.id = id,
	    .ref = {3, 100, 10, 20},
	    .received_ms = 1000,
	    .sender = span_of("a@b.test"),
	    .n_env = 1};
	struct store_dest *d = queue_store_dest(st, "out", dest, next);
	struct store_envelope e = {.qid = id,
	    .msg = id,
	    .dest = d->id,
	    .next_ms = next,
	    .first_rid = id * 100,
	    .n_rcpts = n_rcpts,
	    .left = n_rcpts};

	uuid_make_v7(&m.mid);
	assert_int_equal(queue_store_add_message(st, &m), 0);
	assert_int_equal(queue_store_add_envelope(st, &e), 0);
	for (unsigned i = 0; i < n_rcpts; i++) {
		struct store_rcpt r = {
		    .id = id * 100 + i, .qid = id, .index = i, .addr = span_of("x@y.test")};
		assert_int_equal(queue_store_add_rcpt(st, &r), 0);
	}
	return m.mid;
}

static void
test_life(void **state)
{
	struct uuid mid = add(5, "d.test", 1000, 2), other;
	struct store_rcpt_row *rows;
	struct store_envelope e;
	struct store_freed freed;
	struct store_ids ids;
	struct status s = {0};
	size_t n;
	bool yes;
	uint64_t id;

	(void)state;
	uuid_make_v7(&other);
	assert_int_equal(queue_store_knows_mid(st, &mid, &yes), 0);
	assert_true(yes);
	assert_int_equal(queue_store_knows_mid(st, &other, &yes), 0);
	assert_false(yes);
	assert_int_equal(queue_store_find_mid(st, &mid, &id, &yes), 0);
	assert_int_equal(id, 5);
	assert_int_equal(queue_store_get_envelope(st, 5, &e, &yes), 0);
	assert_true(yes);
	/* the first is done, the second waits with its status */
	assert_int_equal(queue_store_del_rcpt(st, 500), 0);
	status_set(&s, V_TEMP, 451, "4.2.0", "later");
	struct store_rcpt_update u = {.id = 501, .attempts = 1, .time_ms = 2000, .status = &s};
	assert_int_equal(queue_store_update_rcpt(st, &u), 0);
	status_clear(&s);
	e.left = 1;
	assert_int_equal(queue_store_update_envelope(st, &e, true, &freed), 0);
	assert_false(freed.message);
	assert_int_equal(queue_store_rcpts(st, &e, true, &rows, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(rows[0].status.text, "later");
	assert_string_equal(rows[0].addr, "x@y.test");
	queue_store_rcpts_free(rows, n);
	/* the last: the message goes and says where its body lay */
	struct store_history h = {.time_ms = 3000,
	    .qid = 5,
	    .mid = mid,
	    .sender = span_of("a@b.test"),
	    .rcpt = span_of("x@y.test"),
	    .outcome = OUTCOME_DELIVERED};
	assert_int_equal(queue_store_add_history(st, &h), 0);
	assert_int_equal(queue_store_del_rcpt(st, 501), 0);
	e.left = 0;
	assert_int_equal(queue_store_update_envelope(st, &e, true, &freed), 0);
	assert_true(freed.message);
	assert_int_equal(freed.ref.seg, 3);
	assert_true(uuid_equal(&freed.mid, &mid));
	/* still known, until the history is forgotten */
	unsigned pruned;
	assert_int_equal(queue_store_knows_mid(st, &mid, &yes), 0);
	assert_true(yes);
	assert_int_equal(queue_store_prune_history(st, 3000, 10, &pruned), 0);
	assert_int_equal(pruned, 0);
	assert_int_equal(queue_store_prune_history(st, 3001, 10, &pruned), 0);
	assert_int_equal(pruned, 1);
	assert_int_equal(queue_store_knows_mid(st, &mid, &yes), 0);
	assert_false(yes);
	assert_int_equal(queue_store_reserve_qid(st, 900), 0);
	assert_int_equal(queue_store_ids(st, &ids), 0);
	assert_int_equal(ids.next_qid, 901);
}

static void
on_dest(void *arg, const struct store_dest *d)
{
	(void)d;
	(*(unsigned *)arg)++;
}

static void
test_schedule(void **state)
{
	struct store_due due[10];
	struct store_due_query q = {.now = 5000, .max_ahead = 100000, .max = 3};
	const uint64_t busy[] = {11, 12};
	unsigned n, seen = 0;
	int64_t next;
	bool more;

	(void)state;
	for (uint64_t i = 0; i < 6; i++)
		add(10 + i, "d.test", 1000 + (int64_t)i, 1);
	add(20, "d.test", 9000, 1);
	add(21, "later.test", 7000, 1);
	q.dest = queue_store_dest(st, "out", "d.test", STORE_NEVER)->id;
	q.busy = busy;
	q.n_busy = 2;
	assert_int_equal(queue_store_due(st, &q, due, &n, &more, &next), 0);
	assert_int_equal(n, 3);
	assert_true(more);
	assert_int_equal(due[0].env.qid, 10);
	assert_int_equal(due[1].env.qid, 13);
	q.max = 10;
	assert_int_equal(queue_store_due(st, &q, due, &n, &more, &next), 0);
	assert_int_equal(n, 4);
	assert_false(more);
	assert_int_equal(next, 9000);
	/* a clock that was ahead when it was written: due now, not in a thousand years */
	add(22, "d.test", 99000000000000, 1);
	assert_int_equal(queue_store_due(st, &q, due, &n, &more, &next), 0);
	assert_int_equal(n, 5);
	/* destinations: only the due one, then the other in time */
	assert_int_equal(queue_store_due_dests(st, INT64_MIN, 0, 5000, 10, on_dest, &seen, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(seen, 1);
	assert_int_equal(queue_store_next_dest_due(st, 5000, &next), 0);
	assert_int_equal(next, 7000);
	assert_int_equal(queue_store_due_dests(st, 5000, 0, 8000, 10, on_dest, &seen, &n), 0);
	assert_int_equal(n, 1);
}

static void
test_destination(void **state)
{
	struct store_envelope e;
	struct store_freed freed;
	struct store_dest *d;
	int64_t next;
	uint64_t id;
	bool found;

	(void)state;
	add(30, "d.test", 4000, 1);
	d = queue_store_dest(st, "out", "d.test", 9000);
	id = d->id;
	assert_int_equal(d->next_due, 4000); /* only ever earlier */
	assert_int_equal(queue_store_dest_due(st, id, 100), 0);
	assert_int_equal(queue_store_dest_by_id(st, id)->next_due, 100);
	assert_int_equal(queue_store_dest_settle(st, id, &next), 0);
	assert_int_equal(next, 4000);
	assert_int_equal(queue_store_dest_backoff(st, id, 2, 60000, "no answer"), 0);
	assert_int_equal(queue_store_dest_settle(st, id, &next), 0);
	assert_int_equal(next, 60000);
	assert_int_equal(queue_store_clamp(st, 50), 0);
	assert_int_equal(queue_store_dest_by_id(st, id)->retry_at, 50);
	/* the last envelope goes, and with it the destination; its number is not used again */
	assert_int_equal(queue_store_get_envelope(st, 30, &e, &found), 0);
	e.left = 0;
	assert_int_equal(queue_store_update_envelope(st, &e, true, &freed), 0);
	assert_int_equal(queue_store_dest_settle(st, id, &next), 0);
	assert_int_equal(next, STORE_NEVER);
	assert_null(queue_store_dest_by_id(st, id));
	assert_true(queue_store_dest(st, "out", "d.test", 1)->id > id);
}

/* The cache of destinations closes its gaps: many are made and half of them go. */
static void
test_many_destinations(void **state)
{
	char name[40];
	int64_t next;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "d%d.test", i);
		assert_non_null(queue_store_dest(st, "out", name, 5));
	}
	for (int i = 0; i < 3000; i += 2) {
		snprintf(name, sizeof(name), "d%d.test", i);
		uint64_t id = queue_store_dest(st, "out", name, 5)->id;
		assert_int_equal(queue_store_dest_settle(st, id, &next), 0);
	}
	for (int i = 1; i < 3000; i += 2) {
		snprintf(name, sizeof(name), "d%d.test", i);
		assert_int_equal(queue_store_dest(st, "out", name, 5)->id, (uint64_t)i + 1);
	}
}

static void
test_select(void **state)
{
	static const struct {
		const char *json;
		int rc;
		bool empty;
		int params;
	} cases[] = {
	    {"{}", 0, true, 0},
	    {"{\"all\":true}", 0, false, 0},
	    {"{\"all\":false}", -1, false, 0},
	    {"{\"sender\":\"*'; DROP TABLE message; --\"}", 0, false, 1},
	    {"{\"ids\":[\"5\",\"0199f3c0-0000-7000-8000-000000000000\"]}", 0, false, 2},
	    {"{\"ids\":[]}", -1, false, 0},
	    {"{\"ids\":[\"5 OR 1\"]}", -1, false, 0},
	    {"{\"ids\":\"5\"}", -1, false, 0},
	    {"{\"state\":\"due\"}", 0, false, 2},
	    {"{\"state\":\"delivered\"}", -1, false, 0},
	    {"{\"older_s\":60,\"younger_s\":90}", 0, false, 2},
	    {"{\"older_s\":-1}", -1, false, 0},
	    {"{\"older_s\":\"60\"}", -1, false, 0},
	    {"{\"domain\":\"d.test\",\"recipient\":\"*\",\"transport\":\"out\"}", 0, false, 3},
	    {"{\"colour\":\"red\"}", -1, false, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *j = json_loads(cases[i].json, 0, NULL);
		struct queue_select q;
		assert_int_equal(
		    queue_select_compile(&q, SELECT_QUEUE, j, 100000, err, sizeof(err)),
		    cases[i].rc);
		if (cases[i].rc == 0) {
			assert_int_equal(q.empty, cases[i].empty);
			assert_int_equal(q.n_params, cases[i].params);
			assert_null(strstr(buf_cstr(&q.where), "DROP"));
			queue_select_clear(&q);
		}
		json_decref(j);
	}
}

/* A spool of the first version gets what it lacks, and keeps its rows. */
static void
test_upgrade(void **state)
{
	char path[100];
	struct store_place place = {5000, 7}, got;
	bool damaged;

	(void)state;
	add(1, "old.test", 4000, 1);
	assert_int_equal(queue_store_commit(st), 0);
	queue_store_free(st);
	snprintf(path, sizeof(path), "%s/queue.db", dir);
	sqlite3 *db = NULL;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
			     "ALTER TABLE destination DROP COLUMN warned_next;"
			     "ALTER TABLE destination DROP COLUMN warned_qid; DROP TABLE "
			     "audit_batch; PRAGMA user_version=1",
			     NULL, NULL, NULL),
	    SQLITE_OK);
	sqlite3_close(db);
	assert_null(queue_store_open(path, STORE_READ, &damaged, err, sizeof(err)));
	st = queue_store_open(path, STORE_WRITE, &damaged, err, sizeof(err));
	assert_non_null(st);
	assert_int_equal(queue_store_begin(st), 0);
	assert_int_equal(queue_store_dest_set_warned(st, 1, &place), 0);
	assert_int_equal(queue_store_dest_warned(st, 1, &got), 0);
	assert_true(got.next_ms == 5000 && got.qid == 7);
	uint64_t last = 7, bytes = 7; /* its table is there too */
	assert_int_equal(queue_store_audit_state(st, &last, &bytes), 0);
	assert_true(last == 0 && bytes == 0);
	/* D3: after the clock was set back the place is not beyond it */
	assert_int_equal(queue_store_clamp(st, 4500), 0);
	assert_int_equal(queue_store_dest_warned(st, 1, &got), 0);
	assert_true(got.next_ms == 4500 && got.qid == 0);
}

/* Pages of what waits, many planned for one millisecond: each row once, busy ones left out. */
static void
test_waiting(void **state)
{
	struct store_envelope rows[7];
	uint64_t busy[] = {3, 15, 31}, seen = 0;
	struct store_waiting_query q = {
	    .dest = 1, .after = {INT64_MIN, 0}, .to = 3000, .busy = busy, .n_busy = 3, .max = 7};
	struct store_place last;
	unsigned n, total = 0;

	(void)state;
	for (uint64_t id = 1; id <= 30; id++)
		add(id, "dead.test", id <= 20 ? 1000 : 3000, 1);
	add(31, "dead.test", 3000, 1);
	add(32, "dead.test", 3001, 1);
	for (;; q.after = last) {
		assert_int_equal(queue_store_waiting(st, &q, rows, &n, &last), 0);
		for (unsigned i = 0; i < n; i++) {
			assert_true(rows[i].qid > seen);
			seen = rows[i].qid;
		}
		total += n;
		if (n < q.max)
			break;
	}
	assert_int_equal(total, 28);
	assert_true(last.next_ms == 3000 && last.qid == 31);
	q.after = last;
	assert_int_equal(queue_store_waiting(st, &q, rows, &n, &last), 0);
	assert_true(n == 0 && last.next_ms == 3000 && last.qid == 31);
}

static void
test_foreign(void **state)
{
	char path[100];
	bool damaged;
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/other.db", dir);
	f = fopen(path, "w");
	for (int i = 0; i < 1000; i++)
		fputs("this is no database\n", f);
	fclose(f);
	assert_null(queue_store_open(path, STORE_WRITE, &damaged, err, sizeof(err)));
	assert_true(damaged);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_life),
	    TEST(test_schedule),
	    TEST(test_destination),
	    TEST(test_many_destinations),
	    TEST(test_select),
	    TEST(test_upgrade),
	    TEST(test_waiting),
	    TEST(test_foreign),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
