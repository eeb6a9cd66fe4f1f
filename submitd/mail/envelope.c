/* SPDX-License-Identifier: ISC */
/*
 * A message without its body: made by the front, kept by the queue, read by
 * everybody who asks about it. Pure; the record is versioned because it lies on
 * disk across upgrades. The decoder must never trust a length or allocate by
 * a count that the bytes at hand cannot hold.
 */
#include "mail/envelope.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define MESSAGE_RECORD_VERSION 1u
#define TEXT_MAX 4096u
#define FACTS_RECORD_MAX 65536u
/* The shortest recipient on record: an address, notify and three texts. */
#define RCPT_RECORD_MIN (1u + 2u * 4u + 1u + 3u * 4u)

struct message *
message_new(void)
{
	return xcallocarray(1, sizeof(struct message));
}

void
rcpt_clear(struct rcpt *r)
{
	free(r->orcpt);
	free(r->transport);
	free(r->dest);
	status_clear(&r->last);
	memset(r, 0, sizeof(*r));
}

void
message_free(struct message *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->n_rcpts; i++)
		rcpt_clear(&m->rcpts[i]);
	free(m->rcpts);
	free(m->envid);
	free(m->login);
	free(m->principal);
	free(m->ou);
	free(m->backend);
	free(m->mech);
	free(m->listener);
	free(m->helo);
	free(m->tls_version);
	free(m->tls_cipher);
	free(m->header_from);
	free(m->subject);
	free(m->message_id);
	buf_clear(&m->facts);
	free(m);
}

struct rcpt *
message_add_rcpt(struct message *m)
{
	struct rcpt *r;

	if (m->n_rcpts == m->cap_rcpts) {
		m->cap_rcpts = m->cap_rcpts == 0 ? 1 : m->cap_rcpts * 2;
		m->rcpts = xreallocarray(m->rcpts, m->cap_rcpts, sizeof(*m->rcpts));
	}
	r = &m->rcpts[m->n_rcpts++];
	memset(r, 0, sizeof(*r));
	return r;
}

/* Cut to what the decoder takes: a long text must never make a stored record unreadable. */
static void
put_text(struct buf *b, const char *text)
{
	struct span s = span_of(text);

	buf_put_bytes(b, s.n == 0 ? "" : s.p, s.n < TEXT_MAX ? s.n : TEXT_MAX);
}

int
message_rd_text(struct rd *r, char **out)
{
	struct span s = rd_bytes(r);

	if (r->bad || s.n > TEXT_MAX || memchr(s.p == NULL ? "" : s.p, '\0', s.n) != NULL) {
		r->bad = true;
		return -1;
	}
	free(*out);
	*out = s.n == 0 ? NULL : span_dup(s);
	return 0;
}

static void
put_net(struct buf *b, const struct net_addr *a)
{
	buf_put_u8(b, a->family);
	buf_put_bytes(b, a->ip, a->family == 6 ? 16 : a->family == 4 ? 4 : 0);
	buf_put_u16(b, a->port);
}

static int
rd_net(struct rd *r, struct net_addr *out)
{
	struct span ip;

	memset(out, 0, sizeof(*out));
	out->family = rd_u8(r);
	ip = rd_bytes(r);
	out->port = rd_u16(r);
	if (r->bad || ip.n != (out->family == 6      ? 16u
				  : out->family == 4 ? 4u
				  : out->family == 0 ? 0u
						     : SIZE_MAX)) {
		memset(out, 0, sizeof(*out));
		r->bad = true;
		return -1;
	}
	if (ip.n > 0)
		memcpy(out->ip, ip.p, ip.n);
	return 0;
}

static void
rcpt_encode(struct buf *b, const struct rcpt *r)
{
	addr_encode(b, &r->addr);
	buf_put_u8(b, (uint8_t)r->notify);
	put_text(b, r->orcpt);
	put_text(b, r->transport);
	put_text(b, r->dest);
}

static int
rcpt_decode(struct rd *r, struct rcpt *out)
{
	if (addr_decode(r, &out->addr) == -1)
		return -1;
	out->notify = rd_u8(r);
	if (out->notify > (NOTIFY_NEVER | NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY))
		r->bad = true;
	(void)message_rd_text(r, &out->orcpt);
	(void)message_rd_text(r, &out->transport);
	(void)message_rd_text(r, &out->dest);
	/* NULL is "not chosen", the empty text a static destination: one is enough for both */
	if (!r->bad && out->dest == NULL)
		out->dest = xstrdup("");
	return r->bad ? -1 : 0;
}

