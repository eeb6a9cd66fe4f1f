/* SPDX-License-Identifier: ISC */
/*
 * The lines of password files that nobody can log in with, for `submitd -t` only: a running
 * service says them in its log each time it reads the file. Runs in the child of conf_probe().
 */
#include "conf_people.h"

#include "authbackends/passwd_table.h"
#include "base/fs.h"

#define SHOWN_MAX 5u

_Static_assert(PASSWD_TABLE_MAX_BYTES == CONF_USERS_FILE_MAX, "one bound for check and backend");

static void
look_at(const struct conf_backend *b, struct conf_findings *f)
{
	struct conf_where where = b->option_where[CONF_OPT_backend_path];
	struct buf text = BUF_INIT;
	struct passwd_table *t;
	const struct passwd_finding *v;
	size_t n, total, i;

	if (fs_read_file(b->path, PASSWD_TABLE_MAX_BYTES, &text) == -1) {
		buf_wipe(&text);
		return; /* conf_check_files() has said so */
	}
	t = passwd_table_parse(&text, b->allow_plain);
	v = passwd_table_findings(t, &n, &total);
	for (i = 0; i < n && i < SHOWN_MAX; i++)
		conf_findings_add(f, false, where, "backend \"%s\": %s line %u is skipped: %s",
		    b->title, b->path, v[i].line, v[i].text);
	if (total > i)
		conf_findings_add(f, false, where, "backend \"%s\": %s: %zu more lines are skipped",
		    b->title, b->path, total - i);
	if (passwd_table_count(t) == 0 && total == 0)
		conf_findings_add(f, false, where,
		    "backend \"%s\": %s has no users yet; make one with submitctl passwd", b->title,
		    b->path);
	passwd_table_free(t);
	buf_wipe(&text);
}

void
conf_people(const struct conf *c, struct conf_findings *f)
{
	for (size_t i = 0; i < c->n_backend; i++)
		if (c->backend_blocks[i].path != NULL)
			look_at(&c->backend_blocks[i], f);
}
