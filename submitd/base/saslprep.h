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

/*
 * The form in which two spellings of a name are compared: lower case by Unicode's case
 * folding, NFKC, without what is not seen (RFC 3454, B.1 and B.2). Refuses no code points.
 * Only for comparing, never to be shown or looked up. -1: not UTF-8, has a NUL, or too long
 * for size (which counts the NUL); out is then as before.
 */
int saslprep_fold(struct span, char *out, size_t size);

#endif
