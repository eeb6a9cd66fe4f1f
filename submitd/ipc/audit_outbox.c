/* SPDX-License-Identifier: ISC */
/*
 * Keeps audit records until the ledger has them on disk (A1, A4). Runs in every
 * process that makes some, on the event thread. Must never wait, never grow beyond
 * its bound, and never lose a record without counting it.
 */
#include "ipc/audit_outbox.h"

#include "base/enc.h"
#include "base/ev.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	TAILQ_ENTRY(entry) link;
	enum ipc_type type;
	uint64_t src, last, tag;
	struct buf body;
	bool sent;
};
static TAILQ_HEAD(entries, entry) entries = TAILQ_HEAD_INITIALIZER(entries);
static struct entry *unsent; /* the first that is not under way; all behind it are not either */
static struct audit_outbox_options opt = {.max_bytes = 1u << 20, .window_bytes = 256u << 10};
#define NOTE_MAX 32768u
#define DELAY_BYTES (64u << 10) /* so much is sent at once all the same */
static struct ev_timer delay_timer;
static size_t n_delayed_bytes;
static size_t n_records, n_bytes, n_sent_bytes;
static uint64_t own_src, own_last;
static uint64_t lost_all, lost_untold;
static int64_t lost_since_ms;
static bool closed; /* the ledger said so */

void
audit_outbox_init(const struct audit_outbox_options *o)
{
	opt = *o;
}

uint64_t
audit_outbox_src(void)
{
	if (own_src == 0) {
		random_bytes(&own_src, sizeof(own_src));
		own_src = (own_src >> 1) | 1; /* fits SQLite's integers, and is never 0 */
	}
	return own_src;
}

uint64_t
audit_outbox_next(void)
{
	return own_last + 1;
}

static size_t
size_of(const struct entry *e)
{
	return buf_len(&e->body) + sizeof(*e);
}

static void
pump(struct ipc_peer *ledger)
{
	while (unsent != NULL && ledger != NULL && !closed &&
	       (n_sent_bytes == 0 || n_sent_bytes + size_of(unsent) <= opt.window_bytes)) {
		if (ipc_peer_backlog(ledger) > IPC_BACKLOG_SOFT ||
		    ipc_send_body(ledger, unsent->type, buf_span(&unsent->body)) == -1)
			return;
		unsent->sent = true;
		n_sent_bytes += size_of(unsent);
		unsent = TAILQ_NEXT(unsent, link);
	}
}

static void
on_delay(void *arg)
{
	(void)arg;
	n_delayed_bytes = 0;
	pump(ipc_role_peer(ROLE_LEDGER, 0));
}

/* Each frame wakes the ledger: where nothing hangs on it, one takes many. */
static void
pump_soon(size_t fresh)
{
	n_delayed_bytes += fresh;
	if (opt.delay_ms == 0 || n_delayed_bytes > DELAY_BYTES)
		on_delay(NULL);
	else if (!ev_timer_pending(&delay_timer))
		ev_timer_set(&delay_timer, opt.delay_ms, on_delay, NULL);
}

static void
append(enum ipc_type type, struct buf *body, uint64_t src, uint64_t last, uint64_t tag)
{
	struct entry *e = xcallocarray(1, sizeof(*e));

	e->type = type;
	e->src = src;
	e->last = last;
	e->tag = tag;
	buf_move(&e->body, body);
	TAILQ_INSERT_TAIL(&entries, e, link);
	n_records++;
	n_bytes += size_of(e);
	if (unsent == NULL)
		unsent = e;
	if (src == own_src && last > own_last)
		own_last = last;
}

/* A note of this process under its next number, which is returned. */
static uint64_t
encode_note(struct buf *body, int64_t time_ms, const char *kind, struct span json)
{
	struct ipc_audit_note m = {.src = audit_outbox_src(),
	    .n = audit_outbox_next(),
	    .time_ms = time_ms,
	    .kind = span_of(kind),
	    .json = json};

	ipc_encode_audit_note(body, &m);
	return m.n;
}

/* Where records are missing the count of them stands. */
static void
tell_lost(void)
{
	struct buf body = BUF_INIT;
	char json[120];
	uint64_t n;

	if (lost_untold == 0)
		return;
	(void)str_printf(json, sizeof(json), "{\"lost\":%" PRIu64 ",\"since_ms\":%" PRId64 "}",
	    lost_untold, lost_since_ms);
	lost_untold = 0;
	n = encode_note(&body, ev_wall_ms(), "gap", span_of(json));
	append(IPC_AUDIT_NOTE, &body, audit_outbox_src(), n, 0);
}

