/* SPDX-License-Identifier: ISC */
/*
 * submitctl queue and submitctl history: asks the queue process and prints tables.
 * An action without any selection is refused here already; it must say --all.
 */
#include "ctl/ctl_select.h"

#include "base/list.h"
#include "base/str.h"
#include "queue/queue_rebuild.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UUID_TEXT 36

struct output {
	struct ctl *ctl;
	struct ctl_table table;
	size_t rows;
	int64_t count;
};

/* clang-format off */
static const struct ctl_column queue_columns[] = {
	{"QID", true, false}, {"STATE", false, false}, {"AGE", true, false},
	{"NEXT", true, false}, {"TRIES", true, false}, {"SIZE", true, false},
	{"SENDER", false, true}, {"RCPTS", true, false},
	{"DESTINATION", false, true}, {"REASON", false, true},
};
static const struct ctl_column history_columns[] = {
	{"TIME", false, false}, {"QID", true, false}, {"OUTCOME", false, false},
	{"SENDER", false, true}, {"RECIPIENT", false, true}, {"MX", false, true},
	{"CODE", true, false}, {"TEXT", false, true},
};
/* clang-format on */

static const char *
size_text(int64_t n, char out[CTL_AGE_TEXT])
{
	if (n < 10240)
		(void)snprintf(out, CTL_AGE_TEXT, "%lld", (long long)n);
	else if (n < (10 << 20))
		(void)snprintf(out, CTL_AGE_TEXT, "%lldK", (long long)(n >> 10));
	else
		(void)snprintf(out, CTL_AGE_TEXT, "%lldM", (long long)(n >> 20));
	return out;
}

static const char *
sender_text(const json_t *row)
{
	const char *s = ctl_text(row, "sender");

	return s[0] == '\0' ? "<>" : s;
}

static void
list_row(void *arg, const json_t *row)
{
	struct output *o = arg;
	char age[CTL_AGE_TEXT], next[CTL_AGE_TEXT] = "", size[CTL_AGE_TEXT], dest[400];
	int64_t next_s = ctl_int(row, "next_s", -1);
	const char *d = ctl_text(row, "dest");

	o->rows++;
	if (o->ctl->json) {
		ctl_print_json(row);
		return;
	}
	if (next_s >= 0 && strcmp(ctl_text(row, "state"), "held") != 0)
		(void)ctl_format_age(next_s, next);
	(void)snprintf(
	    dest, sizeof(dest), "%s%s%s", ctl_text(row, "transport"), d[0] == '\0' ? "" : ":", d);
	ctl_table_add(&o->table,
	    (const char *const[]){ctl_text(row, "qid"), ctl_text(row, "state"),
		ctl_format_age(ctl_int(row, "age_s", 0), age), next, ctl_text(row, "attempts"),
		size_text(ctl_int(row, "size", 0), size), sender_text(row), ctl_text(row, "rcpts"),
		dest, ctl_text(row, "reason")});
}

static void
history_row(void *arg, const json_t *row)
{
	struct output *o = arg;
	char time[CTL_AGE_TEXT];
	const json_t *t = json_object_get(row, "time");

	o->rows++;
	if (o->ctl->json) {
		ctl_print_json(row);
		return;
	}
	ctl_table_add(&o->table,
	    (const char *const[]){json_is_integer(t) ? ctl_format_time(json_integer_value(t), time)
						     : ctl_text(row, "time"),
		ctl_text(row, "qid"), ctl_text(row, "outcome"), sender_text(row),
		ctl_text(row, "rcpt"), ctl_text(row, "mx"),
		ctl_int(row, "code", 0) == 0 ? "" : ctl_text(row, "code"), ctl_text(row, "text")});
}

static int
run_list(struct ctl *ctl, const struct ctl_command *cmd, int argc, char **argv, bool history)
{
	struct ctl_selection s;
	struct output o = {.ctl = ctl};
	json_t *req;
	int rc = ctl_select_parse(ctl, cmd, argc, argv, !history, &s);

	if (rc != 0)
		return rc == -1 ? CTL_OK : rc;
	req = json_pack("{s:s,s:O}", "cmd", history ? "history" : "queue.list", "select", s.select);
	if (s.limit != 0)
		json_object_set_new(req, "limit", json_integer(s.limit));
	if (history)
		ctl_table_init(&o.table, history_columns, ARRAY_LEN(history_columns));
	else
		ctl_table_init(&o.table, queue_columns, ARRAY_LEN(queue_columns));
	rc = ctl_request(ctl, req, history ? history_row : list_row, &o);
	ctl_table_end(&o.table);
	if (rc == CTL_OK && o.rows == 0 && !ctl->json) {
		if (s.any)
			(void)fputs("nothing matches\n", stderr);
		else
			(void)fputs(history ? "no history yet\n" : "the queue is empty\n", stderr);
	}
	if (rc == CTL_OK && o.rows == 0 && s.any)
		rc = CTL_FAILED;
	ctl_select_clear(&s);
	return rc;
}

