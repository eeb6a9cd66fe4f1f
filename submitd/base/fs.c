/* SPDX-License-Identifier: ISC */
/*
 * The file operations of the spool. In builds for the crash tests each call is
 * counted and can be told to fail or to end the process; SQLite's own calls are
 * led through the same counter. Runs in queue, ledger, auth and at start-up.
 */
#include "base/fs.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <sqlite3.h>

enum call { CALL_OTHER, CALL_WRITE, CALL_SYNC };

#ifdef SUBMITD_FAULTS
static struct {
	enum { FAULT_NONE, FAULT_DIE, FAULT_AFTER, FAULT_FAIL, FAULT_FULL } kind;
	unsigned long at;
	long count; /* of writes that are still to fail */
	int error;
	bool sticky_sync; /* a failed sync stays failed */
	const char *sync_path;
} fault;
static unsigned long fault_calls;

void
fs_fault_init(const char *role)
{
	const char *spec = getenv("SUBMITD_FS_FAULT");
	const char *only = getenv("SUBMITD_FS_FAULT_ROLE");

	__atomic_store_n(&fault_calls, 0, __ATOMIC_RELAXED);
	memset(&fault, 0, sizeof(fault));
	if (spec == NULL || (only != NULL && strcmp(only, role) != 0))
		return;
	char *end = NULL;
	if (strncmp(spec, "die:", 4) == 0) {
		fault.kind = FAULT_DIE;
		fault.at = strtoul(spec + 4, &end, 10);
	} else if (strncmp(spec, "after:", 6) == 0) {
		fault.kind = FAULT_AFTER;
		fault.at = strtoul(spec + 6, &end, 10);
	} else if (strncmp(spec, "sync:", 5) == 0) {
		fault.sync_path = spec + 5;
	} else if (strncmp(spec, "fail:", 5) == 0) {
		fault.kind = FAULT_FAIL;
		fault.at = strtoul(spec + 5, &end, 10);
		fault.error = end != NULL && strcmp(end, ":EIO") == 0 ? EIO : ENOSPC;
	} else if (strncmp(spec, "full:", 5) == 0) {
		fault.kind = FAULT_FULL;
		fault.at = strtoul(spec + 5, &end, 10);
		fault.count = end != NULL && *end == ':' ? strtol(end + 1, NULL, 10) : 0;
	}
}

/* True when this call must fail with errno set. */
static bool
fault_before(enum call call)
{
	bool sync = call == CALL_SYNC;
	unsigned long n;
	struct stat st;

	if (sync && fault.sync_path != NULL && stat(fault.sync_path, &st) == 0) {
		errno = EIO;
		return true;
	}
	if (fault.kind == FAULT_NONE)
		return false;
	n = __atomic_add_fetch(&fault_calls, 1, __ATOMIC_RELAXED);
	if (fault.kind == FAULT_DIE && n == fault.at)
		raise(SIGKILL);
	if (fault.kind == FAULT_FAIL && (n == fault.at || (sync && fault.sticky_sync))) {
		if (sync && fault.error == EIO)
			fault.sticky_sync = true;
		errno = fault.error;
		return true;
	}
	if (fault.kind == FAULT_FULL && n >= fault.at && call == CALL_WRITE &&
	    __atomic_fetch_sub(&fault.count, 1, __ATOMIC_RELAXED) > 0) {
		errno = ENOSPC;
		return true;
	}
	return false;
}

static void
fault_after(void)
{
	if (fault.kind == FAULT_AFTER &&
	    __atomic_load_n(&fault_calls, __ATOMIC_RELAXED) == fault.at)
		raise(SIGKILL);
}

uint64_t
fs_fault_bound(const char *name, uint64_t bound)
{
	const char *text = getenv(name);

	return text == NULL ? bound : strtoull(text, NULL, 10);
}

static bool
sync_is_off(void)
{
	const char *mode = getenv("SUBMITD_TEST_SYNC");

	return mode != NULL && strcmp(mode, "off") == 0;
}
#else
void
fs_fault_init(const char *role)
{
	(void)role;
}
uint64_t
fs_fault_bound(const char *name, uint64_t bound)
{
	(void)name;
	return bound;
}
#define fault_before(call) ((void)(call), false)
#define fault_after() ((void)0)
#define sync_is_off() false
#endif

