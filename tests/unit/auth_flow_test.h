/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_TESTS_UNIT_AUTH_FLOW_TEST_H
#define SUBMITD_TESTS_UNIT_AUTH_FLOW_TEST_H

/* What the tests of chains share: backends that do as they are told, and one walk. */

#include "authbackends/auth_flow.h"

#include "base/ev.h"
#include "base/list.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

/* What a backend of the table does: verdicts by letter, lower case at once, upper case on a worker.
 */
struct fake {
	char does; /* o ok, p deny, n unknown, t unavailable, A the same by an answer,
	            * H hangs for 500 ms */
	bool asked;
};

static inline void
nap(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
}

static inline enum verdict
verdict_of(char c)
{
	switch (c | 0x20) {
	case 'o':
		return V_OK;
	case 'p':
		return V_PERM;
	case 'n':
		return V_NEXT;
	default:
		return V_TEMP;
	}
}

static inline bool
fake_look(void *self, struct auth_check *c, enum verdict *v)
{
	struct fake *f = self;

	(void)c;
	f->asked = true;
	if (f->does < 'a')
		return false;
	*v = verdict_of(f->does);
	return true;
}

static inline enum verdict
fake_check(void *self, struct auth_check *c)
{
	struct fake *f = self;

	if (f->does == 'H') {
		nap(500);
		return V_OK; /* far too late: must count for nothing */
	}
	c->hashed = true;
	c->answered = f->does == 'A';
	return verdict_of(f->does);
}

static const struct authbackend knowing = {.name = "knowing",
    .knows_users = true,
    .creds = CRED_BIT(CRED_PASSWORD),
    .look = fake_look,
    .check = fake_check};
static const struct authbackend asking = {.name = "asking",
    .knows_users = false,
    .creds = CRED_BIT(CRED_PASSWORD),
    .look = fake_look,
    .check = fake_check};

static inline void
on_answer(struct auth_run *r, void *arg)
{
	(void)r;
	*(bool *)arg = true;
	ev_stop();
}

/* One walk with what a test put together; the verdict. */
static inline enum verdict
ask(struct auth_flow *flow, const char *login, const struct conf_ou *ou, const char **reason)
{
	static char text[AUTH_REASON_MAX];
	struct auth_run *r = xcallocarray(1, sizeof(*r));
	bool done = false;
	enum verdict v;

	(void)str_copy(r->check.login, sizeof(r->check.login), login);
	secret_set(&r->check.password, "secret", 6);
	r->flow = flow;
	r->ou = ou;
	r->fn = on_answer;
	r->arg = &done;
	auth_run_start(r);
	while (!done) {
		ev_restart();
		ev_run();
	}
	v = r->verdict;
	(void)str_copy(text, sizeof(text), r->check.reason);
	if (reason != NULL)
		*reason = text;
	auth_run_clear(r);
	free(r);
	return v;
}

static inline int
setup(void **state)
{
	(void)state;
	return ev_init();
}

static inline int
teardown(void **state)
{
	(void)state;
	ev_done();
	return 0;
}

#endif
