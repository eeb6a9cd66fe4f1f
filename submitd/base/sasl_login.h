/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_SASL_LOGIN_H
#define SUBMITD_SASL_LOGIN_H

#include "base/buf.h"
#include "base/secret.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The client's side of a SASL login at another server, one exchange per object, by PLAIN, LOGIN,
 * CRAM-MD5 or SCRAM-SHA-256. Which of them is the caller's choice. Objects may be used by several
 * threads, each by one at a time. It computes only and waits for nothing.
 */
struct sasl_login;

/* Iterations of a SCRAM server that are computed at most: 0.2 s or so. */
#define SASL_LOGIN_ITERATIONS_MAX 200000u

/*
 * Once per process, while there is one thread and files can be opened; again is harmless.
 * -1 with a text in err.
 */
int sasl_login_open(char *err, size_t errsize);

/* host is the server's name. NULL: the library cannot. user and password are copied. */
struct sasl_login *sasl_login_new(
    const char *mech, const char *host, const char *user, const struct secret *password);
void sasl_login_free(struct sasl_login *); /* wipes */

/* -1: it cannot go on, see sasl_login_error(). initial is secret; has_initial: there is one. */
int sasl_login_start(struct sasl_login *, struct buf *initial, bool *has_initial);
/* The answer to a challenge, secret too. -1: the challenge makes no sense or proves nothing. */
int sasl_login_step(struct sasl_login *, struct span challenge, struct buf *response);
/*
 * Nothing more is to be said, and where the mechanism makes the server prove that it knows the
 * password, it has. A server's "yes" before that is none.
 */
bool sasl_login_is_done(const struct sasl_login *);
const char *sasl_login_error(const struct sasl_login *); /* fixed texts, nothing from outside */

#endif
