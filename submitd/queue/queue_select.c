/* SPDX-License-Identifier: ISC */
/*
 * Compiles the selections of submitctl (ids, patterns, ages, states) to conditions on
 * the queue or the history. Pure but for json and sqlite3 values; process queue.
 * Nothing from a request is ever pasted into SQL.
 */
#include "queue/queue_select.h"

#include "base/enc.h"
#include "base/list.h"
#include "base/str.h"
#include "queue/queue_store.h"

#include <stdlib.h>
#include <string.h>

static int
param(struct queue_select *q)
{
	if (q->n_params == q->cap_params) {
		q->cap_params = q->cap_params == 0 ? 8 : q->cap_params * 2;
		q->params = xreallocarray(q->params, (size_t)q->cap_params, sizeof(*q->params));
	}
	memset(&q->params[q->n_params], 0, sizeof(*q->params));
	return q->n_params++;
}

static void
param_text(struct queue_select *q, const char *text)
{
	int i = param(q);

	q->params[i].is_text = true;
	q->params[i].text = xstrdup(text);
}

static void
param_number(struct queue_select *q, int64_t v)
{
	int i = param(q); /* first: it may move the list */

	q->params[i].number = v;
}

static void
condition(struct queue_select *q, const char *sql)
{
	if (buf_len(&q->where) > 0)
		buf_add_str(&q->where, " AND ");
	buf_add_str(&q->where, sql);
}

struct member {
	const char *name;
	/* NULL: not for that table */
	const char *queue, *history;
	enum { TEXT, PATTERN, AGE_OVER, AGE_UNDER } kind;
};

/* clang-format off */
static const struct member members[] = {
	{"sender", "lower(m.sender) GLOB lower(?)", "lower(h.sender) GLOB lower(?)", PATTERN},
	{"recipient", "EXISTS (SELECT 1 FROM recipient r WHERE r.id >= e.rid "
	    "AND r.id < e.rid + e.rcpts AND r.qid = e.qid AND lower(r.addr) GLOB lower(?))",
	    "lower(h.rcpt) GLOB lower(?)", PATTERN},
	{"domain", "EXISTS (SELECT 1 FROM recipient r WHERE r.id >= e.rid "
	    "AND r.id < e.rid + e.rcpts AND r.qid = e.qid "
	    "AND instr(lower(r.addr) || char(10), '@' || lower(?) || char(10)) > 0)",
	    "instr(lower(h.rcpt) || char(10), '@' || lower(?) || char(10)) > 0", TEXT},
	{"transport", "d.transport = ?", "h.transport = ?", TEXT},
	{"older_s", "m.received <= ?", "h.time <= ?", AGE_OVER},
	{"younger_s", "m.received >= ?", "h.time >= ?", AGE_UNDER},
};
/* clang-format on */

static int
add_ids(
    struct queue_select *q, enum queue_select_table table, json_t *ids, char *err, size_t errsize)
{
	size_t n = json_array_size(ids);

	if (!json_is_array(ids) || n == 0 || n > QUEUE_SELECT_MAX) {
		(void)str_printf(
		    err, errsize, "ids: a list of 1 to %d queue or message ids", QUEUE_SELECT_MAX);
		return -1;
	}
	condition(q, "(");
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(ids, i));
		struct uuid mid;
		uint64_t qid;

		if (i > 0)
			buf_add_str(&q->where, " OR ");
		if (text != NULL && str_to_u64(text, 1, INT64_MAX, &qid) == 0) {
			buf_add_str(&q->where, table == SELECT_QUEUE ? "e.qid = ?" : "h.qid = ?");
			param_number(q, (int64_t)qid);
		} else if (text != NULL && uuid_parse(span_of(text), &mid) == 0) {
			/* the envelopes of a message have consecutive numbers */
			buf_add_str(&q->where,
			    table == SELECT_QUEUE
				? "e.qid IN (SELECT e2.qid FROM message m2 JOIN envelope e2 ON "
				  "e2.qid >= m2.id AND e2.qid < m2.id + m2.envelopes WHERE m2.mid "
				  "= ?)"
				: "h.mid = ?");
			int k = param(q);
			q->params[k].is_mid = true;
			memcpy(q->params[k].mid, mid.b, sizeof(mid.b));
		} else {
			(void)str_printf(err, errsize, "ids: neither a queue id nor a message id");
			return -1;
		}
	}
	buf_add_str(&q->where, ")");
	return 0;
}

