/* SPDX-License-Identifier: ISC */
/*
 * Answers questions about queue and history, on the reader thread of process queue
 * with a connection of its own and a time limit. It changes nothing.
 */
#include "base/str.h"
#include "queue/queue_ctl.h"
#include "queue/queue_store_internal.h"

#include <stdlib.h>
#include <string.h>

#define HEADERS_SHOWN 24576u
#define RCPTS_SHOWN 100u

void
json_key(struct buf *b, const char *key)
{
	struct span s = buf_span(b);

	if (s.n > 0 && s.p[s.n - 1] != '{' && s.p[s.n - 1] != '[')
		buf_add_byte(b, ',');
	buf_addf(b, "\"%s\":", key);
}

void
json_text(struct buf *b, const char *key, struct span v)
{
	json_key(b, key);
	json_add_str(b, v);
}

void
json_number(struct buf *b, const char *key, int64_t v)
{
	json_key(b, key);
	buf_addf(b, "%lld", (long long)v);
}

static struct span
column_span(sqlite3_stmt *st, int i)
{
	const char *p = (const char *)sqlite3_column_text(st, i);

	return (struct span){p == NULL ? "" : p, (size_t)sqlite3_column_bytes(st, i)};
}

static void
json_mid(struct buf *b, const void *blob, int n)
{
	struct uuid mid = {{0}};
	char text[UUID_TEXT];

	if (n == (int)sizeof(mid.b))
		memcpy(mid.b, blob, sizeof(mid.b));
	uuid_format(&mid, text);
	json_text(b, "mid", span_of(text));
}

