/* SPDX-License-Identifier: ISC */
/*
 * submitctl audit report and user (A5): who logged in and sent, from where, what failed,
 * which networks are new, whose TLS is weak; what was recorded again counts once. One pass; memory
 * grows with the number of users and their networks, which is bounded.
 */
#include "ctl/ctl_audit.h"

#include "base/str.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 500000u
#define BUCKETS 65536u
#define NOBODY "(names not shown)"

/* A user in a network. */
struct row {
	struct row *next;
	char *user, network[NET_ADDR_TEXT];
	bool before; /* seen there before the period */
	uint64_t logins, failed, temporary, messages, rcpts, weak;
	char first[32], last[32]; /* within the period; empty: nothing was */
	char tls[16];             /* the weakest */
};
enum form { FORM_TEXT = 0, FORM_CSV = 1, FORM_JSON = 2 };
struct report {
	struct ctl *ctl;
	struct ctl_audit_query q; /* since is applied by us */
	char since[32];
	enum form form;
	struct ctl_audit_senders senders;
	struct row *buckets[BUCKETS];
	size_t n;
	bool too_many;
	uint64_t refused, gaps, lost, died, strange;
};

static struct row *
row_get(struct report *r, const char *user, const char *network)
{
	uint32_t h = 2166136261u;
	struct row *w;

	for (const char *p = user; *p != '\0'; p++)
		h = (h ^ (uint8_t)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p)) * 16777619u;
	for (const char *p = network; *p != '\0'; p++)
		h = (h ^ (uint8_t)*p) * 16777619u;
	h = (h ^ h >> 15) & (BUCKETS - 1);
	for (w = r->buckets[h]; w != NULL; w = w->next)
		if (strcmp(w->network, network) == 0 && str_eq_nocase(w->user, user))
			return w;
	if (r->n == ROWS_MAX) {
		r->too_many = true;
		return NULL;
	}
	w = xcallocarray(1, sizeof(*w));
	w->user = xstrdup(user);
	(void)str_copy(w->network, sizeof(w->network), network);
	w->next = r->buckets[h];
	r->buckets[h] = w;
	r->n++;
	return w;
}

/* No TLS, or a version that is deprecated (RFC 8996). */
static bool
is_weak(const char *tls)
{
	return tls == NULL || strcmp(tls, "TLSv1") == 0 || strcmp(tls, "TLSv1.0") == 0 ||
	       strcmp(tls, "TLSv1.1") == 0 || strcmp(tls, "SSLv3") == 0;
}

static void
count(struct row *w, const json_t *o, bool is_auth)
{
	const char *verdict = ctl_text(o, "verdict");
	const char *tls = json_string_value(json_object_get(o, "tls"));

	if (is_auth && strcmp(verdict, "ok") == 0)
		w->logins++;
	else if (is_auth && strcmp(verdict, "temp") == 0)
		w->temporary++;
	else if (is_auth)
		w->failed++;
	else {
		w->messages++;
		w->rcpts += (uint64_t)ctl_int(o, "rcpts", 0);
	}
	if (is_weak(tls)) {
		w->weak++;
		(void)str_printf(w->tls, sizeof(w->tls), "%.15s", tls == NULL ? "none" : tls);
	}
	if (w->first[0] == '\0')
		(void)str_printf(w->first, sizeof(w->first), "%.31s", ctl_text(o, "time"));
	(void)str_printf(w->last, sizeof(w->last), "%.31s", ctl_text(o, "time"));
}

static void
on_line(void *arg, struct span line, bool whole)
{
	struct report *r = arg;
	json_t *o = whole ? ctl_audit_match(&r->q, line) : NULL;
	const char *kind, *who;
	char network[NET_ADDR_TEXT];
	bool inside, is_auth;
	struct row *w;

	r->strange += !whole;
	if (o == NULL || ctl_audit_is_repeated(&r->senders, o))
		goto out;
	kind = ctl_text(o, "kind");
	inside =
	    r->since[0] == '\0' || strncmp(ctl_text(o, "time"), r->since, strlen(r->since)) >= 0;
	is_auth = strcmp(kind, "auth") == 0;
	if (is_auth || strcmp(kind, "accept") == 0) {
		who = ctl_audit_who(o);
		/* mail that nobody logged in for is no matter of users */
		if (who == NULL && !is_auth)
			goto out;
		ctl_audit_network(json_string_value(json_object_get(o, "client")), network);
		w = row_get(r, who == NULL ? NOBODY : who, network);
		/* a network is known by what succeeded there, not by who tried */
		if (w != NULL && inside)
			count(w, o, is_auth);
		else if (w != NULL && (!is_auth || strcmp(ctl_text(o, "verdict"), "ok") == 0))
			w->before = true;
	} else if (inside) {
		r->refused += strcmp(kind, "relay") == 0;
		r->died += strcmp(kind, "died") == 0;
		r->gaps += strcmp(kind, "gap") == 0;
		if (strcmp(kind, "gap") == 0)
			r->lost += (uint64_t)ctl_int(o, "lost", 0);
	}
out:
	json_decref(o);
}

