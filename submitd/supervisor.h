/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_SUPERVISOR_H
#define SUBMITD_SUPERVISOR_H

#include "conf/conf.h"

struct supervisor_options {
	const char *conf_file;
	bool foreground; /* -d: users that do not exist are a notice, not an error */
	int ready_fd;    /* written to once everything runs; -1: nobody waits */
};

/* Runs the service until SIGTERM or SIGINT; the exit status. Takes the configuration. */
int supervisor_run(const struct supervisor_options *, struct conf *, struct buf *raw);

#endif
