/* SPDX-License-Identifier: ISC */
#ifndef TRANSPORTS_DELIVER_H
#define TRANSPORTS_DELIVER_H

#include "base/ev.h"
#include "base/io.h"
#include "base/list.h"
#include "conf/conf.h"
#include "ipc/ipc.h"
#include "mail/dotstuff.h"
#include "mail/job.h"
#include "mail/smtp_client.h"
#include "transports/transport.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Inner parts of process `deliver`.
 *
 * A job comes from the queue, waits at its destination, goes over one connection (or over
 * another when a session breaks before it was touched), is reported, and is forgotten when the
 * queue has committed what was reported.
 */
#define DELIVER_JOBS_MAX 4000u  /* more than the queue may have in flight here */
#define DELIVER_UNACKED_MAX 16u /* reports of one connection that the queue has not committed */
#define DELIVER_INLINE_MAX (1u << 20) /* bodies that come within frames */
#define DELIVER_SESSIONS_MAX 4u
#define DELIVER_HEAD_MAX (64u << 20)
#define DELIVER_HOST_BAD_MS 60000    /* a host that failed is the last choice so long */
#define DELIVER_HOST_CLEAR_MS 600000 /* so long no TLS is tried where its handshake failed */
#define DELIVER_HOSTS_MS 60000       /* a list of hosts is used so long */

struct deliver_dest;
struct deliver_conn;

enum deliver_job_state {
	DELIVER_JOB_RECEIVING = 0,
	DELIVER_JOB_WAITING = 1,
	DELIVER_JOB_ACTIVE = 2,
	DELIVER_JOB_REPORTED = 3,
};

struct deliver_job {
	TAILQ_ENTRY(deliver_job) link; /* waiting: in dest; reported: in conn */
	struct deliver_job *hash_next;
	enum deliver_job_state state;
	uint64_t qid;
	struct deliver_dest *dest;
	struct deliver_conn *conn; /* active or reported; NULL when that is gone */
	struct job job;
	struct smtp_client_rcpt *rcpts; /* one for each of job.msg->rcpts */
	struct buf head, body;
	uint32_t head_size, conn_max;
	uint64_t body_size, body_offset;
	int fd;            /* -1: the body is in body */
	unsigned sessions; /* that broke before they answered to it */
	bool inline_body, dsn_relayed;
	int64_t began_ms;
};
TAILQ_HEAD(deliver_job_list, deliver_job);

/* deliver_job.c */
int deliver_job_on_job(struct ipc_peer *, struct ipc_in *);
int deliver_job_on_more(struct ipc_peer *, struct ipc_in *);
int deliver_job_on_cancel(struct ipc_peer *, struct ipc_in *);
int deliver_job_on_ack(struct ipc_peer *, struct ipc_in *);
/*
 * Hands all statuses to the queue and logs them; every recipient is decided. conn may be NULL.
 * The body is dropped; the job stays until it is acknowledged.
 */
void deliver_job_report(struct deliver_job *, struct deliver_conn *, enum dest_result);
/* Decides all that are open by a status of ours and reports. */
void deliver_job_fail(struct deliver_job *, const struct status *, enum dest_result);
/* Gives it back as it came. Frees it. */
void deliver_job_give_back(struct deliver_job *);
/* Octets of the body into out (at most n): 0 at its end, -1 when it cannot be read. */
ssize_t deliver_job_read(const struct deliver_job *, uint64_t at, uint8_t *out, size_t n);
bool deliver_job_has_8bit(const struct deliver_job *);
size_t deliver_job_count(void);
size_t deliver_job_unfinished(void); /* not yet reported */
void deliver_job_forget_all(void);   /* the queue is gone: its jobs are too */

/* One host of a destination, and whether it failed since the last session stood. */
struct deliver_dest {
	TAILQ_ENTRY(deliver_dest) link; /* of all */
	struct deliver_dest *hash_next;
	const struct conf_transport *conf;
	char *name; /* "" for static */
	struct deliver_job_list waiting;
	size_t n_waiting, n_jobs; /* n_jobs: all that point here */
	TAILQ_HEAD(, deliver_conn) conns;
	size_t n_conns, n_opening, n_ready;
	uint32_t conn_max; /* as the queue says */
	size_t soft_max;   /* as the hosts let us; 0: no such limit */
	int64_t soft_until;
	struct transport_lookup *lookup;
	size_t n_hosts;
	struct transport_host *hosts;
	bool *failed; /* of each host, in this round */
	int64_t hosts_until;
	struct status failure; /* the last one */
	bool bad;              /* was unreachable when last tried */
	int64_t used_at;
	struct ev_turn turn;
};

/* deliver_dest.c */
struct deliver_dest *deliver_dest_get(const struct conf_transport *, const char *name);
void deliver_dest_add(struct deliver_dest *, struct deliver_job *, bool first);
struct deliver_job *deliver_dest_take(struct deliver_dest *); /* NULL: none waits */
void deliver_dest_remove(struct deliver_dest *, struct deliver_job *);
void deliver_dest_kick(struct deliver_dest *); /* looks at it at the end of the turn */
/* What became of a connection. The caller frees it afterwards. */
void deliver_dest_on_ready(struct deliver_dest *, struct deliver_conn *);
void deliver_dest_on_failed(struct deliver_dest *, struct deliver_conn *, const struct status *);
void deliver_dest_on_closed(struct deliver_dest *, struct deliver_conn *);
void deliver_dest_drain(void);     /* gives waiting jobs back, ends idle connections */
void deliver_dest_abort_all(void); /* ends all connections */
void deliver_dest_free_all(void);
void deliver_dest_start(void);
size_t deliver_dest_count(void);

struct deliver_conn {
	TAILQ_ENTRY(deliver_conn) link;
	struct deliver_dest *dest;
	struct transport_host host;
	char ip[NET_ADDR_TEXT];
	char tls[80]; /* "TLSv1.3 CIPHER", empty in clear */
	struct io *io;
	struct smtp_client client;
	struct deliver_job *job;
	struct deliver_job_list reported; /* not yet acknowledged */
	unsigned unacked, replies;
	uint64_t body_at;
	struct dot_encoder dots;
	bool ready; /* a session stood */
	bool connected;
	bool idle, in_clear;
};

/* deliver_conn.c */
/* NULL with st filled when the connect fails at once. */
struct deliver_conn *deliver_conn_open(
    struct deliver_dest *, const struct transport_host *, struct status *st);
/* Idle connections take waiting jobs, blocked ones too when they may again. */
void deliver_conn_next(struct deliver_conn *);
void deliver_conn_quit(struct deliver_conn *);  /* idle ones only */
void deliver_conn_abort(struct deliver_conn *); /* at once; its job is the caller's */
size_t deliver_conn_count(void);

/* deliver_host.c: what this process remembers of hosts */
void deliver_host_failed(const struct net_addr *);
void deliver_host_ok(const struct net_addr *);
bool deliver_host_is_bad(const struct net_addr *);
void deliver_host_set_clear(const struct net_addr *);
bool deliver_host_is_clear(const struct net_addr *);

/* deliver.c */
struct ipc_peer *deliver_queue(void); /* NULL: gone */
SSL_CTX *deliver_tls(const struct conf_transport *);
/* Never NULL: an unknown one has no hosts, so that its mail waits. */
const struct conf_transport *deliver_transport(const char *title);
bool deliver_draining(void);
void deliver_check_done(void); /* draining: exits when nothing is left */
struct deliver_stats {
	uint64_t jobs, delivered, deferred, refused, sessions, tls_sessions, failed_sessions, bytes;
};
extern struct deliver_stats deliver_stats;

#endif
