/* SPDX-License-Identifier: ISC */
/*
 * One connection to a directory: connect, StartTLS, simple bind, search. The only
 * file that calls libldap. Process auth (and lookup), on workers. Must never send
 * an empty password, wait beyond its deadline, or put a password into a text.
 */
#include "authbackends/ldap_conn.h"

#include "authbackends/ldap_wire.h"
#include "base/str.h"
#include "base/stream.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ldap.h>
#include <openldap.h>

#define ANSWER_MAX (1u << 20)       /* octets of all answers to one request */
#define VALUES_MAX 1000             /* of one attribute */
#define VALUE_BYTES_MAX (64u << 10) /* of all of them */

struct ldap_conn {
	LDAP *ld;
	struct ldap_wire wire;
	int64_t request_ms;
	struct ldap_conn_mark mark;
};

void
ldap_conn_init(void)
{
	(void)setenv("LDAPNOINIT", "1", 1);
}

/* ---- words ----------------------------------------------------------------------------------- */

void
ldap_ask_say(struct ldap_ask *a, const char *fmt, ...)
{
	char line[LDAP_DN_MAX + 512], *p;
	va_list ap;

	if (a->say == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap); /* cut: it is for eyes only */
	va_end(ap);
	for (p = line; *p != '\0'; p++) /* names are the server's: a line stays one */
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	a->say(a->arg, line);
}

/* A server's text, made printable; one that tells a password back is not repeated. */
static void
take_text(char *out, const char *text, const struct secret *password)
{
	size_t n = text == NULL ? 0 : strnlen(text, LDAP_TEXT_MAX - 1), i;
	bool utf8 = utf8_valid((struct span){text, n});

	out[0] = '\0';
	if (n > 0 && password != NULL && password->len > 0 &&
	    memmem(text, strlen(text), password->data, password->len) != NULL) {
		(void)str_copy(out, LDAP_TEXT_MAX, "(a text that holds the password)");
		return;
	}
	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];

		out[i] = c < ' ' || c == 0x7f || (c > 0x7f && !utf8) ? ' ' : (char)c;
	}
	out[n] = '\0';
}

static void
no_answer(struct ldap_reply *r, int code, const char *why)
{
	r->code = code < 0 ? code : LDAP_SERVER_DOWN;
	(void)str_copy(r->text, sizeof(r->text), why != NULL ? why : ldap_err2string(r->code));
}

/* ---- requests -------------------------------------------------------------------------------- */

/* What each request may use, and that there is no answer yet. */
static void
begin(struct ldap_conn *c, const struct ldap_ask *a, struct ldap_reply *r)
{
	int64_t until = stream_clock_ms() + c->request_ms;

	c->wire.s.deadline_ms = until < a->deadline_ms ? until : a->deadline_ms;
	c->wire.budget = ANSWER_MAX;
	memset(r, 0, sizeof(*r));
	r->code = LDAP_OTHER; /* until it is known */
	r->policy = LDAP_POLICY_NONE;
	r->grace = -1;
}

/* Why there is no answer, or none that can be believed. */
static void
tell_why(struct ldap_conn *c, struct ldap_reply *r)
{
	const struct ldap_gate *g = &c->wire.gate;
	int code = LDAP_SERVER_DOWN;

	if (g->refused != NULL) {
		no_answer(r, g->over ? LDAP_SERVER_DOWN : LDAP_DECODING_ERROR, g->refused);
	} else if (c->wire.budget == 0) {
		no_answer(r, LDAP_DECODING_ERROR, "the answer is too large");
	} else if (stream_clock_ms() >= c->wire.s.deadline_ms) {
		no_answer(r, LDAP_TIMEOUT, "no answer in time");
	} else {
		(void)ldap_get_option(c->ld, LDAP_OPT_RESULT_CODE, &code);
		no_answer(r, code, NULL);
	}
}