/* ---- queue show --------------------------------------------------------------------------------
 */

static void
show_line(const char *name, const char *value)
{
	if (value[0] == '\0')
		return;
	(void)printf("%-12s", name);
	ctl_print_clean(value);
	(void)putchar('\n');
}

static void
show_recipients(const json_t *list)
{
	size_t i;
	const json_t *r;

	json_array_foreach(list, i, r)
	{
		const json_t *st = json_object_get(r, "status");

		(void)fputs("  to         ", stdout);
		ctl_print_clean(ctl_text(r, "rcpt"));
		(void)printf("  %s, tries %s", ctl_text(r, "state"), ctl_text(r, "attempts"));
		(void)putchar('\n');
		if (!json_is_object(st))
			continue;
		(void)fputs("             ", stdout);
		if (ctl_int(st, "code", 0) != 0)
			(void)printf("%s ", ctl_text(st, "code"));
		(void)printf("%s ", ctl_text(st, "esc"));
		ctl_print_clean(ctl_text(st, "text"));
		if (ctl_text(st, "remote")[0] != '\0') {
			(void)fputs(" (", stdout);
			ctl_print_clean(ctl_text(st, "remote"));
			(void)fputs(")", stdout);
		}
		(void)putchar('\n');
	}
}

static void
show_headers(const char *text)
{
	(void)fputs("headers\n", stdout);
	while (*text != '\0') {
		char line[1000];
		size_t n = strcspn(text, "\n"), len = n;

		if (len > 0 && text[len - 1] == '\r')
			len--;
		if (len >= sizeof(line))
			len = sizeof(line) - 1;
		memcpy(line, text, len);
		line[len] = '\0';
		(void)fputs("  ", stdout);
		ctl_print_clean(line);
		(void)putchar('\n');
		text += n;
		if (*text == '\n')
			text++;
	}
}

static void
show_row(void *arg, const json_t *row)
{
	struct output *o = arg;
	char age[CTL_AGE_TEXT];
	int64_t next = ctl_int(row, "next_s", -1);

	if (o->ctl->json) {
		o->rows++;
		ctl_print_json(row);
		return;
	}
	if (o->rows++ != 0)
		(void)putchar('\n');
	show_line("qid", ctl_text(row, "qid"));
	show_line("mid", ctl_text(row, "mid"));
	show_line("state", ctl_text(row, "state"));
	show_line("age", ctl_format_age(ctl_int(row, "age_s", 0), age));
	if (next >= 0 && strcmp(ctl_text(row, "state"), "held") != 0)
		show_line("next try in", ctl_format_age(next, age));
	show_line("tries", ctl_text(row, "attempts"));
	show_line("size", ctl_text(row, "size"));
	show_line("from", sender_text(row));
	show_line("login", ctl_text(row, "login"));
	show_line("principal", ctl_text(row, "principal"));
	show_line("client", ctl_text(row, "client"));
	show_line("listener", ctl_text(row, "listener"));
	show_line("transport", ctl_text(row, "transport"));
	show_line("destination", ctl_text(row, "dest"));
	show_line("reason", ctl_text(row, "reason"));
	show_recipients(json_object_get(row, "recipients"));
	if (json_is_string(json_object_get(row, "headers")))
		show_headers(ctl_text(row, "headers"));
}

static int
run_show(struct ctl *ctl, const struct ctl_command *cmd, int argc, char **argv)
{
	struct ctl_selection s;
	struct output o = {.ctl = ctl};
	int rc = ctl_select_parse(ctl, cmd, argc, argv, false, &s);
	const json_t *ids, *id;
	size_t i;

	if (rc != 0)
		return rc == -1 ? CTL_OK : rc;
	ids = json_object_get(s.select, "ids");
	if (json_array_size(ids) == 0 || json_object_size(s.select) != 1) {
		ctl_error("queue show needs queue ids or message ids, and nothing else");
		rc = CTL_USAGE;
	}
	json_array_foreach(ids, i, id)
	{
		if (rc != CTL_USAGE) {
			size_t before = o.rows;
			int one = ctl_request(ctl,
			    json_pack(
				"{s:s,s:s}", "cmd", "queue.show", "id", json_string_value(id)),
			    show_row, &o);

			if (one == CTL_OK && o.rows == before) {
				ctl_error("%s is not in the queue; see submitctl history %s",
				    json_string_value(id), json_string_value(id));
				one = CTL_FAILED;
			}
			if (one > rc)
				rc = one;
		}
	}
	ctl_select_clear(&s);
	return rc;
}

/* ---- actions ------------------------------------------------------------------------------------
 */

static const struct {
	const char *name, *request, *done;
} actions[] = {
    {"retry", "queue.retry", "to be tried now"},
    {"hold", "queue.hold", "held"},
    {"release", "queue.release", "released"},
    {"remove", "queue.remove", "removed"},
    {"bounce", "queue.bounce", "bounced"},
};

