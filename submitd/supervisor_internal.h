/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_SUPERVISOR_INTERNAL_H
#define SUBMITD_SUPERVISOR_INTERNAL_H

#include "base/ev.h"
#include "base/list.h"
#include "proc_internal.h"
#include "supervisor_sockets.h"

/* Between supervisor.c, supervisor_child.c and supervisor_requests.c. */
struct child {
	TAILQ_ENTRY(child) entry;
	enum role role;
	unsigned instance;
	uint64_t generation; /* 0: lives over reloads */
	pid_t pid;           /* -1: waits for its restart */
	struct ipc_peer *peer;
	bool ready, gone_live, draining, hard;
	unsigned restarts;
	int64_t started, delay_ms;
	struct ev_timer restart, kill;
};
#define RESTART_MAX_MS 30000 /* delay before the next try of a role that keeps dying */
TAILQ_HEAD(children, child);
extern struct children children;

/* supervisor_child.c */
void child_new(enum role, unsigned instance, uint64_t generation); /* and starts it */
void child_start(struct child *);
void child_restart(void *child); /* for its timer */
void child_drain(struct child *, bool hard);
void child_go(struct child *);
void child_log(const struct child *, enum log_level, const char *state, int status);
int child_on_lost(struct ipc_peer *, struct ipc_in *);
void child_forget_pairs(pid_t); /* it ended */
/* How many of that role and generation (0: any) there are. */
unsigned child_count(enum role, uint64_t generation);

const struct conf *supervisor_conf(void);
struct conf *supervisor_own_conf(void); /* for a child, whose copy it is */
const struct listen_set *supervisor_listens(void);
const char *supervisor_conf_file(void);
/* Puts a checked configuration in force: new generation, old one drains. Takes both; -1 with err:
 * nothing changed. */
int supervisor_switch(struct conf *, struct buf *raw, char *err, size_t errsize);
void supervisor_kill_all(void);
void supervisor_kill_later(int64_t ms);

/* supervisor_requests.c */
/* Loads and switches; who: for the log; control is told when not NULL. */
void supervisor_reload(const char *who, struct ipc_peer *control, uint64_t request);
/* The new generation runs (or never will): answers who asked. */
void supervisor_reload_done(bool ok, const char *why);
int supervisor_on_reload(struct ipc_peer *, struct ipc_in *);
int supervisor_on_state(struct ipc_peer *, struct ipc_in *);
int supervisor_on_file_open(struct ipc_peer *, struct ipc_in *);
/* Newest change of all certificate and key files, as one number. */
int64_t supervisor_cert_stamp(const struct conf *);
/* Makes the spool where it is missing and gives it to the user of its role. */
void supervisor_own_files(const struct conf *);
/* supervisor_audit.c: records of what only the supervisor knows, and the file for the ledger */
void supervisor_audit_config(const char *who, bool ok, size_t errors);
void supervisor_audit_died(enum role, int status);
void supervisor_audit_open(struct ipc_peer *ledger, struct span path);
/* The ledger of the new configuration goes on where that of the old one ended. */
void supervisor_audit_switch(const struct conf *before, struct conf *after);

/* Root: every role's user must exist; in the foreground it is only said. */
bool supervisor_users_exist(const struct conf *, bool foreground);

#endif
