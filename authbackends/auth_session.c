/* SPDX-License-Identifier: ISC */
/*
 * One AUTH command after the other: the SASL exchange, the policy's rules before
 * any backend is asked (S14, S15), the chain of backends, the delay of a no, the
 * reply, and the record of it (P3, A1). Process auth, in the loop. Must never tell
 * a wrong name from a wrong password, by words or by time, and never let a client
 * shorten the wait for a no.
 */
#include "authbackends/auth_session.h"

#include "authbackends/auth_guard.h"
#include "authbackends/auth_report.h"
#include "authbackends/auth_rule.h"
#include "authbackends/auth_sasl.h"
#include "authbackends/auth_setup.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "policy/policy.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096u
#define EXCHANGE_MS 3660000 /* longer than any timer of a front: it cancels first */

#define TEXT_DENIED POLICY_AUTH_FAILED /* as explain prints it */

struct auth_session {
	LIST_ENTRY(auth_session) link;
	struct ipc_peer *peer; /* NULL: cancelled, lives for the record only */
	uint64_t sid;
	const struct conf *conf;
	const struct conf_listener *listener;
	struct net_addr client;
	char *helo, *tls_version, *tls_cipher;
	bool tls;
	struct auth_sasl *sasl;
	struct auth_guard guard;
	struct auth_run run;
	bool running; /* the guard or the chain is asked */
	bool locked_out, by_rule;
	bool told; /* recorded and refused by a challenge: the client's answer gets the 535 */
	int64_t asked_ms; /* when the last octets came: a no is counted from here */
	int64_t reply_ms; /* not to be answered before */
	struct ev_timer timer;
	/* the answer */
	enum verdict verdict;
	uint16_t code;
	const char *esc, *text; /* static, or in status */
	const char *reason;
	char reason_text[AUTH_REASON_MAX];
	struct status status;
	char offered_text[160];
	char principal[ADDR_TEXT];
	const char *ou, *backend;
	bool name_known;
};

static LIST_HEAD(, auth_session) buckets[BUCKETS];
static struct auth_session_stats stats;
static void (*on_end)(void);

static size_t
bucket_of(const struct ipc_peer *p, uint64_t sid)
{
	uint64_t h = sid * UINT64_C(0x9e3779b97f4a7c15) + ipc_peer_instance(p);

	return (size_t)(h >> 40) % BUCKETS;
}

static struct auth_session *
find(const struct ipc_peer *p, uint64_t sid)
{
	struct auth_session *s;

	LIST_FOREACH(s, &buckets[bucket_of(p, sid)], link)
	if (s->peer == p && s->sid == sid)
		return s;
	return NULL;
}

static void
session_free(struct auth_session *s)
{
	LIST_REMOVE(s, link);
	ev_timer_clear(&s->timer);
	auth_guard_clear(&s->guard);
	auth_run_clear(&s->run);
	auth_sasl_free(s->sasl);
	status_clear(&s->status);
	free(s->helo);
	free(s->tls_version);
	free(s->tls_cipher);
	free(s);
	stats.open--;
	if (on_end != NULL)
		on_end();
}

static void
session_reply(struct auth_session *s)
{
	bool ok = s->verdict == V_OK;
	const char *login = s->sasl == NULL ? "" : auth_sasl_login(s->sasl);
	struct ipc_auth_res m = {
	    .sid = s->sid,
	    .verdict = (uint8_t)s->verdict,
	    .code = s->code,
	    .esc = span_of(s->esc),
	    .text = span_of(s->text),
	    .login = span_of(!ok                ? ""
			     : login[0] == '\0' ? s->principal
						: login),
	    .principal = span_of(ok ? s->principal : ""),
	    .ou = span_of(ok ? s->ou : ""),
	    .backend = span_of(ok ? s->backend : ""),
	    .mech = span_of(s->sasl == NULL ? "" : auth_sasl_mech(s->sasl)),
	    .own = ok ? buf_span(&s->run.check.own) : (struct span){NULL, 0},
	};

	(void)ipc_send_auth_res(s->peer, -1, &m);
}

static void
session_challenge(struct auth_session *s, struct span challenge)
{
	struct ipc_auth_res m = {.sid = s->sid, .more = 1, .challenge = challenge, .code = 334};

	(void)ipc_send_auth_res(s->peer, -1, &m);
}

/* Nothing is left but the reply. */
static void
session_on_answered(void *arg)
{
	struct auth_session *s = arg;

	session_reply(s);
	session_free(s);
}

static void
session_on_delay(void *arg)
{
	struct auth_session *s = arg;
	int64_t wait = s->reply_ms - auth_clock_ms();

	if (wait > 0) { /* the loop's clock is coarse: timers may be early */
		ev_timer_set(&s->timer, wait, session_on_delay, s);
		return;
	}
	if (s->code == 535 && s->sasl != NULL && auth_sasl_refusal(s->sasl).n > 0) {
		s->told = true;
		session_challenge(s, auth_sasl_refusal(s->sasl));
		ev_timer_set(&s->timer, EXCHANGE_MS, session_on_answered, s);
		return;
	}
	session_on_answered(s);
}

