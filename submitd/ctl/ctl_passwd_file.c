/* SPDX-License-Identifier: ISC */
/*
 * Changes one line of a file backend's file: lock, read, write a new file beside it,
 * sync, rename. A reader sees the old file or the new one, never half of it.
 */
#include "ctl/ctl_passwd_file.h"

#include "base/fs.h"
#include "base/str.h"
#include "mail/addr.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_BYTES (512u << 20)

/* The file, locked, and still the one that the path names. */
static int
open_locked(const char *path, bool create)
{
	for (int i = 0; i < 100; i++) {
		struct stat a, b;
		int fd = open(path, O_RDONLY | O_CLOEXEC | (create ? O_CREAT : 0), 0640);

		if (fd == -1)
			return -1;
		if (flock(fd, LOCK_EX) == 0 && fstat(fd, &a) == 0 && stat(path, &b) == 0 &&
		    a.st_ino == b.st_ino && a.st_dev == b.st_dev)
			return fd;
		close(fd); /* somebody replaced it while we waited */
	}
	errno = EBUSY;
	return -1;
}

static bool
line_is_of(struct span line, const char *user)
{
	size_t n = 0;

	line = span_trim(line);
	while (n < line.n && line.p[n] != ':' && line.p[n] != ' ' && line.p[n] != '\t')
		n++;
	return n != 0 && line.p[0] != '#' &&
	       addr_user_same((struct span){line.p, n}, span_of(user));
}

static void
add_entry(struct buf *out, const char *user, const char *hash)
{
	buf_addf(out, "%s:%s\n", user, hash);
}

static enum passwd_change
edit(struct buf *out, struct span in, const char *user, const char *hash)
{
	bool found = false;

	while (in.n != 0) {
		const char *nl = memchr(in.p, '\n', in.n);
		size_t n = nl == NULL ? in.n : (size_t)(nl - in.p) + 1;
		struct span line = {in.p, nl == NULL ? n : n - 1};

		if (line_is_of(line, user)) {
			if (hash != NULL && !found)
				add_entry(out, user, hash);
			found = true;
		} else {
			buf_add(out, in.p, n);
			if (nl == NULL)
				buf_add_byte(out, '\n');
		}
		in.p += n;
		in.n -= n;
	}
	if (!found && hash != NULL)
		add_entry(out, user, hash);
	return found ? PASSWD_CHANGED : hash != NULL ? PASSWD_ADDED : PASSWD_ABSENT;
}

static int
sync_directory(const char *path)
{
	char *dir = xstrdup(path), *slash = strrchr(dir, '/');
	int fd, rc;

	if (slash == NULL)
		(void)str_copy(dir, strlen(dir) + 1, ".");
	else
		slash[slash == dir ? 1 : 0] = '\0';
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = fd == -1 ? -1 : fs_fsync(fd);
	if (fd != -1)
		close(fd);
	free(dir);
	return rc;
}

/* Writes the new file with the old one's mode and owner and puts it in its place. */
static int
replace(const char *path, int old, const struct buf *text)
{
	char *temp = xasprintf("%s.new.%d", path, (int)getpid());
	struct stat st;
	int fd = -1, rc = -1;

	if (fstat(old, &st) == -1)
		goto out;
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		goto out;
	if (fs_pwrite(fd, buf_data(text), buf_len(text), 0) == -1)
		goto out;
	if ((st.st_uid != geteuid() || st.st_gid != getegid()) &&
	    fchown(fd, st.st_uid, st.st_gid) == -1)
		goto out;
	if (fchmod(fd, st.st_mode & 07777) == -1 || fs_fsync(fd) == -1)
		goto out;
	if (rename(temp, path) == -1)
		goto out;
	rc = sync_directory(path);
out:
	if (fd != -1) {
		int saved = errno;

		if (rc == -1)
			(void)unlink(temp);
		close(fd);
		errno = saved;
	}
	free(temp);
	return rc;
}

enum passwd_change
ctl_passwd_change(const char *path, const char *user, const char *hash, char *err, size_t errsize)
{
	struct buf in = BUF_INIT, out = BUF_INIT;
	char *real = realpath(path, NULL); /* a link stays a link */
	const char *target = real == NULL ? path : real;
	enum passwd_change rc = PASSWD_FAILED;
	int fd = open_locked(target, hash != NULL);

	if (fd == -1)
		goto fail;
	if (fs_read_fd(fd, MAX_BYTES, &in) == -1)
		goto fail;
	rc = edit(&out, buf_span(&in), user, hash);
	if (rc != PASSWD_ABSENT && replace(target, fd, &out) == -1) {
		rc = PASSWD_FAILED;
		goto fail;
	}
	goto out;
fail:
	(void)str_copy(err, errsize, strerror(errno));
out:
	if (fd != -1)
		close(fd);
	free(real);
	buf_wipe(&in);
	buf_wipe(&out);
	return rc;
}
