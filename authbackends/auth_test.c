/* SPDX-License-Identifier: ISC */
/*
 * auth-test: walks the chain of a listener for an operator and writes down what each
 * backend said. Process auth, in the loop. Must never show the password, not even
 * where a server sends it back to us.
 */
#include "authbackends/auth_test.h"

#include "authbackends/auth_flow.h"
#include "authbackends/auth_guard.h"
#include "authbackends/auth_rule.h"
#include "authbackends/auth_session.h"
#include "authbackends/auth_setup.h"
#include "authbackends/sasl_precheck.h"
#include "base/enc.h"
#include "base/ev.h"
#include "base/list.h"
#include "base/saslprep.h"
#include "base/str.h"
#include "policy/policy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TRACE_BYTES 40000u /* of one row as JSON: it has to fit a frame */

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
};
static LIST_HEAD(, auth_test) tests = LIST_HEAD_INITIALIZER(tests);
static unsigned n_tests;

static const char *
word_of(enum verdict v)
{
	switch (v) {
	case V_OK:
		return "accept";
	case V_PERM:
		return "deny";
	case V_NEXT:
		return "unknown";
	case V_TEMP:
	case V__MAX:
		break;
	}
	return "unavailable";
}

static void
add_str(struct buf *out, const char *key, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	buf_addf(out, "%s\"%s\":", buf_len(out) > 1 ? "," : "", key);
	json_add_str(out, span_of(value));
}

static void
send_row(struct ipc_peer *control, uint64_t request, struct buf *json, bool more, int status)
{
	struct ipc_ctl_res r = {
	    .request = request, .more = more, .status = (uint8_t)status, .json = buf_span(json)};

	(void)ipc_send_ctl_res(control, -1, &r);
	buf_clear(json);
}

static void
send_error(struct ipc_peer *control, uint64_t request, int status, const char *text)
{
	struct buf out = BUF_INIT;

	buf_add_byte(&out, '{');
	add_str(&out, "error", text);
	buf_add_byte(&out, '}');
	send_row(control, request, &out, false, status);
}

static void
test_free(struct auth_test *t)
{
	LIST_REMOVE(t, link);
	n_tests--;
	auth_guard_clear(&t->guard);
	auth_run_clear(&t->run);
	free(t);
}

/* ---- rows --------------------------------------------------------------------------------------
 */

/* Backends do not write it down; what a server sends back is looked through here. */
static void
hide_password(struct buf *text, const struct secret *password)
{
	uint8_t *p = text->mem + text->start, *end = text->mem + text->end;

	if (text->mem == NULL || password->len < 4) /* shorter ones stand everywhere by chance */
		return;
	while ((p = memmem(p, (size_t)(end - p), password->data, password->len)) != NULL) {
		memset(p, '*', password->len);
		p += password->len;
	}
}

static void
add_trace(struct buf *out, struct span text)
{
	bool first = true;

	if (text.n == 0)
		return;
	buf_add_str(out, ",\"trace\":[");
	while (text.n > 0) {
		struct span line = span_cut(&text, '\n');

		if (!first)
			buf_add_byte(out, ',');
		first = false;
		if (buf_len(out) + line.n * 6 > TRACE_BYTES) {
			buf_add_str(out, "\"(more was said than fits here)\"");
			break;
		}
		json_add_str(out, line);
	}
	buf_add_byte(out, ']');
}

static void
add_breaker(struct buf *out, const struct auth_source *s)
{
	int64_t left_ms;
	enum breaker_pass pass;

	if (s->breaker.max == 0)
		return;
	pass = auth_breaker_peek(&s->breaker, auth_clock_ms(), &left_ms);
	add_str(out, "breaker", auth_breaker_state_name(s->breaker.state));
	buf_addf(out, ",\"breaker_lets_through\":%s,\"breaker_left_ms\":%" PRId64,
	    pass == PASS_NO ? "false" : "true", left_ms);
}

static void
begin_backend(struct buf *out, const struct auth_source *s)
{
	buf_add_byte(out, '{');
	add_str(out, "backend", s->title);
	add_str(out, "type", s->kind->name);
}

