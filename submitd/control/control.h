/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_CONTROL_CONTROL_H
#define SUBMITD_CONTROL_CONTROL_H

#include "base/buf.h"
#include "conf/conf.h"

#include <stdbool.h>
#include <sys/types.h>

#include <jansson.h>

/* Bounds of the control socket, named in submitctl(8). */
#define CONTROL_MAX_CLIENTS 16
#define CONTROL_MAX_REQUEST 65536u
#define CONTROL_REQUEST_MS 10000 /* to send the request */
#define CONTROL_ANSWER_MS 300000 /* without a sign of life of the role that is asked */
#define CONTROL_SOON_MS 10000    /* the same, where roles answer at once */
#define CONTROL_WRITE_MS 30000   /* a client that does not read */

/* ---- control_request.c: what a client may ask, pure ---- */
enum control_target {
	CONTROL_TO_QUEUE = 0,
	CONTROL_TO_ALL = 1,        /* every role that has counters */
	CONTROL_TO_SUPERVISOR = 2, /* reload, state */
	CONTROL_TO_SELF = 3,       /* explain */
	CONTROL_TO_LEDGER = 4,
	CONTROL_TO_AUTH = 5, /* auth.test: a secret follows the line */
};
struct control_command {
	const char *name;
	enum control_target target;
	bool changes; /* logged and audited */
};
#define CONTROL_MAX_SECRET 1024u /* a password */
#define CONTROL_MAX_TOKEN 8192u
#define CONTROL_MAX_CERT 32768u
struct control_request {
	const struct control_command *command;
	json_t *json; /* owned */
	/*
	 * Octets that follow the line, as its member "secret" says, which is taken out of json;
	 * 0: none. Only root and the owner of the service may send them. They never go through
	 * JSON, which would copy them.
	 */
	size_t secret_size;
	uint8_t cred; /* auth.test: what they are, as in AUTH_TEST; member "with" */
};
/* One line without its newline. -1 with a text for the person. */
int control_request_parse(struct span line, struct control_request *, char *err, size_t errsize);
/* Sets "user" to who it is by the kernel's word, with what the client claims beside it. */
void control_request_set_user(struct control_request *, uid_t);
const char *control_request_user(const struct control_request *);
void control_request_clear(struct control_request *);
/* The last line of an answer. error may be NULL. */
void control_end_line(struct buf *out, int status, const char *error);

/* ---- control_socket.c: runs with the supervisor's rights ---- */
/* Binds and listens; replaces a socket that nobody answers. -1 with a text. */
int control_socket_open(const struct conf *, char *err, size_t errsize);
/* 0: this peer may ask; -1: not. */
int control_socket_check_peer(int fd, uid_t *uid);
bool control_socket_is_owner(uid_t); /* root, or who started the service */

#endif
