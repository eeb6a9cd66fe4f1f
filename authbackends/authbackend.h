/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUTHBACKEND_H
#define SUBMITD_AUTHBACKEND_H

#include "authbackends/passwd_hash.h"
#include "base/buf.h"
#include "base/net.h"
#include "base/secret.h"
#include "base/tls_client_cert.h"
#include "conf/conf.h"
#include "mail/addr.h"
#include "mail/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUTH_NAME_MAX 255u
#define AUTH_PASSWORD_MAX 1024u
#define AUTH_TOKEN_MAX 8192u /* what fits an AUTH line (RFC 4954, 4: 12288) with all around it */
#define AUTH_REASON_MAX 120u
/* A user's own addresses beside the principal, in one buffer, each with its NUL. */
#define AUTH_OWN_MAX 64u
#define AUTH_OWN_BYTES 8192u

/* What a client proves itself with. A backend is asked only for what it can judge. */
enum auth_cred {
	CRED_PASSWORD = 0, /* PLAIN, LOGIN */
	CRED_TOKEN = 1,    /* OAUTHBEARER, XOAUTH2: password holds the token */
	CRED_CERT = 2,     /* EXTERNAL: the client's certificate, verified by TLS */
	CRED__MAX
};
#define CRED_BIT(cred) (1u << (cred))

/* One question to a backend. */
struct auth_check {
	enum auth_cred cred;
	char login[AUTH_NAME_MAX +
		   1];           /* as given; no control characters, no edge blanks; empty only
	                          * for a token without a claimed user: then name must be filled */
	char address[ADDR_TEXT]; /* login completed to a canonical address; "" where it has none */
	struct secret password;  /* or token; empty only for CRED_CERT */
	/* CRED_CERT: of the certificate that TLS verified */
	char cert_sha256[TLS_FINGERPRINT];
	char cert_emails[TLS_CERT_EMAILS + 1]; /* each with its NUL, behind the last one "" */
	struct net_addr client;
	int64_t deadline_ms; /* clock of ev_now_ms(); check() returns by then */

	char hash[PASSWD_HASH_MAX + 1];  /* from look() to check() */
	char dummy[PASSWD_HASH_MAX + 1]; /* what a look-up of an unknown user would have cost; P3 */
	bool hashed;                     /* a hash was computed */

	char name[ADDR_TEXT];         /* the backend's own spelling of the user; "" as asked */
	char reason[AUTH_REASON_MAX]; /* why not, for the log: never shows what the client sent */
	struct buf own;               /* V_OK: auth_check_add_own() */
	bool answered; /* V_TEMP, but because of this question: the server is well, and others
	                * may be asked it. Else who asks odd things closes it for all (C2) */

	/* for `submitctl auth-test` only */
	bool want_trace;
	struct buf trace;   /* auth_check_trace(); goes on over all backends */
	char tls_peer[200]; /* version and subject, where the backend spoke TLS; else "" */
};

/* check() of backends whose look() leaves a hash. */
enum verdict auth_check_hash(void *self, struct auth_check *);
/* An address the user owns (match_from, C8); what is none, or too many, is left out. */
void auth_check_add_own(struct auth_check *, struct span address);
/* One line of what was said to and by a server; does nothing unless wanted. Never a password. */
void auth_check_trace(struct auth_check *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * A kind of backend: one file and one row in backends.def.
 *
 * Verdicts: V_OK accept, V_NEXT unknown user, V_TEMP unavailable, V_PERM deny. Never
 * decides what the chain does next, never sleeps, retries or logs a password.
 */
struct authbackend {
	const char *name;
	bool knows_users; /* S17: its deny is final, and its V_NEXT means "no such user" */
	bool (*knows)(const void *self); /* where that depends on the block; else NULL */
	bool cpu_bound;                  /* no more workers than processors */
	bool remote;    /* connects to servers: the process may then connect and resolve names */
	unsigned creds; /* CRED_BIT()s of what it judges */
	/*
	 * Once, still with the supervisor's rights. block is NULL for a backend that needs none.
	 * The configuration outlives the backend. -1 with a text in err.
	 */
	int (*open)(const struct conf *, const struct conf_backend *block, void **self, char *err,
	    size_t errsize);
	/*
	 * In the loop, must not block: true with the verdict when the answer is known at once, else
	 * check() is asked on a worker. NULL: always a worker.
	 */
	bool (*look)(void *self, struct auth_check *, enum verdict *);
	enum verdict (*check)(void *self, struct auth_check *); /* on a worker, blocks */
	/*
	 * SCRAM keys (base/scram.h), in the loop, must not block; NULL: has none, ever. scram:
	 * V_OK with the entry in hash; V_NEXT unknown user; V_PERM known, but without keys or
	 * not to log in, with the reason. scram_like: an entry of the cost that most have, ""
	 * while there is none; lives until the loop's next turn.
	 */
	enum verdict (*scram)(void *self, struct auth_check *);
	const char *(*scram_like)(const void *self);
	bool by_alias; /* finds a user by an alias of his domain, too (S57) */
	void (*close)(void *self);
	/*
	 * Every second in the loop; may be NULL. want_file(path) asks the supervisor to open it,
	 * the answer comes to on_file: fd is -1 with an errno, else it is taken.
	 */
	void (*tick)(void *self, void (*want_file)(const char *path));
	/*
	 * Another number whenever answers may have become others than before, only growing. NULL:
	 * that is not known, or never happens.
	 */
	uint64_t (*changes)(const void *self);
	bool (*on_file)(void *self, const char *path, int fd, int error); /* false: not my path */
};

#define BACKEND(kind) extern const struct authbackend authbackend_##kind;
#include "authbackends/backends.def"
#undef BACKEND
/* By the value of the option backend.type. */
const struct authbackend *authbackend_kind(int type);
const struct authbackend *authbackend_kind_by_name(const char *name);

#endif
