/* SPDX-License-Identifier: ISC */
/*
 * Records on their way in (A1 to A3): takes them from other processes, tells what is
 * missing, and turns them away while none can be written. Process ledger. Must never
 * grow without bound, and never lose a record that it turned away without its count.
 */
#include "ledger/ledger_audit_internal.h"

#include "base/ev.h"
#include "base/fs.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "ipc/audit_outbox.h"
#include "ledger/audit_record.h"
#include "ledger/audit_senders.h"
#include "ledger/ledger_audit.h"

#include <inttypes.h>
#include <string.h>

#define KIND_MAX 40
#define PENDING_MAX (96u << 20) /* the windows of all honest senders are far below it */
#define REFUSED (-2)

static struct {
	uint64_t auth, accept, note, doubles, missing, refused;
} counts;
static unsigned closed; /* why: LEDGER_CLOSED_ */

/* ---- closed ---------------------------------------------------------------------------------- */

static uint64_t
pending_max(void)
{
	static uint64_t max;

	if (max == 0)
		max = fs_fault_bound("SUBMITD_TEST_AUDIT_PENDING", PENDING_MAX);
	return max;
}

void
ledger_audit_close(unsigned why)
{
	unsigned was = closed;

	closed |= why;
	if (was != 0)
		return;
	ledger_audit_log(LOG_LEVEL_ERROR, "closed", 0);
	audit_senders_close();
}

void
ledger_audit_open(unsigned why)
{
	if ((closed & why) == 0)
		return;
	closed &= ~why;
	if (closed != 0)
		return;
	ledger_audit_log(LOG_LEVEL_WARN, "open again", 0);
	audit_senders_again();
}

/* ---- messages -------------------------------------------------------------------------------- */

/* before: number of the record behind the gap; 0: it ends with the last one of s. */
static void
tell_gap(const struct audit_sender *s, uint64_t lost, uint64_t before, const char *reason)
{
	struct buf b = BUF_INIT;

	if (lost == 0)
		return;
	counts.missing += lost;
	buf_addf(&b, ",\"lost\":%" PRIu64, lost);
	if (before == 0)
		audit_sender_members(&b, s, s->last);
	else
		buf_addf(&b, ",\"from\":\"%s:%016" PRIx64 "\",\"before\":%" PRIu64,
		    role_name(s->role), s->src, before);
	buf_addf(&b, ",\"reason\":\"%s\"", reason);
	ledger_audit_add(ev_wall_ms(), "gap", buf_span(&b));
	buf_clear(&b);
	ledger_audit_log(LOG_LEVEL_ERROR, "records are missing", 0);
}

/*
 * How many of the records first to last are known already; REFUSED: they cannot be taken
 * now; -1: the peer breaks the rules.
 */
static int64_t
take(struct ipc_peer *p, uint64_t src, uint64_t first, uint64_t last, bool keeps)
{
	enum role role = ipc_peer_role(p);
	struct audit_sender *s;
	uint64_t skip, missing;

	if (src == 0 || first == 0 || last < first || last == UINT64_MAX ||
	    audit_senders_is_other(p, role, src))
		return -1;
	s = audit_senders_get(role, src);
	audit_sender_heard(s, p, keeps);
	if (ledger_audit_pending() > pending_max())
		ledger_audit_close(LEDGER_CLOSED_FULL);
	if (last > s->last && (closed != 0 || audit_sender_runs_ahead(s, first))) {
		counts.refused += last - first + 1;
		audit_sender_refuse(s, first, last, closed != 0);
		return REFUSED;
	}
	audit_sender_take(s, first, last, &skip, &missing);
	tell_gap(s, missing, first, "numbers are missing");
	counts.doubles += skip;
	if (skip > 0)
		ledger_audit_want_sync();
	return (int64_t)skip;
}

static void
begin_members(struct buf *b, const struct ipc_peer *p, uint64_t src, uint64_t n)
{
	audit_sender_members(b, audit_senders_get(ipc_peer_role(p), src), n);
}

