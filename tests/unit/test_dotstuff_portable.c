/* SPDX-License-Identifier: ISC */
/* P6 again, with the reading of blocks that machines without SSE2 use. */
#define DOTSTUFF_PORTABLE 1
#include "mail/dotstuff.c"
#include "test_dotstuff.c"
