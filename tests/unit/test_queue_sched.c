/* SPDX-License-Identifier: ISC */
/*
 * S62, S63, S64, S68, D1 to D4: the queue role as front, deliver and control see it:
 * accepting once, delivering, failing, reports, holding, restarts.
 */
#include "queue_one_rig.h"

#include "queue/queue_store.h"

#include <sqlite3.h>

static void
test_deliver(void **state)
{
	static const char *const to[] = {"b@dest.test"};
	struct buf out = BUF_INIT;
	struct rig_job j;
	struct ipc_in in;

	(void)state;
	rig_start(&rig);
	struct uuid mid = accept_one("a@sender.test", to, 1);
	assert_int_equal(rig_recv(&rig, RIG_LEDGER, 5000, &in), IPC_AUDIT_BATCH);
	assert_true(rig_job(&rig, &j, 5000));
	assert_string_equal(j.transport, "out");
	assert_string_equal(j.dest, "dest.test");
	assert_int_equal(j.job.attempt, 1);
	assert_true(uuid_equal(&j.job.msg->mid, &mid));
	assert_string_equal(buf_cstr(&j.body), BODY);
	assert_int_equal(rig_ctl(&rig, "{\"cmd\":\"queue.list\"}", &out), 0);
	assert_non_null(strstr(buf_cstr(&out), "\"state\":\"active\""));
	assert_true(rig_result(&rig, &j, DEST_OK, NULL, 250));
	assert_true(rig_ack(&rig, j.job.qid, 5000));
	assert_int_equal(rig_ctl(&rig, "{\"cmd\":\"queue.list\"}", &out), 0);
	assert_null(strstr(buf_cstr(&out), "qid"));
	assert_int_equal(rig_ctl(&rig, "{\"cmd\":\"history\"}", &out), 0);
	assert_non_null(strstr(buf_cstr(&out), "\"outcome\":\"delivered\""));
	assert_non_null(strstr(buf_cstr(&out), "\"rcpt\":\"b@dest.test\""));
	rig_job_clear(&j);
	buf_clear(&out);
}

/* The next batch that the ledger is sent; its records stand in rig.frame. */
static struct ipc_audit_batch
batch(void)
{
	struct ipc_audit_batch b;
	struct ipc_in in;

	assert_int_equal(rig_recv(&rig, RIG_LEDGER, 10000, &in), IPC_AUDIT_BATCH);
	assert_int_equal(ipc_decode_audit_batch(&in, &b), 0);
	return b;
}

/* A2: the record of a message is as safe as the message, and is sent until it is on disk. */
static void
test_audit(void **state)
{
	static const char *const to[] = {"b@dest.test"};
	struct ipc_audit_batch first, second, again;
	struct buf body = BUF_INIT;

	(void)state;
	rig_start(&rig);
	accept_one("a@sender.test", to, 1);
	first = batch();
	assert_int_equal(first.n, 1);
	assert_int_equal(first.count, 1);
	accept_one("a@sender.test", to, 1);
	second = batch();
	assert_int_equal(second.src, first.src);
	assert_int_equal(second.n, 2);
	/* not acknowledged: a new process sends both again, under their old numbers */
	rig_stop(&rig, SIGKILL);
	rig_start(&rig);
	again = batch();
	assert_int_equal(again.src, first.src);
	assert_int_equal(again.n, 1);
	again = batch();
	assert_int_equal(again.n, 2);
	/* new ones have a new start id */
	accept_one("a@sender.test", to, 1);
	again = batch();
	assert_int_not_equal(again.src, first.src);
	assert_int_equal(again.n, 1);
	struct ipc_audit_ack ack = {first.src, 2, AUDIT_ACK_TAKEN};
	ipc_encode_audit_ack(&body, &ack);
	assert_true(rig_send(&rig, RIG_LEDGER, IPC_AUDIT_ACK, &body));
	/* what is acknowledged goes, with a transaction of its own */
	struct queue_store *s;
	char path[200], err[200];
	bool damaged;
	uint64_t id = 0, bytes = 0;
	struct store_audit rows[3];
	unsigned n = 3;
	int64_t end = rig_ms() + 20000;

	(void)snprintf(path, sizeof(path), "%s/spool/queue.db", rig.dir);
	s = queue_store_open(path, STORE_READ, &damaged, err, sizeof(err));
	assert_non_null(s);
	while (n != 1 && rig_ms() < end) {
		assert_int_equal(queue_store_audits(s, 0, rows, 3, &n), 0);
		for (unsigned i = 0; i < n; i++)
			buf_clear(&rows[i].records);
	}
	assert_int_equal(n, 1);
	assert_int_equal(rows[0].src, again.src);
	assert_int_equal(queue_store_audit_state(s, &id, &bytes), 0);
	assert_int_equal(id, 3);
	assert_true(bytes > 50);
	queue_store_free(s);
	rig_stop(&rig, SIGKILL);
	rig_start(&rig);
	assert_int_equal(batch().src, again.src);
}

