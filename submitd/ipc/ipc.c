/* SPDX-License-Identifier: ISC */
/*
 * Connections between the processes: frames in, frames out, one descriptor per
 * frame at most. Output is written once per turn. A peer that sends what it must
 * not, or that lets its input pile up, is cut off; the supervisor restarts it.
 */
#include "ipc/ipc.h"
#include "base/ev.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "ipc/ipc_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_CHUNK 131072u
#define MAX_FDS 64u /* received and not yet taken by a frame */

/* A descriptor that leaves with the byte at this place of the stream. */
struct out_fd {
	uint64_t at;
	int fd;
};

struct ipc_peer {
	TAILQ_ENTRY(ipc_peer) entry;
	int fd;
	enum role role;
	unsigned instance;
	uint64_t generation, pair;
	void *data;
	struct ev_watch watch_read, watch_write;
	struct ev_turn flush;
	struct buf in, out;
	uint64_t out_base;  /* stream position of the first byte in out */
	size_t frame_start; /* offset in out of the frame being built */
	bool frame_has_fd, frame_secret, out_secret, dead, paused;
	struct out_fd *fds;
	size_t n_fds, cap_fds;
	int in_fds[MAX_FDS];
	size_t n_in_fds;
};

static TAILQ_HEAD(, ipc_peer) peers = TAILQ_HEAD_INITIALIZER(peers);
static enum role self_role;
static const struct ipc_role_ops *role_ops;
static ipc_handler_fn *handlers[IPC__MAX];
static const struct ipc_handler *common;

static void peer_readable(int fd, short what, void *arg);

void
ipc_set_common(const struct ipc_handler *table)
{
	common = table;
}

void
ipc_init(enum role self, const struct ipc_role_ops *ops)
{
	self_role = self;
	role_ops = ops;
	memset(handlers, 0, sizeof(handlers));
	for (const struct ipc_handler *h = common; h != NULL && h->type != IPC_NONE; h++)
		handlers[h->type] = h->fn;
	for (const struct ipc_handler *h = ops->handlers; h != NULL && h->type != IPC_NONE; h++)
		handlers[h->type] = h->fn;
}

struct ipc_peer *
ipc_peer_new(int fd, enum role role, unsigned instance, uint64_t generation)
{
	struct ipc_peer *p = xcallocarray(1, sizeof(*p));

	p->fd = fd;
	p->role = role;
	p->instance = instance;
	p->generation = generation;
	p->in.wipes = p->out.wipes = role == ROLE_AUTH || self_role == ROLE_AUTH;
	ev_watch_set(&p->watch_read, fd, EV_READ, peer_readable, p);
	TAILQ_INSERT_TAIL(&peers, p, entry);
	if (role_ops != NULL && role_ops->peer_up != NULL)
		role_ops->peer_up(p);
	return p;
}

static void
peer_free(void *arg)
{
	struct ipc_peer *p = arg;

	buf_wipe(&p->in);
	buf_wipe(&p->out);
	free(p->fds);
	free(p);
}

void
ipc_peer_close(struct ipc_peer *p)
{
	if (p->dead)
		return;
	p->dead = true;
	TAILQ_REMOVE(&peers, p, entry);
	ev_watch_clear(&p->watch_read);
	ev_watch_clear(&p->watch_write);
	ev_turn_cancel(&p->flush);
	for (size_t i = 0; i < p->n_fds; i++)
		close(p->fds[i].fd);
	for (size_t i = 0; i < p->n_in_fds; i++)
		close(p->in_fds[i]);
	p->n_fds = p->n_in_fds = 0;
	if (role_ops != NULL && role_ops->peer_down != NULL)
		role_ops->peer_down(p);
	close(p->fd);
	ev_free_later(p, peer_free);
}

void
ipc_after_fork(void)
{
	/* the structs stay: their events belong to the parent's loop */
	TAILQ_INIT(&peers);
}

enum role
ipc_peer_role(const struct ipc_peer *p)
{
	return p->role;
}

unsigned
ipc_peer_instance(const struct ipc_peer *p)
{
	return p->instance;
}

uint64_t
ipc_peer_generation(const struct ipc_peer *p)
{
	return p->generation;
}

void
ipc_peer_set_pair(struct ipc_peer *p, uint64_t pair)
{
	p->pair = pair;
}

uint64_t
ipc_peer_pair(const struct ipc_peer *p)
{
	return p->pair;
}

void
ipc_peer_set_data(struct ipc_peer *p, void *data)
{
	p->data = data;
}

void *
ipc_peer_data(const struct ipc_peer *p)
{
	return p->data;
}

size_t
ipc_peer_backlog(const struct ipc_peer *p)
{
	return buf_len(&p->out);
}

void
ipc_peer_pause(struct ipc_peer *p, bool paused)
{
	if (p->dead || p->paused == paused)
		return;
	p->paused = paused;
	if (paused)
		ev_watch_clear(&p->watch_read);
	else
		ev_watch_set(&p->watch_read, p->fd, EV_READ, peer_readable, p);
}

