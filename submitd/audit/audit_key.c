/* SPDX-License-Identifier: ISC */
/*
 * The key that signs checkpoints of the audit record (A4). The private one is read
 * or made by the ledger with the supervisor's rights, before it drops them, and by
 * nobody else; the public one is for everybody who wants to check.
 */
#include "audit/audit_chain.h"

#include "base/enc.h"
#include "base/fs.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PEM_MAX 16384
#define SIG_LEN 64

struct audit_key {
	EVP_PKEY *pkey;
	char id[AUDIT_KEY_ID];
};

/* Takes the key; NULL when it is none of ours. */
static struct audit_key *
key_new(EVP_PKEY *pkey)
{
	struct audit_key *k;
	struct audit_hash h;
	uint8_t raw[32];
	size_t n = sizeof(raw);
	char hex[AUDIT_HASH_TEXT];

	if (pkey == NULL || EVP_PKEY_get_base_id(pkey) != EVP_PKEY_ED25519 ||
	    EVP_PKEY_get_raw_public_key(pkey, raw, &n) != 1 || n != sizeof(raw)) {
		EVP_PKEY_free(pkey);
		ERR_clear_error();
		return NULL;
	}
	k = xcallocarray(1, sizeof(*k));
	k->pkey = pkey;
	audit_hash_of((struct span){(const char *)raw, n}, &h);
	audit_hash_format(&h, hex);
	memcpy(k->id, hex, AUDIT_KEY_ID - 1);
	return k;
}

void
audit_key_free(struct audit_key *k)
{
	if (k == NULL)
		return;
	EVP_PKEY_free(k->pkey);
	free(k);
}

const char *
audit_key_id(const struct audit_key *k)
{
	return k->id;
}

struct audit_key *
audit_key_random(void)
{
	return key_new(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
}

struct audit_key *
audit_key_public_of(const struct audit_key *k)
{
	uint8_t raw[32];
	size_t n = sizeof(raw);

	if (EVP_PKEY_get_raw_public_key(k->pkey, raw, &n) != 1)
		return NULL;
	return key_new(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw, n));
}

/* ---- files ----------------------------------------------------------------------------------- */

static int
write_pem(const char *path, mode_t mode, BIO *b)
{
	char *data;
	long n = BIO_get_mem_data(b, &data);

	return fs_make_file(path, mode, data, (size_t)n);
}

static int
write_private(const EVP_PKEY *pkey, const char *path)
{
	BIO *b = BIO_new(BIO_s_secmem());
	int rc = -1;

	errno = EIO;
	if (b != NULL && PEM_write_bio_PKCS8PrivateKey(b, pkey, NULL, NULL, 0, NULL, NULL) == 1)
		rc = write_pem(path, 0600, b);
	BIO_free(b);
	return rc;
}

static int
write_public(const EVP_PKEY *pkey, const char *path)
{
	BIO *b = BIO_new(BIO_s_mem());
	int rc = -1;

	errno = EIO;
	if (b != NULL && PEM_write_bio_PUBKEY(b, pkey) == 1)
		rc = write_pem(path, 0644, b);
	BIO_free(b);
	return rc;
}

/* NULL with errno; EINVAL: no key in it; EPERM: not a file for a private key. */
static struct audit_key *
read_key(const char *path, bool private)
{
	int fd = private ? fs_open_private(path)
	                 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char text[PEM_MAX];
	struct audit_key *k = NULL;
	ssize_t n;
	BIO *b;

	if (fd == -1)
		return NULL;
	n = read(fd, text, sizeof(text));
	close(fd);
	if (n == -1)
		return NULL;
	b = BIO_new_mem_buf(text, (int)n);
	if (b != NULL)
		k = key_new(private ? PEM_read_bio_PrivateKey(b, NULL, NULL, NULL)
				    : PEM_read_bio_PUBKEY(b, NULL, NULL, NULL));
	BIO_free(b);
	explicit_bzero(text, sizeof(text));
	ERR_clear_error();
	if (k == NULL)
		errno = EINVAL;
	return k;
}

static const char *
reason(void)
{
	switch (errno) {
	case EINVAL:
		return "it holds no Ed25519 key in PEM form";
	case EPERM:
		return "it must belong to the user that starts submitd, with mode 0600 and under "
		       "one name only";
	case ELOOP:
		return "it must not be a symbolic link";
	default:
		return strerror(errno);
	}
}

