/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_PROC_H
#define SUBMITD_PROC_H

#include "conf/conf.h"
#include "ipc/ipc.h"

#include <stdbool.h>

/* What a role may do, as flags for sandbox.c. */
#define SANDBOX_ACCEPT 1u  /* accept on inherited sockets */
#define SANDBOX_CONNECT 2u /* connect out over TCP and UDP */
#define SANDBOX_FILES 4u   /* open files, below the paths of role_paths() only */
#define SANDBOX_THREADS 8u
#define SANDBOX_UNIX_LISTEN 16u
#define SANDBOX_RESOLVE 32u /* read what the system's resolver reads, nothing else */

/*
 * One role. Its file exports one of these and proc.c has them all in one table.
 * In order, in a fresh child: prepare (still with the supervisor's rights: read
 * keys, open directories, load plug-ins), change of user, ev_init, sandbox,
 * start, then the loop. A text in err and -1 from prepare or start ends the child.
 */
struct proc_role {
	enum role role;
	const char *name;    /* also the suffix of the user: submitd-front */
	bool per_generation; /* forked anew at a reload; else it gets `reload` */
	unsigned sandbox;    /* SANDBOX_* */
	unsigned (*sandbox_more)(
	    const struct conf *); /* SANDBOX_* that this configuration adds; may be NULL */
	int (*prepare)(const struct conf *, char *err, size_t errsize); /* may be NULL */
	int (*start)(const struct conf *, char *err, size_t errsize);
	void (*go)(void); /* all peers are connected; may be NULL */
	/* Finish what runs, then proc_exit(). hard: at once. */
	void (*drain)(bool hard);
	/* The new configuration, owned by proc.c; the old one stays valid until this returns. May
	 * be NULL. */
	void (*reload)(const struct conf *);
	struct ipc_role_ops ipc; /* without the PROC_ messages: proc.c handles those, except
	                            FILE_OPENED and PROC_RELOADED, PROC_STATED */
	/* Directories below which a role with SANDBOX_FILES may work: fills paths (borrowed), gives
	 * the count. */
	size_t (*paths)(const struct conf *, const char **rw, size_t max); /* may be NULL */
};
extern const struct proc_role front_role, auth_role, queue_role, deliver_role, ledger_role,
    control_role;

/* In a role's process. */
const struct conf *proc_conf(void);
unsigned proc_instance(void);
uint64_t proc_generation(void);
void proc_exit(int code) __attribute__((noreturn)); /* flushes IPC and log */
/* Exit code of a process that wants to be started anew, with the configuration of today. */
#define PROC_EXIT_AGAIN 75
bool proc_draining(void);

/* Front: sockets that prepare() inherits, one entry per bind of each listener, in the order of the
 * configuration. */
struct proc_socket {
	int fd;
	unsigned listener; /* index into conf->listener_blocks */
};
const struct proc_socket *proc_sockets(size_t *n);

#endif
