/* SPDX-License-Identifier: ISC */
/*
 * Acceptance records (A2), many in few octets: each one costs mail an octet in the
 * queue's database twice, and a frame to the ledger. Pure. Must never read beyond a
 * record that is cut off.
 *
 * A record, little-endian: mid (16), sid (8), time_ms (8), family of the client's address
 * (1), port (2), address (0, 4 or 16), recipients (4), size (8), relay (1), which texts
 * follow (2, the first is bit 0), and these: length (2), octets. A text that does not
 * follow is that of the record before; before the first all are empty.
 */
#include "ipc/audit_batch.h"

#include <string.h>

#define TEXT(member) offsetof(struct audit_accept, member)
static const size_t texts[AUDIT_TEXTS] = {TEXT(listener), TEXT(helo), TEXT(tls_version),
    TEXT(tls_cipher), TEXT(mech), TEXT(login), TEXT(principal), TEXT(ou), TEXT(backend),
    TEXT(sender), TEXT(header_from), TEXT(message_id)};

static struct span *
text_of(struct audit_accept *r, size_t i)
{
	return (struct span *)(void *)((char *)r + texts[i]);
}

static size_t
ip_size(uint8_t family)
{
	return family == 4 ? 4 : family == 6 ? 16 : 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

void
audit_batch_begin(struct audit_batch *b)
{
	buf_reset(&b->records);
	b->count = 0;
	memset(b->last, 0, sizeof(b->last));
}

static bool
is_last(const struct audit_batch *b, size_t i, struct span s)
{
	return s.n == b->last[i].n &&
	       (s.n == 0 || memcmp(s.p, buf_data(&b->records) + b->last[i].at, s.n) == 0);
}

void
audit_batch_add(struct audit_batch *b, const struct audit_accept *accept)
{
	struct audit_accept r = *accept;
	struct buf *out = &b->records;
	uint16_t follow = 0;

	buf_add(out, r.mid.b, sizeof(r.mid.b));
	buf_put_u64(out, r.sid);
	buf_put_u64(out, (uint64_t)r.time_ms);
	buf_put_u8(out, r.client.family);
	buf_put_u16(out, r.client.port);
	buf_add(out, r.client.ip, ip_size(r.client.family));
	buf_put_u32(out, r.n_rcpts);
	buf_put_u64(out, r.size);
	buf_put_u8(out, (uint8_t)r.relay);
	for (size_t i = 0; i < AUDIT_TEXTS; i++) {
		struct span *s = text_of(&r, i);

		if (s->n > AUDIT_TEXT_MAX)
			s->n = AUDIT_TEXT_MAX;
		if (!is_last(b, i, *s))
			follow |= (uint16_t)(1u << i);
	}
	buf_put_u16(out, follow);
	for (size_t i = 0; i < AUDIT_TEXTS; i++) {
		struct span s = *text_of(&r, i);

		if ((follow & 1u << i) == 0)
			continue;
		buf_put_u16(out, (uint16_t)s.n);
		b->last[i].at = (uint32_t)buf_len(out);
		b->last[i].n = (uint32_t)s.n;
		buf_add_span(out, s);
	}
	b->count++;
}

/* ---- reading --------------------------------------------------------------------------------- */

static const uint8_t *
eat(struct rd *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->bad || r->n < n) {
		r->bad = true;
		return NULL;
	}
	r->p += n;
	r->n -= n;
	return p;
}

static void
read_client(struct rd *r, struct net_addr *a)
{
	const uint8_t *ip;

	memset(a, 0, sizeof(*a));
	a->family = rd_u8(r);
	a->port = rd_u16(r);
	if (a->family != 0 && ip_size(a->family) == 0)
		r->bad = true;
	ip = eat(r, ip_size(a->family));
	if (ip != NULL)
		memcpy(a->ip, ip, ip_size(a->family));
}

void
audit_batch_read(struct audit_batch_reader *b, struct span records)
{
	memset(b, 0, sizeof(*b));
	rd_init(&b->rd, records.p, records.n);
}

int
audit_batch_next(struct audit_batch_reader *b)
{
	struct audit_accept *a = &b->now;
	struct rd *r = &b->rd;
	const uint8_t *mid = eat(r, sizeof(a->mid.b));
	uint16_t follow;
	uint8_t relay;

	if (mid != NULL)
		memcpy(a->mid.b, mid, sizeof(a->mid.b));
	a->sid = rd_u64(r);
	a->time_ms = (int64_t)rd_u64(r);
	read_client(r, &a->client);
	a->n_rcpts = rd_u32(r);
	a->size = rd_u64(r);
	relay = rd_u8(r);
	follow = rd_u16(r);
	if (relay > AUDIT_RELAY_ANY || follow >> AUDIT_TEXTS != 0)
		r->bad = true;
	a->relay = (enum audit_relay)relay;
	for (size_t i = 0; i < AUDIT_TEXTS; i++) {
		struct span *s = text_of(a, i);

		if ((follow & 1u << i) == 0)
			continue;
		s->n = rd_u16(r);
		s->p = (const char *)eat(r, s->n);
		if (s->n > AUDIT_TEXT_MAX)
			r->bad = true;
	}
	return r->bad ? -1 : 0;
}
