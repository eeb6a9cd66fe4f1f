/* SPDX-License-Identifier: ISC */
/*
 * The role `deliver`: takes jobs from the queue, delivers them, and answers with one status for
 * each recipient. It holds nothing durable: when it dies, the queue gives the jobs to another, and
 * when the queue dies, its jobs are dropped here, because the queue will hand them out anew. It
 * connects out and must never listen, open files or see credentials of users.
 */
#include "transports/deliver.h"

#include "base/log.h"
#include "base/str.h"
#include "base/tls_pin.h"
#include "proc.h"
#include "transports/resolver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HARD_MS 4000

struct deliver_stats deliver_stats;

static struct {
	const struct conf *conf;
	SSL_CTX **tls; /* one for each transport block */
	struct ipc_peer *queue;
	struct conf_transport unknown;
	bool draining;
	bool last; /* its time to leave is set, whatever comes */
	struct ev_timer hard;
} self;

struct ipc_peer *
deliver_queue(void)
{
	return self.queue;
}

bool
deliver_draining(void)
{
	return self.draining;
}

SSL_CTX *
deliver_tls(const struct conf_transport *t)
{
	return self.tls[t - self.conf->transport_blocks];
}

const struct conf_transport *
deliver_transport(const char *title)
{
	const struct conf_transport *t = conf_transport_find(self.conf, title);

	return t != NULL ? t : &self.unknown;
}

/* ---- start ----------------------------------------------------------------------------------- */

static int
prepare(const struct conf *conf, char *err, size_t errsize)
{
	static char unknown[] = "(unknown)";

	self.conf = conf;
	self.unknown.title = unknown;
	self.tls = xcallocarray(conf->n_transport + 1, sizeof(*self.tls));
	for (size_t i = 0; i < conf->n_transport; i++) {
		const struct conf_transport *t = &conf->transport_blocks[i];
		bool verify = conf_transport_verifies(t);
		char why[256];

		if (t->tls == TRANSPORT_TLS_NONE)
			continue;
		self.tls[i] = tls_pin_or_client_new(
		    t->pinned.v, t->pinned.n, t->ca_file, verify, why, sizeof(why));
		if (self.tls[i] == NULL) {
			snprintf(err, errsize, "transport \"%s\": %s", t->title, why);
			return -1;
		}
	}
	resolver_prepare("/etc/resolv.conf", "/etc/hosts");
	transport_prepare(conf);
	return 0;
}

static int
start(const struct conf *conf, char *err, size_t errsize)
{
	(void)conf;
	(void)err;
	(void)errsize;
	deliver_dest_start();
	return 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void
leave(void *arg)
{
	(void)arg;
	ev_timer_clear(&self.hard);
	deliver_dest_abort_all();
	deliver_job_forget_all();
	deliver_dest_free_all();
	resolver_done();
	transport_done();
	for (size_t i = 0; i < self.conf->n_transport; i++)
		SSL_CTX_free(self.tls[i]);
	free(self.tls);
	proc_exit(0);
}

void
deliver_check_done(void)
{
	/* not from within the stack of a connection */
	if (self.draining && deliver_job_count() == 0)
		ev_timer_set(&self.hard, 0, leave, NULL);
	else if (self.draining && !self.last && deliver_job_unfinished() == 0) {
		/* the queue has all that is to be told, and may have no room to commit it */
		self.last = true;
		ev_timer_set(&self.hard, HARD_MS, leave, NULL);
	}
}

static void
drain(bool hard)
{
	self.draining = true;
	self.last = self.last || hard;
	deliver_dest_drain();
	if (hard)
		ev_timer_set(&self.hard, HARD_MS, leave, NULL);
	deliver_check_done();
}

/* ---- peers ----------------------------------------------------------------------------------- */

static void
peer_up(struct ipc_peer *p)
{
	if (ipc_peer_role(p) == ROLE_QUEUE)
		self.queue = p;
}

static void
peer_down(struct ipc_peer *p)
{
	if (p != self.queue)
		return;
	self.queue = NULL;
	/* the new queue hands them out again: what is not yet sent must not be sent twice */
	deliver_dest_abort_all();
	deliver_job_forget_all();
	deliver_check_done();
}

static int
on_ctl(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_ctl_req req;
	struct ipc_ctl_res res = {0};
	char json[1024];

	if (ipc_decode_ctl_req(in, &req) == -1)
		return -1;
	res.request = req.request;
	if (str_printf(json, sizeof(json),
		"{\"role\":\"deliver\",\"instance\":%u,\"jobs\":%llu,\"jobs_in_flight\":%zu,"
		"\"delivered\":%llu,\"deferred\":%llu,\"refused\":%llu,\"bytes\":%llu,"
		"\"sessions\":%llu,\"tls_sessions\":%llu,\"failed_sessions\":%llu,"
		"\"connections\":%zu,\"destinations\":%zu}",
		proc_instance(), (unsigned long long)deliver_stats.jobs, deliver_job_unfinished(),
		(unsigned long long)deliver_stats.delivered,
		(unsigned long long)deliver_stats.deferred,
		(unsigned long long)deliver_stats.refused, (unsigned long long)deliver_stats.bytes,
		(unsigned long long)deliver_stats.sessions,
		(unsigned long long)deliver_stats.tls_sessions,
		(unsigned long long)deliver_stats.failed_sessions, deliver_conn_count(),
		deliver_dest_count()) == -1)
		return 0;
	res.json = span_of(json);
	(void)ipc_send_ctl_res(p, -1, &res);
	return 0;
}

static int
on_ctl_cancel(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_ctl_cancel m;

	(void)p;
	return ipc_decode_ctl_cancel(in, &m); /* answers are given at once: nothing to cancel */
}

static const struct ipc_handler handlers[] = {
    {IPC_JOB, deliver_job_on_job},
    {IPC_JOB_MORE, deliver_job_on_more},
    {IPC_JOB_CANCEL, deliver_job_on_cancel},
    {IPC_JOB_ACK, deliver_job_on_ack},
    {IPC_CTL_REQ, on_ctl},
    {IPC_CTL_CANCEL, on_ctl_cancel},
    {IPC_NONE, NULL},
};

const struct proc_role deliver_role = {
    .role = ROLE_DELIVER,
    .name = "deliver",
    .per_generation = true,
    .sandbox = SANDBOX_CONNECT,
    .prepare = prepare,
    .start = start,
    .drain = drain,
    .ipc = {.handlers = handlers, .peer_up = peer_up, .peer_down = peer_down},
};
