/* SPDX-License-Identifier: ISC */
/*
 * HELO and EHLO: the client's name, and what works here and now (P4). Runs in
 * front. Never offers what would not be taken: STARTTLS only where there is a
 * certificate and no TLS yet, AUTH only what the auth role told and may be used.
 */
#include "base/str.h"
#include "base/tls_client_cert.h"
#include "front/smtp_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool
smtp_session_has_cert(const struct smtp_session *s)
{
	return !s->xclient && tls_client_verified(io_ssl(s->io));
}

const char *
smtp_auth_mechs(const struct smtp_session *s)
{
	const struct conf_listener *l = s->l->conf;
	bool tls = smtp_session_tls(s) != NULL;
	const char *mechs = !tls                       ? s->l->mechs_clear
	                    : smtp_session_has_cert(s) ? s->l->mechs_cert
	                                               : s->l->mechs_tls;

	if (l->auth == LISTENER_AUTH_OFF || (l->auth == LISTENER_AUTH_ENCRYPTED && !tls))
		return NULL;
	return mechs == NULL || mechs[0] == '\0' ? NULL : mechs;
}

enum verdict
smtp_auth_allowed(const struct smtp_session *s, struct policy_result *r)
{
	struct facts f;

	memset(&r->status, 0, sizeof(r->status));
	if (s->l->conf->auth_ip_mode == FILTER_OFF)
		return V_OK;
	smtp_session_facts(s, AT_AUTH, &f);
	policy_decide(s->front->conf, &f, r);
	return r->verdict == V_NEXT ? V_OK : r->verdict;
}

static bool
auth_is_offered(const struct smtp_session *s)
{
	struct policy_result r;
	bool ok = smtp_auth_allowed(s, &r) == V_OK;

	policy_result_clear(&r);
	return ok;
}

/* Lenient: names of devices are often no domains. What goes into Received must be printable. */
static bool
helo_is_good(struct span name)
{
	if (name.n == 0 || name.n > 255)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		if ((uint8_t)name.p[i] <= ' ' || (uint8_t)name.p[i] >= 0x7f ||
		    strchr("()<>\"\\;,", name.p[i]) != NULL)
			return false;
	}
	return true;
}

/* Takes the name; false: a reply was given. */
static bool
helo_take(struct smtp_session *s, struct span arg, const char *verb)
{
	struct policy_result r;
	struct facts f;
	bool ok;

	if (arg.n == 0 && (s->l->conf->tolerated & CONF_TOLERATE_EMPTY_HELO) != 0)
		arg = span_of("unknown");
	if (!helo_is_good(arg)) {
		smtp_reply(s, 501, "5.5.4",
		    "Syntax: %s and your host name or [address], printable ASCII without blanks",
		    verb);
		return false;
	}
	smtp_tx_free(s);
	free(s->helo);
	s->helo = span_dup(arg);
	r.want_notes = 0;
	smtp_session_facts(s, AT_EHLO, &f);
	policy_decide(s->front->conf, &f, &r);
	ok = r.verdict == V_OK || r.verdict == V_NEXT;
	if (!ok) {
		struct refusal refusal = {.code = r.status.code,
		    .text = r.status.text,
		    .rule = r.rule == NULL ? NULL : r.rule->id};

		smtp_log_refused(s, &refusal);
		smtp_reply_status(s, &r.status);
		if (s->state != ST_START)
			smtp_session_enter(s, ST_READY);
	}
	policy_result_clear(&r);
	return ok;
}

enum cmd_result
cmd_helo(struct smtp_session *s, struct span arg)
{
	if (!helo_take(s, arg, "HELO"))
		return CMD_DONE;
	s->esmtp = false;
	smtp_session_enter(s, ST_READY);
	smtp_reply(s, 250, NULL, "%s", s->front->conf->server->hostname);
	return CMD_DONE;
}

enum cmd_result
cmd_ehlo(struct smtp_session *s, struct span arg)
{
	const struct conf_limit *l = s->l->limit;
	const char *mechs;
	char text[2048];
	int n;

	if (!helo_take(s, arg, "EHLO"))
		return CMD_DONE;
	s->esmtp = true;
	smtp_session_enter(s, ST_READY);
	mechs = s->auth == NULL && auth_is_offered(s) ? smtp_auth_mechs(s) : NULL;
	n = snprintf(text, sizeof(text),
	    "250-%.255s\r\n250-PIPELINING\r\n250-SIZE %lld\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
	    "250-DSN\r\n250-CHUNKING\r\n250-LIMITS MAILMAX=%lld RCPTMAX=%lld\r\n"
	    "%s%s%s%.500s%s250 ENHANCEDSTATUSCODES\r\n",
	    s->front->conf->server->hostname, (long long)s->front->conf->server->message_size_limit,
	    (long long)l->max_messages, (long long)l->max_recipients,
	    s->l->n_ctxs > 0 && smtp_session_tls(s) == NULL ? "250-STARTTLS\r\n" : "",
	    smtp_xclient_allowed(s) ? "250-XCLIENT NAME ADDR PORT PROTO HELO\r\n" : "",
	    mechs == NULL ? "" : "250-AUTH ", mechs == NULL ? "" : mechs,
	    mechs == NULL ? "" : "\r\n");
	smtp_reply_raw(s, 250, text, (size_t)n);
	return CMD_DONE;
}
