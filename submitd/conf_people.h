/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_CONF_PEOPLE_H
#define SUBMITD_CONF_PEOPLE_H

#include "conf/conf.h"

/*
 * For `submitd -t`: reads the files of backends with type = file as the service will, and warns of
 * lines that it would skip: who stands there cannot log in. Shows nothing of a line.
 */
void conf_people(const struct conf *, struct conf_findings *);

#endif
