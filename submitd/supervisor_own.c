/* SPDX-License-Identifier: ISC */
/*
 * Directories that belong to a role: made when they are missing, given to its user at
 * each start. What root left in them, running without the users, is given away with
 * them. Supervisor, as root. Must never follow a link or give away what stands
 * elsewhere, too.
 */
#include "supervisor_internal.h"

#include "base/log.h"
#include "base/str.h"
#include "sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 2u /* spool/seg/00000001.log */

static bool
is_roots(int fd, struct stat *st)
{
	return fstat(fd, st) == 0 && st->st_uid == 0 &&
	       (S_ISDIR(st->st_mode) || (S_ISREG(st->st_mode) && st->st_nlink == 1));
}

/* Entries of root become u's. keep: the name of one that stays; or NULL. */
static void
give_entries(int dirfd, const struct sandbox_user *u, const char *keep, unsigned depth)
{
	DIR *d = fdopendir(dirfd);
	const struct dirent *e;
	struct stat st = {0};

	if (d == NULL) {
		close(dirfd);
		return;
	}
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' || (keep != NULL && strcmp(e->d_name, keep) == 0))
			continue;
		int fd = openat(
		    dirfd, e->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
		if (fd == -1)
			continue;
		if (is_roots(fd, &st) && fchown(fd, u->uid, u->gid) == -1)
			log_note(LOG_LEVEL_WARN, "%s cannot be given to %s: %s", e->d_name, u->name,
			    strerror(errno));
		if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
			give_entries(fd, u, NULL, depth + 1);
		else
			close(fd);
	}
	closedir(d);
}

/* first: the file that is made first; when it is root's, others may be. */
static void
give(const struct conf *c, const char *role, const char *path, const char *first)
{
	struct sandbox_user u;
	struct stat st;

	if (mkdir(path, 0700) == -1 && errno != EEXIST)
		log_note(LOG_LEVEL_ERROR, "%s cannot be made: %s", path, strerror(errno));
	sandbox_find_user(c, role, &u);
	if (!u.found)
		return;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1 || fchown(fd, u.uid, u.gid) == -1) {
		log_note(
		    LOG_LEVEL_WARN, "%s cannot be given to %s: %s", path, u.name, strerror(errno));
	} else if (fstatat(fd, first, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_uid == 0) {
		give_entries(fd, &u, "auth.key", 1);
		return;
	}
	if (fd != -1)
		close(fd);
}

void
supervisor_own_files(const struct conf *c)
{
	give(c, "queue", c->server->spool, "queue.db");
	give(c, "ledger", c->server->state, "ledger.db");
}