/* The same mid twice, on the old and on a new process: one message. */
static void
test_idempotent(void **state)
{
	static const char *const to[] = {"b@dest.test"};
	struct message *m;
	struct rig_job j;

	(void)state;
	rig_start(&rig);
	m = rig_message("a@sender.test", to, 1);
	assert_true(rig_offer(&rig, m, span_of(BODY)));
	assert_int_equal(rig_answer(&rig, NULL, 10000), 250);
	assert_true(rig_offer(&rig, m, span_of(BODY)));
	assert_int_equal(rig_answer(&rig, NULL, 10000), 250);
	assert_true(rig_job(&rig, &j, 5000));
	rig_job_clear(&j);
	assert_false(rig_job(&rig, &j, 300));
	rig_stop(&rig, SIGKILL);
	rig_start(&rig);
	assert_true(rig_offer(&rig, m, span_of(BODY)));
	assert_int_equal(rig_answer(&rig, NULL, 10000), 250);
	assert_true(rig_job(&rig, &j, 5000));
	assert_true(rig_result(&rig, &j, DEST_OK, NULL, 250));
	assert_true(rig_ack(&rig, j.job.qid, 5000));
	rig_job_clear(&j);
	assert_false(rig_job(&rig, &j, 300));
	/* done, and still known */
	assert_true(rig_offer(&rig, m, span_of(BODY)));
	assert_int_equal(rig_answer(&rig, NULL, 10000), 250);
	assert_false(rig_job(&rig, &j, 300));
	message_free(m);
}

/* Recipients of one destination share a job, others do not; qids grow over a restart. */
static void
test_group(void **state)
{
	static const char *const to[] = {"1@one.test", "2@two.test", "3@one.test"};
	struct rig_job a, b;
	uint64_t max;

	(void)state;
	rig_start(&rig);
	accept_one("a@sender.test", to, 3);
	assert_true(rig_job(&rig, &a, 5000));
	assert_true(rig_job(&rig, &b, 5000));
	assert_int_equal(a.job.msg->n_rcpts + b.job.msg->n_rcpts, 3);
	assert_int_equal(
	    strcmp(a.dest, "one.test") == 0 ? a.job.msg->n_rcpts : b.job.msg->n_rcpts, 2);
	max = a.job.qid > b.job.qid ? a.job.qid : b.job.qid;
	rig_job_clear(&a);
	rig_job_clear(&b);
	rig_stop(&rig, SIGKILL);
	rig_start(&rig);
	accept_one("a@sender.test", to, 1);
	for (int i = 0; i < 3; i++) {
		assert_true(rig_job(&rig, &a, 5000));
		if (a.job.msg->n_rcpts == 1 && strcmp(a.dest, "one.test") == 0)
			assert_true(a.job.qid > max);
		rig_job_clear(&a);
	}
}

