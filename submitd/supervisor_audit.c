/* SPDX-License-Identifier: ISC */
/*
 * What the supervisor has to do with the audit record: it knows of configuration loads
 * and of processes that died, and it opens the file where the ledger may not. Runs as
 * root; nothing of the record is read here.
 */
#include "base/enc.h"
#include "base/ev.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "ipc/audit_outbox.h"
#include "sandbox.h"
#include "supervisor_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

void
supervisor_audit_config(const char *who, bool ok, size_t errors)
{
	const struct conf *c = supervisor_conf();
	struct buf json = BUF_INIT;

	if (c->audit->file == NULL)
		return;
	buf_add_str(&json, "{\"by\":");
	json_add_str(&json, span_of(who));
	buf_add_str(&json, ",\"file\":");
	json_add_str(&json, span_of(supervisor_conf_file()));
	buf_addf(&json, ",\"generation\":%llu,\"ok\":%s,\"errors\":%zu}",
	    (unsigned long long)c->generation, ok ? "true" : "false", errors);
	(void)audit_outbox_note(ev_wall_ms(), "config", buf_span(&json));
	buf_clear(&json);
}

/* What it had not handed on yet nobody knows: the record says where that may be. */
void
supervisor_audit_died(enum role role, int status)
{
	struct buf json = BUF_INIT;

	if (supervisor_conf()->audit->file == NULL)
		return;
	buf_addf(&json, "{\"role\":\"%s\"", role_name(role));
	if (WIFSIGNALED(status))
		buf_addf(&json, ",\"signal\":%d}", WTERMSIG(status));
	else
		buf_addf(&json, ",\"status\":%d}", WEXITSTATUS(status));
	(void)audit_outbox_note(ev_wall_ms(), "died", buf_span(&json));
	buf_clear(&json);
}

/* The file that the configuration names, and no other. */
void
supervisor_audit_open(struct ipc_peer *ledger, struct span path)
{
	const struct conf *c = supervisor_conf();
	struct ipc_file_opened r = {.path = path, .error = EPERM};
	struct sandbox_user u;
	struct stat st;
	int fd = -1;

	if (c->audit->file != NULL && span_eq(path, c->audit->file)) {
		fd = open(c->audit->file,
		    O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
		    0600);
		r.error = fd == -1 ? (uint32_t)errno : 0;
	}
	sandbox_find_user(c, "ledger", &u);
	/* nothing is given away that has another name: the directory may be the ledger's */
	if (fd != -1 && (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_nlink > 1 ||
			    (u.found && fchown(fd, u.uid, u.gid) == -1))) {
		r.error = EINVAL;
		close(fd);
		fd = -1;
	}
	if (fd != -1 && st.st_size == 0 && fs_sync_parent(c->audit->file) == -1)
		log_note(LOG_LEVEL_WARN, "%s: its directory cannot be synced: %s", c->audit->file,
		    strerror(errno));
	(void)ipc_send_file_opened(ledger, fd, &r);
}

void
supervisor_audit_switch(const struct conf *before, struct conf *after)
{
	static char *path;
	const char *is = before->audit->file, *next = after->audit->file;

	if (is != NULL && next != NULL && strcmp(is, next) != 0) {
		free(path);
		path = xstrdup(is);
	}
	after->audit->before = path;
}