/* ---- output ---------------------------------------------------------------------------------- */

/* Sends n bytes from the front of out, with a descriptor when fd is not -1. */
static ssize_t
send_part(struct ipc_peer *p, size_t n, int fd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	union {
		const uint8_t *in;
		void *out;
	} data = {.in = buf_data(&p->out)};
	struct iovec iov = {data.out, n};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd != -1) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.space;
		msg.msg_controllen = sizeof(control.space);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	return sendmsg(p->fd, &msg, MSG_NOSIGNAL);
}

static void peer_flush(struct ipc_peer *p);

static void
peer_writable(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	peer_flush(arg);
}

static void
sent(struct ipc_peer *p, size_t n)
{
	buf_consume(&p->out, n);
	p->out_base += n;
	if (buf_len(&p->out) > 0)
		return;
	if (p->out_secret && p->out.mem != NULL)
		explicit_bzero(p->out.mem, p->out.cap);
	p->out_secret = false;
	if (p->out.cap > 1048576)
		buf_clear(&p->out);
}

static void
peer_flush(struct ipc_peer *p)
{
	while (!p->dead && buf_len(&p->out) > 0) {
		size_t n = buf_len(&p->out);
		int fd = -1;

		if (p->n_fds > 0 && p->fds[0].at == p->out_base) {
			fd = p->fds[0].fd;
			if (p->n_fds > 1)
				n = (size_t)(p->fds[1].at - p->out_base);
		} else if (p->n_fds > 0) {
			n = (size_t)(p->fds[0].at - p->out_base);
		}
		ssize_t done = send_part(p, n, fd);
		if (done == -1) {
			if (errno == EINTR)
				continue;
			if (errno == EAGAIN) {
				ev_watch_set(&p->watch_write, p->fd, EV_WRITE, peer_writable, p);
				return;
			}
			ipc_peer_close(p);
			return;
		}
		if (fd != -1) {
			close(fd);
			p->n_fds--;
			memmove(p->fds, p->fds + 1, p->n_fds * sizeof(*p->fds));
		}
		sent(p, (size_t)done);
	}
	if (!p->dead)
		ev_watch_clear(&p->watch_write);
}

static void
flush_turn(void *arg)
{
	struct ipc_peer *p = arg;

	if (!p->watch_write.made)
		peer_flush(p);
}

void
ipc_flush_all(void)
{
	struct ipc_peer *p, *next;

	TAILQ_FOREACH_SAFE (p, &peers, entry, next)
		peer_flush(p);
}

struct buf *
ipc_frame_begin(struct ipc_peer *p, enum ipc_type type, int fd)
{
	if (p == NULL || p->dead) {
		if (fd != -1)
			close(fd);
		errno = EPIPE;
		return NULL;
	}
	p->frame_start = buf_len(&p->out);
	p->frame_has_fd = fd != -1;
	p->frame_secret = ipc_type_is_secret(type);
	buf_put_u32(&p->out, 0);
	buf_put_u16(&p->out, (uint16_t)type);
	buf_put_u16(&p->out, fd != -1 ? IPC_FLAG_FD : 0);
	if (fd != -1) {
		if (p->n_fds == p->cap_fds) {
			p->cap_fds = p->cap_fds == 0 ? 8 : p->cap_fds * 2;
			p->fds = xreallocarray(p->fds, p->cap_fds, sizeof(*p->fds));
		}
		p->fds[p->n_fds++] = (struct out_fd){p->out_base + p->frame_start, fd};
	}
	log_trace(TRACE_IPC, "to %s.%u: %s", role_name(p->role), p->instance, ipc_type_name(type));
	return &p->out;
}

int
ipc_frame_end(struct ipc_peer *p)
{
	size_t len = buf_len(&p->out) - p->frame_start;

	if (len > IPC_FRAME_MAX) {
		buf_truncate(&p->out, p->frame_start);
		if (p->frame_has_fd)
			close(p->fds[--p->n_fds].fd);
		errno = EMSGSIZE;
		return -1;
	}
	uint8_t *at = p->out.mem + p->out.start + p->frame_start;
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(len >> (8 * i));
	p->out_secret |= p->frame_secret;
	if (buf_len(&p->out) > IPC_BACKLOG_HARD) {
		log_note(LOG_LEVEL_ERROR, "%s.%u does not read what it is sent: cut off",
		    role_name(p->role), p->instance);
		ipc_peer_close(p);
		errno = EPIPE;
		return -1;
	}
	ev_turn_schedule(&p->flush, flush_turn, p);
	return 0;
}

int
ipc_send_body(struct ipc_peer *p, enum ipc_type type, struct span body)
{
	struct buf *b = ipc_frame_begin(p, type, -1);

	if (b == NULL)
		return -1;
	buf_add_span(b, body);
	return ipc_frame_end(p);
}

/* ---- input ----------------------------------------------------------------------------------- */

