/* SPDX-License-Identifier: ISC */
/*
 * Jobs of process `deliver`: taken in from the queue in one or more frames, kept by qid, and given
 * back as one status for each recipient. A job is forgotten when the queue says that the statuses
 * are committed. Nothing here waits or connects. A frame that makes no sense ends the peer.
 */
#include "transports/deliver.h"

#include "base/log.h"
#include "base/str.h"

#include <string.h>
#include <stdlib.h>
#include <unistd.h>

#define BUCKETS 1024u

static struct deliver_job *table[BUCKETS];
static size_t n_jobs, n_reported;

static struct deliver_job **
slot(uint64_t qid)
{
	struct deliver_job **p = &table[qid % BUCKETS];

	while (*p != NULL && (*p)->qid != qid)
		p = &(*p)->hash_next;
	return p;
}

size_t
deliver_job_count(void)
{
	return n_jobs;
}

size_t
deliver_job_unfinished(void)
{
	return n_jobs - n_reported;
}

static void
drop_body(struct deliver_job *j)
{
	buf_clear(&j->head);
	buf_clear(&j->body);
	if (j->fd != -1)
		close(j->fd);
	j->fd = -1;
	if (j->job.msg != NULL && j->rcpts != NULL)
		for (size_t i = 0; i < j->job.msg->n_rcpts; i++)
			status_clear(&j->rcpts[i].status);
	free(j->rcpts);
	j->rcpts = NULL;
	message_free(j->job.msg);
	j->job.msg = NULL;
}

static void
job_free(struct deliver_job *j)
{
	struct deliver_job **p = slot(j->qid);

	invariant(*p == j);
	*p = j->hash_next;
	n_jobs--;
	j->dest->n_jobs--;
	if (j->state == DELIVER_JOB_REPORTED) {
		n_reported--;
		if (j->conn != NULL) {
			TAILQ_REMOVE(&j->conn->reported, j, link);
			j->conn->unacked--;
		}
	} else if (j->state == DELIVER_JOB_WAITING) {
		deliver_dest_remove(j->dest, j);
	}
	drop_body(j);
	free(j);
}

void
deliver_job_forget_all(void)
{
	for (size_t i = 0; i < BUCKETS; i++)
		while (table[i] != NULL)
			job_free(table[i]);
}

/* ---- reports --------------------------------------------------------------------------------- */

static void
log_delivery(const struct deliver_job *j, const struct smtp_client_rcpt *r,
    const struct deliver_conn *c, uint32_t ms)
{
	char text[ADDR_TEXT];
	struct log_line l;

	log_begin(&l, LOG_LEVEL_INFO, EV_DELIVERY);
	if (!l.on)
		return;
	uuid_format(&j->job.msg->mid, text);
	log_str(&l, LK_MID, text);
	log_u64(&l, LK_QID, j->qid);
	addr_format(&r->rcpt->addr, text);
	log_str(&l, LK_TO, text);
	log_str(&l, LK_TRANSPORT, j->dest->conf->title);
	if (j->dest->name[0] != '\0')
		log_str(&l, LK_DEST, j->dest->name);
	if (r->status.remote_ip != NULL)
		log_str(&l, LK_MX, r->status.remote_ip);
	else if (c != NULL)
		log_str(&l, LK_MX, c->ip);
	if (c != NULL && c->tls[0] != '\0')
		log_str(&l, LK_TLS_VERSION, c->tls);
	if (r->status.code != 0)
		log_u64(&l, LK_CODE, r->status.code);
	status_esc(&r->status, text);
	log_str(&l, LK_ESC, text);
	log_str(&l, LK_VERDICT, verdict_name(r->status.verdict));
	log_u64(&l, LK_TRY, j->job.attempt);
	log_u64(&l, LK_MS, ms);
	log_str(&l, r->status.origin == ORIGIN_REMOTE ? LK_REPLY : LK_REASON, r->status.text);
	log_end(&l);
}

static void
count(const struct status *st)
{
	switch (st->verdict) {
	case V_OK:
		deliver_stats.delivered++;
		break;
	case V_PERM:
		deliver_stats.refused++;
		break;
	case V_TEMP:
	case V_NEXT:
	case V__MAX:
		deliver_stats.deferred++;
		break;
	}
}

