/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_SECRET_H
#define SUBMITD_BASE_SECRET_H

#include "base/buf.h"

#include <stdbool.h>

/* Bytes that must not be written anywhere: wiped on clear, compared in constant time. */
struct secret {
	char *data; /* owned, followed by a NUL that does not count */
	size_t len;
};

void secret_set(struct secret *, const void *, size_t n); /* wipes what was there */
void secret_clear(struct secret *);
bool secret_equal(const struct secret *, const struct secret *);

#endif
