/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_CONF_REACH_H
#define SUBMITD_CONF_REACH_H

#include "conf/conf.h"

/*
 * For `submitd -t`: connects to the servers of the backends, makes TLS where they have it, and
 * says in a warning which of them cannot be reached or trusted just now. No name and no password
 * is said to them. Ignores SIGPIPE. At most CONF_REACH_EACH_MS for a server and CONF_REACH_ALL_MS
 * in all; those that there is no time for are counted in a warning.
 */
#define CONF_REACH_EACH_MS 5000
#define CONF_REACH_ALL_MS 20000
void conf_reach(const struct conf *, struct conf_findings *);

#endif
