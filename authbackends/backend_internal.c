/* SPDX-License-Identifier: ISC */
/*
 * Backend "internal": the user blocks of the configuration (S18), with hashes from
 * secret files that are read before the process gives up its rights. Process
 * auth. Must never answer V_OK for a user whose smtp_auth is off, or who comes
 * from a network that is not his.
 */
#include "authbackends/authbackend.h"

#include "base/fs.h"
#include "base/scram.h"
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECRET_FILE_MAX 4096u

/* A certificate that a user may log in with. */
struct cert {
	char sha256[TLS_FINGERPRINT];
	const struct conf_user *user;
};

struct internal {
	const struct conf *conf;
	char **hashes;      /* one per user block, NULL where it has no secret */
	struct cert *certs; /* by fingerprint */
	size_t n_certs;
	char dummy[PASSWD_HASH_MAX + 1], scram_like[PASSWD_HASH_MAX + 1];
};

/* The first line of the file, without white space around it. */
static int
read_hash(const struct conf_user *u, char **hash, char *err, size_t errsize)
{
	struct buf text = BUF_INIT;
	struct span line, rest;
	enum passwd_kind kind;
	const char *path = u->secret, *wrong;
	int result = -1;

	if (strncmp(path, "file:", 5) == 0)
		path += 5;
	if (fs_read_file(path, SECRET_FILE_MAX, &text) == -1) {
		(void)str_printf(err, errsize, "%s:%u: user \"%s\": cannot read %s: %s",
		    u->where.file, u->where.line, u->title, path, strerror(errno));
		goto out;
	}
	rest = buf_span(&text);
	line = span_cut(&rest, '\n');
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	line = span_trim(line);
	if ((wrong = passwd_hash_check(line, &kind)) != NULL) {
		(void)str_printf(err, errsize,
		    "%s:%u: user \"%s\": %s: %s (submitctl passwd makes one)", u->where.file,
		    u->where.line, u->title, path, wrong);
		goto out;
	}
	*hash = span_dup(line);
	result = 0;
out:
	buf_wipe(&text);
	return result;
}

static void
internal_close(void *self)
{
	struct internal *in = self;
	size_t i;

	if (in == NULL)
		return;
	for (i = 0; in->hashes != NULL && i < in->conf->n_user; i++) {
		if (in->hashes[i] != NULL)
			explicit_bzero(in->hashes[i], strlen(in->hashes[i]));
		free(in->hashes[i]);
	}
	free(in->hashes);
	free(in->certs);
	free(in);
}

static bool
is_scram(const char *hash)
{
	return strncmp(hash, SCRAM_PREFIX, strlen(SCRAM_PREFIX)) == 0;
}

/* The hash whose cost most users have, of all or of those with SCRAM keys. Few kinds are in use:
 * counting pairs with the first ones is enough. */
static void
choose_dummy(struct internal *in, bool only_scram, char out[PASSWD_HASH_MAX + 1])
{
	const char *seen[16];
	size_t count[16] = {0}, n = 0, i, k, best = 0;

	for (i = 0; i < in->conf->n_user; i++) {
		if (in->hashes[i] == NULL || (only_scram && !is_scram(in->hashes[i])))
			continue;
		for (k = 0; k < n; k++) {
			struct span a = passwd_hash_cost(seen[k]);
			struct span b = passwd_hash_cost(in->hashes[i]);

			if (a.n == b.n && memcmp(a.p, b.p, a.n) == 0)
				break;
		}
		if (k == n && n < 16)
			seen[n++] = in->hashes[i];
		if (k < n && ++count[k] > count[best])
			best = k;
	}
	if (n > 0)
		(void)str_copy(out, PASSWD_HASH_MAX + 1, seen[best]);
}

static int
by_fingerprint(const void *a, const void *b)
{
	const struct cert *x = a, *y = b;

	return strcmp(x->sha256, y->sha256);
}

static void
index_certs(struct internal *in)
{
	const struct conf *c = in->conf;
	size_t i, k, n = 0;

	for (i = 0; i < c->n_user; i++)
		n += c->user_blocks[i].client_cert_sha256.n;
	in->certs = xcallocarray(n + 1, sizeof(*in->certs));
	for (i = 0; i < c->n_user; i++)
		for (k = 0; k < c->user_blocks[i].client_cert_sha256.n; k++) {
			struct cert *x = &in->certs[in->n_certs];

			/* checked by the configuration */
			if (tls_fingerprint_parse(
				span_of(c->user_blocks[i].client_cert_sha256.v[k]), x->sha256) ==
			    -1)
				continue;
			x->user = &c->user_blocks[i];
			in->n_certs++;
		}
	qsort(in->certs, in->n_certs, sizeof(*in->certs), by_fingerprint);
}

static int
internal_open(const struct conf *conf, const struct conf_backend *block, void **self, char *err,
    size_t errsize)
{
	struct internal *in = xcallocarray(1, sizeof(*in));
	size_t i;

	(void)block;
	in->conf = conf;
	in->hashes = xcallocarray(conf->n_user + 1, sizeof(*in->hashes));
	for (i = 0; i < conf->n_user; i++)
		if (conf->user_blocks[i].secret != NULL &&
		    read_hash(&conf->user_blocks[i], &in->hashes[i], err, errsize) == -1) {
			internal_close(in);
			return -1;
		}
	choose_dummy(in, false, in->dummy);
	choose_dummy(in, true, in->scram_like);
	index_certs(in);
	*self = in;
	return 0;
}

