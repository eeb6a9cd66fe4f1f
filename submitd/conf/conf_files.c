/* SPDX-License-Identifier: ISC */
/*
 * Checks of a built configuration that need the file system.
 *
 * Run by `submitd -t` and before a start or a reload, with the rights to read keys
 * and secrets. Nothing of a key or a secret ever gets into a finding. An expired
 * certificate is a warning: refusing to start would turn a bad day into an outage.
 */
#include "conf/conf_internal.h"

#include "base/fs.h"
#include "base/scram.h"
#include "base/str.h"
#include "base/tls.h"
#include "base/tls_pin.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define PEM_MAX (1u << 20)
#define SECRET_MAX 4096u
#define JWKS_MAX (64u << 10)
#define SECRET_FILES_MAX 100000u

/* Reads a file; an error is reported. -1: not read. */
static int
files_read(struct conf_findings *f, struct conf_where where, const char *label, const char *option,
    const char *path, size_t max, struct buf *out)
{
	struct stat st;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		conf_findings_add(
		    f, true, where, "%s: %s: %s is no regular file", label, option, path);
		return -1;
	}
	if (fs_read_file(path, max, out) == 0)
		return 0;
	conf_findings_add(f, true, where, "%s: %s: %s cannot be read: %s", label, option, path,
	    errno == EFBIG ? "it is too large" : strerror(errno));
	return -1;
}

/* A warning when others than owner and group may read it. */
static void
files_check_mode(struct conf_findings *f, struct conf_where where, const char *label,
    const char *option, const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && (st.st_mode & S_IROTH) != 0)
		conf_findings_add(f, false, where,
		    "%s: %s: every user of this machine can read %s; run chmod 600 on it", label,
		    option, path);
}

