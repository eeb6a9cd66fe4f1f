/* SPDX-License-Identifier: ISC */
/*
 * S62, S63, S64, S68, D1 to D4: the queue role as front, deliver and control see it:
 * accepting once, delivering, failing, reports, holding, restarts.
 */
#include "queue_rig.h"

static struct rig rig;

static int
setup(void **state)
{
	(void)state;
	rig_init(&rig);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	rig_done(&rig);
	return 0;
}

static struct span
text(const char *s)
{
	return span_of(s);
}

#define BODY "From: a@sender.test\r\nSubject: hello\r\n\r\nHello\r\n"

static struct uuid
accept_one(const char *sender, const char *const *rcpts, size_t n)
{
	struct message *m = rig_message(sender, rcpts, n);
	struct uuid mid = m->mid, got;

	assert_true(rig_offer(&rig, m, text(BODY)));
	assert_int_equal(rig_answer(&rig, &got, 10000), 250);
	assert_true(uuid_equal(&mid, &got));
	message_free(m);
	return mid;
}

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
	assert_int_equal(rig_recv(&rig, RIG_LEDGER, 5000, &in), IPC_AUDIT_ACCEPT);
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
	assert_true(rig_offer(&rig, m, text(BODY)));
	assert_int_equal(rig_answer(&rig, NULL, 10000), 250);
	assert_true(rig_offer(&rig, m, text(BODY)));
	assert_int_equal(rig_answer(&rig, NULL, 10000), 250);
	assert_true(rig_job(&rig, &j, 5000));
	rig_job_clear(&j);
	assert_false(rig_job(&rig, &j, 300));
	rig_stop(&rig, SIGKILL);
	rig_start(&rig);
	assert_true(rig_offer(&rig, m, text(BODY)));
	assert_int_equal(rig_answer(&rig, NULL, 10000), 250);
	assert_true(rig_job(&rig, &j, 5000));
	assert_true(rig_result(&rig, &j, DEST_OK, NULL, 250));
	assert_true(rig_ack(&rig, j.job.qid, 5000));
	rig_job_clear(&j);
	assert_false(rig_job(&rig, &j, 300));
	/* done, and still known */
	assert_true(rig_offer(&rig, m, text(BODY)));
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
	assert_true(rig_offer(&rig, m, text(BODY)));
	assert_true(rig_job(&rig, &j, 5000));
	assert_true(rig_result(&rig, &j, DEST_OK, NULL, 550));
	assert_true(rig_ack(&rig, j.job.qid, 5000));
	rig_job_clear(&j);
	assert_int_equal(rig_ctl(&rig, "{\"cmd\":\"queue.list\"}", &out), 0);
	assert_null(strstr(buf_cstr(&out), "qid"));
	m->rcpts[0].notify = 0;
	m->flags = 0;
	uuid_make_v7(&m->mid);
	assert_true(rig_offer(&rig, m, text(BODY)));
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
	assert_true(rig_offer(&rig, m, text(BODY)));
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

