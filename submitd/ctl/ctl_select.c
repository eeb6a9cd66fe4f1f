/* SPDX-License-Identifier: ISC */
/*
 * The selections that queue and history share. They are and-ed; the queue process
 * evaluates them. Nothing is guessed: an unknown word is a usage error.
 */
#include "ctl/ctl_select.h"

#include "base/enc.h"
#include "base/str.h"

#include <getopt.h>
#include <string.h>

enum {
	OPT_ID = 256,
	OPT_SENDER,
	OPT_RECIPIENT,
	OPT_DOMAIN,
	OPT_TRANSPORT,
	OPT_STATE,
	OPT_OLDER,
	OPT_YOUNGER,
	OPT_ALL,
	OPT_LIMIT,
	OPT_JSON,
	OPT_HELP,
};

static const struct option longs[] = {
    {"id", required_argument, NULL, OPT_ID},
    {"sender", required_argument, NULL, OPT_SENDER},
    {"recipient", required_argument, NULL, OPT_RECIPIENT},
    {"domain", required_argument, NULL, OPT_DOMAIN},
    {"transport", required_argument, NULL, OPT_TRANSPORT},
    {"state", required_argument, NULL, OPT_STATE},
    {"older", required_argument, NULL, OPT_OLDER},
    {"younger", required_argument, NULL, OPT_YOUNGER},
    {"all", no_argument, NULL, OPT_ALL},
    {"limit", required_argument, NULL, OPT_LIMIT},
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static int
add_id(struct ctl_selection *s, const char *id)
{
	json_t *ids = json_object_get(s->select, "ids");
	struct uuid u;
	uint64_t n;

	if (str_to_u64(id, 1, INT64_MAX, &n) == -1 && uuid_parse(span_of(id), &u) == -1) {
		ctl_error("\"%s\" is neither a queue id (a number) nor a message id (a UUID)", id);
		return CTL_USAGE;
	}
	if (ids == NULL) {
		ids = json_array();
		json_object_set_new(s->select, "ids", ids);
	}
	json_array_append_new(ids, json_string(id));
	s->any = true;
	return 0;
}

static int
add_text(struct ctl_selection *s, const char *key, const char *text)
{
	json_t *v = json_string(text);

	if (v == NULL) {
		ctl_error("--%s: the value is not UTF-8", key);
		return CTL_USAGE;
	}
	json_object_set_new(s->select, key, v);
	s->any = true;
	return 0;
}

static int
add_age(struct ctl_selection *s, const char *key, const char *text)
{
	int64_t age;

	if (ctl_parse_age(text, &age) == -1) {
		ctl_error("\"%s\" is not an age; right is 90s, 15m, 2h, 1d or 1w", text);
		return CTL_USAGE;
	}
	json_object_set_new(s->select, key, json_integer(age));
	s->any = true;
	return 0;
}

static int
add_state(struct ctl_selection *s, const char *text, bool state)
{
	static const char *const names[] = {"due", "waiting", "active", "held"};

	if (!state) {
		ctl_error("--state is for the queue; history has no states");
		return CTL_USAGE;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(text, names[i]) == 0)
			return add_text(s, "state", text);
	ctl_error("there is no state \"%s\"; right is due, waiting, active or held", text);
	return CTL_USAGE;
}

static int
add_limit(struct ctl_selection *s, const char *text)
{
	uint64_t n;

	if (str_to_u64(text, 1, 100000000, &n) == -1) {
		ctl_error("--limit %s: a number from 1 on is right", text);
		return CTL_USAGE;
	}
	s->limit = (int64_t)n;
	return 0;
}

static int
take_option(struct ctl *ctl, struct ctl_selection *s, int opt, const char *value, bool state)
{
	switch (opt) {
	case OPT_ID:
		return add_id(s, value);
	case OPT_SENDER:
		return add_text(s, "sender", value);
	case OPT_RECIPIENT:
		return add_text(s, "recipient", value);
	case OPT_DOMAIN:
		return add_text(s, "domain", value);
	case OPT_TRANSPORT:
		return add_text(s, "transport", value);
	case OPT_STATE:
		return add_state(s, value, state);
	case OPT_OLDER:
		return add_age(s, "older_s", value);
	case OPT_YOUNGER:
		return add_age(s, "younger_s", value);
	case OPT_ALL:
		json_object_set_new(s->select, "all", json_true());
		s->any = true;
		return 0;
	case OPT_LIMIT:
		return add_limit(s, value);
	case OPT_JSON:
		ctl->json = true;
		return 0;
	default:
		return CTL_USAGE;
	}
}

int
ctl_select_parse(struct ctl *ctl, const struct ctl_command *cmd, int argc, char **argv, bool state,
    struct ctl_selection *s)
{
	static char name[] = "submitctl"; /* begins what getopt says */
	int ch, rc = 0;

	argv[0] = name;
	memset(s, 0, sizeof(*s));
	s->select = json_object();
	optind = 0;
	while (rc == 0 && (ch = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (ch == OPT_HELP || ch == 'h') {
			ctl_print_help(cmd);
			ctl_select_clear(s);
			return -1; /* done, and well */
		}
		rc = take_option(ctl, s, ch, optarg, state);
	}
	for (int i = optind; rc == 0 && i < argc; i++)
		rc = add_id(s, argv[i]);
	if (rc != 0)
		ctl_select_clear(s);
	return rc;
}

void
ctl_select_clear(struct ctl_selection *s)
{
	json_decref(s->select);
	s->select = NULL;
}