/* The directory in which path stands must exist. */
static void
files_check_parent(struct conf_findings *f, struct conf_where where, const char *label,
    const char *option, const char *path)
{
	char dir[4096];
	struct stat st;
	char *slash;

	if (str_copy(dir, sizeof dir, path) == -1)
		return;
	slash = strrchr(dir, '/');
	if (slash == NULL)
		return;
	slash[slash == dir ? 1 : 0] = '\0';
	if (stat(dir, &st) == -1)
		conf_findings_add(f, true, where, "%s: %s = \"%s\": the directory %s: %s", label,
		    option, path, dir, strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		conf_findings_add(f, true, where, "%s: %s = \"%s\": %s is no directory", label,
		    option, path, dir);
}

/* One file of certificates, as OpenSSL reads it. */
static void
files_check_ca(struct conf_findings *f, struct conf_where where, const char *label,
    const char *option, const char *path)
{
	char err[256] = "";
	SSL_CTX *ctx;

	if (path == NULL)
		return;
	ctx = tls_client_new(path, true, err, sizeof err);
	if (ctx == NULL)
		conf_findings_add(f, true, where, "%s: %s: %s", label, option, err);
	SSL_CTX_free(ctx);
}

static void
files_check_expiry(struct conf_findings *f, struct conf_where where, const char *label,
    const char *option, const char *path, long long not_after)
{
	long long left = not_after - (long long)time(NULL);
	time_t end = (time_t)not_after;
	char day[32];
	struct tm tm;

	if (left > CONF_EXPIRY_WARN_DAYS * 86400LL || gmtime_r(&end, &tm) == NULL)
		return;
	(void)strftime(day, sizeof day, "%Y-%m-%d", &tm);
	conf_findings_add(f, false, where, "%s: %s %s %s on %s; renew it", label, option, path,
	    left <= 0 ? "expired" : "expires", day);
}

static void
files_check_transport(struct conf_findings *f, const struct conf_transport *t)
{
	struct conf_where where = CONF_WHERE(t, transport, pinned);
	char label[CONF_LABEL], err[256] = "";
	long long not_after = 0;

	conf_label(CONF_BLOCK_transport, t->title, NULL, label);
	files_check_ca(f, CONF_WHERE(t, transport, ca_file), label, "ca_file", t->ca_file);
	for (size_t i = 0; i < t->pinned.n; i++)
		if (tls_pin_check(t->pinned.v[i], &not_after, err, sizeof err) == -1)
			conf_findings_add(f, true, where, "%s: pinned: %s", label, err);
		else
			files_check_expiry(f, where, label, "pinned", t->pinned.v[i], not_after);
}

static void
files_check_tls(struct conf_findings *f, const struct conf_tls *t)
{
	struct buf cert = BUF_INIT, key = BUF_INIT;
	struct conf_where at_cert = CONF_WHERE(t, tls, certificate);
	char label[CONF_LABEL], err[256] = "";
	long long not_after = 0;
	int bad;

	conf_label(CONF_BLOCK_tls, t->title, NULL, label);
	bad = files_read(f, at_cert, label, "certificate", t->certificate, PEM_MAX, &cert);
	bad |= files_read(f, CONF_WHERE(t, tls, key), label, "key", t->key, PEM_MAX, &key);
	files_check_ca(f, CONF_WHERE(t, tls, client_ca), label, "client_ca", t->client_ca);
	if (bad != 0)
		goto out;
	files_check_mode(f, CONF_WHERE(t, tls, key), label, "key", t->key);
	if (tls_check_pair(buf_cstr(&cert), buf_cstr(&key), &not_after, err, sizeof err) == -1) {
		conf_findings_add(f, true, at_cert, "%s: certificate %s and key %s: %s", label,
		    t->certificate, t->key, err);
		goto out;
	}
	files_check_expiry(f, at_cert, label, "certificate", t->certificate, not_after);
out:
	buf_clear(&cert);
	buf_wipe(&key);
}

static void
files_check_user(struct conf_findings *f, const struct conf_user *u)
{
	struct conf_where where = CONF_WHERE(u, user, secret);
	struct buf text = BUF_INIT;
	char label[CONF_LABEL];
	const char *path;
	struct span s;

	if (u->secret == NULL || strncmp(u->secret, "file:", 5) != 0)
		return;
	path = u->secret + 5;
	conf_label(CONF_BLOCK_user, u->title, NULL, label);
	if (files_read(f, where, label, "secret", path, SECRET_MAX, &text) == 0) {
		s = buf_span(&text);
		while (s.n > 0 && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
			s.n--;
		if (s.n == 0)
			conf_findings_add(f, true, where,
			    "%s: secret: %s is empty; put a hash into it (submitctl passwd makes "
			    "one)",
			    label, path);
		else if ((s.p[0] != '$' && !span_starts_nocase(s, SCRAM_PREFIX)) ||
			 memchr(s.p, '\n', s.n) != NULL)
			conf_findings_add(f, true, where,
			    "%s: secret: %s does not hold one hash, which begins with $ or "
			    "SCRAM-SHA-256$, in one line "
			    "(submitctl passwd makes one)",
			    label, path);
		files_check_mode(f, where, label, "secret", path);
	}
	buf_wipe(&text);
}

static void
files_check_ldap(struct conf_findings *f, const struct conf_ldap *l)
{
	struct buf text = BUF_INIT;
	char label[CONF_LABEL], err[256] = "";
	struct span rest, line;
	SSL_CTX *ctx;

	conf_label(CONF_BLOCK_ldap, l->title, NULL, label);
	if (l->bind_secret != NULL && strncmp(l->bind_secret, "file:", 5) == 0 &&
	    files_read(f, CONF_WHERE(l, ldap, bind_secret), label, "bind_secret",
		l->bind_secret + 5, SECRET_MAX, &text) == 0) {
		rest = buf_span(&text);
		line = span_cut(&rest, '\n');
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n == 0 || memchr(line.p, '\0', line.n) != NULL)
			conf_findings_add(f, true, CONF_WHERE(l, ldap, bind_secret),
			    "%s: bind_secret: %s must hold the password of bind_dn in its first "
			    "line",
			    label, l->bind_secret + 5);
		files_check_mode(
		    f, CONF_WHERE(l, ldap, bind_secret), label, "bind_secret", l->bind_secret + 5);
	}
	buf_wipe(&text);
	if (l->ca_file == NULL)
		return;
	ctx = tls_client_new(l->ca_file, true, err, sizeof err);
	if (ctx == NULL)
		conf_findings_add(
		    f, true, CONF_WHERE(l, ldap, ca_file), "%s: ca_file: %s", label, err);
	SSL_CTX_free(ctx);
}

/* The key that signs: the ledger takes no other. */
static void
files_check_audit(struct conf_findings *f, const struct conf_audit *a)
{
	struct conf_where where =
	    a->key == NULL ? CONF_WHERE(a, audit, file) : CONF_WHERE(a, audit, key);
	char path[4096 + 8];
	struct buf text = BUF_INIT;
	struct stat st;

	if (a->file == NULL)
		return;
	files_check_parent(f, CONF_WHERE(a, audit, file), "audit", "file", a->file);
	if (lstat(a->file, &st) == 0 && !S_ISREG(st.st_mode))
		conf_findings_add(f, true, CONF_WHERE(a, audit, file),
		    "audit: file: %s is no regular file, and the ledger follows no link; name "
		    "another one",
		    a->file);
	if (a->key != NULL)
		files_check_parent(f, where, "audit", "key", a->key);
	if (str_printf(path, sizeof path, "%s%s", a->key == NULL ? a->file : a->key,
		a->key == NULL ? ".key" : "") == -1 ||
	    !a->hash_chain || lstat(path, &st) == -1)
		return; /* it is made at the start */
	if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0 || st.st_nlink != 1)
		conf_findings_add(f, true, where,
		    "audit: key: %s must be a file with mode 0600 and one name only", path);
	else if (files_read(f, where, "audit", "key", path, PEM_MAX, &text) == 0 &&
		 !tls_is_ed25519_key(buf_cstr(&text)))
		conf_findings_add(f, true, where,
		    "audit: key: %s holds no Ed25519 key in PEM form; name another file, and it "
		    "is made",
		    path);
	buf_wipe(&text);
}