static void
session_report(struct auth_session *s)
{
	const struct auth_report r = {
	    .sid = s->sid,
	    .client = s->client,
	    .listener = s->listener->title,
	    .helo = s->helo,
	    .tls_version = s->tls_version,
	    .tls_cipher = s->tls_cipher,
	    .mech = s->sasl == NULL ? "" : auth_sasl_mech(s->sasl),
	    .login = s->sasl == NULL ? "" : auth_sasl_login(s->sasl),
	    .name_known = s->name_known,
	    .authzid = s->sasl == NULL ? "" : auth_sasl_authzid(s->sasl),
	    .principal = s->verdict == V_OK ? s->principal : "",
	    .ou = s->ou,
	    .backend = s->backend,
	    .reason = s->reason,
	    .ms = (uint32_t)(auth_clock_ms() - s->asked_ms),
	    .verdict = s->verdict,
	};

	auth_report_send(s->conf, &r);
}

static void
count(const struct auth_session *s)
{
	if (s->verdict == V_OK)
		stats.accepted++;
	else if (s->verdict == V_TEMP)
		stats.temporary++;
	else if (s->code == 535)
		stats.denied++;
	else
		stats.malformed++;
}

/* Tells the guard what came out: only an explicit no about name and password counts (A7). */
static void
session_note(struct auth_session *s)
{
	enum guard_outcome outcome = GUARD_NONE;
	char shown[AUTH_HIDDEN_TEXT];

	if (s->verdict == V_OK)
		outcome = GUARD_SUCCESS;
	else if (s->code == 535)
		outcome = s->by_rule ? GUARD_RULE : GUARD_FAILURE;
	if (s->sasl != NULL)
		auth_guard_note(&s->guard, outcome,
		    auth_report_shown(s->conf, auth_sasl_login(s->sasl), s->name_known, shown));
}

/*
 * The end of an exchange: recorded now, answered now if it is a yes, else not before
 * fail_delay, and what the guard adds, have passed since the client's last octets.
 * The session is gone or waits for its timer when this returns.
 */
static void
session_end(struct auth_session *s)
{
	ev_timer_clear(&s->timer);
	session_report(s);
	session_note(s);
	count(s);
	if (s->peer == NULL) {
		session_free(s);
		return;
	}
	if (s->code == 535 || s->verdict == V_TEMP)
		s->reply_ms = s->asked_ms + s->conf->auth_guard->fail_delay;
	if (s->code == 535 || s->locked_out)
		s->reply_ms += s->guard.delay_ms;
	session_on_delay(s);
}

static void
session_refuse(
    struct auth_session *s, unsigned code, const char *esc, const char *text, const char *reason)
{
	s->verdict = code / 100 == 4 ? V_TEMP : V_PERM;
	s->code = (uint16_t)code;
	s->esc = esc;
	s->text = text;
	s->reason = reason;
	session_end(s);
}

static void
session_deny(struct auth_session *s, const char *reason)
{
	session_refuse(s, 535, "5.7.8", TEXT_DENIED, reason);
}

/*
 * S1, S14, S15, C4: before any backend is asked, where the client claims a name; else once
 * it is known. True: refused, and answered.
 */
static bool
session_refused_by_rule(struct auth_session *s, const char *login)
{
	const struct facts f = {
	    .stage = AT_AUTH,
	    .now_ms = ev_wall_ms(),
	    .listener = s->listener->title,
	    .client = s->client,
	    .helo = s->helo,
	    .tls = s->tls,
	    .tls_version = s->tls_version,
	    .tls_cipher = s->tls_cipher,
	    .login = login[0] == '\0' ? NULL : login,
	    .mech = auth_sasl_mech(s->sasl),
	};

	if (!auth_rule_refuses(s->conf, &f, &s->status, s->reason_text))
		return false;
	stats.by_rule++;
	s->by_rule = true;
	if (s->status.code == 538 || s->status.code == 503)
		session_refuse(s, s->status.code, s->status.code == 538 ? "5.7.11" : "5.5.1",
		    s->status.text, s->reason_text);
	else
		session_deny(s, s->reason_text);
	return true;
}

/*
 * Who it is: the backend's own spelling, else the login. A token says by itself whose it
 * is: its backend must tell, and a name that the client claims must be that one (RFC 7628,
 * 3.1). V_OK, else why not in *why.
 */
