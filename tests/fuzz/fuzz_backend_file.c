/* SPDX-License-Identifier: ISC */
/*
 * A password file of any content: parsed, looked into, and every entry that was
 * taken is one that a check can use. First byte: allow_plain.
 */
#include "authbackends/passwd_hash.h"
#include "authbackends/passwd_table.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check_line(const struct passwd_table *t, struct span line, bool plain)
{
	struct passwd_entry e;
	enum passwd_kind kind;
	struct span name = line;

	while (name.n > 0 && (name.p[0] == ' ' || name.p[0] == '\t'))
		name = (struct span){name.p + 1, name.n - 1};
	for (size_t i = 0; i < name.n; i++)
		if (memchr(" \t:", name.p[i], 3) != NULL)
			name.n = i;
	if (!passwd_table_find(t, name, &e))
		return;
	if (e.name.n == 0 || str_has_control(e.name) || e.secret.n == 0 ||
	    memchr(e.secret.p, '\0', e.secret.n) != NULL)
		abort();
	if (e.kind == ENTRY_PLAIN && !plain)
		abort();
	if (e.kind == ENTRY_HASH) {
		char hash[PASSWD_HASH_MAX + 1];

		if (passwd_hash_check(e.secret, &kind) != NULL ||
		    str_copy_span(hash, sizeof(hash), e.secret) == -1)
			abort();
		(void)passwd_hash_cost(hash);
	}
}

/* Both are whole hashes, the second one keys of SCRAM. */
static void
check_dummies(const struct passwd_table *t)
{
	const char *dummy = passwd_table_dummy(t), *like = passwd_table_scram_like(t);
	enum passwd_kind kind;

	if (dummy[0] != '\0' && passwd_hash_check(span_of(dummy), &kind) != NULL)
		abort();
	if (like[0] != '\0' &&
	    (passwd_hash_check(span_of(like), &kind) != NULL || kind != PASSWD_SCRAM_SHA256))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf text = BUF_INIT;
	struct span rest, line;
	struct passwd_table *t;
	size_t found, total, count;
	bool plain;

	if (n < 1)
		return 0;
	plain = (data[0] & 1) != 0;
	buf_add(&text, data + 1, n - 1);
	t = passwd_table_parse(&text, plain);
	rest = (struct span){(const char *)data + 1, n - 1};
	count = 0;
	while (rest.p != NULL && rest.n > 0) {
		line = span_cut(&rest, '\n');
		check_line(t, line, plain);
		count++;
	}
	(void)passwd_table_findings(t, &found, &total);
	if (passwd_table_count(t) + total > count || found > total)
		abort();
	check_dummies(t);
	passwd_table_free(t);
	return 0;
}
