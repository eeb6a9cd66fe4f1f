/* SPDX-License-Identifier: ISC */
/*
 * submitctl audit verify: what was done to the audit record, and what nobody can know
 * (A4). The checks are those of audit/audit_verify.h; this file reads and prints.
 */
#include "ctl/ctl_audit.h"

#include "audit/audit_verify.h"
#include "base/enc.h"
#include "base/str.h"
#include "ctl/ctl_log_line.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct verify {
	struct ctl *ctl;
	const char *pub_path;
	const char *texts[1000]; /* --checkpoint */
	size_t n_texts;
	const char *logs[100]; /* --checkpoints */
	size_t n_logs;
	struct audit_key *pub;
	struct audit_verify *v;
	uint64_t outside, bad;
	const char *log;
	uint64_t log_line;
};

static void
print_finding(void *arg, const struct audit_finding *f)
{
	struct verify *x = arg;
	struct buf b = BUF_INIT;

	if (x->ctl->json) {
		buf_addf(&b,
		    "{\"finding\":\"%s\",\"file\":", f->kind == AUDIT_PROBLEM ? "problem" : "note");
		json_add_str(&b, span_of(f->file));
		buf_addf(
		    &b, ",\"line\":%" PRIu64 ",\"seq\":%" PRIu64 ",\"text\":", f->line, f->seq);
		json_add_str(&b, span_of(f->text));
		buf_add_byte(&b, '}');
		(void)puts(buf_cstr(&b));
	} else {
		if (f->line != 0)
			buf_addf(&b, "%s:%" PRIu64 ": ", f->file, f->line);
		if (f->kind == AUDIT_NOTE)
			buf_add_str(&b, "note: ");
		buf_add_str(&b, f->text);
		ctl_print_clean(buf_cstr(&b));
		(void)putchar('\n');
	}
	buf_clear(&b);
}

/* A checkpoint that cannot be used is a problem: somebody wants it to be believed. */
static void
outside_add(struct verify *x, struct span text, const char *where)
{
	char err[200], words[600];
	struct audit_finding f = {AUDIT_PROBLEM, where, x->log_line, 0, words};

	if (audit_verify_checkpoint(x->v, text, err, sizeof(err)) == 0) {
		x->outside++;
		return;
	}
	(void)snprintf(words, sizeof(words), "checkpoint %.*s: %s",
	    (int)(text.n > 300 ? 300 : text.n), text.p, err);
	x->bad++;
	print_finding(x, &f);
}

static void
on_log_line(void *arg, struct span line, bool whole)
{
	struct verify *x = arg;
	struct log_event_line l = {0};
	const char *event, *seq, *hash, *sig, *key;

	(void)whole;
	x->log_line++;
	if (line.n < 10 || memmem(line.p, line.n, "checkpoint", 10) == NULL ||
	    log_line_parse(line, &l) == -1)
		goto out;
	event = log_line_get(&l, "event");
	seq = log_line_get(&l, "seq");
	hash = log_line_get(&l, "hash");
	sig = log_line_get(&l, "sig");
	key = log_line_get(&l, "key");
	if (event == NULL || strcmp(event, "checkpoint") != 0 || seq == NULL || hash == NULL ||
	    sig == NULL)
		goto out;
	/* another record's, or one of before the key was changed */
	if (x->pub != NULL && key != NULL && strcmp(key, audit_key_id(x->pub)) != 0)
		goto out;
	char *text = xasprintf("%s:%s:%s", seq, hash, sig);
	outside_add(x, span_of(text), x->log);
	free(text);
out:
	log_line_clear(&l);
}

static void
on_line(void *arg, struct span line, bool whole)
{
	struct verify *x = arg;

	audit_verify_line(x->v, line, whole);
}

static const char *
verdict(const struct verify *x, const struct audit_summary *s)
{
	if (s->problems + x->bad > 0)
		return "bad";
	if (s->records == 0)
		return "empty";
	return x->pub == NULL ? "unsigned" : "good";
}

static void
print_summary(const struct verify *x, const struct audit_summary *s, size_t files)
{
	char time[CTL_AGE_TEXT], hex[AUDIT_HASH_TEXT];
	uint64_t problems = s->problems + x->bad;

	audit_hash_format(&s->head, hex);
	if (x->ctl->json) {
		(void)printf("{\"verdict\":\"%s\",\"problems\":%" PRIu64
			     ",\"files\":%zu,\"records\":%" PRIu64 ",\"first_seq\":%" PRIu64
			     ",\"last_seq\":%" PRIu64
			     ",\"head\":\"%s\",\"key\":\"%s\",\"checkpoints\":%" PRIu64
			     ",\"signed_upto\":%" PRIu64 ",\"outside_checkpoints\":%" PRIu64
			     ",\"outside_upto\":%" PRIu64 ",\"lost\":%" PRIu64 "}\n",
		    verdict(x, s), problems, files, s->records, s->first_seq, s->last_seq, hex,
		    x->pub == NULL ? "" : audit_key_id(x->pub), s->checkpoints, s->sealed,
		    x->outside, s->left, s->lost);
		return;
	}
	if (s->records == 0)
		(void)printf("no record in %zu file%s: ", files, files == 1 ? "" : "s");
	else
		(void)printf("%" PRIu64 " record%s, %" PRIu64 " to %" PRIu64 ", in %zu file%s: ",
		    s->records, s->records == 1 ? "" : "s", s->first_seq, s->last_seq, files,
		    files == 1 ? "" : "s");
	if (problems == 0)
		(void)puts("every one is in its place and unchanged");
	else
		(void)printf("%" PRIu64 " problem%s\n", problems, problems == 1 ? "" : "s");
	if (s->lost > 0)
		(void)printf(
		    "%" PRIu64 " records were never written: gap records say where\n", s->lost);
	if (x->pub == NULL) {
		(void)puts(
		    "no public key: signatures were not checked, all of it may have been made "
		    "anew; --pub names it");
	} else if (s->sealed > 0) {
		(void)printf("%" PRIu64
			     " checkpoint%s signed by key %s; the last covers record %" PRIu64
			     " and all before it (%s)\n",
		    s->checkpoints, s->checkpoints == 1 ? "" : "s", audit_key_id(x->pub), s->sealed,
		    ctl_format_time(s->sealed_ms / 1000, time));
	}
	if (s->last_seq > s->sealed && s->sealed > 0)
		(void)printf("not signed yet: records %" PRIu64 " to %" PRIu64 "\n", s->sealed + 1,
		    s->last_seq);
	if (s->left > 0)
		(void)printf(
		    "checkpoints that left the machine prove that nothing up to record %" PRIu64
		    " was cut or replaced, not even by who has the key\n",
		    s->left);
	if (s->records == 0)
		return;
	(void)printf("not known: whether records behind %" PRIu64 " were cut off%s\n", s->last_seq,
	    x->outside == 0 ? "; checkpoints that left the machine tell: --checkpoints" : "");
}

