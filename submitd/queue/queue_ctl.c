/* SPDX-License-Identifier: ISC */
/*
 * Requests of submitctl to the queue: lists, history, counters, and actions. Searching
 * happens on the reader thread, changing on the commit thread; this file is between
 * them and the control process. Event thread of process queue.
 */
#include "queue/queue_ctl.h"

#include "base/log.h"
#include "base/str.h"
#include "ipc/audit_outbox.h"

#include <stdlib.h>
#include <string.h>

#define QUERIES_MAX 64u

static TAILQ_HEAD(, ctl_query) queries = TAILQ_HEAD_INITIALIZER(queries);
static unsigned n_queries;

static void
respond(struct ipc_peer *p, uint64_t request, bool more, unsigned status, struct span json)
{
	struct ipc_ctl_res res = {
	    .request = request, .more = more, .status = (uint8_t)status, .json = json};

	if (p != NULL)
		(void)ipc_send_ctl_res(p, -1, &res);
}

/* The last frame: {"end":true,"status":…,"error":…}. */
static void
respond_end(struct ipc_peer *p, uint64_t request, unsigned status, const char *error)
{
	struct buf b = BUF_INIT;

	buf_add_str(&b, "{\"end\":true");
	json_number(&b, "status", status);
	if (error != NULL && error[0] != '\0')
		json_text(&b, "error", span_of(error));
	buf_add_byte(&b, '}');
	respond(p, request, false, status, buf_span(&b));
	buf_clear(&b);
}

