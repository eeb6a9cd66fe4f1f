/* SPDX-License-Identifier: ISC */
/*
 * One AUTH command after the other: the SASL exchange, the delay of a no, the reply,
 * and the record of it (P3, A1). Whose credentials they are is found out in
 * auth_session_ask.c. Process auth, in the loop. Must never tell
 * a wrong name from a wrong password, by words or by time, and never let a client
 * shorten the wait for a no.
 */
#include "authbackends/auth_session_internal.h"

#include "authbackends/auth_report.h"
#include "authbackends/auth_setup.h"
#include "base/log.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096u
#define EXCHANGE_MS 3660000 /* longer than any timer of a front: it cancels first */

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
	free(s->cert_subject);
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
	struct ipc_auth_res m = {.sid = s->sid,
	    .more = 1,
	    .verdict = s->told ? V_PERM : V_TEMP, /* the front counts a no when it is told */
	    .challenge = challenge,
	    .code = 334};

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
	/*
	 * RFC 7628, 3.2.3: a token's no comes as a challenge. It is counted and recorded by now:
	 * whether the client answers, cancels or goes away changes nothing (A7).
	 */
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
	    .cert = s->sasl != NULL && auth_sasl_cred(s->sasl) == CRED_CERT ? s->cert_subject : "",
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

/* Only an explicit no about name and password counts (A7). */
static enum guard_outcome
outcome_of(const struct auth_session *s)
{
	if (s->verdict == V_OK)
		return GUARD_SUCCESS;
	if (s->code == 535)
		return s->by_rule ? GUARD_RULE : GUARD_FAILURE;
	return GUARD_NONE;
}

void
session_note(struct auth_session *s, enum guard_outcome outcome)
{
	char shown[AUTH_HIDDEN_TEXT];

	if (s->sasl != NULL)
		auth_guard_note(&s->guard, outcome,
		    auth_report_shown(s->conf, auth_sasl_login(s->sasl), s->name_known, shown));
}

/*
 * The end of an exchange: recorded now, answered now if it is a yes, else not before
 * fail_delay, and what the guard adds, have passed since the client's last octets.
 * The session is gone or waits for its timer when this returns.
 */
void
session_end(struct auth_session *s)
{
	int64_t delay = 0;

	ev_timer_clear(&s->timer);
	session_report(s);
	session_note(s, outcome_of(s));
	count(s);
	if (s->peer == NULL) {
		session_free(s);
		return;
	}
	if (s->code == 535 || s->verdict == V_TEMP)
		delay = s->conf->auth_guard->fail_delay;
	if (s->code == 535 || s->locked_out)
		delay += s->guard.delay_ms;
	/* asked_ms lost up to a millisecond: counted from the next one, nothing is early */
	if (delay > 0)
		s->reply_ms = s->asked_ms + 1 + delay;
	if (s->reply_ms < s->not_before_ms)
		s->reply_ms = s->not_before_ms;
	session_on_delay(s);
}

void
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

void
session_deny(struct auth_session *s, const char *reason)
{
	session_refuse(s, 535, "5.7.8", TEXT_DENIED, reason);
}

static void
session_on_idle(void *arg)
{
	struct auth_session *s = arg;

	session_refuse(s, 454, "4.7.0", AUTH_TEXT_TEMP, "the exchange took too long");
}

static enum auth_channel
session_channel(const struct auth_session *s)
{
	if (!s->tls)
		return CHANNEL_CLEAR;
	return s->run.check.cert_sha256[0] == '\0' ? CHANNEL_TLS : CHANNEL_CERT;
}

/* What the front says about the client's certificate; nonsense is none. */
static void
session_take_cert(struct auth_session *s, const struct ipc_auth_start *m)
{
	struct auth_check *c = &s->run.check;

	if (m->cert_sha256.n == 0 || tls_fingerprint_parse(m->cert_sha256, c->cert_sha256) == -1)
		return;
	s->cert_subject = span_dup(m->cert_subject);
	if (m->cert_emails.n < sizeof(c->cert_emails) && m->cert_emails.n > 0 &&
	    m->cert_emails.p[m->cert_emails.n - 1] == '\0')
		memcpy(c->cert_emails, m->cert_emails.p, m->cert_emails.n);
}

static void
session_no_mech(struct auth_session *s)
{
	struct buf list = BUF_INIT;

	auth_mechs_list(
	    auth_mechs_offered(s->listener, auth_setup_flow(s->listener), session_channel(s)),
	    &list);
	(void)str_printf(s->offered_text, sizeof(s->offered_text),
	    "Mechanism not available; offered are %s", buf_cstr(&list));
	buf_clear(&list);
	session_refuse(s, 504, "5.5.4", s->offered_text, auth_sasl_reason(s->sasl));
}

void
session_take(struct auth_session *s, enum sasl_outcome outcome)
{
	char entry[PASSWD_HASH_MAX + 1];

	switch (outcome) {
	case SASL_OUT_CHALLENGE:
		if (s->peer == NULL) { /* cancelled while the guard was asked */
			session_refuse(s, 454, "4.7.0", AUTH_TEXT_TEMP, "the client went away");
			return;
		}
		session_challenge(s, auth_sasl_challenge(s->sasl));
		ev_timer_set(&s->timer, EXCHANGE_MS, session_on_idle, s);
		return;
	case SASL_OUT_CREDENTIALS:
		session_ask(s);
		return;
	case SASL_OUT_NAME:
		if (session_find_keys(s, entry))
			session_take(s, auth_sasl_keys(s->sasl, entry));
		explicit_bzero(entry, sizeof(entry));
		return;
	case SASL_OUT_PROOF:
		session_ask_proof(s);
		return;
	case SASL_OUT_PROVEN:
		session_proven(s);
		return;
	case SASL_OUT_MALFORMED:
		session_refuse(
		    s, 501, "5.5.2", "Malformed authentication message", auth_sasl_reason(s->sasl));
		return;
	case SASL_OUT_REFUSED:
		/* of a name without keys, the reason was known before */
		session_deny(s, s->scram == V_PERM ? s->reason_text : auth_sasl_reason(s->sasl));
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
	if (stats.open >= AUTH_SESSIONS_MAX || auth_report_full(c, stats.open)) {
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
	session_take_cert(s, m);
	s->tls_version = span_dup(m->tls_version);
	s->tls_cipher = span_dup(m->tls_cipher);
	s->ou = s->backend = s->reason = "";
	s->scram = V_NEXT; /* no keys were looked for */
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
	s->sasl = auth_sasl_new(auth_mechs_offered(l, auth_setup_flow(l), session_channel(s)));
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

/* Nobody waits for its answer any more. */
static void
session_leave(struct auth_session *s)
{
	if (s->running) { /* the check ends and is recorded; the front may use the sid again */
		s->peer = NULL;
	} else if (s->proven && s->code == 0) { /* a password that was found right leaves a trace */
		s->peer = NULL;
		session_refuse(s, 454, "4.7.0", AUTH_TEXT_TEMP,
		    "the client proved to have the password and went away");
	} else {
		session_free(s);
	}
}

int
auth_session_cancel(struct ipc_peer *p, uint64_t sid)
{
	struct auth_session *s = find(p, sid);

	if (s != NULL) /* else our answer and the cancel crossed */
		session_leave(s);
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
			if (s->peer == p)
				session_leave(s);
		}
}

void
session_count_rule(struct auth_session *s)
{
	stats.by_rule++;
	s->by_rule = true;
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
