/* SPDX-License-Identifier: ISC */
/*
 * Frames from a process that was taken over: the check of the frame, then the
 * decoder of its type. First byte: who sends to whom.
 */
#include "ipc/ipc.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

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
	return 0;
}
