/* SPDX-License-Identifier: ISC */
/*
 * The record of a decision's facts: written by the front with every message, read
 * by explain and replay, perhaps years later. Little-endian, versioned; texts
 * carry a 16-bit length, 0xffff stands for NULL. A decoder takes only what it
 * knows whole: a record of another version is refused, never guessed at.
 */
#include "policy/facts.h"

#include "base/str.h"

#include <string.h>

#define TEXT_NULL 0xffffu
#define FLAG_TLS 1u
#define FLAG_AUTHENTICATED 2u
#define FLAG_SENDER 4u
#define FLAG_RCPT 8u
#define FLAG_HEADER_FROM 16u
#define FLAG__ALL 31u

static void
put_text(struct buf *b, const char *s)
{
	size_t n;

	if (s == NULL) {
		buf_put_u16(b, TEXT_NULL);
		return;
	}
	n = strlen(s);
	if (n >= TEXT_NULL)
		n = TEXT_NULL - 1;
	buf_put_u16(b, (uint16_t)n);
	buf_add(b, s, n);
}

/* The ASCII form is written only where it differs; NULL says "the same". */
static void
put_addr(struct buf *b, const struct addr *a)
{
	put_text(b, a->local);
	put_text(b, a->domain);
	put_text(b, strcmp(a->domain, a->ascii_domain) == 0 ? NULL : a->ascii_domain);
	buf_put_u8(b, a->utf8 ? 1 : 0);
}

void
facts_encode(struct buf *b, const struct facts *f)
{
	uint32_t n = f->n_header_from;
	uint8_t flags = 0;

	if (n > FACTS_MAX_HEADER_ADDRS)
		n = FACTS_MAX_HEADER_ADDRS;
	flags |= f->tls ? FLAG_TLS : 0;
	flags |= f->authenticated ? FLAG_AUTHENTICATED : 0;
	flags |= f->have_sender ? FLAG_SENDER : 0;
	flags |= f->have_rcpt ? FLAG_RCPT : 0;
	flags |= f->have_header_from ? FLAG_HEADER_FROM : 0;

	buf_put_u8(b, FACTS_VERSION);
	buf_put_u8(b, (uint8_t)f->stage);
	buf_put_u8(b, flags);
	buf_put_u64(b, (uint64_t)f->now_ms);
	buf_put_u8(b, f->client.family);
	buf_add(b, f->client.ip, f->client.family == 6 ? 16 : f->client.family == 4 ? 4 : 0);
	buf_put_u16(b, f->client.port);
	put_text(b, f->listener);
	put_text(b, f->helo);
	put_text(b, f->tls_version);
	put_text(b, f->tls_cipher);
	put_text(b, f->login);
	put_text(b, f->principal);
	put_text(b, f->principal_ou);
	put_text(b, f->backend);
	put_text(b, f->mech);
	buf_put_u16(b, (uint16_t)(f->own.n < TEXT_NULL ? f->own.n : 0));
	buf_add(b, f->own.p, f->own.n < TEXT_NULL ? f->own.n : 0);
	buf_put_u32(b, f->n_rcpts);
	buf_put_u64(b, f->size);
	if (f->have_sender)
		put_addr(b, &f->sender);
	if (f->have_rcpt)
		put_addr(b, &f->rcpt);
	if (f->have_header_from) {
		buf_put_u8(b, (uint8_t)n);
		for (uint32_t i = 0; i < n; i++)
			put_addr(b, &f->header_from[i]);
	}
}

/* Reads the octets of a text; p is NULL for NULL. */
static struct span
get_octets(struct rd *r)
{
	uint16_t n = rd_u16(r);
	struct span s = {NULL, 0};

	if (r->bad || n == TEXT_NULL)
		return s;
	if (n > r->n || memchr(r->p, '\0', n) != NULL) {
		r->bad = true;
		return s;
	}
	s.p = (const char *)r->p;
	s.n = n;
	r->p += n;
	r->n -= n;
	return s;
}

