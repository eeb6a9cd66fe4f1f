/* SPDX-License-Identifier: ISC */
/*
 * The control socket itself: made with the supervisor's rights before control gives
 * them up, and the check of who connects. Owner and the group PREFIX-admin, where
 * there is one, may connect: the socket's mode says so, and the kernel's word about
 * the peer is checked again. Never removes anything but a dead socket.
 */
#include "control/control.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_GROUPS 256

static uid_t owner;
static gid_t admin_group = (gid_t)-1;

static int
fill_address(const char *path, struct sockaddr_un *sun)
{
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	return str_copy(sun->sun_path, sizeof(sun->sun_path), path);
}

/* 0: nothing is there any more. -1: something lives there, or it cannot be removed. */
static int
remove_stale(const char *path, const struct sockaddr_un *sun, char *err, size_t errsize)
{
	struct stat st;
	int fd, rc;

	if (lstat(path, &st) == -1 && errno == ENOENT)
		return 0;
	if (!S_ISSOCK(st.st_mode)) {
		(void)str_printf(
		    err, errsize, "control = \"%s\": something else has that name", path);
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	rc = connect(fd, (const struct sockaddr *)sun, sizeof(*sun));
	close(fd);
	if (rc == 0) {
		(void)str_printf(
		    err, errsize, "control = \"%s\": another submitd answers there", path);
		return -1;
	}
	if (unlink(path) == -1 && errno != ENOENT) {
		(void)str_printf(
		    err, errsize, "control = \"%s\": cannot be removed: %s", path, strerror(errno));
		return -1;
	}
	return 0;
}

/* The last directory of the path is made when it is missing (a fresh /run). */
static void
make_directory(const char *path)
{
	char *dir = xstrdup(path), *slash = strrchr(dir, '/');

	if (slash != NULL && slash != dir) {
		*slash = '\0';
		(void)mkdir(dir, 0755);
	}
	free(dir);
}

static void
give_to_admins(const struct conf *conf, const char *path)
{
	char name[64];
	struct group *g;

	if (geteuid() != 0 ||
	    str_printf(name, sizeof(name), "%s-admin", conf->server->user_prefix) == -1)
		return;
	g = getgrnam(name);
	if (g != NULL && lchown(path, (uid_t)-1, g->gr_gid) == 0)
		admin_group = g->gr_gid;
}

int
control_socket_open(const struct conf *conf, char *err, size_t errsize)
{
	const char *path = conf->server->control;
	struct sockaddr_un sun;
	mode_t mask;
	int fd, rc;

	owner = geteuid();
	if (fill_address(path, &sun) == -1) {
		(void)str_printf(err, errsize, "control = \"%s\": the path is too long", path);
		return -1;
	}
	make_directory(path);
	if (remove_stale(path, &sun, err, errsize) == -1)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		goto fail;
	mask = umask(0117); /* rw-rw----: no moment in which others may connect */
	rc = bind(fd, (const struct sockaddr *)&sun, sizeof(sun));
	(void)umask(mask);
	if (rc == -1)
		goto fail;
	give_to_admins(conf, path);
	if (listen(fd, CONTROL_MAX_CLIENTS) == -1)
		goto fail;
	return fd;
fail:
	(void)str_printf(err, errsize, "control = \"%s\": %s", path, strerror(errno));
	if (fd != -1)
		close(fd);
	return -1;
}

static bool
peer_in_group(int fd, gid_t primary)
{
	gid_t groups[MAX_GROUPS];
	socklen_t n = sizeof(groups);

	if (admin_group == (gid_t)-1)
		return false;
	if (primary == admin_group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n) == -1)
		return false;
	for (size_t i = 0; i < n / sizeof(gid_t); i++)
		if (groups[i] == admin_group)
			return true;
	return false;
}

bool
control_socket_is_owner(uid_t uid)
{
	return uid == 0 || uid == owner;
}

int
control_socket_check_peer(int fd, uid_t *uid)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == -1)
		return -1;
	*uid = cred.uid;
	if (cred.uid == 0 || cred.uid == owner || cred.uid == geteuid() ||
	    peer_in_group(fd, cred.gid))
		return 0;
	return -1;
}