static void
action_row(void *arg, const json_t *row)
{
	struct output *o = arg;

	o->count += ctl_int(row, "count", 0);
	if (o->ctl->json)
		ctl_print_json(row);
}

static int
run_action(struct ctl *ctl, const struct ctl_command *cmd, size_t action, int argc, char **argv)
{
	struct ctl_selection s;
	struct output o = {.ctl = ctl};
	int rc = ctl_select_parse(ctl, cmd, argc, argv, true, &s);

	if (rc != 0)
		return rc == -1 ? CTL_OK : rc;
	if (!s.any || s.limit != 0) {
		ctl_error(s.limit != 0
			      ? "queue %s takes no --limit"
			      : "queue %s: say which (ids, --sender, --domain, …), or --all",
		    actions[action].name);
		ctl_select_clear(&s);
		return CTL_USAGE;
	}
	rc = ctl_request(ctl,
	    json_pack("{s:s,s:O,s:s}", "cmd", actions[action].request, "select", s.select, "user",
		ctl_user()),
	    action_row, &o);
	ctl_select_clear(&s);
	if (rc != CTL_OK)
		return rc;
	if (o.count == 0) {
		ctl_error("nothing was selected, nothing was done");
		return CTL_FAILED;
	}
	if (!ctl->json)
		(void)printf("%lld %s\n", (long long)o.count, actions[action].done);
	return CTL_OK;
}

/* ---- rebuild ------------------------------------------------------------------------------------
 */

/* Works as the owner of the spool: what it makes must be the queue's, not root's. */
static int
become_owner(const char *spool)
{
	struct stat st;

	if (stat(spool, &st) == -1) {
		ctl_error("queue rebuild: %s: %s", spool, strerror(errno));
		return -1;
	}
	if (geteuid() == 0 && (setegid(st.st_gid) == -1 || seteuid(st.st_uid) == -1)) {
		ctl_error(
		    "queue rebuild: cannot act as the owner of %s: %s", spool, strerror(errno));
		return -1;
	}
	return 0;
}

/* Offline: makes a lost database again from the body files (submitd-queue(7)). */
static int
run_rebuild(struct ctl *ctl, int argc)
{
	struct queue_rebuild_stats st = {0};
	struct conf *c;
	char err[400] = "";
	int rc;

	if (argc > 1) {
		ctl_error("queue rebuild takes no argument");
		return CTL_USAGE;
	}
	if ((c = ctl_conf_load(ctl, false)) == NULL)
		return CTL_FAILED;
	rc = become_owner(c->server->spool);
	if (rc == 0 && (rc = queue_rebuild(c->server->spool, &st, err, sizeof(err))) == -1)
		ctl_error("queue rebuild: %s", err);
	conf_free(c);
	if (rc == -1)
		return CTL_FAILED;
	if (ctl->json)
		(void)printf("{\"messages\":%llu,\"recipients\":%llu,\"damaged\":%llu}\n",
		    (unsigned long long)st.messages, (unsigned long long)st.recipients,
		    (unsigned long long)st.damaged);
	else
		(void)printf(
		    "%llu messages for %llu recipients are back, held; %llu places could "
		    "not be read\nstart submitd, look at them (submitctl queue list --state "
		    "held) and release what is to be sent\n",
		    (unsigned long long)st.messages, (unsigned long long)st.recipients,
		    (unsigned long long)st.damaged);
	return CTL_OK;
}

int
ctl_queue(struct ctl *ctl, int argc, char **argv)
{
	const struct ctl_command *cmd = ctl_command_find("queue");
	const char *what = argc > 1 ? argv[1] : NULL;

	if (what == NULL ||
	    (what[0] == '-' && strcmp(what, "--help") != 0 && strcmp(what, "-h") != 0))
		return run_list(ctl, cmd, argc, argv, false);
	if (strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0 || strcmp(what, "help") == 0) {
		ctl_print_help(cmd);
		return CTL_OK;
	}
	if ((what[0] >= '0' && what[0] <= '9') || strlen(what) == UUID_TEXT)
		return run_list(ctl, cmd, argc, argv, false);
	if (strcmp(what, "list") == 0)
		return run_list(ctl, cmd, argc - 1, argv + 1, false);
	if (strcmp(what, "show") == 0)
		return run_show(ctl, cmd, argc - 1, argv + 1);
	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		if (strcmp(what, actions[i].name) == 0)
			return run_action(ctl, cmd, i, argc - 1, argv + 1);
	if (strcmp(what, "rebuild") == 0)
		return run_rebuild(ctl, argc - 1);
	ctl_error("queue: there is no \"%s\"; right is list, show, retry, hold, release, remove, "
		  "bounce or rebuild",
	    what);
	return CTL_USAGE;
}

int
ctl_history(struct ctl *ctl, int argc, char **argv)
{
	return run_list(ctl, ctl_command_find("history"), argc, argv, true);
}
