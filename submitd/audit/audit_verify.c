/* SPDX-License-Identifier: ISC */
/*
 * Verification of an audit record (A4). Pure; run by submitctl, over files that
 * somebody may have written to deceive it: nothing read is trusted, nothing makes it
 * grow, and what it cannot know it says.
 */
#include "audit/audit_verify.h"

#include "base/str.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECKPOINTS_MAX 100000u

/* Lines that are no records, until the next one explains them. */
struct torn {
	uint64_t line; /* the first; 0: none */
	bool open;     /* the end of the file stands within the last one */
	struct buf text;
	char *file; /* owned; NULL: the one being read */
};
struct outside {
	uint64_t seq;
	struct audit_hash hash;
	bool seen;
};
struct audit_verify {
	const struct audit_key *pub;
	audit_finding_fn *fn;
	void *arg;
	struct audit_summary sum;
	const char *file;
	uint64_t n_files, line;
	/* the record before, by its own words */
	bool have_prev;
	uint64_t prev_seq;
	struct audit_hash prev_hash;
	/* another record of the same number: one of the two does not belong there */
	bool have_other;
	struct audit_hash other_hash;
	struct torn torn, before; /* in this file; at the end of the one before */
	struct outside *outside;  /* sorted by number at the first line */
	size_t n_outside, cap_outside;
	bool sorted;
};
#define TORN_KEEP (1u << 20) /* more than the longest line */

struct audit_verify *
audit_verify_new(const struct audit_key *pub, audit_finding_fn *fn, void *arg)
{
	struct audit_verify *v = xcallocarray(1, sizeof(*v));

	v->pub = pub;
	v->fn = fn;
	v->arg = arg;
	v->file = "";
	return v;
}

static void
torn_clear(struct torn *t)
{
	buf_clear(&t->text);
	free(t->file);
	*t = (struct torn){.line = 0};
}

void
audit_verify_free(struct audit_verify *v)
{
	if (v == NULL)
		return;
	torn_clear(&v->torn);
	torn_clear(&v->before);
	free(v->outside);
	free(v);
}

static void __attribute__((format(printf, 5, 6))) tell(struct audit_verify *v,
    enum audit_finding_kind kind, uint64_t line, uint64_t seq, const char *fmt, ...)
{
	char text[400];
	struct audit_finding f = {kind, v->file, line, seq, text};
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	v->sum.problems += kind == AUDIT_PROBLEM;
	v->fn(v->arg, &f);
}

/* ---- checkpoints that left the machine ------------------------------------------------------- */

int
audit_verify_checkpoint(struct audit_verify *v, struct span text, char *err, size_t errsize)
{
	struct span rest = text, number = span_cut(&rest, ':'), hash = span_cut(&rest, ':');
	struct outside o = {.seen = false};
	int64_t ms;

	if (rest.p == NULL || span_to_u64(number, 0, UINT64_MAX - 1, &o.seq) == -1 ||
	    audit_hash_parse(hash, &o.hash) == -1) {
		(void)str_copy(err, errsize, "it is not of the form SEQ:HASH:SIG");
		return -1;
	}
	if (v->pub != NULL && !audit_key_check(v->pub, o.seq, &o.hash, rest, &ms)) {
		(void)str_printf(
		    err, errsize, "its signature is not of key %s", audit_key_id(v->pub));
		return -1;
	}
	if (v->n_outside == CHECKPOINTS_MAX) {
		(void)str_copy(err, errsize, "these are too many");
		return -1;
	}
	if (v->n_outside == v->cap_outside) {
		v->cap_outside = v->cap_outside == 0 ? 64 : v->cap_outside * 2;
		v->outside = xreallocarray(v->outside, v->cap_outside, sizeof(*v->outside));
	}
	v->outside[v->n_outside++] = o;
	v->sorted = false;
	return 0;
}

static int
outside_compare(const void *a, const void *b)
{
	const struct outside *x = a, *y = b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Record seq has that hash, NULL: none. */
static void
outside_fits(struct audit_verify *v, uint64_t seq, const struct audit_hash *hash)
{
	size_t lo = 0, hi = v->n_outside;

	if (!v->sorted && v->n_outside > 0)
		qsort(v->outside, v->n_outside, sizeof(*v->outside), outside_compare);
	v->sorted = true;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (v->outside[mid].seq < seq)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < v->n_outside && v->outside[lo].seq == seq; lo++) {
		struct outside *o = &v->outside[lo];

		if (o->seen)
			continue;
		o->seen = true;
		if (hash == NULL || !audit_hash_equal(&o->hash, hash))
			tell(v, AUDIT_PROBLEM, v->line, seq,
			    "a checkpoint that left the machine has another hash for this record: "
			    "it, "
			    "or something before it, was replaced");
		else if (seq > v->sum.left)
			v->sum.left = seq;
	}
}

