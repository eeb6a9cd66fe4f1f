/* SPDX-License-Identifier: ISC */
/*
 * DATA and BDAT (RFC 3030): the commands; the octets are smtp_data.c's. Runs in
 * front. A refused BDAT still takes the octets of its chunk, so that no message is
 * ever read as commands.
 */
#include "base/str.h"
#include "front/smtp_session.h"

#define BDAT_CHUNK_MAX (UINT64_C(4) << 30)

enum cmd_result
cmd_data(struct smtp_session *s, struct span arg)
{
	(void)arg;
	if (s->tx->msg->n_rcpts == 0) {
		smtp_reply(s, 554, "5.5.1", "No valid recipients");
		if (s->input_left > 0)
			/* it may be a message of a client that did not wait for 354 */
			smtp_reply_close(s, "4.5.0", "data came before DATA was answered");
		return CMD_DONE;
	}
	smtp_session_enter(s, ST_DATA);
	smtp_data_begin(s, false);
	smtp_reply(s, 354, NULL, "End data with <CR><LF>.<CR><LF>");
	return CMD_DONE;
}

/* "n" or "n LAST" */
static int
bdat_parse(struct span arg, uint64_t *size, bool *last)
{
	struct span rest = arg, number = span_cut(&rest, ' ');

	rest = span_trim(rest);
	if (rest.n > 0 && !span_eq_nocase(rest, "LAST"))
		return -1;
	*last = rest.n > 0;
	return span_to_u64(number, 0, BDAT_CHUNK_MAX, size);
}

enum cmd_result
cmd_bdat(struct smtp_session *s, struct span arg)
{
	uint64_t size;
	bool last;

	if (bdat_parse(arg, &size, &last) == -1) {
		/* where the chunk ends is not known: nothing behind it can be trusted */
		smtp_reply(
		    s, 501, "5.5.4", "Syntax: BDAT and a number of octets, then perhaps LAST");
		smtp_reply_close(s, "4.5.0", "the end of the chunk is not known");
		return CMD_DONE;
	}
	smtp_data_chunk(s, size, last);
	return CMD_DONE;
}
