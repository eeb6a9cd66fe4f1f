/* SPDX-License-Identifier: ISC */
/*
 * Numbers of the senders of audit records (A1): doubles, gaps, acknowledgements.
 * Process ledger. Must never acknowledge what is not on disk.
 */
#include "ledger/audit_senders.h"

#include "base/enc.h"
#include "base/list.h"
#include "base/str.h"
#include "ipc/audit_outbox.h"

#include <inttypes.h>
#include <string.h>

static struct audit_sender senders[AUDIT_SENDERS];
static size_t n_senders;
static uint64_t clock_used;

static struct audit_sender *
find(enum role role, uint64_t src)
{
	for (size_t i = 0; i < n_senders; i++)
		if (senders[i].src == src && senders[i].role == role)
			return &senders[i];
	return NULL;
}

struct audit_sender *
audit_senders_get(enum role role, uint64_t src)
{
	struct audit_sender *s = find(role, src);

	if (s == NULL && n_senders < AUDIT_SENDERS) {
		s = &senders[n_senders++];
	} else if (s == NULL) {
		s = &senders[0];
		for (size_t i = 1; i < n_senders; i++)
			if ((senders[i].peer == NULL) > (s->peer == NULL) ||
			    ((senders[i].peer == NULL) == (s->peer == NULL) &&
				senders[i].used < s->used))
				s = &senders[i];
	} else {
		s->used = ++clock_used;
		return s;
	}
	*s = (struct audit_sender){.role = role, .src = src, .used = ++clock_used};
	return s;
}

bool
audit_senders_is_other(const struct ipc_peer *p, enum role role, uint64_t src)
{
	if (role == ROLE_QUEUE)
		return false;
	for (size_t i = 0; i < n_senders; i++)
		if (senders[i].peer == p && senders[i].src != src)
			return true;
	return false;
}

void
audit_sender_take(
    struct audit_sender *s, uint64_t first, uint64_t last, uint64_t *skip, uint64_t *missing)
{
	*skip = *missing = 0;
	if (first <= s->last) {
		/* again on a new socket: it did not hear us */
		*skip = (last < s->last ? last : s->last) - first + 1;
		if (s->acked >= first)
			s->acked = first - 1;
	} else if (s->last != 0) {
		*missing = first - s->last - 1;
	}
	if (last > s->last)
		s->last = last;
	s->expect = s->refused = 0;
}

void
audit_sender_heard(struct audit_sender *s, struct ipc_peer *p, bool keeps)
{
	if (s->peer != p)
		s->told_closed = false;
	s->peer = p;
	s->keeps = s->keeps || keeps;
}

static void
tell(struct audit_sender *s, enum audit_ack state)
{
	struct ipc_audit_ack m = {.src = s->src, .n = s->synced, .state = (uint8_t)state};

	if (s->peer != NULL && ipc_send_audit_ack(s->peer, -1, &m) == 0)
		s->told_closed = state == AUDIT_ACK_CLOSED;
}

void
audit_sender_refuse(struct audit_sender *s, uint64_t first, uint64_t last, bool closed)
{
	if (s->expect == 0)
		s->expect = s->last == 0 ? first : s->last + 1;
	if (last > s->refused)
		s->refused = last;
	if (closed && !s->told_closed)
		tell(s, AUDIT_ACK_CLOSED);
}

bool
audit_sender_runs_ahead(const struct audit_sender *s, uint64_t first)
{
	return s->expect != 0 && first > s->expect;
}

void
audit_sender_members(struct buf *b, const struct audit_sender *s, uint64_t n)
{
	buf_add_str(b, ",\"src\":\"");
	buf_add_str(b, role_name(s->role));
	buf_add_byte(b, ':');
	hex_add_u64(b, s->src);
	buf_add_str(b, "\",\"n\":");
	dec_add_u64(b, n);
}

/* "queue:0123456789abcdef" */
static int
parse_src(struct span text, enum role *role, uint64_t *src)
{
	struct span name = span_cut(&text, ':');
	uint64_t v = 0;

	if (text.p == NULL || text.n != 16)
		return -1;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return -1;
		v = v << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	for (int r = ROLE_SUPERVISOR; r < ROLE__MAX; r++) {
		if (span_eq(name, role_name((enum role)r))) {
			*role = (enum role)r;
			*src = v;
			return 0;
		}
	}
	return -1;
}