static void
query_free(struct ctl_query *c)
{
	TAILQ_REMOVE(&queries, c, entry);
	n_queries--;
	queue_select_clear(&c->select);
	buf_clear(&c->rows);
	free(c->active);
	free(c->qids);
	free(c->user);
	free(c->text);
	free(c);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void
audit_action(const struct ctl_query *c)
{
	static const char *const names[] = {"none", "retry", "hold", "release", "remove", "bounce"};
	struct log_line l;

	log_begin(&l, LOG_LEVEL_INFO, EV_OPERATOR);
	log_str(&l, LK_USER, c->user);
	log_str(&l, LK_COMMAND, names[c->action]);
	log_u64(&l, LK_COUNT, c->count);
	log_str(&l, LK_TEXT, c->text);
	log_end(&l);
	if (queue_self()->conf->audit->file != NULL) {
		struct buf b = BUF_INIT;
		/* what was asked for control has recorded; this is what came of it */
		buf_add_byte(&b, '{');
		json_text(&b, "done", span_of(names[c->action]));
		json_text(&b, "user", span_of(c->user));
		json_number(&b, "count", (int64_t)c->count);
		buf_add_byte(&b, '}');
		(void)audit_outbox_note(queue_now(), "operator", buf_span(&b));
		buf_clear(&b);
	}
}

static void
action_finish(struct ctl_query *c)
{
	struct buf b = BUF_INIT;

	audit_action(c);
	buf_addf(&b, "{\"count\":%llu}", (unsigned long long)c->count);
	respond(c->peer, c->request, true, 0, buf_span(&b));
	respond_end(c->peer, c->request, c->error[0] != '\0', c->error);
	buf_clear(&b);
	query_free(c);
}

static void
query_done(struct qwork *w)
{
	struct ctl_query *c = (struct ctl_query *)w;
	struct queue *q = w->q;
	struct span rows = buf_span(&c->rows);

	if (c->kind == CTL_ACTION) {
		struct qop_action *a;
		if (c->n_qids == 0) {
			action_finish(c);
			return;
		}
		a = xcallocarray(1, sizeof(*a));
		a->action = c->action;
		a->user = xstrdup(c->user);
		a->ctl = c;
		a->qids = xcallocarray(c->n_qids, sizeof(*a->qids));
		memcpy(a->qids, c->qids, c->n_qids * sizeof(*a->qids));
		a->n_qids = c->n_qids;
		c->after = c->qids[c->n_qids - 1];
		queue_action_push(q, a);
		return;
	}
	while (rows.n > 0) {
		struct span row = {rows.p, strlen(rows.p)};
		respond(c->peer, c->request, true, 0, row);
		rows.p += row.n + 1;
		rows.n -= row.n + 1;
	}
	respond_end(c->peer, c->request, c->error[0] != '\0', c->error);
	query_free(c);
}

void
queue_ctl_action_done(struct queue *q, struct qop_action *a)
{
	struct ctl_query *c = a->ctl;
	bool full = c->n_qids == c->limit;

	c->count += a->count;
	free(c->qids);
	c->qids = NULL;
	c->n_qids = 0;
	if (!full || c->error[0] != '\0' || c->peer == NULL) {
		action_finish(c);
		return;
	}
	qworker_push(&q->reader, q, &c->work);
}

static void
stats(struct queue *q, struct ipc_peer *p, uint64_t request)
{
	const struct {
		const char *name;
		uint64_t v;
	} list[] = {
	    {"offers", q->count.offers},
	    {"accepted", q->count.accepted},
	    {"duplicates", q->count.duplicates},
	    {"refused_full", q->count.refused_full},
	    {"accepted_bytes", q->count.bytes},
	    {"jobs", q->count.jobs},
	    {"results", q->count.results},
	    {"returned", q->count.returned},
	    {"delivered", q->count.delivered},
	    {"deferred", q->count.deferred},
	    {"failed", q->count.failed},
	    {"expired", q->count.expired},
	    {"discarded", q->count.discarded},
	    {"held", q->count.held},
	    {"reports", q->count.reports},
	    {"commits", q->count.commits},
	    {"ops", q->count.ops},
	    {"fetches", q->count.fetches},
	    {"active", q->n_jobs},
	    {"destinations", q->n_dests},
	    {"memory_messages", q->fresh_messages},
	    {"memory_bytes", q->fresh_bytes},
	    {"full", q->full},
	    {"wal_pages", __atomic_load_n(&q->wal_pages, __ATOMIC_RELAXED)},
	};
	struct buf b = BUF_INIT;

	buf_add_str(&b, "{\"role\":\"queue\",\"instance\":0");
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		json_number(&b, list[i].name, (int64_t)list[i].v);
	buf_add_byte(&b, '}');
	respond(p, request, true, 0, buf_span(&b));
	respond_end(p, request, 0, NULL);
	buf_clear(&b);
}

/* ---- requests -------------------------------------------------------------------------------- */

static const struct command {
	const char *name;
	enum ctl_kind kind;
	enum qaction action;
	const char *members; /* besides cmd, blank separated with blanks at both ends */
} commands[] = {
    {"queue.list", CTL_LIST, QACTION_NONE, " select limit after "},
    {"queue.show", CTL_SHOW, QACTION_NONE, " id "},
    {"history", CTL_HISTORY, QACTION_NONE, " select limit after "},
    {"queue.retry", CTL_ACTION, QACTION_RETRY, " select user "},
    {"queue.hold", CTL_ACTION, QACTION_HOLD, " select user "},
    {"queue.release", CTL_ACTION, QACTION_RELEASE, " select user "},
    {"queue.remove", CTL_ACTION, QACTION_REMOVE, " select user "},
    {"queue.bounce", CTL_ACTION, QACTION_BOUNCE, " select user "},
};

static int
check_members(json_t *req, const struct command *k, char *err, size_t errsize)
{
	const char *key;
	json_t *v;
	char word[64];

	json_object_foreach(req, key, v)
	{
		if (strcmp(key, "cmd") == 0)
			continue;
		if (str_printf(word, sizeof(word), " %s ", key) == -1 ||
		    strstr(k->members, word) == NULL) {
			(void)str_printf(err, errsize, "%s: unknown member %.50s", k->name, key);
			return -1;
		}
	}
	return 0;
}

static int
number_of(json_t *req, const char *name, uint64_t def, uint64_t max, uint64_t *out, char *err,
    size_t errsize)
{
	json_t *v = json_object_get(req, name);

	*out = def;
	if (v == NULL)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    (uint64_t)json_integer_value(v) > max) {
		(void)str_printf(
		    err, errsize, "%s: a number from 0 to %llu", name, (unsigned long long)max);
		return -1;
	}
	*out = (uint64_t)json_integer_value(v);
	return 0;
}