/* Waits for all of the answer. NULL: r tells why. */
static LDAPMessage *
receive(struct ldap_conn *c, int sent, enum ldap_awaited awaited, int id, struct ldap_reply *r)
{
	struct timeval at_once = {0, 0};
	LDAPMessage *m = NULL;
	int got = 0;

	if (sent != LDAP_SUCCESS) {
		no_answer(r, sent, NULL);
		return NULL;
	}
	ldap_gate_expect(&c->wire.gate, awaited, id);
	while (got == 0 && ldap_wire_wait(&c->wire))
		got = ldap_result(c->ld, id, LDAP_MSG_ALL, &at_once, &m);
	if (got > 0)
		return m;
	ldap_msgfree(m);
	tell_why(c, r);
	return NULL;
}

static void
take_policy(LDAPControl **controls, struct ldap_reply *r)
{
	LDAPControl *found = ldap_control_find(LDAP_CONTROL_PASSWORDPOLICYRESPONSE, controls, NULL);

	if (found != NULL)
		ldap_judge_policy(
		    (struct span){found->ldctl_value.bv_val, found->ldctl_value.bv_len}, r);
}

/* Takes the message. */
static void
take_result(
    struct ldap_conn *c, LDAPMessage *m, const struct secret *password, struct ldap_reply *r)
{
	LDAPControl **controls = NULL;
	char *text = NULL;
	int code = LDAP_DECODING_ERROR, rc;

	rc = ldap_parse_result(c->ld, m, &code, NULL, &text, NULL, &controls, 1);
	if (rc != LDAP_SUCCESS) {
		no_answer(r, rc, "the answer cannot be read");
	} else {
		r->code = code;
		take_text(r->text, text, password);
		if (controls != NULL)
			take_policy(controls, r);
	}
	ldap_memfree(text);
	ldap_controls_free(controls);
}

int
ldap_conn_bind(struct ldap_conn *c, struct ldap_ask *a, const char *name,
    const struct secret *password, struct ldap_reply *r)
{
	struct berval cred = {password->len, password->data};
	LDAPControl *policy = NULL, *controls[2] = {NULL, NULL};
	int64_t start = stream_clock_ms();
	LDAPMessage *m;
	int id = -1, rc;

	begin(c, a, r);
	/* a DN of blanks is the empty one to OpenLDAP */
	if (name[strspn(name, " \t\r\n")] == '\0' || password->len == 0 ||
	    memchr(password->data, '\0', password->len) != NULL) {
		r->code = LDAP_INAPPROPRIATE_AUTH;
		(void)str_copy(r->text, sizeof(r->text), "not sent: name or password is empty");
		return r->code;
	}
	if (ldap_create_passwordpolicy_control(c->ld, &policy) == LDAP_SUCCESS)
		controls[0] = policy;
	rc = ldap_sasl_bind(c->ld, name, LDAP_SASL_SIMPLE, &cred, controls, NULL, &id);
	ldap_control_free(policy);
	m = receive(c, rc, LDAP_AWAIT_BIND, id, r);
	if (m != NULL)
		take_result(c, m, password, r);
	if (r->code < 0)
		(void)str_copy(a->why, sizeof(a->why), r->text);
	ldap_ask_say(a, "bind as %s: %d %s%s%s, %d ms", name, r->code, ldap_err2string(r->code),
	    r->text[0] != '\0' ? ": " : "", r->text, (int)(stream_clock_ms() - start));
	if (r->policy >= 0)
		ldap_ask_say(a, "password policy: %s",
		    ldap_passwordpolicy_err2txt((LDAPPasswordPolicyError)r->policy));
	if (r->grace >= 0)
		ldap_ask_say(a, "password policy: expired, %d logins are left", r->grace);
	return r->code;
}

/* ---- searches -------------------------------------------------------------------------------- */

void
ldap_entry_clear(struct ldap_entry *e)
{
	buf_clear(&e->values[0]);
	buf_clear(&e->values[1]);
	memset(e, 0, sizeof(*e));
}

