/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_NOTIFY_H
#define SUBMITD_NOTIFY_H

/* One sd_notify(3) datagram ("READY=1"); nothing happens when no NOTIFY_SOCKET is set. */
void notify_send(const char *state);

#endif
