/* SPDX-License-Identifier: ISC */
/*
 * The child that reads a configuration. The supervisor is root and parses nothing
 * that a person wrote: libconfuse runs here, as nobody, with the right to read
 * files and no other, and its result comes back over a pipe as plain records.
 */
#include "conf_load.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "conf_people.h"
#include "conf_reach.h"
#include "policy/policy.h"
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/capability.h>

#define ANSWER_MAX (256u << 20)

static void
put_findings(struct buf *out, const struct conf_findings *f)
{
	buf_put_u32(out, (uint32_t)f->n);
	for (size_t i = 0; i < f->n; i++) {
		buf_put_u8(out, f->v[i].error);
		buf_put_cstr(out, f->v[i].where.file);
		buf_put_u32(out, f->v[i].where.line);
		buf_put_cstr(out, f->v[i].text);
	}
}

static int
get_findings(struct rd *r, struct conf_findings *f)
{
	uint32_t n = rd_u32(r);

	for (uint32_t i = 0; i < n && !r->bad; i++) {
		bool error = rd_u8(r) != 0;
		char *file = span_dup(rd_bytes(r));
		unsigned line = rd_u32(r);
		char *text = span_dup(rd_bytes(r));
		if (!r->bad)
			conf_findings_add(f, error, (struct conf_where){file, line}, "%s", text);
		free(file);
		free(text);
	}
	return r->bad ? -1 : 0;
}

static void
write_all(int fd, const struct buf *b)
{
	size_t at = 0;

	while (at < buf_len(b)) {
		ssize_t n = write(fd, buf_data(b) + at, buf_len(b) - at);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(1);
		at += (size_t)n;
	}
}

/*
 * In a child: what the supervisor holds, its ways to the other processes above all, is not for
 * it, and root's only right is to read files. -1 with a text.
 */
static int
drop_rights(int out_fd, char *err, size_t errsize)
{
	struct sandbox_user user = {0};

	if (out_fd > STDERR_FILENO + 1)
		(void)close_range(STDERR_FILENO + 1, (unsigned)out_fd - 1, 0);
	(void)close_range((unsigned)out_fd + 1, ~0U, 0);
	const struct passwd *pw = geteuid() == 0 ? getpwnam("nobody") : NULL;
	if (pw != NULL) {
		user = (struct sandbox_user){.found = true, .uid = pw->pw_uid, .gid = pw->pw_gid};
		(void)str_copy(user.name, sizeof(user.name), "nobody");
	}
	return sandbox_drop(&user, CAP_DAC_READ_SEARCH, err, errsize);
}

static void __attribute__((noreturn)) check_in_child(const char *path, int out_fd)
{
	struct conf_findings f = {0};
	struct buf raw = BUF_INIT, answer = BUF_INIT;
	char err[200];

	if (drop_rights(out_fd, err, sizeof(err)) == -1 ||
	    sandbox_lock_reader(err, sizeof(err)) == -1) {
		conf_findings_add(&f, true, (struct conf_where){path, 0}, "%s", err);
	} else if (conf_parse_file(path, &raw, &f) == 0) {
		struct conf *c = conf_build(buf_span(&raw), &f);
		if (c != NULL) {
			conf_check_files(c, &f);
			policy_prove(c, &f);
		}
	}
	conf_findings_sort(&f);
	put_findings(&answer, &f);
	buf_put_bytes(&answer, buf_data(&raw), buf_len(&raw));
	write_all(out_fd, &answer);
	_exit(0);
}

/* What the child answers until it closes the pipe; -1 with errno at the deadline. */
static int
read_answer(int fd, int wait_ms, struct buf *answer)
{
	struct timespec start, now;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (;;) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		int64_t left = wait_ms - ((int64_t)(now.tv_sec - start.tv_sec) * 1000 +
					     (now.tv_nsec - start.tv_nsec) / 1000000);
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int rc = left <= 0 ? 0 : poll(&p, 1, (int)left);
		if (rc == -1 && errno == EINTR)
			continue;
		if (rc <= 0) {
			errno = rc == 0 ? ETIMEDOUT : errno;
			return -1;
		}
		ssize_t n = read(fd, buf_reserve(answer, 65536), 65536);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return (int)n;
		buf_commit(answer, (size_t)n);
		if (buf_len(answer) > ANSWER_MAX) {
			errno = EFBIG;
			return -1;
		}
	}
}

/*
 * Forks; 0 in the child, with where it answers. In the parent 1 with the answer, or -1 with why.
 * The child is gone when this returns.
 */
static int
ask_child(int wait_ms, int *child_fd, struct buf *answer, char *why, size_t size)
{
	int fds[2], status = 0, rc, saved;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1) {
		(void)str_printf(why, size, "pipe: %s", strerror(errno));
		return -1;
	}
	log_flush();
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		*child_fd = fds[1];
		return 0;
	}
	close(fds[1]);
	if (pid == -1) {
		(void)str_printf(why, size, "fork: %s", strerror(errno));
		close(fds[0]);
		return -1;
	}
	rc = read_answer(fds[0], wait_ms, answer);
	saved = errno;
	close(fds[0]);
	if (rc == -1)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	if (rc == -1)
		(void)str_printf(
		    why, size, "the process that checks it did not answer: %s", strerror(saved));
	else
		(void)str_printf(why, size, "the process that checks it ended (%s %d)",
		    WIFSIGNALED(status) ? "signal" : "status",
		    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return rc == -1 ? -1 : 1;
}

struct conf *
conf_load(const char *path, struct buf *raw, struct conf_findings *f)
{
	struct conf_where where = {path, 0};
	struct buf answer = BUF_INIT;
	struct conf *c = NULL;
	char why[200];
	struct rd r;
	int fd, rc = ask_child(CONF_LOAD_MS, &fd, &answer, why, sizeof(why));

	if (rc == 0)
		check_in_child(path, fd);
	rd_init(&r, buf_data(&answer), buf_len(&answer));
	if (rc == -1 || get_findings(&r, f) == -1) {
		conf_findings_add(f, true, where, "%s", why);
	} else if (f->errors == 0) {
		struct span bytes = rd_bytes(&r);
		struct conf_findings again = {0}; /* the same warnings, already there */
		c = conf_build(bytes, &again);
		conf_findings_clear(&again);
		if (c == NULL)
			conf_findings_add(f, true, where, "its checked form cannot be used");
		else if (raw != NULL)
			buf_add_span(raw, bytes);
	}
	buf_clear(&answer);
	return c;
}

void
conf_probe(const char *path, const struct conf *c, struct conf_findings *f)
{
	struct conf_findings seen = {0};
	struct buf answer = BUF_INIT;
	char why[200], err[200];
	struct rd r;
	int fd, rc = ask_child(CONF_PROBE_MS, &fd, &answer, why, sizeof(why));

	if (rc == 0) {
		if (drop_rights(fd, err, sizeof(err)) == 0) {
			conf_people(c, &seen);
			conf_reach(c, &seen);
		} else {
			conf_findings_add(&seen, false, (struct conf_where){path, 0}, "%s", err);
		}
		put_findings(&answer, &seen);
		write_all(fd, &answer);
		_exit(0);
	}
	rd_init(&r, buf_data(&answer), buf_len(&answer));
	if (rc == -1 || get_findings(&r, f) == -1)
		conf_findings_add(f, false, (struct conf_where){path, 0},
		    "files of users and servers were not looked at: %s", why);
	buf_clear(&answer);
	conf_findings_sort(f);
}
