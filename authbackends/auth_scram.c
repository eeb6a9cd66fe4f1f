/* SPDX-License-Identifier: ISC */
/*
 * Where SCRAM keys come from (P3): the first backend of the chain that knows the user,
 * or a keyed hash of the name, so that a name nobody knows looks like a user. Process
 * auth, in the loop. Must never let a made-up key log anybody in.
 */
#include "authbackends/auth_scram.h"

#include "base/enc.h"
#include "base/log.h"
#include "base/str.h"
#include "mail/addr.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE "auth.key"
#define KEY_LEN 32u

static uint8_t fake_key[KEY_LEN];

/*
 * S17: a backend that knows its users, or whose no ends the chain, but has no keys: those
 * behind it have no say about names that it is there for, by SCRAM as little as by PLAIN.
 */
static bool
is_gate(const struct auth_flow *f, const struct auth_source *s)
{
	return (s->kind->creds & CRED_BIT(CRED_PASSWORD)) != 0 && s->kind->scram == NULL &&
	       (s->knows_users || f->stop_on_no);
}

/* The backend whose keys made-up ones look like; NULL: none has any. */
static const struct auth_source *
find_like(const struct auth_flow *f)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct auth_source *s = f->chain[i];

		if (is_gate(f, s) && s->ous == NULL)
			return NULL;
		if (s->kind->scram_like != NULL && s->kind->scram_like(s->self)[0] != '\0')
			return s;
	}
	return NULL;
}

const char *
auth_scram_like(const struct auth_flow *f)
{
	const struct auth_source *s = find_like(f);

	return s == NULL ? "" : s->kind->scram_like(s->self);
}

bool
auth_scram_by_alias(const struct auth_flow *f)
{
	const struct auth_source *s = find_like(f);

	return s != NULL && s->kind->by_alias;
}

bool
auth_scram_everywhere(const struct auth_flow *f)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		if ((f->chain[i]->kind->creds & CRED_BIT(CRED_PASSWORD)) != 0 &&
		    f->chain[i]->kind->scram == NULL)
			return false;
	return true;
}

enum verdict
auth_scram_find(struct auth_run *r)
{
	enum verdict v;
	size_t i;

	for (i = 0; i < r->flow->n; i++) {
		struct auth_source *s = r->flow->chain[i];

		if (!auth_source_serves(s, r->ou))
			continue;
		if (is_gate(r->flow, s)) {
			(void)str_printf(r->check.reason, sizeof(r->check.reason),
			    "backend %.60s comes first and has no keys", s->title);
			return V_PERM;
		}
		if (s->kind->scram == NULL)
			continue;
		r->check.name[0] = r->check.reason[0] = r->check.hash[0] = '\0';
		v = s->kind->scram(s->self, &r->check);
		if (v == V_NEXT)
			continue;
		r->source = s;
		r->user_known = true;
		s->asked++;
		return v == V_OK && r->check.hash[0] == '\0' ? V_TEMP : v;
	}
	(void)str_copy(r->check.reason, sizeof(r->check.reason), "unknown user");
	return V_PERM;
}

void
auth_scram_count(const struct auth_run *r, bool proven)
{
	size_t i;

	for (i = 0; i < r->flow->n; i++)
		if (r->flow->chain[i] == r->source) {
			r->flow->chain[i]->accepted += proven;
			r->flow->chain[i]->denied += !proven;
		}
}

/* ---- keys that nobody has ---------------------------------------------------------------------
 */

/* -1 with errno. */
static int
read_key(const char *path)
{
	struct stat st;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		n = -1;
	else
		n = read(fd, fake_key, KEY_LEN);
	close(fd);
	if (n == (ssize_t)KEY_LEN)
		return 0;
	errno = EINVAL;
	return -1;
}

/* Whole or not at all: two processes may do this at the same time. */
static int
make_key(const char *path)
{
	char temp[4200];
	int fd, result = -1;

	random_bytes(fake_key, KEY_LEN);
	if (str_printf(temp, sizeof(temp), "%s.%ld", path, (long)getpid()) == -1)
		return -1;
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		return -1;
	if (write(fd, fake_key, KEY_LEN) == (ssize_t)KEY_LEN && fsync(fd) == 0 &&
	    link(temp, path) == 0)
		result = 0;
	close(fd);
	(void)unlink(temp);
	return result;
}

void
auth_scram_init(const char *state)
{
	char path[4100];
	struct log_line l;

	if (str_printf(path, sizeof(path), "%s/" KEY_FILE, state) == 0) {
		if (read_key(path) == 0)
			return;
		if (errno == EINVAL) /* cut short by a crash: nobody was told anything by it */
			(void)unlink(path);
		if (make_key(path) == 0 || (errno == EEXIST && read_key(path) == 0))
			return;
	}
	log_begin(&l, LOG_LEVEL_WARN, EV_BACKEND);
	log_str(&l, LK_FILE, path);
	log_str(&l, LK_TEXT, strerror(errno));
	log_str(&l, LK_STATE, "not kept");
	log_end(&l);
	random_bytes(fake_key, KEY_LEN);
}

/* 32 octets that belong to this name and purpose. */
static void
keyed(const char *purpose, const char *name, uint8_t out[32])
{
	struct buf b = BUF_INIT;
	unsigned len = 32;

	buf_add_str(&b, purpose);
	buf_add_byte(&b, 0);
	buf_add_str(&b, name);
	if (HMAC(EVP_sha256(), fake_key, KEY_LEN, buf_data(&b), buf_len(&b), out, &len) == NULL)
		random_bytes(out, 32);
	buf_clear(&b);
}

void
auth_scram_derive(const char *purpose, uint8_t out[32])
{
	keyed(purpose, "", out);
}

void
auth_scram_fake(const char *login, const char *like, char out[SCRAM_TEXT])
{
	struct scram_keys k;
	char name[ADDR_FOLDED];
	uint8_t more[32];

	if (scram_parse(span_of(like), &k) != NULL) {
		k.iterations = SCRAM_ITERATIONS_MIN;
		k.salt_len = 16;
	}
	/* as real users are found, whatever the case of letters */
	if (addr_user_key(span_of(login), name).p != name) {
		(void)str_copy(name, sizeof(name), login);
		str_lower(name);
	}
	keyed("salt", name, k.salt);
	keyed("more salt", name, more);
	memcpy(k.salt + 32, more, sizeof(more));
	/* no key of a client has these as its hash, as far as anybody can tell */
	keyed("stored", name, k.stored);
	keyed("server", name, k.server);
	scram_format(&k, out);
	explicit_bzero(&k, sizeof(k));
}
