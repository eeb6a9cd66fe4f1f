/* SPDX-License-Identifier: ISC */
/*
 * auth-test: asks the rules, the guard and the chain of a listener for an operator, and says
 * what would follow; what each backend said is shown in auth_test_row.c. Process auth, in the
 * loop. Must never count as a login.
 */
#include "authbackends/auth_test_internal.h"

#include "authbackends/auth_mechs.h"
#include "authbackends/auth_principal.h"
#include "authbackends/auth_rule.h"
#include "authbackends/auth_session.h"
#include "authbackends/auth_setup.h"
#include "authbackends/sasl_oauth.h"
#include "authbackends/sasl_precheck.h"
#include "base/ev.h"
#include "base/list.h"
#include "base/saslprep.h"
#include "base/str.h"
#include "policy/policy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static LIST_HEAD(, auth_test) tests = LIST_HEAD_INITIALIZER(tests);
static unsigned n_tests;

static void
test_free(struct auth_test *t)
{
	LIST_REMOVE(t, link);
	n_tests--;
	auth_guard_clear(&t->guard);
	auth_run_clear(&t->run);
	free(t);
}

/* The first mechanism that is offered there and carries what is tried; NONE: there is none. */
static enum auth_mech
mech_for(const struct conf_listener *l, enum auth_cred cred)
{
	unsigned set = auth_mechs_offered(l, auth_setup_flow(l), CHANNEL_CERT);

	for (unsigned m = MECH_NONE + 1; m < MECH__MAX; m++)
		if ((set & MECH_BIT(m)) != 0 && auth_mech_cred((enum auth_mech)m) == cred)
			return cred == CRED_CERT && !test_asks_for_certs(l) ? MECH_NONE
			                                                    : (enum auth_mech)m;
	return MECH_NONE;
}

static void
fill_facts(const struct auth_test *t, const char *login, struct facts *f)
{
	bool tls = t->listener->tls != LISTENER_TLS_OFF;

	*f = (struct facts){
	    .stage = AT_AUTH,
	    .now_ms = ev_wall_ms(),
	    .listener = t->listener->title,
	    .client = t->client,
	    .helo = "",
	    .tls = tls,
	    .tls_version = tls ? "TLSv1.3" : "",
	    .tls_cipher = "",
	    .login = login[0] == '\0' ? NULL : login,
	    .mech = auth_mech_name(mech_for(t->listener, t->run.check.cred)),
	};
}

/* A yes for whom the backend calls otherwise than the operator did: as auth_session_ask.c. */
static void
judge_principal(struct auth_test *t, struct test_reply *p, char why[AUTH_REASON_MAX])
{
	struct status status;
	struct facts f;

	if (t->run.source != NULL)
		auth_setup_trim_own(t->run.source, &t->run.check.own);
	if (str_eq_nocase(p->principal, t->run.check.address))
		return;
	memset(&status, 0, sizeof(status));
	fill_facts(t, p->principal, &f);
	if (auth_rule_refuses(t->conf, &f, &status, why)) {
		p->code = status.verdict == V_TEMP ? 454 : 535;
		p->reason = why;
	} else if (t->run.source != NULL && !auth_setup_serves(t->run.source, p->principal)) {
		p->code = 535;
		p->reason = "the backend is kept for names of other units";
	}
	status_clear(&status);
}

static void
test_on_answer(struct auth_run *r, void *arg)
{
	struct auth_test *t = arg;
	struct buf out = BUF_INIT;
	struct test_reply p = {
	    .code = 454, .esc = "4.7.0", .text = AUTH_TEXT_TEMP, .reason = r->check.reason};
	enum verdict v = r->verdict;
	char why[AUTH_REASON_MAX];

	test_show_passed(t, r->flow->n, "the chain ended before it");
	if (v == V_OK)
		v = auth_principal(t->conf, t->listener, &r->check, p.principal, &p.reason);
	if (v == V_OK) {
		p.code = 235;
		p.reason = "";
		judge_principal(t, &p, why);
	} else if (v == V_PERM) {
		p.code = 535;
	}
	if (p.code == 535) {
		p.esc = "5.7.8";
		p.text = POLICY_AUTH_FAILED;
	} else if (p.code == 235) {
		p.esc = "2.7.0";
		p.text = AUTH_TEXT_OK;
	}
	if (t->guarded != AUTH_GUARD_GO) /* no backend would have been asked */
		p = (struct test_reply){
		    .code = 454, .esc = "4.7.0", .text = AUTH_TEXT_TEMP, .reason = t->guard.reason};
	test_begin_result(t, &out, &p);
	test_add_str(&out, "guard", t->guarded == AUTH_GUARD_GO ? "lets through" : "refuses");
	test_add_str(&out, "decided_by", r->source == NULL ? "" : r->source->title);
	buf_addf(
	    &out, ",\"name_known\":%s,\"ms\":%" PRId64, r->user_known ? "true" : "false", r->ms);
	if (p.code == 235)
		test_add_identity(t, &out, &p);
	buf_add_byte(&out, '}');
	test_send_row(t->control, t->request, &out, false, p.code == 235 ? 0 : 1);
	test_free(t);
}

