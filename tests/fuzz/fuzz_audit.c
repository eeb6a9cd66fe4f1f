/* SPDX-License-Identifier: ISC */
/*
 * submitctl audit verify and search over whatever a file holds. Two files are made of
 * one input: what stands in front of the first NUL, and the rest. A star in place of a
 * hash becomes the right one, so that what stands behind good records is reached.
 */
#include "audit/audit_verify.h"
#include "base/log.h"
#include "base/str.h"
#include "ctl/ctl_audit.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static uint64_t problems;

static void
found(void *arg, const struct audit_finding *f)
{
	(void)arg;
	invariant(strlen(f->text) < 400);
	problems += f->kind == AUDIT_PROBLEM;
}

static void
match(struct span line)
{
	static const struct ctl_audit_query everything, some = {.user = "a@b", .failed = true};
	struct buf b = BUF_INIT;
	json_t *o = ctl_audit_match(&everything, line);

	if (o != NULL) {
		ctl_audit_format(o, &b);
		(void)ctl_audit_who(o);
	}
	json_decref(o);
	json_decref(ctl_audit_match(&some, line));
	buf_clear(&b);
}

/* ---- hashes that fit --------------------------------------------------------------------------
 */

static struct audit_hash head; /* of the record before */
static struct buf torn;        /* what stands behind it */

/* Copies up to the star of that member and puts the hash in its place. */
static void
put_hash(struct buf *out, struct span *rest, const char *member, const struct audit_hash *h)
{
	const char *at = rest->n == 0 ? NULL : memmem(rest->p, rest->n, member, strlen(member));
	char hex[AUDIT_HASH_TEXT];
	size_t n;

	if (at == NULL)
		return;
	n = (size_t)(at - rest->p) + strlen(member);
	buf_add(out, rest->p, n - 2); /* without the star and the quote behind it */
	audit_hash_format(h, hex);
	buf_add_str(out, hex);
	buf_add_byte(out, '"');
	rest->p += n;
	rest->n -= n;
}

static void
fill(struct span line, struct buf *out)
{
	static const char star[] = ",\"hash\":\"*\"}";
	size_t n = sizeof(star) - 1;
	struct audit_hash h;
	struct span rest = line;

	put_hash(out, &rest, "\"prev_hash\":\"*\"", &head);
	put_hash(out, &rest, "\"upto_hash\":\"*\"", &head);
	audit_hash_of(buf_span(&torn), &h);
	put_hash(out, &rest, "\"torn_hash\":\"*\"", &h);
	buf_add_span(out, rest);
	if (buf_len(out) < n || memcmp(buf_data(out) + buf_len(out) - n, star, n) != 0)
		return;
	buf_truncate(out, buf_len(out) - n);
	audit_hash_next(&head, buf_span(out), &h);
	buf_add(out, star, n - 3);
	audit_hash_format(&h, (char *)buf_reserve(out, AUDIT_HASH_TEXT));
	buf_commit(out, AUDIT_HASH_TEXT - 1);
	buf_add_str(out, "\"}");
}

static void
remember(struct span line)
{
	struct audit_line l;

	if (audit_line_parse(line, &l) == 0) {
		head = l.hash;
		buf_reset(&torn);
		return;
	}
	if (buf_len(&torn) > 0)
		buf_add_byte(&torn, '\n');
	buf_add_span(&torn, line);
}

static void
file(struct audit_verify *v, const char *name, struct span rest)
{
	struct buf b = BUF_INIT;

	audit_verify_file(v, name);
	while (rest.p != NULL && rest.n > 0) {
		buf_reset(&b);
		fill(span_cut(&rest, '\n'), &b);
		audit_verify_line(v, buf_span(&b), rest.p != NULL);
		match(buf_span(&b));
		remember(buf_span(&b));
	}
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span rest = {(const char *)data, n}, one = span_cut(&rest, '\0');
	struct audit_verify *v = audit_verify_new(NULL, found, NULL);
	struct audit_summary sum;
	char err[200];

	problems = 0;
	memset(&head, 0, sizeof(head));
	buf_reset(&torn);
	(void)audit_verify_checkpoint(
	    v, one.n > 300 ? (struct span){one.p, 300} : one, err, sizeof(err));
	file(v, "one", one);
	if (rest.p != NULL)
		file(v, "two", rest);
	audit_verify_end(v, &sum);
	invariant(sum.problems == problems);
	audit_verify_free(v);
	buf_clear(&torn);
	return 0;
}