/* Those up to position end that were passed over. */
static void
show_passed(struct auth_test *t, size_t end, const char *otherwise)
{
	struct buf out = BUF_INIT;

	for (; t->shown < end; t->shown++) {
		const struct auth_source *s = t->run.flow->chain[t->shown];
		const char *why = otherwise;

		if ((s->kind->creds & CRED_BIT(CRED_PASSWORD)) == 0)
			why = "it takes no passwords";
		else if (!auth_source_serves(s, t->run.ou))
			why = "it is kept for names of other units";
		begin_backend(&out, s);
		add_str(&out, "not_asked", why);
		add_breaker(&out, s);
		buf_add_byte(&out, '}');
		send_row(t->control, t->request, &out, true, 0);
	}
}

static void
test_on_step(struct auth_run *r, const struct auth_source *s, enum verdict v, int64_t ms, void *arg)
{
	struct auth_test *t = arg;
	struct buf out = BUF_INIT;

	show_passed(t, r->pos, "");
	t->shown = r->pos + 1;
	hide_password(&r->check.trace, &r->check.password);
	begin_backend(&out, s);
	add_str(&out, "verdict", word_of(v));
	buf_addf(&out, ",\"ms\":%" PRId64, ms);
	add_str(&out, "reason", r->check.reason);
	add_str(&out, "tls", r->check.tls_peer);
	add_breaker(&out, s);
	add_trace(&out, buf_span(&r->check.trace));
	buf_add_byte(&out, '}');
	send_row(t->control, t->request, &out, true, 0);
	buf_reset(&r->check.trace);
}

/* What follows from it: the reply, as auth_session.c gives it, and who it is. */
struct test_reply {
	unsigned code;
	const char *esc, *text, *reason;
	char principal[ADDR_TEXT];
};

static void
begin_result(const struct auth_test *t, struct buf *out, const struct test_reply *p)
{
	char ip[NET_ADDR_TEXT];

	net_addr_format_ip(&t->client, ip);
	buf_add_str(out, "{\"result\":true");
	add_str(out, "listener", t->listener->title);
	add_str(out, "client", ip);
	add_str(out, "login", t->run.check.login);
	add_str(out, "address", t->run.check.address);
	add_str(out, "name_ou", t->run.ou == NULL ? "" : t->run.ou->title);
	add_str(out, "verdict",
	    p->code == 235       ? "accept"
	    : p->code / 100 == 4 ? "unavailable"
				 : "deny");
	add_str(out, "reason", p->reason);
	buf_addf(out, ",\"code\":%u", p->code);
	add_str(out, "esc", p->esc);
	add_str(out, "text", p->text);
}

static void
add_identity(const struct auth_test *t, struct buf *out, const struct test_reply *p)
{
	const struct conf_ou *ou = policy_principal_ou(t->conf, p->principal);
	struct span own = buf_span(&t->run.check.own);
	bool first = true;

	add_str(out, "principal", p->principal);
	add_str(out, "ou", ou == NULL ? "" : ou->title);
	buf_add_str(out, ",\"own\":[");
	while (own.n > 0) {
		struct span one = span_cut(&own, '\0');

		if (!first)
			buf_add_byte(out, ',');
		first = false;
		json_add_str(out, one);
	}
	buf_add_byte(out, ']');
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
	    .login = login,
	    .mech = "PLAIN",
	};
}

