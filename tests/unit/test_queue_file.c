/* SPDX-License-Identifier: ISC */
/*
 * Unfinished offers belong to the front that made them: another front that knows the
 * message id can neither go on with one nor repeat, drop or overwrite it, and is cut off
 * for trying; the same front may go on over a second socket.
 */
#include "queue_one_rig.h"

static bool
is_cut(int peer)
{
	struct pollfd p = {.fd = rig.fd[peer], .events = POLLIN};
	char c[4096];
	ssize_t n;

	while (poll(&p, 1, 10000) == 1)
		if ((n = recv(p.fd, c, sizeof(c), 0)) <= 0)
			return true;
	return false;
}

struct offer {
	struct message *m;
	struct buf head;
	struct ipc_msg_offer o;
};

static void
offer_make(struct offer *f, bool large, uint64_t size)
{
	static const char *const to[] = {"1@one.test"};

	*f = (struct offer){.m = rig_message("a@sender.test", to, 1)};
	message_encode(&f->head, f->m);
	f->o = (struct ipc_msg_offer){.mid = {(const char *)f->m->mid.b, 16},
	    .large = large,
	    .head_size = (uint32_t)buf_len(&f->head),
	    .body_size = size,
	    .head = buf_span(&f->head)};
}

static void
offer_clear(struct offer *f)
{
	message_free(f->m);
	buf_clear(&f->head);
}

static void
send_offer(int peer, const struct ipc_msg_offer *o)
{
	struct buf b = BUF_INIT;

	ipc_encode_msg_offer(&b, o);
	assert_true(rig_send(&rig, peer, IPC_MSG_OFFER, &b));
}

static void
send_more(int peer, struct span mid, const char *body)
{
	struct ipc_msg_more more = {.mid = mid, .body = span_of(body)};
	struct buf b = BUF_INIT;

	ipc_encode_msg_more(&b, &more);
	assert_true(rig_send(&rig, peer, IPC_MSG_MORE, &b));
}

static void
send_drop(int peer, struct span mid)
{
	struct ipc_body_drop drop = {.mid = mid};
	struct buf b = BUF_INIT;

	ipc_encode_body_drop(&b, &drop);
	assert_true(rig_send(&rig, peer, IPC_BODY_DROP, &b));
}

/* The code of BODY_OPENED; a descriptor that came is in rig.got_fd. */
static unsigned
open_file(int peer, struct span mid)
{
	struct ipc_body_open o = {.mid = mid, .size_hint = 1000000};
	struct ipc_body_opened opened;
	struct buf b = BUF_INIT;
	struct ipc_in in;

	rig.got_fd = -1;
	ipc_encode_body_open(&b, &o);
	assert_true(rig_send(&rig, peer, IPC_BODY_OPEN, &b));
	while (rig_recv(&rig, peer, 10000, &in) == IPC_QUEUE_STATE)
		continue;
	assert_int_equal(ipc_decode_body_opened(&in, &opened), 0);
	return opened.code;
}

static void
delivered_with(const char *body)
{
	struct rig_job j;

	assert_true(rig_job(&rig, &j, 10000));
	assert_string_equal(buf_cstr(&j.body), body);
	rig_job_clear(&j);
}

/* Half an offer; another front sends the rest, or an offer of its own for that id. */
static void
test_small(void **state)
{
	(void)state;
	for (int again = 0; again < 2; again++) {
		struct offer f;

		rig_start(&rig);
		offer_make(&f, false, 8);
		f.o.body = span_of("half");
		send_offer(RIG_FRONT, &f.o);
		/* its own answer shows that the queue has read that far */
		assert_int_equal(open_file(RIG_FRONT, (struct span){"0123456789abcdef", 16}), 250);
		close(rig.got_fd);
		if (again) {
			f.o.body = span_of("evilevil");
			send_offer(RIG_OTHER, &f.o);
		} else {
			send_more(RIG_OTHER, f.o.mid, "evil");
		}
		assert_true(is_cut(RIG_OTHER));
		send_more(RIG_FRONT, f.o.mid, "MORE");
		assert_int_equal(rig_answer(&rig, NULL, 10000), 250);
		delivered_with("halfMORE");
		offer_clear(&f);
		rig_done(&rig);
		rig_init(&rig);
	}
}

