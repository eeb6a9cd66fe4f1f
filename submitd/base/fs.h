/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_FS_H
#define SUBMITD_BASE_FS_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>

/*
 * Every file operation of the spool goes through here, so that the crash tests
 * can let call N fail or end the process. Results and errno are those of the
 * system call; short writes and EINTR are handled inside, a short write at a full
 * disk is -1 with ENOSPC.
 *
 * In builds with -DSUBMITD_FAULTS the environment variable SUBMITD_FS_FAULT says
 * what happens at the N-th call of this process (counted over all functions and
 * SQLite's own calls): "die:N" (SIGKILL before it), "after:N" (SIGKILL after it),
 * "fail:N:ENOSPC", "fail:N:EIO" (that call and, for EIO on a sync, all later syncs),
 * "full:N:COUNT" (from there on so many writes find no room), "sync:PATH" (each sync fails
 * with EIO while that file is there).
 * SUBMITD_FS_FAULT_ROLE limits it to one role.
 */
int fs_open(const char *path, int flags, mode_t mode);
int fs_openat(int dirfd, const char *name, int flags, mode_t mode);
int fs_close(int fd);
int fs_pwritev(
    int fd, struct iovec *iov, int n, off_t off);   /* 0 when all was written; changes iov */
int fs_pwrite(int fd, const void *, size_t, off_t); /* 0 when all was written */
ssize_t fs_pread(int fd, void *, size_t, off_t);    /* reads until n or end of file */
int fs_fdatasync(int fd);
int fs_fsync(int fd);
int fs_unlinkat(int dirfd, const char *name);
int fs_renameat(int dirfd, const char *from, const char *to);
int fs_mkdirat(int dirfd, const char *name, mode_t mode);
/* Room for real: EOPNOTSUPP where the file system has none to give, nothing is written instead. */
int fs_fallocate(int fd, off_t off, off_t len);
int fs_ftruncate(int fd, off_t len);
/* Free bytes and inodes for this user on the file system of fd. */
int fs_space(int fd, uint64_t *bytes, uint64_t *inodes, uint64_t *total_bytes);
/* Whole file up to max bytes; -1 with EFBIG when larger. Appends. */
int fs_read_file(const char *path, size_t max, struct buf *out);
int fs_read_fd(int fd, size_t max, struct buf *out);
/*
 * For reading, a file that only we may hold a secret in, whoever owns its directory: ours,
 * regular, 0600 at most, under one name. -1: EPERM, it is not such a one; ELOOP, a link.
 */
int fs_open_private(const char *path);
/* Syncs the directory that the file stands in: after it was made there. */
int fs_sync_parent(const char *path);
/* A new file, whole or not there at all; one that is there stays as it is, which is no error. */
int fs_make_file(const char *path, mode_t mode, const void *, size_t n);

/* Lets SQLite's unix VFS use the same counted calls; before the first sqlite3_open. */
void fs_hook_sqlite(void);
/* Fault builds: called once per process with the role's name. */
void fs_fault_init(const char *role);
/* Fault builds: the environment variable of that name, a number, in place of bound. */
uint64_t fs_fault_bound(const char *name, uint64_t bound);

#endif
