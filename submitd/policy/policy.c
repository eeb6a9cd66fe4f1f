/* SPDX-License-Identifier: ISC */
/*
 * The engine: asks the rules of rules.def in order and records each one it meets.
 * Runs in front, auth, control and submitctl, three or four times per message. It
 * must never do I/O, keep state, or allocate unless it refuses.
 */
#include "policy/policy.h"

#include "base/list.h"
#include "base/str.h"
#include "policy/rule.h"

#include <stdio.h>
#include <string.h>

#define RULE(id, name, scope, stage, fn, help) {#id, #name, SCOPE_##scope, stage, help, fn},
static const struct policy_rule rules[] = {
#include "policy/rules.def"
};
#undef RULE

static const char *const stage_names[AT__MAX] = {"connect", "ehlo", "auth", "mail", "rcpt", "data"};
static const char *const scope_names[SCOPE__MAX] = {"listener", "ou", "user", "domain"};

const struct policy_rule *
policy_rules(size_t *n)
{
	*n = ARRAY_LEN(rules);
	return rules;
}

const char *
policy_stage_name(enum policy_stage stage)
{
	return stage < AT__MAX ? stage_names[stage] : "?";
}

const char *
policy_scope_name(enum policy_scope scope)
{
	return scope < SCOPE__MAX ? scope_names[scope] : "?";
}

/* ---- what rules use ----------------------------------------------------------------------- */

void
policy_note(struct policy_result *r, const char *fmt, ...)
{
	struct policy_step *s = &r->steps[r->n_steps - 1];
	va_list ap;

	if (!r->want_notes)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(s->note, sizeof(s->note), fmt, ap);
	va_end(ap);
}

void
policy_at(struct policy_result *r, const struct conf_where *options, unsigned option,
    const struct conf_where *block)
{
	struct policy_step *s = &r->steps[r->n_steps - 1];

	if (options != NULL && options[option].line != 0)
		s->where = options[option];
	else
		s->where = *block;
}

static enum verdict
refuse(struct policy_result *r, enum verdict v, unsigned code, const char *esc, const char *text)
{
	status_set(&r->status, v, code, esc, "%s (%s)", text, r->steps[r->n_steps - 1].rule->id);
	return v;
}

enum verdict
policy_refuse(struct policy_result *r, unsigned code, const char *esc, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return refuse(r, V_PERM, code, esc, text);
}

enum verdict
policy_unknown(struct policy_result *r, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	policy_note(r, "%s", text);
	return refuse(r, V_TEMP, 451, "4.3.0", text);
}

const char *
policy_show(const char *text, char out[POLICY_SHOWN])
{
	size_t n = strlen(text), max = POLICY_SHOWN - 4;

	if (n < POLICY_SHOWN) {
		memcpy(out, text, n + 1);
		return out;
	}
	while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80)
		max--;
	memcpy(out, text, max);
	memcpy(out + max, "...", 4);
	return out;
}

const char *
policy_show_addr(const struct addr *a, char out[POLICY_SHOWN])
{
	char text[ADDR_TEXT];

	if (addr_is_null(a))
		return policy_show("<>", out);
	addr_format(a, text);
	return policy_show(text, out);
}

static bool
is_same(const struct addr *a, struct span address)
{
	char text[ADDR_TEXT];
	struct addr own;

	if (addr_format_ascii(a, text) == 0 && span_eq_nocase(address, text))
		return true;
	return addr_parse(address, ADDR_ALLOW_UTF8, &own) == ADDR_OK && addr_equal(a, &own);
}

bool
policy_is_own(const struct facts *f, const struct addr *a)
{
	struct span rest = f->own, one;

	if (f->principal == NULL || addr_is_null(a))
		return false;
	if (is_same(a, span_of(f->principal)))
		return true;
	while (rest.n > 0) {
		one = span_cut(&rest, '\0');
		if (is_same(a, one))
			return true;
	}
	return false;
}

/* ---- the principal ------------------------------------------------------------------------ */

static int
complete(struct addr *a, const char *domain)
{
	if (domain == NULL || domain[0] == '\0')
		return 0;
	if (addr_domain_ascii(span_of(domain), a->ascii_domain) == -1)
		return -1;
	return str_copy(a->domain, sizeof(a->domain), a->ascii_domain);
}