/* The texts in the order of the record; a new one needs a new version. */
#define MESSAGE_TEXTS(X, m)                                                                        \
	X((m)->envid)                                                                              \
	X((m)->login)                                                                              \
	X((m)->principal)                                                                          \
	X((m)->ou)                                                                                 \
	X((m)->backend)                                                                            \
	X((m)->mech)                                                                               \
	X((m)->listener)                                                                           \
	X((m)->helo)                                                                               \
	X((m)->tls_version)                                                                        \
	X((m)->tls_cipher)                                                                         \
	X((m)->header_from)                                                                        \
	X((m)->subject)                                                                            \
	X((m)->message_id)

void
message_encode(struct buf *b, const struct message *m)
{
	buf_put_u8(b, MESSAGE_RECORD_VERSION);
	buf_add(b, m->mid.b, sizeof(m->mid.b));
	buf_put_u64(b, (uint64_t)m->received_ms);
	buf_put_u64(b, m->sid);
	addr_encode(b, &m->sender);
	buf_put_u32(b, m->flags);
	buf_put_u8(b, (uint8_t)m->ret);
	buf_put_u64(b, m->size);
	put_net(b, &m->client);
#define PUT_TEXT(field) put_text(b, field);
	MESSAGE_TEXTS(PUT_TEXT, m)
#undef PUT_TEXT
	buf_put_bytes(
	    b, buf_data(&m->facts), buf_len(&m->facts) > FACTS_RECORD_MAX ? 0 : buf_len(&m->facts));
	buf_put_u32(b, (uint32_t)m->n_rcpts);
	for (size_t i = 0; i < m->n_rcpts; i++)
		rcpt_encode(b, &m->rcpts[i]);
}

int
message_rd_uuid(struct rd *r, struct uuid *out)
{
	if (r->bad || r->n < sizeof(out->b)) {
		r->bad = true;
		return -1;
	}
	memcpy(out->b, r->p, sizeof(out->b));
	r->p += sizeof(out->b);
	r->n -= sizeof(out->b);
	return 0;
}

static int
decode_rcpts(struct rd *r, struct message *m)
{
	uint32_t count = rd_u32(r);

	if (r->bad || count > MESSAGE_MAX_RCPTS || count > r->n / RCPT_RECORD_MIN)
		return -1;
	if (count > 0) {
		m->rcpts = xcallocarray(count, sizeof(*m->rcpts));
		m->cap_rcpts = count;
	}
	for (uint32_t i = 0; i < count; i++)
		if (rcpt_decode(r, message_add_rcpt(m)) == -1)
			return -1;
	return 0;
}

struct message *
message_decode(struct span s)
{
	struct message *m = message_new();
	struct span facts;
	struct rd r;
	uint8_t ret;

	rd_init(&r, s.p, s.n);
	if (rd_u8(&r) != MESSAGE_RECORD_VERSION || message_rd_uuid(&r, &m->mid) == -1)
		goto bad;
	m->received_ms = (int64_t)rd_u64(&r);
	m->sid = rd_u64(&r);
	if (addr_decode(&r, &m->sender) == -1)
		goto bad;
	m->flags = rd_u32(&r);
	ret = rd_u8(&r);
	m->size = rd_u64(&r);
	if (ret >= RET__MAX || rd_net(&r, &m->client) == -1)
		goto bad;
	m->ret = (enum dsn_ret)ret;
#define READ_TEXT(field)                                                                           \
	if (message_rd_text(&r, &(field)) == -1)                                                   \
		goto bad;
	MESSAGE_TEXTS(READ_TEXT, m)
#undef READ_TEXT
	facts = rd_bytes(&r);
	if (r.bad || facts.n > FACTS_RECORD_MAX)
		goto bad;
	if (facts.n > 0)
		buf_add_span(&m->facts, facts);
	if (decode_rcpts(&r, m) == -1 || !rd_done(&r))
		goto bad;
	return m;
bad:
	message_free(m);
	return NULL;
}
