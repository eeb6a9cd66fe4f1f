/* SPDX-License-Identifier: ISC */
/*
 * One message for one destination, as the queue hands it to a deliver process.
 * Pure; versioned only against a mix of generations during a reload. The
 * decoder runs in deliver and must survive any bytes.
 */
#include "mail/job.h"
#include "base/str.h"

#include <string.h>

#define JOB_RECORD_VERSION 1u
/* id, address, notify, ORCPT */
#define JOB_RCPT_MIN (8u + 1u + 2u * 4u + 1u + 4u)

void
job_encode(struct buf *b, const struct job *j)
{
	const struct message *m = j->msg;

	buf_put_u8(b, JOB_RECORD_VERSION);
	buf_put_u64(b, j->qid);
	buf_put_u32(b, j->attempt);
	buf_add(b, m->mid.b, sizeof(m->mid.b));
	addr_encode(b, &m->sender);
	buf_put_u32(b, m->flags);
	buf_put_u8(b, (uint8_t)m->ret);
	buf_put_cstr(b, m->envid);
	buf_put_u64(b, m->size);
	buf_put_u32(b, (uint32_t)m->n_rcpts);
	for (size_t i = 0; i < m->n_rcpts; i++) {
		const struct rcpt *r = &m->rcpts[i];

		buf_put_u64(b, r->id);
		addr_encode(b, &r->addr);
		buf_put_u8(b, (uint8_t)r->notify);
		buf_put_cstr(b, r->orcpt);
	}
}

static int
decode_rcpts(struct rd *r, struct message *m)
{
	uint32_t count = rd_u32(r);

	if (r->bad || count == 0 || count > MESSAGE_MAX_RCPTS || count > r->n / JOB_RCPT_MIN)
		return -1;
	m->rcpts = xcallocarray(count, sizeof(*m->rcpts));
	m->cap_rcpts = count;
	for (uint32_t i = 0; i < count; i++) {
		struct rcpt *rcpt = message_add_rcpt(m);

		rcpt->id = rd_u64(r);
		if (addr_decode(r, &rcpt->addr) == -1)
			return -1;
		rcpt->notify = rd_u8(r);
		if (message_rd_text(r, &rcpt->orcpt) == -1 ||
		    rcpt->notify > (NOTIFY_NEVER | NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY))
			return -1;
	}
	return 0;
}

int
job_decode(struct span s, struct job *out)
{
	struct message *m = message_new();
	struct job j = {.msg = m};
	struct rd r;
	uint8_t ret;

	out->msg = NULL;
	rd_init(&r, s.p, s.n);
	if (rd_u8(&r) != JOB_RECORD_VERSION)
		goto bad;
	j.qid = rd_u64(&r);
	j.attempt = rd_u32(&r);
	if (message_rd_uuid(&r, &m->mid) == -1 || addr_decode(&r, &m->sender) == -1)
		goto bad;
	m->flags = rd_u32(&r);
	ret = rd_u8(&r);
	if (ret >= RET__MAX || message_rd_text(&r, &m->envid) == -1)
		goto bad;
	m->ret = (enum dsn_ret)ret;
	m->size = rd_u64(&r);
	if (decode_rcpts(&r, m) == -1 || !rd_done(&r))
		goto bad;
	*out = j;
	return 0;
bad:
	message_free(m);
	return -1;
}