/* A temporary failure waits for its retry_delay; what was delivered is not tried again. */
static void
test_retry(void **state)
{
	static const char *const to[] = {"1@dest.test", "2@dest.test"};
	static const unsigned codes[] = {250, 451};
	struct buf out = BUF_INIT;
	struct rig_job j;

	(void)state;
	rig_start(&rig);
	accept_one("a@sender.test", to, 2);
	assert_true(rig_job(&rig, &j, 5000));
	assert_true(rig_result(&rig, &j, DEST_OK, codes, 0));
	assert_true(rig_ack(&rig, j.job.qid, 5000));
	rig_job_clear(&j);
	assert_false(rig_job(&rig, &j, 300));
	assert_int_equal(
	    rig_ctl(&rig, "{\"cmd\":\"queue.list\",\"select\":{\"state\":\"waiting\"}}", &out), 0);
	assert_non_null(strstr(buf_cstr(&out), "\"rcpts\":1,\"attempts\":1"));
	assert_non_null(strstr(buf_cstr(&out), "status 451"));
	assert_int_equal(
	    rig_ctl(
		&rig, "{\"cmd\":\"queue.retry\",\"select\":{\"all\":true},\"user\":\"me\"}", &out),
	    0);
	assert_non_null(strstr(buf_cstr(&out), "{\"count\":1}"));
	assert_true(rig_job(&rig, &j, 5000));
	assert_int_equal(j.job.attempt, 2);
	assert_int_equal(j.job.msg->n_rcpts, 1);
	assert_string_equal(j.job.msg->rcpts[0].addr.local, "2");
	assert_string_equal(buf_cstr(&j.body), BODY);
	assert_true(rig_result(&rig, &j, DEST_OK, NULL, 250));
	assert_true(rig_ack(&rig, j.job.qid, 5000));
	rig_job_clear(&j);
	assert_int_equal(rig_ctl(&rig, "{\"cmd\":\"queue.list\"}", &out), 0);
	assert_null(strstr(buf_cstr(&out), "qid"));
	buf_clear(&out);
}

/* D4: two recipients in two domains fail: one report, to the sender, from nobody. */
static void
test_report(void **state)
{
	static const char *const to[] = {"1@one.test", "2@two.test"};
	struct rig_job a, b, dsn;

	(void)state;
	rig_start(&rig);
	accept_one("a@sender.test", to, 2);
	assert_true(rig_job(&rig, &a, 5000));
	assert_true(rig_job(&rig, &b, 5000));
	assert_true(rig_result(&rig, &a, DEST_OK, NULL, 550));
	assert_true(rig_result(&rig, &b, DEST_OK, NULL, 551));
	assert_true(rig_job(&rig, &dsn, 5000));
	assert_true(addr_is_null(&dsn.job.msg->sender));
	assert_string_equal(dsn.transport, "home");
	assert_int_equal(dsn.job.msg->n_rcpts, 1);
	assert_string_equal(dsn.job.msg->rcpts[0].addr.local, "a");
	assert_non_null(strstr(buf_cstr(&dsn.body), "1@one.test"));
	assert_non_null(strstr(buf_cstr(&dsn.body), "2@two.test"));
	assert_non_null(strstr(buf_cstr(&dsn.body), "multipart/report"));
	/* the report fails: held, no report of a report */
	assert_true(rig_result(&rig, &dsn, DEST_OK, NULL, 550));
	assert_true(rig_ack(&rig, dsn.job.qid, 5000));
	struct buf out = BUF_INIT;
	assert_int_equal(rig_ctl(&rig, "{\"cmd\":\"queue.list\"}", &out), 0);
	assert_non_null(strstr(buf_cstr(&out), "\"state\":\"held\""));
	assert_null(strstr(buf_cstr(&out), "one.test"));
	rig_job_clear(&a);
	rig_job_clear(&b);
	rig_job_clear(&dsn);
	assert_false(rig_job(&rig, &a, 300));
	buf_clear(&out);
}