/* submitctl: show, hold, bounce, remove, and what it refuses. */
static void
test_control(void **state)
{
	static const char *const to[] = {"1@one.test"};
	struct buf out = BUF_INIT;
	struct rig_job j;
	char mid[UUID_TEXT], req[200];

	(void)state;
	rig.transport = "paused = true";
	rig_start(&rig);
	struct uuid id = accept_one("a@sender.test", to, 1);
	uuid_format(&id, mid);
	snprintf(req, sizeof(req), "{\"cmd\":\"queue.show\",\"id\":\"%s\"}", mid);
	assert_int_equal(rig_ctl(&rig, req, &out), 0);
	assert_non_null(strstr(buf_cstr(&out), "Subject: hello"));
	assert_non_null(strstr(buf_cstr(&out), "\"rcpt\":\"1@one.test\""));
	assert_int_equal(
	    rig_ctl(
		&rig, "{\"cmd\":\"queue.hold\",\"select\":{\"recipient\":\"*@one.test\"}}", &out),
	    0);
	assert_non_null(strstr(buf_cstr(&out), "{\"count\":1}"));
	assert_int_equal(rig_ctl(&rig, "{\"cmd\":\"queue.remove\",\"select\":{}}", &out), 0);
	assert_non_null(strstr(buf_cstr(&out), "{\"count\":0}"));
	assert_int_equal(
	    rig_ctl(&rig, "{\"cmd\":\"queue.remove\",\"select\":{\"nonsense\":1}}", &out), 2);
	assert_int_equal(
	    rig_ctl(
		&rig, "{\"cmd\":\"queue.remove\",\"select\":{\"sender\":\"x' OR 1=1 --\"}}", &out),
	    0);
	assert_non_null(strstr(buf_cstr(&out), "{\"count\":0}"));
	assert_int_equal(rig_ctl(&rig, "not json", &out), 2);
	assert_int_equal(
	    rig_ctl(&rig,
		"{\"cmd\":\"queue.bounce\",\"select\":{\"state\":\"held\"},\"user\":\"root\"}",
		&out),
	    0);
	assert_non_null(strstr(buf_cstr(&out), "{\"count\":1}"));
	assert_true(rig_job(&rig, &j, 5000));
	assert_string_equal(j.transport, "home");
	assert_non_null(
	    strstr(buf_cstr(&j.body), "Returned to the sender by the administrator (root)"));
	rig_job_clear(&j);
	accept_one("a@sender.test", to, 1);
	assert_int_equal(
	    rig_ctl(&rig, "{\"cmd\":\"queue.remove\",\"select\":{\"transport\":\"out\"}}", &out),
	    0);
	assert_non_null(strstr(buf_cstr(&out), "{\"count\":1}"));
	assert_int_equal(
	    rig_ctl(&rig, "{\"cmd\":\"history\",\"select\":{\"state\":\"removed\"}}", &out), 0);
	assert_non_null(strstr(buf_cstr(&out), "\"outcome\":\"removed\""));
	assert_int_equal(rig_ctl(&rig, "{\"cmd\":\"stats\"}", &out), 0);
	assert_non_null(strstr(buf_cstr(&out), "\"accepted\":2"));
	buf_clear(&out);
}

/* A large body in its own file: sealed, delivered by descriptor, removed at the end. */
static void
test_large(void **state)
{
	static const char *const to[] = {"1@one.test"};
	struct message *m = rig_message("a@sender.test", to, 1);
	struct buf b = BUF_INIT, head = BUF_INIT;
	struct ipc_in in;
	struct ipc_body_opened opened;
	struct rig_job j;
	char path[200], text_mid[UUID_TEXT];

	(void)state;
	rig_start(&rig);
	struct ipc_body_open open_m = {.mid = {(const char *)m->mid.b, 16}, .size_hint = 1000000};
	ipc_encode_body_open(&b, &open_m);
	assert_true(rig_send(&rig, RIG_FRONT, IPC_BODY_OPEN, &b));
	while (rig_recv(&rig, RIG_FRONT, 5000, &in) == IPC_QUEUE_STATE)
		continue;
	assert_int_equal(ipc_decode_body_opened(&in, &opened), 0);
	assert_int_equal(opened.code, 250);
	for (int i = 0; i < 100; i++)
		assert_int_equal(write(rig.got_fd, path, 0), 0);
	assert_int_equal(ftruncate(rig.got_fd, 1000000), 0);
	close(rig.got_fd);
	message_encode(&head, m);
	struct ipc_msg_offer o = {.mid = open_m.mid,
	    .large = 1,
	    .head_size = (uint32_t)buf_len(&head),
	    .body_size = 1000000,
	    .head = buf_span(&head)};
	ipc_encode_msg_offer(&b, &o);
	assert_true(rig_send(&rig, RIG_FRONT, IPC_MSG_OFFER, &b));
	assert_int_equal(rig_answer(&rig, NULL, 10000), 250);
	/* not yet begun when the process dies: read from its file afterwards */
	rig_stop(&rig, SIGKILL);
	rig_start(&rig);
	/* offered again: known, and its file is left alone */
	ipc_encode_msg_offer(&b, &o);
	assert_true(rig_send(&rig, RIG_FRONT, IPC_MSG_OFFER, &b));
	assert_int_equal(rig_answer(&rig, NULL, 10000), 250);
	rig.got_fd = -1;
	assert_true(rig_job(&rig, &j, 5000));
	assert_int_not_equal(rig.got_fd, -1);
	assert_int_equal(lseek(rig.got_fd, 0, SEEK_END) > 1000000, 1);
	close(rig.got_fd);
	uuid_format(&m->mid, text_mid);
	snprintf(path, sizeof(path), "%s/spool/big/%s", rig.dir, text_mid);
	assert_int_equal(access(path, F_OK), 0);
	assert_true(rig_result(&rig, &j, DEST_OK, NULL, 250));
	assert_true(rig_ack(&rig, j.job.qid, 5000));
	assert_int_equal(access(path, F_OK), -1);
	rig_job_clear(&j);
	buf_clear(&head);
	message_free(m);
}