static void
take_values(struct ldap_conn *c, LDAPMessage *m, const char *attr, struct buf *out)
{
	struct berval **v = ldap_get_values_len(c->ld, m, attr);
	int i;

	for (i = 0; v != NULL && v[i] != NULL && i < VALUES_MAX; i++) {
		if (v[i]->bv_len == 0 || memchr(v[i]->bv_val, '\0', v[i]->bv_len) != NULL)
			continue;
		if (buf_len(out) + v[i]->bv_len + 1 > VALUE_BYTES_MAX)
			break;
		buf_add(out, v[i]->bv_val, v[i]->bv_len);
		buf_add_byte(out, '\0');
	}
	ldap_value_free_len(v);
}

/* -1: its name is none that can be used. */
static int
take_entry(struct ldap_conn *c, LDAPMessage *m, const struct ldap_find *f, struct ldap_entry *e)
{
	char *dn = ldap_get_dn(c->ld, m);
	int result = -1;
	size_t i;

	if (dn != NULL && dn[0] != '\0' && str_copy(e->dn, sizeof(e->dn), dn) == 0)
		result = 0;
	for (i = 0; i < 2 && result == 0; i++)
		if (f->attrs[i] != NULL)
			take_values(c, m, f->attrs[i], &e->values[i]);
	ldap_memfree(dn);
	return result;
}

static void
say_found(struct ldap_ask *a, const struct ldap_find *f, const struct ldap_entry *e,
    const struct ldap_reply *r, int64_t start)
{
	const char *found = e->n == 0 ? "no entry" : e->n == 1 ? e->dn : "several entries";

	if (r->code != LDAP_SUCCESS)
		ldap_ask_say(a, "search %s below %s: %d %s%s%s, %d ms", f->filter, f->base, r->code,
		    ldap_err2string(r->code), r->text[0] != '\0' ? ": " : "", r->text,
		    (int)(stream_clock_ms() - start));
	else
		ldap_ask_say(a, "search %s below %s: %s, %d ms", f->filter, f->base, found,
		    (int)(stream_clock_ms() - start));
}

int
ldap_conn_find(struct ldap_conn *c, struct ldap_ask *a, const struct ldap_find *f,
    struct ldap_entry *e, struct ldap_reply *r)
{
	char none[] = LDAP_NO_ATTRS, *attrs[3] = {NULL, NULL, NULL}, *copy[2] = {NULL, NULL};
	int64_t start = stream_clock_ms();
	struct timeval tv = {.tv_sec = 1 + c->request_ms / 1000};
	LDAPMessage *m, *entry;
	size_t n = 0, i;
	int id = -1, rc;

	ldap_entry_clear(e);
	begin(c, a, r);
	for (i = 0; i < 2; i++)
		if (f->attrs[i] != NULL)
			attrs[n++] = copy[i] = xstrdup(f->attrs[i]);
	if (n == 0)
		attrs[0] = none;
	rc = ldap_search_ext(c->ld, f->base, f->only_base ? LDAP_SCOPE_BASE : LDAP_SCOPE_SUBTREE,
	    f->filter, attrs, 0, NULL, NULL, &tv, 2, &id);
	free(copy[0]);
	free(copy[1]);
	m = receive(c, rc, LDAP_AWAIT_SEARCH, id, r);
	if (m != NULL) {
		e->n = (size_t)ldap_count_entries(c->ld, m);
		entry = ldap_first_entry(c->ld, m);
		if (e->n == 1 && take_entry(c, entry, f, e) == -1) {
			(void)str_copy(
			    r->text, sizeof(r->text), "the name of the entry cannot be used");
			ldap_msgfree(m);
		} else {
			take_result(c, m, NULL, r);
		}
		if (r->code == LDAP_SIZELIMIT_EXCEEDED && e->n > 1)
			r->code = LDAP_SUCCESS;
	}
	if (r->code < 0)
		(void)str_copy(a->why, sizeof(a->why), r->text);
	say_found(a, f, e, r, start);
	return r->code;
}

/* ---- open and close -------------------------------------------------------------------------- */

