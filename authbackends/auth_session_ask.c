/* SPDX-License-Identifier: ISC */
/*
 * Whose credentials they are: the policy's rules before any backend is asked (S14,
 * S15), the chain of backends or the keys of SCRAM, and the principal that comes of it.
 * Process auth, in the loop. Must never tell a wrong name from a wrong password, and
 * never make a user of what no backend said.
 */
#include "authbackends/auth_session_internal.h"

#include "authbackends/auth_principal.h"
#include "authbackends/auth_report.h"
#include "authbackends/auth_rule.h"
#include "authbackends/auth_scram.h"
#include "authbackends/auth_setup.h"
#include "base/enc.h"
#include "base/str.h"

#include <string.h>

/* S1, S3 to S6, S14, S15, C4: whether a rule refuses that name; then status and reason_text say
 * why. */
static bool
rule_refuses(struct auth_session *s, const char *login)
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
	session_count_rule(s);
	return true;
}

/*
 * The rule's own reply is for those who may not use AUTH at all, and what could not be found
 * out is no "no"; else nothing is told (P3).
 */
static bool
rule_is_open(const struct auth_session *s)
{
	return s->status.verdict == V_TEMP || s->status.code == 538 || s->status.code == 503;
}

static void
session_refuse_by_rule(struct auth_session *s)
{
	if (s->status.verdict == V_TEMP)
		session_refuse(s, 454, "4.7.0", AUTH_TEXT_TEMP, s->reason_text);
	else if (rule_is_open(s))
		session_refuse(s, s->status.code, s->status.code == 538 ? "5.7.11" : "5.5.1",
		    s->status.text, s->reason_text);
	else
		session_deny(s, s->reason_text);
}

/* He has proved who he is; whether he may come in as that. False: no, and the exchange is over. */
static bool
session_is_welcome(struct auth_session *s)
{
	const struct conf_ou *ou;
	const char *why = "";

	switch (auth_principal(s->conf, s->listener, &s->run.check, s->principal, &why)) {
	case V_OK:
		ou = policy_principal_ou(s->conf, s->principal);
		s->ou = ou == NULL ? "" : ou->title;
		break;
	case V_PERM:
	case V_NEXT:
		session_deny(s, why);
		return false;
	case V_TEMP:
	case V__MAX:
		session_refuse(s, 454, "4.7.0", AUTH_TEXT_TEMP, why);
		return false;
	}
	/*
	 * Whom the client did not name, or the backend calls otherwise, is known only now: the
	 * rules have not seen him, and the unit may be another one (S14, S16).
	 */
	if (!str_eq_nocase(s->principal, s->run.check.address)) {
		if (rule_refuses(s, s->principal)) {
			session_refuse_by_rule(s);
			return false;
		}
		if (s->run.source != NULL && !auth_setup_serves(s->run.source, s->principal)) {
			session_deny(s, "the backend is kept for names of other units");
			return false;
		}
	}
	if (s->run.source != NULL)
		auth_setup_trim_own(s->run.source, &s->run.check.own);
	return true;
}

static void
session_accept(struct auth_session *s)
{
	s->verdict = V_OK;
	s->code = 235;
	s->esc = "2.7.0";
	s->text = AUTH_TEXT_OK;
	s->reason = "";
	session_end(s);
}

/* Reasons live as long as the session; the walk's own text does not. */
static void
session_note_walk(struct auth_session *s)
{
	s->name_known = s->run.user_known;
	s->backend = s->run.source == NULL ? "" : s->run.source->title;
	(void)str_copy(s->reason_text, sizeof(s->reason_text), s->run.check.reason);
}

/* P3: a no for which no backend was asked is told when one that was asked would have said so. */
static void
session_wait_pace(struct auth_session *s)
{
	const struct auth_pace *pace = auth_setup_pace(s->listener, auth_sasl_cred(s->sasl));
	uint64_t random;

	random_bytes(&random, sizeof(random));
	if (pace != NULL)
		s->not_before_ms = auth_clock_ms() + auth_pace_pick(pace, random);
}

