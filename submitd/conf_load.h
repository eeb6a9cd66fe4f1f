/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_CONF_LOAD_H
#define SUBMITD_CONF_LOAD_H

#include "conf/conf.h"

/*
 * Reads and checks a configuration in a child that may read files and do nothing
 * else, and builds the structs from what it answers. At most CONF_LOAD_MS.
 * NULL when there are errors; findings (errors and warnings) are always filled.
 * raw gets the raw form for the other processes (may be NULL).
 */
#define CONF_LOAD_MS 60000
struct conf *conf_load(const char *path, struct buf *raw, struct conf_findings *);

/*
 * For `submitd -t`, after conf_load(): what conf_people() and conf_reach() say, in a child that
 * may read files and connect.
 * At most CONF_PROBE_MS; adds warnings only.
 */
#define CONF_PROBE_MS 60000
void conf_probe(const char *path, const struct conf *, struct conf_findings *);

#endif