/* ---- output ---------------------------------------------------------------------------------- */

static int
row_compare(const void *a, const void *b)
{
	const struct row *const *x = a, *const *y = b;
	int rc = strcasecmp((*x)->user, (*y)->user);

	return rc != 0 ? rc : strcmp((*x)->network, (*y)->network);
}

/* Those of the period, by user; malloc'ed. */
static struct row **
rows_sorted(const struct report *r, size_t *n)
{
	struct row **v = xcallocarray(r->n + 1, sizeof(*v));

	*n = 0;
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct row *w = r->buckets[i]; w != NULL; w = w->next)
			if (w->first[0] != '\0')
				v[(*n)++] = w;
	qsort(v, *n, sizeof(*v), row_compare);
	return v;
}

static bool
is_new(const struct report *r, const struct row *w)
{
	return r->since[0] != '\0' && !w->before && w->logins + w->messages > 0;
}

/* Quoted; a spreadsheet must not take a name for a formula. */
static void
csv_text(const char *s)
{
	(void)putchar('"');
	if (strchr("=+-@\t\r", s[0]) != NULL && s[0] != '\0')
		(void)putchar('\'');
	for (; *s != '\0'; s++) {
		if (*s == '"')
			(void)putchar('"');
		(void)putchar((unsigned char)*s < 0x20 ? ' ' : *s);
	}
	(void)putchar('"');
}

static void
print_csv(const struct report *r, struct row **v, size_t n)
{
	(void)puts(
	    "user,network,new,logins,failed,temporary,messages,recipients,weak_tls,tls,first,"
	    "last");
	for (size_t i = 0; i < n; i++) {
		const struct row *w = v[i];

		csv_text(w->user);
		(void)printf(",%s,%d,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64
			     ",%" PRIu64 ",",
		    w->network, is_new(r, w), w->logins, w->failed, w->temporary, w->messages,
		    w->rcpts, w->weak);
		csv_text(w->tls);
		(void)printf(",%s,%s\n", w->first, w->last);
	}
}

static void
print_rows_json(const struct report *r, struct row **v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct row *w = v[i];
		json_t *o = json_pack("{s:s,s:s,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:s,s:s}", "user",
		    w->user, "network", w->network, "new", is_new(r, w), "logins",
		    (json_int_t)w->logins, "failed", (json_int_t)w->failed, "temporary",
		    (json_int_t)w->temporary, "messages", (json_int_t)w->messages, "recipients",
		    (json_int_t)w->rcpts, "weak_tls", (json_int_t)w->weak, "tls", w->tls, "first",
		    w->first, "last", w->last);

		if (o != NULL)
			ctl_print_json(o);
		json_decref(o);
	}
	(void)printf("{\"relays_refused\":%" PRIu64 ",\"gaps\":%" PRIu64 ",\"lost\":%" PRIu64
		     ",\"died\":%" PRIu64 "}\n",
	    r->refused, r->gaps, r->lost, r->died);
}