void
audit_outbox_lost(uint64_t n)
{
	if (lost_untold == 0) {
		lost_since_ms = ev_wall_ms();
		log_note(LOG_LEVEL_ERROR, "audit: the ledger does not take records: they are lost, "
					  "and counted");
	}
	lost_untold += n;
	lost_all += n;
}

/* Once one is lost all are, until half of the room is free: few gaps instead of many. */
static bool
fits(size_t octets)
{
	return n_bytes + octets + sizeof(struct entry) <= opt.max_bytes &&
	       (lost_untold == 0 || n_bytes <= opt.max_bytes / 2);
}

bool
audit_outbox_room(size_t octets)
{
	return !closed && fits(octets);
}

int
audit_outbox_add(
    enum ipc_type type, struct buf *body, uint64_t src, uint64_t first, uint64_t last, uint64_t tag)
{
	/* one that no frame holds would stand before all others for ever */
	if (buf_len(body) > IPC_FRAME_MAX - IPC_HEADER || !fits(buf_len(body))) {
		buf_clear(body);
		audit_outbox_lost(last - first + 1);
		return -1;
	}
	size_t fresh = buf_len(body);

	if (lost_untold > 0) {
		/* the number was given before we knew: the gap takes the one behind */
		append(type, body, src, last, tag);
		tell_lost();
	} else {
		append(type, body, src, last, tag);
	}
	pump_soon(fresh);
	return 0;
}

int
audit_outbox_note(int64_t time_ms, const char *kind, struct span json)
{
	struct buf body = BUF_INIT;
	uint64_t n;

	if (json.n > NOTE_MAX) /* the ledger takes what is no JSON any more as text */
		json.n = NOTE_MAX;
	n = encode_note(&body, time_ms, kind, json);
	return audit_outbox_add(IPC_AUDIT_NOTE, &body, audit_outbox_src(), n, n, 0);
}

bool
audit_outbox_sent(void)
{
	return unsent == NULL;
}

void
audit_outbox_end(void)
{
	struct ipc_peer *ledger = ipc_role_peer(ROLE_LEDGER, 0);
	const struct entry *e, *last = NULL;
	size_t n = 0;

	tell_lost();
	on_delay(NULL);
	for (e = unsent; e != NULL; e = TAILQ_NEXT(e, link)) {
		if (e->tag != 0)
			continue; /* it stands in the spool */
		n++;
		last = e;
	}
	if (n == 0)
		return;
	log_note(LOG_LEVEL_ERROR,
	    "audit: the end came before the ledger took %zu records: they are lost", n);
	if (ledger != NULL)
		(void)ipc_send_body(ledger, last->type, buf_span(&last->body));
}

void
audit_outbox_stats(struct audit_outbox_stats *s)
{
	*s = (struct audit_outbox_stats){n_records, n_bytes, lost_all};
}

void
audit_outbox_up(struct ipc_peer *ledger)
{
	struct entry *e;

	closed = false;
	TAILQ_FOREACH (e, &entries, link)
		e->sent = false;
	n_sent_bytes = 0;
	unsent = TAILQ_FIRST(&entries);
	pump(ledger);
}

static void
drop(struct entry *e)
{
	if (unsent == e)
		unsent = TAILQ_NEXT(e, link);
	TAILQ_REMOVE(&entries, e, link);
	n_records--;
	n_bytes -= size_of(e);
	n_sent_bytes -= e->sent ? size_of(e) : 0;
	buf_clear(&e->body);
	free(e);
}

int
audit_outbox_on_ack(struct ipc_peer *ledger, struct ipc_in *in)
{
	struct ipc_audit_ack m;
	struct entry *e, *next;
	uint64_t tag = 0;

	if (ipc_decode_audit_ack(in, &m) == -1 || m.state > AUDIT_ACK_AGAIN)
		return -1;
	TAILQ_FOREACH_SAFE (e, &entries, link, next) {
		if (e->src != m.src)
			continue;
		if (e->last > m.n) /* numbers grow along the list */
			break;
		if (e->tag > tag)
			tag = e->tag;
		drop(e);
	}
	if (lost_untold > 0 && n_bytes <= opt.max_bytes / 2)
		tell_lost();
	if (m.state == AUDIT_ACK_CLOSED)
		closed = true;
	else if (m.state == AUDIT_ACK_AGAIN)
		audit_outbox_up(ledger);
	else
		pump(ledger);
	if ((tag != 0 || m.state == AUDIT_ACK_AGAIN) && opt.acked != NULL)
		opt.acked(tag);
	return 0;
}

void
audit_outbox_reset(void)
{
	struct entry *e;

	while ((e = TAILQ_FIRST(&entries)) != NULL)
		drop(e);
	closed = false;
	n_delayed_bytes = 0;
	own_src = own_last = lost_all = lost_untold = 0;
}