static void
outside_look(struct audit_verify *v, const struct audit_line *l)
{
	outside_fits(v, l->seq, l->chained ? &l->hash : NULL);
}

static void
outside_end(struct audit_verify *v)
{
	for (size_t i = 0; i < v->n_outside; i++) {
		const struct outside *o = &v->outside[i];

		if (o->seen || (i > 0 && v->outside[i - 1].seq == o->seq))
			continue;
		if (o->seq > v->prev_seq)
			tell(v, AUDIT_PROBLEM, 0, o->seq,
			    "the tail was cut: a checkpoint of record %" PRIu64
			    " left the machine, but the record ends at %" PRIu64,
			    o->seq, v->prev_seq);
		else if (o->seq >= v->sum.first_seq)
			tell(v, AUDIT_PROBLEM, 0, o->seq,
			    "record %" PRIu64
			    ", for which a checkpoint left the machine, is missing",
			    o->seq);
		else if (o->seq + 1 < v->sum.first_seq)
			tell(v, AUDIT_NOTE, 0, o->seq,
			    "a checkpoint speaks of record %" PRIu64
			    ", before the first one that was given",
			    o->seq);
	}
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void
torn_add(struct audit_verify *v, struct span line, bool whole)
{
	struct torn *t = &v->torn;

	if (t->line == 0)
		t->line = v->line;
	else if (buf_len(&t->text) < TORN_KEEP)
		buf_add_byte(&t->text, '\n');
	if (line.n <= TORN_KEEP && buf_len(&t->text) < TORN_KEEP)
		buf_add_span(&t->text, line);
	else
		buf_add_str(&t->text, "\n\n\n"); /* such a one no record explains */
	t->open = !whole;
}

/* The record, a repair or the begin of the next file, tells of exactly that. */
static bool
torn_is_told(const struct torn *t, const struct audit_line *l, const char *kind)
{
	struct audit_hash is, told;
	struct span hash;
	uint64_t octets;

	if (l == NULL || !span_eq(l->kind, kind) || audit_line_u64(l, "torn", &octets) == -1 ||
	    audit_line_get(l, "torn_hash", &hash) == -1 || audit_hash_parse(hash, &told) == -1)
		return false;
	audit_hash_of(buf_span(&t->text), &is);
	return octets == buf_len(&t->text) && audit_hash_equal(&is, &told);
}

static void
torn_end(struct audit_verify *v, struct torn *t, const struct audit_line *l)
{
	const char *file = v->file;

	if (t->line == 0)
		return;
	if (t->file != NULL)
		v->file = t->file;
	if (torn_is_told(t, l, t->file == NULL ? "repair" : "begin"))
		tell(v, AUDIT_NOTE, t->line, 0,
		    "a crash tore this line; the start that followed recorded it");
	else if (t->open)
		tell(v, AUDIT_PROBLEM, t->line, 0,
		    "the last line is not whole: torn by a crash (the next start records it), or "
		    "cut");
	else
		tell(v, AUDIT_PROBLEM, t->line, 0,
		    "this is no record, and none behind it explains it: changed, cut or put in");
	v->file = file;
	torn_clear(t);
}

/* It speaks of a torn line, and there is none. */
static void
torn_missing(struct audit_verify *v, const struct audit_line *l)
{
	uint64_t octets;

	if (audit_line_u64(l, "torn", &octets) == -1 ||
	    !((span_eq(l->kind, "repair") && v->torn.line == 0) ||
		(span_eq(l->kind, "begin") && v->before.line == 0 && v->n_files > 1)))
		return;
	tell(v, AUDIT_PROBLEM, v->line, l->seq,
	    "it speaks of a torn line of %" PRIu64 " octets before it, which was removed", octets);
}

/* l: the record that follows, or NULL. */
static void
torn_follows(struct audit_verify *v, const struct audit_line *l)
{
	if (l != NULL)
		torn_missing(v, l);
	/* the repair of the next file's own first line stands in front of its begin */
	if (l == NULL || !span_eq(l->kind, "repair"))
		torn_end(v, &v->before, l);
	torn_end(v, &v->torn, l);
}

static void
adopt(struct audit_verify *v, const struct audit_line *l)
{
	v->have_prev = l->chained;
	v->prev_seq = l->seq;
	v->prev_hash = l->hash;
	v->have_other = false;
	v->sum.last_seq = l->seq;
	v->sum.head = l->hash;
}

/* What the first record of a file says of the one before. False: it says nothing. */
static bool
begin_words(const struct audit_line *l, uint64_t *seq, struct audit_hash *hash)
{
	struct span text;

	return span_eq(l->kind, "begin") && audit_line_u64(l, "prev_seq", seq) == 0 &&
	       audit_line_get(l, "prev_hash", &text) == 0 && audit_hash_parse(text, hash) == 0;
}

static bool
is_zero(const struct audit_hash *h)
{
	static const struct audit_hash zero;

	return audit_hash_equal(h, &zero);
}

#define RANGE_TEXT 64
static const char *
range(char out[RANGE_TEXT], uint64_t first, uint64_t last)
{
	if (first == last)
		(void)str_printf(out, RANGE_TEXT, "record %" PRIu64 " is", first);
	else
		(void)str_printf(
		    out, RANGE_TEXT, "records %" PRIu64 " to %" PRIu64 " are", first, last);
	return out;
}

/* A begin record: connects, or tells that it does not. */
static void
check_begin(struct audit_verify *v, const struct audit_line *l)
{
	struct audit_hash hash;
	char missing[RANGE_TEXT];
	uint64_t seq;

	if (!begin_words(l, &seq, &hash))
		return;
	if (v->have_prev && seq == v->prev_seq && audit_hash_equal(&hash, &v->prev_hash))
		return;
	if (v->have_prev && seq > v->prev_seq)
		tell(v, AUDIT_PROBLEM, v->line, l->seq,
		    "it begins behind record %" PRIu64
		    ", but what was given before it ends at %" PRIu64 ": %s missing",
		    seq, v->prev_seq, range(missing, v->prev_seq + 1, seq));
	else if (v->have_prev)
		tell(v, AUDIT_PROBLEM, v->line, l->seq,
		    "it begins behind record %" PRIu64
		    ", but what was given before it ends at %" PRIu64
		    ": that was replaced, or another chain begins here",
		    seq, v->prev_seq);
	else if (v->sum.records > 0)
		tell(v, AUDIT_PROBLEM, v->line, l->seq, "the records before it are not chained");
	else if (seq > 0 && is_zero(&hash))
		tell(v, AUDIT_NOTE, v->line, l->seq,
		    "the chain begins here; the records before it had none");
	else if (seq > 0)
		tell(v, AUDIT_NOTE, v->line, l->seq,
		    "records 1 to %" PRIu64 " stand in files that were not given", seq);
	if (v->sum.records == 0 && seq > 0)
		outside_fits(v, seq, is_zero(&hash) ? NULL : &hash);
	v->have_prev = true;
	v->prev_seq = seq;
	v->prev_hash = hash;
}

/* The record's own hash against those that may stand before it. */
static bool
follows(const struct audit_verify *v, const struct audit_line *l)
{
	struct audit_hash h;

	audit_hash_next(&v->prev_hash, l->body, &h);
	if (audit_hash_equal(&h, &l->hash))
		return true;
	if (!v->have_other)
		return false;
	audit_hash_next(&v->other_hash, l->body, &h);
	return audit_hash_equal(&h, &l->hash);
}

/* False: it does not take its place in the chain. */
static bool
check_place(struct audit_verify *v, const struct audit_line *l)
{
	char missing[RANGE_TEXT];

	if (!v->have_prev && v->sum.records == 0 && l->seq == 1)
		v->have_prev = true; /* a torn line stood where the chain begins */
	if (!v->have_prev) {
		if (v->sum.records > 0)
			tell(v, AUDIT_PROBLEM, v->line, l->seq,
			    "it cannot be checked: the record before it has no hash");
		else
			tell(v, AUDIT_PROBLEM, v->line, l->seq,
			    "the first record given is not the first of a file: record %" PRIu64
			    ", and perhaps others before it, were removed",
			    l->seq - 1);
		return true;
	}
	if (l->seq <= v->prev_seq) {
		tell(v, AUDIT_PROBLEM, v->line, l->seq,
		    "record %" PRIu64 " stands behind record %" PRIu64
		    ": moved, repeated or put in",
		    l->seq, v->prev_seq);
		if (l->seq == v->prev_seq) {
			v->have_other = true;
			v->other_hash = l->hash;
		}
		return false;
	}
	if (l->seq > v->prev_seq + 1)
		tell(v, AUDIT_PROBLEM, v->line, l->seq,
		    "%s missing before it: removed or moved; without that it cannot be checked "
		    "itself",
		    range(missing, v->prev_seq + 1, l->seq - 1));
	else if (!follows(v, l))
		tell(v, AUDIT_PROBLEM, v->line, l->seq,
		    "record %" PRIu64 " was changed, or record %" PRIu64 " before it was replaced",
		    l->seq, v->prev_seq);
	return true;
}

/* Before adopt(): prev is the record that it speaks of. */
static void
check_checkpoint(struct audit_verify *v, const struct audit_line *l)
{
	struct span key, sig, hash;
	struct audit_hash h;
	uint64_t upto;
	int64_t ms;

	if (!span_eq(l->kind, "checkpoint"))
		return;
	if (audit_line_u64(l, "upto", &upto) == -1 || audit_line_get(l, "key", &key) == -1 ||
	    audit_line_get(l, "sig", &sig) == -1 || audit_line_get(l, "upto_hash", &hash) == -1 ||
	    audit_hash_parse(hash, &h) == -1) {
		tell(v, AUDIT_PROBLEM, v->line, l->seq, "this checkpoint is not whole");
		return;
	}
	if (upto + 1 != l->seq ||
	    (v->have_prev && v->prev_seq == upto && !audit_hash_equal(&h, &v->prev_hash)))
		tell(v, AUDIT_PROBLEM, v->line, l->seq,
		    "the checkpoint speaks of another record %" PRIu64
		    " than the one before it: that was replaced",
		    upto);
	if (v->pub == NULL)
		return;
	if (!span_eq(key, audit_key_id(v->pub))) {
		tell(v, AUDIT_PROBLEM, v->line, l->seq,
		    "the checkpoint names key %.*s, not %s: forged, or the key was changed",
		    (int)(key.n > 40 ? 40 : key.n), key.p, audit_key_id(v->pub));
	} else if (!audit_key_check(v->pub, upto, &h, sig, &ms)) {
		tell(v, AUDIT_PROBLEM, v->line, l->seq, "the checkpoint's signature is forged");
	} else {
		v->sum.checkpoints++;
		v->sum.sealed = upto;
		v->sum.sealed_ms = ms;
	}
}

/* What is damaged there stands as a problem all the same: who did it nobody can know. */
static void
check_sync_failed(struct audit_verify *v, const struct audit_line *l)
{
	uint64_t from = 0, upto;
	char first[24];

	if (!span_eq(l->kind, "sync_failed") || audit_line_u64(l, "upto", &upto) == -1)
		return;
	(void)audit_line_u64(l, "from", &from);
	if (from == 0)
		(void)str_copy(first, sizeof(first), "some");
	else
		(void)str_printf(first, sizeof(first), "%" PRIu64, from);
	tell(v, AUDIT_NOTE, v->line, l->seq,
	    "a sync of the disk had failed: records %s to %" PRIu64
	    " may be damaged by it; what was not acknowledged follows again",
	    first, upto);
}

void
audit_verify_file(struct audit_verify *v, const char *name)
{
	torn_end(v, &v->before, NULL);
	if (v->torn.line != 0) { /* perhaps the first record of the next one tells */
		v->before = v->torn;
		v->before.file = xstrdup(v->file);
		v->torn = (struct torn){.line = 0};
	}
	v->file = name;
	v->line = 0;
	v->n_files++;
}

/* A crash took no more than its LF: in its place it is as good as whole. */
static bool
lacks_lf_only(const struct audit_verify *v, const struct audit_line *l)
{
	struct audit_hash h = v->prev_hash;
	uint64_t seq = v->prev_seq;

	if (!l->chained || (!v->have_prev && !begin_words(l, &seq, &h)) || l->seq != seq + 1)
		return false;
	audit_hash_next(&h, l->body, &h);
	return audit_hash_equal(&h, &l->hash);
}

void
audit_verify_line(struct audit_verify *v, struct span line, bool whole)
{
	struct audit_line l;
	uint64_t lost;
	bool is_record;

	v->line++;
	is_record = audit_line_parse(line, &l) == 0 && !audit_line_is_part(&l, v->have_prev);
	if (!is_record || (!whole && !lacks_lf_only(v, &l))) {
		torn_add(v, line, whole);
		return;
	}
	if (!whole)
		tell(v, AUDIT_NOTE, v->line, l.seq, "the line feed behind this record is missing");
	torn_follows(v, &l);
	if (!l.chained) {
		tell(v, AUDIT_PROBLEM, v->line, l.seq, "the record has no hash");
		outside_look(v, &l);
		if (v->sum.records++ == 0)
			v->sum.first_seq = l.seq;
		adopt(v, &l);
		return;
	}
	check_begin(v, &l);
	if (v->sum.records == 0)
		v->sum.first_seq = l.seq;
	if (check_place(v, &l)) {
		check_checkpoint(v, &l);
		check_sync_failed(v, &l);
		outside_look(v, &l);
		if (span_eq(l.kind, "gap") && audit_line_u64(&l, "lost", &lost) == 0)
			v->sum.lost += lost;
		adopt(v, &l);
	}
	v->sum.records++;
}

void
audit_verify_end(struct audit_verify *v, struct audit_summary *out)
{
	torn_follows(v, NULL);
	outside_end(v);
	*out = v->sum;
}
