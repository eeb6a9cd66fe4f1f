/* SPDX-License-Identifier: ISC */
/*
 * submitctl account: what the brake against guessed passwords has counted, who is
 * locked out until when, and forgetting it (A7). Asks the running service.
 */
#include "ctl/ctl.h"

#include "base/list.h"
#include "base/str.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

struct output {
	struct ctl *ctl;
	struct ctl_table table;
	size_t rows;
	bool known;
};

/* clang-format off */
static const struct ctl_column counted_columns[] = {
	{"KIND", false, false}, {"KEY", false, true}, {"FAILURES", true, false},
	{"SINCE", false, false}, {"LAST", false, false}, {"LOCKED", true, false},
	{"NAME", false, true},
};
static const struct ctl_column known_columns[] = {
	{"USER", false, true}, {"FROM", false, false}, {"LOGIN", false, false},
	{"FAILURES", true, false}, {"LOCKED", true, false},
};
enum { OPT_KNOWN = 256, OPT_LIMIT, OPT_ALL, OPT_JSON, OPT_HELP };
static const struct option longs[] = {
	{"known", no_argument, NULL, OPT_KNOWN},
	{"limit", required_argument, NULL, OPT_LIMIT},
	{"all", no_argument, NULL, OPT_ALL},
	{"json", no_argument, NULL, OPT_JSON},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};
/* clang-format on */

static const char *
time_of(const json_t *row, const char *key, char out[CTL_AGE_TEXT])
{
	int64_t t = ctl_int(row, key, 0);

	return t == 0 ? "" : ctl_format_time(t, out);
}

static void
add_known(struct output *o, const json_t *row, const char *left)
{
	char login[CTL_AGE_TEXT];

	ctl_table_add(
	    &o->table, (const char *const[]){ctl_text(row, "key"), ctl_text(row, "network"),
			   time_of(row, "last_login", login), ctl_text(row, "failures"), left});
}

static void
list_row(void *arg, const json_t *row)
{
	struct output *o = arg;
	char since[CTL_AGE_TEXT], last[CTL_AGE_TEXT], left[CTL_AGE_TEXT] = "", key[800];

	o->rows++;
	if (o->ctl->json) {
		ctl_print_json(row);
		return;
	}
	if (ctl_int(row, "left_s", 0) != 0)
		(void)ctl_format_age(ctl_int(row, "left_s", 0), left);
	if (o->known) {
		add_known(o, row, left);
		return;
	}
	(void)snprintf(key, sizeof(key), "%s%s%s", ctl_text(row, "key"),
	    ctl_text(row, "network")[0] == '\0' ? "" : " in ", ctl_text(row, "network"));
	ctl_table_add(&o->table, (const char *const[]){ctl_text(row, "kind"), key,
				     ctl_text(row, "failures"), time_of(row, "since", since),
				     time_of(row, "last", last), left, ctl_text(row, "name")});
}

static int
run_list(struct ctl *ctl, bool known, int64_t limit)
{
	struct output o = {.ctl = ctl, .known = known};
	json_t *req = json_pack("{s:s,s:b}", "cmd", "account.list", "known", known);
	int rc;

	if (limit != 0)
		json_object_set_new(req, "limit", json_integer(limit));
	if (known)
		ctl_table_init(&o.table, known_columns, ARRAY_LEN(known_columns));
	else
		ctl_table_init(&o.table, counted_columns, ARRAY_LEN(counted_columns));
	rc = ctl_request(ctl, req, list_row, &o);
	ctl_table_end(&o.table);
	if (rc == CTL_OK && o.rows == 0 && !ctl->json)
		(void)puts(known ? "no user is known yet" : "nothing is counted");
	return rc;
}

static void
clear_row(void *arg, const json_t *row)
{
	struct ctl *ctl = arg;

	if (ctl->json)
		ctl_print_json(row);
	else
		(void)printf("forgotten: %s\n", ctl_text(row, "cleared"));
}

static int
run_clear(struct ctl *ctl, const char *key)
{
	json_t *req = json_pack("{s:s,s:s}", "cmd", "account.clear", "user", ctl_user());

	if (key == NULL)
		json_object_set_new(req, "all", json_true());
	else
		json_object_set_new(req, "key", json_string(key));
	return ctl_request(ctl, req, clear_row, ctl);
}

static int
wrong_use(const char *text)
{
	ctl_error("account: %s; see submitctl help account", text);
	return CTL_USAGE;
}

int
ctl_account(struct ctl *ctl, int argc, char **argv)
{
	bool known = false, all = false, clear;
	uint64_t limit = 0;
	const char *word;
	int ch, n;

	optind = 0;
	while ((ch = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (ch) {
		case OPT_KNOWN:
			known = true;
			break;
		case OPT_LIMIT:
			if (str_to_u64(optarg, 1, 100000, &limit) == -1)
				return wrong_use("--limit takes a number from 1 to 100000");
			break;
		case OPT_ALL:
			all = true;
			break;
		case OPT_JSON:
			ctl->json = true;
			break;
		case 'h':
		case OPT_HELP:
			ctl_print_help(ctl_command_find("account"));
			return CTL_OK;
		default:
			return CTL_USAGE;
		}
	}
	n = argc - optind;
	word = n == 0 ? "list" : argv[optind];
	clear = strcmp(word, "clear") == 0;
	if (!clear && strcmp(word, "list") != 0)
		return wrong_use("it is list or clear");
	if (!clear)
		return n > 1 || all ? wrong_use("list takes only --known and --limit")
		                    : run_list(ctl, known, (int64_t)limit);
	if (known || limit != 0 || n > 2 || (n == 2) == all)
		return wrong_use("clear takes one KEY, or --all");
	return run_clear(ctl, all ? NULL : argv[optind + 1]);
}