/* Two processes on one spool: the second refuses to start. */
static void
test_lock(void **state)
{
	struct rig second;
	static const char *const to[] = {"1@one.test"};
	int status;

	(void)state;
	rig_start(&rig);
	accept_one("a@sender.test", to, 1);
	memcpy(&second, &rig, sizeof(second));
	for (int i = 0; i < RIG_PEERS; i++)
		second.in[i] = (struct buf)BUF_INIT;
	second.frame = (struct buf)BUF_INIT;
	rig_start(&second);
	status = rig_stop(&second, 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 91);
	accept_one("a@sender.test", to, 1);
}

/* A lost or damaged database: everything comes back, held. Foreign files are set aside. */
static void
test_damage(void **state)
{
	static const char *const to[] = {"1@one.test", "2@one.test", "3@two.test"};
	struct buf out = BUF_INIT;
	struct rig_job j;
	char cmd[400];

	(void)state;
	rig.transport = "paused = true";
	rig_start(&rig);
	accept_one("a@sender.test", to, 3);
	accept_one("b@sender.test", to, 1);
	rig_stop(&rig, SIGKILL);
	snprintf(cmd, sizeof(cmd),
	    "cd %s/spool && echo rubbish > queue.db && rm -f queue.db-wal queue.db-shm && "
	    "echo foreign > seg/00000099.log && echo foreign > seg/README && echo foreign > "
	    "big/README",
	    rig.dir);
	assert_int_equal(system(cmd), 0);
	rig.transport = "";
	rig_start(&rig);
	assert_false(rig_job(&rig, &j, 500));
	assert_int_equal(
	    rig_ctl(&rig, "{\"cmd\":\"queue.list\",\"select\":{\"state\":\"held\"}}", &out), 0);
	assert_non_null(strstr(buf_cstr(&out), "b@sender.test"));
	snprintf(cmd, sizeof(cmd), "ls %s/spool/aside | wc -l | grep -qx 4", rig.dir);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(
	    rig_ctl(&rig, "{\"cmd\":\"queue.release\",\"select\":{\"all\":true}}", &out), 0);
	assert_non_null(strstr(buf_cstr(&out), "{\"count\":3}"));
	for (int i = 0; i < 3; i++) {
		assert_true(rig_job(&rig, &j, 5000));
		assert_string_equal(buf_cstr(&j.body), BODY);
		rig_job_clear(&j);
	}
	buf_clear(&out);
}

/* Rubbish from a peer ends that peer, not the queue. */
static void
test_hostile(void **state)
{
	static const char *const to[] = {"1@one.test"};
	struct buf b = BUF_INIT, out = BUF_INIT;
	struct ipc_msg_offer o = {
	    .mid = {"0123456789abcdef", 16}, .head_size = 5, .head = {"xxxxx", 5}};

	(void)state;
	rig_start(&rig);
	accept_one("a@sender.test", to, 1);
	ipc_encode_msg_offer(&b, &o);
	assert_true(rig_send(&rig, RIG_FRONT, IPC_MSG_OFFER, &b));
	assert_int_equal(rig_answer(&rig, NULL, 5000), 0);
	assert_true(rig.gone);
	rig.gone = false;
	assert_int_equal(rig_ctl(&rig, "{\"cmd\":\"stats\"}", &out), 0);
	buf_clear(&out);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_deliver),
	    TEST(test_idempotent),
	    TEST(test_group),
	    TEST(test_retry),
	    TEST(test_report),
	    TEST(test_no_report),
	    TEST(test_success_report),
	    TEST(test_dead_domain),
	    TEST(test_give_up),
	    TEST(test_paused),
	    TEST(test_deliver_dies),
	    TEST(test_control),
	    TEST(test_large),
	    TEST(test_lock),
	    TEST(test_damage),
	    TEST(test_hostile),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
