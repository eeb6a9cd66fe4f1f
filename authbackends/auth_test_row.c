/* SPDX-License-Identifier: ISC */
/*
 * The rows of auth-test, as JSON: what each backend said, and who it would be. Process
 * auth, in the loop. Must never show the password, not even where a server sends it back
 * to us.
 */
#include "authbackends/auth_test_internal.h"

#include "base/enc.h"
#include "base/str.h"
#include "policy/policy.h"

#include <inttypes.h>
#include <string.h>

#define TRACE_BYTES 40000u /* of one row as JSON: it has to fit a frame */

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

void
test_add_str(struct buf *out, const char *key, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	buf_addf(out, "%s\"%s\":", buf_len(out) > 1 ? "," : "", key);
	json_add_str(out, span_of(value));
}

void
test_send_row(struct ipc_peer *control, uint64_t request, struct buf *json, bool more, int status)
{
	struct ipc_ctl_res r = {
	    .request = request, .more = more, .status = (uint8_t)status, .json = buf_span(json)};

	(void)ipc_send_ctl_res(control, -1, &r);
	buf_clear(json);
}

void
test_send_error(struct ipc_peer *control, uint64_t request, int status, const char *text)
{
	struct buf out = BUF_INIT;

	buf_add_byte(&out, '{');
	test_add_str(&out, "error", text);
	buf_add_byte(&out, '}');
	test_send_row(control, request, &out, false, status);
}

/* Backends do not write it down; what a server sends back is looked through here. */
static void
hide_password(struct buf *text, const struct secret *password)
{
	uint8_t *p, *end;

	if (text->mem == NULL || password->len < 4) /* shorter ones stand everywhere by chance */
		return;
	p = text->mem + text->start;
	end = text->mem + text->end;
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
	test_add_str(out, "breaker", auth_breaker_state_name(s->breaker.state));
	buf_addf(out, ",\"breaker_lets_through\":%s,\"breaker_left_ms\":%" PRId64,
	    pass == PASS_NO ? "false" : "true", left_ms);
}

static void
begin_backend(struct buf *out, const struct auth_source *s)
{
	buf_add_byte(out, '{');
	test_add_str(out, "backend", s->title);
	test_add_str(out, "type", s->kind->name);
}

/* Those up to position end that were passed over. */
void
test_show_passed(struct auth_test *t, size_t end, const char *otherwise)
{
	static const char *const no_such[CRED__MAX] = {[CRED_PASSWORD] = "it takes no passwords",
	    [CRED_TOKEN] = "it takes no tokens",
	    [CRED_CERT] = "it takes no certificates"};
	struct buf out = BUF_INIT;

	for (; t->shown < end; t->shown++) {
		const struct auth_source *s = t->run.flow->chain[t->shown];
		const char *why = otherwise;

		if ((s->kind->creds & CRED_BIT(t->run.check.cred)) == 0)
			why = no_such[t->run.check.cred];
		else if (t->run.check.login[0] != '\0' && !auth_source_serves(s, t->run.ou))
			why = "it is kept for names of other units";
		begin_backend(&out, s);
		test_add_str(&out, "not_asked", why);
		add_breaker(&out, s);
		buf_add_byte(&out, '}');
		test_send_row(t->control, t->request, &out, true, 0);
	}
}

void
test_on_step(struct auth_run *r, const struct auth_source *s, enum verdict v, int64_t ms, void *arg)
{
	struct auth_test *t = arg;
	struct buf out = BUF_INIT;

	test_show_passed(t, r->pos, "");
	t->shown = r->pos + 1;
	hide_password(&r->check.trace, &r->check.password);
	begin_backend(&out, s);
	test_add_str(&out, "verdict", word_of(v));
	buf_addf(&out, ",\"ms\":%" PRId64, ms);
	test_add_str(&out, "reason", r->check.reason);
	test_add_str(&out, "tls", r->check.tls_peer);
	add_breaker(&out, s);
	add_trace(&out, buf_span(&r->check.trace));
	buf_add_byte(&out, '}');
	test_send_row(t->control, t->request, &out, true, 0);
	buf_reset(&r->check.trace);
}

static void
add_list(struct buf *out, const char *key, struct span list)
{
	bool first = true;

	buf_addf(out, ",\"%s\":[", key);
	while (list.n > 0) {
		struct span one = span_cut(&list, '\0');

		if (!first)
			buf_add_byte(out, ',');
		first = false;
		json_add_str(out, one);
	}
	buf_add_byte(out, ']');
}

static void
add_cert(const struct auth_test *t, struct buf *out)
{
	test_add_str(out, "cert", t->cert.subject);
	test_add_str(out, "cert_sha256", t->cert.sha256);
	add_list(out, "cert_emails", (struct span){t->cert.emails, t->cert.emails_len});
	test_add_str(out, "cert_tls", t->cert_tls->title);
	buf_addf(out, ",\"cert_emails_count\":%s", t->cert_tls->client_email ? "true" : "false");
	test_add_str(out, "cert_problem", t->cert_problem);
}

void
test_begin_result(const struct auth_test *t, struct buf *out, const struct test_reply *p)
{
	static const char *const with[CRED__MAX] = {
	    [CRED_PASSWORD] = "password", [CRED_TOKEN] = "token", [CRED_CERT] = "cert"};
	char ip[NET_ADDR_TEXT];

	net_addr_format_ip(&t->client, ip);
	buf_add_str(out, "{\"result\":true");
	test_add_str(out, "listener", t->listener->title);
	test_add_str(out, "client", ip);
	test_add_str(out, "with", with[t->run.check.cred]);
	if (t->run.check.cred == CRED_CERT)
		add_cert(t, out);
	test_add_str(out, "login", t->run.check.login);
	test_add_str(out, "address", t->run.check.address);
	test_add_str(out, "name_ou", t->run.ou == NULL ? "" : t->run.ou->title);
	test_add_str(out, "verdict",
	    p->code == 235       ? "accept"
	    : p->code / 100 == 4 ? "unavailable"
				 : "deny");
	test_add_str(out, "reason", p->reason);
	buf_addf(out, ",\"code\":%u", p->code);
	test_add_str(out, "esc", p->esc);
	test_add_str(out, "text", p->text);
}

void
test_add_identity(const struct auth_test *t, struct buf *out, const struct test_reply *p)
{
	const struct conf_ou *ou = policy_principal_ou(t->conf, p->principal);
	struct span own = buf_span(&t->run.check.own);

	test_add_str(out, "principal", p->principal);
	test_add_str(out, "ou", ou == NULL ? "" : ou->title);
	add_list(out, "own", own);
}
