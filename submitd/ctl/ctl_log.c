/* SPDX-License-Identifier: ISC */
/*
 * submitctl log: finds messages and sessions in the log files and prints every event
 * of each, whatever process wrote it. Needs no daemon; reads the files as whoever
 * runs it. Three passes, so that memory is bounded by what is shown, not by the log.
 */
#include "ctl/ctl.h"

#include "base/str.h"
#include "ctl/ctl_log_line.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_GROUPS 1000
#define MAX_SIDS 8        /* sessions of one message: it has one, replays may add */
#define MAX_EVENTS 100000 /* shown in all */
#define MAX_ROTATED 9

/* A message, a session without one, or a single event of neither. */
struct group {
	char id[64]; /* mid, or sid; empty: a single event */
	bool is_sid;
	char sids[MAX_SIDS][32];
	size_t n_sids;
	char **lines;
	size_t n_lines, cap;
};
struct search {
	struct ctl *ctl;
	struct log_query query;
	struct group groups[MAX_GROUPS];
	size_t n_groups, limit, dropped, n_events, n_files;
	FILE *files[2 + 8 * (MAX_ROTATED + 1)];
};

static void
group_free(struct group *g)
{
	for (size_t i = 0; i < g->n_lines; i++)
		free(g->lines[i]);
	free(g->lines);
}

static struct group *
group_find(struct search *s, const char *id, bool is_sid)
{
	for (size_t i = s->n_groups; i > 0; i--)
		if (s->groups[i - 1].is_sid == is_sid && strcmp(s->groups[i - 1].id, id) == 0)
			return &s->groups[i - 1];
	return NULL;
}

/* The newest ones are kept. */
static void
group_add(struct search *s, const char *id, bool is_sid)
{
	struct group *g;

	if (id[0] != '\0' && group_find(s, id, is_sid) != NULL)
		return;
	if (s->n_groups == s->limit) {
		group_free(&s->groups[0]);
		memmove(&s->groups[0], &s->groups[1], (s->n_groups - 1) * sizeof(s->groups[0]));
		s->n_groups--;
		s->dropped++;
	}
	g = &s->groups[s->n_groups++];
	memset(g, 0, sizeof(*g));
	g->is_sid = is_sid;
	(void)str_printf(g->id, sizeof(g->id), "%.63s", id);
	if (is_sid && str_copy(g->sids[0], sizeof(g->sids[0]), id) == 0)
		g->n_sids = 1;
}

static bool
has_sid(const struct group *g, const char *sid)
{
	for (size_t i = 0; i < g->n_sids; i++)
		if (strcmp(g->sids[i], sid) == 0)
			return true;
	return false;
}

/* ---- the passes --------------------------------------------------------------------------------
 */

typedef void line_fn(struct search *, struct span, const struct log_event_line *);

/* Which sessions brought the messages that were found. */
static void
pass_sessions(struct search *s, struct span line, const struct log_event_line *l)
{
	const char *mid = log_line_get(l, "mid"), *sid = log_line_get(l, "sid");
	struct group *g;

	(void)line;
	if (mid == NULL || sid == NULL)
		return;
	g = group_find(s, mid, false);
	if (g != NULL && g->n_sids < MAX_SIDS && !has_sid(g, sid) &&
	    str_copy(g->sids[g->n_sids], sizeof(g->sids[0]), sid) == 0)
		g->n_sids++;
}

static void
group_event(struct search *s, struct group *g, const struct log_event_line *l)
{
	struct buf b = BUF_INIT;

	if (s->n_events >= MAX_EVENTS)
		return;
	s->n_events++;
	log_line_format(l, s->ctl->json, &b);
	if (g->n_lines == g->cap) {
		g->cap = g->cap == 0 ? 16 : g->cap * 2;
		g->lines = xreallocarray(g->lines, g->cap, sizeof(*g->lines));
	}
	g->lines[g->n_lines++] = xstrdup(buf_cstr(&b));
	buf_clear(&b);
}

