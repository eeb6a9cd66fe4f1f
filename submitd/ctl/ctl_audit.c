/* SPDX-License-Identifier: ISC */
/*
 * submitctl audit: verify, search, user, report and tail of the audit record. Needs no
 * daemon; reads the files as whoever runs it.
 */
#include "ctl/ctl_audit.h"

#include <string.h>

int
ctl_audit(struct ctl *ctl, int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*fn)(struct ctl *, int, char **);
	} commands[] = {
	    {"verify", ctl_audit_verify},
	    {"search", ctl_audit_search},
	    {"user", ctl_audit_user},
	    {"report", ctl_audit_report},
	    {"tail", ctl_audit_tail},
	};

	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		ctl_print_help(ctl_command_find("audit"));
		return CTL_OK;
	}
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].fn(ctl, argc - 1, argv + 1);
	ctl_error("audit needs verify, search, user, report or tail");
	return CTL_USAGE;
}