/* Sends the statuses of rcpts[from..] that fit one frame; gives the next one. */
static size_t
send_some(const struct deliver_job *j, struct ipc_job_res *res, size_t from)
{
	static struct buf body, one;
	uint8_t le[4];
	uint32_t n = 0;
	size_t i;

	buf_reset(&body);
	buf_put_u32(&body, 0);
	for (i = from; i < j->job.msg->n_rcpts; i++) {
		buf_reset(&one);
		buf_put_u64(&one, j->rcpts[i].rcpt->id);
		status_encode(&one, &j->rcpts[i].status);
		if (n > 0 && buf_len(&body) + buf_len(&one) > IPC_CHUNK)
			break;
		buf_add_span(&body, buf_span(&one));
		n++;
	}
	for (unsigned b = 0; b < 4; b++)
		le[b] = (uint8_t)(n >> (8 * b));
	memcpy(body.mem + body.start, le, 4);
	res->more = i < j->job.msg->n_rcpts;
	res->statuses = buf_span(&body);
	if (deliver_queue() != NULL)
		ipc_send_job_res(deliver_queue(), -1, res);
	return i;
}

void
deliver_job_report(struct deliver_job *j, struct deliver_conn *c, enum dest_result result)
{
	struct ipc_job_res res = {.qid = j->qid, .dest_result = (uint8_t)result};
	char mx[DNS_NAME_TEXT + NET_ADDR_TEXT + 16] = "";
	int64_t ms = j->began_ms == 0 ? 0 : ev_now_ms() - j->began_ms;

	if (c != NULL)
		str_printf(mx, sizeof(mx), "%s[%s]:%u", c->host.name, c->ip, c->host.addr.port);
	res.dsn_relayed = j->dsn_relayed && c != NULL;
	res.mx = span_of(mx);
	res.tls = span_of(c == NULL ? "" : c->tls);
	res.ms = (uint32_t)(ms < 0 ? 0 : ms > INT32_MAX ? INT32_MAX : ms);
	for (size_t i = 0; i < j->job.msg->n_rcpts; i++) {
		count(&j->rcpts[i].status);
		log_delivery(j, &j->rcpts[i], c, res.ms);
	}
	for (size_t at = 0; at < j->job.msg->n_rcpts;)
		at = send_some(j, &res, at);
	deliver_stats.jobs++;
	j->state = DELIVER_JOB_REPORTED;
	j->conn = c;
	n_reported++;
	if (c != NULL) {
		TAILQ_INSERT_TAIL(&c->reported, j, link);
		c->unacked++;
	}
	drop_body(j);
}

void
deliver_job_fail(struct deliver_job *j, const struct status *st, enum dest_result result)
{
	for (size_t i = 0; i < j->job.msg->n_rcpts; i++) {
		if (j->rcpts[i].state == SMTP_RCPT_DONE)
			continue;
		status_copy(&j->rcpts[i].status, st);
		j->rcpts[i].state = SMTP_RCPT_DONE;
	}
	deliver_job_report(j, NULL, result);
}

void
deliver_job_give_back(struct deliver_job *j)
{
	static const char none[4];
	struct ipc_job_res res = {.qid = j->qid, .dest_result = DEST_NOT_TRIED};

	res.mx = res.tls = span_of("");
	res.statuses = (struct span){none, sizeof(none)};
	if (deliver_queue() != NULL)
		ipc_send_job_res(deliver_queue(), -1, &res);
	job_free(j);
}

/* ---- bodies ---------------------------------------------------------------------------------- */

ssize_t
deliver_job_read(const struct deliver_job *j, uint64_t at, uint8_t *out, size_t n)
{
	ssize_t got;

	if (at >= j->body_size)
		return 0;
	if (n > j->body_size - at)
		n = (size_t)(j->body_size - at);
	if (j->inline_body) {
		memcpy(out, buf_data(&j->body) + at, n);
		return (ssize_t)n;
	}
	got = pread(j->fd, out, n, (off_t)(j->body_offset + at));
	return got == 0 ? -1 : got; /* shorter than it should be */
}

static bool
has_8bit(const uint8_t *p, size_t n)
{
	uint8_t all = 0;

	for (size_t i = 0; i < n; i++)
		all |= p[i];
	return (all & 0x80) != 0;
}

bool
deliver_job_has_8bit(const struct deliver_job *j)
{
	static uint8_t piece[65536];
	uint64_t at = 0;
	ssize_t n;

	if (j->inline_body)
		return has_8bit(buf_data(&j->body), buf_len(&j->body));
	while ((n = deliver_job_read(j, at, piece, sizeof(piece))) > 0) {
		if (has_8bit(piece, (size_t)n))
			return true;
		at += (uint64_t)n;
	}
	return false;
}

/* ---- frames from the queue ------------------------------------------------------------------- */

