/* SPDX-License-Identifier: ISC */
#ifndef SUBMITD_TOKEN_CLAIMS_H
#define SUBMITD_TOKEN_CLAIMS_H

#include "authbackends/authbackend.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define TOKEN_LEEWAY_S 30 /* clocks that differ */

/* What a token must say. Texts live in the configuration; NULL or empty: not looked at. */
struct token_rule {
	const char *issuer;
	const struct conf_list *audience; /* one of them */
	const char *scope;                /* one that it must have */
	const char *user;                 /* claim with the user's name */
	const char *addresses;            /* claim with the user's own addresses */
	bool need_expiry;
};

/*
 * Claims of a token whose signature was verified, or what the server says of one. V_OK fills
 * c->name and the own addresses; V_PERM and V_TEMP fill c->reason. Pure. now_s: the wall clock.
 */
enum verdict token_claims_judge(
    const struct token_rule *, const json_t *claims, int64_t now_s, struct auth_check *c);
/* Whether the claims name that issuer. */
bool token_claims_from(const json_t *claims, const char *issuer);

#endif
