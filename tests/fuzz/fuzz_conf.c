/* SPDX-License-Identifier: ISC */
/*
 * Any text as a configuration: scan, libconfuse, build. Leaks of libconfuse after
 * a syntax error are its own (the service parses in a child): run without leak
 * detection.
 */
#include "base/str.h"
#include "conf/conf.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_findings f = {0};
	struct buf raw = BUF_INIT, text = BUF_INIT;
	struct conf *c = NULL;
	char *copy = xmalloc(size + 1);
	bool any;
	size_t i;

	memcpy(copy, data, size);
	copy[size] = '\0';
	if (strstr(copy, "include") != NULL) /* no files: they are for unit tests */
		goto out;
	if (conf_parse_text("fuzz", copy, &raw, &f) == 0)
		c = conf_build(buf_span(&raw), &f);
	if ((c == NULL) != (f.errors != 0))
		abort();
	if (c != NULL) {
		(void)conf_user_find(c, copy);
		(void)conf_domain_route(c, "submission", copy, &any);
	}
	conf_findings_sort(&f);
	for (i = 0; i < f.n; i++)
		conf_finding_format(&f.v[i], &text);
out:
	conf_free(c);
	conf_findings_clear(&f);
	buf_clear(&raw);
	buf_clear(&text);
	free(copy);
	return 0;
}
