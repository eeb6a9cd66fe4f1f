/* SPDX-License-Identifier: ISC */
/*
 * MAIL: begins a transaction. Runs in front. Checks form, limits and the queue's
 * state here; who may send as whom is policy's.
 */
#include "base/ev.h"
#include "base/str.h"
#include "front/smtp_session.h"
#include "mail/smtp_params.h"

#include <stdlib.h>
#include <string.h>

/*
 * "FROM:<path> params" to the address and what follows it. 0, or -1 after a reply.
 * Shared with RCPT: keyword is "FROM" or "TO".
 */
int
smtp_path_take(struct smtp_session *s, struct span arg, const struct path_spec *spec,
    struct addr *out, struct span *params)
{
	size_t n = strlen(spec->keyword);
	struct span path = arg;
	enum addr_error e;

	if (!span_starts_nocase(arg, spec->keyword) || arg.n == n || arg.p[n] != ':') {
		smtp_reply(s, 501, "5.5.4", "Syntax: %s %s:<address>", spec->verb, spec->keyword);
		return -1;
	}
	path.p += n + 1;
	path.n -= n + 1;
	if (path.n > 0 && path.p[0] == ' ') {
		if ((s->l->conf->tolerated & CONF_TOLERATE_ADDR_SPACE) == 0) {
			smtp_reply(s, 501, "5.5.4",
			    "Syntax: %s %s:<address>, without a blank before <", spec->verb,
			    spec->keyword);
			return -1;
		}
		path = span_trim(path);
	}
	if (path.n == 0 || path.p[0] != '<') {
		smtp_reply(s, 501, "5.5.4", "Syntax: %s %s:<address>, with angle brackets",
		    spec->verb, spec->keyword);
		return -1;
	}
	e = addr_parse_path(
	    path, spec->flags | ADDR_ALLOW_UTF8 | ADDR_ALLOW_UNQUALIFIED, out, params);
	if (e == ADDR_NO_DOMAIN)
		return smtp_path_complete(s, spec, out);
	if (e != ADDR_OK) {
		smtp_reply(s, e == ADDR_BAD_DOMAIN || e == ADDR_TOO_LONG ? 553 : 501, spec->esc,
		    "Bad %s address: %s", spec->what, addr_error_text(e));
		return -1;
	}
	return 0;
}

/* P5: an address without a domain is completed for those who logged in, else refused. */
int
smtp_path_complete(struct smtp_session *s, const struct path_spec *spec, struct addr *a)
{
	const char *domain = s->l->conf->default_domain;

	if (spec->postmaster && str_eq_nocase(a->local, "postmaster") &&
	    s->front->postmaster != NULL) {
		*a = *s->front->postmaster; /* RFC 5321, 4.5.1 */
		return 0;
	}
	if (s->auth != NULL && domain != NULL &&
	    str_copy(a->domain, sizeof(a->domain), domain) == 0 &&
	    addr_domain_ascii(span_of(domain), a->ascii_domain) == 0) {
		str_lower(a->domain);
		return 0;
	}
	smtp_reply(s, 553, spec->esc, "The %s address needs a domain: name@domain", spec->what);
	return -1;
}

/* False: refused, a reply was given. */
static bool
mail_is_allowed(struct smtp_session *s)
{
	struct policy_result r;
	struct facts f;
	bool ok;

	r.want_notes = 0;
	smtp_session_facts(s, AT_MAIL, &f);
	policy_decide(s->front->conf, &f, &r);
	ok = r.verdict == V_OK || r.verdict == V_NEXT;
	if (!ok) {
		char esc[STATUS_ESC_TEXT];
		struct refusal refusal = {.from = s->tx == NULL ? NULL : &s->tx->msg->sender,
		    .code = r.status.code,
		    .esc = esc,
		    .text = r.status.text,
		    .rule = r.rule == NULL ? NULL : r.rule->id};

		status_esc(&r.status, esc);
		smtp_log_refused(s, &refusal);
		smtp_reply_status(s, &r.status);
	}
	policy_result_clear(&r);
	return ok;
}

static bool
mail_is_possible(struct smtp_session *s)
{
	/* a stranger is told to log in (S2) before anything about the address */
	if (s->l->conf->require_auth && s->auth == NULL && !mail_is_allowed(s))
		return false;
	if (s->messages >= s->l->limit->max_messages) {
		smtp_reply_close(s, "4.7.0", "enough messages in one session; connect again");
		return false;
	}
	/* messages whose clients left wait here for the queue, too */
	if (s->front->data_used > (uint64_t)s->front->conf->server->data_memory) {
		smtp_reply(s, 452, "4.3.1", "Too many messages at the same time, try again later");
		return false;
	}
	if (s->front->queue_full) {
		smtp_reply(s, 452, "4.3.1", "The queue is full, try again later");
		return false;
	}
	return true;
}

static bool
params_are_good(struct smtp_session *s, const struct addr *from, const struct smtp_mail_params *p)
{
	uint64_t max = (uint64_t)s->front->conf->server->message_size_limit;

	if (p->has_size && p->size > max) {
		smtp_reply(s, 552, "5.3.4",
		    "The message is too large: %llu octets, at most %llu are taken",
		    (unsigned long long)p->size, (unsigned long long)max);
		return false;
	}
	if (p->body_binary) {
		smtp_reply(s, 555, "5.5.4", "BODY=BINARYMIME is not supported");
		return false;
	}
	if (from->utf8 && !p->smtputf8) {
		smtp_reply(
		    s, 553, "5.6.7", "An address with characters beyond ASCII needs SMTPUTF8");
		return false;
	}
	return true;
}

enum cmd_result
cmd_mail(struct smtp_session *s, struct span arg)
{
	static const struct path_spec spec = {
	    "MAIL", "FROM", "sender", "5.1.7", ADDR_ALLOW_NULL, false};
	struct smtp_mail_params p;
	struct smtp_params_error err;
	struct span rest;
	struct addr from;
	struct message *m;

	if (!mail_is_possible(s) || smtp_path_take(s, arg, &spec, &from, &rest) == -1)
		return CMD_DONE;
	if (smtp_params_mail(rest, &p, &err) == -1) {
		smtp_reply(s, err.code, err.esc, "%s", err.text);
		return CMD_DONE;
	}
	if (!params_are_good(s, &from, &p))
		return CMD_DONE;
	s->tx = smtp_tx_new(s);
	m = s->tx->msg;
	m->sender = from;
	m->ret = p.ret;
	if (p.envid[0] != '\0')
		m->envid = xstrdup(p.envid);
	if (p.body_8bit)
		m->flags |= MSG_8BITMIME;
	if (p.smtputf8)
		m->flags |= MSG_SMTPUTF8;
	if (from.utf8)
		m->flags |= MSG_UTF8_NEEDED;
	s->tx->declared = p.has_size ? p.size : 0;
	if (!mail_is_allowed(s)) {
		smtp_tx_free(s);
		return CMD_DONE;
	}
	smtp_session_enter(s, ST_MAIL);
	smtp_reply(s, 250, "2.1.0", "Ok");
	return CMD_DONE;
}