static void
pass_match(struct search *s, struct span line, const struct log_event_line *l)
{
	const char *mid = log_line_get(l, "mid"), *sid = log_line_get(l, "sid");

	if (!log_query_match(&s->query, line, l))
		return;
	if (mid != NULL)
		group_add(s, mid, false);
	else if (sid != NULL)
		group_add(s, sid, true);
	else {
		group_add(s, "", false);
		group_event(s, &s->groups[s->n_groups - 1], l);
	}
}

static void
pass_collect(struct search *s, struct span line, const struct log_event_line *l)
{
	const char *mid = log_line_get(l, "mid"), *sid = log_line_get(l, "sid");
	struct group *g;

	(void)line;
	if (mid != NULL) {
		g = group_find(s, mid, false);
		if (g != NULL) {
			group_event(s, g, l);
			return;
		}
	}
	if (sid == NULL)
		return;
	for (size_t i = 0; i < s->n_groups; i++) {
		/* a message shows its session, a session all that is in it */
		if (has_sid(&s->groups[i], sid) && (mid == NULL || s->groups[i].is_sid))
			group_event(s, &s->groups[i], l);
	}
}

static void
run_pass(struct search *s, line_fn *fn)
{
	struct log_event_line l = {0};
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	for (size_t i = 0; i < s->n_files; i++) {
		rewind(s->files[i]);
		while ((n = getline(&line, &cap, s->files[i])) > 0) {
			struct span sp = {line, (size_t)n};

			if (sp.p[sp.n - 1] == '\n')
				sp.n--;
			if (log_line_parse(sp, &l) == 0)
				fn(s, sp, &l);
		}
	}
	free(line);
	log_line_clear(&l);
}

/* ---- the files ----------------------------------------------------------------------------------
 */

/* -1 with errno, ENOENT where there is none. */
static int
add_file(struct search *s, const char *path)
{
	FILE *f;

	if (s->n_files == sizeof(s->files) / sizeof(s->files[0])) {
		errno = EMFILE;
		return -1;
	}
	f = fopen(path, "re");
	if (f == NULL)
		return -1;
	s->files[s->n_files++] = f;
	return 0;
}

/* Standard input is read three times: from a copy. */
static int
add_stdin(struct search *s)
{
	FILE *f = tmpfile();
	char block[65536];
	size_t n;

	if (f == NULL)
		return -1;
	while ((n = fread(block, 1, sizeof(block), stdin)) > 0) {
		if (fwrite(block, 1, n, f) != n) {
			(void)fclose(f);
			return -1;
		}
	}
	s->files[s->n_files++] = f;
	return 0;
}

/* Oldest first: FILE.9 … FILE.1, FILE. */
static int
add_rotated(struct search *s, const char *path)
{
	char old[4200];

	for (int i = MAX_ROTATED; i >= 1; i--) {
		if (str_printf(old, sizeof(old), "%s.%d", path, i) == 0 && add_file(s, old) == -1 &&
		    errno != ENOENT)
			ctl_error("%s: %s", old, strerror(errno));
	}
	if (add_file(s, path) == -1) {
		ctl_error("%s: %s", path, strerror(errno));
		return -1;
	}
	return 0;
}

static int
add_configured(struct search *s)
{
	struct conf *c = ctl_conf_load(s->ctl, false);
	int rc = 0;
	bool any = false;

	if (c == NULL) {
		ctl_error("without a usable configuration, name the log with --file");
		return -1;
	}
	for (size_t i = 0; i < c->log->targets.n; i++) {
		const char *t = c->log->targets.v[i];

		if (strncmp(t, "file:", 5) != 0)
			continue;
		any = true;
		if (add_rotated(s, t + 5) == -1)
			rc = -1;
	}
	if (!any) {
		ctl_error("the log does not go to a file; for the journal use: "
			  "journalctl -u submitd -o cat | submitctl log --file - QUERY");
		rc = -1;
	}
	conf_free(c);
	return rc;
}