/* A yes for whom the backend calls otherwise than the operator did: as auth_session_ask.c. */
static void
judge_principal(const struct auth_test *t, struct test_reply *p, char why[AUTH_REASON_MAX])
{
	struct status status;
	struct facts f;

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
	const char *name = r->check.name[0] != '\0' ? r->check.name : r->check.login;
	char why[AUTH_REASON_MAX];

	show_passed(t, r->flow->n, "the chain ended before it");
	if (r->verdict == V_OK && policy_principal(t->conf, t->listener, name, p.principal) == -1) {
		p.code = 535;
		p.reason = "the name has no form as an address";
	} else if (r->verdict == V_OK) {
		p.code = 235;
		p.reason = "";
		judge_principal(t, &p, why);
	} else if (r->verdict == V_PERM) {
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
	begin_result(t, &out, &p);
	add_str(&out, "guard", t->guarded == AUTH_GUARD_GO ? "lets through" : "refuses");
	add_str(&out, "decided_by", r->source == NULL ? "" : r->source->title);
	buf_addf(
	    &out, ",\"name_known\":%s,\"ms\":%" PRId64, r->user_known ? "true" : "false", r->ms);
	if (p.code == 235)
		add_identity(t, &out, &p);
	buf_add_byte(&out, '}');
	send_row(t->control, t->request, &out, false, p.code == 235 ? 0 : 1);
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
		show_passed(t, t->run.flow->n, "a rule refuses the name before");
		p.reason = r->verdict == V_TEMP
		               ? "a rule cannot be used on this name"
		               : "a rule refuses the name before any backend is asked";
		begin_result(t, &out, &p);
		add_str(&out, "rule", r->rule->id);
		add_str(&out, "rule_name", r->rule->name);
		add_str(&out, "rule_note", step->note);
		if (step->where.line != 0) {
			add_str(&out, "rule_file", step->where.file);
			buf_addf(&out, ",\"rule_line\":%u", step->where.line);
		}
		buf_add_byte(&out, '}');
		send_row(t->control, t->request, &out, false, 1);
	}
	policy_result_clear(r);
	free(r);
	return refused;
}

/* The one that is named, or any where it makes no difference. NULL with the text. */
static const struct conf_listener *
choose_listener(const struct conf *c, struct span title, const char **why)
{
	static char named[200]; /* what *why points to, until the next call */
	const struct conf_listener *found = NULL;
	size_t i;

	for (i = 0; i < c->n_listener; i++) {
		const struct conf_listener *l = &c->listener_blocks[i];

		if (title.n != 0 && !span_eq(title, l->title))
			continue;
		if (l->auth == LISTENER_AUTH_OFF || auth_setup_flow(l) == NULL) {
			if (title.n == 0)
				continue;
			(void)str_printf(
			    named, sizeof(named), "listener \"%s\" takes no AUTH", l->title);
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
		*why = "no listener takes AUTH";
	}
	return found;
}

/* P3: what AUTH would not take is not tried. */
static const char *
check_question(const struct ipc_auth_test *m)
{
	const char *why = NULL;

	if (sasl_precheck_name(m->login, &why) == PRE_OK &&
	    sasl_precheck_password(m->password, &why) == PRE_OK && n_tests >= AUTH_TESTS_MAX)
		why = "too many tests at a time; ask again";
	return why;
}

/* The forms that are looked up, as auth_sasl.c makes them (RFC 4013). NULL or what is wrong. */
static const char *
prepare(char login[AUTH_NAME_MAX + 1], struct secret *password)
{
	const char *why = NULL;

	if (saslprep_text(login, AUTH_NAME_MAX + 1) == -1)
		return "SASLprep refuses the name";
	if (saslprep_secret(password, AUTH_PASSWORD_MAX) == -1)
		return "SASLprep refuses the password";
	if (sasl_precheck_name(span_of(login), &why) == PRE_OK)
		(void)sasl_precheck_password((struct span){password->data, password->len}, &why);
	return why;
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
	const char *why = check_question(m);
	const struct conf_listener *l = NULL;
	struct auth_test *t;
	struct span guess;
	char login[AUTH_NAME_MAX + 1];

	if (why == NULL)
		l = choose_listener(c, m->listener, &why);
	if (l == NULL) {
		send_error(control, m->request, 2, why);
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
	(void)str_copy_span(login, sizeof(login), m->login);
	secret_set(&t->run.check.password, m->password.p, m->password.n);
	if ((why = prepare(login, &t->run.check.password)) != NULL) {
		send_error(control, m->request, 2, why);
		test_free(t);
		return 0;
	}
	auth_setup_name(l, login, &t->run);
	if (refused_by_rule(t)) {
		test_free(t);
		return 0;
	}
	guess = (struct span){t->run.check.password.data, t->run.check.password.len};
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