static void
bad_peer(struct ipc_peer *p, const char *why)
{
	struct log_line l;

	log_begin(&l, LOG_LEVEL_ERROR, EV_IPC);
	log_str(&l, LK_ROLE, role_name(p->role));
	log_u64(&l, LK_INSTANCE, p->instance);
	log_str(&l, LK_REASON, why);
	log_end(&l);
	ipc_peer_close(p);
}

/* Descriptors of one recvmsg join the queue. -1: more than any honest peer sends. */
static int
take_fds(struct ipc_peer *p, struct msghdr *msg)
{
	int rc = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (p->n_in_fds == MAX_FDS) {
				close(fd);
				rc = -1;
			} else {
				p->in_fds[p->n_in_fds++] = fd;
			}
		}
	}
	return (msg->msg_flags & MSG_CTRUNC) != 0 ? -1 : rc;
}

static int
dispatch(struct ipc_peer *p, const uint8_t *frame, size_t n)
{
	struct rd r;
	struct ipc_in in = {.fd = -1};

	if (ipc_frame_check(p->role, self_role, frame, n) == -1)
		return -1;
	rd_init(&r, frame + 4, n - 4);
	in.type = (enum ipc_type)rd_u16(&r);
	if (rd_u16(&r) & IPC_FLAG_FD) {
		if (p->n_in_fds == 0)
			return -1;
		in.fd = p->in_fds[0];
		p->n_in_fds--;
		memmove(p->in_fds, p->in_fds + 1, p->n_in_fds * sizeof(int));
	}
	in.body = frame + IPC_HEADER;
	in.len = n - IPC_HEADER;
	log_trace(
	    TRACE_IPC, "from %s.%u: %s", role_name(p->role), p->instance, ipc_type_name(in.type));
	int rc = handlers[in.type] == NULL ? -1 : handlers[in.type](p, &in);
	if (in.fd != -1)
		close(in.fd);
	return rc;
}

/* All complete frames; what is left of the last stays. */
static void
dispatch_all(struct ipc_peer *p)
{
	while (!p->dead && buf_len(&p->in) >= IPC_HEADER) {
		struct rd r;
		uint8_t *frame = p->in.mem + p->in.start;

		rd_init(&r, frame, 6);
		uint32_t len = rd_u32(&r);
		enum ipc_type type = (enum ipc_type)rd_u16(&r);
		if (len < IPC_HEADER || len > IPC_FRAME_MAX) {
			bad_peer(p, "frame of an impossible length");
			return;
		}
		if (buf_len(&p->in) < len)
			return;
		if (dispatch(p, frame, len) == -1 && !p->dead) {
			bad_peer(p, ipc_type_name(type));
			return;
		}
		if (p->dead)
			return;
		if (ipc_type_is_secret(type))
			explicit_bzero(frame, len);
		buf_consume(&p->in, len);
	}
}

static void
peer_readable(int fd, short what, void *arg)
{
	struct ipc_peer *p = arg;
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(4 * sizeof(int))];
	} control;

	(void)what;
	/* two rounds at most: others want their turn */
	for (int round = 0; round < 2 && !p->dead && !p->paused; round++) {
		uint8_t *at = buf_reserve(&p->in, READ_CHUNK);
		struct iovec iov = {at, READ_CHUNK};
		struct msghdr msg = {.msg_iov = &iov,
		    .msg_iovlen = 1,
		    .msg_control = control.space,
		    .msg_controllen = sizeof(control.space)};
		ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			ipc_peer_close(p);
			return;
		}
		buf_commit(&p->in, (size_t)n);
		if (take_fds(p, &msg) == -1) {
			bad_peer(p, "too many descriptors");
			return;
		}
		dispatch_all(p);
		if ((size_t)n < READ_CHUNK / 2)
			return;
	}
}

/* ---- who is there ---------------------------------------------------------------------------- */

static uint64_t
newest(enum role role, unsigned *count)
{
	struct ipc_peer *p;
	uint64_t generation = 0;

	*count = 0;
	TAILQ_FOREACH (p, &peers, entry) {
		if (p->role != role)
			continue;
		if (p->generation > generation) {
			generation = p->generation;
			*count = 0;
		}
		if (p->generation == generation)
			(*count)++;
	}
	return generation;
}

struct ipc_peer *
ipc_role_peer(enum role role, unsigned instance)
{
	struct ipc_peer *p;
	unsigned n;
	uint64_t generation = newest(role, &n);

	if (n == 0)
		return NULL;
	instance %= n;
	TAILQ_FOREACH (p, &peers, entry)
		if (p->role == role && p->generation == generation && instance-- == 0)
			return p;
	return NULL;
}

void
ipc_role_each(enum role role, void (*fn)(struct ipc_peer *, void *), void *arg)
{
	struct ipc_peer *p, *next;

	TAILQ_FOREACH_SAFE (p, &peers, entry, next)
		if (p->role == role)
			fn(p, arg);
}

size_t
ipc_role_count(enum role role)
{
	struct ipc_peer *p;
	size_t n = 0;

	TAILQ_FOREACH (p, &peers, entry)
		n += p->role == role;
	return n;
}
