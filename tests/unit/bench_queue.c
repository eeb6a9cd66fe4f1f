/* SPDX-License-Identifier: ISC */
/*
 * CPU of the queue role per message, and what a million waiting messages cost it.
 *
 *	bench_queue flow [messages] [outstanding] [size]   accept + deliver + finish
 *	bench_queue accept [messages] [outstanding] [size] accept only
 *	bench_queue million [waiting]                      the figures of the issue, unit level
 *
 * The other ends of the sockets are here; only the queue's process is measured.
 */
#include "queue/queue_store.h"
#include "queue_rig.h"

static double
cpu_us(pid_t pid)
{
	char path[60], line[1000];
	unsigned long ut = 0, st = 0;
	const char *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	if (f == NULL || fgets(line, sizeof(line), f) == NULL)
		exit(1);
	fclose(f);
	p = strrchr(line, ')');
	sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &ut, &st);
	return (double)(ut + st) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static double
pss_mib(pid_t pid)
{
	char path[60], line[200];
	unsigned long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "Pss: %lu", &kib) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return (double)kib / 1024;
}

static void
offer(struct rig *r, struct message *m, struct span body)
{
	uuid_make_v7(&m->mid);
	if (!rig_offer(r, m, body))
		exit(1);
}

/* Answers jobs until nothing is readable; counts. */
static unsigned
deliver(struct rig *r, int timeout_ms)
{
	struct rig_job j;
	unsigned n = 0;

	while (rig_job(r, &j, n == 0 ? timeout_ms : 0)) {
		rig_result(r, &j, DEST_OK, NULL, 250);
		rig_job_clear(&j);
		n++;
	}
	return n;
}

static void
flow(struct rig *r, const char *rcpt, unsigned n, unsigned outstanding, struct span body, bool jobs)
{
	struct message *m = rig_message("a@sender.test", &rcpt, 1);
	unsigned sent = 0, accepted = 0, delivered = 0;
	struct ipc_in in;
	int64_t start = rig_ms();
	double cpu = cpu_us(r->pid);

	while (accepted < n || (jobs && delivered < n)) {
		while (sent < n && sent - accepted < outstanding) {
			offer(r, m, body);
			sent++;
		}
		if (jobs)
			delivered += deliver(r, 0);
		while (rig_recv(r, RIG_FRONT, jobs ? 0 : 100, &in) != IPC_NONE) {
			accepted += in.type == IPC_MSG_RES;
			if (sent < n && sent - accepted < outstanding / 2 + 1)
				break;
		}
		while (rig_recv(r, RIG_LEDGER, 0, &in) != IPC_NONE)
			continue;
		if (r->gone)
			exit(1);
	}
	cpu = cpu_us(r->pid) - cpu;
	double s = (double)(rig_ms() - start) / 1000;
	printf("%-8s %8u messages of %zu octets, %u outstanding: %6.1f us CPU each, %6.0f/s\n",
	    jobs ? "flow" : "accept", n, body.n, outstanding, cpu / n, n / s);
	fflush(stdout);
	message_free(m);
}

static uint64_t big_dest;

