/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_IPC_IPC_H
#define SUBMITD_IPC_IPC_H

#include "base/buf.h"
#include "base/net.h"

#include <stdbool.h>
#include <stdint.h>

enum role {
	ROLE_ANY = 0,
	ROLE_SUPERVISOR = 1,
	ROLE_FRONT = 2,
	ROLE_AUTH = 3,
	ROLE_QUEUE = 4,
	ROLE_DELIVER = 5,
	ROLE_LEDGER = 6,
	ROLE_CONTROL = 7,
	ROLE__MAX
};
const char *role_name(enum role);

enum ipc_type {
	IPC_NONE = 0,
#define MSG(NAME, stem, from, to, fields) IPC_##NAME,
#include "ipc/ipc_msg.def"
#undef MSG
	IPC__MAX
};
const char *ipc_type_name(enum ipc_type);

#define IPC_FRAME_MAX 65536u /* header included */
#define IPC_HEADER 8u        /* u32 length of all, u16 type, u16 flags */
/* Bytes of a bulk field that always fit into one frame beside the other fields. */
#define IPC_CHUNK 49152u

/* Fields as the structs hold them; spans point into the received frame. */
#define IPC_FIELD_u8 uint8_t
#define IPC_FIELD_u16 uint16_t
#define IPC_FIELD_u32 uint32_t
#define IPC_FIELD_u64 uint64_t
#define IPC_FIELD_i64 int64_t
#define IPC_FIELD_str struct span
#define IPC_FIELD_bytes struct span
#define IPC_FIELD_secret struct span
#define IPC_FIELD_addr struct net_addr

#define F(type, name) IPC_FIELD_##type name;
#define MSG(NAME, stem, from, to, fields)                                                          \
	struct ipc_##stem {                                                                        \
		fields                                                                             \
	};
#include "ipc/ipc_msg.def"
#undef MSG
#undef F

/* A connection to one other process. */
struct ipc_peer;

/* A received frame, valid during the handler. The handler takes fd by setting it to -1; else it is
 * closed. */
struct ipc_in {
	enum ipc_type type;
	const uint8_t *body;
	size_t len;
	int fd; /* -1: none came */
};

/*
 * ipc_decode_<stem>(in, &m): 0, or -1 when the frame is not exactly that message.
 * ipc_send_<stem>(peer, fd, &m): queues the frame; it leaves at the end of the turn. fd (-1: none)
 * is closed once sent. -1 with errno EMSGSIZE when it does not fit a frame, EPIPE when the peer is
 * gone; fd is closed then too.
 */
#define MSG(NAME, stem, from, to, fields)                                                          \
	int ipc_decode_##stem(const struct ipc_in *, struct ipc_##stem *);                         \
	int ipc_send_##stem(struct ipc_peer *, int fd, const struct ipc_##stem *);                 \
	void ipc_encode_##stem(struct buf *, const struct ipc_##stem *); /* body only: tests */
#include "ipc/ipc_msg.def"
#undef MSG

/* 0, or -1: the message was bad or came at a wrong time; the peer is cut off then. */
typedef int ipc_handler_fn(struct ipc_peer *, struct ipc_in *);
struct ipc_handler {
	enum ipc_type type;
	ipc_handler_fn *fn;
};

/* A frame that was encoded before; without a descriptor. As ipc_send_<stem>(). */
int ipc_send_body(struct ipc_peer *, enum ipc_type, struct span body);

/* The handlers of this process, and what to call when a peer comes or goes. */
struct ipc_role_ops {
	const struct ipc_handler *handlers;   /* ends with type IPC_NONE */
	void (*peer_up)(struct ipc_peer *);   /* may be NULL */
	void (*peer_down)(struct ipc_peer *); /* may be NULL; the peer is freed afterwards */
};
void ipc_init(enum role self, const struct ipc_role_ops *);
/* proc.c: handlers that every role has besides its own. Before ipc_init. */
void ipc_set_common(const struct ipc_handler *);
/* Takes the socket. The event loop must exist. */
struct ipc_peer *ipc_peer_new(int fd, enum role, unsigned instance, uint64_t generation);
void ipc_peer_close(struct ipc_peer *); /* calls peer_down */
enum role ipc_peer_role(const struct ipc_peer *);
unsigned ipc_peer_instance(const struct ipc_peer *);
uint64_t ipc_peer_generation(const struct ipc_peer *);
/* proc.c: the supervisor's number of the socket pair; 0: none. */
void ipc_peer_set_pair(struct ipc_peer *, uint64_t);
uint64_t ipc_peer_pair(const struct ipc_peer *);
/* For the owner of the handlers: per-peer state, freed by it in peer_down. */
void ipc_peer_set_data(struct ipc_peer *, void *);
void *ipc_peer_data(const struct ipc_peer *);
/* Bytes waiting to be sent; senders of bulk stop above IPC_BACKLOG_SOFT. Above IPC_BACKLOG_HARD the
 * peer is cut off. */
size_t ipc_peer_backlog(const struct ipc_peer *);
#define IPC_BACKLOG_SOFT (4u << 20)
#define IPC_BACKLOG_HARD (256u << 20)
/* Back-pressure on what a peer sends: pauses or resumes reading from it. */
void ipc_peer_pause(struct ipc_peer *, bool paused);
/* Writes now instead of at the end of the turn: before exit. */
void ipc_flush_all(void);

/* A live peer of that role (the newest generation; of several instances the one with instance % n),
 * or NULL. */
struct ipc_peer *ipc_role_peer(enum role, unsigned instance);
/* All live peers of a role: fn for each. */
void ipc_role_each(enum role, void (*fn)(struct ipc_peer *, void *arg), void *arg);

/* How many live peers of a role there are, of all generations. */
size_t ipc_role_count(enum role);

/* In a fresh child: forgets the parent's peers without a word to them. Their descriptors are the
 * caller's to close. */
void ipc_after_fork(void);

/* Checks direction and length only; fn is called by the peer code, and by the fuzz target. */
int ipc_frame_check(enum role from, enum role to, const uint8_t *frame, size_t n);

#endif