/* ---- before the chain
 * ---------------------------------------------------------------------------- */

/* S14, C4 and their like, as a login over TLS would meet them. True: refused, and answered. */
static bool
refused_by_rule(struct auth_test *t)
{
	struct facts f;
	struct policy_result *r = xcallocarray(1, sizeof(*r));
	struct test_reply p = {.code = 535, .esc = "5.7.8", .text = POLICY_AUTH_FAILED};
	struct buf out = BUF_INIT;
	bool refused;

	fill_facts(t, t->run.check.login, &f);
	policy_decide_noted(t->conf, &f, r);
	refused = r->verdict != V_OK && r->verdict != V_NEXT;
	if (refused && r->rule != NULL && r->n_steps > 0) {
		const struct policy_step *step = &r->steps[r->n_steps - 1];

		if (r->verdict == V_TEMP) {
			p.code = 454;
			p.esc = "4.7.0";
			p.text = AUTH_TEXT_TEMP;
		} else if (r->status.code == 538 || r->status.code == 503) {
			p.code = r->status.code;
			p.esc = r->status.code == 538 ? "5.7.11" : "5.5.1";
			p.text = r->status.text;
		}
		test_show_passed(t, t->run.flow->n, "a rule refuses the name before");
		p.reason = r->verdict == V_TEMP
		               ? "a rule cannot be used on this name"
		               : "a rule refuses the name before any backend is asked";
		test_begin_result(t, &out, &p);
		test_add_str(&out, "rule", r->rule->id);
		test_add_str(&out, "rule_name", r->rule->name);
		test_add_str(&out, "rule_note", step->note);
		if (step->where.line != 0) {
			test_add_str(&out, "rule_file", step->where.file);
			buf_addf(&out, ",\"rule_line\":%u", step->where.line);
		}
		buf_add_byte(&out, '}');
		test_send_row(t->control, t->request, &out, false, 1);
	}
	policy_result_clear(r);
	free(r);
	return refused;
}

/* The one that is named, or any where it makes no difference. NULL with the text. */
static const struct conf_listener *
choose_listener(const struct conf *c, struct span title, enum auth_cred cred, const char **why)
{
	static const char *const no_such[CRED__MAX] = {[CRED_PASSWORD] = "AUTH",
	    [CRED_TOKEN] = "tokens: no backend of its flow judges them, or auth_mechanisms leaves "
			   "them out",
	    [CRED_CERT] = "certificates: EXTERNAL is not offered there, or none of its tls blocks "
			  "has client_ca"};
	static char named[400]; /* what *why points to, until the next call */
	const struct conf_listener *found = NULL;
	size_t i;

	for (i = 0; i < c->n_listener; i++) {
		const struct conf_listener *l = &c->listener_blocks[i];

		if (title.n != 0 && !span_eq(title, l->title))
			continue;
		if (l->auth == LISTENER_AUTH_OFF || auth_setup_flow(l) == NULL ||
		    (cred != CRED_PASSWORD && mech_for(l, cred) == MECH_NONE)) {
			if (title.n == 0)
				continue;
			(void)str_printf(named, sizeof(named), "listener \"%s\" takes no %s",
			    l->title, no_such[cred]);
			*why = named;
			return NULL;
		}
		if (found != NULL &&
		    (found->flow_block != l->flow_block ||
			strcmp(found->default_domain == NULL ? "" : found->default_domain,
			    l->default_domain == NULL ? "" : l->default_domain) != 0)) {
			*why = "the listeners differ: say which with --listener";
			return NULL;
		}
		if (found == NULL)
			found = l;
	}
	if (found == NULL && title.n != 0) {
		(void)str_printf(
		    named, sizeof(named), "there is no listener \"%.*s\"", (int)title.n, title.p);
		*why = named;
	} else if (found == NULL) {
		*why = cred == CRED_TOKEN  ? "no listener takes tokens"
		       : cred == CRED_CERT ? "no listener takes certificates"
		                           : "no listener takes AUTH";
	}
	return found;
}

/* P3: what AUTH would not take is not tried. */
static const char *
check_question(const struct ipc_auth_test *m)
{
	const char *why = NULL;

	if ((m->cred == CRED_PASSWORD || m->login.n > 0) &&
	    sasl_precheck_name(m->login, &why) != PRE_OK)
		return why;
	if ((m->cred == CRED_PASSWORD && sasl_precheck_password(m->password, &why) != PRE_OK) ||
	    (m->cred == CRED_TOKEN && sasl_oauth_token(m->password, &why) != PRE_OK))
		return why;
	return n_tests >= AUTH_TESTS_MAX ? "too many tests at a time; ask again" : NULL;
}