static int
add_state(struct queue_select *q, enum queue_select_table table, const char *state, int64_t now,
    char *err, size_t errsize)
{
	static const char *const names[] = {"due", "waiting", "active", "held"};
	static const char *const sql[] = {
	    "NOT is_active(e.qid) AND e.state = 0 AND e.next <= ? AND d.retry_at <= ?",
	    ("NOT is_active(e.qid) AND e.state <> 1"
	     " AND (e.state = 2 OR e.next > ? OR d.retry_at > ?)"),
	    "is_active(e.qid)", "e.state = 1 AND NOT is_active(e.qid)"};

	for (size_t i = 0; table == SELECT_QUEUE && state != NULL && i < ARRAY_LEN(names); i++) {
		if (strcmp(state, names[i]) != 0)
			continue;
		condition(q, sql[i]);
		if (i < 2) {
			param_number(q, now);
			param_number(q, now);
		}
		return 0;
	}
	for (unsigned o = 0; table == SELECT_HISTORY && state != NULL && o < OUTCOME__MAX; o++) {
		if (strcmp(state, queue_outcome_name((enum outcome)o)) != 0)
			continue;
		condition(q, "h.outcome = ?");
		param_number(q, (int64_t)o);
		return 0;
	}
	(void)str_printf(err, errsize, "state: %s",
	    table == SELECT_QUEUE ? "due, waiting, active or held"
				  : "delivered, failed, expired, discarded, removed or bounced");
	return -1;
}

static int
add_member(struct queue_select *q, enum queue_select_table table, const struct member *m, json_t *v,
    int64_t now, char *err, size_t errsize)
{
	const char *sql = table == SELECT_QUEUE ? m->queue : m->history;

	if (m->kind == TEXT || m->kind == PATTERN) {
		if (!json_is_string(v) || json_string_length(v) == 0 ||
		    json_string_length(v) > 1000) {
			(void)str_printf(err, errsize, "%s: a text of 1 to 1000 octets", m->name);
			return -1;
		}
		param_text(q, json_string_value(v));
	} else {
		json_int_t s = json_integer_value(v);
		if (!json_is_integer(v) || s < 0 || s > 4000000000) {
			(void)str_printf(err, errsize, "%s: a number of seconds", m->name);
			return -1;
		}
		param_number(q, now - (int64_t)s * 1000);
	}
	condition(q, sql);
	return 0;
}

int
queue_select_compile(struct queue_select *q, enum queue_select_table table, json_t *s,
    int64_t now_ms, char *err, size_t errsize)
{
	const char *key;
	json_t *v;

	memset(q, 0, sizeof(*q));
	q->empty = true;
	if (s != NULL && !json_is_object(s)) {
		(void)str_printf(err, errsize, "select: an object");
		return -1;
	}
	json_object_foreach(s, key, v)
	{
		size_t i = 0;
		int rc;

		while (i < ARRAY_LEN(members) && strcmp(members[i].name, key) != 0)
			i++;
		if (strcmp(key, "all") == 0) {
			if (!json_is_true(v)) {
				(void)str_printf(err, errsize, "all: true or not there");
				goto bad;
			}
			q->empty = false;
			continue;
		}
		if (strcmp(key, "ids") == 0) {
			rc = add_ids(q, table, v, err, errsize);
		} else if (strcmp(key, "state") == 0) {
			rc = add_state(q, table, json_string_value(v), now_ms, err, errsize);
		} else if (i < ARRAY_LEN(members)) {
			rc = add_member(q, table, &members[i], v, now_ms, err, errsize);
		} else {
			(void)str_printf(err, errsize, "select: unknown member %.100s", key);
			rc = -1;
		}
		if (rc == -1)
			goto bad;
		q->empty = false;
	}
	if (buf_len(&q->where) == 0)
		buf_add_str(&q->where, "1");
	return 0;
bad:
	queue_select_clear(q);
	return -1;
}

void
queue_select_clear(struct queue_select *q)
{
	for (int i = 0; i < q->n_params; i++)
		free(q->params[i].text);
	free(q->params);
	buf_clear(&q->where);
	memset(q, 0, sizeof(*q));
}

int
queue_select_bind(const struct queue_select *q, sqlite3_stmt *st, int first)
{
	int rc = SQLITE_OK;

	for (int i = 0; i < q->n_params && rc == SQLITE_OK; i++) {
		if (q->params[i].is_text)
			rc = sqlite3_bind_text(st, first + i, q->params[i].text, -1, SQLITE_STATIC);
		else if (q->params[i].is_mid)
			rc = sqlite3_bind_blob(st, first + i, q->params[i].mid,
			    sizeof(q->params[i].mid), SQLITE_STATIC);
		else
			rc = sqlite3_bind_int64(st, first + i, q->params[i].number);
	}
	return rc == SQLITE_OK ? 0 : -1;
}
