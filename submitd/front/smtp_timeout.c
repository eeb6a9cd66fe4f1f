/* SPDX-License-Identifier: ISC */
/*
 * The deadlines of a session: one timer, set to the nearest of what the state, the
 * login and the whole session allow (P7). Runs in front. A client that stalls is
 * told 421 4.4.2 and leaves nothing behind.
 */
#include "base/ev.h"
#include "front/smtp_session.h"

#define COMMIT_TIMEOUT_MS (5 * 60 * 1000)
#define AUTH_MARGIN_MS (15 * 1000)

static int64_t
session_wait_ms(const struct smtp_session *s)
{
	const struct conf_limit *l = s->l->limit;
	const struct conf_auth_flow *flow = s->l->conf->flow_block;
	const struct conf_auth_guard *guard = s->front->conf->auth_guard;

	switch ((enum smtp_state)s->state) {
	case ST_NEW:
	case ST_TLS:
		return l->tls_timeout;
	case ST_AUTH:
		if (s->blocked)
			return (flow == NULL ? 60000 : flow->deadline) + guard->fail_delay +
			       guard->tarpit + AUTH_MARGIN_MS;
		return l->command_timeout;
	case ST_DATA:
	case ST_CHUNK:
		return l->data_timeout;
	case ST_COMMIT:
		return COMMIT_TIMEOUT_MS;
	case ST_START:
	case ST_READY:
	case ST_MAIL:
	case ST_RCPT:
	case ST_BDAT:
	case ST_CLOSED:
	case ST__MAX:
		break;
	}
	return l->command_timeout;
}

/* Time left of the whole session, or of what it has before it must be logged in. */
static int64_t
session_left_ms(const struct smtp_session *s)
{
	const struct conf_limit *l = s->l->limit;
	int64_t now = ev_now_ms(), left = s->started_ms + l->session_timeout - now;

	if (s->l->conf->require_auth && s->auth == NULL) {
		int64_t login = s->started_ms + l->login_timeout - now;

		if (login < left)
			left = login;
	}
	return left < 1 ? 1 : left;
}

void
smtp_session_arm(struct smtp_session *s)
{
	int64_t wait;

	if (s->state == ST_CLOSED)
		return;
	wait = session_wait_ms(s);
	if (s->state != ST_COMMIT) {
		int64_t left = session_left_ms(s);

		if (left < wait)
			wait = left;
	}
	io_deadline(s->io, wait);
}

void
smtp_session_timed_out(struct smtp_session *s)
{
	const struct conf_limit *l = s->l->limit;
	int64_t age = ev_now_ms() - s->started_ms + 1;
	const char *why = "timeout: no command came in time";

	if (s->state == ST_TLS || s->state == ST_NEW) {
		smtp_session_end(s, false);
		return;
	}
	if (s->blocked)
		why = "a part of this server did not answer in time; try again later";
	else if (age >= l->session_timeout)
		why = "timeout: the session took too long; connect again";
	else if (s->l->conf->require_auth && s->auth == NULL && age >= l->login_timeout)
		why = "timeout: no successful login in time";
	else if (s->state == ST_DATA || s->state == ST_CHUNK)
		why = "timeout: the message stopped coming";
	if (s->state == ST_COMMIT && s->tx != NULL && s->tx->offer != NULL)
		smtp_data_give_up(s);
	smtp_reply_close(s, s->blocked ? "4.3.0" : "4.4.2", why);
}
