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

#define FILL_BASE 100000000u /* ids above what the run before used */
#define FILL_BATCH 2000u

struct filling {
	struct queue_store *store;
	struct queue_body *body;
	struct message *m;
	struct store_segment seg;
	int64_t now;
	struct buf heads[FILL_BATCH];
	struct body_put puts[FILL_BATCH];
	char dests[FILL_BATCH][32];
};

static bool
fill_row(struct filling *f, uint64_t id, unsigned k, int64_t next)
{
	const struct store_dest *d = queue_store_dest(f->store, "out", f->dests[k], next);
	struct store_message row = {.id = id,
	    .mid = f->puts[k].mid,
	    .ref = f->puts[k].ref,
	    .received_ms = f->now,
	    .sender = span_of("a@sender.test"),
	    .flags = f->m->flags,
	    .n_env = 1};
	struct store_envelope e = {
	    .qid = id, .msg = id, .next_ms = next, .first_rid = id, .n_rcpts = 1, .left = 1};
	struct store_rcpt r = {.id = id, .qid = id, .addr = span_of("x@y.test")};

	if (d == NULL)
		return false;
	e.dest = d->id;
	if (strcmp(f->dests[k], "d0.test") == 0)
		big_dest = d->id;
	if (row.ref.seg != f->seg.seg) {
		if (f->seg.seg != 0 && queue_store_put_segment(f->store, &f->seg) == -1)
			return false;
		f->seg = (struct store_segment){.seg = row.ref.seg};
	}
	f->seg.live++;
	f->seg.live_bytes += queue_body_size(&row.ref);
	f->seg.bytes = row.ref.off + queue_body_size(&row.ref);
	return queue_store_add_message(f->store, &row) == 0 &&
	       queue_store_add_envelope(f->store, &e) == 0 &&
	       queue_store_add_rcpt(f->store, &r) == 0;
}

static bool
fill_batch(struct filling *f, unsigned from, unsigned n)
{
	struct body_put *list[FILL_BATCH];
	unsigned left;

	for (unsigned k = 0; k < FILL_BATCH; k++) {
		/* half of all for one dead domain, the others for ten thousand */
		unsigned i = from + k;
		snprintf(f->dests[k], sizeof(f->dests[k]), "d%u.test", i % 2 == 0 ? 0 : i % 20000);
		uuid_make_v7(&f->m->mid);
		free(f->m->rcpts[0].dest);
		f->m->rcpts[0].dest = xstrdup(f->dests[k]);
		buf_reset(&f->heads[k]);
		message_encode(&f->heads[k], f->m);
		f->puts[k] = (struct body_put){.mid = f->m->mid,
		    .qid = FILL_BASE + i,
		    .head = buf_span(&f->heads[k]),
		    .body = {"x\r\n", 3}};
		list[k] = &f->puts[k];
	}
	if (queue_body_put_batch(f->body, list, FILL_BATCH) == -1 ||
	    queue_store_begin(f->store) == -1)
		return false;
	/* all are due in an hour, but for the last two hundred */
	for (unsigned k = 0; k < FILL_BATCH; k++)
		if (!fill_row(f, FILL_BASE + from + k, k,
			from + k + 200 >= n ? f->now : f->now + 3600000))
			return false;
	return queue_store_put_segment(f->store, &f->seg) == 0 &&
	       queue_store_reserve_qid(f->store, FILL_BASE + n + 1) == 0 &&
	       queue_store_commit(f->store) == 0 &&
	       (from % 100000 != 0 || queue_store_checkpoint(f->store, &left) == 0);
}

/* A million rows, written through the store itself. */
static void
fill(struct rig *r, unsigned n)
{
	struct filling *f = calloc(1, sizeof(*f));
	char path[120], err[200];
	const char *to = "x@y.test";
	bool damaged, ok;
	int fd;

	snprintf(path, sizeof(path), "%s/spool/queue.db", r->dir);
	f->store = queue_store_open(path, STORE_WRITE, &damaged, err, sizeof(err));
	snprintf(path, sizeof(path), "%s/spool", r->dir);
	fd = open(path, O_RDONLY | O_DIRECTORY);
	f->body = queue_body_open(fd, err, sizeof(err));
	ok = f->store != NULL && f->body != NULL;
	if (ok)
		queue_body_set_last(f->body, 1000);
	f->now = (int64_t)time(NULL) * 1000;
	f->m = rig_message("a@sender.test", &to, 1);
	for (unsigned i = 0; ok && i < n; i += FILL_BATCH)
		ok = fill_batch(f, i, n);
	if (!ok) {
		printf("million  %s\n", f->store == NULL ? err : queue_store_error(f->store));
		exit(2);
	}
	queue_store_free(f->store);
	queue_body_free(f->body);
	close(fd);
	for (unsigned k = 0; k < FILL_BATCH; k++)
		buf_clear(&f->heads[k]);
	message_free(f->m);
	free(f);
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
	printf("million  it goes to %s\n", j.dest);
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
