/* SPDX-License-Identifier: ISC */
/*
 * S68, S69, and "what bad input gets": the queue role's control requests, large
 * bodies, damaged and foreign files, a second process, rubbish from a peer.
 */
#include "queue_one_rig.h"

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

/* What is left of a nearly empty segment is copied forward, whole, and the segment goes. */
static void
test_compact(void **state)
{
	static const char *const to[] = {"x@good.test", "x@slow.test"};
	struct buf text_of = BUF_INIT, out = BUF_INIT;
	struct rig_job j;
	char path[200];
	unsigned slow = 0;

	(void)state;
	while (buf_len(&text_of) < 200000)
		buf_addf(&text_of, "line %zu of a mail\r\n", buf_len(&text_of));
	rig_start(&rig);
	for (int i = 0; i < 30; i++) {
		struct message *m = rig_message("a@sender.test", &to[i % 10 == 0], 1);
		assert_true(rig_offer(&rig, m, buf_span(&text_of)));
		assert_int_equal(rig_answer(&rig, NULL, 10000), 250);
		message_free(m);
		assert_true(rig_job(&rig, &j, 5000));
		bool later = strcmp(j.dest, "slow.test") == 0;
		assert_true(rig_result(&rig, &j, DEST_OK, NULL, later ? 451 : 250));
		assert_true(rig_ack(&rig, j.job.qid, 5000));
		rig_job_clear(&j);
	}
	rig_stop(&rig, SIGKILL);
	snprintf(path, sizeof(path), "%s/spool/seg/00000001.log", rig.dir);
	assert_int_equal(access(path, F_OK), 0);
	rig_start(&rig);
	int64_t end = rig_ms() + 10000;
	while (access(path, F_OK) == 0 && rig_ms() < end)
		assert_int_equal(rig_ctl(&rig, "{\"cmd\":\"stats\"}", &out), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(
	    rig_ctl(&rig, "{\"cmd\":\"queue.retry\",\"select\":{\"all\":true}}", &out), 0);
	while (slow < 3 && rig_job(&rig, &j, 5000)) {
		assert_int_equal(buf_len(&j.body), buf_len(&text_of));
		assert_memory_equal(buf_data(&j.body), buf_data(&text_of), buf_len(&text_of));
		rig_job_clear(&j);
		slow++;
	}
	assert_int_equal(slow, 3);
	buf_clear(&text_of);
	buf_clear(&out);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_control),
	    TEST(test_large),
	    TEST(test_lock),
	    TEST(test_damage),
	    TEST(test_hostile),
	    TEST(test_compact),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
