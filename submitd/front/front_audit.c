/* SPDX-License-Identifier: ISC */
/*
 * Refused relays go into the audit record (C9), and attempts to log in that auth never hears
 * of (A1). Runs in front. A stranger can ask as often as he likes: records are bounded by a
 * rate, the rest is counted.
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

static int64_t tokens = BURST, filled_ms;
static uint64_t suppressed;

static bool
may_write(void)
{
	int64_t now = ev_now_ms(), fresh = (now - filled_ms) * PER_SECOND / 1000;

	if (fresh > 0) {
		tokens = tokens + fresh > BURST ? BURST : tokens + fresh;
		filled_ms = now;
	}
	if (tokens == 0 || !audit_outbox_room(8192)) {
		suppressed++;
		return false;
	}
	tokens--;
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
record_end(struct buf *b, const char *kind)
{
	if (suppressed > 0)
		buf_addf(b, ",\"not_recorded_before\":%" PRIu64, suppressed);
	suppressed = 0;
	buf_add_byte(b, '}');
	(void)audit_outbox_note(ev_wall_ms(), kind, buf_span(b));
	buf_clear(b);
}

void
front_audit_auth(const struct smtp_session *s, struct span mech, const char *reason)
{
	/* no other word: it may be a password */
	static const char *const known[] = {"PLAIN", "LOGIN", "SCRAM-SHA-256", "OAUTHBEARER",
	    "XOAUTH2", "EXTERNAL", "CRAM-MD5", "DIGEST-MD5", "NTLM", "GSSAPI"};
	struct buf b = BUF_INIT;

	if (s->front->conf->audit->file == NULL || !may_write())
		return;
	record_begin(&b, s, V_PERM);
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (span_eq_nocase(mech, known[i]))
			add(&b, "mech", known[i]);
	add(&b, "reason", reason);
	record_end(&b, "refused"); /* auth is of the process that judges */
}

void
front_audit_relay(
    const struct smtp_session *s, const struct addr *to, const struct policy_result *r)
{
	char text[ADDR_TEXT];
	struct buf b = BUF_INIT;

	if (s->front->conf->audit->file == NULL || !is_relay_rule(r->rule) || !may_write())
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
	record_end(&b, "relay");
}
