/* SPDX-License-Identifier: ISC */
/*
 * The log line and the audit record of each authentication attempt (A1). Process
 * auth. Names that nobody knows are shown as length and keyed hash only. Must
 * never be given a password, and never lose a record without counting it.
 */
#include "authbackends/auth_report.h"

#include "base/enc.h"
#include "base/ev.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "mail/addr.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_MAX 10000u /* records that wait for a ledger; 4 MiB at most */
#define KEPT_BYTES_MAX (4u << 20)

/* A record on its way: the frame's body, sent again by decoding it. */
struct kept {
	struct buf body;
	TAILQ_ENTRY(kept) link;
};
static TAILQ_HEAD(, kept) kept = TAILQ_HEAD_INITIALIZER(kept);
static size_t n_kept, kept_bytes;
static uint64_t n_lost, n_lost_told;
static uint8_t key[32];

void
auth_report_init(void)
{
	random_bytes(key, sizeof(key));
}

void
auth_report_hide(const char *login, char out[AUTH_HIDDEN_TEXT])
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	struct buf hex = BUF_INIT;
	unsigned len = 0;

	if (HMAC(EVP_sha256(), key, sizeof(key), (const unsigned char *)login, strlen(login), mac,
		&len) == NULL)
		len = 0;
	hex_encode(&hex, mac, len < 8 ? len : 8);
	(void)str_printf(out, AUTH_HIDDEN_TEXT, "%zu:%s", strlen(login), buf_cstr(&hex));
	buf_clear(&hex);
}

enum auth_name
auth_report_name(const struct conf *c, const char *login, bool known)
{
	const char *at = strrchr(login, '@');
	char domain[ADDR_DOMAIN_MAX + 1];

	if (known)
		return AUTH_NAME_KNOWN;
	if (at != NULL && addr_domain_ascii(span_of(at + 1), domain) == 0 &&
	    conf_domain_is_internal(c, domain))
		return AUTH_NAME_KNOWN;
	if (c->audit->unknown_names == UNKNOWN_NAMES_CLEAR)
		return AUTH_NAME_UNKNOWN;
	return AUTH_NAME_HIDDEN;
}

const char *
auth_report_shown(const struct conf *c, const char *login, bool known, char hold[AUTH_HIDDEN_TEXT])
{
	if (login[0] == '\0' || auth_report_name(c, login, known) != AUTH_NAME_HIDDEN)
		return login;
	auth_report_hide(login, hold);
	return hold;
}

static const char *
text(const char *s)
{
	return s == NULL || s[0] == '\0' ? NULL : s;
}

static void
log_attempt(const struct auth_report *r, enum auth_name name, const char *hidden)
{
	struct log_line l;
	char sid[17];

	if (!log_enabled(LOG_LEVEL_INFO))
		return;
	(void)str_printf(sid, sizeof(sid), "%016" PRIx64, r->sid);
	log_begin(&l, LOG_LEVEL_INFO, EV_AUTH);
	log_str(&l, LK_SID, sid);
	log_str(&l, LK_LISTENER, text(r->listener));
	log_addr(&l, LK_CLIENT, &r->client);
	log_str(&l, LK_TLS_VERSION, text(r->tls_version));
	log_str(&l, LK_CIPHER, text(r->tls_cipher));
	log_str(&l, LK_MECH, text(r->mech));
	if (hidden != NULL) {
		log_u64(&l, LK_LOGIN_LENGTH, strlen(r->login));
		log_str(&l, LK_LOGIN_HASH, strchr(hidden, ':') + 1);
	} else if (name != AUTH_NAME_HIDDEN) {
		log_str(&l, LK_LOGIN, text(r->login));
		log_str(&l, LK_AUTHZID, text(r->authzid));
	}
	log_str(&l, LK_PRINCIPAL, text(r->principal));
	log_str(&l, LK_OU, text(r->ou));
	log_str(&l, LK_BACKEND_NAME, text(r->backend));
	log_str(&l, LK_VERDICT, verdict_name(r->verdict));
	log_str(&l, LK_REASON, text(r->reason));
	log_u64(&l, LK_MS, r->ms);
	log_end(&l);
}

static void
keep(const struct ipc_audit_auth *m)
{
	struct kept *k;

	if (n_kept >= KEPT_MAX || kept_bytes >= KEPT_BYTES_MAX) {
		if (n_lost++ == n_lost_told)
			log_note(LOG_LEVEL_ERROR,
			    "the ledger is away: records of logins are lost (and counted)");
		return;
	}
	k = xcallocarray(1, sizeof(*k));
	ipc_encode_audit_auth(&k->body, m);
	TAILQ_INSERT_TAIL(&kept, k, link);
	n_kept++;
	kept_bytes += buf_len(&k->body);
}

void
auth_report_send(const struct conf *c, const struct auth_report *r)
{
	const char *login = r->login == NULL ? "" : r->login;
	enum auth_name name = auth_report_name(c, login, r->name_known);
	char hidden[AUTH_HIDDEN_TEXT];
	bool hide = name == AUTH_NAME_HIDDEN && login[0] != '\0';
	struct ipc_peer *ledger;

	if (hide)
		auth_report_hide(login, hidden);
	log_attempt(r, name, hide ? hidden : NULL);
	if (c->audit->file == NULL)
		return;

	struct ipc_audit_auth m = {
	    .sid = r->sid,
	    .time_ms = ev_wall_ms(),
	    .client = r->client,
	    .listener = span_of(r->listener),
	    .helo = span_of(r->helo),
	    .tls_version = span_of(r->tls_version),
	    .tls_cipher = span_of(r->tls_cipher),
	    .mech = span_of(r->mech),
	    .name_known = (uint8_t)name,
	    .login = span_of(hide ? hidden : login),
	    .authzid = span_of(hide ? "" : r->authzid),
	    .principal = span_of(r->principal),
	    .ou = span_of(r->ou),
	    .backend = span_of(r->backend),
	    .ms = r->ms,
	    .verdict = (uint8_t)r->verdict,
	    .reason = span_of(r->reason),
	};
	ledger = ipc_role_peer(ROLE_LEDGER, 0);
	if (ledger == NULL || ipc_peer_backlog(ledger) > IPC_BACKLOG_SOFT ||
	    ipc_send_audit_auth(ledger, -1, &m) == -1)
		keep(&m);
}

void
auth_report_ledger_up(struct ipc_peer *ledger)
{
	struct ipc_audit_note note = {.time_ms = ev_wall_ms(), .kind = span_of("gap")};
	struct ipc_audit_auth m;
	struct ipc_in in;
	struct kept *k;
	char json[64];

	while ((k = TAILQ_FIRST(&kept)) != NULL) {
		in = (struct ipc_in){IPC_AUDIT_AUTH, buf_data(&k->body), buf_len(&k->body), -1};
		if (ipc_decode_audit_auth(&in, &m) == 0 &&
		    ipc_send_audit_auth(ledger, -1, &m) == -1)
			return;
		TAILQ_REMOVE(&kept, k, link);
		n_kept--;
		kept_bytes -= buf_len(&k->body);
		buf_clear(&k->body);
		free(k);
	}
	if (n_lost == n_lost_told)
		return;
	(void)str_printf(
	    json, sizeof(json), "{\"from\":\"auth\",\"lost\":%" PRIu64 "}", n_lost - n_lost_told);
	note.json = span_of(json);
	if (ipc_send_audit_note(ledger, -1, &note) == 0)
		n_lost_told = n_lost;
}

void
auth_report_stats(size_t *waiting, uint64_t *lost)
{
	*waiting = n_kept;
	*lost = n_lost;
}