/* D1, D2: NOTIFY=NEVER gets none; an unauthenticated sender gets none, the copy is held. */
static void
test_no_report(void **state)
{
	static const char *const to[] = {"1@one.test"};
	struct message *m = rig_message("a@sender.test", to, 1);
	struct buf out = BUF_INIT;
	struct rig_job j;

	(void)state;
	rig_start(&rig);
	m->rcpts[0].notify = NOTIFY_NEVER;
	assert_true(rig_offer(&rig, m, span_of(BODY)));
	assert_true(rig_job(&rig, &j, 5000));
	assert_true(rig_result(&rig, &j, DEST_OK, NULL, 550));
	assert_true(rig_ack(&rig, j.job.qid, 5000));
	rig_job_clear(&j);
	assert_int_equal(rig_ctl(&rig, "{\"cmd\":\"queue.list\"}", &out), 0);
	assert_null(strstr(buf_cstr(&out), "qid"));
	m->rcpts[0].notify = 0;
	m->flags = 0;
	uuid_make_v7(&m->mid);
	assert_true(rig_offer(&rig, m, span_of(BODY)));
	assert_true(rig_job(&rig, &j, 5000));
	assert_true(rig_result(&rig, &j, DEST_OK, NULL, 550));
	assert_true(rig_ack(&rig, j.job.qid, 5000));
	rig_job_clear(&j);
	assert_false(rig_job(&rig, &j, 300));
	assert_int_equal(rig_ctl(&rig, "{\"cmd\":\"queue.list\"}", &out), 0);
	assert_non_null(strstr(buf_cstr(&out), "\"state\":\"held\""));
	assert_non_null(strstr(buf_cstr(&out), "status 550"));
	/* released: tried again */
	assert_int_equal(
	    rig_ctl(&rig, "{\"cmd\":\"queue.release\",\"select\":{\"sender\":\"*@SENDER.test\"}}",
		&out),
	    0);
	assert_non_null(strstr(buf_cstr(&out), "{\"count\":1}"));
	assert_true(rig_job(&rig, &j, 5000));
	rig_job_clear(&j);
	message_free(m);
	buf_clear(&out);
}

/* D3: a report of success where the next hop does not make one. */
static void
test_success_report(void **state)
{
	static const char *const to[] = {"1@one.test"};
	struct message *m = rig_message("a@sender.test", to, 1);
	struct rig_job j;

	(void)state;
	rig_start(&rig);
	m->rcpts[0].notify = NOTIFY_SUCCESS;
	assert_true(rig_offer(&rig, m, span_of(BODY)));
	assert_true(rig_job(&rig, &j, 5000));
	assert_true(rig_result(&rig, &j, DEST_OK, NULL, 250));
	rig_job_clear(&j);
	assert_true(rig_job(&rig, &j, 5000));
	assert_non_null(strstr(buf_cstr(&j.body), "relayed"));
	rig_job_clear(&j);
	message_free(m);
}

/* One dead domain of fifty: 49 are delivered at once, the dead one backs off alone. */
static void
test_dead_domain(void **state)
{
	char names[50][32];
	const char *to[50];
	struct buf out = BUF_INIT;
	struct rig_job j;
	unsigned delivered = 0;

	(void)state;
	rig_start(&rig);
	for (int i = 0; i < 50; i++) {
		snprintf(names[i], sizeof(names[i]), "x@d%d.test", i);
		to[i] = names[i];
	}
	accept_one("a@sender.test", to, 50);
	for (int i = 0; i < 50; i++) {
		assert_true(rig_job(&rig, &j, 5000));
		bool dead = strcmp(j.dest, "d7.test") == 0;
		assert_true(rig_result(
		    &rig, &j, dead ? DEST_UNREACHABLE : DEST_OK, NULL, dead ? 421 : 250));
		delivered += !dead;
		rig_job_clear(&j);
	}
	assert_int_equal(delivered, 49);
	/* another message for it waits without being tried */
	static const char *const dead[] = {"y@d7.test"};
	accept_one("a@sender.test", dead, 1);
	assert_false(rig_job(&rig, &j, 500));
	assert_int_equal(
	    rig_ctl(&rig, "{\"cmd\":\"queue.list\",\"select\":{\"domain\":\"d7.test\"}}", &out), 0);
	assert_non_null(strstr(buf_cstr(&out), "\"attempts\":1"));
	assert_non_null(strstr(buf_cstr(&out), "\"attempts\":0"));
	assert_non_null(strstr(buf_cstr(&out), "status 421"));
	assert_null(strstr(buf_cstr(&out), "d8.test"));
	buf_clear(&out);
}

