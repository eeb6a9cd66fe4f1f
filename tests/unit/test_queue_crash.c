/* SPDX-License-Identifier: ISC */
/*
 * S62, D4 and promise 1: the queue dies, or a call fails, at every file call of start,
 * accept, finish, retry and report; after a restart every acknowledged message is
 * there, nothing that was acknowledged as delivered is tried again, and each failed
 * message brings one report. Needs a build with -DSUBMITD_FAULTS.
 */
#include "queue_rig.h"

#ifndef SUBMITD_FAULTS
int
main(void)
{
	printf("1..0 # SKIP needs a build with faults\n");
	return 0;
}
#else

#define N_MESSAGES 4

static const char *const rcpts[N_MESSAGES][2] = {
    {"x@good.test", NULL}, {"x@bad.test", NULL}, /* 550: a report */
    {"x@good.test", "x@slow.test"},              /* 451 at first */
    {"x@dead.test", NULL},                       /* cannot be reached at first */
};

struct world {
	struct rig rig;
	struct message *m[N_MESSAGES];
	bool accepted[N_MESSAGES];
	unsigned delivered[N_MESSAGES][2]; /* we said 250 */
	bool final[N_MESSAGES][2];         /* and the queue acknowledged it */
	unsigned reports;
	bool report_final;
	/* jobs whose JOB_ACK is awaited */
	struct {
		uint64_t qid;
		int msg, rcpt; /* msg -1: the report */
	} open[64];
	unsigned n_open;
	bool healed; /* everybody takes mail now */
};

static int
which(const struct world *w, const struct uuid *mid)
{
	for (int i = 0; i < N_MESSAGES; i++)
		if (uuid_equal(&w->m[i]->mid, mid))
			return i;
	return -1;
}

static void
on_job(struct world *w, struct ipc_in *in)
{
	struct rig_job rj = {0};
	struct ipc_job j;
	int msg, rcpt;

	assert_int_equal(ipc_decode_job(in, &j), 0);
	assert_int_equal(j.head.n, j.head_size); /* small: one frame */
	assert_int_equal(job_decode(j.head, &rj.job), 0);
	assert_int_equal(rj.job.msg->n_rcpts, 1);
	msg = which(w, &rj.job.msg->mid);
	if (msg == -1) { /* the report of message 1 */
		assert_true(addr_is_null(&rj.job.msg->sender));
		assert_false(w->report_final);
		w->reports++;
		rcpt = 0;
	} else {
		rcpt = strcmp(rj.job.msg->rcpts[0].addr.ascii_domain, "slow.test") == 0;
		/* what was acknowledged as done is never tried again */
		assert_false(w->final[msg][rcpt]);
		assert_int_equal(j.body.n, strlen(BODY));
	}
	const char *domain = rj.job.msg->rcpts[0].addr.ascii_domain;
	unsigned code = 250;
	enum dest_result dest = DEST_OK;
	if (strcmp(domain, "bad.test") == 0)
		code = 550;
	else if (!w->healed && strcmp(domain, "slow.test") == 0)
		code = 451;
	else if (!w->healed && strcmp(domain, "dead.test") == 0) {
		code = 421;
		dest = DEST_UNREACHABLE;
	}
	if (code == 250 && msg != -1)
		w->delivered[msg][rcpt]++;
	if (code == 250 || code == 550) {
		assert_true(w->n_open < 64);
		w->open[w->n_open].qid = rj.job.qid;
		w->open[w->n_open].msg = msg;
		w->open[w->n_open++].rcpt = rcpt;
	}
	(void)rig_result(&w->rig, &rj, dest, NULL, code);
	rig_job_clear(&rj);
}

static void
on_ack(struct world *w, struct ipc_in *in)
{
	struct ipc_job_ack ack;

	assert_int_equal(ipc_decode_job_ack(in, &ack), 0);
	for (unsigned i = 0; i < w->n_open; i++) {
		if (w->open[i].qid != ack.qid)
			continue;
		if (w->open[i].msg == -1)
			w->report_final = true;
		else
			w->final[w->open[i].msg][w->open[i].rcpt] = true;
		w->open[i] = w->open[--w->n_open];
		return;
	}
}

static void
pump(struct world *w, int timeout_ms)
{
	struct ipc_in in;
	struct ipc_msg_res res;

	while (rig_recv(&w->rig, RIG_DELIVER, timeout_ms, &in) != IPC_NONE) {
		if (in.type == IPC_JOB)
			on_job(w, &in);
		else if (in.type == IPC_JOB_ACK)
			on_ack(w, &in);
	}
	while (rig_recv(&w->rig, RIG_FRONT, 0, &in) != IPC_NONE) {
		if (in.type != IPC_MSG_RES)
			continue;
		assert_int_equal(ipc_decode_msg_res(&in, &res), 0);
		struct uuid mid;
		memcpy(mid.b, res.mid.p, 16);
		int i = which(w, &mid);
		assert_int_not_equal(i, -1);
		if (res.code == 250)
			w->accepted[i] = true;
		else /* 452: there was no room at that moment */
			(void)rig_offer(&w->rig, w->m[i], span_of(BODY));
	}
	while (rig_recv(&w->rig, RIG_LEDGER, 0, &in) != IPC_NONE)
		continue;
}

static bool
all_accepted(const struct world *w)
{
	for (int i = 0; i < N_MESSAGES; i++)
		if (!w->accepted[i])
			return false;
	return true;
}

static void
offer_missing(struct world *w)
{
	for (int i = 0; i < N_MESSAGES; i++)
		if (!w->accepted[i])
			(void)rig_offer(&w->rig, w->m[i], span_of(BODY));
}