static int
set_options(struct ldap_conn *c)
{
	int version = LDAP_VERSION3;
	ber_len_t most = LDAP_MESSAGE_MAX;
	Sockbuf *sb = NULL;

	if (ldap_set_option(c->ld, LDAP_OPT_PROTOCOL_VERSION, &version) != LDAP_OPT_SUCCESS ||
	    ldap_set_option(c->ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) != LDAP_OPT_SUCCESS ||
	    ldap_set_option(c->ld, LDAP_OPT_RESTART, LDAP_OPT_ON) != LDAP_OPT_SUCCESS ||
	    ldap_get_option(c->ld, LDAP_OPT_SOCKBUF, &sb) != LDAP_OPT_SUCCESS || sb == NULL ||
	    ber_sockbuf_ctrl(sb, LBER_SB_OPT_SET_MAX_INCOMING, &most) != 1)
		return -1;
	return ber_sockbuf_add_io(sb, &ldap_wire_io, LBER_SBIOD_LEVEL_PROVIDER, &c->wire);
}

static int
start_tls(struct ldap_conn *c, const struct ldap_ask *a, int64_t until, char *err, size_t size)
{
	struct ldap_reply r;
	LDAPMessage *m;
	int id = -1, rc;

	begin(c, a, &r);
	if (c->wire.s.deadline_ms > until)
		c->wire.s.deadline_ms = until;
	rc = ldap_extended_operation(c->ld, LDAP_EXOP_START_TLS, NULL, NULL, NULL, &id);
	m = receive(c, rc, LDAP_AWAIT_EXTENDED, id, &r);
	if (m != NULL)
		take_result(c, m, NULL, &r);
	if (r.code == LDAP_SUCCESS)
		return 0;
	(void)str_printf(
	    err, size, "StartTLS: %d %.40s: %.100s", r.code, ldap_err2string(r.code), r.text);
	return -1;
}

struct ldap_conn *
ldap_conn_open(const struct ldap_server *s, struct ldap_ask *a)
{
	int64_t start = stream_clock_ms(), until = start + s->connect_ms;
	struct ldap_conn *c = xcallocarray(1, sizeof(*c));
	bool tls = s->uri.tls;

	if (until > a->deadline_ms)
		until = a->deadline_ms;
	c->request_ms = s->request_ms;
	a->tls_peer[0] = a->why[0] = '\0';
	if (ldap_wire_connect(&c->wire, &s->uri, until) == -1) {
		(void)str_copy(a->why, sizeof(a->why), c->wire.s.error);
		goto fail;
	}
	if (ldap_init_fd(c->wire.s.fd, LDAP_PROTO_EXT, NULL, &c->ld) != LDAP_SUCCESS ||
	    set_options(c) == -1) {
		(void)str_copy(a->why, sizeof(a->why), "libldap cannot use the connection");
		goto fail;
	}
	if (!tls && s->starttls) {
		if (start_tls(c, a, until, a->why, sizeof(a->why)) == -1)
			goto fail;
		tls = true;
	}
	c->wire.s.deadline_ms = until;
	if (tls && ldap_wire_tls(&c->wire, s->ctx, s->uri.host) == -1) {
		(void)str_copy(a->why, sizeof(a->why), c->wire.s.error);
		goto fail;
	}
	(void)str_copy(a->tls_peer, sizeof(a->tls_peer), c->wire.peer);
	ldap_ask_say(a, "connected to %s%s%s, %d ms", s->text, tls ? ", " : " in clear",
	    c->wire.peer, (int)(stream_clock_ms() - start));
	return c;
fail:
	ldap_ask_say(a, "%s: %s, %d ms", s->text, a->why, (int)(stream_clock_ms() - start));
	ldap_conn_close(c);
	return NULL;
}

void
ldap_conn_close(struct ldap_conn *c)
{
	if (c == NULL)
		return;
	c->wire.s.deadline_ms = 0; /* nothing is sent any more */
	if (c->ld != NULL)
		(void)ldap_unbind_ext(c->ld, NULL, NULL);
	ldap_wire_close(&c->wire);
	free(c);
}

bool
ldap_conn_is_stale(const struct ldap_conn *c)
{
	return ldap_wire_is_stale(&c->wire);
}

const char *
ldap_conn_peer(const struct ldap_conn *c)
{
	return c->wire.peer;
}

struct ldap_conn_mark *
ldap_conn_mark(struct ldap_conn *c)
{
	return &c->mark;
}