int
ledger_audit_on_auth(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_audit_auth m;
	struct buf b = BUF_INIT;
	int64_t skip;

	if (ipc_decode_audit_auth(in, &m) == -1 || (skip = take(p, m.src, m.n, m.n, false)) == -1)
		return -1;
	if (skip != 0)
		return 0;
	counts.auth++;
	begin_members(&b, p, m.src, m.n);
	audit_record_auth(&b, &m);
	ledger_audit_add(m.time_ms, "auth", buf_span(&b));
	buf_clear(&b);
	ledger_audit_added();
	return 0;
}

int
ledger_audit_on_batch(struct ipc_peer *p, struct ipc_in *in)
{
	static struct buf b;
	struct ipc_audit_batch m;
	struct audit_batch_reader r;
	int64_t skip;

	if (ipc_decode_audit_batch(in, &m) == -1 || m.count == 0 ||
	    m.n > UINT64_MAX - 1 - m.count ||
	    (skip = take(p, m.src, m.n, m.n + m.count - 1, true)) == -1)
		return -1;
	if (skip == REFUSED)
		return 0;
	audit_batch_read(&r, m.records);
	for (uint32_t i = 0; i < m.count; i++) {
		if (audit_batch_next(&r) == -1) {
			/* bad on the queue's disk: cut off it would send that for ever */
			if (skip < m.count)
				tell_gap(audit_senders_get(ipc_peer_role(p), m.src),
				    m.count - ((int64_t)i > skip ? i : (uint32_t)skip), 0,
				    "the queue's copy cannot be read");
			break;
		}
		if ((int64_t)i < skip)
			continue;
		counts.accept++;
		buf_reset(&b);
		begin_members(&b, p, m.src, m.n + i);
		audit_record_accept(&b, &r.now);
		ledger_audit_add(r.now.time_ms, "accept", buf_span(&b));
	}
	ledger_audit_added();
	return 0;
}

/* Who may tell what: one process that was taken over cannot speak for another. */
static bool
may_note(enum role role, const char *kind)
{
	static const struct {
		const char *kind;
		enum role role;
	} known[] = {
	    {"config", ROLE_SUPERVISOR},
	    {"died", ROLE_SUPERVISOR},
	    {"operator", ROLE_CONTROL},
	    {"operator", ROLE_QUEUE},
	    {"refused", ROLE_FRONT},
	    {"relay", ROLE_FRONT},
	};

	if (strcmp(kind, "gap") == 0) /* everybody of his own */
		return true;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].role == role && strcmp(known[i].kind, kind) == 0)
			return true;
	return false;
}

int
ledger_audit_on_note(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_audit_note m;
	struct buf b = BUF_INIT;
	char kind[KIND_MAX + 1];
	int64_t skip;

	if (ipc_decode_audit_note(in, &m) == -1 ||
	    str_copy_span(kind, sizeof(kind), m.kind) == -1 || !may_note(ipc_peer_role(p), kind) ||
	    (skip = take(p, m.src, m.n, m.n, false)) == -1)
		return -1;
	if (skip != 0)
		return 0;
	counts.note++;
	begin_members(&b, p, m.src, m.n);
	audit_record_note(&b, &m);
	ledger_audit_add(m.time_ms, kind, buf_span(&b));
	buf_clear(&b);
	ledger_audit_added();
	return 0;
}

static void
on_refused_gone(const struct audit_sender *s, uint64_t lost)
{
	tell_gap(s, lost, 0, "their process ended while none could be written");
	ledger_audit_added();
}

void
ledger_audit_peer_down(struct ipc_peer *p)
{
	audit_senders_peer_down(p, on_refused_gone);
}

void
ledger_audit_take_stats(struct buf *out)
{
	buf_addf(out,
	    ",\"auth_records\":%" PRIu64 ",\"accept_records\":%" PRIu64 ",\"note_records\":%" PRIu64
	    ",\"doubles\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"closed\":%s",
	    counts.auth, counts.accept, counts.note, counts.doubles, counts.missing, counts.refused,
	    closed != 0 ? "true" : "false");
}
