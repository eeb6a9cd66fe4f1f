/* SPDX-License-Identifier: ISC */
/*
 * The conversation with process `control`: one request, answers line by line. The
 * daemon sends only what was asked; a line is bounded, and silence ends the wait.
 */
#include "ctl/ctl.h"

#include "base/buf.h"
#include "base/fs.h"
#include "base/str.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_LINE (4u << 20)
#define SILENCE_MS 310000 /* a little more than control itself waits */

/*
 * The path in a configuration that has errors: reload must reach the service just then.
 * Finds control = "PATH" outside of comments; files that are included are not looked at.
 */
static int
scan_for_path(const char *file, char *path, size_t size)
{
	struct buf text = BUF_INIT;
	int rc = -1;

	if (fs_read_file(file, 16u << 20, &text) == 0) {
		const char *p = buf_cstr(&text);

		for (; rc == -1 && *p != '\0'; p += strcspn(p, "\n"), p += *p == '\n') {
			size_t n = strcspn(p, "#\n");
			const char *word = memmem(p, n, "control", 7), *q;

			if (word == NULL || (word > p && strchr(" \t{;", word[-1]) == NULL))
				continue;
			q = word + 7;
			q += strspn(q, " \t");
			if (*q != '=')
				continue;
			q++;
			q += strspn(q, " \t");
			if (*q == '"' || *q == '\'')
				rc = str_copy_span(
				    path, size, (struct span){q + 1, strcspn(q + 1, "\"'\n")});
		}
	}
	buf_clear(&text);
	return rc;
}

static const char *
socket_path(struct ctl *ctl)
{
	static char path[108];
	const char *file = ctl->conf_path == NULL ? CTL_DEFAULT_CONF : ctl->conf_path;
	struct conf *c;

	if (ctl->socket != NULL)
		return ctl->socket;
	if (path[0] != '\0')
		return path;
	c = ctl_conf_load(ctl, true);
	if (c != NULL)
		(void)str_copy(path, sizeof(path), c->server->control);
	else if (scan_for_path(file, path, sizeof(path)) == -1)
		(void)str_copy(path, sizeof(path), CTL_DEFAULT_SOCKET);
	conf_free(c);
	return path;
}

static int
open_socket(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd;

	if (str_copy(sun.sun_path, sizeof(sun.sun_path), path) == -1)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == -1) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

bool
ctl_daemon_is_up(struct ctl *ctl)
{
	int fd = open_socket(socket_path(ctl));

	if (fd == -1)
		return false;
	close(fd);
	return true;
}

static int
connect_or_say(struct ctl *ctl)
{
	const char *path;
	int fd;

	/* a mistyped -f must not reach the service of the default file */
	if (ctl->socket == NULL && ctl->conf_path != NULL && access(ctl->conf_path, R_OK) == -1) {
		ctl_error("%s: %s; give the right file, or the socket with --socket",
		    ctl->conf_path, strerror(errno));
		return -1;
	}
	path = socket_path(ctl);
	fd = open_socket(path);
	if (fd != -1)
		return fd;
	if (errno == EACCES || errno == EPERM)
		ctl_error(
		    "%s: you may not use it; become root, or join the group that owns it", path);
	else if (errno == ENOENT || errno == ECONNREFUSED)
		ctl_error(
		    "no submitd answers at %s: is it running? (systemctl status submitd)", path);
	else
		ctl_error("%s: %s", path, strerror(errno));
	return -1;
}

static int
send_all(int fd, const char *p, size_t n)
{
	size_t off = 0;

	while (off < n) {
		ssize_t w = send(fd, p + off, n - off, MSG_NOSIGNAL);

		if (w == -1 && errno == EINTR)
			continue;
		if (w == -1)
			return -1;
		off += (size_t)w;
	}
	return 0;
}

static int
send_request(int fd, const json_t *request, const struct secret *secret)
{
	char *text = json_dumps(request, JSON_COMPACT);
	size_t n = text == NULL ? 0 : strlen(text);
	int rc;

	if (text == NULL)
		return -1;
	text[n++] = '\n'; /* in the place of the NUL */
	rc = send_all(fd, text, n);
	free(text);
	if (rc == 0 && secret != NULL)
		rc = send_all(fd, secret->data, secret->len);
	return rc;
}

/* -1: go on. Else the exit code. */
static int
take_line(struct span line, ctl_row_fn *row, void *arg)
{
	json_t *o = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, NULL);
	int rc = -1;

	if (!json_is_object(o)) {
		ctl_error("the daemon answers something that is no JSON object");
		rc = CTL_FAILED;
	} else if (json_is_true(json_object_get(o, "end"))) {
		const char *error = json_string_value(json_object_get(o, "error"));

		rc = (int)ctl_int(o, "status", CTL_FAILED);
		if (error != NULL)
			ctl_error("%s", error);
	} else {
		row(arg, o);
	}
	json_decref(o);
	return rc;
}

static int
read_lines(int fd, ctl_row_fn *row, void *arg)
{
	struct buf b = BUF_INIT;
	size_t seen = 0;
	int rc = -1;

	while (rc == -1) {
		const uint8_t *p = buf_data(&b), *nl = NULL;
		struct pollfd pfd = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (buf_len(&b) > seen)
			nl = memchr(p + seen, '\n', buf_len(&b) - seen);
		if (nl != NULL) {
			size_t len = (size_t)(nl - p);

			rc = take_line((struct span){(const char *)p, len}, row, arg);
			buf_consume(&b, len + 1);
			seen = 0;
			continue;
		}
		seen = buf_len(&b);
		if (seen > MAX_LINE || poll(&pfd, 1, SILENCE_MS) == 0) {
			ctl_error("the daemon does not answer as it should; ask again");
			rc = CTL_FAILED;
			break;
		}
		n = recv(fd, buf_reserve(&b, 65536), 65536, 0);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			ctl_error("the control process went away before the answer was complete; "
				  "ask again");
			rc = CTL_FAILED;
			break;
		}
		buf_commit(&b, (size_t)n);
	}
	buf_clear(&b);
	return rc;
}

int
ctl_request(struct ctl *ctl, json_t *request, ctl_row_fn *row, void *arg)
{
	return ctl_request_secret(ctl, request, NULL, row, arg);
}

int
ctl_request_secret(
    struct ctl *ctl, json_t *request, const struct secret *secret, ctl_row_fn *row, void *arg)
{
	int fd = connect_or_say(ctl), rc = CTL_FAILED;

	if (fd != -1) {
		if (send_request(fd, request, secret) == -1 && errno != EPIPE)
			ctl_error("the request could not be sent: %s", strerror(errno));
		else
			rc = read_lines(fd, row, arg);
		close(fd);
	}
	json_decref(request);
	return rc;
}
