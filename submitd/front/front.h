/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_FRONT_FRONT_H
#define SUBMITD_FRONT_FRONT_H

#include "base/enc.h"
#include "base/ev.h"
#include "base/list.h"
#include "base/net.h"
#include "base/tls.h"
#include "conf/conf.h"
#include "front/admit.h"
#include "ipc/ipc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What all sessions of one front process share. There is one struct front per
 * process; tests make their own, with a link of their own.
 */
struct smtp_session;
struct offer;

/*
 * The way to the other roles. front_link.c has the real one, over IPC; unit tests
 * and the fuzz target put theirs in its place. -1: nobody is there just now.
 */
struct front_link {
	int (*auth_start)(const struct ipc_auth_start *);
	int (*auth_step)(const struct ipc_auth_step *);
	void (*auth_cancel)(uint64_t sid);
	int (*body_open)(const struct ipc_body_open *);
	void (*body_drop)(const struct ipc_body_drop *);
	int (*msg_offer)(const struct ipc_msg_offer *);
	int (*msg_more)(const struct ipc_msg_more *);
	bool (*queue_busy)(void); /* hold back bulk for a moment */
};
extern const struct front_link front_link_ipc;

/* A listener as this process serves it. */
struct front_listener {
	const struct conf_listener *conf;
	const struct conf_limit *limit;
	SSL_CTX **ctxs; /* one per certificate; ctxs[0] is used for new connections */
	size_t n_ctxs;
	bool ctxs_shared;             /* they belong to an earlier listener with the same list */
	char *mechs_clear;            /* what auth told us; NULL until then */
	char *mechs_tls, *mechs_cert; /* behind TLS, and with a certificate of the client */
	uint32_t sessions;
};

struct front_stats {
	uint64_t connections, refused, tls, auth_ok, auth_failed, commands;
	uint64_t accepted, rejected, bytes, rcpts;
};

#define OFFER_BUCKETS 1024u
TAILQ_HEAD(offer_list, offer);

struct front {
	const struct conf *conf;
	const struct front_link *link;
	struct front_listener *listeners; /* as conf->listener_blocks */
	size_t n_listeners;
	/* sessions by the low bits of their sid */
	struct smtp_session **slots;
	uint32_t *free_slots;
	uint32_t n_slots, cap_slots, n_free;
	uint32_t n_sessions;
	struct admit admit;
	/* messages on their way to the queue */
	struct offer_list offers;
	struct offer *buckets[OFFER_BUCKETS];
	struct ev_timer offer_timer;
	size_t data_used; /* bytes of messages in memory */
	bool queue_full;
	bool closing;            /* idle sessions get 421 */
	struct addr *postmaster; /* where <Postmaster> goes */
	struct front_stats stats;
};

void front_init(struct front *, const struct conf *, const struct front_link *);
void front_clear(struct front *); /* ends all sessions at once */

/* Gives the session a sid; smtp_session.c only. */
uint64_t front_slot_take(struct front *, struct smtp_session *);
void front_slot_release(struct front *, uint64_t sid);
/* The session, or NULL when it is gone. */
struct smtp_session *front_session(struct front *, uint64_t sid);

/* auth told what EHLO may offer on a listener. */
void front_set_mechs(struct front *, const char *listener, const struct ipc_auth_mechs *);
void front_forget_mechs(struct front *);
/*
 * The auth role went away: exchanges get 454. What EHLO offers stays, so that clients
 * come again later instead of believing that there is no AUTH.
 */
void front_auth_lost(struct front *);

/* Drain: 421 to all that are idle now, and to others once they are. */
void front_close_idle(struct front *);

/* front_tls.c: certificates of all listeners, read while there are rights to. -1 with err. */
int front_tls_load(struct front *, char *err, size_t errsize);
void front_tls_free(struct front *);

/* front_accept.c: begin and stop taking connections. */
int front_accept_start(struct front *);
void front_accept_stop(void);

#endif
