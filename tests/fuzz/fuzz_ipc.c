/* SPDX-License-Identifier: ISC */
/*
 * Frames from a process that was taken over: the check of the frame, then the
 * decoder of its type, and of what a batch of acceptance records holds. First byte: who
 * sends to whom.
 */
#include "ipc/audit_batch.h"
#include "ipc/ipc.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static bool
same(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* What was read is written in as many octets at most, and reads the same again. */
static void
read_batch(struct span records)
{
	struct audit_batch_reader in, out;
	struct audit_batch b = {.count = 0};
	size_t before = records.n;

	audit_batch_begin(&b);
	audit_batch_read(&in, records);
	while (audit_batch_next(&in) == 0)
		audit_batch_add(&b, &in.now);
	if (buf_len(&b.records) > before)
		abort();
	audit_batch_read(&in, records);
	audit_batch_read(&out, buf_span(&b.records));
	for (uint32_t i = 0; i < b.count; i++)
		if (audit_batch_next(&in) == -1 || audit_batch_next(&out) == -1 ||
		    in.now.size != out.now.size || !same(in.now.helo, out.now.helo) ||
		    !same(in.now.message_id, out.now.message_id))
			abort();
	if (!rd_done(&out.rd))
		abort();
	buf_clear(&b.records);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 1)
		return 0;
	enum role from = (enum role)(data[0] % ROLE__MAX);
	enum role to = (enum role)(data[0] / ROLE__MAX % ROLE__MAX);
	if (ipc_frame_check(from, to, data + 1, n - 1) == -1)
		return 0;
	struct ipc_in in = {.type = (enum ipc_type)(data[5] | data[6] << 8),
	    .body = data + 1 + IPC_HEADER,
	    .len = n - 1 - IPC_HEADER,
	    .fd = -1};
	switch (in.type) {
	case IPC_NONE:
	case IPC__MAX:
		abort(); /* the check lets neither pass */
#define MSG(NAME, stem, from, to, fields)                                                          \
	case IPC_##NAME: {                                                                         \
		struct ipc_##stem m;                                                               \
		struct buf again = BUF_INIT;                                                       \
		if (ipc_decode_##stem(&in, &m) == 0) {                                             \
			ipc_encode_##stem(&again, &m);                                             \
			if (buf_len(&again) != in.len)                                             \
				abort();                                                           \
		}                                                                                  \
		buf_clear(&again);                                                                 \
		break;                                                                             \
	}
#include "ipc/ipc_msg.def"
#undef MSG
	}
	struct ipc_audit_batch batch;

	if (ipc_decode_audit_batch(&in, &batch) == 0)
		read_batch(batch.records);
	return 0;
}
