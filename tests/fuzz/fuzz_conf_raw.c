/* SPDX-License-Identifier: ISC */
/* Any octets as the raw form: the child that makes it is not trusted. */
#include "conf/conf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_findings f = {0};
	struct conf *c = conf_build((struct span){(const char *)data, size}, &f);

	if ((c == NULL) != (f.errors != 0))
		abort();
	conf_free(c);
	conf_findings_clear(&f);
	return 0;
}
