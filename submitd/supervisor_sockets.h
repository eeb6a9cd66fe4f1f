/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_SUPERVISOR_SOCKETS_H
#define SUBMITD_SUPERVISOR_SOCKETS_H

#include "conf/conf.h"
#include "proc.h"

/*
 * The listening sockets of a configuration. An address that is open already, from
 * the configuration before or from systemd, is the same socket again: its backlog
 * is not lost. -1 with a text when one cannot be opened; nothing is changed then.
 */
struct listen_set {
	struct proc_socket *v; /* one per bind of each listener, in order */
	size_t n;
};
int listen_set_open(struct listen_set *, const struct conf *, char *err, size_t errsize);
/* Closes all sockets that this set does not use, and forgets the last one. */
void listen_set_commit(const struct listen_set *);
/* After a failed reload: closes what only this set uses. */
void listen_set_drop(struct listen_set *, const struct listen_set *keep);
/* Takes over LISTEN_FDS; once at start. */
void listen_adopt_systemd(void);
void listen_set_log(const struct listen_set *, const struct conf *);

#endif