/* A million rows, half of them for one dead domain, written through the store itself. */
static void
fill(struct rig *r, unsigned n)
{
	struct queue_body *body;
	struct queue_store *s;
	char path[120], err[200], rcpt[64];
	bool damaged;
	struct message *m = message_new();
	struct buf head = BUF_INIT;
	int fd;

	snprintf(path, sizeof(path), "%s/spool/queue.db", r->dir);
	s = queue_store_open(path, STORE_WRITE, &damaged, err, sizeof(err));
	snprintf(path, sizeof(path), "%s/spool", r->dir);
	fd = open(path, O_RDONLY | O_DIRECTORY);
	body = queue_body_open(fd, err, sizeof(err));
	if (s == NULL || body == NULL)
		exit(2);
	queue_body_set_last(body, 1000);
	int64_t now = (int64_t)time(NULL) * 1000;
	const char *to = "x@y.test";
	message_free(m);
	m = rig_message("a@sender.test", &to, 1);
	struct store_segment seg = {0};
	const uint64_t base = 100000000; /* above what the empty run used */
	for (unsigned i = 0; i < n; i++) {
		if (i % 2000 == 0 && queue_store_begin(s) == -1)
			exit(2);
		snprintf(rcpt, sizeof(rcpt), "d%u.test", i % 2 == 0 ? 0 : i % 20000);
		uuid_make_v7(&m->mid);
		free(m->rcpts[0].dest);
		m->rcpts[0].dest = xstrdup(rcpt);
		buf_reset(&head);
		message_encode(&head, m);
		struct body_put put = {
		    .mid = m->mid, .qid = base + i, .head = buf_span(&head), .body = {"x\r\n", 3}};
		struct body_put *puts[1] = {&put};
		if (i % 2000 == 0) { /* one real body for two thousand rows is enough here */
			if (queue_body_put_batch(body, puts, 1) == -1)
				exit(2);
			seg.seg = put.ref.seg;
		}
		/* all are due in an hour, but for the last hundred */
		int64_t next = i + 100 >= n ? now : now + 3600000;
		const struct store_dest *d = queue_store_dest(s, "out", rcpt, next);
		if (i == 0)
			big_dest = d->id;
		struct store_message row = {.id = base + i,
		    .mid = m->mid,
		    .ref = {seg.seg, 32, (uint32_t)buf_len(&head), 3},
		    .received_ms = now,
		    .sender = span_of("a@sender.test"),
		    .flags = m->flags,
		    .n_env = 1};
		struct store_envelope e = {.qid = base + i,
		    .msg = base + i,
		    .dest = d->id,
		    .next_ms = next,
		    .first_rid = base + i,
		    .n_rcpts = 1,
		    .left = 1};
		struct store_rcpt rr = {
		    .id = base + i, .qid = base + i, .addr = span_of("somebody@y.test")};
		if (queue_store_add_message(s, &row) == -1 ||
		    queue_store_add_envelope(s, &e) == -1 || queue_store_add_rcpt(s, &rr) == -1)
			exit(2);
		seg.live++;
		seg.live_bytes += queue_body_size(&row.ref);
		seg.bytes = seg.live_bytes;
		if (i % 2000 == 1999 || i + 1 == n) {
			if (queue_store_put_segment(s, &seg) == -1 ||
			    queue_store_reserve_qid(s, base + n + 1) == -1 ||
			    queue_store_commit(s) == -1)
				exit(2);
		}
		unsigned left;
		if (i % 100000 == 99999 && queue_store_checkpoint(s, &left) == -1)
			exit(2);
	}
	queue_store_free(s);
	queue_body_free(body);
	close(fd);
	buf_clear(&head);
	message_free(m);
}

/* The next hundred due, straight from the store. */
static void
hundred(struct rig *r, unsigned n)
{
	struct store_due due[64];
	char path[120], err[200];
	bool damaged, more;
	struct timespec a, b;
	int64_t next;
	unsigned got, total = 0;

	snprintf(path, sizeof(path), "%s/spool/queue.db", r->dir);
	struct queue_store *s = queue_store_open(path, STORE_READ, &damaged, err, sizeof(err));
	clock_gettime(CLOCK_MONOTONIC, &a);
	struct store_due_query q = {.dest = big_dest,
	    .now = (int64_t)time(NULL) * 1000 + 1000,
	    .max_ahead = STORE_MAX_AHEAD_MS,
	    .max = 64};
	if (queue_store_due(s, &q, due, &got, &more, &next) == -1)
		exit(2);
	total += got;
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("million  %u due found among %u: %.2f ms\n", total, n,
	    (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6);
	queue_store_free(s);
}

static void
million(struct rig *r, unsigned n, struct span body)
{
	struct rig_job j;

	rig_start(r);
	flow(r, "x@fresh.test", 50000, 64, body, true);
	rig_stop(r, SIGKILL);
	int64_t start = rig_ms();
	fill(r, n);
	printf("million  filled in %.1f s\n", (double)(rig_ms() - start) / 1000);
	hundred(r, n);
	start = rig_ms();
	rig_start(r);
	if (!rig_job(r, &j, 20000))
		printf("million  no job came\n");
	printf("million  restart to first job: %.2f s\n", (double)(rig_ms() - start) / 1000);
	rig_job_clear(&j);
	flow(r, "x@fresh.test", 50000, 64, body, true);
	printf("million  memory of the queue: %.0f MiB\n", pss_mib(r->pid));
	rig_stop(r, SIGKILL);
}

int
main(int argc, char **argv)
{
	struct rig r;
	const char *mode = argc > 1 ? argv[1] : "flow";
	unsigned n = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 100000;
	unsigned outstanding = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 64;
	size_t size = argc > 4 ? strtoul(argv[4], NULL, 10) : 10240;
	char *body = xmalloc(size);

	memset(body, 'x', size);
	rig_init(&r);
	if (strcmp(mode, "million") == 0) {
		million(&r, argc > 2 ? n : 1000000, (struct span){body, size});
	} else {
		bool jobs = strcmp(mode, "flow") == 0;
		r.transport = jobs ? "" : "paused = true";
		rig_start(&r);
		flow(&r, "x@fresh.test", n, outstanding, (struct span){body, size}, jobs);
		printf("memory of the queue: %.0f MiB\n", pss_mib(r.pid));
	}
	rig_done(&r);
	free(body);
	return 0;
}
