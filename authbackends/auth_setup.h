/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_AUTH_SETUP_H
#define SUBMITD_AUTH_SETUP_H

#include "authbackends/auth_flow.h"
#include "authbackends/auth_pace.h"
#include "conf/conf.h"

/*
 * The backends and flows of a configuration. One set per process, for its life.
 * open: with the supervisor's rights, before there is a loop. start: in the loop.
 */
int auth_setup_open(const struct conf *, char *err, size_t errsize);
void auth_setup_start(void);
void auth_setup_close(void);

/* NULL when there is none of that title. */
const struct conf_listener *auth_setup_listener(const struct conf *, struct span title);
/* NULL when the listener has no flow. */
const struct auth_flow *auth_setup_flow(const struct conf_listener *);
/* Of the refusals of its flow; NULL as above. */
struct auth_pace *auth_setup_pace(const struct conf_listener *, enum auth_cred);
struct auth_source *auth_setup_sources(size_t *n);
const struct auth_cache_stats *auth_setup_cache(void); /* NULL: no flow has a cache */
/* Who is asked for: fills the names of check, and ou. */
void auth_setup_name(const struct conf_listener *, const char *login, struct auth_run *);

/* S16: may that backend speak for this principal? For names that only the backend knew. */
bool auth_setup_serves(const struct auth_source *, const char *principal);
/* S8, S16: takes away the addresses for which that backend may not speak. own: as in auth_check. */
void auth_setup_trim_own(const struct auth_source *, struct buf *own);

/* Lets backends look whether their files changed; on_file hands on what was opened. */
void auth_setup_tick(void (*want_file)(const char *path));
void auth_setup_on_file(const char *path, int fd, int error); /* takes fd */

#endif
