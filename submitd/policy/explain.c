/* SPDX-License-Identifier: ISC */
/*
 * `submitctl explain`: runs policy_decide() for each stage of a session in order and
 * tells what it recorded, so it cannot disagree with the front. Runs in control (the
 * running configuration) and in submitctl (a file). It decides nothing itself.
 */
#include "policy/explain.h"

#include "base/str.h"
#include "policy/policy.h"

#include <stdlib.h>
#include <string.h>

struct run {
	const struct conf *conf;
	const struct explain_request *req;
	const struct conf_listener *listener;
	explain_row_fn *row;
	void *arg;
	struct facts facts;
	struct policy_result result;
	char principal[ADDR_TEXT];
	struct buf own; /* each with its NUL */
	const struct conf_domain *domain;
	const struct conf_transport *transport;
	bool internal;
	json_t *remarks;
};

/* ---- the question -----------------------------------------------------------------------------
 */

static const struct {
	const char *name;
	size_t offset;
} texts[] = {
    {"listener", offsetof(struct explain_request, listener)},
    {"ip", offsetof(struct explain_request, ip)},
    {"auth", offsetof(struct explain_request, auth)},
    {"own", offsetof(struct explain_request, own)},
    {"helo", offsetof(struct explain_request, helo)},
    {"tls", offsetof(struct explain_request, tls)},
    {"from", offsetof(struct explain_request, from)},
    {"rcpt", offsetof(struct explain_request, rcpt)},
    {"header_from", offsetof(struct explain_request, header_from)},
};

static int
take_member(struct explain_request *q, const char *key, const json_t *v, char *err, size_t errsize)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (strcmp(key, texts[i].name) != 0)
			continue;
		if (!json_is_string(v) || json_string_length(v) > 4000 ||
		    str_has_control((struct span){json_string_value(v), json_string_length(v)})) {
			(void)str_printf(err, errsize, "%s must be one line of text", key);
			return -1;
		}
		*(const char **)(void *)((char *)q + texts[i].offset) = json_string_value(v);
		return 0;
	}
	if (strcmp(key, "no_tls") == 0 && json_is_boolean(v)) {
		q->no_tls = json_is_true(v);
		return 0;
	}
	if (strcmp(key, "size") == 0 && json_is_integer(v) && json_integer_value(v) >= 0) {
		q->size = (uint64_t)json_integer_value(v);
		return 0;
	}
	(void)str_printf(err, errsize, "explain does not know \"%.40s\" with that value", key);
	return -1;
}

int
explain_request_from_json(const json_t *o, struct explain_request *out, char *err, size_t errsize)
{
	struct explain_request q = {0};

	for (void *it = json_object_iter((json_t *)(uintptr_t)o); it != NULL;
	     it = json_object_iter_next((json_t *)(uintptr_t)o, it)) {
		const char *key = json_object_iter_key(it);

		if (strcmp(key, "cmd") == 0)
			continue;
		if (take_member(&q, key, json_object_iter_value(it), err, errsize) == -1)
			return -1;
	}
	*out = q;
	return 0;
}

/* An address as a client would give it, completed like the front does. */
static int
read_addr(const struct conf_listener *l, const char *what, struct span text, struct addr *out,
    char *err, size_t errsize)
{
	enum addr_error e;
	char shown[200];

	text = span_trim(text);
	if (text.n >= 2 && text.p[0] == '<' && text.p[text.n - 1] == '>') {
		text.p++;
		text.n -= 2;
	}
	e = addr_parse(text, ADDR_ALLOW_UTF8 | ADDR_ALLOW_UNQUALIFIED, out);
	if (e == ADDR_NO_DOMAIN && l->default_domain != NULL &&
	    addr_domain_ascii(span_of(l->default_domain), out->ascii_domain) == 0 &&
	    str_copy(out->domain, sizeof(out->domain), out->ascii_domain) == 0)
		e = ADDR_OK;
	if (e == ADDR_OK)
		return 0;
	if (str_copy_span(shown, sizeof(shown), text) == -1)
		(void)str_copy(shown, sizeof(shown), "(too long)");
	(void)str_printf(err, errsize, "%s \"%s\" is not an address: %s; right is name@example.com",
	    what, shown, addr_error_text(e));
	return -1;
}

static int
read_listener(struct run *r, char *err, size_t errsize)
{
	const struct conf *c = r->conf;
	struct buf names = BUF_INIT;

	if (r->req->listener == NULL && c->n_listener == 1) {
		r->listener = &c->listener_blocks[0];
		return 0;
	}
	if (r->req->listener != NULL) {
		r->listener = conf_listener_find(c, r->req->listener);
		if (r->listener != NULL)
			return 0;
	}
	for (size_t i = 0; i < c->n_listener; i++)
		buf_addf(&names, "%s\"%s\"", i == 0 ? "" : ", ", c->listener_blocks[i].title);
	if (r->req->listener == NULL)
		(void)str_printf(err, errsize, "say which listener: %.200s", buf_cstr(&names));
	else
		(void)str_printf(err, errsize, "there is no listener \"%.80s\"; there are: %.200s",
		    r->req->listener, buf_cstr(&names));
	buf_clear(&names);
	return -1;
}

