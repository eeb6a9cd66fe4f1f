/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_FRONT_SMTP_SESSION_H
#define SUBMITD_FRONT_SMTP_SESSION_H

#include "base/buf.h"
#include "base/io.h"
#include "front/front.h"
#include "mail/dotstuff.h"
#include "mail/envelope.h"
#include "mail/header.h"
#include "policy/policy.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * One SMTP session: a table of commands (smtp_session.c), one file per command,
 * a transaction only while there is one. An idle session is this struct, its
 * HELO name and what AUTH gave.
 */
enum smtp_state {
	ST_NEW = 0,     /* before the greeting: handshake of an implicit TLS listener */
	ST_START = 1,   /* greeted; no HELO or EHLO yet, or all forgotten after TLS */
	ST_READY = 2,   /* HELO or EHLO was accepted */
	ST_TLS = 3,     /* STARTTLS was answered, the handshake runs */
	ST_AUTH = 4,    /* within an AUTH exchange */
	ST_MAIL = 5,    /* MAIL was accepted, no recipient yet */
	ST_RCPT = 6,    /* at least one recipient */
	ST_DATA = 7,    /* lines of a message */
	ST_CHUNK = 8,   /* octets of a BDAT chunk */
	ST_BDAT = 9,    /* between two chunks */
	ST_COMMIT = 10, /* the queue has it, we wait for its word */
	ST_CLOSED = 11,
	ST__MAX
};

enum cmd_result {
	CMD_DONE = 0, /* exactly one reply was queued */
	CMD_WAIT = 1, /* exactly one continuation will run */
};

/* What a successful AUTH gave; one allocation, texts behind the struct. */
struct smtp_auth {
	const char *login, *principal, *ou, *backend, *mech; /* NULL: none */
	struct span own; /* further addresses of the user, each with a NUL */
};

struct smtp_session {
	struct front *front;
	struct front_listener *l;
	struct io *io;
	uint64_t sid;
	struct net_addr client;  /* as PROXY or XCLIENT say */
	struct net_addr counted; /* whom the limits count */
	char *helo;
	struct smtp_auth *auth;
	struct smtp_tx *tx;
	uint64_t junk_left; /* octets of a BDAT chunk outside of a transaction */
	size_t input_left;  /* bytes behind the command being handled, already received */
	int64_t started_ms;
	uint32_t commands, replies;
	uint32_t errors;       /* refused commands since the last accepted message */
	uint32_t messages;     /* accepted */
	uint32_t transactions; /* MAIL commands that were accepted */
	uint16_t auth_failures;
	uint8_t chunk_from; /* state before a junk chunk */
	uint8_t state;      /* enum smtp_state; only smtp_session_enter() writes it */
	bool esmtp : 1;
	bool inside : 1;     /* a callback of io is on the stack */
	bool blocked : 1;    /* a continuation is due: no input is looked at */
	bool paused : 1;     /* io is told not to read */
	bool choked : 1;     /* too many replies wait to be read by the client */
	bool skipping : 1;   /* the rest of an overlong line is thrown away */
	bool finish : 1;     /* close politely */
	bool auth_asked : 1; /* the auth role knows our sid */
	bool auth_told : 1;  /* the no came as a challenge: it is counted */
	bool junk : 1;       /* the chunk is only counted */
	bool xclient : 1;    /* a proxy spoke for the client: what TLS proves is the proxy's */
};

/* ---- smtp_session.c ---- */
/* Takes fd. The greeting follows, after TLS where it comes first. */
struct smtp_session *smtp_session_new(struct front *, struct front_listener *, int fd,
    const struct net_addr *client, const struct net_addr *counted);
/* Legal steps only. */
void smtp_session_enter(struct smtp_session *, enum smtp_state);
/*
 * A continuation is wrapped in these two: hold at its begin; resume at its end goes on with
 * the input, and frees the session if it was ended in between.
 */
void smtp_session_hold(struct smtp_session *);
void smtp_session_resume(struct smtp_session *);
/* Closes: politely after what was written (finish), or at once. The session is freed, later if it
 * is on the stack. */
void smtp_session_end(struct smtp_session *, bool finish);
/* Within ST_MAIL and after: forgets the transaction, back to READY (or stays in START). */
void smtp_session_reset_tx(struct smtp_session *);
/* Forgets HELO, AUTH and the transaction (RFC 3207, 4.2). */
void smtp_session_forget(struct smtp_session *);
bool smtp_session_idle(const struct smtp_session *);
const struct tls_facts *smtp_session_tls(const struct smtp_session *); /* NULL: no TLS */
void smtp_session_greet(struct smtp_session *);
/* The session's part of the facts; those of a transaction where there is one. */
void smtp_session_facts(const struct smtp_session *, enum policy_stage, struct facts *);
/* ---- smtp_timeout.c ---- */
void smtp_session_arm(struct smtp_session *);
void smtp_session_timed_out(struct smtp_session *);

