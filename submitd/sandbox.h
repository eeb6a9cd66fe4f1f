/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_SANDBOX_H
#define SUBMITD_SANDBOX_H

#include "proc.h"

#include <sys/types.h>

/*
 * Takes rights away from the calling process, in this order: user and capabilities,
 * then (sandbox_lock) Landlock and seccomp. What the kernel lacks is said once in
 * the log and left out. -1 with a text: the process must not go on.
 */

/* Who a role runs as. found false: run by no root, or the user does not exist. */
struct sandbox_user {
	bool found;
	uid_t uid;
	gid_t gid;
	char name[64];
};
void sandbox_find_user(const struct conf *, const char *role, struct sandbox_user *);

/* Changes to that user (when found), drops all capabilities but keep (-1: none), sets no_new_privs.
 */
int sandbox_drop(const struct sandbox_user *, int keep_capability, char *err, size_t errsize);
/* flags: SANDBOX_*; rw: directories in which files may be opened and made. */
int sandbox_lock(unsigned flags, const char *const *rw, size_t n_rw, char *err, size_t errsize);
/* For the process that checks a configuration: reads files, nothing else. */
int sandbox_lock_reader(char *err, size_t errsize);
/* One line that says which parts this kernel has. */
void sandbox_report(void);

#endif