static int
read_header_from(struct run *r, char *err, size_t errsize)
{
	struct facts *f = &r->facts;
	struct span rest;

	f->have_header_from = true;
	if (r->req->header_from == NULL) {
		if (!addr_is_null(&f->sender)) {
			f->header_from[0] = f->sender;
			f->n_header_from = 1;
		} else if (f->authenticated && addr_parse(span_of(r->principal), ADDR_ALLOW_UTF8,
						   &f->header_from[0]) == ADDR_OK) {
			f->n_header_from = 1;
		}
		return 0;
	}
	for (rest = span_of(r->req->header_from); rest.p != NULL;) {
		struct span one = span_cut(&rest, ',');

		if (f->n_header_from == FACTS_MAX_HEADER_ADDRS) {
			(void)str_printf(
			    err, errsize, "at most %d header addresses", FACTS_MAX_HEADER_ADDRS);
			return -1;
		}
		if (read_addr(r->listener, "header-from", one, &f->header_from[f->n_header_from],
			err, errsize) == -1)
			return -1;
		f->n_header_from++;
	}
	return 0;
}

/* As a directory would give them with the login (C8). */
static int
read_own(struct run *r, char *err, size_t errsize)
{
	struct span rest = span_of(r->req->own);
	char text[ADDR_TEXT];
	struct addr a;

	if (r->req->own == NULL)
		return 0;
	if (r->req->auth == NULL) {
		(void)str_copy(err, errsize, "own goes with auth: say who has these addresses");
		return -1;
	}
	while (rest.p != NULL) {
		if (read_addr(r->listener, "own", span_cut(&rest, ','), &a, err, errsize) == -1)
			return -1;
		addr_format(&a, text);
		buf_add(&r->own, text, strlen(text) + 1);
	}
	return 0;
}

static int
read_question(struct run *r, char *err, size_t errsize)
{
	const struct explain_request *q = r->req;
	struct facts *f = &r->facts;

	if (read_listener(r, err, errsize) == -1)
		return -1;
	f->listener = r->listener->title;
	if (net_addr_parse_ip(span_of(q->ip == NULL ? "192.0.2.1" : q->ip), &f->client) == -1) {
		(void)str_printf(err, errsize, "\"%.60s\" is not an IP address", q->ip);
		return -1;
	}
	if (q->ip == NULL)
		json_array_append_new(
		    r->remarks, json_string("no client address was given: 192.0.2.1 is taken"));
	f->helo = q->helo;
	f->tls = !q->no_tls && (q->tls != NULL || r->listener->tls != LISTENER_TLS_OFF);
	if (f->tls && r->listener->tls == LISTENER_TLS_OFF)
		json_array_append_new(
		    r->remarks, json_string("this listener has tls = off: there can be no TLS"));
	if (f->tls)
		f->tls_version = q->tls == NULL ? "TLSv1.3" : q->tls;
	if (q->from == NULL || q->rcpt == NULL) {
		(void)str_copy(
		    err, errsize, "say from whom (\"<>\" is the empty sender) and to whom");
		return -1;
	}
	if (q->from[0] != '\0' && strcmp(q->from, "<>") != 0 &&
	    read_addr(r->listener, "from", span_of(q->from), &f->sender, err, errsize) == -1)
		return -1;
	if (read_addr(r->listener, "rcpt", span_of(q->rcpt), &f->rcpt, err, errsize) == -1)
		return -1;
	f->size = q->size;
	if (read_own(r, err, errsize) == -1)
		return -1;
	if (q->header_from != NULL)
		return read_header_from(r, err, errsize);
	return 0;
}

/* ---- the answer -------------------------------------------------------------------------------
 */

static void
emit(struct run *r, json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT);

	if (text != NULL)
		r->row(r->arg, text);
	free(text);
	json_decref(o);
}

static void
add_where(json_t *o, const char *file, const char *line, struct conf_where w)
{
	if (w.line == 0 || w.file == NULL)
		return;
	json_object_set_new(o, file, json_string(w.file));
	json_object_set_new(o, line, json_integer(w.line));
}

static void
add_text(json_t *o, const char *key, const char *text)
{
	if (text != NULL && text[0] != '\0')
		json_object_set_new(o, key, json_stringn_nocheck(text, strlen(text)));
}

static void
emit_steps(struct run *r)
{
	for (size_t i = 0; i < r->result.n_steps; i++) {
		const struct policy_step *s = &r->result.steps[i];
		json_t *o = json_object();

		add_text(o, "stage", policy_stage_name(s->rule->stage));
		add_text(o, "id", s->rule->id);
		add_text(o, "rule", s->rule->name);
		add_text(o, "scope", policy_scope_name(s->rule->scope));
		add_text(o, "verdict", verdict_name(s->verdict));
		add_where(o, "file", "line", s->where);
		if (utf8_valid(span_of(s->note)))
			add_text(o, "note", s->note);
		add_text(o, "help", s->rule->help);
		emit(r, o);
	}
}