/* One life with a fault at call n; gives its wait status. */
static int
life(struct world *w, const char *before, unsigned n, const char *behind)
{
	char spec[60];
	int64_t end = rig_ms() + 10000;
	bool over = false;

	snprintf(spec, sizeof(spec), "%s%u%s", before, n, behind);
	setenv("SUBMITD_FS_FAULT", spec, 1);
	rig_start(&w->rig);
	offer_missing(w);
	while (!w->rig.gone && !over && rig_ms() < end) {
		pump(w, 10);
		over = all_accepted(w) && w->n_open == 0 && w->report_final;
	}
	assert_true(w->rig.gone || over);
	unsetenv("SUBMITD_FS_FAULT");
	return rig_stop(&w->rig, over ? SIGTERM : 0);
}

static void
afterwards(struct world *w)
{
	struct buf out = BUF_INIT;
	int64_t end = rig_ms() + 20000;
	bool empty = false;

	w->healed = true;
	w->n_open = 0;
	rig_start(&w->rig);
	offer_missing(w);
	while (!(empty && all_accepted(w) && w->n_open == 0) && rig_ms() < end) {
		pump(w, 5);
		assert_false(w->rig.gone);
		assert_int_equal(
		    rig_ctl(&w->rig, "{\"cmd\":\"queue.retry\",\"select\":{\"state\":\"waiting\"}}",
			&out),
		    0);
		assert_int_equal(rig_ctl(&w->rig, "{\"cmd\":\"queue.list\"}", &out), 0);
		empty = strstr(buf_cstr(&out), "qid") == NULL;
	}
	assert_true(empty);
	assert_true(all_accepted(w));
	rig_stop(&w->rig, SIGKILL);
	for (int i = 0; i < N_MESSAGES; i++)
		for (int k = 0; k < 2 && rcpts[i][k] != NULL; k++)
			assert_true(i == 1 ? w->delivered[i][k] == 0 : w->delivered[i][k] >= 1);
	assert_true(w->reports >= 1);
	buf_clear(&out);
}

static void
check_files(const struct world *w)
{
	char cmd[300];

	/* nothing piles up: one database, the segments that are needed, no large files */
	snprintf(cmd, sizeof(cmd),
	    "test $(ls %s/spool/seg | wc -l) -le 2 && test -z \"$(ls %s/spool/big %s/spool/aside | "
	    "grep log)\"",
	    w->rig.dir, w->rig.dir, w->rig.dir);
	assert_int_equal(system(cmd), 0);
}

static int
run(const char *before, unsigned n, const char *behind)
{
	static struct world w;
	unsigned most[N_MESSAGES][2];
	int status;

	memset(&w, 0, sizeof(w));
	rig_init(&w.rig);
	for (int i = 0; i < N_MESSAGES; i++)
		w.m[i] = rig_message("a@sender.test", rcpts[i], rcpts[i][1] == NULL ? 1 : 2);
	status = life(&w, before, n, behind);
	/* twice at most, and only what was said but not acknowledged before the end */
	for (int i = 0; i < N_MESSAGES; i++)
		for (int k = 0; k < 2; k++)
			most[i][k] = w.final[i][k] ? w.delivered[i][k] : w.delivered[i][k] + 1;
	afterwards(&w);
	for (int i = 0; i < N_MESSAGES; i++)
		for (int k = 0; k < 2; k++)
			assert_true(w.delivered[i][k] <= most[i][k]);
	check_files(&w);
	for (int i = 0; i < N_MESSAGES; i++)
		message_free(w.m[i]);
	rig_done(&w.rig);
	return status;
}

static unsigned
step(void)
{
	const char *s = getenv("QUEUE_CRASH_STEP");

	return s == NULL ? 1 : (unsigned)strtoul(s, NULL, 10);
}

static void
test_die(void **state)
{
	unsigned killed = 0, survived = 0;

	(void)state;
	/* how many calls a life has depends on what gathers for one commit */
	for (unsigned n = 1; survived < 8; n += step()) {
		int status = run(n % 2 == 0 ? "after:" : "die:", n, "");
		bool dead = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
		assert_true(n < 2000);
		killed += dead;
		survived = dead ? 0 : survived + 1;
	}
	print_message("# killed at %u file calls\n", killed);
	assert_true(killed > 30 / step());
}

static void
test_fail(void **state)
{
	static const char *const faults[] = {":EIO", ":ENOSPC"};

	(void)state;
	for (int f = 0; f < 2; f++) {
		int status = 0;
		unsigned n, ended = 0;
		for (n = 1; n < 100; n += step()) {
			status = run("fail:", n, faults[f]);
			/* it says so and ends, or could go on; it never crashes */
			assert_true(WIFSIGNALED(status)
					? WTERMSIG(status) == SIGTERM
					: WEXITSTATUS(status) == 1 || WEXITSTATUS(status) == 91);
			ended += WIFEXITED(status);
		}
		print_message("# ended by %u failed calls\n", ended);
		assert_true(ended > 0);
	}
}

/* No room for a while: mail is refused or waits, but the queue ends only where it starts. */
static void
test_full(void **state)
{
	unsigned lived = 0;

	(void)state;
	for (unsigned n = 1; n < 100; n += step()) {
		int status = run("full:", n, n % 2 == 0 ? ":1" : ":3");
		lived += WIFSIGNALED(status);
		assert_true(
		    WIFSIGNALED(status) ? WTERMSIG(status) == SIGTERM : WEXITSTATUS(status) == 91);
	}
	print_message("# lived through %u\n", lived);
	assert_true(lived > 40 / step());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_full),
	    cmocka_unit_test(test_die),
	    cmocka_unit_test(test_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
