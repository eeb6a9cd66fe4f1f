/* SPDX-License-Identifier: ISC */
/*
 * submitctl audit verify and search over whatever a file holds. Two files are made of
 * one input: what stands in front of the first NUL, and the rest.
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

static void
file(struct audit_verify *v, const char *name, struct span rest)
{
	audit_verify_file(v, name);
	while (rest.p != NULL && rest.n > 0) {
		struct span line = span_cut(&rest, '\n');

		audit_verify_line(v, line, rest.p != NULL);
		match(line);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span rest = {(const char *)data, n}, one = span_cut(&rest, '\0');
	struct audit_verify *v = audit_verify_new(NULL, found, NULL);
	struct audit_summary sum;
	char err[200];

	problems = 0;
	(void)audit_verify_checkpoint(
	    v, one.n > 300 ? (struct span){one.p, 300} : one, err, sizeof(err));
	file(v, "one", one);
	if (rest.p != NULL)
		file(v, "two", rest);
	audit_verify_end(v, &sum);
	invariant(sum.problems == problems);
	audit_verify_free(v);
	return 0;
}