static void
recover(struct span who, uint64_t n)
{
	struct audit_sender *s;
	enum role role;
	uint64_t src;

	if (parse_src(who, &role, &src) == -1)
		return;
	s = audit_senders_get(role, src);
	if (n > s->last) /* written, not known to be synced */
		s->last = s->written = n;
}

void
audit_senders_recover(const struct audit_line *l)
{
	struct span who, all;
	uint64_t n;

	bool unsynced = span_eq(l->kind, "sync_failed");

	/* what the disk may not have is not there: it comes again */
	if (unsynced)
		audit_senders_reset();
	if ((unsynced || span_eq(l->kind, "begin")) && audit_line_get(l, "last", &all) == 0) {
		while (all.p != NULL && all.n > 0) {
			struct span one = span_cut(&all, ' '), number = one;

			who = span_cut(&number, '=');
			if (number.p != NULL && span_to_u64(number, 1, UINT64_MAX - 1, &n) == 0)
				recover(who, n);
		}
	} else if (audit_line_get(l, "src", &who) == 0 && audit_line_u64(l, "n", &n) == 0) {
		recover(who, n);
	}
}

void
audit_senders_members(struct buf *b)
{
	const char *sep = "";

	buf_add_str(b, ",\"last\":\"");
	for (size_t i = 0; i < n_senders; i++) {
		const struct audit_sender *s = &senders[i];

		if (s->last == 0)
			continue;
		buf_addf(
		    b, "%s%s:%016" PRIx64 "=%" PRIu64, sep, role_name(s->role), s->src, s->last);
		sep = " ";
	}
	buf_add_byte(b, '"');
}

void
audit_senders_peer_down(
    const struct ipc_peer *p, void (*fn)(const struct audit_sender *, uint64_t lost))
{
	for (size_t i = 0; i < n_senders; i++) {
		struct audit_sender *s = &senders[i];
		uint64_t lost = 0;

		if (s->peer != p)
			continue;
		s->peer = NULL;
		if (s->expect != 0 && s->refused >= s->expect && !s->keeps) {
			lost = s->refused - s->expect + 1;
			s->last = s->refused;
		}
		s->expect = s->refused = 0;
		if (lost > 0)
			fn(s, lost);
	}
}

void
audit_senders_written(void)
{
	for (size_t i = 0; i < n_senders; i++)
		senders[i].written = senders[i].last;
}

void
audit_senders_sync_begins(void)
{
	for (size_t i = 0; i < n_senders; i++)
		senders[i].syncing = senders[i].written;
}

void
audit_senders_synced(void)
{
	for (size_t i = 0; i < n_senders; i++) {
		struct audit_sender *s = &senders[i];
		struct ipc_audit_ack m = {.src = s->src};

		if (s->syncing > s->synced)
			s->synced = s->syncing;
		m.n = s->synced;
		if (s->peer != NULL && s->acked < s->synced &&
		    ipc_send_audit_ack(s->peer, -1, &m) == 0)
			s->acked = s->synced;
	}
}

void
audit_senders_unsynced(void)
{
	for (size_t i = 0; i < n_senders; i++) {
		struct audit_sender *s = &senders[i];

		/* of those that are gone only the queue comes again, with what it had not told */
		if (s->last <= s->synced || (s->peer == NULL && s->role != ROLE_QUEUE))
			continue;
		s->expect = s->synced != 0 ? s->synced + 1 : s->last + 1;
		if (s->last > s->refused)
			s->refused = s->last;
		s->last = s->written = s->syncing = s->synced;
	}
}

void
audit_senders_close(void)
{
	for (size_t i = 0; i < n_senders; i++)
		if (!senders[i].told_closed)
			tell(&senders[i], AUDIT_ACK_CLOSED);
}

void
audit_senders_again(void)
{
	for (size_t i = 0; i < n_senders; i++)
		if (senders[i].told_closed || senders[i].expect != 0)
			tell(&senders[i], AUDIT_ACK_AGAIN);
}

uint64_t
audit_senders_waiting(void)
{
	uint64_t n = 0;

	for (size_t i = 0; i < n_senders; i++)
		if (senders[i].peer != NULL)
			n += senders[i].last - senders[i].acked;
	return n;
}

void
audit_senders_reset(void)
{
	n_senders = 0;
	clock_used = 0;
}