static void
files_check_server(struct conf_findings *f, const struct conf *c)
{
	const struct conf_server *s = c->server;
	struct stat st;

	if (stat(s->state, &st) == -1)
		files_check_parent(f, CONF_WHERE(s, server, state), "server", "state", s->state);
	else if (!S_ISDIR(st.st_mode))
		conf_findings_add(f, true, CONF_WHERE(s, server, state),
		    "server: state = \"%s\" is no directory", s->state);
	if (stat(s->spool, &st) == -1)
		files_check_parent(f, CONF_WHERE(s, server, spool), "server", "spool", s->spool);
	else if (!S_ISDIR(st.st_mode))
		conf_findings_add(f, true, CONF_WHERE(s, server, spool),
		    "server: spool = \"%s\" is no directory", s->spool);
	if (stat(s->control, &st) == 0 && !S_ISSOCK(st.st_mode))
		conf_findings_add(f, true, CONF_WHERE(s, server, control),
		    "server: control = \"%s\" is something else than a socket", s->control);
}

/* One line in a file that others cannot read. */
static void
files_check_secret(struct conf_findings *f, struct conf_where where, const char *label,
    const char *option, const char *path)
{
	struct buf text = BUF_INIT;
	struct span s;

	if (files_read(f, where, label, option, path, SECRET_MAX, &text) == 0) {
		s = buf_span(&text);
		while (s.n > 0 && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
			s.n--;
		if (s.n == 0 || memchr(s.p, '\n', s.n) != NULL)
			conf_findings_add(f, true, where,
			    "%s: %s: %s must hold one line: the secret", label, option, path);
		files_check_mode(f, where, label, option, path);
	}
	buf_wipe(&text);
}

/* The form only; which keys are usable is known where they are used. */
static void
files_check_jwks(
    struct conf_findings *f, struct conf_where where, const char *label, const char *path)
{
	struct buf text = BUF_INIT;
	json_t *j = NULL;

	if (path == NULL || files_read(f, where, label, "jwks_file", path, JWKS_MAX, &text) == -1)
		return;
	j = json_loadb((const char *)buf_data(&text), buf_len(&text), JSON_REJECT_DUPLICATES, NULL);
	if (json_array_size(json_object_get(j, "keys")) == 0)
		conf_findings_add(f, true, where,
		    "%s: jwks_file: %s is no key set: a JSON object with an array keys", label,
		    path);
	json_decref(j);
	buf_clear(&text);
}

/*
 * Only whether it can be read: the backend reads it, and it may be larger than all the rest
 * (S44: a million lines).
 */
static void
files_check_users(
    struct conf_findings *f, struct conf_where where, const char *label, const char *path)
{
	const char *why = NULL;
	struct stat st;
	int fd = fs_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);

	if (fd == -1 && errno == ENOENT)
		conf_findings_add(f, true, where,
		    "%s: path: %s does not exist; make it with install -m 640 /dev/null %s, and "
		    "users in it with submitctl passwd",
		    label, path, path);
	else if (fd == -1 || fstat(fd, &st) == -1)
		why = strerror(errno);
	else if (!S_ISREG(st.st_mode))
		conf_findings_add(f, true, where, "%s: path: %s is no regular file", label, path);
	else if (st.st_size > (off_t)CONF_USERS_FILE_MAX)
		why = "it is too large";
	else
		files_check_mode(f, where, label, "path", path);
	if (why != NULL)
		conf_findings_add(
		    f, true, where, "%s: path: %s cannot be read: %s", label, path, why);
	if (fd != -1)
		fs_close(fd);
}

static void
files_check_backend(struct conf_findings *f, const struct conf_backend *b)
{
	char label[CONF_LABEL];

	conf_label(CONF_BLOCK_backend, b->title, NULL, label);
	if (b->path != NULL)
		files_check_users(f, CONF_WHERE(b, backend, path), label, b->path);
	files_check_ca(f, CONF_WHERE(b, backend, ca_file), label, "ca_file", b->ca_file);
	files_check_jwks(f, CONF_WHERE(b, backend, jwks_file), label, b->jwks_file);
	if (b->client_secret != NULL && strncmp(b->client_secret, "file:", 5) == 0)
		files_check_secret(f, CONF_WHERE(b, backend, client_secret), label, "client_secret",
		    b->client_secret + 5);
}

void
conf_check_files(const struct conf *c, struct conf_findings *f)
{
	size_t i;

	files_check_server(f, c);
	for (i = 0; i < c->log->targets.n; i++)
		if (strncmp(c->log->targets.v[i], "file:", 5) == 0)
			files_check_parent(f, CONF_WHERE(c->log, log, targets), "log", "targets",
			    c->log->targets.v[i] + 5);
	files_check_audit(f, c->audit);
	for (i = 0; i < c->n_tls; i++)
		files_check_tls(f, &c->tls_blocks[i]);
	for (i = 0; i < c->n_backend; i++)
		files_check_backend(f, &c->backend_blocks[i]);
	for (i = 0; i < c->n_ldap; i++)
		files_check_ldap(f, &c->ldap_blocks[i]);
	for (i = 0; i < c->n_user && i < SECRET_FILES_MAX; i++)
		files_check_user(f, &c->user_blocks[i]);
	for (i = 0; i < c->n_transport; i++)
		files_check_transport(f, &c->transport_blocks[i]);
}