int
fs_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	if (fault_before(CALL_OTHER))
		return -1;
	int fd = openat(dirfd, name, flags | O_CLOEXEC, mode);
	fault_after();
	return fd;
}

int
fs_open(const char *path, int flags, mode_t mode)
{
	return fs_openat(AT_FDCWD, path, flags, mode);
}

int
fs_close(int fd)
{
	return close(fd);
}

/* Drops what was written from the front of the vector. */
static void
iov_advance(struct iovec **iov, int *n, size_t done)
{
	while (*n > 0 && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		(*iov)++;
		(*n)--;
	}
	if (*n > 0) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
}

int
fs_pwritev(int fd, struct iovec *iov, int n, off_t off)
{
	if (fault_before(CALL_WRITE))
		return -1;
	while (n > 0) {
		ssize_t done = pwritev(fd, iov, n < IOV_MAX ? n : IOV_MAX, off);
		if (done == -1) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		if (done == 0) {
			errno = ENOSPC;
			return -1;
		}
		off += done;
		iov_advance(&iov, &n, (size_t)done);
	}
	fault_after();
	return 0;
}

int
fs_pwrite(int fd, const void *p, size_t n, off_t off)
{
	union {
		const void *in;
		void *out;
	} u = {.in = p}; /* iovec has no const form */
	struct iovec iov = {u.out, n};

	return n == 0 ? 0 : fs_pwritev(fd, &iov, 1, off);
}

ssize_t
fs_pread(int fd, void *p, size_t n, off_t off)
{
	size_t got = 0;

	if (fault_before(CALL_OTHER))
		return -1;
	while (got < n) {
		ssize_t r = pread(fd, (char *)p + got, n - got, off + (off_t)got);
		if (r == -1) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		if (r == 0)
			break;
		got += (size_t)r;
	}
	return (ssize_t)got;
}

int
fs_fdatasync(int fd)
{
	if (fault_before(CALL_SYNC))
		return -1;
	int rc = sync_is_off() ? 0 : fdatasync(fd);
	fault_after();
	return rc;
}

int
fs_fsync(int fd)
{
	if (fault_before(CALL_SYNC))
		return -1;
	int rc = sync_is_off() ? 0 : fsync(fd);
	fault_after();
	return rc;
}

int
fs_unlinkat(int dirfd, const char *name)
{
	if (fault_before(CALL_OTHER))
		return -1;
	int rc = unlinkat(dirfd, name, 0);
	fault_after();
	return rc;
}

int
fs_renameat(int dirfd, const char *from, const char *to)
{
	if (fault_before(CALL_OTHER))
		return -1;
	int rc = renameat(dirfd, from, dirfd, to);
	fault_after();
	return rc;
}

int
fs_mkdirat(int dirfd, const char *name, mode_t mode)
{
	if (fault_before(CALL_OTHER))
		return -1;
	int rc = mkdirat(dirfd, name, mode);
	fault_after();
	return rc;
}

int
fs_fallocate(int fd, off_t off, off_t len)
{
	if (fault_before(CALL_WRITE))
		return -1;
	/* what posix_fallocate() does instead where this fails may overwrite what others write */
	int rc;
	do
		rc = fallocate(fd, 0, off, len);
	while (rc == -1 && errno == EINTR);
	fault_after();
	return rc;
}

int
fs_ftruncate(int fd, off_t len)
{
	if (fault_before(CALL_OTHER))
		return -1;
	int rc = ftruncate(fd, len);
	fault_after();
	return rc;
}

int
fs_space(int fd, uint64_t *bytes, uint64_t *inodes, uint64_t *total_bytes)
{
	struct statvfs v;

	if (fstatvfs(fd, &v) == -1)
		return -1;
	*bytes = (uint64_t)v.f_bavail * v.f_frsize;
	/* file systems without a fixed number of inodes (btrfs) say 0 of 0 */
	*inodes = v.f_files == 0 ? UINT64_MAX : v.f_favail;
	*total_bytes = (uint64_t)v.f_blocks * v.f_frsize;
	return 0;
}

