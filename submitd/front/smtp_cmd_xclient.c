/* SPDX-License-Identifier: ISC */
/*
 * XCLIENT: a proxy that we trust says who its client is (P8). Runs in front. Only
 * the listener's xclient addresses may use it, judged by the real peer; others get
 * the answer for unknown commands. It never logs anybody in.
 */
#include "base/str.h"
#include "front/smtp_session.h"

#include <stdlib.h>
#include <string.h>

bool
smtp_xclient_allowed(const struct smtp_session *s)
{
	const struct conf_listener *l = s->l->conf;

	for (size_t i = 0; i < l->n_xclient_nets; i++) {
		if (net_cidr_match(&l->xclient_nets[i], &s->counted))
			return true;
	}
	return false;
}

static bool
value_is_unknown(struct span v)
{
	return span_eq_nocase(v, "[UNAVAILABLE]") || span_eq_nocase(v, "[TEMPUNAVAIL]");
}

/* One NAME=value into the client; -1: not understood. */
static int
xclient_attribute(struct net_addr *client, char **helo, struct span word)
{
	struct span value = word, key = span_cut(&value, '=');
	uint64_t port;

	if (value.p == NULL || value.n == 0)
		return -1;
	if (span_eq_nocase(key, "ADDR")) {
		struct net_addr a;

		if (value_is_unknown(value))
			return 0;
		if (span_starts_nocase(value, "IPV6:")) {
			value.p += 5;
			value.n -= 5;
		}
		if (net_addr_parse_ip(value, &a) == -1)
			return -1;
		a.port = client->port;
		*client = a;
		return 0;
	}
	if (span_eq_nocase(key, "PORT")) {
		if (value_is_unknown(value))
			return 0;
		if (span_to_u64(value, 0, 65535, &port) == -1)
			return -1;
		client->port = (uint16_t)port;
		return 0;
	}
	if (span_eq_nocase(key, "HELO")) {
		if (value_is_unknown(value))
			return 0;
		if (value.n > 255 || !str_is_ascii(value))
			return -1;
		free(*helo);
		*helo = span_dup(value);
		return 0;
	}
	/* names of hosts are not believed, protocols are what EHLO says */
	return span_eq_nocase(key, "NAME") || span_eq_nocase(key, "PROTO") ? 0 : -1;
}

enum cmd_result
cmd_xclient(struct smtp_session *s, struct span arg)
{
	struct net_addr client = s->client;
	char *helo = NULL;

	if (arg.n == 0)
		goto syntax;
	while (arg.p != NULL && arg.n > 0) {
		struct span word = span_cut(&arg, ' ');

		if (word.n > 0 && xclient_attribute(&client, &helo, word) == -1)
			goto syntax;
	}
	smtp_session_forget(s);
	s->xclient = true;
	s->client = client;
	s->helo = helo;
	/* 220 as at the start, and the same question to policy */
	if (s->state == ST_READY)
		smtp_session_enter(s, ST_START);
	smtp_session_greet(s);
	return CMD_DONE;
syntax:
	free(helo);
	smtp_reply(s, 501, "5.5.4", "Syntax: XCLIENT with NAME= ADDR= PORT= PROTO= or HELO=");
	return CMD_DONE;
}