int
policy_principal(
    const struct conf *conf, const struct conf_listener *l, const char *login, char out[ADDR_TEXT])
{
	struct span s = span_of(login);
	struct addr a;
	enum addr_error e;

	(void)conf;
	if (s.n == 0 || s.n > ADDR_MAX || str_has_control(s) || !utf8_valid(s))
		return -1;
	e = addr_parse(s, ADDR_ALLOW_UTF8 | ADDR_ALLOW_UNQUALIFIED, &a);
	if (e == ADDR_NO_DOMAIN) {
		a.domain[0] = a.ascii_domain[0] = '\0';
		if (complete(&a, l == NULL ? NULL : l->default_domain) == -1)
			return -1;
		if (a.domain[0] == '\0')
			return str_copy(out, ADDR_TEXT, a.local);
	} else if (e != ADDR_OK) {
		return -1;
	}
	if (a.ascii_domain[0] != '\0' && str_copy(a.domain, sizeof(a.domain), a.ascii_domain) == -1)
		return -1;
	addr_format(&a, out);
	return 0;
}

/* The domain behind the last @ of a canonical address; NULL: none. */
static const char *
principal_domain(const char *principal)
{
	const char *at = strrchr(principal, '@');

	return at == NULL || at[1] == '\0' ? NULL : at + 1;
}

const struct conf_ou *
policy_principal_ou(const struct conf *conf, const char *principal)
{
	const struct conf_user *u;
	const char *domain;

	if (principal == NULL)
		return NULL;
	u = conf_user_find(conf, principal);
	if (u != NULL && u->ou_block != NULL)
		return u->ou_block;
	domain = principal_domain(principal);
	return domain == NULL ? NULL : conf_ou_of_domain(conf, domain);
}

/* ---- one decision -------------------------------------------------------------------------- */

static void
look_up_auth(const struct conf *conf, const struct facts *f, struct policy_ctx *c)
{
	char name[ADDR_TEXT];
	const char *domain;

	if (f->login == NULL || policy_principal(conf, c->listener, f->login, name) == -1)
		return;
	c->user = conf_user_find(conf, name);
	domain = principal_domain(name);
	if (domain != NULL)
		c->ou = conf_ou_of_domain(conf, domain); /* S14: that of the name's domain */
	if (c->ou == NULL && c->user != NULL)
		c->ou = c->user->ou_block;
}

static void
look_up_route(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	const char *domain = f->rcpt.ascii_domain;

	if (!f->have_rcpt || domain[0] == '\0')
		return;
	r->internal = conf_domain_is_internal(conf, domain);
	r->domain = conf_domain_route(conf, f->listener, domain, &r->ctx.is_any);
	if (r->domain != NULL)
		r->transport = r->domain->transport_block;
	else
		r->ctx.is_any = false;
}

static void
look_up(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	struct policy_ctx *c = &r->ctx;

	if (f->stage == AT_AUTH)
		look_up_auth(conf, f, c);
	if (f->stage < AT_MAIL)
		return;
	if (f->authenticated && f->principal != NULL) {
		c->user = conf_user_find(conf, f->principal);
		if (f->principal_ou != NULL)
			c->ou = conf_ou_find(conf, f->principal_ou);
	}
	if (f->have_sender && f->sender.ascii_domain[0] != '\0')
		c->sender_ou = conf_ou_of_domain(conf, f->sender.ascii_domain);
	if (f->stage == AT_RCPT) {
		look_up_route(conf, f, r);
		c->external = !r->internal || c->is_any;
	}
}

static void
decide(const struct conf *conf, const struct facts *f, bool notes, struct policy_result *r)
{
	r->want_notes = notes;
	r->verdict = V_OK;
	memset(&r->status, 0, sizeof(r->status));
	memset(&r->ctx, 0, sizeof(r->ctx));
	r->rule = NULL;
	r->n_steps = 0;
	r->domain = NULL;
	r->transport = NULL;
	r->internal = false;

	r->ctx.listener = f->listener == NULL ? NULL : conf_listener_find(conf, f->listener);
	if (r->ctx.listener == NULL) {
		r->verdict = V_TEMP;
		status_set(&r->status, V_TEMP, 451, "4.3.5",
		    "this listener is not in the configuration any more; try again later");
		return;
	}
	look_up(conf, f, r);
	for (size_t i = 0; i < ARRAY_LEN(rules) && r->n_steps < POLICY_MAX_STEPS; i++) {
		struct policy_step *s = &r->steps[r->n_steps];

		if (rules[i].stage != f->stage)
			continue;
		s->rule = &rules[i];
		s->where.file = NULL;
		s->where.line = 0;
		s->note[0] = '\0';
		r->n_steps++;
		s->verdict = rules[i].fn(conf, f, r);
		if (s->verdict == V_PERM || s->verdict == V_TEMP) {
			r->verdict = s->verdict;
			r->rule = s->rule;
			r->domain = NULL;
			r->transport = NULL;
			return;
		}
	}
}

void
policy_decide(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	decide(conf, f, false, r);
}

void
policy_decide_noted(const struct conf *conf, const struct facts *f, struct policy_result *r)
{
	decide(conf, f, true, r);
}

void
policy_result_clear(struct policy_result *r)
{
	status_clear(&r->status);
}
