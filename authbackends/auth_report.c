/* SPDX-License-Identifier: ISC */
/*
 * The log line and the audit record of each authentication attempt (A1). Process
 * auth. Names that nobody knows are shown as length and keyed hash only. Must
 * never be given a password, and never lose a record without counting it.
 */
#include "authbackends/auth_report.h"

#include "base/enc.h"
#include "base/ev.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "ipc/audit_outbox.h"
#include "mail/addr.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 1000u /* octets of what a client may make long */
#define KEY_BYTES 32u
#define OUTBOX_BYTES (16u << 20)
#define WINDOW_BYTES (2u << 20)
#define RECORD_BYTES 4096u /* more than nearly every one */

static uint8_t key[KEY_BYTES];

/* Made where there is none: a file that is there takes no room on a disk that is full. */
static int
names_open(const char *path)
{
	int fd = fs_open_private(path);

	if (fd != -1 || errno != ENOENT)
		return fd;
	random_bytes(key, sizeof(key));
	return fs_make_file(path, 0600, key, sizeof(key)) == -1 ? -1 : fs_open_private(path);
}

/*
 * The same name gives the same hash over restarts: the key is kept beside the record. The
 * directory may be the ledger's, and who knows the key can try names and the passwords that
 * stand in their place: a file that somebody put there is not used.
 */
static int
names_key(const char *audit_file, char *err, size_t errsize)
{
	char *path = xasprintf("%s.names", audit_file);
	struct buf b = BUF_INIT;
	int rc = -1, fd = names_open(path);

	if (fd == -1 || fs_read_fd(fd, 4096, &b) == -1) {
		(void)str_printf(err, errsize, "%s: %s", path,
		    errno == EPERM ? "it must be a file of the user that starts submitd, with mode "
				     "0600 and under one name only; remove it, and it is made anew"
				   : strerror(errno));
	} else if (buf_len(&b) != sizeof(key)) {
		(void)str_printf(err, errsize,
		    "%s does not hold the %zu octets it was made with: put them back, or remove it",
		    path, sizeof(key));
	} else {
		memcpy(key, buf_data(&b), sizeof(key));
		rc = 0;
	}
	if (fd != -1)
		fs_close(fd);
	buf_wipe(&b);
	free(path);
	return rc;
}

int
auth_report_init(const struct conf *c, char *err, size_t errsize)
{
	static const struct audit_outbox_options options = {OUTBOX_BYTES, WINDOW_BYTES, 0, NULL};

	audit_outbox_init(&options);
	if (c->audit->file != NULL && c->audit->unknown_names == UNKNOWN_NAMES_HASH)
		return names_key(c->audit->file, err, errsize);
	random_bytes(key, sizeof(key)); /* for the log */
	return 0;
}

bool
auth_report_full(const struct conf *c, size_t open)
{
	static bool told;

	if (c->audit->file == NULL || c->audit->on_full != AUDIT_FULL_TEMPFAIL ||
	    audit_outbox_room((open + 1) * RECORD_BYTES)) {
		told = false;
		return false;
	}
	if (!told)
		log_note(LOG_LEVEL_ERROR,
		    "audit: the record cannot be written: AUTH is answered with 454 until it can");
	told = true;
	audit_outbox_lost(1); /* the attempt: so many are told of when there is room */
	return true;
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
	log_str(&l, LK_CERT, text(r->cert));
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

static struct span
cut(const char *p)
{
	struct span v = span_of(p);

	if (v.n > TEXT_MAX)
		v.n = TEXT_MAX;
	return v;
}

void
auth_report_send(const struct conf *c, const struct auth_report *r)
{
	const char *login = r->login == NULL ? "" : r->login;
	enum auth_name name = auth_report_name(c, login, r->name_known);
	char hidden[AUTH_HIDDEN_TEXT];
	bool hide = name == AUTH_NAME_HIDDEN && login[0] != '\0';
	struct buf body = BUF_INIT;

	if (hide)
		auth_report_hide(login, hidden);
	log_attempt(r, name, hide ? hidden : NULL);
	if (c->audit->file == NULL)
		return;

	struct ipc_audit_auth m = {
	    .src = audit_outbox_src(),
	    .n = audit_outbox_next(),
	    .sid = r->sid,
	    .time_ms = ev_wall_ms(),
	    .client = r->client,
	    .listener = span_of(r->listener),
	    .helo = cut(r->helo),
	    .tls_version = span_of(r->tls_version),
	    .tls_cipher = span_of(r->tls_cipher),
	    .mech = span_of(r->mech),
	    .name_known = (uint8_t)name,
	    .login = cut(hide ? hidden : login),
	    .authzid = cut(hide ? "" : r->authzid),
	    .principal = cut(r->principal),
	    .ou = cut(r->ou),
	    .backend = span_of(r->backend),
	    .ms = r->ms,
	    .verdict = (uint8_t)r->verdict,
	    .reason = cut(r->reason),
	};
	ipc_encode_audit_auth(&body, &m);
	(void)audit_outbox_add(IPC_AUDIT_AUTH, &body, m.src, m.n, m.n, 0);
}
