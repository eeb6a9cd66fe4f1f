/* SPDX-License-Identifier: ISC */
/*
 * Takes rights away: user, capabilities, Landlock (kernel 5.13 and later) and a
 * seccomp allow list. Runs in every child before it touches anything from outside.
 * Builds for sanitizers leave Landlock and seccomp out (SUBMITD_NO_SANDBOX); no
 * configuration can.
 */
#include "sandbox.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/landlock.h>
#include <seccomp.h>

void
sandbox_find_user(const struct conf *c, const char *role, struct sandbox_user *u)
{
	memset(u, 0, sizeof(*u));
	if (str_printf(u->name, sizeof(u->name), "%s-%s", c->server->user_prefix, role) == -1 ||
	    geteuid() != 0)
		return;
	const struct passwd *pw = getpwnam(u->name);
	if (pw == NULL)
		return;
	u->found = true;
	u->uid = pw->pw_uid;
	u->gid = pw->pw_gid;
}

int
sandbox_drop(const struct sandbox_user *u, int keep_capability, char *err, size_t errsize)
{
	const struct rlimit none = {0, 0};

	(void)setrlimit(RLIMIT_CORE, &none);
	if (geteuid() == 0) {
		capng_clear(CAPNG_SELECT_BOTH);
		if (keep_capability >= 0)
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED,
			    (unsigned)keep_capability);
		int rc = u->found ? capng_change_id((int)u->uid, (int)u->gid,
					CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING)
		                  : capng_apply(CAPNG_SELECT_BOTH);
		if (rc < 0) {
			snprintf(err, errsize, "cannot become user %s: %s (%d)",
			    u->found ? u->name : "without capabilities", strerror(errno), rc);
			return -1;
		}
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1) {
		snprintf(err, errsize, "no_new_privs: %s", strerror(errno));
		return -1;
	}
#ifndef SUBMITD_NO_SANDBOX
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
	return 0;
}

/* ---- Landlock -------------------------------------------------------------------------------- */

/* Debian 12's headers know the file system part only. */
struct ruleset_attr {
	uint64_t fs, net, scoped;
};
#define NET_BIND_TCP (1ULL << 0)
#define NET_CONNECT_TCP (1ULL << 1)
#define FS_REFER (1ULL << 13)
#define FS_TRUNCATE (1ULL << 14)
#define FS_IOCTL_DEV (1ULL << 15)
#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)

static int
landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return abi < 0 ? 0 : (int)abi;
}

static int
allow_below(int ruleset, const char *path, uint64_t rights)
{
	int fd = open(path, O_PATH | O_CLOEXEC);

	if (fd == -1)
		return -1;
	struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
	long rc = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	int saved = errno;
	close(fd);
	errno = saved;
	return rc == 0 ? 0 : -1;
}

/*
 * What getaddrinfo() reads; names that are missing are left out. glibc has "files" and "dns"
 * built in: other modules of nsswitch.conf are not loaded here.
 */
static int
allow_resolver(int ruleset, char *err, size_t errsize)
{
	static const char *const files[] = {"/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf",
	    "/etc/host.conf", "/etc/gai.conf", "/etc/services"};

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (allow_below(ruleset, files[i], LANDLOCK_ACCESS_FS_READ_FILE) == -1 &&
		    errno != ENOENT) {
			snprintf(
			    err, errsize, "Landlock rule for %s: %s", files[i], strerror(errno));
			return -1;
		}
	return 0;
}

/* rights: what is allowed below the paths. */
static int
landlock_apply(
    unsigned flags, const char *const *paths, size_t n, uint64_t rights, char *err, size_t errsize)
{
	int abi = landlock_abi();
	int rc = -1;

	if (abi == 0)
		return 0; /* sandbox_report() said so */
	struct ruleset_attr attr = {.fs = (1ULL << 13) - 1};
	if (abi >= 2)
		attr.fs |= FS_REFER;
	if (abi >= 3)
		attr.fs |= FS_TRUNCATE;
	if (abi >= 5)
		attr.fs |= FS_IOCTL_DEV;
	if (abi >= 4 && (flags & SANDBOX_CONNECT) == 0)
		attr.net = NET_BIND_TCP | NET_CONNECT_TCP;
	size_t size = abi < 4 ? 8 : abi < 6 ? 16 : 24;
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (ruleset == -1) {
		snprintf(err, errsize, "Landlock ruleset: %s", strerror(errno));
		return -1;
	}
	for (size_t i = 0; i < n; i++) {
		if (allow_below(ruleset, paths[i], rights & attr.fs) == -1) {
			snprintf(
			    err, errsize, "Landlock rule for %s: %s", paths[i], strerror(errno));
			goto out;
		}
	}
	if ((flags & SANDBOX_RESOLVE) != 0 && allow_resolver(ruleset, err, errsize) == -1)
		goto out;
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) {
		snprintf(err, errsize, "Landlock: %s", strerror(errno));
		goto out;
	}
	rc = 0;
