/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_SASLPREP_H
#define SUBMITD_BASE_SASLPREP_H

#include "base/buf.h"
#include "base/secret.h"

#include <stddef.h>

/*
 * SASLprep (RFC 4013) of names and passwords, as a stored string: code points that
 * Unicode 3.2 does not know are refused. Printable ASCII is its own result. So that
 * one word typed on two systems is one word.
 */

/* In place; size counts the NUL. -1: refused, not UTF-8, empty or too long afterwards; text is then
 * as before. */
int saslprep_text(char *text, size_t size);
/* At most max octets. -1 as above. */
int saslprep_secret(struct secret *, size_t max);

#endif