/* While it is down: as if all that waits had come so much earlier. */
static void
make_older(int64_t ms)
{
	char *path = xasprintf("%s/spool/queue.db", rig.dir);
	char *sql = xasprintf("UPDATE message SET received = received - %lld;"
			      "UPDATE envelope SET next = (SELECT min(next) FROM envelope) - %lld;"
			      "UPDATE destination SET next_due = 0, retry_at = 0",
	    (long long)ms, (long long)ms);
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	free(path);
	free(sql);
}

/* Plays deliver until nothing comes: the domain cannot be reached, reports arrive. How many
 * delays they told of. */
static unsigned
serve_dead(unsigned want, bool *failed)
{
	unsigned delayed = 0;
	struct rig_job j;

	while (rig_job(&rig, &j, delayed < want ? 20000 : 1500)) {
		bool dead = strcmp(j.dest, "dead.test") == 0;
		delayed += !dead && strstr(buf_cstr(&j.body), "Action: delayed") != NULL;
		*failed |= !dead && strstr(buf_cstr(&j.body), "Action: failed") != NULL;
		assert_true(rig_result(
		    &rig, &j, dead ? DEST_UNREACHABLE : DEST_OK, NULL, dead ? 421 : 250));
		rig_job_clear(&j);
	}
	return delayed;
}

/*
 * D3, S63: three pages of messages wait behind a dead domain, all but one or two never
 * tried: each sender is told of the delay, once, over a restart too, and of the end.
 */
static void
test_waits_only(void **state)
{
	enum { N = 450 };
	static const char *const to[] = {"x@dead.test"};
	struct buf out = BUF_INIT;
	struct rig_job j;
	bool failed = false;

	(void)state;
	rig.transport = "retry_delay = {30} retry_count = 4 warn_after = 60";
	rig_start(&rig);
	accept_one("a@sender.test", to, 1);
	assert_true(rig_job(&rig, &j, 5000));
	assert_true(rig_result(&rig, &j, DEST_UNREACHABLE, NULL, 421));
	assert_true(rig_ack(&rig, j.job.qid, 5000));
	rig_job_clear(&j);
	for (int i = 1; i < N; i++)
		accept_one("a@sender.test", to, 1);
	accept_one(NULL, to, 1); /* the null sender is never told */
	rig_stop(&rig, SIGTERM);

	make_older(61 * 60000);
	rig_start(&rig);
	/* the one that is tried again speaks for itself, by the time in its head: now */
	assert_int_equal(serve_dead(N - 1, &failed), N - 1);
	rig_stop(&rig, SIGTERM);
	make_older(-1); /* behind the place noted: all are looked at again */
	rig_start(&rig);
	assert_int_equal(serve_dead(0, &failed), 0);
	assert_false(failed);
	rig_stop(&rig, SIGTERM);

	make_older(60 * 60000);
	rig_start(&rig);
	assert_int_equal(serve_dead(0, &failed), 0);
	assert_true(failed);
	assert_int_equal(rig_ctl(&rig, "{\"cmd\":\"queue.list\"}", &out), 0);
	/* the null sender's is kept for the operator, the one that speaks for itself waits */
	assert_non_null(strstr(buf_cstr(&out), "\"state\":\"held\""));
	const char *one = strstr(buf_cstr(&out), "\"state\":\"waiting\"");
	assert_true(one == NULL || strstr(one + 1, "\"state\":\"waiting\"") == NULL);
	buf_clear(&out);
}

