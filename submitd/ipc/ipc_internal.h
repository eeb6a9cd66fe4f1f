/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_IPC_IPC_INTERNAL_H
#define SUBMITD_IPC_IPC_INTERNAL_H

#include "ipc/ipc.h"

/* Between ipc.c and ipc_codec.c only. */
#define IPC_FLAG_FD 1u /* a descriptor rides with the frame */

/* The buffer to encode the body into, or NULL with errno (fd is closed then). */
struct buf *ipc_frame_begin(struct ipc_peer *, enum ipc_type, int fd);
/* Fixes the length and schedules the write; -1 with EMSGSIZE takes the frame back. */
int ipc_frame_end(struct ipc_peer *);
bool ipc_type_is_secret(enum ipc_type);

#endif