static bool
is_active(const struct ctl_query *c, uint64_t qid)
{
	size_t lo = 0, hi = c->n_active;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (c->active[mid] == qid)
			return true;
		if (c->active[mid] < qid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

static void
sql_is_active(sqlite3_context *ctx, int n, sqlite3_value **v)
{
	(void)n;
	sqlite3_result_int(
	    ctx, is_active(sqlite3_user_data(ctx), (uint64_t)sqlite3_value_int64(v[0])));
}

/* ---- rows of the queue ----------------------------------------------------------------------- */

/* clang-format off */
#define QUEUE_FROM                                                                                 \
	"FROM envelope e CROSS JOIN message m ON m.id = e.msg "                                    \
	"CROSS JOIN destination d ON d.id = e.dest WHERE "
static const char list_sql[] =
    "SELECT e.qid, m.mid, m.sender, d.transport, d.name, e.state, e.left, e.attempts, m.received, "
    "e.next, d.retry_at, m.body_len, d.reason, "
    "(SELECT r.status FROM recipient r WHERE r.id >= e.rid AND r.id < e.rid + e.rcpts "
    " AND r.qid = e.qid AND r.status IS NOT NULL LIMIT 1), "
    "e.msg, m.seg, m.off, m.head_len, e.rid, e.rcpts "
    QUEUE_FROM;
/* clang-format on */

static const char *
state_of(const struct ctl_query *c, sqlite3_stmt *st)
{
	int state = sqlite3_column_int(st, 5);

	if (is_active(c, store_u64(st, 0)))
		return "active";
	if (state == ENV_HELD)
		return "held";
	if (state == ENV_WAITING && sqlite3_column_int64(st, 9) <= c->now &&
	    sqlite3_column_int64(st, 10) <= c->now)
		return "due";
	return "waiting";
}

static void
json_reason(struct buf *b, struct queue *q, const struct ctl_query *c, sqlite3_stmt *st)
{
	const struct conf_transport *t;
	struct status status = {0};
	struct rd rd;
	int state = sqlite3_column_int(st, 5);
	bool paused = false, unknown;

	pthread_mutex_lock(&q->conf_lock);
	t = conf_transport_find(q->conf, (const char *)sqlite3_column_text(st, 3));
	unknown = t == NULL;
	paused = t != NULL && t->paused;
	pthread_mutex_unlock(&q->conf_lock);
	if (state == ENV_DONE) {
		json_text(b, "reason", span_of("a report to the sender is being made"));
	} else if (state == ENV_WAITING && (unknown || paused)) {
		json_text(b, "reason",
		    span_of(
			paused ? "the transport is paused" : "the transport is not configured"));
	} else if (sqlite3_column_type(st, 13) == SQLITE_BLOB) {
		rd_init(&rd, sqlite3_column_blob(st, 13), (size_t)sqlite3_column_bytes(st, 13));
		if (status_decode(&rd, &status) == 0)
			json_text(b, "reason", span_of(status.text));
		status_clear(&status);
	} else if (sqlite3_column_int64(st, 10) > c->now) {
		json_text(b, "reason", column_span(st, 12));
	} else {
		json_text(b, "reason", span_of(""));
	}
}

static void
queue_row(struct buf *b, struct queue *q, const struct ctl_query *c, sqlite3_stmt *st)
{
	int64_t next = sqlite3_column_int64(st, 9), retry = sqlite3_column_int64(st, 10);
	const char *state = state_of(c, st);

	if (retry > next)
		next = retry;
	json_number(b, "qid", sqlite3_column_int64(st, 0));
	json_mid(b, sqlite3_column_blob(st, 1), sqlite3_column_bytes(st, 1));
	json_text(b, "sender", column_span(st, 2));
	json_text(b, "transport", column_span(st, 3));
	json_text(b, "dest", column_span(st, 4));
	json_text(b, "state", span_of(state));
	json_number(b, "rcpts", sqlite3_column_int64(st, 6));
	json_number(b, "attempts", sqlite3_column_int64(st, 7));
	json_number(b, "age_s", (c->now - sqlite3_column_int64(st, 8)) / 1000);
	json_number(b, "next_s",
	    next > c->now && strcmp(state, "waiting") == 0 ? (next - c->now) / 1000 : 0);
	json_number(b, "size", sqlite3_column_int64(st, 11));
	json_reason(b, q, c, st);
}

static void
json_rcpts(struct buf *b, struct queue_store *s, const struct store_envelope *e)
{
	static const char *const states[] = {"waiting", "held", "reporting"};
	struct store_rcpt_row *rows = NULL;
	size_t n = 0;
	char esc[STATUS_ESC_TEXT];

	if (queue_store_rcpts(s, e, true, &rows, &n) == -1)
		return;
	json_key(b, "recipients");
	buf_add_byte(b, '[');
	for (size_t i = 0; i < n && i < RCPTS_SHOWN && buf_len(b) < 2 * HEADERS_SHOWN; i++) {
		const struct store_rcpt_row *r = &rows[i];
		buf_add_str(b, i > 0 ? ",{" : "{");
		json_text(b, "rcpt", span_of(r->addr));
		json_text(b, "state", span_of(states[r->state <= RCPT_DONE ? r->state : 0]));
		json_number(b, "attempts", r->attempts);
		json_key(b, "status");
		buf_add_byte(b, '{');
		status_esc(&r->status, esc);
		json_number(b, "code", r->status.code);
		json_text(b, "esc", span_of(esc));
		json_text(b, "text", span_of(r->status.text));
		json_text(b, "remote", span_of(r->status.remote));
		json_text(b, "diagnosis", span_of(r->status.diagnosis));
		buf_add_str(b, "}}");
	}
	buf_add_byte(b, ']');
	json_number(b, "more_recipients", n > RCPTS_SHOWN ? (int64_t)(n - RCPTS_SHOWN) : 0);
	queue_store_rcpts_free(rows, n);
}

/* What only the stored record knows: who sent it, and the header. */
static void
json_stored(struct buf *b, struct queue_body_reader *reader, const struct store_message *row)
{
	struct buf head = BUF_INIT, text = BUF_INIT;
	struct message *m = NULL;
	char client[NET_ADDR_TEXT];

	if (queue_body_read(reader, &row->mid, &row->ref, &head, &text, HEADERS_SHOWN) == 0)
		m = message_decode(buf_span(&head));
	struct span h = buf_span(&text);
	const char *end = memmem(h.p, h.n, "\r\n\r\n", 4);
	if (end != NULL)
		h.n = (size_t)(end - h.p) + 2;
	if (h.n > HEADERS_SHOWN)
		h.n = HEADERS_SHOWN;
	json_text(b, "headers", h);
	if (m != NULL) {
		net_addr_format(&m->client, client);
		json_text(b, "login", span_of(m->login));
		json_text(b, "principal", span_of(m->principal));
		json_text(b, "client", span_of(m->client.family == 0 ? "" : client));
		json_text(b, "listener", span_of(m->listener));
	}
	message_free(m);
	buf_clear(&head);
	buf_clear(&text);
}

static void
show_row(struct buf *b, struct queue *q, const struct ctl_query *c, sqlite3_stmt *st,
    struct queue_body_reader *reader)
{
	struct store_envelope e = {.qid = store_u64(st, 0),
	    .first_rid = store_u64(st, 18),
	    .n_rcpts = store_u32(st, 19),
	    .left = store_u32(st, 6)};
	struct store_message m = {
	    .ref = {store_u64(st, 15), store_u64(st, 16), store_u32(st, 17), store_u64(st, 11)}};

	memcpy(m.mid.b, sqlite3_column_blob(st, 1), sizeof(m.mid.b));
	queue_row(b, q, c, st);
	json_rcpts(b, q->reader_store, &e);
	json_stored(b, reader, &m);
}

/* ---- running a query ------------------------------------------------------------------------- */

static void
history_row(struct buf *b, sqlite3_stmt *st)
{
	static const char *const names[] = {"sender", "rcpt", "transport", "dest", "mx"};

	json_number(b, "time", sqlite3_column_int64(st, 0) / 1000);
	json_number(b, "qid", sqlite3_column_int64(st, 1));
	json_mid(b, sqlite3_column_blob(st, 2), sqlite3_column_bytes(st, 2));
	for (int i = 0; i < 5; i++)
		json_text(b, names[i], column_span(st, 3 + i));
	json_text(
	    b, "outcome", span_of(queue_outcome_name((enum outcome)sqlite3_column_int(st, 8))));
	json_number(b, "code", sqlite3_column_int64(st, 9));
	json_text(b, "esc", column_span(st, 10));
	json_text(b, "text", column_span(st, 11));
	json_number(b, "attempts", sqlite3_column_int64(st, 12));
}

static const char *
sql_of(const struct ctl_query *c, struct buf *sql)
{
	switch (c->kind) {
	case CTL_LIST:
	case CTL_SHOW:
		buf_add_str(sql, list_sql);
		break;
	case CTL_ACTION:
		buf_add_str(sql, "SELECT e.qid " QUEUE_FROM);
		break;
	case CTL_HISTORY:
		buf_add_str(sql,
		    "SELECT h.time, h.qid, h.mid, h.sender, h.rcpt, h.transport, h.dest, "
		    "h.mx, h.outcome, h.code, h.esc, h.text, h.attempts FROM history h WHERE ");
		break;
	}
	buf_add_str(sql, "(");
	buf_add_span(sql, buf_span(&c->select.where));
	buf_add_str(sql, c->kind == CTL_HISTORY ? ") AND h.id > ? ORDER BY h.id DESC LIMIT ?"
						: ") AND e.qid > ? ORDER BY e.qid LIMIT ?");
	return buf_cstr(sql);
}

static void
take_row(struct ctl_query *c, struct queue *q, sqlite3_stmt *st, struct queue_body_reader *reader)
{
	struct buf row = BUF_INIT;

	if (c->kind == CTL_ACTION) {
		c->qids[c->n_qids++] = store_u64(st, 0);
		return;
	}
	buf_add_byte(&row, '{');
	if (c->kind == CTL_HISTORY)
		history_row(&row, st);
	else if (c->kind == CTL_SHOW)
		show_row(&row, q, c, st, reader);
	else
		queue_row(&row, q, c, st);
	buf_add_byte(&row, '}');
	/* a frame holds 64 KiB; nothing here is longer but a row of absurd texts */
	if (buf_len(&row) < IPC_CHUNK + 8192) {
		buf_add_span(&c->rows, buf_span(&row));
		buf_add_byte(&c->rows, '\0');
	}
	buf_clear(&row);
}

void
queue_ctl_read(struct qwork *w)
{
	struct ctl_query *c = (struct ctl_query *)w;
	struct queue_store *s = w->q->reader_store;
	struct queue_body_reader *reader = queue_body_reader_new(w->q->commit.body);
	struct buf sql = BUF_INIT;
	sqlite3_stmt *st = NULL;
	int rc;

	if (c->kind == CTL_ACTION)
		c->qids = xcallocarray(c->limit, sizeof(*c->qids));
	queue_store_set_limit(s, CTL_TIME_MS, &c->stop);
	rc = sqlite3_create_function(
	    s->db, "is_active", 1, SQLITE_UTF8, c, sql_is_active, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(s->db, sql_of(c, &sql), -1, &st, NULL);
	if (rc == SQLITE_OK && queue_select_bind(&c->select, st, 1) == 0) {
		store_bind_u64(st, c->select.n_params + 1, c->after);
		store_bind_u64(st, c->select.n_params + 2, c->limit);
		while ((rc = sqlite3_step(st)) == SQLITE_ROW && buf_len(&c->rows) < CTL_BYTES_MAX &&
		       c->n_qids < c->limit)
			take_row(c, w->q, st, reader);
	}
	if (rc == SQLITE_INTERRUPT)
		(void)str_printf(c->error, sizeof(c->error), "the search took too long: narrow it");
	else if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		(void)str_printf(c->error, sizeof(c->error), "database: %s", sqlite3_errmsg(s->db));
	sqlite3_finalize(st);
	queue_store_set_limit(s, 0, NULL);
	queue_body_reader_free(reader);
	buf_clear(&sql);
}