static int
job_complete(struct deliver_job *j)
{
	struct message *m;

	if (job_decode(buf_span(&j->head), &j->job) == -1)
		return -1;
	buf_clear(&j->head);
	m = j->job.msg;
	j->rcpts = xcallocarray(m->n_rcpts, sizeof(*j->rcpts));
	for (size_t i = 0; i < m->n_rcpts; i++)
		j->rcpts[i].rcpt = &m->rcpts[i];
	if (deliver_draining()) {
		deliver_job_give_back(j);
		return 0;
	}
	j->dest->conn_max = j->conn_max < 1 ? 1 : j->conn_max;
	deliver_dest_add(j->dest, j, false);
	return 0;
}

static int
take_parts(struct deliver_job *j, struct span head, struct span body)
{
	if (head.n > j->head_size - buf_len(&j->head))
		return -1;
	if (body.n > 0 && (!j->inline_body || body.n > j->body_size - buf_len(&j->body)))
		return -1;
	buf_add_span(&j->head, head);
	buf_add_span(&j->body, body);
	if (buf_len(&j->head) < j->head_size ||
	    (j->inline_body && buf_len(&j->body) < j->body_size))
		return 0;
	return job_complete(j);
}

static struct deliver_job *
job_new(const struct ipc_job *m, struct deliver_dest *dest)
{
	struct deliver_job *j = xcallocarray(1, sizeof(*j)), **p;

	j->qid = m->qid;
	j->dest = dest;
	j->head_size = m->head_size;
	j->conn_max = m->conn_max;
	j->body_size = m->body_size;
	j->body_offset = m->body_offset;
	j->inline_body = m->body_offset == UINT64_MAX;
	j->fd = -1;
	j->dsn_relayed = true;
	p = slot(j->qid);
	j->hash_next = *p;
	*p = j;
	n_jobs++;
	dest->n_jobs++;
	return j;
}

int
deliver_job_on_job(struct ipc_peer *peer, struct ipc_in *in)
{
	const struct conf_transport *conf;
	struct deliver_job *j;
	struct ipc_job m;
	char title[256], name[ADDR_DOMAIN_MAX + 1];

	(void)peer;
	if (ipc_decode_job(in, &m) == -1 || str_copy_span(name, sizeof(name), m.dest) == -1 ||
	    str_copy_span(title, sizeof(title), m.transport) == -1)
		return -1;
	if (m.body_offset == UINT64_MAX ? m.body_size > DELIVER_INLINE_MAX || in->fd != -1
					: in->fd == -1 || m.body_offset > INT64_MAX ||
					      m.body_size > INT64_MAX - m.body_offset)
		return -1;
	if (m.head_size == 0 || m.head_size > DELIVER_HEAD_MAX || n_jobs >= DELIVER_JOBS_MAX)
		return -1;
	j = *slot(m.qid);
	if (j != NULL && j->state == DELIVER_JOB_REPORTED) {
		job_free(j); /* its acknowledgement was taken for granted */
		j = NULL;
	}
	if (j != NULL)
		return -1;
	conf = deliver_transport(title);
	j = job_new(&m, deliver_dest_get(conf, name));
	j->fd = in->fd;
	in->fd = -1;
	return take_parts(j, m.head, m.body);
}

int
deliver_job_on_more(struct ipc_peer *peer, struct ipc_in *in)
{
	struct ipc_job_more m;
	struct deliver_job *j;

	(void)peer;
	if (ipc_decode_job_more(in, &m) == -1)
		return -1;
	j = *slot(m.qid);
	if (j == NULL || j->state != DELIVER_JOB_RECEIVING)
		return -1;
	return take_parts(j, m.head, m.body);
}

int
deliver_job_on_cancel(struct ipc_peer *peer, struct ipc_in *in)
{
	struct ipc_job_cancel m;
	struct deliver_job *j;

	(void)peer;
	if (ipc_decode_job_cancel(in, &m) == -1)
		return -1;
	j = *slot(m.qid);
	if (j != NULL && j->state == DELIVER_JOB_WAITING)
		deliver_job_give_back(j);
	return 0;
}

int
deliver_job_on_ack(struct ipc_peer *peer, struct ipc_in *in)
{
	struct deliver_conn *c;
	struct ipc_job_ack m;
	struct deliver_job *j;

	(void)peer;
	if (ipc_decode_job_ack(in, &m) == -1)
		return -1;
	j = *slot(m.qid);
	if (j == NULL || j->state != DELIVER_JOB_REPORTED)
		return 0;
	c = j->conn;
	job_free(j);
	if (c != NULL && c->idle && c->unacked == DELIVER_UNACKED_MAX - 1)
		deliver_dest_kick(c->dest);
	deliver_check_done();
	return 0;
}