static void
add_reply(json_t *o, const struct policy_result *p)
{
	char esc[STATUS_ESC_TEXT], *reply;

	status_esc(&p->status, esc);
	reply = xasprintf(
	    "%u %s %s", p->status.code, esc, p->status.text == NULL ? "" : p->status.text);
	json_object_set_new(o, "code", json_integer(p->status.code));
	add_text(o, "esc", esc);
	add_text(o, "text", p->status.text);
	add_text(o, "reply", reply);
	free(reply);
}

static void
emit_result(struct run *r, enum policy_stage stage)
{
	json_t *o = json_object();
	const struct facts *f = &r->facts;
	char text[ADDR_TEXT];

	json_object_set_new(o, "result", json_true());
	add_text(o, "stage", policy_stage_name(stage));
	add_text(o, "verdict", verdict_name(r->result.verdict));
	if (r->result.rule != NULL) {
		add_text(o, "id", r->result.rule->id);
		add_text(o, "rule", r->result.rule->name);
	}
	if (r->result.verdict != V_OK)
		add_reply(o, &r->result);
	else
		add_text(o, "reply", "250 2.0.0 (accepted)");
	add_text(o, "listener", r->listener->title);
	if (f->authenticated) {
		add_text(o, "principal", f->principal);
		add_text(o, "ou", f->principal_ou);
	}
	addr_format(&f->sender, text);
	json_object_set_new(o, "from", json_string(text));
	addr_format(&f->rcpt, text);
	add_text(o, "rcpt", text);
	json_object_set_new(o, "internal", json_boolean(r->internal));
	if (r->domain != NULL && r->result.verdict == V_OK) {
		add_text(o, "domain", r->domain->title);
		add_where(o, "domain_file", "domain_line", r->domain->where);
		add_text(o, "transport", r->transport->title);
		add_where(o, "transport_file", "transport_line", r->transport->where);
		add_text(o, "method", r->transport->method);
	}
	json_object_set(o, "remarks", r->remarks);
	emit(r, o);
}

/* True: go on with the next stage. */
static bool
ask(struct run *r, enum policy_stage stage)
{
	policy_result_clear(&r->result);
	r->facts.stage = stage;
	policy_decide_noted(r->conf, &r->facts, &r->result);
	emit_steps(r);
	if (stage == AT_RCPT) {
		r->internal = r->result.internal;
		r->domain = r->result.domain;
		r->transport = r->result.transport;
	}
	if (r->result.verdict == V_OK)
		return true;
	emit_result(r, stage);
	return false;
}

/* What the auth role would say besides the policy. */
static void
remark_login(struct run *r)
{
	const struct conf_user *u = conf_user_find(r->conf, r->principal);

	if (u != NULL && u->smtp_auth == SMTP_AUTH_OFF)
		json_array_append_new(
		    r->remarks, json_string("the user block has smtp_auth = off: backend internal "
					    "does not let it log in (S18)"));
	json_array_append_new(
	    r->remarks, json_string("the password is taken to be right; no backend was asked"));
}

static bool
log_in(struct run *r)
{
	const struct conf_ou *ou;

	r->facts.login = r->req->auth;
	if (!ask(r, AT_AUTH))
		return false;
	if (policy_principal(r->conf, r->listener, r->req->auth, r->principal) == -1) {
		r->result.verdict = V_PERM;
		status_set(&r->result.status, V_PERM, 535, "5.7.8",
		    "the name has no canonical form: it is not usable as an address");
		emit_result(r, AT_AUTH);
		return false;
	}
	remark_login(r);
	r->facts.authenticated = true;
	r->facts.principal = r->principal;
	r->facts.own = buf_span(&r->own);
	ou = policy_principal_ou(r->conf, r->principal);
	r->facts.principal_ou = ou == NULL ? NULL : ou->title;
	return true;
}

static int
run_stages(struct run *r, char *err, size_t errsize)
{
	if (!ask(r, AT_CONNECT) || !ask(r, AT_EHLO))
		return 1;
	if (r->req->auth != NULL && !log_in(r))
		return 1;
	r->facts.have_sender = true;
	if (!ask(r, AT_MAIL))
		return 1;
	r->facts.have_rcpt = true;
	if (!ask(r, AT_RCPT))
		return 1;
	if (r->req->header_from == NULL && read_header_from(r, err, errsize) == -1)
		return -1;
	if (!ask(r, AT_DATA))
		return 1;
	emit_result(r, AT_DATA);
	return 0;
}

int
explain_run(const struct conf *conf, const struct explain_request *req, explain_row_fn *row,
    void *arg, char *err, size_t errsize)
{
	struct run *r = xcallocarray(1, sizeof(*r));
	int rc = -1;

	r->conf = conf;
	r->req = req;
	r->row = row;
	r->arg = arg;
	r->remarks = json_array();
	if (read_question(r, err, errsize) == 0)
		rc = run_stages(r, err, errsize);
	policy_result_clear(&r->result);
	json_decref(r->remarks);
	buf_clear(&r->own);
	free(r);
	return rc;
}