static void
print_table(const struct report *r, struct row **v, size_t n)
{
	static const struct ctl_column columns[] = {{"USER", false, true},
	    {"NETWORK", false, false}, {"", false, false}, {"LOGINS", true, false},
	    {"FAILED", true, false}, {"UNSURE", true, false}, {"MESSAGES", true, false},
	    {"RCPTS", true, false}, {"WEAK TLS", false, false}, {"LAST", false, false}};
	struct ctl_table t;

	ctl_table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < n; i++) {
		const struct row *w = v[i];
		char hold[6][40];
		const uint64_t numbers[] = {
		    w->logins, w->failed, w->temporary, w->messages, w->rcpts};

		for (size_t k = 0; k < 5; k++)
			(void)snprintf(hold[k], sizeof(hold[k]), "%" PRIu64, numbers[k]);
		if (w->weak > 0)
			(void)snprintf(
			    hold[5], sizeof(hold[5]), "%" PRIu64 " (%s)", w->weak, w->tls);
		else
			hold[5][0] = '\0';
		const char *cells[] = {
		    i > 0 && str_eq_nocase(v[i - 1]->user, w->user) ? "" : w->user, w->network,
		    is_new(r, w) ? "new" : "", hold[0], hold[1], hold[2], hold[3], hold[4], hold[5],
		    w->last};
		ctl_table_add(&t, cells);
	}
	ctl_table_end(&t);
	if (r->refused > 0)
		(void)printf("%" PRIu64 " relays refused\n", r->refused);
	if (r->gaps + r->died > 0)
		(void)printf("%" PRIu64 " records are missing in %" PRIu64 " gaps; %" PRIu64
			     " times a process died\n",
		    r->lost, r->gaps, r->died);
}

static void
report_free(struct report *r)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct row *w = r->buckets[i], *next; w != NULL; w = next) {
			next = w->next;
			free(w->user);
			free(w);
		}
	}
	free(r);
}

static int
run(struct report *r, int n_named, char **named)
{
	struct ctl_audit_files files;
	struct row **v;
	int rc = CTL_OK;
	size_t n;

	if (ctl_audit_files(r->ctl, n_named, named, &files) == -1)
		return CTL_FAILED;
	for (size_t i = 0; i < files.n; i++)
		if (ctl_audit_read(files.paths[i], on_line, r) == -1)
			rc = CTL_FAILED;
	ctl_audit_files_clear(&files);
	v = rows_sorted(r, &n);
	if (r->form == FORM_CSV)
		print_csv(r, v, n);
	else if (r->form == FORM_JSON)
		print_rows_json(r, v, n);
	else
		print_table(r, v, n);
	free(v);
	ctl_audit_tell_strange(r->strange);
	if (n == 0 && r->q.user != NULL && rc == CTL_OK) {
		ctl_error(
		    "the audit record has no login and no message of %s in that time", r->q.user);
		rc = CTL_FAILED;
	}
	if (r->too_many) {
		ctl_error("more than %u users and networks: the rest is left out", ROWS_MAX);
		rc = CTL_FAILED;
	}
	return rc;
}

static int
report(struct ctl *ctl, int argc, char **argv, bool one_user)
{
	static const struct option longs[] = {{"since", required_argument, NULL, 's'},
	    {"until", required_argument, NULL, 'e'}, {"file", required_argument, NULL, 'f'},
	    {"csv", no_argument, NULL, 'c'}, {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	struct report *r = xcallocarray(1, sizeof(*r));
	char *named[CTL_AUDIT_FILES];
	int ch, n_named = 0, rc = CTL_USAGE;

	r->ctl = ctl;
	r->q.strange = &r->strange;
	r->form = ctl->json ? FORM_JSON : FORM_TEXT;
	optind = 0;
	while ((ch = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (ch == 'c') {
			r->form = FORM_CSV;
		} else if (ch == 'j') {
			r->form = FORM_JSON;
		} else if (ch == 'f' && n_named < CTL_AUDIT_FILES) {
			named[n_named++] = optarg;
		} else if (ch == 's' || ch == 'e') {
			if (ctl_audit_time(optarg, ch == 's' ? r->since : r->q.until) == 0)
				continue;
			ctl_error("%s: an age (30d) or a time in UTC (2026-11-25T12:00) is right",
			    optarg);
			goto out;
		} else {
			if (ch == 'h')
				ctl_print_help(ctl_command_find("audit"));
			rc = ch == 'h' ? CTL_OK : CTL_USAGE;
			goto out;
		}
	}
	if (argc - optind != (one_user ? 1 : 0)) {
		ctl_error(one_user ? "audit user needs one user" : "audit report takes no operand");
		goto out;
	}
	r->q.user = one_user ? argv[optind] : NULL;
	rc = run(r, n_named, named);
out:
	report_free(r);
	return rc;
}

int
ctl_audit_report(struct ctl *ctl, int argc, char **argv)
{
	return report(ctl, argc, argv, false);
}

int
ctl_audit_user(struct ctl *ctl, int argc, char **argv)
{
	return report(ctl, argc, argv, true);
}
