/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_PROC_INTERNAL_H
#define SUBMITD_PROC_INTERNAL_H

#include "base/log.h"
#include "proc.h"

/* Between the supervisor and proc.c: what a fresh child is. */
struct proc_child {
	enum role role;
	unsigned instance;
	uint64_t generation;
	struct conf *conf; /* the child's copy of memory: its own from here on */
	int fd;            /* socket to the supervisor */
	const struct proc_socket *sockets;
	size_t n_sockets;
};
void proc_child_main(const struct proc_child *) __attribute__((noreturn));
const struct proc_role *proc_role_find(enum role);
void proc_log_options(const struct conf *, struct log_options *);

#endif