static int
qid_compare(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

static void
snapshot_active(struct queue *q, struct ctl_query *c)
{
	const struct qdest *d;
	const struct qjob *j;

	c->active = xcallocarray(q->n_jobs + 1, sizeof(*c->active));
	TAILQ_FOREACH (d, &q->dests, entry)
		TAILQ_FOREACH (j, &d->jobs, dest_entry)
			if (j->state != QJOB_READY)
				c->active[c->n_active++] = j->qid;
	qsort(c->active, c->n_active, sizeof(*c->active), qid_compare);
}

static struct ctl_query *
query_new(struct queue *q, const struct command *k, json_t *req, char *err, size_t errsize)
{
	struct ctl_query *c = xcallocarray(1, sizeof(*c));
	enum queue_select_table table = k->kind == CTL_HISTORY ? SELECT_HISTORY : SELECT_QUEUE;
	json_t *select = json_object_get(req, "select"), *made = NULL;
	int rc;

	TAILQ_INSERT_TAIL(&queries, c, entry);
	n_queries++;
	c->kind = k->kind;
	c->action = k->action;
	c->now = queue_now();
	c->user = xstrdup(json_string_value(json_object_get(req, "user")));
	if (k->kind == CTL_SHOW) {
		json_t *id = json_object_get(req, "id");
		if (json_is_integer(id))
			made = json_pack("{s:[o]}", "ids",
			    json_sprintf("%" JSON_INTEGER_FORMAT, json_integer_value(id)));
		else
			made = json_pack("{s:[O]}", "ids", id == NULL ? json_null() : id);
		select = made;
	}
	rc = queue_select_compile(&c->select, table, select, c->now, err, errsize);
	json_decref(made);
	if (rc == -1 ||
	    number_of(req, "limit", CTL_LIMIT_DEFAULT, CTL_LIMIT_MAX, &c->limit, err, errsize) ==
		-1 ||
	    number_of(req, "after", 0, INT64_MAX, &c->after, err, errsize) == -1) {
		query_free(c);
		return NULL;
	}
	if (k->kind == CTL_ACTION)
		c->limit = CTL_ACTION_PAGE;
	snapshot_active(q, c);
	return c;
}

static void
request(struct queue *q, struct ipc_peer *p, uint64_t id, json_t *req, struct span text)
{
	const char *cmd = json_string_value(json_object_get(req, "cmd"));
	char err[200] = "";
	struct ctl_query *c;
	size_t i = 0;

	if (cmd != NULL && strcmp(cmd, "stats") == 0) {
		stats(q, p, id);
		return;
	}
	while (i < ARRAY_LEN(commands) && (cmd == NULL || strcmp(commands[i].name, cmd) != 0))
		i++;
	if (i == ARRAY_LEN(commands)) {
		respond_end(p, id, 2, "the queue has no such command");
		return;
	}
	if (n_queries >= QUERIES_MAX) {
		respond_end(p, id, 1, "too many requests at once");
		return;
	}
	c = check_members(req, &commands[i], err, sizeof(err)) == -1
	        ? NULL
	        : query_new(q, &commands[i], req, err, sizeof(err));
	if (c == NULL) {
		respond_end(p, id, 2, err);
		return;
	}
	c->peer = p;
	c->request = id;
	c->text = span_dup(text);
	c->work.fn = queue_ctl_read;
	c->work.done = query_done;
	if (c->kind == CTL_ACTION && c->select.empty) /* must say `all` */
		action_finish(c);
	else
		qworker_push(&q->reader, q, &c->work);
}

int
queue_on_ctl_req(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_ctl_req r;
	json_error_t error;
	json_t *req;

	if (ipc_decode_ctl_req(in, &r) == -1)
		return -1;
	req = json_loadb(r.json.p, r.json.n, JSON_REJECT_DUPLICATES, &error);
	if (!json_is_object(req))
		respond_end(p, r.request, 2, "the request is no JSON object");
	else
		request(queue_self(), p, r.request, req, r.json);
	json_decref(req);
	return 0;
}

int
queue_on_ctl_cancel(struct ipc_peer *p, struct ipc_in *in)
{
	struct ipc_ctl_cancel r;
	struct ctl_query *c;

	if (ipc_decode_ctl_cancel(in, &r) == -1)
		return -1;
	TAILQ_FOREACH (c, &queries, entry) {
		if (c->peer != p || c->request != r.request)
			continue;
		c->peer = NULL;
		__atomic_store_n(&c->stop, true, __ATOMIC_RELAXED);
	}
	return 0;
}

void
queue_ctl_peer_down(struct queue *q, struct ipc_peer *p)
{
	struct ctl_query *c;

	(void)q;
	TAILQ_FOREACH (c, &queries, entry) {
		if (c->peer == p) {
			c->peer = NULL;
			__atomic_store_n(&c->stop, true, __ATOMIC_RELAXED);
		}
	}
}
