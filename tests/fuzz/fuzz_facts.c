/* SPDX-License-Identifier: ISC */
/*
 * The decoder of facts records (they come back from logs and the spool): no read
 * outside, and what is accepted encodes to the same octets again.
 */
#include "base/log.h"
#include "policy/facts.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf hold = BUF_INIT, again = BUF_INIT, hold2 = BUF_INIT;
	struct facts f, g;

	if (facts_decode((struct span){(const char *)data, n}, &f, &hold) == 0) {
		facts_encode(&again, &f);
		invariant(facts_decode(buf_span(&again), &g, &hold2) == 0);
		invariant(g.stage == f.stage && g.size == f.size);
	}
	buf_clear(&hold);
	buf_clear(&hold2);
	buf_clear(&again);
	return 0;
}