/* S63: no retries left: on_give_up = discard tells nobody, dsn does. */
static void
test_give_up(void **state)
{
	static const char *const to[] = {"1@one.test"};
	struct buf out = BUF_INIT;
	struct rig_job j;

	(void)state;
	rig.transport = "retry_count = 0 on_give_up = discard";
	rig_start(&rig);
	accept_one("a@sender.test", to, 1);
	assert_true(rig_job(&rig, &j, 5000));
	assert_true(rig_result(&rig, &j, DEST_OK, NULL, 451));
	assert_true(rig_ack(&rig, j.job.qid, 5000));
	rig_job_clear(&j);
	assert_false(rig_job(&rig, &j, 300));
	assert_int_equal(rig_ctl(&rig, "{\"cmd\":\"history\"}", &out), 0);
	assert_non_null(strstr(buf_cstr(&out), "\"outcome\":\"discarded\""));
	rig_stop(&rig, SIGKILL);
	rig.transport = "retry_count = 0";
	rig_start(&rig);
	accept_one("a@sender.test", to, 1);
	assert_true(rig_job(&rig, &j, 5000));
	assert_true(rig_result(&rig, &j, DEST_UNREACHABLE, NULL, 421));
	rig_job_clear(&j);
	assert_true(rig_job(&rig, &j, 5000));
	assert_string_equal(j.transport, "home");
	rig_job_clear(&j);
	buf_clear(&out);
}

/* S64: a paused transport keeps its mail, and goes on later. */
static void
test_paused(void **state)
{
	static const char *const to[] = {"1@one.test"};
	struct buf out = BUF_INIT;
	struct rig_job j;

	(void)state;
	rig.transport = "paused = true";
	rig_start(&rig);
	accept_one("a@sender.test", to, 1);
	assert_false(rig_job(&rig, &j, 400));
	assert_int_equal(rig_ctl(&rig, "{\"cmd\":\"queue.list\"}", &out), 0);
	assert_non_null(strstr(buf_cstr(&out), "paused"));
	rig_stop(&rig, SIGKILL);
	rig.transport = "";
	rig_start(&rig);
	assert_true(rig_job(&rig, &j, 5000));
	assert_string_equal(buf_cstr(&j.body), BODY);
	rig_job_clear(&j);
	buf_clear(&out);
}

/* A deliver that goes away gives its jobs back as not tried. */
static void
test_deliver_dies(void **state)
{
	static const char *const to[] = {"1@one.test"};
	struct buf out = BUF_INIT;
	struct rig_job j;

	(void)state;
	rig_start(&rig);
	accept_one("a@sender.test", to, 1);
	assert_true(rig_job(&rig, &j, 5000));
	close(rig.fd[RIG_DELIVER]);
	rig.fd[RIG_DELIVER] = -1;
	rig_job_clear(&j);
	int64_t end = rig_ms() + 5000;
	do {
		assert_int_equal(rig_ctl(&rig, "{\"cmd\":\"queue.list\"}", &out), 0);
	} while (strstr(buf_cstr(&out), "\"state\":\"due\",\"rcpts\":1,\"attempts\":0") == NULL &&
		 rig_ms() < end);
	assert_true(rig_ms() < end);
	buf_clear(&out);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_audit),
	    TEST(test_deliver),
	    TEST(test_idempotent),
	    TEST(test_group),
	    TEST(test_retry),
	    TEST(test_report),
	    TEST(test_no_report),
	    TEST(test_success_report),
	    TEST(test_dead_domain),
	    TEST(test_waits_only),
	    TEST(test_give_up),
	    TEST(test_paused),
	    TEST(test_deliver_dies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
