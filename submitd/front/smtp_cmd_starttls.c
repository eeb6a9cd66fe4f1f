/* SPDX-License-Identifier: ISC */
/*
 * STARTTLS (RFC 3207). Runs in front. What came in clear behind the command is
 * never executed (P2): it ends the session, and what was known before the
 * handshake is forgotten.
 */
#include "base/log.h"
#include "base/str.h"
#include "front/smtp_session.h"

static void
log_injection(const struct smtp_session *s)
{
	struct log_line l;
	char sid[17];

	str_printf(sid, sizeof(sid), "%016llx", (unsigned long long)s->sid);
	log_begin(&l, LOG_LEVEL_WARN, EV_INJECTION);
	log_str(&l, LK_SID, sid);
	log_str(&l, LK_LISTENER, s->l->conf->title);
	log_addr(&l, LK_CLIENT, &s->client);
	log_u64(&l, LK_BYTES, s->input_left);
	log_str(&l, LK_TEXT, "bytes in clear behind STARTTLS were not executed");
	log_end(&l);
}

enum cmd_result
cmd_starttls(struct smtp_session *s, struct span arg)
{
	(void)arg;
	if (s->input_left > 0) {
		log_injection(s);
		smtp_reply(
		    s, 554, "5.5.1", "Data was sent behind STARTTLS before the handshake; closing");
		smtp_session_end(s, true);
		return CMD_DONE;
	}
	if (smtp_session_tls(s) != NULL) {
		smtp_reply(s, 503, "5.5.1", "TLS is on already");
		return CMD_DONE;
	}
	if (s->l->n_ctxs == 0) {
		smtp_reply(s, 502, "5.5.1", "This port does not offer TLS");
		return CMD_DONE;
	}
	smtp_reply(s, 220, "2.0.0", "Ready to start TLS");
	smtp_session_enter(s, ST_TLS);
	if (io_tls_accept(s->io, s->l->ctxs[0]) == -1)
		smtp_session_end(s, false);
	return CMD_DONE;
}

void
smtp_session_tls_up(struct smtp_session *s)
{
	if (s->state == ST_NEW) {
		smtp_session_greet(s);
		return;
	}
	smtp_session_forget(s);
	smtp_session_enter(s, ST_START);
}