/* -1: errors were printed. */
static int
open_public(struct verify *x, const struct ctl_audit_files *f)
{
	const char *path = x->pub_path != NULL ? x->pub_path : f->pub;
	char err[300];

	if (path == NULL)
		return 0;
	x->pub = audit_key_public(path, err, sizeof(err));
	if (x->pub == NULL)
		ctl_error("%s", err);
	return x->pub == NULL && x->pub_path != NULL ? -1 : 0;
}

/* Each start signs: a record without any signature is not what the ledger wrote. */
static void
check_signed(struct verify *x, const struct audit_summary *s)
{
	char text[120];
	struct audit_finding f = {AUDIT_PROBLEM, "", 0, 0, text};

	if (x->pub == NULL || s->records == 0 || s->sealed > 0)
		return;
	(void)snprintf(text, sizeof(text),
	    "no checkpoint of key %s: all of it may have been made anew", audit_key_id(x->pub));
	x->bad++;
	print_finding(x, &f);
}

/* Whoever gives logs wants proof by them: none is no silent yes. */
static void
check_outside(struct verify *x)
{
	struct audit_finding f = {AUDIT_PROBLEM, x->log, 0, 0, NULL};
	char *text;

	if (x->n_logs == 0 || x->outside > 0 || x->bad > 0)
		return;
	text = xasprintf("%s no checkpoint%s%s: nothing that left the machine speaks for this "
			 "record",
	    "the logs that were given have", x->pub == NULL ? "" : " of key ",
	    x->pub == NULL ? "" : audit_key_id(x->pub));
	f.text = text;
	x->bad++;
	print_finding(x, &f);
	free(text);
}

/* No verdict is good over what was not seen. */
static void
unread(struct verify *x, const char *path)
{
	char *text = xasprintf("%s could not be read to its end", path);
	struct audit_finding f = {AUDIT_PROBLEM, path, 0, 0, text};

	x->bad++;
	print_finding(x, &f);
	free(text);
}

static int
run(struct verify *x, const struct ctl_audit_files *f)
{
	struct audit_summary sum;
	int rc = CTL_OK;

	if (open_public(x, f) == -1)
		return CTL_FAILED;
	x->v = audit_verify_new(x->pub, print_finding, x);
	for (size_t i = 0; i < x->n_texts; i++)
		outside_add(x, span_of(x->texts[i]), "");
	for (size_t i = 0; i < x->n_logs; i++) {
		x->log = x->logs[i];
		x->log_line = 0;
		if (ctl_audit_read(x->logs[i], on_log_line, x) == -1)
			unread(x, x->logs[i]);
	}
	check_outside(x);
	x->log_line = 0;
	for (size_t i = 0; i < f->n; i++) {
		audit_verify_file(x->v, f->paths[i]);
		if (ctl_audit_read(f->paths[i], on_line, x) == -1)
			unread(x, f->paths[i]);
	}
	audit_verify_end(x->v, &sum);
	check_signed(x, &sum);
	print_summary(x, &sum, f->n);
	audit_verify_free(x->v);
	if (strcmp(verdict(x, &sum), "good") != 0)
		rc = CTL_FAILED;
	audit_key_free(x->pub);
	return rc;
}

int
ctl_audit_verify(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = {{"pub", required_argument, NULL, 'p'},
	    {"checkpoint", required_argument, NULL, 'c'},
	    {"checkpoints", required_argument, NULL, 'C'}, {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	struct verify *x = xcallocarray(1, sizeof(*x));
	struct ctl_audit_files files;
	int ch, rc = CTL_USAGE;

	x->ctl = ctl;
	optind = 0;
	while ((ch = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (ch == 'p') {
			x->pub_path = optarg;
		} else if (ch == 'c' && x->n_texts < sizeof(x->texts) / sizeof(x->texts[0])) {
			x->texts[x->n_texts++] = optarg;
		} else if (ch == 'C' && x->n_logs < sizeof(x->logs) / sizeof(x->logs[0])) {
			x->logs[x->n_logs++] = optarg;
		} else if (ch == 'j') {
			ctl->json = true;
		} else {
			if (ch == 'h')
				ctl_print_help(ctl_command_find("audit"));
			rc = ch == 'h' ? CTL_OK : CTL_USAGE;
			goto out;
		}
	}
	rc = CTL_FAILED;
	if (ctl_audit_files(ctl, argc - optind, argv + optind, &files) == -1)
		goto out;
	rc = run(x, &files);
	ctl_audit_files_clear(&files);
out:
	free(x);
	return rc;
}