/* hold has room for every octet of the record and a NUL per text: it never moves. */
static const char *
get_text(struct rd *r, struct buf *hold)
{
	struct span s = get_octets(r);
	uint8_t *p;

	if (s.p == NULL)
		return NULL;
	p = buf_reserve(hold, s.n + 1);
	memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	buf_commit(hold, s.n + 1);
	return (const char *)p;
}

/* Texts one behind the other, each with its NUL. */
static struct span
get_texts(struct rd *r, struct buf *hold)
{
	uint16_t n = rd_u16(r);
	struct span s = {NULL, 0};

	if (r->bad || n == 0)
		return s;
	if (n > r->n || r->p[n - 1] != '\0') {
		r->bad = true;
		return s;
	}
	s.p = memcpy(buf_reserve(hold, n), r->p, n);
	s.n = n;
	buf_commit(hold, n);
	r->p += n;
	r->n -= n;
	return s;
}

static void
get_addr(struct rd *r, struct addr *a)
{
	struct span local = get_octets(r), domain = get_octets(r), ascii = get_octets(r);
	uint8_t utf8 = rd_u8(r);

	memset(a, 0, sizeof(*a));
	if (ascii.p == NULL)
		ascii = domain;
	if (r->bad || local.p == NULL || domain.p == NULL || utf8 > 1 ||
	    str_copy_span(a->local, sizeof(a->local), local) == -1 ||
	    str_copy_span(a->domain, sizeof(a->domain), domain) == -1 ||
	    str_copy_span(a->ascii_domain, sizeof(a->ascii_domain), ascii) == -1) {
		r->bad = true;
		return;
	}
	a->utf8 = utf8 == 1;
}

static void
get_client(struct rd *r, struct net_addr *a)
{
	size_t n;

	memset(a, 0, sizeof(*a));
	a->family = rd_u8(r);
	n = a->family == 6 ? 16 : a->family == 4 ? 4 : 0;
	if (r->bad || (a->family != 0 && n == 0) || n > r->n) {
		r->bad = true;
		return;
	}
	memcpy(a->ip, r->p, n);
	r->p += n;
	r->n -= n;
	a->port = rd_u16(r);
}

int
facts_decode(struct span in, struct facts *out, struct buf *hold)
{
	struct rd r;
	struct facts f;
	uint8_t flags, stage;

	rd_init(&r, in.p, in.n);
	if (rd_u8(&r) != FACTS_VERSION || in.n > 65536)
		return -1;
	memset(&f, 0, sizeof(f));
	(void)buf_reserve(hold, in.n + 16);
	stage = rd_u8(&r);
	flags = rd_u8(&r);
	if (r.bad || stage >= AT__MAX || (flags & ~FLAG__ALL) != 0)
		return -1;
	f.stage = (enum policy_stage)stage;
	f.tls = (flags & FLAG_TLS) != 0;
	f.authenticated = (flags & FLAG_AUTHENTICATED) != 0;
	f.have_sender = (flags & FLAG_SENDER) != 0;
	f.have_rcpt = (flags & FLAG_RCPT) != 0;
	f.have_header_from = (flags & FLAG_HEADER_FROM) != 0;
	f.now_ms = (int64_t)rd_u64(&r);
	get_client(&r, &f.client);
	f.listener = get_text(&r, hold);
	f.helo = get_text(&r, hold);
	f.tls_version = get_text(&r, hold);
	f.tls_cipher = get_text(&r, hold);
	f.login = get_text(&r, hold);
	f.principal = get_text(&r, hold);
	f.principal_ou = get_text(&r, hold);
	f.backend = get_text(&r, hold);
	f.mech = get_text(&r, hold);
	f.own = get_texts(&r, hold);
	f.n_rcpts = rd_u32(&r);
	f.size = rd_u64(&r);
	if (f.have_sender)
		get_addr(&r, &f.sender);
	if (f.have_rcpt)
		get_addr(&r, &f.rcpt);
	if (f.have_header_from) {
		f.n_header_from = rd_u8(&r);
		if (f.n_header_from > FACTS_MAX_HEADER_ADDRS)
			return -1;
		for (uint32_t i = 0; i < f.n_header_from && !r.bad; i++)
			get_addr(&r, &f.header_from[i]);
	}
	if (!rd_done(&r))
		return -1;
	*out = f;
	return 0;
}
