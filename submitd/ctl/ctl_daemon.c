/* SPDX-License-Identifier: ISC */
/*
 * submitctl stats, state and reload: questions to the running service as a whole.
 */
#include "ctl/ctl.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

/* Only --json and --help. 0: go on; -1: done; else an exit code. */
static int
plain_options(struct ctl *ctl, const char *name, int argc, char **argv)
{
	static const struct option longs[] = {
	    {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int ch;

	optind = 0;
	while ((ch = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (ch) {
		case 'j':
			ctl->json = true;
			break;
		case 'h':
			ctl_print_help(ctl_command_find(name));
			return -1;
		default:
			return CTL_USAGE;
		}
	}
	if (optind != argc) {
		ctl_error("%s takes no \"%s\"", name, argv[optind]);
		return CTL_USAGE;
	}
	return 0;
}

static void
print_members(const json_t *row, int indent)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)row, key, v)
	{
		if (strcmp(key, "role") == 0 || strcmp(key, "instance") == 0)
			continue;
		(void)printf("%*s%-20s ", indent, "", key);
		if (json_is_object(v) || json_is_array(v)) {
			(void)putchar('\n');
			if (json_is_object(v))
				print_members(v, indent + 2);
			for (size_t i = 0; i < json_array_size(v); i++)
				print_members(json_array_get(v, i), indent + 2);
			continue;
		}
		ctl_print_clean(ctl_text(row, key));
		(void)putchar('\n');
	}
}

static void
stats_row(void *arg, const json_t *row)
{
	struct ctl *ctl = arg;

	if (ctl->json) {
		ctl_print_json(row);
		return;
	}
	(void)printf("%s %s\n", ctl_text(row, "role"), ctl_text(row, "instance"));
	print_members(row, 2);
}

int
ctl_stats(struct ctl *ctl, int argc, char **argv)
{
	int rc = plain_options(ctl, "stats", argc, argv);

	if (rc != 0)
		return rc == -1 ? CTL_OK : rc;
	return ctl_request(ctl, json_pack("{s:s}", "cmd", "stats"), stats_row, ctl);
}

static void
print_processes(const json_t *list)
{
	static const struct ctl_column columns[] = {{"ROLE", false, false},
	    {"INSTANCE", true, false}, {"PID", true, false}, {"GENERATION", true, false},
	    {"STATE", false, false}, {"RESTARTS", true, false}};
	struct ctl_table t;
	size_t i;
	const json_t *p;

	ctl_table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
	json_array_foreach(list, i, p)
	{
		ctl_table_add(
		    &t, (const char *const[]){ctl_text(p, "role"), ctl_text(p, "instance"),
			    ctl_text(p, "pid"), ctl_text(p, "generation"), ctl_text(p, "state"),
			    ctl_text(p, "restarts")});
	}
	ctl_table_end(&t);
}

static void
state_row(void *arg, const json_t *row)
{
	struct ctl *ctl = arg;
	const char *key;
	json_t *v;

	if (ctl->json) {
		ctl_print_json(row);
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)row, key, v)
	{
		if (json_is_array(v)) {
			print_processes(v);
			continue;
		}
		(void)printf("%-12s ", key);
		ctl_print_clean(ctl_text(row, key));
		(void)putchar('\n');
	}
}

int
ctl_state(struct ctl *ctl, int argc, char **argv)
{
	int rc = plain_options(ctl, "state", argc, argv);

	if (rc != 0)
		return rc == -1 ? CTL_OK : rc;
	return ctl_request(ctl, json_pack("{s:s}", "cmd", "state"), state_row, ctl);
}

static void
reload_row(void *arg, const json_t *row)
{
	struct ctl *ctl = arg;

	if (ctl->json) {
		ctl_print_json(row);
		return;
	}
	ctl_print_clean(ctl_text(row, "finding"));
	(void)putchar('\n');
}

int
ctl_reload(struct ctl *ctl, int argc, char **argv)
{
	int rc = plain_options(ctl, "reload", argc, argv);

	if (rc != 0)
		return rc == -1 ? CTL_OK : rc;
	rc = ctl_request(
	    ctl, json_pack("{s:s,s:s}", "cmd", "reload", "user", ctl_user()), reload_row, ctl);
	if (rc == CTL_OK && !ctl->json)
		(void)puts("the new configuration is in force");
	return rc;
}
