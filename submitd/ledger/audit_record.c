/* SPDX-License-Identifier: ISC */
/*
 * Audit records as JSON (A1, A2): from messages of other processes, which hold
 * texts of clients. Pure; process ledger. Must never let a text begin a line or a
 * member of its own.
 */
#include "ledger/audit_record.h"

#include "base/enc.h"
#include "base/str.h"
#include "mail/status.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void
add_key(struct buf *b, const char *key)
{
	buf_add(b, ",\"", 2);
	buf_add_str(b, key);
	buf_add(b, "\":", 2);
}

static void
add_sid(struct buf *b, uint64_t sid)
{
	buf_add_str(b, ",\"sid\":\"");
	hex_add_u64(b, sid);
	buf_add_byte(b, '"');
}

static void
add_text(struct buf *b, const char *key, struct span s)
{
	if (s.n == 0)
		return;
	add_key(b, key);
	json_add_str(b, s);
}

static void
add_u64(struct buf *b, const char *key, uint64_t v)
{
	add_key(b, key);
	dec_add_u64(b, v);
}

static void
add_client(struct buf *b, const struct net_addr *a)
{
	char text[NET_ADDR_TEXT];

	if (a->family == 0)
		return;
	if (a->family == 4) { /* nearly all of them, and inet_ntop() is slow */
		add_key(b, "client");
		for (int i = 0; i < 4; i++) {
			buf_add_byte(b, i == 0 ? '"' : '.');
			dec_add_u64(b, a->ip[i]);
		}
		buf_add_byte(b, ':');
		dec_add_u64(b, a->port);
		buf_add_byte(b, '"');
		return;
	}
	net_addr_format(a, text);
	add_text(b, "client", span_of(text));
}

/* A hidden name comes as its length, a colon and a keyed hash; see authbackends/auth_report.h. */
static void
add_hidden_login(struct buf *b, struct span login)
{
	struct span rest = login, length;
	uint64_t n;

	length = span_cut(&rest, ':');
	if (rest.p == NULL || span_to_u64(length, 0, 65536, &n) == -1)
		return;
	add_u64(b, "login_length", n);
	add_text(b, "login_hash", rest);
}

void
audit_record_auth(struct buf *b, const struct ipc_audit_auth *m)
{
	add_sid(b, m->sid);
	add_client(b, &m->client);
	add_text(b, "listener", m->listener);
	add_text(b, "helo", m->helo);
	add_text(b, "tls", m->tls_version);
	add_text(b, "cipher", m->tls_cipher);
	add_text(b, "mech", m->mech);
	if (m->name_known == 0)
		add_hidden_login(b, m->login);
	else
		add_text(b, "login", m->login);
	add_text(b, "authzid", m->authzid);
	add_text(b, "principal", m->principal);
	add_text(b, "ou", m->ou);
	add_text(b, "backend", m->backend);
	add_text(b, "verdict",
	    span_of(verdict_name(m->verdict < V__MAX ? (enum verdict)m->verdict : V_TEMP)));
	add_text(b, "reason", m->reason);
	add_u64(b, "ms", m->ms);
}

void
audit_record_accept(struct buf *b, const struct audit_accept *m)
{
	char text[UUID_TEXT];

	uuid_format(&m->mid, text);
	add_text(b, "mid", span_of(text));
	add_sid(b, m->sid);
	add_client(b, &m->client);
	add_text(b, "listener", m->listener);
	add_text(b, "helo", m->helo);
	add_text(b, "tls", m->tls_version);
	add_text(b, "cipher", m->tls_cipher);
	add_text(b, "mech", m->mech);
	add_text(b, "login", m->login);
	add_text(b, "principal", m->principal);
	add_text(b, "ou", m->ou);
	add_text(b, "backend", m->backend);
	buf_add_str(b, ",\"from\":");
	json_add_str(b, m->sender); /* the null sender is a fact too */
	add_text(b, "header_from", m->header_from);
	add_u64(b, "rcpts", m->n_rcpts);
	if (m->relay != AUDIT_RELAY_NONE)
		add_text(b, "relay",
		    span_of(m->relay == AUDIT_RELAY_OU ? "relay_ou" : "relay_any_authenticated"));
	add_u64(b, "size", m->size);
	add_text(b, "message_id", m->message_id);
}

void
audit_record_note(struct buf *b, const struct ipc_audit_note *m)
{
	json_t *j = json_loadb(m->json.p, m->json.n, JSON_REJECT_DUPLICATES, NULL);
	json_int_t lost = json_integer_value(json_object_get(j, "lost"));

	if (span_eq(m->kind, "gap") && lost > 0)
		add_u64(b, "lost", (uint64_t)lost);
	char *text = json_is_object(j) ? json_dumps(j, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

	if (text != NULL) {
		buf_add_str(b, ",\"data\":");
		buf_add_str(b, text);
	} else {
		add_text(b, "data", m->json);
	}
	free(text);
	json_decref(j);
}