/* ---- smtp_reply.c: the only way to the client ---- */
/* One reply; esc may be NULL. Control bytes never get through. */
void smtp_reply(struct smtp_session *, unsigned code, const char *esc, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* A reply given as text by another role or by policy. */
void smtp_reply_text(struct smtp_session *, unsigned code, const char *esc, struct span text);
void smtp_reply_status(struct smtp_session *, const struct status *);
/* Several lines, whole, with their codes: EHLO, HELP. Counts as one reply. */
void smtp_reply_raw(struct smtp_session *, unsigned code, const char *, size_t);
/* 421 and the end. */
void smtp_reply_close(struct smtp_session *, const char *esc, const char *text);
/* A copy that is safe in a reply: one line, bounded, printable. */
#define SMTP_REPLY_TEXT 480
void smtp_reply_clean(char out[SMTP_REPLY_TEXT], struct span, bool utf8);
/* event=refused with what is known of the session. */
struct refusal {
	const struct addr *from, *to;
	unsigned code;
	const char *esc, *text, *rule;
	const struct uuid *mid;
};
void smtp_log_refused(const struct smtp_session *, const struct refusal *);
/* AUTH was refused here, not by the auth role: a record; mech: as the client wrote it, or empty. */
void front_audit_auth(
    const struct smtp_session *, enum verdict, struct span mech, const char *reason);
/* A recipient was refused: a record when it was for a relay rule (front_audit.c). */
struct policy_result;
void front_audit_relay(
    const struct smtp_session *, const struct addr *to, const struct policy_result *);

/* ---- commands: arg is what follows the verb, without white space at both ends ---- */
typedef enum cmd_result smtp_cmd_fn(struct smtp_session *, struct span arg);
smtp_cmd_fn cmd_helo, cmd_ehlo, cmd_starttls, cmd_auth, cmd_mail, cmd_rcpt, cmd_data, cmd_bdat;
smtp_cmd_fn cmd_rset, cmd_noop, cmd_vrfy, cmd_expn, cmd_help, cmd_quit, cmd_xclient;
/* AUTH on a connection that needs TLS first (RFC 4954, 4). */
void smtp_auth_refuse_clear(struct smtp_session *, struct span arg);
/* A line within an AUTH exchange. */
enum cmd_result smtp_auth_line(struct smtp_session *, struct span);
void smtp_auth_on_res(struct smtp_session *, const struct ipc_auth_res *);
/* The auth role went away: whoever waits for it is told. */
void smtp_auth_on_lost(struct smtp_session *);
/* Mechanisms that may be offered and used now; NULL: none. */
const char *smtp_auth_mechs(const struct smtp_session *);
/* TLS has verified a certificate of the client itself. */
bool smtp_session_has_cert(const struct smtp_session *);
/* V_OK: the rules let this address use AUTH; the result is the caller's to clear (S3). */
enum verdict smtp_auth_allowed(const struct smtp_session *, struct policy_result *);
void smtp_session_tls_up(struct smtp_session *); /* smtp_cmd_starttls.c */
bool smtp_xclient_allowed(const struct smtp_session *);

/* The path of MAIL and RCPT (smtp_cmd_mail.c). */
struct path_spec {
	const char *verb, *keyword, *what, *esc;
	unsigned flags;  /* ADDR_* */
	bool postmaster; /* <Postmaster> is known */
};
int smtp_path_take(struct smtp_session *, struct span arg, const struct path_spec *,
    struct addr *out, struct span *params);
int smtp_path_complete(struct smtp_session *, const struct path_spec *, struct addr *);

/* ---- smtp_tx.c ---- */
struct smtp_tx {
	struct message *msg;
	struct offer *offer;   /* NULL until the queue is needed */
	struct status refusal; /* why this message will be refused; text NULL: not (yet) */
	const char *rule;      /* that refused it, or NULL */
	struct dot_decoder dot;
	struct buf in;     /* the header while it comes */
	struct buf body;   /* clean bytes, with our fields; not yet written to the file */
	uint64_t declared; /* SIZE=, 0: not given */
	uint64_t total;    /* clean octets received */
	uint64_t written;  /* octets in the file */
	uint64_t raw;      /* octets off the wire since DATA or the first BDAT */
	uint64_t chunk, chunk_left;
	size_t scanned;  /* of in, for the empty line */
	size_t counted;  /* of front->data_used */
	int64_t data_ms; /* when DATA began */
	uint32_t *dups;  /* hash of recipients: index + 1 */
	size_t dup_cap;
	uint64_t dup_seed;
	bool refused : 1; /* refusal is filled */
	bool header_done : 1;
	bool chunk_last : 1;
	bool begun : 1; /* DATA or BDAT was used */
	bool file_asked : 1;
	bool ended : 1; /* all octets came; waits for the file */
};
struct smtp_tx *smtp_tx_new(struct smtp_session *);
void smtp_tx_free(struct smtp_session *); /* s->tx; a file is dropped, an offer goes on */
/* Index of an equal recipient, or -1. */
ssize_t smtp_tx_find_rcpt(struct smtp_tx *, const struct addr *);
/* The last recipient of the message becomes known to smtp_tx_find_rcpt(). */
void smtp_tx_note_rcpt(struct smtp_tx *);
/* The first refusal stays. */
void smtp_tx_refuse(struct smtp_session *, enum verdict, unsigned code, const char *esc,
    const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void smtp_tx_refuse_status(struct smtp_session *, const struct status *);

/* ---- smtp_data.c ---- */
#define SMTP_BODY_MEMORY (256u * 1024)
/* The transaction's message begins. */
void smtp_data_begin(struct smtp_session *, bool bdat);
/* Bytes in ST_DATA or ST_CHUNK; gives how many were taken. */
size_t smtp_data_input(struct smtp_session *, const uint8_t *, size_t);
/* A BDAT chunk begins, whatever the state; its reply follows its last octet. */
void smtp_data_chunk(struct smtp_session *, uint64_t size, bool last);
void smtp_data_on_file(struct smtp_session *, unsigned code, const char *esc, struct span text);
void smtp_data_on_commit(struct smtp_session *, unsigned code, const char *esc, struct span text);
/* The queue did not answer: the offer is taken back, the client is to come again. */
void smtp_data_give_up(struct smtp_session *);

/* ---- smtp_header.c ---- */
/* The header is complete: block octets of tx->in, the rest begins at rest. Fills tx->body. */
void smtp_header_finish(struct smtp_session *, size_t block, size_t rest);

#endif
