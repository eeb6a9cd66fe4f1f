/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUTH_TEST_H
#define SUBMITD_AUTH_TEST_H

#include "conf/conf.h"
#include "ipc/ipc.h"

/*
 * `submitctl auth-test` (C2): one login by an operator, shown backend by backend. It
 * asks the rules and the real chain, past breakers and cache, and is no login: it
 * is in no counter of failures and lets nobody in. Tried is a password, a token, or what
 * EXTERNAL would make of a certificate. Answers are rows of CTL_RES.
 */
#define AUTH_TESTS_MAX 16u /* at a time */

/*
 * Reads the authorities of clients' certificates, still with the supervisor's rights: what the
 * fronts have, for auth-test to judge by. -1 with a text in err.
 */
int auth_test_open(const struct conf *, char *err, size_t errsize);
/* -1: the message is bad. */
int auth_test_start(const struct conf *, struct ipc_peer *control, const struct ipc_auth_test *);
void auth_test_cancel(const struct ipc_peer *control, uint64_t request);
void auth_test_peer_down(const struct ipc_peer *control);

#endif
