/* SPDX-License-Identifier: ISC */
/*
 * Backend "http" (S45): asks a web server whether a name and a password are right, in
 * a query, a form, a JSON object or by Basic authentication. Process auth, on
 * workers. Must never take anything but the agreed answer for a yes.
 */
#include "authbackends/authbackend.h"
#include "authbackends/backend_alarm.h"
#include "authbackends/http_client.h"
#include "authbackends/http_verdict.h"

#include "base/str.h"
#include "base/template.h"
#include "base/url.h"

#include <stdlib.h>
#include <string.h>

struct http {
	const struct conf_backend *block;
	struct http_client *client;
	struct http_rule rule;
	struct backend_alarm alarm;
};

static void
http_close(void *self)
{
	struct http *h = self;

	if (h == NULL)
		return;
	http_client_free(h->client);
	http_rule_clear(&h->rule);
	backend_alarm_clear(&h->alarm);
	free(h);
}

static int
http_open(const struct conf *conf, const struct conf_backend *block, void **self, char *err,
    size_t errsize)
{
	struct http *h = xcallocarray(1, sizeof(*h));
	char why[256] = "";
	struct url u;

	(void)conf;
	h->block = block;
	backend_alarm_init(&h->alarm);
	http_rule_init(&h->rule, block);
	if (block->url == NULL || url_parse(span_of(block->url), &u) != NULL) {
		(void)str_printf(err, errsize, "backend \"%s\": url is no URL", block->title);
		goto fail;
	}
	h->client = http_client_new(block->ca_file, u.https, why, sizeof(why));
	if (h->client == NULL) {
		(void)str_printf(err, errsize, "backend \"%s\": %s", block->title, why);
		goto fail;
	}
	*self = h;
	return 0;
fail:
	http_close(h);
	return -1;
}

/* Name and password into URL and body. -1: they have no form there. */
static int
fill(const struct conf_backend *b, const struct auth_check *c, struct buf *url, struct buf *body)
{
	struct span name = span_of(c->login);
	struct span password = {c->password.data, c->password.len};

	if (template_expand(url, span_of(b->url), TEMPLATE_FORM, name, password) == -1)
		return -1;
	return template_expand(body, span_of(b->body),
	    b->content_type == HTTP_JSON ? TEMPLATE_JSON : TEMPLATE_FORM, name, password);
}

static enum verdict
http_check(void *self, struct auth_check *c)
{
	struct http *h = self;
	const struct conf_backend *b = h->block;
	bool basic = b->auth == HTTP_AUTH_BASIC, misconfigured = false;
	struct buf url = {.wipes = true}, body = {.wipes = true};
	struct http_answer a = {0};
	enum verdict v = V_TEMP;

	/* RFC 7617, 2: the name ends at the first colon */
	if (basic && strchr(c->login, ':') != NULL) {
		(void)str_copy(
		    c->reason, sizeof(c->reason), "a name with a colon has no form in Basic");
		return V_PERM;
	}
	if (fill(b, c, &url, &body) == -1) {
		(void)str_copy(c->reason, sizeof(c->reason), "not UTF-8, which JSON needs");
		v = V_PERM;
		goto out;
	}
	const struct http_request r = {
	    .url = buf_cstr(&url),
	    .post = b->method == HTTP_POST,
	    .body = buf_span(&body),
	    .content_type = b->content_type == HTTP_JSON ? "application/json"
	                                                 : "application/x-www-form-urlencoded",
	    .user = basic ? c->login : NULL,
	    .password = c->password.data,
	    .deadline_ms = c->deadline_ms,
	    .shown_url = span_of(b->url),
	};
	http_client_ask(h->client, &r, &a, c);
	if (a.status == 0) {
		(void)str_copy(c->reason, sizeof(c->reason), a.error);
		misconfigured = a.operator_must_act;
	} else {
		v = http_verdict(&h->rule, a.status, buf_span(&a.body), c, &misconfigured);
	}
	if (misconfigured)
		backend_alarm_raise(&h->alarm, c->reason);
out:
	http_answer_clear(&a);
	buf_wipe(&url);
	buf_wipe(&body);
	return v;
}

static void
http_tick(void *self, void (*want_file)(const char *path))
{
	struct http *h = self;

	(void)want_file;
	backend_alarm_tick(&h->alarm, h->block->title);
}

const struct authbackend authbackend_http = {
    .name = "http",
    .knows_users = false,
    .remote = true,
    .creds = CRED_BIT(CRED_PASSWORD),
    .open = http_open,
    .check = http_check,
    .close = http_close,
    .tick = http_tick,
};
