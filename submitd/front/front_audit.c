/* SPDX-License-Identifier: ISC */
/*
 * Refused relays go into the audit record (C9), and attempts to log in that auth does not hear
 * of, or does not answer (A1). Runs in front. A stranger can ask as often as he likes: records are
 * bounded by a rate, the rest is counted.
 */
#include "base/enc.h"
#include "base/ev.h"
#include "base/list.h"
#include "base/str.h"
#include "front/smtp_session.h"
#include "ipc/audit_outbox.h"

#include <inttypes.h>
#include <string.h>

#define PER_SECOND 20
#define BURST 200
#define TEXT_MAX 500u

/* One a kind: who makes many of one does not hide those of the other. */
struct rate {
	const char *kind;
	int64_t tokens, filled_ms;
	uint64_t suppressed;
};
static struct rate refused = {.kind = "refused", .tokens = BURST};
static struct rate relay = {.kind = "relay", .tokens = BURST};

static bool
may_write(struct rate *r)
{
	int64_t now = ev_now_ms(), fresh = (now - r->filled_ms) * PER_SECOND / 1000;

	if (fresh > 0) {
		r->tokens = r->tokens + fresh > BURST ? BURST : r->tokens + fresh;
		r->filled_ms = now;
	}
	if (r->tokens == 0 || !audit_outbox_room(8192)) {
		r->suppressed++;
		return false;
	}
	r->tokens--;
	return true;
}

static void
add(struct buf *b, const char *name, const char *value)
{
	struct span s = span_of(value);

	if (s.n == 0)
		return;
	if (s.n > TEXT_MAX)
		s.n = TEXT_MAX;
	buf_addf(b, ",\"%s\":", name);
	json_add_str(b, s);
}

/* Rules that decide who may send beyond our own domains. */
static bool
is_relay_rule(const struct policy_rule *r)
{
	return r != NULL && r->stage == AT_RCPT &&
	       (strncmp(r->name, "relay", 5) == 0 || strcmp(r->name, "unauthenticated") == 0);
}

/* What every record begins with. */
static void
record_begin(struct buf *b, const struct smtp_session *s, enum verdict v)
{
	const struct tls_facts *tls = smtp_session_tls(s);
	char client[NET_ADDR_TEXT];

	buf_addf(b, "{\"verdict\":\"%s\",\"sid\":\"%016" PRIx64 "\"", verdict_name(v), s->sid);
	net_addr_format(&s->client, client);
	add(b, "client", client);
	add(b, "listener", s->l->conf->title);
	add(b, "helo", s->helo);
	add(b, "tls", tls == NULL ? NULL : tls->version);
}

static void
record_end(struct buf *b, struct rate *r)
{
	if (r->suppressed > 0)
		buf_addf(b, ",\"not_recorded_before\":%" PRIu64, r->suppressed);
	r->suppressed = 0;
	buf_add_byte(b, '}');
	(void)audit_outbox_note(ev_wall_ms(), r->kind, buf_span(b));
	buf_clear(b);
}

void
front_audit_auth(const struct smtp_session *s, enum verdict v, struct span mech, const char *reason)
{
	/* no other word: it may be a password */
	static const char *const known[] = {"PLAIN", "LOGIN", "SCRAM-SHA-256", "OAUTHBEARER",
	    "XOAUTH2", "EXTERNAL", "CRAM-MD5", "DIGEST-MD5", "NTLM", "GSSAPI"};
	struct buf b = BUF_INIT;

	if (s->front->conf->audit->file == NULL || !may_write(&refused))
		return;
	record_begin(&b, s, v);
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (span_eq_nocase(mech, known[i]))
			add(&b, "mech", known[i]);
	add(&b, "reason", reason);
	record_end(&b, &refused); /* "auth" is of the process that judges */
}

void
front_audit_relay(
    const struct smtp_session *s, const struct addr *to, const struct policy_result *r)
{
	char text[ADDR_TEXT];
	struct buf b = BUF_INIT;

	if (s->front->conf->audit->file == NULL || !is_relay_rule(r->rule) || !may_write(&relay))
		return;
	record_begin(&b, s, r->verdict);
	if (s->auth != NULL) {
		add(&b, "login", s->auth->login);
		add(&b, "principal", s->auth->principal);
	}
	addr_format(&s->tx->msg->sender, text);
	add(&b, "from", text);
	addr_format(to, text);
	add(&b, "to", text);
	buf_addf(&b, ",\"rule\":\"%s %s\"", r->rule->id, r->rule->name);
	record_end(&b, &relay);
}
