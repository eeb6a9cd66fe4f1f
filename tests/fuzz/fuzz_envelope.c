/* SPDX-License-Identifier: ISC */
/* Records of messages, jobs and statuses: any bytes are refused, or read to what encodes stably. */
#include "base/str.h"
#include "mail/job.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check_same(const struct buf *a, const struct buf *b)
{
	if (buf_len(a) != buf_len(b) || memcmp(buf_data(a), buf_data(b), buf_len(a)) != 0)
		abort();
}

static void
check_message(struct span s)
{
	struct message *m = message_decode(s), *again;
	struct buf a = BUF_INIT, b = BUF_INIT;

	if (m == NULL)
		return;
	message_encode(&a, m);
	again = message_decode(buf_span(&a));
	if (again == NULL)
		abort();
	message_encode(&b, again);
	check_same(&a, &b);
	message_free(m);
	message_free(again);
	buf_clear(&a);
	buf_clear(&b);
}

static void
check_job(struct span s)
{
	struct buf a = BUF_INIT, b = BUF_INIT;
	struct job j, again;

	if (job_decode(s, &j) == -1)
		return;
	job_encode(&a, &j);
	if (job_decode(buf_span(&a), &again) == -1)
		abort();
	job_encode(&b, &again);
	check_same(&a, &b);
	message_free(j.msg);
	message_free(again.msg);
	buf_clear(&a);
	buf_clear(&b);
}

static void
check_status(struct span s)
{
	struct buf a = BUF_INIT, b = BUF_INIT;
	struct status st = {0}, again = {0};
	char esc[STATUS_ESC_TEXT];
	struct rd r;

	rd_init(&r, s.p, s.n);
	if (status_decode(&r, &st) == -1)
		return;
	status_esc(&st, esc);
	status_encode(&a, &st);
	rd_init(&r, buf_data(&a), buf_len(&a));
	if (status_decode(&r, &again) == -1 || !rd_done(&r))
		abort();
	status_encode(&b, &again);
	check_same(&a, &b);
	if (st.text != NULL && (str_has_control(span_of(st.text)) || !utf8_valid(span_of(st.text))))
		abort();
	status_clear(&st);
	status_clear(&again);
	buf_clear(&a);
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span s = {(const char *)data, size};

	check_message(s);
	check_job(s);
	check_status(s);
	return 0;
}
