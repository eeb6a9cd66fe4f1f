/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_CTL_CTL_SELECT_H
#define SUBMITD_CTL_CTL_SELECT_H

#include "ctl/ctl.h"

/* Which envelopes a command is about: options and operands to the "select" object of a request. */
struct ctl_selection {
	json_t *select; /* owned */
	int64_t limit;  /* 0: not given */
	bool any;       /* at least one criterion, or --all */
};
/*
 * Reads all of argv behind the command's name. 0; or an exit code with the error printed;
 * -1: the help was asked for and printed. state: --state is possible.
 */
int ctl_select_parse(struct ctl *, const struct ctl_command *, int argc, char **argv, bool state,
    struct ctl_selection *);
void ctl_select_clear(struct ctl_selection *);

#define CTL_SELECT_HELP                                                                            \
	"  ID ..., --id ID          queue id (432360) or message id (UUID)\n"                      \
	"  --sender GLOB            envelope sender, * and ? are wildcards; \"\" is the empty "    \
	"one\n"                                                                                    \
	"  --recipient GLOB         a recipient\n"                                                 \
	"  --domain DOMAIN          a recipient's domain\n"                                        \
	"  --transport NAME         transport block\n"                                             \
	"  --older AGE --younger AGE  age as in 90s, 15m, 2h, 1d\n"

#endif
