/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_HTTP_VERDICT_H
#define SUBMITD_HTTP_VERDICT_H

#include "authbackends/authbackend.h"
#include "base/buf.h"

#include <stdbool.h>

/* What a yes is: exactly one of body, field and status. Texts live in the configuration. */
struct http_rule {
	const char *body; /* the whole answer; NULL: not by body */
	bool newline;     /* LF or CRLF may follow it */
	char *field;      /* owned: member of a JSON object; NULL: not by member */
	char *value;      /* owned: its text */
	bool status;      /* 200 is a yes */
	const char *user_field, *addresses_field; /* of the JSON object of a yes, or NULL */
};

void http_rule_init(struct http_rule *, const struct conf_backend *);
void http_rule_clear(struct http_rule *);

/*
 * What a server's answer means (S45), with c->reason and c->answered. 200 as the rule has it is
 * V_OK; 200 with something else, 401 and 403 are V_PERM; all that says nothing about the user is
 * V_TEMP. *misconfigured: only an operator can change it. Pure.
 */
enum verdict http_verdict(const struct http_rule *, long status, struct span body,
    struct auth_check *c, bool *misconfigured);

/* A status that waiting does not change: the URL is wrong, not the server busy. */
bool http_status_is_lasting(long status);
/* A status of a server that is well; 502 to 504 and their like are none (auth_check.answered). */
bool http_status_is_answer(long status);

#endif
