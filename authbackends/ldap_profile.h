/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_LDAP_PROFILE_H
#define SUBMITD_LDAP_PROFILE_H

#include "authbackends/ldap_conn.h"
#include "authbackends/ldap_pool.h"
#include "base/log.h"
#include "conf/conf.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Connections to the servers of one ldap block: for authentication and for looking up
 * recipients, each in its own process. Bounded by pool, kept open, made anew when they
 * died, walking the URIs when a server does not answer. Any thread may ask.
 */
struct ldap_profile;

/*
 * At start, while files can be read: the secret of the service account and the CA. The
 * block must live as long. NULL with a text in err. Connects nowhere.
 */
struct ldap_profile *ldap_profile_open(const struct conf_ldap *, char *err, size_t errsize);
void ldap_profile_close(struct ldap_profile *); /* no thread may be asking; NULL is fine */

/*
 * Runs work on a connection: again on a new one when a kept one had died, and with the
 * next URI when a server does not answer, as long as there is time. work gives the code
 * of its last request and may be called several times.
 *
 * True: work was called, and what it left is the answer. False: there was no connection,
 * or the service account could not log in; *reply tells.
 */
typedef int ldap_work_fn(struct ldap_conn *, struct ldap_ask *, void *arg);
bool ldap_profile_run(struct ldap_profile *, enum ldap_use, struct ldap_ask *, ldap_work_fn *,
    void *arg, struct ldap_reply *);

/* What an operator should know: found on workers, logged by the loop. */
struct ldap_notice {
	enum log_level level;
	const char *state; /* "up", "down" or "misconfigured" */
	const char *uri;   /* NULL where none is meant; lives as long as the profile */
	char text[LDAP_TEXT_MAX];
	unsigned count; /* times, since this was last told */
};
/* False: no more. */
bool ldap_profile_next_notice(struct ldap_profile *, struct ldap_notice *);
/* A configuration that cannot work; the same is told once a minute. From any thread. */
void ldap_profile_misconfigured(struct ldap_profile *, const char *text);
/* Closes what was not used for a while. From the loop, every second or so. */
void ldap_profile_tick(struct ldap_profile *);

#endif
