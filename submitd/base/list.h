/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_LIST_H
#define SUBMITD_BASE_LIST_H

#include <sys/queue.h>

/* glibc's sys/queue.h lacks the variant that allows freeing the current element. */
#ifndef TAILQ_FOREACH_SAFE
#define TAILQ_FOREACH_SAFE(var, head, field, next)                                                 \
	for ((var) = TAILQ_FIRST((head)); (var) != NULL && ((next) = TAILQ_NEXT((var), field), 1); \
	     (var) = (next))
#endif

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
