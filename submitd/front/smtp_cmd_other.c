/* SPDX-License-Identifier: ISC */
/*
 * RSET, NOOP, VRFY, EXPN, HELP, QUIT. Runs in front. Tells nobody whether an
 * address exists (RFC 5321, 3.5.3).
 */
#include "base/str.h"
#include "front/smtp_session.h"

#include <string.h>

enum cmd_result
cmd_rset(struct smtp_session *s, struct span arg)
{
	(void)arg;
	smtp_reply(s, 250, "2.0.0", "Ok");
	smtp_session_reset_tx(s);
	return CMD_DONE;
}

enum cmd_result
cmd_noop(struct smtp_session *s, struct span arg)
{
	(void)arg;
	smtp_reply(s, 250, "2.0.0", "Ok");
	return CMD_DONE;
}

enum cmd_result
cmd_vrfy(struct smtp_session *s, struct span arg)
{
	if (arg.n == 0)
		smtp_reply(s, 501, "5.5.4", "Syntax: VRFY and an address");
	else
		smtp_reply(s, 252, "2.5.0", "Not verified here: send the message and see");
	return CMD_DONE;
}

enum cmd_result
cmd_expn(struct smtp_session *s, struct span arg)
{
	(void)arg;
	smtp_reply(s, 502, "5.5.1", "EXPN is not available");
	return CMD_DONE;
}

enum cmd_result
cmd_help(struct smtp_session *s, struct span arg)
{
	static const char text[] =
	    "214-2.0.0 Commands: EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP "
	    "QUIT\r\n"
	    "214 2.0.0 To submit mail: EHLO, STARTTLS, EHLO, AUTH, MAIL, RCPT, DATA\r\n";

	(void)arg;
	smtp_reply_raw(s, 214, text, strlen(text));
	return CMD_DONE;
}

enum cmd_result
cmd_quit(struct smtp_session *s, struct span arg)
{
	(void)arg;
	smtp_reply(s, 221, "2.0.0", "Bye");
	smtp_session_end(s, true);
	return CMD_DONE;
}
