/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUTH_TEST_INTERNAL_H
#define SUBMITD_AUTH_TEST_INTERNAL_H

#include "authbackends/auth_flow.h"
#include "authbackends/auth_guard.h"
#include "authbackends/auth_test.h"
#include "base/list.h"

/* Between auth_test.c (the questions), auth_test_cert.c and auth_test_row.c (what is shown). */

struct auth_test {
	LIST_ENTRY(auth_test) link;
	struct ipc_peer *control;
	uint64_t request;
	const struct conf *conf;
	const struct conf_listener *listener;
	struct net_addr client;
	struct auth_guard
	    guard; /* A7: asked, so that a lock-out is seen, and never told anything */
	enum auth_guard_answer guarded;
	struct auth_run run;
	size_t shown; /* backends of the chain that have a row */
	/* CRED_CERT */
	struct tls_client_cert cert;
	const struct conf_tls *cert_tls; /* the block that would have asked for it */
	char cert_problem[128];          /* why it does not verify there; "" */
};
/* What follows from it: the reply, as auth_session.c gives it, and who it is. */
struct test_reply {
	unsigned code;
	const char *esc, *text, *reason;
	char principal[ADDR_TEXT];
};

/* auth_test_cert.c: NULL, or why it cannot be tried. Fills what cert_... says, and the check. */
const char *test_take_cert(struct auth_test *, struct span pem);
/* Whether that listener asks clients for certificates at all. */
bool test_asks_for_certs(const struct conf_listener *);

/* A member of the object that out holds; nothing where value is NULL or empty. */
void test_add_str(struct buf *out, const char *key, const char *value);
/* Takes json. status: of the last row. */
void test_send_row(
    struct ipc_peer *control, uint64_t request, struct buf *json, bool more, int status);
void test_send_error(struct ipc_peer *control, uint64_t request, int status, const char *text);
/* Rows of the backends up to position end that were passed over. */
void test_show_passed(struct auth_test *, size_t end, const char *otherwise);
/* The row of a backend that answered. */
void test_on_step(
    struct auth_run *, const struct auth_source *, enum verdict, int64_t ms, void *test);
void test_begin_result(const struct auth_test *, struct buf *out, const struct test_reply *);
void test_add_identity(const struct auth_test *, struct buf *out, const struct test_reply *);

#endif