out:
	close(ruleset);
	return rc;
}

/* ---- seccomp --------------------------------------------------------------------------------- */

#define SYSCALLS(name, ...) static const int name[] = {__VA_ARGS__}

/* What every role needs: its loop, its memory, its sockets. */
SYSCALLS(calls_base, SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(write), SCMP_SYS(writev),
    SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(lseek), SCMP_SYS(munmap),
    SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_create1), SCMP_SYS(poll),
    SCMP_SYS(ppoll), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(getsockname),
    SCMP_SYS(getpeername), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(sendto),
    SCMP_SYS(sendmsg), SCMP_SYS(shutdown), SCMP_SYS(fcntl), SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
    SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid),
    SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(futex), SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(exit),
    SCMP_SYS(exit_group), SCMP_SYS(restart_syscall), SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity), SCMP_SYS(uname), SCMP_SYS(eventfd2), SCMP_SYS(timerfd_settime),
    SCMP_SYS(pipe2), SCMP_SYS(getrusage), SCMP_SYS(sysinfo), SCMP_SYS(pwrite64), SCMP_SYS(pwritev),
    SCMP_SYS(pread64), SCMP_SYS(preadv), SCMP_SYS(dup), SCMP_SYS(membarrier), SCMP_SYS(rseq),
    SCMP_SYS(getcwd));
SYSCALLS(calls_accept, SCMP_SYS(accept4));
SYSCALLS(calls_connect, SCMP_SYS(socket), SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(sendmmsg),
    SCMP_SYS(recvmmsg), SCMP_SYS(socketpair));
SYSCALLS(calls_files, SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(access), SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(fsync),
    SCMP_SYS(fdatasync), SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(unlink),
    SCMP_SYS(unlinkat), SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2),
    SCMP_SYS(mkdirat), SCMP_SYS(mkdir), SCMP_SYS(getdents64), SCMP_SYS(fstatfs), SCMP_SYS(statfs),
    SCMP_SYS(flock), SCMP_SYS(readlink), SCMP_SYS(fchmod), SCMP_SYS(fchown), SCMP_SYS(chmod),
    SCMP_SYS(rmdir), SCMP_SYS(copy_file_range), SCMP_SYS(fadvise64), SCMP_SYS(sync_file_range));
SYSCALLS(calls_read, SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(access), SCMP_SYS(faccessat2),
    SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx));
SYSCALLS(
    calls_threads, SCMP_SYS(clone), SCMP_SYS(clone3), SCMP_SYS(set_robust_list), SCMP_SYS(prctl));
/* Asked for by libraries that take a polite no for an answer. */
SYSCALLS(calls_refused, SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(access), SCMP_SYS(faccessat2),
    SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getdents64), SCMP_SYS(stat), SCMP_SYS(statx),
    SCMP_SYS(ioctl), SCMP_SYS(prctl), SCMP_SYS(connect), SCMP_SYS(socket), SCMP_SYS(fchown),
    SCMP_SYS(fchmod));

static int
add_calls(scmp_filter_ctx ctx, uint32_t action, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int rc = seccomp_rule_add(ctx, action, calls[i], 0);
		/* EEXIST: allowed before; EDOM and such: not on this architecture */
		if (rc != 0 && rc != -EEXIST && rc != -EDOM && rc != -EINVAL)
			return rc;
	}
	return 0;
}
#define ADD(ctx, action, calls) add_calls((ctx), (action), (calls), ARRAY_LEN(calls))

/* Memory may be mapped, but never to run what was written there. */
static int
add_memory(scmp_filter_ctx ctx)
{
	static const int calls[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};

	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 1,
		    SCMP_A2(SCMP_CMP_MASKED_EQ, 4 /* PROT_EXEC */, 0));
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* abort(): signals go to the process itself, not to others of the same user. */
static int
add_abort(scmp_filter_ctx ctx)
{
	struct scmp_arg_cmp own = {
	    .arg = 0, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)getpid(), .datum_b = 0};

	return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &own);
}