static enum verdict
session_principal(struct auth_session *s, const char **why)
{
	const char *login = auth_sasl_login(s->sasl), *name = s->run.check.name;
	bool token = s->run.check.cred == CRED_TOKEN;
	char claimed[ADDR_TEXT];

	if (token && name[0] == '\0') {
		*why = "the backend does not say whose token it is";
		return V_TEMP;
	}
	if (policy_principal(s->conf, s->listener, name[0] == '\0' ? login : name, s->principal) ==
	    -1) {
		*why = "the name has no form as an address";
		return V_PERM;
	}
	if (token && login[0] != '\0' &&
	    (policy_principal(s->conf, s->listener, login, claimed) == -1 ||
		!str_eq_nocase(claimed, s->principal))) {
		*why = "the token is another user's";
		return V_PERM;
	}
	const struct conf_ou *ou = policy_principal_ou(s->conf, s->principal);
	s->ou = ou == NULL ? "" : ou->title;
	return V_OK;
}

static void
session_accept(struct auth_session *s)
{
	const char *why = "";

	switch (session_principal(s, &why)) {
	case V_OK:
		break;
	case V_PERM:
	case V_NEXT:
		session_deny(s, why);
		return;
	case V_TEMP:
	case V__MAX:
		session_refuse(s, 454, "4.7.0", AUTH_TEXT_TEMP, why);
		return;
	}
	/* whom the client did not name is known only now: the rules have not seen him */
	if (auth_sasl_login(s->sasl)[0] == '\0') {
		if (session_refused_by_rule(s, s->principal))
			return;
		if (!auth_setup_serves(s->run.source, s->principal)) {
			session_deny(s, "the backend is kept for names of other units");
			return;
		}
	}
	s->verdict = V_OK;
	s->code = 235;
	s->esc = "2.7.0";
	s->text = AUTH_TEXT_OK;
	s->reason = "";
	session_end(s);
}

static void
session_on_answer(struct auth_run *r, void *arg)
{
	struct auth_session *s = arg;

	s->running = false;
	s->name_known = r->user_known;
	s->backend = r->source == NULL ? "" : r->source->title;
	(void)str_copy(s->reason_text, sizeof(s->reason_text), r->check.reason);
	switch (r->verdict) {
	case V_OK:
		session_accept(s);
		return;
	case V_PERM:
	case V_NEXT:
		session_deny(s, s->reason_text);
		return;
	case V_TEMP:
	case V__MAX:
		break;
	}
	session_refuse(s, 454, "4.7.0", AUTH_TEXT_TEMP, s->reason_text);
}

/*
 * Who is locked out is told "later", not "wrong": his program then tries again by itself instead
 * of asking him for another password. No backend hears of him.
 */
static void
session_on_guard(enum auth_guard_answer answer, void *arg)
{
	struct auth_session *s = arg;
	const struct auth_flow *f = auth_setup_flow(s->listener);
	struct auth_check *c = &s->run.check;
	struct secret *password = auth_sasl_password(s->sasl);

	s->running = false;
	if (answer != AUTH_GUARD_GO) {
		s->locked_out = answer == AUTH_GUARD_LOCKED;
		session_refuse(s, 454, "4.7.0", AUTH_TEXT_TEMP, s->guard.reason);
		return;
	}
	if (session_refused_by_rule(s, auth_sasl_login(s->sasl)))
		return;
	if (f == NULL) {
		session_refuse(s, 454, "4.7.0", AUTH_TEXT_TEMP, "the listener has no auth_flow");
		return;
	}
	c->cred = auth_sasl_cred(s->sasl);
	c->password = *password; /* moved */
	*password = (struct secret){NULL, 0};
	c->client = s->client;
	s->run.flow = f;
	s->run.fn = session_on_answer;
	s->run.arg = s;
	s->running = true;
	auth_run_start(&s->run);
}

/* Name and password are there, or a token. */
static void
session_ask(struct auth_session *s)
{
	const struct auth_check *c = &s->run.check;
	const struct secret *password = auth_sasl_password(s->sasl);
	const struct span guess = {password->data, password->len};

	auth_setup_name(s->listener, auth_sasl_login(s->sasl), &s->run);
	s->running = true;
	auth_guard_ask(&s->guard, s->conf, &s->client,
	    c->address[0] != '\0' ? c->address : c->login, &guess, session_on_guard, s);
}

static void
session_on_idle(void *arg)
{
	struct auth_session *s = arg;

	session_refuse(s, 454, "4.7.0", AUTH_TEXT_TEMP, "the exchange took too long");
}

static void
session_no_mech(struct auth_session *s)
{
	struct buf list = BUF_INIT;

	auth_mechs_list(
	    auth_mechs_offered(s->listener, auth_setup_flow(s->listener), s->tls), &list);
	(void)str_printf(s->offered_text, sizeof(s->offered_text),
	    "Mechanism not available; offered are %s", buf_cstr(&list));
	buf_clear(&list);
	session_refuse(s, 504, "5.5.4", s->offered_text, auth_sasl_reason(s->sasl));
}