static void
print_groups(struct search *s)
{
	for (size_t i = 0; i < s->n_groups; i++) {
		const struct group *g = &s->groups[i];

		if (!s->ctl->json && g->id[0] == '\0') {
			(void)puts(i == 0 ? "event" : "\nevent");
		} else if (!s->ctl->json) {
			(void)printf("%s%s%s %s%s\n", i == 0 ? "" : "\n",
			    ctl_colour() ? "\033[1m" : "", g->is_sid ? "session" : "message", g->id,
			    ctl_colour() ? "\033[0m" : "");
		}
		for (size_t k = 0; k < g->n_lines; k++) {
			if (!s->ctl->json)
				(void)fputs("  ", stdout);
			ctl_print_clean(g->lines[k]);
			(void)putchar('\n');
		}
	}
	if (s->dropped != 0)
		ctl_error("only the newest %zu are shown, --limit shows more", s->n_groups);
	if (s->n_events >= MAX_EVENTS)
		ctl_error("more than %d events: the rest is left out", MAX_EVENTS);
}

/* 0: go on; -1: help was printed; else an exit code. */
static int
read_options(struct search *s, int argc, char **argv, const char **file)
{
	static const struct option longs[] = {{"file", required_argument, NULL, 'F'},
	    {"limit", required_argument, NULL, 'l'}, {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	uint64_t n;
	int ch;

	optind = 0;
	while ((ch = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (ch) {
		case 'F':
			*file = optarg;
			break;
		case 'l':
			if (str_to_u64(optarg, 1, MAX_GROUPS, &n) == -1) {
				ctl_error("--limit %s: 1 to %d is right", optarg, MAX_GROUPS);
				return CTL_USAGE;
			}
			s->limit = (size_t)n;
			break;
		case 'j':
			s->ctl->json = true;
			break;
		case 'h':
			ctl_print_help(ctl_command_find("log"));
			return -1;
		default:
			return CTL_USAGE;
		}
	}
	if (argc - optind != 1) {
		ctl_error("log needs one QUERY (quote it when it holds blanks)");
		return CTL_USAGE;
	}
	return 0;
}

static int
run(struct search *s, const char *file)
{
	int rc;

	if (file == NULL)
		rc = add_configured(s);
	else if (strcmp(file, "-") == 0)
		rc = add_stdin(s);
	else
		rc = add_file(s, file);
	if (rc == -1 && s->n_files == 0) {
		if (file != NULL)
			ctl_error("%s: %s", file, strerror(errno));
		return CTL_FAILED;
	}
	run_pass(s, pass_match);
	if (s->n_groups == 0) {
		ctl_error("nothing in the log matches");
		return CTL_FAILED;
	}
	run_pass(s, pass_sessions);
	run_pass(s, pass_collect);
	print_groups(s);
	return rc == -1 ? CTL_FAILED : CTL_OK;
}

int
ctl_log(struct ctl *ctl, int argc, char **argv)
{
	struct search *s = xcallocarray(1, sizeof(*s));
	const char *file = NULL;
	char err[300];
	int rc;

	s->ctl = ctl;
	s->limit = 20;
	rc = read_options(s, argc, argv, &file);
	if (rc == 0 && log_query_parse(argv[optind], &s->query, err, sizeof(err)) == -1) {
		ctl_error("%s", err);
		rc = CTL_USAGE;
	}
	if (rc == 0)
		rc = run(s, file);
	for (size_t i = 0; i < s->n_files; i++)
		(void)fclose(s->files[i]);
	for (size_t i = 0; i < s->n_groups; i++)
		group_free(&s->groups[i]);
	log_query_clear(&s->query);
	free(s);
	return rc == -1 ? CTL_OK : rc;
}
