/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_BASE_SCRAM_H
#define SUBMITD_BASE_SCRAM_H

#include "base/buf.h"

#include <stdint.h>

/*
 * What a server holds for SCRAM-SHA-256 (RFC 5802, RFC 7677) instead of a password,
 * as one text without blanks, the form that PostgreSQL keeps too:
 *
 *     SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY      the last three in base64
 */
#define SCRAM_KEY 32u
#define SCRAM_SALT_MIN 8u
#define SCRAM_SALT_MAX 64u
#define SCRAM_ITERATIONS_MIN 4096u /* RFC 7677, 4 */
#define SCRAM_ITERATIONS_MAX 1000000u
#define SCRAM_TEXT 201u /* the longest text and its NUL */
#define SCRAM_PREFIX "SCRAM-SHA-256$"

struct scram_keys {
	uint32_t iterations;
	size_t salt_len;
	uint8_t salt[SCRAM_SALT_MAX];
	uint8_t stored[SCRAM_KEY], server[SCRAM_KEY];
};

/* NULL and the keys, or what is wrong with the text, in words that do not show it. */
const char *scram_parse(struct span text, struct scram_keys *);
void scram_format(const struct scram_keys *, char out[SCRAM_TEXT]);
/* Fills stored and server from iterations, salt and password (after SASLprep). Takes as long as
 * iterations say. -1: out of resources. */
int scram_derive(struct scram_keys *, const void *password, size_t n);

#endif
