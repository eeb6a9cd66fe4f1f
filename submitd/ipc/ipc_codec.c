/* SPDX-License-Identifier: ISC */
/*
 * Encoders and decoders of all messages, generated from ipc_msg.def, and the check
 * who may send what to whom. Pure. What is read here comes from another process
 * that may have been taken over: nothing is trusted.
 */
#include "ipc/ipc.h"
#include "ipc/ipc_internal.h"

#include <string.h>

static void
put_addr(struct buf *b, const struct net_addr *a)
{
	buf_put_u8(b, a->family);
	buf_put_u16(b, a->port);
	buf_add(b, a->ip, sizeof(a->ip));
}

static void
get_addr(struct rd *r, struct net_addr *a)
{
	memset(a, 0, sizeof(*a));
	a->family = rd_u8(r);
	a->port = rd_u16(r);
	if (a->family != 0 && a->family != 4 && a->family != 6)
		r->bad = true;
	if (r->bad || r->n < sizeof(a->ip)) {
		r->bad = true;
		return;
	}
	memcpy(a->ip, r->p, sizeof(a->ip));
	r->p += sizeof(a->ip);
	r->n -= sizeof(a->ip);
}

#define PUT_u8(name) buf_put_u8(b, m->name);
#define PUT_u16(name) buf_put_u16(b, m->name);
#define PUT_u32(name) buf_put_u32(b, m->name);
#define PUT_u64(name) buf_put_u64(b, m->name);
#define PUT_i64(name) buf_put_u64(b, (uint64_t)m->name);
#define PUT_str(name) buf_put_bytes(b, m->name.p, m->name.n);
#define PUT_bytes(name) PUT_str(name)
#define PUT_secret(name) PUT_str(name)
#define PUT_addr(name) put_addr(b, &m->name);

#define GET_u8(name) m.name = rd_u8(&r);
#define GET_u16(name) m.name = rd_u16(&r);
#define GET_u32(name) m.name = rd_u32(&r);
#define GET_u64(name) m.name = rd_u64(&r);
#define GET_i64(name) m.name = (int64_t)rd_u64(&r);
#define GET_str(name) m.name = rd_bytes(&r);
#define GET_bytes(name) GET_str(name)
#define GET_secret(name) GET_str(name)
#define GET_addr(name) get_addr(&r, &m.name);

#define F(type, name) PUT_##type(name)
#define MSG(NAME, stem, from, to, fields)                                                          \
	void ipc_encode_##stem(struct buf *b, const struct ipc_##stem *m)                          \
	{                                                                                          \
		fields                                                                             \
	}
#include "ipc/ipc_msg.def"
#undef F
#undef MSG

#define F(type, name) GET_##type(name)
#define MSG(NAME, stem, from, to, fields)                                                          \
	int ipc_decode_##stem(const struct ipc_in *in, struct ipc_##stem *out)                     \
	{                                                                                          \
		struct ipc_##stem m;                                                               \
		struct rd r;                                                                       \
		if (in->type != IPC_##NAME)                                                        \
			return -1;                                                                 \
		rd_init(&r, in->body, in->len);                                                    \
		fields if (!rd_done(&r)) return -1;                                                \
		*out = m;                                                                          \
		return 0;                                                                          \
	}
#include "ipc/ipc_msg.def"
#undef F
#undef MSG

#define MSG(NAME, stem, from, to, fields)                                                          \
	int ipc_send_##stem(struct ipc_peer *p, int fd, const struct ipc_##stem *m)                \
	{                                                                                          \
		struct buf *b = ipc_frame_begin(p, IPC_##NAME, fd);                                \
		if (b == NULL)                                                                     \
			return -1;                                                                 \
		ipc_encode_##stem(b, m);                                                           \
		return ipc_frame_end(p);                                                           \
	}
#include "ipc/ipc_msg.def"
#undef MSG

#define IS_u8 0
#define IS_u16 0
#define IS_u32 0
#define IS_u64 0
#define IS_i64 0
#define IS_str 0
#define IS_bytes 0
#define IS_secret 1
#define IS_addr 0
#define F(type, name) | IS_##type
#define MSG(NAME, stem, from, to, fields) {#NAME, ROLE_##from, ROLE_##to, (0 fields) != 0},
static const struct {
	const char *name;
	enum role from, to;
	bool secret;
} types[IPC__MAX] = {
    {"NONE", ROLE_ANY, ROLE_ANY, false},
#include "ipc/ipc_msg.def"
};
#undef F
#undef MSG

const char *
ipc_type_name(enum ipc_type type)
{
	return (unsigned)type < IPC__MAX ? types[type].name : "unknown";
}

bool
ipc_type_is_secret(enum ipc_type type)
{
	return types[type].secret;
}

const char *
role_name(enum role role)
{
	static const char *const names[ROLE__MAX] = {
	    "any", "supervisor", "front", "auth", "queue", "deliver", "ledger", "control"};

	return (unsigned)role < ROLE__MAX ? names[role] : "unknown";
}

int
ipc_frame_check(enum role from, enum role to, const uint8_t *frame, size_t n)
{
	struct rd r;

	rd_init(&r, frame, n);
	uint32_t len = rd_u32(&r);
	uint16_t type = rd_u16(&r), flags = rd_u16(&r);
	if (r.bad || len != n || n > IPC_FRAME_MAX || type == IPC_NONE || type >= IPC__MAX ||
	    flags > IPC_FLAG_FD)
		return -1;
	if ((types[type].from != ROLE_ANY && types[type].from != from) ||
	    (types[type].to != ROLE_ANY && types[type].to != to))
		return -1;
	return 0;
}