struct audit_key *
audit_key_open(const char *path, const char *public_path, char *err, size_t errsize)
{
	struct audit_key *k = read_key(path, true);

	if (k == NULL && errno == ENOENT) {
		struct audit_key *fresh = audit_key_random();

		if (fresh == NULL || write_private(fresh->pkey, path) == -1) {
			(void)str_printf(
			    err, errsize, "audit key %s cannot be made: %s", path, strerror(errno));
			audit_key_free(fresh);
			return NULL;
		}
		audit_key_free(fresh);
		k = read_key(path, true); /* another one may have been first */
	}
	if (k == NULL) {
		(void)str_printf(err, errsize, "audit key %s: %s", path, reason());
		return NULL;
	}
	if (write_public(k->pkey, public_path) == -1) {
		(void)str_printf(
		    err, errsize, "audit key %s cannot be made: %s", public_path, strerror(errno));
		audit_key_free(k);
		return NULL;
	}
	struct audit_key *pub = read_key(public_path, false);
	bool same = pub != NULL && strcmp(pub->id, k->id) == 0;
	audit_key_free(pub);
	if (!same) {
		(void)str_printf(err, errsize,
		    "audit key: %s is not the public key of %s: remove it, it is made anew",
		    public_path, path);
		audit_key_free(k);
		return NULL;
	}
	return k;
}

struct audit_key *
audit_key_public(const char *path, char *err, size_t errsize)
{
	struct audit_key *k = read_key(path, false);

	if (k == NULL)
		(void)str_printf(err, errsize, "%s: %s", path, reason());
	return k;
}

/* ---- signatures ------------------------------------------------------------------------------ */

static size_t
signed_text(const struct audit_key *k, uint64_t seq, const struct audit_hash *h, int64_t time_ms,
    char out[256])
{
	char hex[AUDIT_HASH_TEXT];

	audit_hash_format(h, hex);
	(void)str_printf(out, 256,
	    "submitd audit checkpoint 1\nkey %s\nseq %" PRIu64 "\nhash %s\ntime %" PRId64 "\n",
	    k->id, seq, hex, time_ms);
	return strlen(out);
}

int
audit_key_sign(const struct audit_key *k, uint64_t seq, const struct audit_hash *h, int64_t time_ms,
    char out[AUDIT_SIG_TEXT])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct buf b = BUF_INIT;
	uint8_t sig[SIG_LEN];
	size_t n = sizeof(sig);
	char text[256];
	int rc = -1;

	if (time_ms < 0)
		time_ms = 0;
	size_t len = signed_text(k, seq, h, time_ms, text);
	if (ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->pkey) == 1 &&
	    EVP_DigestSign(ctx, sig, &n, (const uint8_t *)text, len) == 1 && n == sizeof(sig)) {
		base64_encode(&b, sig, n);
		rc = str_printf(out, AUDIT_SIG_TEXT, "%" PRId64 "-%s", time_ms, buf_cstr(&b));
	}
	EVP_MD_CTX_free(ctx);
	buf_clear(&b);
	return rc;
}

bool
audit_key_check(const struct audit_key *k, uint64_t seq, const struct audit_hash *h,
    struct span sig, int64_t *time_ms)
{
	EVP_MD_CTX *ctx = NULL;
	struct span rest = sig, digits = span_cut(&rest, '-');
	struct buf b = BUF_INIT;
	uint64_t ms;
	char text[256];
	bool good = false;

	if (rest.p != NULL && span_to_u64(digits, 0, INT64_MAX, &ms) == 0 &&
	    base64_decode(&b, rest) == 0 && buf_len(&b) == SIG_LEN) {
		size_t len = signed_text(k, seq, h, (int64_t)ms, text);

		ctx = EVP_MD_CTX_new();
		good = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, k->pkey) == 1 &&
		       EVP_DigestVerify(
			   ctx, buf_data(&b), buf_len(&b), (const uint8_t *)text, len) == 1;
		if (good)
			*time_ms = (int64_t)ms;
	}
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	buf_clear(&b);
	return good;
}