int
fs_read_fd(int fd, size_t max, struct buf *out)
{
	size_t total = 0;

	for (;;) {
		uint8_t *at = buf_reserve(out, 16384);
		ssize_t r = read(fd, at, 16384);
		if (r == -1) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		if (r == 0)
			return 0;
		total += (size_t)r;
		if (total > max) {
			errno = EFBIG;
			return -1;
		}
		buf_commit(out, (size_t)r);
	}
}

int
fs_read_file(const char *path, size_t max, struct buf *out)
{
	int saved;
	/* O_NONBLOCK: opening a FIFO must not hang the start */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd == -1)
		return -1;
	int rc = fs_read_fd(fd, max, out);
	saved = errno;
	close(fd);
	errno = saved;
	return rc;
}

#ifdef SUBMITD_FAULTS
static ssize_t
sqlite_pwrite(int fd, const void *p, size_t n, off_t off)
{
	return fs_pwrite(fd, p, n, off) == 0 ? (ssize_t)n : -1;
}

static int
sqlite_fsync(int fd)
{
	return fs_fsync(fd);
}

static int
sqlite_unlink(const char *path)
{
	return fs_unlinkat(AT_FDCWD, path);
}

void
fs_hook_sqlite(void)
{
	static const struct {
		const char *name;
		sqlite3_syscall_ptr fn;
	} hooks[] = {
	    {"pwrite", (sqlite3_syscall_ptr)sqlite_pwrite},
	    {"pwrite64", (sqlite3_syscall_ptr)sqlite_pwrite},
	    {"fsync", (sqlite3_syscall_ptr)sqlite_fsync},
	    {"unlink", (sqlite3_syscall_ptr)sqlite_unlink},
	    {"ftruncate", (sqlite3_syscall_ptr)fs_ftruncate},
	};
	sqlite3_vfs *vfs = sqlite3_vfs_find("unix");

	for (size_t i = 0; vfs != NULL && i < sizeof(hooks) / sizeof(hooks[0]); i++)
		vfs->xSetSystemCall(vfs, hooks[i].name, hooks[i].fn);
}
#else
void
fs_hook_sqlite(void)
{
}
#endif

int
fs_sync_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash == NULL   ? xstrdup(".")
	            : slash == path ? xstrdup("/")
	                            : xstrndup(path, (size_t)(slash - path));
	int fd = fs_open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), rc = -1, error;

	if (fd != -1) {
		rc = fs_fsync(fd);
		error = errno;
		fs_close(fd);
		errno = error;
	}
	free(dir);
	return rc;
}

int
fs_open_private(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
	struct stat st;

	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	    (st.st_mode & 077) == 0 && st.st_nlink == 1)
		return fd;
	close(fd);
	errno = EPERM;
	return -1;
}

/*
 * tmp becomes path, unless there is one. In one step: a maker that dies leaves no second name
 * behind, which fs_open_private() would refuse for ever. 0, also when somebody else was first.
 */
static int
make_appear(const char *tmp, const char *path)
{
	int rc = renameat2(AT_FDCWD, tmp, AT_FDCWD, path, RENAME_NOREPLACE);

	/* file systems that do not know the flag (NFS) */
	if (rc == -1 && (errno == EINVAL || errno == ENOSYS))
		rc = link(tmp, path);
	return rc == 0 ? fs_sync_parent(path) : errno == EEXIST ? 0 : -1;
}

int
fs_make_file(const char *path, mode_t mode, const void *data, size_t n)
{
	char *tmp = xasprintf("%s.new.%d", path, (int)getpid());
	int fd, rc = -1, error;

	(void)unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd != -1) {
		if (fchmod(fd, mode) == 0 && write(fd, data, n) == (ssize_t)n && fsync(fd) == 0)
			rc = make_appear(tmp, path);
		error = errno;
		close(fd);
		(void)unlink(tmp);
		errno = error;
	}
	free(tmp);
	return rc;
}