static bool
client_allowed(const struct conf_user *u, const struct net_addr *client)
{
	size_t i;

	if (u->n_client_nets == 0)
		return true;
	for (i = 0; i < u->n_client_nets; i++)
		if (net_cidr_match(&u->client_nets[i], client))
			return true;
	return false;
}

/* What the user's block says beside what proves him: V_OK, or V_PERM with the reason. */
static enum verdict
judge_user(const struct conf_user *u, struct auth_check *c)
{
	(void)str_copy(c->name, sizeof(c->name), u->title);
	if (u->smtp_auth == SMTP_AUTH_OFF) {
		(void)str_copy(c->reason, sizeof(c->reason), "smtp_auth of the user is off");
		return V_PERM;
	}
	if (!client_allowed(u, &c->client)) {
		(void)str_copy(c->reason, sizeof(c->reason),
		    "the client's address is not among the user's clients");
		return V_PERM;
	}
	return V_OK;
}

/* V_NEXT: nobody of that name. */
static enum verdict
find_user(const struct internal *in, struct auth_check *c, const struct conf_user **user)
{
	const struct conf_user *u = NULL;

	if (c->address[0] != '\0')
		u = conf_user_find(in->conf, c->address);
	if (u == NULL)
		u = conf_user_find(in->conf, c->login);
	if (u == NULL)
		return V_NEXT;
	*user = u;
	return judge_user(u, c);
}

/*
 * Whose certificate it is: by its fingerprint, else by the one address in it that is a
 * user's; where several are, the name that the client claims chooses.
 */
static enum verdict
look_cert(const struct internal *in, struct auth_check *c)
{
	const struct conf_user *found = NULL, *u, *claimed = conf_user_find(in->conf, c->address);
	const struct cert *x;
	struct cert key;
	bool several = false;
	const char *p;

	memcpy(key.sha256, c->cert_sha256, sizeof(key.sha256));
	x = bsearch(&key, in->certs, in->n_certs, sizeof(*in->certs), by_fingerprint);
	if (x != NULL)
		return judge_user(x->user, c);
	for (p = c->cert_emails; *p != '\0'; p += strlen(p) + 1) {
		u = conf_user_find(in->conf, p);
		if (u == NULL || u == found)
			continue;
		if (u == claimed)
			return judge_user(u, c);
		several |= found != NULL;
		found = u;
	}
	if (several) {
		(void)str_copy(
		    c->reason, sizeof(c->reason), "the certificate has addresses of several users");
		return V_PERM;
	}
	if (found != NULL)
		return judge_user(found, c);
	(void)str_copy(c->reason, sizeof(c->reason),
	    c->cert_emails[0] == '\0'
		? "unknown user: none has its fingerprint, and no address in it counts"
		: "unknown user: none has its fingerprint or an address in it");
	return V_NEXT;
}

/* Of a user without a secret: a block that only says what he may; another backend has the
 * password. */
static const char *
hash_of(const struct internal *in, const struct conf_user *u)
{
	return in->hashes[u - in->conf->user_blocks];
}

static bool
internal_look(void *self, struct auth_check *c, enum verdict *v)
{
	struct internal *in = self;
	const struct conf_user *u = NULL;

	if (c->cred == CRED_CERT) {
		*v = look_cert(in, c);
		return true;
	}
	if (c->dummy[0] == '\0')
		(void)str_copy(c->dummy, sizeof(c->dummy), in->dummy);
	*v = find_user(in, c, &u);
	if (*v != V_OK)
		return true;
	if (hash_of(in, u) == NULL) {
		c->name[0] = '\0';
		*v = V_NEXT;
		return true;
	}
	(void)str_copy(c->hash, sizeof(c->hash), hash_of(in, u));
	return false;
}

static enum verdict
internal_scram(void *self, struct auth_check *c)
{
	const struct internal *in = self;
	const struct conf_user *u = NULL;
	enum verdict v = find_user(in, c, &u);

	if (v != V_OK)
		return v;
	if (hash_of(in, u) == NULL) {
		c->name[0] = '\0';
		return V_NEXT;
	}
	if (!is_scram(hash_of(in, u))) {
		(void)str_copy(c->reason, sizeof(c->reason), "the user has no SCRAM keys");
		return V_PERM;
	}
	return str_copy(c->hash, sizeof(c->hash), hash_of(in, u)) == 0 ? V_OK : V_TEMP;
}

static const char *
internal_scram_like(const void *self)
{
	const struct internal *in = self;

	return in->scram_like;
}

const struct authbackend authbackend_internal = {
    .name = "internal",
    .knows_users = true,
    .cpu_bound = true,
    .creds = CRED_BIT(CRED_PASSWORD) | CRED_BIT(CRED_CERT),
    .open = internal_open,
    .look = internal_look,
    .check = auth_check_hash,
    .scram = internal_scram,
    .scram_like = internal_scram_like,
    .by_alias = true,
    .close = internal_close,
};
