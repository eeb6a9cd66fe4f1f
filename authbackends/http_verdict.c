/* SPDX-License-Identifier: ISC */
/*
 * What the answer of a server means for a login (S45). Process auth. Pure. Must never
 * take an error page, a login page or half an answer for a yes, and nothing but an
 * answer about the user for a no.
 */
#include "authbackends/http_verdict.h"

#include "authbackends/json_answer.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define VALUE_MAX 300u

void
http_rule_init(struct http_rule *r, const struct conf_backend *b)
{
	const char *equals;

	*r = (struct http_rule){.newline = b->expect_newline,
	    .status = b->expect_status,
	    .user_field = b->user_field,
	    .addresses_field = b->addresses_field};
	if (b->expect_field != NULL) {
		equals = strchr(b->expect_field, '=');
		r->field = equals == NULL
		               ? xstrdup(b->expect_field)
		               : xstrndup(b->expect_field, (size_t)(equals - b->expect_field));
		r->value = xstrdup(equals == NULL ? "true" : equals + 1);
	} else if (!b->expect_status) {
		r->body = b->expect == NULL ? "OK" : b->expect;
	}
}

void
http_rule_clear(struct http_rule *r)
{
	free(r->field);
	free(r->value);
	*r = (struct http_rule){0};
}

static enum verdict
temporary(struct auth_check *c, const char *why)
{
	(void)str_copy(c->reason, sizeof(c->reason), why);
	return V_TEMP;
}

static enum verdict
deny(struct auth_check *c, const char *why)
{
	(void)str_copy(c->reason, sizeof(c->reason), why);
	return V_PERM;
}

static bool
body_is(const struct http_rule *r, struct span body)
{
	if (r->newline && body.n > 0 && body.p[body.n - 1] == '\n') {
		body.n--;
		if (body.n > 0 && body.p[body.n - 1] == '\r')
			body.n--;
	}
	return span_eq(body, r->body);
}

/* A yes that may say more. What it was asked for and does not say is no yes. */
static enum verdict
take_fields(const struct http_rule *r, const json_t *j, struct auth_check *c)
{
	if (r->user_field != NULL && json_answer_user(j, r->user_field, c->name) == -1)
		return temporary(c, "the answer has no user name in user_field");
	if (r->addresses_field != NULL)
		json_answer_addresses(j, r->addresses_field, c);
	return V_OK;
}

static enum verdict
judge_json(const struct http_rule *r, struct span body, struct auth_check *c)
{
	json_t *j = json_answer_parse(body);
	const json_t *member;
	char text[VALUE_MAX];
	enum verdict v;

	if (j == NULL)
		return temporary(c, "the answer is no JSON object");
	if (r->field == NULL) {
		v = take_fields(r, j, c);
	} else if ((member = json_answer_member(j, r->field)) == NULL) {
		v = temporary(c, "the answer has no member as in expect_field");
	} else if (json_answer_text(member, text, sizeof(text)) == 0 &&
		   strcmp(text, r->value) == 0) {
		v = take_fields(r, j, c);
	} else {
		v = deny(c, "the server said no");
	}
	json_decref(j);
	return v;
}

/* The server, or what stands in front of one that is gone, says that it cannot just now. */
static bool
is_away(long status)
{
	return status == 408 || status == 425 || status == 429 || (status >= 502 && status <= 504);
}

bool
http_status_is_lasting(long status)
{
	return status >= 300 && status < 500 && !is_away(status);
}

bool
http_status_is_answer(long status)
{
	return status >= 200 && !is_away(status);
}

enum verdict
http_verdict(const struct http_rule *r, long status, struct span body, struct auth_check *c,
    bool *misconfigured)
{
	*misconfigured = false;
	c->answered = http_status_is_answer(status);
	if (status == 401 || status == 403)
		return deny(
		    c, status == 401 ? "the server said no (401)" : "the server said no (403)");
	if (status != 200) {
		(void)str_printf(c->reason, sizeof(c->reason), "the server answered %ld", status);
		*misconfigured = http_status_is_lasting(status);
		return V_TEMP;
	}
	if (r->body != NULL)
		return body_is(r, body) ? V_OK : deny(c, "the server said no");
	if (r->field != NULL || r->user_field != NULL || r->addresses_field != NULL)
		return judge_json(r, body, c);
	return r->status ? V_OK : temporary(c, "nothing says what a yes is");
}
