/* SPDX-License-Identifier: ISC */
/*
 * Log lines as submitctl log reads them: whatever a file holds.
 */
#include "base/log.h"
#include "base/str.h"
#include "ctl/ctl_log_line.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct log_event_line l = {0};
	struct buf out = BUF_INIT;

	if (log_line_parse((struct span){(const char *)data, n}, &l) == 0) {
		invariant(log_line_get(&l, "event") != NULL);
		log_line_format(&l, true, &out);
		log_line_format(&l, false, &out);
	}
	log_line_clear(&l);
	buf_clear(&out);
	return 0;
}