static void
session_take(struct auth_session *s, enum sasl_outcome outcome)
{
	switch (outcome) {
	case SASL_OUT_CHALLENGE:
		session_challenge(s, auth_sasl_challenge(s->sasl));
		ev_timer_set(&s->timer, EXCHANGE_MS, session_on_idle, s);
		return;
	case SASL_OUT_CREDENTIALS:
		session_ask(s);
		return;
	case SASL_OUT_MALFORMED:
		session_refuse(
		    s, 501, "5.5.2", "Malformed authentication message", auth_sasl_reason(s->sasl));
		return;
	case SASL_OUT_REFUSED:
		session_deny(s, auth_sasl_reason(s->sasl));
		return;
	case SASL_OUT_NO_MECH:
		session_no_mech(s);
		return;
	case SASL_OUT_FAILED:
		break;
	}
	session_refuse(s, 454, "4.7.0", AUTH_TEXT_TEMP, auth_sasl_reason(s->sasl));
}

/* A reply without a session: none could be made, or it is gone. */
static void
reply_temp(struct ipc_peer *p, uint64_t sid)
{
	struct ipc_auth_res m = {.sid = sid,
	    .verdict = V_TEMP,
	    .code = 454,
	    .esc = span_of("4.7.0"),
	    .text = span_of(AUTH_TEXT_TEMP)};

	(void)ipc_send_auth_res(p, -1, &m);
}

int
auth_session_start(const struct conf *c, struct ipc_peer *p, const struct ipc_auth_start *m)
{
	const struct conf_listener *l = auth_setup_listener(c, m->listener);
	struct auth_session *s;

	if (l == NULL || find(p, m->sid) != NULL)
		return -1;
	if (stats.open >= AUTH_SESSIONS_MAX) {
		reply_temp(p, m->sid);
		return 0;
	}
	s = xcallocarray(1, sizeof(*s));
	s->peer = p;
	s->sid = m->sid;
	s->conf = c;
	s->listener = l;
	s->client = m->client;
	s->helo = span_dup(m->helo);
	s->tls = m->tls != 0;
	s->tls_version = span_dup(m->tls_version);
	s->tls_cipher = span_dup(m->tls_cipher);
	s->ou = s->backend = s->reason = "";
	s->asked_ms = auth_clock_ms();
	LIST_INSERT_HEAD(&buckets[bucket_of(p, m->sid)], s, link);
	stats.open++;
	stats.started++;
	/* S1: the front offers and takes nothing here; believed by no one but checked by both */
	if (l->auth == LISTENER_AUTH_OFF) {
		session_refuse(s, 503, "5.5.1", "AUTH is not available here", "auth = off");
		return 0;
	}
	if (l->auth == LISTENER_AUTH_ENCRYPTED && !s->tls) {
		session_refuse(s, 538, "5.7.11", "Start TLS first, then AUTH", "no TLS");
		return 0;
	}
	s->sasl = auth_sasl_new(auth_mechs_offered(l, auth_setup_flow(l), s->tls));
	session_take(
	    s, auth_sasl_start(s->sasl, m->mech, m->has_initial != 0 ? &m->initial : NULL));
	return 0;
}

int
auth_session_step(struct ipc_peer *p, const struct ipc_auth_step *m)
{
	struct auth_session *s = find(p, m->sid);

	if (s == NULL) { /* begun with a process that died: the client may begin anew */
		reply_temp(p, m->sid);
		return 0;
	}
	if (s->told) {
		session_on_answered(s);
		return 0;
	}
	if (s->running || s->sasl == NULL || s->code != 0)
		return -1;
	s->asked_ms = auth_clock_ms();
	ev_timer_clear(&s->timer);
	session_take(s, auth_sasl_step(s->sasl, m->response));
	return 0;
}

int
auth_session_cancel(struct ipc_peer *p, uint64_t sid)
{
	struct auth_session *s = find(p, sid);

	if (s == NULL)
		return 0; /* our answer and the cancel crossed */
	if (s->running) {
		/* The check ends and is recorded; the front may use the sid again. */
		s->peer = NULL;
		return 0;
	}
	session_free(s);
	return 0;
}

void
auth_session_peer_down(struct ipc_peer *p)
{
	struct auth_session *s, *next;
	size_t i;

	for (i = 0; i < BUCKETS; i++)
		for (s = LIST_FIRST(&buckets[i]); s != NULL; s = next) {
			next = LIST_NEXT(s, link);
			if (s->peer != p)
				continue;
			if (s->running)
				s->peer = NULL;
			else
				session_free(s);
		}
}

const struct auth_session_stats *
auth_session_stats(void)
{
	return &stats;
}

void
auth_session_on_end(void (*fn)(void))
{
	on_end = fn;
}
