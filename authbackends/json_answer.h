/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_JSON_ANSWER_H
#define SUBMITD_JSON_ANSWER_H

#include "authbackends/authbackend.h"
#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * JSON that a server sent. A member is named by its whole key, or by a path with dots:
 * "user.mail" is the member mail of the member user.
 */

/* One object, no name twice in it; NULL: it is anything else. Free with json_decref(). */
json_t *json_answer_parse(struct span);
/* Borrowed; NULL: there is none. */
const json_t *json_answer_member(const json_t *object, const char *name);
/* The text of a string, true, false, or a whole number. -1: something else, or too long. */
int json_answer_text(const json_t *value, char *out, size_t size);
/* A user's name: 1 to AUTH_NAME_MAX octets, no control characters. -1: it is none. */
int json_answer_user(const json_t *object, const char *name, char out[ADDR_TEXT]);
/* One address or an array of them to the user's own; what is none is left out. */
void json_answer_addresses(const json_t *object, const char *name, struct auth_check *);

#endif
