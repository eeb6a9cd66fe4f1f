/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LDAP_POOL_H
#define SUBMITD_LDAP_POOL_H

#include "authbackends/ldap_conn.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a connection is bound as. */
enum ldap_use {
	LDAP_AS_SERVICE = 0, /* bind_dn, or anonymous where there is none */
	LDAP_AS_USER = 1,    /* whoever it was last: for binds only */
	LDAP_USE__MAX
};

/* A bounded number of connections, kept while nobody uses them. Any thread. */
struct ldap_pool {
	pthread_mutex_t lock;
	pthread_cond_t freed;
	struct ldap_conn *idle[LDAP_USE__MAX]; /* the last used first */
	size_t n_open, max;                    /* idle, in use, or being opened */
};

void ldap_pool_init(struct ldap_pool *, size_t max);
void ldap_pool_clear(struct ldap_pool *); /* all were given back */
/*
 * A kept connection in *c, or NULL in it and the right to open one. False: neither came
 * free by the deadline.
 */
bool ldap_pool_take(struct ldap_pool *, enum ldap_use, int64_t deadline_ms, struct ldap_conn **c);
/* Gives back: to be kept, by its mark, or to be closed (NULL: none was opened). */
void ldap_pool_keep(struct ldap_pool *, struct ldap_conn *);
void ldap_pool_drop(struct ldap_pool *, struct ldap_conn *);
/* Closes the kept ones to a server, or those not used since. */
void ldap_pool_drop_server(struct ldap_pool *, size_t server);
void ldap_pool_drop_older(struct ldap_pool *, int64_t before_ms);

#endif
