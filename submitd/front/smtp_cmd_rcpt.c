/* SPDX-License-Identifier: ISC */
/*
 * RCPT: one recipient and the way its mail will go. Runs in front. Policy decides
 * and routes; a recipient given twice is one.
 */
#include "base/str.h"
#include "front/smtp_session.h"
#include "mail/smtp_params.h"

#include <string.h>

static void
rcpt_refused(struct smtp_session *s, const struct addr *to, const struct policy_result *r)
{
	char esc[STATUS_ESC_TEXT];
	struct refusal refusal = {.from = &s->tx->msg->sender,
	    .to = to,
	    .code = r->status.code,
	    .esc = esc,
	    .text = r->status.text,
	    .rule = r->rule == NULL ? NULL : r->rule->id};

	status_esc(&r->status, esc);
	smtp_log_refused(s, &refusal);
	front_audit_relay(s, to, r);
	smtp_reply_status(s, &r->status);
}

static void
rcpt_add(struct smtp_session *s, const struct addr *to, const struct smtp_rcpt_params *p,
    const struct conf_transport *t)
{
	struct message *m = s->tx->msg;
	struct rcpt *r = message_add_rcpt(m);

	r->addr = *to;
	r->notify = p->notify;
	r->orcpt = p->orcpt[0] == '\0' ? NULL : xstrdup(p->orcpt);
	r->transport = xstrdup(t->title);
	r->dest = xstrdup(t->is_mx ? to->ascii_domain : "");
	if (to->utf8)
		m->flags |= MSG_UTF8_NEEDED;
	smtp_tx_note_rcpt(s->tx);
}

enum cmd_result
cmd_rcpt(struct smtp_session *s, struct span arg)
{
	static const struct path_spec spec = {"RCPT", "TO", "recipient", "5.1.3", 0, true};
	struct message *m = s->tx->msg;
	struct smtp_params_error err;
	struct smtp_rcpt_params p;
	struct policy_result r;
	struct span rest;
	struct facts f;

	if (smtp_path_take(s, arg, &spec, &f.rcpt, &rest) == -1)
		return CMD_DONE;
	if (smtp_params_rcpt(rest, &p, &err) == -1) {
		smtp_reply(s, err.code, err.esc, "%s", err.text);
		return CMD_DONE;
	}
	if (f.rcpt.utf8 && (m->flags & MSG_SMTPUTF8) == 0) {
		smtp_reply(s, 553, "5.6.7",
		    "An address with characters beyond ASCII needs SMTPUTF8 at MAIL");
		return CMD_DONE;
	}
	if (smtp_tx_find_rcpt(s->tx, &f.rcpt) != -1) {
		smtp_reply(s, 250, "2.1.5", "Ok, given before");
		return CMD_DONE;
	}
	if (m->n_rcpts >= (uint64_t)s->l->limit->max_recipients) {
		/* RFC 5321, 4.5.3.1.10 */
		smtp_reply(
		    s, 452, "4.5.3", "Too many recipients: send the others in another message");
		return CMD_DONE;
	}
	r.want_notes = 0;
	smtp_session_facts(s, AT_RCPT, &f);
	f.have_rcpt = true;
	policy_decide(s->front->conf, &f, &r);
	if (r.verdict != V_OK && r.verdict != V_NEXT) {
		rcpt_refused(s, &f.rcpt, &r);
	} else if (r.transport == NULL) {
		smtp_reply(
		    s, 451, "4.3.5", "There is no way for this recipient in the configuration");
	} else {
		if (r.ctx.external)
			m->flags |= MSG_RELAYED | (r.ctx.granted ? MSG_RELAY_ANY : 0);
		rcpt_add(s, &f.rcpt, &p, r.transport);
		smtp_session_enter(s, ST_RCPT);
		smtp_reply(s, 250, "2.1.5", "Ok");
	}
	policy_result_clear(&r);
	return CMD_DONE;
}
