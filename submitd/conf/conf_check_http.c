/* SPDX-License-Identifier: ISC */
/*
 * Checks of backends that ask an HTTP server: URLs, templates, what a yes is. Pure.
 */
#include "conf/conf_internal.h"

#include "base/str.h"
#include "base/template.h"
#include "base/url.h"

#include <string.h>

struct place {
	struct conf_builder *b;
	const struct conf_backend *x;
	const char *label;
};

bool
conf_check_url(struct conf_builder *b, const struct conf_backend *x, enum conf_option_backend opt,
    const char *text)
{
	struct conf_where where = conf_option_where(CONF_BLOCK_backend, x, opt);
	const char *name = conf_blocks[CONF_BLOCK_backend].opts[opt].name, *wrong;
	char label[CONF_LABEL];
	struct url u;

	conf_label(CONF_BLOCK_backend, x->title, NULL, label);
	if ((wrong = url_parse(span_of(text), &u)) != NULL) {
		conf_error(b, where,
		    "%s: %s is no usable URL: %s; write it as in https://login.example.com/check",
		    label, name, wrong);
		return false;
	}
	if (u.https || url_is_loopback(&u))
		return true;
	if (x->allow_plain)
		conf_warn(b, where, "%s: %s sends secrets over the network in clear", label, name);
	else
		conf_error(b, where,
		    "%s: %s would send secrets in clear; write https://, or allow_plain = true",
		    label, name);
	return true;
}

/* *use: what stands in the query. Elsewhere a name would choose what is asked, or who. */
static void
check_template_url(const struct place *p, struct template_use *use)
{
	struct conf_where where = CONF_WHERE(p->x, backend, url);
	struct template_use front = {false, false};
	struct span text = span_of(p->x->url), before = text;
	const char *query = strchr(p->x->url, '?'), *wrong;

	if (!conf_check_url(p->b, p->x, CONF_OPT_backend_url, p->x->url))
		return;
	if (query != NULL)
		before.n = (size_t)(query - text.p);
	if ((wrong = template_check(text, TEMPLATE_FORM, use)) != NULL ||
	    (wrong = template_check(before, TEMPLATE_FORM, &front)) != NULL)
		conf_error(p->b, where, "%s: url: %s", p->label, wrong);
	else if (front.name || front.password)
		conf_error(p->b, where,
		    "%s: url: name and password may stand behind the ? only, as in ?user=%%u: in "
		    "front of it a name such as ../x would choose another page",
		    p->label);
	if (use->password)
		conf_warn(p->b, where,
		    "%s: url: passwords in a URL end in the server's access log; method = POST "
		    "with a body does not have that",
		    p->label);
}

static void
check_body(const struct place *p, struct template_use *use)
{
	struct conf_where where = CONF_WHERE(p->x, backend, body);
	const char *wrong;

	if (p->x->method == HTTP_GET) {
		if (p->x->body != NULL)
			conf_error(p->b, where, "%s: body is for method = POST", p->label);
		if (CONF_GIVEN(p->x, backend, content_type))
			conf_error(p->b, CONF_WHERE(p->x, backend, content_type),
			    "%s: content_type is for method = POST", p->label);
		return;
	}
	if (p->x->body == NULL)
		return;
	wrong = template_check(span_of(p->x->body),
	    p->x->content_type == HTTP_JSON ? TEMPLATE_JSON : TEMPLATE_FORM, use);
	if (wrong != NULL)
		conf_error(p->b, where, "%s: body: %s", p->label, wrong);
}

/* Exactly one thing says what a yes is. */
static void
check_expect(const struct place *p)
{
	const struct conf_backend *x = p->x;

	if ((x->expect != NULL) + (x->expect_field != NULL) + x->expect_status > 1)
		conf_error(p->b, CONF_WHERE(x, backend, type),
		    "%s: write only one of expect, expect_field and expect_status", p->label);
	if (x->expect_newline && (x->expect_field != NULL || x->expect_status))
		conf_error(p->b, CONF_WHERE(x, backend, expect_newline),
		    "%s: expect_newline is for expect", p->label);
	if (x->expect_status && x->auth != HTTP_AUTH_BASIC)
		conf_error(p->b, CONF_WHERE(x, backend, expect_status),
		    "%s: expect_status is for auth = basic: servers answer 200 to many things, a "
		    "login page too",
		    p->label);
	if (x->expect_field != NULL && x->expect_field[0] == '=')
		conf_error(p->b, CONF_WHERE(x, backend, expect_field),
		    "%s: expect_field names no member; write it as in ok=true", p->label);
	if (x->expect_field == NULL && !x->expect_status &&
	    (x->user_field != NULL || x->addresses_field != NULL))
		conf_error(p->b,
		    x->user_field != NULL ? CONF_WHERE(x, backend, user_field)
					  : CONF_WHERE(x, backend, addresses_field),
		    "%s: user_field and addresses_field need a JSON answer: write expect_field, "
		    "as in ok=true, in place of expect",
		    p->label);
}

void
conf_check_backend_http(struct conf_builder *b, const struct conf_backend *x, const char *label)
{
	const struct place p = {b, x, label};
	struct template_use url = {false, false}, body = {false, false};
	unsigned before = (unsigned)b->f->errors;

	if (x->url == NULL) {
		conf_error(b, CONF_WHERE(x, backend, type),
		    "%s: type = http needs url = \"https://HOST/PATH\"", label);
		return;
	}
	check_template_url(&p, &url);
	check_body(&p, &body);
	check_expect(&p);
	conf_check_absolute(b, CONF_WHERE(x, backend, ca_file), label, "ca_file", x->ca_file);
	/* another mistake may be why nothing was found */
	if (b->f->errors == before && x->auth != HTTP_AUTH_BASIC &&
	    !((url.name || body.name) && (url.password || body.password)))
		conf_error(b, CONF_WHERE(x, backend, url),
		    "%s: nothing carries %s: put %s into body (method = POST) or url, or write "
		    "auth = basic",
		    label,
		    url.name || body.name           ? "the password (%p)"
		    : url.password || body.password ? "the name (%u)"
						    : "the name (%u) and the password (%p)",
		    url.name || body.name || url.password || body.password ? "it" : "them");
}