/* The forms that are looked up, as auth_sasl.c makes them (RFC 4013). NULL or what is wrong. */
static const char *
prepare(struct auth_test *t, const struct ipc_auth_test *m, char login[AUTH_NAME_MAX + 1])
{
	struct secret *password = &t->run.check.password;
	const char *why = NULL;

	t->run.check.cred = (enum auth_cred)m->cred;
	(void)str_copy_span(login, AUTH_NAME_MAX + 1, m->login);
	if (login[0] != '\0') {
		if (saslprep_text(login, AUTH_NAME_MAX + 1) == -1)
			return "SASLprep refuses the name";
		if (sasl_precheck_name(span_of(login), &why) != PRE_OK)
			return why;
	}
	if (m->cred == CRED_CERT)
		return test_take_cert(t, m->password);
	secret_set(password, m->password.p, m->password.n);
	if (m->cred == CRED_TOKEN)
		return NULL;
	if (saslprep_secret(password, AUTH_PASSWORD_MAX) == -1)
		return "SASLprep refuses the password";
	(void)sasl_precheck_password((struct span){password->data, password->len}, &why);
	return why;
}

/* TLS would not have taken it, and then EXTERNAL is not offered. True: answered. */
static bool
refused_by_tls(struct auth_test *t)
{
	struct test_reply p = {.code = 504,
	    .esc = "5.5.4",
	    .text = "Mechanism not available",
	    .reason = "the certificate does not verify: EXTERNAL is not offered to that client"};
	struct buf out = BUF_INIT;

	if (t->run.check.cred != CRED_CERT || t->cert_problem[0] == '\0')
		return false;
	test_show_passed(t, t->run.flow->n, "the certificate does not verify");
	test_begin_result(t, &out, &p);
	buf_add_byte(&out, '}');
	test_send_row(t->control, t->request, &out, false, 1);
	return true;
}

/* The brake is looked at and passed: an operator wants to see the rest too. */
static void
test_on_guard(enum auth_guard_answer answer, void *arg)
{
	struct auth_test *t = arg;

	t->guarded = answer;
	auth_guard_note(&t->guard, GUARD_NONE, ""); /* it was no login */
	t->run.check.client = t->client;
	t->run.check.want_trace = true;
	t->run.on_step = test_on_step;
	t->run.fn = test_on_answer;
	t->run.arg = t;
	auth_run_start(&t->run);
}

int
auth_test_start(const struct conf *c, struct ipc_peer *control, const struct ipc_auth_test *m)
{
	const char *why;
	const struct conf_listener *l = NULL;
	struct auth_test *t;
	struct span guess;
	char login[AUTH_NAME_MAX + 1];

	if (m->cred >= CRED__MAX)
		return -1;
	why = check_question(m);
	if (why == NULL)
		l = choose_listener(c, m->listener, (enum auth_cred)m->cred, &why);
	if (l == NULL) {
		test_send_error(control, m->request, 2, why);
		return 0;
	}
	t = xcallocarray(1, sizeof(*t));
	t->control = control;
	t->request = m->request;
	t->conf = c;
	t->listener = l;
	t->client = m->client;
	LIST_INSERT_HEAD(&tests, t, link);
	n_tests++;
	t->run.flow = auth_setup_flow(l);
	if ((why = prepare(t, m, login)) != NULL) {
		test_send_error(control, m->request, 2, why);
		test_free(t);
		return 0;
	}
	auth_setup_name(l, login, &t->run);
	if (refused_by_tls(t) || refused_by_rule(t)) {
		test_free(t);
		return 0;
	}
	guess = t->run.check.cred == CRED_CERT
	            ? span_of(t->run.check.cert_sha256)
	            : (struct span){t->run.check.password.data, t->run.check.password.len};
	auth_guard_ask(&t->guard, c, &t->client,
	    t->run.check.address[0] != '\0' ? t->run.check.address : t->run.check.login, &guess,
	    test_on_guard, t);
	return 0;
}

void
auth_test_cancel(const struct ipc_peer *control, uint64_t request)
{
	struct auth_test *t, *next;

	for (t = LIST_FIRST(&tests); t != NULL; t = next) {
		next = LIST_NEXT(t, link);
		if (t->control == control && t->request == request)
			test_free(t);
	}
}

void
auth_test_peer_down(const struct ipc_peer *control)
{
	struct auth_test *t, *next;

	for (t = LIST_FIRST(&tests); t != NULL; t = next) {
		next = LIST_NEXT(t, link);
		if (t->control == control)
			test_free(t);
	}
}