static void
session_on_answer(struct auth_run *r, void *arg)
{
	struct auth_session *s = arg;

	s->running = false;
	session_note_walk(s);
	switch (r->verdict) {
	case V_OK:
		if (session_is_welcome(s))
			session_accept(s);
		return;
	case V_PERM:
	case V_NEXT:
		if (r->asked)
			auth_pace_add(auth_setup_pace(s->listener, r->check.cred), r->ms);
		else
			session_wait_pace(s);
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
static bool
session_may_go(struct auth_session *s, enum auth_guard_answer answer)
{
	s->running = false;
	if (answer == AUTH_GUARD_GO)
		return true;
	s->locked_out = answer == AUTH_GUARD_LOCKED;
	session_refuse(s, 454, "4.7.0", AUTH_TEXT_TEMP, s->guard.reason);
	return false;
}

static void
session_on_guard(enum auth_guard_answer answer, void *arg)
{
	struct auth_session *s = arg;
	const struct auth_flow *f = auth_setup_flow(s->listener);
	struct auth_check *c = &s->run.check;
	struct secret *password = auth_sasl_password(s->sasl);

	if (!session_may_go(s, answer))
		return;
	if (rule_refuses(s, auth_sasl_login(s->sasl))) {
		if (!rule_is_open(s))
			session_wait_pace(s);
		session_refuse_by_rule(s);
		return;
	}
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
void
session_ask(struct auth_session *s)
{
	const struct auth_check *c = &s->run.check;
	const struct secret *password = auth_sasl_password(s->sasl);
	struct span guess = {password->data, password->len};

	if (auth_sasl_cred(s->sasl) == CRED_CERT)
		guess = span_of(c->cert_sha256);
	auth_setup_name(s->listener, auth_sasl_login(s->sasl), &s->run);
	s->running = true;
	auth_guard_ask(&s->guard, s->conf, &s->client,
	    c->address[0] != '\0' ? c->address : c->login, &guess, session_on_guard, s);
}

/* All names under which a user of the flow would be found have one salt: so has this name. */
static void
session_fake_keys(
    const struct auth_session *s, const struct auth_flow *f, char entry[PASSWD_HASH_MAX + 1])
{
	const struct auth_check *c = &s->run.check;
	const char *name = c->address[0] == '\0' ? c->login : c->address;
	char parent[ADDR_TEXT];

	if (auth_scram_by_alias(f) &&
	    conf_alias_address(s->conf, name, parent, sizeof(parent)) == 0)
		name = parent;
	auth_scram_fake(name, auth_scram_like(f), entry);
}

bool
session_find_keys(struct auth_session *s, char entry[PASSWD_HASH_MAX + 1])
{
	const struct auth_flow *f = auth_setup_flow(s->listener);
	struct auth_check *c = &s->run.check;

	s->run.flow = f;
	auth_setup_name(s->listener, auth_sasl_login(s->sasl), &s->run);
	c->client = s->client;
	if (rule_refuses(s, auth_sasl_login(s->sasl))) {
		if (rule_is_open(s)) {
			session_refuse_by_rule(s);
			return false;
		}
		s->scram = V_PERM; /* no backend is asked, and the client learns it at the end */
	} else {
		s->scram = auth_scram_find(&s->run);
		session_note_walk(s);
	}
	if (s->scram == V_OK) {
		(void)str_copy(entry, PASSWD_HASH_MAX + 1, c->hash);
		explicit_bzero(c->hash, sizeof(c->hash));
		return true;
	}
	if (s->scram == V_TEMP) {
		session_refuse(s, 454, "4.7.0", AUTH_TEXT_TEMP, "the keys cannot be had now");
		return false;
	}
	s->scram = V_PERM;
	session_fake_keys(s, f, entry);
	return true;
}

static void
session_on_guard_proof(enum auth_guard_answer answer, void *arg)
{
	struct auth_session *s = arg;

	enum sasl_outcome outcome;

	if (!session_may_go(s, answer))
		return;
	outcome = auth_sasl_proof(s->sasl);
	if (s->scram == V_OK)
		auth_scram_count(&s->run, outcome == SASL_OUT_CHALLENGE);
	if (outcome == SASL_OUT_CHALLENGE) {
		/*
		 * RFC 5802, 3: the proof decides, what follows is the server's own, which the
		 * client may take or leave. So all is decided now: whoever stops here holds up
		 * nobody behind him in the guard, and whoever may not come in is not told that the
		 * password was right.
		 */
		if (s->scram != V_OK) {
			session_deny(s, s->reason_text);
			return;
		}
		if (!session_is_welcome(s))
			return;
		s->proven = true;
		session_note(s, GUARD_SUCCESS);
	}
	session_take(s, outcome);
}

/*
 * Not before: whoever only asks for salt and iterations, and then cancels or stays silent, has
 * guessed nothing (RFC 5802, 3: nothing of the password is in the server's first message), they
 * are made up where a user has none, and no hash is computed for them. So it is no attempt, holds
 * up nobody, and counts at the front for max_errors only. The proof is what can be wrong.
 */
void
session_ask_proof(struct auth_session *s)
{
	const struct auth_check *c = &s->run.check;

	s->running = true;
	auth_guard_ask(&s->guard, s->conf, &s->client,
	    c->address[0] != '\0' ? c->address : c->login, NULL, session_on_guard_proof, s);
}

void
session_proven(struct auth_session *s)
{
	if (s->proven)
		session_accept(s);
	else
		session_deny(s, s->reason_text);
}