/* A file that one front writes: others neither drop it nor offer it as theirs. */
static void
test_large(void **state)
{
	(void)state;
	for (int how = 0; how < 3; how++) {
		struct offer f;
		struct rig_job j;

		rig_start(&rig);
		offer_make(&f, true, 1000000);
		assert_int_equal(open_file(RIG_FRONT, f.o.mid), 250);
		if (how == 0) {
			send_drop(RIG_OTHER, f.o.mid);
		} else {
			struct ipc_msg_offer o = f.o;
			o.large = how == 1;
			o.body_size = how == 1 ? 1000000 : 4;
			o.body = how == 1 ? (struct span){"", 0} : span_of("evil");
			send_offer(RIG_OTHER, &o);
		}
		assert_true(is_cut(RIG_OTHER));
		assert_int_equal(ftruncate(rig.got_fd, 1000000), 0);
		close(rig.got_fd);
		send_offer(RIG_FRONT, &f.o);
		assert_int_equal(rig_answer(&rig, NULL, 10000), 250);
		rig.got_fd = -1;
		assert_true(rig_job(&rig, &j, 10000));
		assert_true(lseek(rig.got_fd, 0, SEEK_END) > 1000000);
		close(rig.got_fd);
		rig_job_clear(&j);
		offer_clear(&f);
		rig_done(&rig);
		rig_init(&rig);
	}
}

/* The socket of a front broke: it says the offer again on a new one, and drops its file there. */
static void
test_second_socket(void **state)
{
	struct offer f, g;
	struct ipc_in in;
	struct ipc_msg_res res;
	int64_t end = rig_ms() + 10000;
	enum ipc_type t;

	(void)state;
	rig_start(&rig);
	offer_make(&f, false, 8);
	f.o.body = span_of("half");
	send_offer(RIG_FRONT, &f.o);
	offer_make(&g, true, 1000000);
	assert_int_equal(open_file(RIG_FRONT, g.o.mid), 250);
	close(rig.got_fd);
	f.o.body = span_of("halfMORE");
	send_offer(RIG_AGAIN, &f.o);
	while ((t = rig_recv(&rig, RIG_AGAIN, 10000, &in)) == IPC_QUEUE_STATE)
		continue;
	assert_int_equal(t, IPC_MSG_RES);
	assert_int_equal(ipc_decode_msg_res(&in, &res), 0);
	assert_int_equal(res.code, 250);
	delivered_with("halfMORE");

	assert_int_equal(open_file(RIG_AGAIN, g.o.mid), 452);
	send_drop(RIG_AGAIN, g.o.mid);
	while (open_file(RIG_AGAIN, g.o.mid) != 250)
		assert_true(rig_ms() < end);
	close(rig.got_fd);
	offer_clear(&f);
	offer_clear(&g);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/*
 * Promise 1: new mail is refused, but not what was accepted before: its answer may have been
 * lost. A large one that is refused leaves no file that takes the room of others.
 */
static void
test_refused(void **state)
{
	char name[UUID_TEXT], path[200];
	struct offer first, large, next;

	(void)state;
#ifndef SUBMITD_FAULTS
	skip(); /* needs the bound to be set */
#endif
	setenv("SUBMITD_TEST_AUDIT_ROWS", "1", 1);
	rig_start(&rig);
	unsetenv("SUBMITD_TEST_AUDIT_ROWS");
	offer_make(&large, true, 4);
	assert_int_equal(open_file(RIG_FRONT, large.o.mid), 250);
	assert_int_equal(write(rig.got_fd, "body", 4), 4);
	close(rig.got_fd);
	send_offer(RIG_FRONT, &large.o);
	assert_int_equal(rig_answer(&rig, NULL, 10000), 250);
	/* its record is more than may wait for the ledger */
	offer_make(&first, false, 4);
	first.o.body = span_of("body");
	send_offer(RIG_FRONT, &first.o);
	assert_int_equal(rig_answer(&rig, NULL, 10000), 451);
	send_offer(RIG_FRONT, &large.o);
	assert_int_equal(rig_answer(&rig, NULL, 10000), 250);
	offer_make(&next, true, 4);
	assert_int_equal(open_file(RIG_FRONT, next.o.mid), 250);
	assert_int_equal(write(rig.got_fd, "body", 4), 4);
	close(rig.got_fd);
	send_offer(RIG_FRONT, &next.o);
	assert_int_equal(rig_answer(&rig, NULL, 10000), 451);
	uuid_format(&next.m->mid, name);
	snprintf(path, sizeof(path), "%s/spool/big/%s", rig.dir, name);
	assert_int_equal(access(path, F_OK), -1);
	uuid_format(&large.m->mid, name);
	snprintf(path, sizeof(path), "%s/spool/big/%s", rig.dir, name);
	assert_int_equal(access(path, F_OK), 0);
	offer_clear(&first);
	offer_clear(&large);
	offer_clear(&next);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_small),
	    TEST(test_large),
	    TEST(test_second_socket),
	    TEST(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