static bool
is_allowed(const int *calls, size_t n, int call)
{
	for (size_t i = 0; i < n; i++)
		if (calls[i] == call)
			return true;
	return false;
}

#define IS_IN(calls, call) is_allowed((calls), ARRAY_LEN(calls), (call))

static int
seccomp_apply(unsigned flags, char *err, size_t errsize)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc = -ENOMEM;

	if (ctx == NULL)
		goto out;
	if ((rc = ADD(ctx, SCMP_ACT_ALLOW, calls_base)) != 0 || (rc = add_memory(ctx)) != 0 ||
	    (rc = add_abort(ctx)) != 0)
		goto out;
	if ((flags & (SANDBOX_ACCEPT | SANDBOX_UNIX_LISTEN)) != 0 &&
	    (rc = ADD(ctx, SCMP_ACT_ALLOW, calls_accept)) != 0)
		goto out;
	if ((flags & SANDBOX_CONNECT) != 0 && (rc = ADD(ctx, SCMP_ACT_ALLOW, calls_connect)) != 0)
		goto out;
	if ((flags & SANDBOX_FILES) != 0 && (rc = ADD(ctx, SCMP_ACT_ALLOW, calls_files)) != 0)
		goto out;
	if ((flags & SANDBOX_THREADS) != 0 && (rc = ADD(ctx, SCMP_ACT_ALLOW, calls_threads)) != 0)
		goto out;
	if ((flags & SANDBOX_RESOLVE) != 0 && (rc = ADD(ctx, SCMP_ACT_ALLOW, calls_read)) != 0)
		goto out;
	for (size_t i = 0; i < ARRAY_LEN(calls_refused); i++) {
		int call = calls_refused[i];

		if (((flags & SANDBOX_FILES) != 0 && IS_IN(calls_files, call)) ||
		    ((flags & SANDBOX_CONNECT) != 0 && IS_IN(calls_connect, call)) ||
		    ((flags & SANDBOX_RESOLVE) != 0 && IS_IN(calls_read, call)) ||
		    ((flags & SANDBOX_THREADS) != 0 && IS_IN(calls_threads, call)))
			continue;
		if ((rc = add_calls(ctx, SCMP_ACT_ERRNO(EACCES), &call, 1)) != 0)
			goto out;
	}
	rc = seccomp_load(ctx);
	/* a kernel without seccomp: sandbox_report() said so */
	if (rc == -ENOSYS || rc == -EINVAL)
		rc = 0;
out:
	seccomp_release(ctx);
	if (rc != 0)
		snprintf(err, errsize, "seccomp: %s", strerror(-rc));
	return rc == 0 ? 0 : -1;
}

int
sandbox_lock(unsigned flags, const char *const *rw, size_t n_rw, char *err, size_t errsize)
{
#ifdef SUBMITD_NO_SANDBOX
	(void)flags, (void)rw, (void)n_rw, (void)err, (void)errsize;
	(void)landlock_apply;
	(void)seccomp_apply;
	return 0;
#else
	if (landlock_apply(flags, rw, n_rw, ~LANDLOCK_ACCESS_FS_EXECUTE, err, errsize) == -1)
		return -1;
	return seccomp_apply(flags, err, errsize);
#endif
}

int
sandbox_lock_reader(char *err, size_t errsize)
{
#ifdef SUBMITD_NO_SANDBOX
	(void)err, (void)errsize;
	return 0;
#else
	static const char *const root[] = {"/"};

	if (landlock_apply(0, root, 1, FS_READ, err, errsize) == -1)
		return -1;
	return seccomp_apply(SANDBOX_FILES, err, errsize);
#endif
}

void
sandbox_report(void)
{
	struct log_line l;
	char text[128];

#ifdef SUBMITD_NO_SANDBOX
	(void)str_copy(text, sizeof(text), "Landlock and seccomp are left out of this build");
#else
	int abi = landlock_abi();
	bool seccomp = prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
	char landlock[32] = "missing in this kernel";
	if (abi > 0)
		(void)str_printf(landlock, sizeof(landlock), "ABI %d", abi);
	(void)str_printf(text, sizeof(text), "Landlock %s, seccomp %s", landlock,
	    seccomp ? "in use" : "missing in this kernel");
#endif
	log_begin(&l, LOG_LEVEL_INFO, EV_SANDBOX);
	log_str(&l, LK_TEXT, text);
	log_end(&l);
}
