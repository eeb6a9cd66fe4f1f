/* SPDX-License-Identifier: ISC */
/*
 * What web servers answer, and templates of any text with values of any octets. First
 * byte: what is fuzzed and by which rule; a second one: the status.
 *
 * A form that is filled in is split again as a server does it: the values must come
 * out as they went in, and there must be no more fields than the template has.
 */
#include "authbackends/http_trace.h"
#include "authbackends/http_verdict.h"
#include "base/str.h"
#include "base/template.h"
#include "base/url.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
fuzz_answer(unsigned how, uint8_t status, struct span body)
{
	static char field[] = "a.b=true", user[] = "u", own[] = "m";
	struct conf_backend block = {.expect_newline = (how & 1) != 0,
	    .expect_field = (how & 2) != 0 ? field : NULL,
	    .expect_status = (how & 6) == 4,
	    .user_field = (how & 8) != 0 ? user : NULL,
	    .addresses_field = (how & 16) != 0 ? own : NULL};
	struct auth_check c = {.login = "x"};
	struct buf shown = BUF_INIT;
	struct http_rule r;
	bool lasting;
	enum verdict v;

	http_rule_init(&r, &block);
	if (r.body != NULL)
		r.user_field = r.addresses_field = NULL; /* as conf_check has it */
	v = http_verdict(&r, status < 250 ? 200 : status * 2, body, &c, &lasting);
	if ((v == V_OK) != (c.reason[0] == '\0') || (v == V_OK && status >= 250) ||
	    str_has_control(span_of(c.name)) ||
	    (v == V_OK && r.user_field != NULL && c.name[0] == '\0'))
		abort();
	secret_set(&c.password, body.p, body.n < 8 ? body.n : 8);
	http_trace_shown(&shown, body, &c);
	if (buf_len(&shown) > HTTP_SHOWN_MAX + 8 || str_has_control(buf_span(&shown)))
		abort();
	buf_clear(&shown);
	secret_clear(&c.password);
	buf_clear(&c.own);
	http_rule_clear(&r);
}

/* Percent-decodes; a "+" stays: we never send one for a blank. */
static void
decode(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '%' && i + 2 < s.n) {
			char hex[3] = {s.p[i + 1], s.p[i + 2], '\0'};

			buf_add_byte(out, (uint8_t)strtoul(hex, NULL, 16));
			i += 2;
		} else {
			buf_add_byte(out, (uint8_t)s.p[i]);
		}
	}
}

static void
must_be(struct span field, const char *name, struct span want)
{
	struct buf out = BUF_INIT;
	struct span key = span_cut(&field, '=');

	decode(&out, field);
	if (!span_eq(key, name) || buf_len(&out) != want.n ||
	    (want.n > 0 && memcmp(buf_data(&out), want.p, want.n) != 0))
		abort();
	buf_clear(&out);
}

static void
fuzz_values(struct span name, struct span password)
{
	struct buf out = BUF_INIT;
	struct span rest, user, pass;
	const char *got;
	json_t *j;

	if (template_expand(&out, span_of("u=%u&p=$2"), TEMPLATE_FORM, name, password) == -1)
		abort();
	rest = buf_span(&out);
	user = span_cut(&rest, '&');
	pass = span_cut(&rest, '&');
	if (rest.p != NULL)
		abort();
	must_be(user, "u", name);
	must_be(pass, "p", password);
	buf_wipe(&out);
	if (template_expand(&out, span_of("{\"u\":\"$1\",\"p\":\"%p\"}"), TEMPLATE_JSON, name,
		password) == -1) {
		if (utf8_valid(name) && utf8_valid(password))
			abort();
		return;
	}
	j = json_loadb((const char *)buf_data(&out), buf_len(&out),
	    JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
	got = json_string_value(json_object_get(j, "u"));
	if (json_object_size(j) != 2 || json_string_length(json_object_get(j, "u")) != name.n ||
	    (name.n > 0 && memcmp(got, name.p, name.n) != 0) ||
	    json_string_length(json_object_get(j, "p")) != password.n)
		abort();
	json_decref(j);
	buf_wipe(&out);
}

static void
fuzz_template(struct span text)
{
	static const struct span value = {"\"\\&=%u\xc3\xa9", 8};
	enum template_kind kinds[] = {TEMPLATE_FORM, TEMPLATE_JSON};
	struct template_use use;
	struct url u;

	for (size_t i = 0; i < 2; i++) {
		struct buf out = BUF_INIT;
		json_t *j;

		if (template_check(text, kinds[i], &use) != NULL)
			continue;
		if (template_expand(&out, text, kinds[i], value, value) == -1)
			abort();
		/* what was accepted as JSON stays JSON whatever the user sends */
		if (kinds[i] == TEMPLATE_JSON) {
			j = json_loadb((const char *)buf_data(&out), buf_len(&out), 0, NULL);
			if (j == NULL)
				abort();
			json_decref(j);
		}
		buf_wipe(&out);
	}
	if (url_parse(text, &u) == NULL &&
	    (u.host.n == 0 || u.port == 0 || memchr(text.p, '#', text.n) != NULL ||
		memchr(u.host.p, '@', u.host.n) != NULL))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span rest, name;

	if (n < 2)
		return 0;
	rest = (struct span){(const char *)data + 2, n - 2};
	switch (data[0] >> 6) {
	case 0:
		fuzz_template(rest);
		break;
	case 1:
		name = span_cut(&rest, '\n');
		fuzz_values(name, rest.p == NULL ? (struct span){"", 0} : rest);
		break;
	default:
		fuzz_answer(data[0], data[1], rest);
	}
	return 0;
}
